"""Loads a release for serving: verified completely before it answers anything.

Belongs here: what a release must satisfy, and its scorer. Does not: when it is loaded
(`adapters/serving/release_watch.py`), publishing (`adapters/serving/releases.py`).
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from churn_platform.adapters.serving.booster import LightGBMBooster
from churn_platform.adapters.serving.releases import Releases
from churn_platform.core.contract import Contract
from churn_platform.core.release import FeatureSpec, Manifest, Pointer
from churn_platform.core.scorer import (
    BOOSTER_FILE,
    FORM_FILE,
    FormScorer,
    ModelScorer,
    Scorer,
    ServingForm,
    check_golden,
)
from churn_platform.errors import IntegrityError

MODEL_FILE = "model.skops"
PASSPORT = "passport.json"


@dataclass(frozen=True)
class Loaded:
    """A verified release that can answer."""

    manifest: Manifest
    scorer: Scorer
    sha256: str
    """Of the model file."""
    since: str
    """The instant from which it serves."""
    previous_version: int | None
    threshold_given: bool = False
    """Whether the threshold rests on the costs that the contract gives."""


def fits(manifest: Manifest, contract: Contract) -> bool:
    """Whether a release was trained under a contract: entity, label, and features with dtypes in order."""
    return manifest.contract_hash == contract.model_hash and manifest.features == _features(contract)


def load_release(releases: Releases, contract: Contract, version: int, pointer: Pointer) -> Loaded:
    """Verify a release and load it: every digest, the contract, the features in order, the golden predictions.

    Raises:
        IntegrityError: it must not serve; explains why.
    """
    manifest = releases.verify(version)
    if manifest.contract_hash != contract.model_hash:
        raise IntegrityError(
            f"release {version} was trained under another contract: its entity, features or label are not those of "
            "the contract in use; put the contract of the release in place"
        )
    if manifest.features != _features(contract):
        raise IntegrityError(f"release {version} reads the features in another order than the contract names them")
    scorer = _scorer(manifest, lambda name: _verified(releases, manifest, name))
    check_golden(scorer, manifest.golden)
    passport = json.loads(_verified(releases, manifest, PASSPORT)) if PASSPORT in manifest.files else {}
    return Loaded(
        manifest,
        scorer,
        manifest.files[MODEL_FILE],
        pointer.activate_at,
        pointer.previous_version,
        contract.threshold_given(passport),
    )


def _features(contract: Contract) -> list[FeatureSpec]:
    return [FeatureSpec(name=name, dtype=column.dtype) for name, column in contract.features.items()]


def _verified(releases: Releases, manifest: Manifest, name: str) -> bytes:
    """A file's bytes, compared with the manifest as they are used: the file may have changed since it was verified."""
    content = (releases.folder / str(manifest.version) / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest.files[name]:
        raise IntegrityError(f"release {manifest.version} was changed while it was read: {name}")
    return content


def _scorer(manifest: Manifest, read: Callable[[str], bytes]) -> Scorer:
    if FORM_FILE in manifest.files:
        return FormScorer(ServingForm.model_validate_json(read(FORM_FILE)), LightGBMBooster(read(BOOSTER_FILE)))
    from churn_platform.core.model import load_model

    features = tuple((feature.name, feature.dtype) for feature in manifest.features)
    return ModelScorer(load_model(read(MODEL_FILE), features))
