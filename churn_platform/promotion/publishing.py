"""Publishes a version for serving: its verified files, its manifest with golden predictions,
its receipt.
"""

import hashlib
from collections.abc import Mapping

import pandas as pd

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import DataError, IntegrityError
from churn_platform.ledger.version_acts import ProductionChange, ReleasePublished
from churn_platform.services import Services
from churn_platform.training.candidate import Candidate, candidate_of
from churn_platform.training.model import serving_files

GOLDEN_ROWS = 5


def publish(home: Services, planned: ProductionChange) -> None:
    """Have the version's release on the disk, verified, and its receipt in the ledger, once.

    A release that was lost is made as its receipt records it was, up to the moment of its
    making.
    """
    version = planned.version
    known = home.ledger.state().published.get(version)
    if version in home.releases.versions():
        manifest = home.releases.verify(version)
        _check_judged(home, version, manifest.files)
    else:
        files = judged_version(home, version)
        candidate = candidate_of(files, version)
        files |= serving_files(candidate.model)
        fields = manifest_of(home, candidate, _sample(home, candidate))
        if known is not None:
            fields["created_at"] = known.evidence.get("created_at", fields["created_at"])
        manifest = home.releases.publish(version, files, fields)
    if manifest.candidate_digest != planned.candidate:
        raise IntegrityError(
            f"Version {version} is not what its decision was about: its digest is"
            f" {manifest.candidate_digest[:12]}.",
            code="MODEL_CHANGED",
        )
    if known is None:
        home.ledger.append(
            ReleasePublished(
                version=version,
                after=version,
                reason=(
                    f"The release that serving loads, for the {planned.kind} of version {version}."
                ),
                candidate=manifest.candidate_digest,
                manifest=digest_of(manifest.model_dump(mode="json")),
                files=dict(manifest.files),
                created_at=manifest.created_at,
            )
        )


def judged_version(home: Services, version: int) -> dict[str, bytes]:
    """A version's verified files out of MLflow, which are those that were judged.

    Raises:
        UsageError: there is no such version.
        IntegrityError: a file is another one than was registered, or than the newest decision
            on the version judged.
    """
    files = home.registry.files(version)
    _check_judged(
        home,
        version,
        {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    return files


def _check_judged(home: Services, version: int, digests: Mapping[str, str]) -> None:
    """The candidate's digest is of what it was made from; this is of the bytes: name -> sha256."""
    for name, judged in home.ledger.state().judged_files(version).items():
        if digests.get(name) != judged:
            raise IntegrityError(
                f"{name} of version {version} is not the file that was judged (sha256"
                f" {str(digests.get(name))[:12]}, judged {judged[:12]}): train and decide"
                " again.",
                code="MODEL_CHANGED",
            )


def _sample(home: Services, candidate: Candidate) -> pd.DataFrame:
    """Rows for the golden predictions: those it was trained on; any others show the model as
    well.
    """
    months = home.records.months("training_dataset")
    own = home.training_datasets.month_of(candidate.card.dataset_digest)
    for month in (own, *reversed(months)):
        if month is None:
            dataset = None
        else:
            dataset = home.training_datasets.load(month)
        if dataset is not None:
            return dataset.training_rows()
    raise DataError(
        "There is no training dataset, and a release needs golden predictions: materialize it"
        " first."
    )


def manifest_of(home: Services, candidate: Candidate, sample: pd.DataFrame) -> dict[str, object]:
    """The fields of a release's manifest; the first rows of `sample` (rows, features) become
    golden predictions.
    """
    card = candidate.card
    rows = sample[[feature.name for feature in card.features]].head(GOLDEN_ROWS)
    probabilities = candidate.model.probability(rows)
    values = rows.astype(object).where(rows.notna(), None).to_dict("records")
    golden = [
        {"features": v, "probability": float(p)} for v, p in zip(values, probabilities, strict=True)
    ]
    return {
        "model_name": card.model_name,
        "algorithm": card.algorithm,
        "features": [feature.model_dump() for feature in card.features],
        "threshold": card.threshold,
        "contract_hash": card.contract_hash,
        "training_as_of": card.as_of,
        "training_months": card.months,
        "metrics": card.metrics,
        "golden": golden,
        "candidate_digest": candidate.digest,
        "created_at": home.now().isoformat(),
    }
