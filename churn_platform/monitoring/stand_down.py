"""What earlier runs measured, and whether the model in production must stand down: it is no
better than chance.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from churn_platform.contract.model import Contract
from churn_platform.ingestion.month_warnings import repetition_sentence
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Records
from churn_platform.ledger.acts import StandDownBegan, StandDownEnded
from churn_platform.ledger.store import LedgerStore
from churn_platform.monitoring.performance import (
    PerformanceRecord,
    ServedPerformance,
    VersionPerformance,
    stand_down_reason,
)
from churn_platform.promotion.decision import Decision
from churn_platform.training.releases import Releases
from churn_platform.training.version_contracts import VersionContracts


@dataclass(frozen=True)
class PerformanceHistory:
    """What the runs of one home measured."""

    records: Records
    lake: Lake

    def all(self) -> list[VersionPerformance]:
        """The performance of every version on every month, oldest run first."""
        months = self.records.months("performance")
        return [entry for month in months for entry in self.measured_by(month)]

    def measured_by(self, as_of: dt.date) -> list[VersionPerformance]:
        """What the run of a month measured."""
        record = self._read(as_of)
        return [self._without_old_warning(entry) for entry in record.evaluated]

    def served(self) -> list[ServedPerformance]:
        """The served predictions and what they were worth, as the newest run measured them."""
        months = self.records.months("performance")
        return list(self._read(months[-1]).served) if months else []

    def _read(self, as_of: dt.date) -> PerformanceRecord:
        fields = self.records.read("performance", as_of)
        return PerformanceRecord.read(fields, f"The performance record of {as_of}")

    def _without_old_warning(self, entry: VersionPerformance) -> VersionPerformance:
        """The entry without its warning of repeated data once its month repeats no other month."""
        if entry.warning is None:
            return entry
        month = dt.date.fromisoformat(entry.as_of)
        if repetition_sentence(self.lake.compared(month)):
            return entry
        fields = entry.as_json()
        del fields["warning"]
        return VersionPerformance.model_validate(fields)


@dataclass(frozen=True)
class StandDown:
    """Whether the model in production must stand down, and the receipts about it."""

    contract: Contract
    performance: PerformanceHistory
    releases: Releases
    ledger: LedgerStore
    decisions: Callable[[], Sequence[Decision]]
    version_contracts: VersionContracts

    def reason(self) -> str | None:
        """Why the model in production must stand down; None if it need not, or without one."""
        version = self._version()
        return None if version is None else self.reason_of(version)

    def reason_of(self, version: int) -> str | None:
        """Why a released version must stand down; None if it need not."""
        ended = self._ended(version)
        if ended and self.contract.policy.scoring.ended_columns == "stand_down":
            return (
                f"Version {version} reads {', '.join(ended)}, which the newest month no longer"
                " has. A retraining without it is requested. With policy.scoring.ended_columns:"
                " missing the version continues with missing values."
            )
        history = self.performance.all()
        # A quarter of the customers may be too few to tell from chance what all of them show to
        # be better.
        if _newest(history, version) is None:
            at_decision = self._at_the_newest_decision(version)
            if at_decision is not None:
                return at_decision
        churners = self.contract.policy.promotion.min_holdout_churners
        return stand_down_reason(history, version, churners)

    def ended(self) -> tuple[str, ...]:
        """The features of the version in production that the newest month no longer has."""
        version = self._version()
        return () if version is None else self._ended(version)

    def _ended(self, version: int) -> tuple[str, ...]:
        months = self.performance.lake.months()
        if not months or not self.contract.boundaries:
            return ()
        return self.version_contracts.ended(self.releases.card(version), months[-1])

    def record(self) -> None:
        """Record in the ledger that stand-down began or ended, once each; after a model was
        scored or measured.
        """
        reason = self.reason()
        state = self.ledger.state()
        version = self._version()
        act = state.stand_down_act(version, reason)
        if act is None:
            return
        subject = f"version {version}"
        # Also where another version took over: the receipt is about the one that stood down.
        if act == "stand-down ended":
            subject = f"version {state.standing_down}"
        newest = None if version is None else _newest(self.performance.all(), version)
        figures: dict[str, JsonValue] | None = None
        if newest is not None and newest.metrics is not None:
            low, high = newest.metrics.auc_interval
            figures = {"as_of": newest.as_of, "auc": newest.metrics.auc, "interval": [low, high]}
        recorded = StandDownBegan if act == "stand-down began" else StandDownEnded
        self.ledger.append(
            recorded(
                subject=subject,
                reason=reason or _why_ended(subject, version, newest, self.ended()),
                version=version,
                performance=figures,
            )
        )

    def _version(self) -> int | None:
        pointer = self.releases.pointer()
        return None if pointer is None else pointer.version

    def _at_the_newest_decision(self, version: int) -> str | None:
        """Why a version that was never measured stands down: it lost to chance on the holdout."""
        decisions = self.decisions()
        if not decisions:
            return None
        newest = decisions[-1]
        if not newest.stand_down or newest.production_version != version:
            return None
        why = f"no candidate was better: {newest.reason}"
        if newest.passed:
            why = f"version {newest.candidate_version}, which is better, is not approved"
        return f"Version {version} is no better than chance, and {why}"


def _newest(history: Sequence[VersionPerformance], version: int) -> VersionPerformance | None:
    """The newest measured month of a version; None where it was never measured."""
    own = [entry for entry in history if entry.version == version and entry.metrics is not None]
    return max(own, key=lambda entry: entry.as_of, default=None)


def _why_ended(
    subject: str, version: int | None, newest: VersionPerformance | None, ended: Sequence[str]
) -> str:
    name = f"V{subject[1:]}"
    if subject != f"version {version}":
        return f"{name} is no longer in production: version {version} is."
    if ended:
        return f"By the policy {subject} continues with missing values of {', '.join(ended)}."
    if newest is None:
        return f"Nothing asks {subject} to stand down any more."
    if newest is not None and newest.metrics is not None and newest.metrics.inverted:
        return f"The labels of {newest.as_of} may be inverted, so {subject} is not judged by them."
    return f"{name} is better than chance again on the newest matured labels."
