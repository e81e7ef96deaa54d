"""Publishes a version for serving: its verified files, a manifest with golden predictions, and a
receipt.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from churn_platform.base.errors import DataError, IntegrityError
from churn_platform.features.training_datasets import TrainingDatasets
from churn_platform.lake.records import Records
from churn_platform.ledger.receipts import Receipt
from churn_platform.ledger.store import LedgerStore
from churn_platform.ledger.version_acts import ProductionChange, ReleasePublished
from churn_platform.training.candidate import Candidate, candidate_of
from churn_platform.training.model import serving_files
from churn_platform.training.registry import ModelRegistry
from churn_platform.training.release import ModelCard, ReleaseManifest, manifest_digest
from churn_platform.training.releases import Releases

GOLDEN_ROWS = 5


@dataclass(frozen=True)
class ReleasePublisher:
    """Makes releases out of the registry's versions."""

    ledger: LedgerStore
    records: Records
    releases: Releases
    registry: ModelRegistry
    datasets: TrainingDatasets
    now: Callable[[], dt.datetime]

    def publish(self, planned: ProductionChange) -> None:
        """Have the release of a planned change published, as `publish_version`.

        Raises:
            IntegrityError: it is not the version that the change is about.
        """
        self.publish_version(planned.version, planned.kind, planned.candidate)

    def publish_version(
        self, version: int, purpose: str, candidate: str | None = None
    ) -> ReleaseManifest:
        """Have the version's release on the disk, verified, and its receipt in the ledger, once.

        A release that was lost is made again as its receipt records it, including the time at
        which it was made.

        Args:
            version: the version.
            purpose: what it is published for, as the receipt says it.
            candidate: the digest that the version must have; None for whichever it has.

        Raises:
            IntegrityError: it is not what was judged, or has another digest.
        """
        known = self.ledger.state().published.get(version)
        if version in self.releases.versions():
            manifest = self.releases.verify(version)
            self._check_judged(version, manifest.files)
        else:
            manifest = self._released(version, known)
        if candidate is not None:
            self._check_candidate(manifest, candidate)
        if known is None:
            self.ledger.append(
                ReleasePublished(
                    version=version,
                    after=version,
                    reason=(
                        f"The release that serving loads, for the {purpose} of version {version}."
                    ),
                    candidate=manifest.candidate_digest,
                    manifest=manifest_digest(manifest),
                    files=dict(manifest.files),
                    created_at=manifest.created_at,
                )
            )
        return manifest

    def _released(self, version: int, known: Receipt | None) -> ReleaseManifest:
        files = self.judged_version(version)
        candidate = candidate_of(files, version)
        files |= serving_files(candidate.model)
        created_at = self.now().isoformat()
        if known is not None:
            created_at = ReleasePublished.of(known).created_at or created_at
        fields = manifest_fields(candidate, self._sample(candidate), created_at)
        return self.releases.publish(version, files, fields)

    def _check_candidate(self, manifest: ReleaseManifest, candidate: str) -> None:
        if manifest.candidate_digest != candidate:
            raise IntegrityError(
                f"Version {manifest.version} is not what its decision was about: its digest is"
                f" {manifest.candidate_digest[:12]}.",
                code="MODEL_CHANGED",
            )

    def judged_version(self, version: int) -> dict[str, bytes]:
        """A version's verified files from MLflow, which are those that were judged.

        Raises:
            UsageError: there is no such version.
            IntegrityError: a file is not the one that was registered, or that the newest
                decision on the version judged.
        """
        files = self.registry.files(version)
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        self._check_judged(version, digests)
        return files

    def _check_judged(self, version: int, digests: Mapping[str, str]) -> None:
        """Compare the bytes of the files with what was judged; the digest of a candidate covers
        only what it was made from.
        """
        for name, judged in self.ledger.state().judged_files(version).items():
            if digests.get(name) != judged:
                raise IntegrityError(
                    f"{name} of version {version} is not the file that was judged (sha256"
                    f" {str(digests.get(name))[:12]}, judged {judged[:12]}): train and decide"
                    " again.",
                    code="MODEL_CHANGED",
                )

    def _sample(self, candidate: Candidate) -> pd.DataFrame:
        """Rows for the golden predictions: preferably those that the version was trained on; of
        an imported one rows that are no customer's.
        """
        if candidate.card.imported is not None:
            return sample_rows(candidate.card)
        own = self.datasets.month_of(candidate.card.dataset_digest)
        for month in (own, *reversed(self.records.months("training_dataset"))):
            if month is None:
                continue
            dataset = self.datasets.load(month)
            if dataset is not None:
                return dataset.training_rows()
        raise DataError(
            "There is no training dataset, and a release needs golden predictions: materialize it"
            " first."
        )


def sample_rows(card: ModelCard) -> pd.DataFrame:
    """The rows of typical values in the card of an imported version (rows, features)."""
    rows = [] if card.imported is None else card.imported.sample
    return pd.DataFrame(
        {
            feature.name: pd.Series(
                [row[feature.name] for row in rows],
                dtype=object if feature.dtype == "category" else "Float64",
            )
            for feature in card.features
        }
    )


def trained_as_of(card: ModelCard) -> str:
    """The month that a version was trained on; of an imported one, if that is unknown, the day
    of its import.
    """
    if card.imported is None:
        return card.as_of
    return card.imported.as_of or card.imported.imported_on


def manifest_fields(
    candidate: Candidate, sample: pd.DataFrame, created_at: str
) -> dict[str, object]:
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
        "training_as_of": trained_as_of(card),
        "training_months": card.months,
        "metrics": card.metrics,
        "golden": golden,
        "candidate_digest": candidate.digest,
        "created_at": created_at,
    }
