"""Collects the warnings of a month from its records, and records them in the ledger."""

import datetime as dt
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass

from churn_platform.base.errors import StoreDown
from churn_platform.contract.model import Contract
from churn_platform.ingestion.comparing import comparison_warnings
from churn_platform.ingestion.month_warnings import (
    RAISED,
    MonthWarning,
    listed,
    of_checks,
    of_decision,
    of_drift,
    of_estimate,
    of_label_count,
    of_labels,
    of_performance,
    of_quarantine,
    of_scores,
    recorded,
)
from churn_platform.lake.deliveries import quarantined_in
from churn_platform.lake.keys import label_count
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Records
from churn_platform.ledger.acts import WarningsCleared, WarningsRaised
from churn_platform.ledger.store import LedgerStore
from churn_platform.loop.progress import Progress
from churn_platform.monitoring.estimate_history import EstimateHistory
from churn_platform.monitoring.stand_down import PerformanceHistory
from churn_platform.training.releases import Releases


@dataclass(frozen=True)
class MonthWarnings:
    """The warnings of one home's months."""

    contract: Contract
    lake: Lake
    records: Records
    releases: Releases
    ledger: LedgerStore
    history: PerformanceHistory
    progress: Callable[[], Progress]

    def of(self, as_of: dt.date, progress: Progress | None = None) -> list[MonthWarning]:
        """Every warning of a published month, from its manifest and records as they are now."""
        progress = progress or self.progress()
        training = self.records.read("training_dataset", as_of) or {}
        return [
            *comparison_warnings(self.lake, as_of, self.lake.compared(as_of)),
            *of_quarantine(quarantined_in(self.lake.quarantines(as_of))),
            *self._of_label_count(as_of),
            *of_labels(training.get("labels")),
            *of_checks(training.get("failed_checks", {})),
            *self._of_drift(as_of, progress),
            *of_performance(entry.as_json() for entry in self.history.measured_by(as_of)),
            *self._of_estimate(as_of),
            *of_scores(self.records.read("scores", as_of)),
            *self._of_decision(as_of, progress),
        ]

    def of_months(self, months: Collection[dt.date] = ()) -> list[dict[str, str]]:
        """The warnings of these months and of the newest published one as JSON values."""
        progress = self.progress()
        wanted = sorted({*months, *progress.published[-1:]} & set(progress.published))
        return [
            one for month in wanted for one in listed(month.isoformat(), self.of(month, progress))
        ]

    def record(self, as_of: dt.date) -> list[MonthWarning]:
        """Write a receipt if the month's warnings have changed; alerts follow from it."""
        found = self.of(as_of)
        if sorted(found) == sorted(self._recorded(as_of)):
            return found
        sentences = " ".join(warning.sentence for warning in found)
        act = WarningsRaised if found else WarningsCleared
        self.ledger.append(
            act(
                month=as_of,
                reason=sentences[:2000] or "The warnings recorded before no longer hold.",
                warnings=[asdict(warning) for warning in found],
                snapshot=self.lake.digest(as_of),
            )
        )
        return found

    def _of_label_count(self, as_of: dt.date) -> list[MonthWarning]:
        if not self.lake.has_labels(as_of):
            return []
        try:
            count = label_count(self.lake, as_of)
        except StoreDown:  # the place of the lake: what was found when the month was read stands
            return [one for one in self._recorded(as_of) if one.code == "LABELS_PARTIAL"]
        return of_label_count(count, self.contract.policy.ingestion)

    def _recorded(self, as_of: dt.date) -> list[MonthWarning]:
        """The warnings of a month as the ledger last recorded them."""
        month = as_of.isoformat()
        newest_first = reversed(self.ledger.receipts())
        own = (one for one in newest_first if one.act in RAISED and one.subject == month)
        return recorded(next(own, None))

    def _of_estimate(self, as_of: dt.date) -> list[MonthWarning]:
        """Until the labels are there: then the realised figure counts."""
        if self.lake.has_labels(as_of):
            return []
        shown = EstimateHistory(self.records).newest(as_of)
        if shown is None or shown.as_of != as_of.isoformat():
            return []
        return of_estimate(shown.as_json())

    def _of_drift(self, as_of: dt.date, progress: Progress) -> list[MonthWarning]:
        record = self.records.read("drift_report", as_of)
        pointer = self.releases.pointer()
        if record is None or record["result"] is None or pointer is None:
            return []
        if pointer.version != record["production_version"]:
            return []
        answer = progress.retraining(as_of)
        refused = progress.refused_training(as_of)
        why_not = ""  # a candidate was or will be trained
        if not answer.retrain and refused is not None:
            why_not = refused
        elif not answer.retrain and not self._requested(as_of):
            why_not = answer.reason
        labelled = as_of in progress.matured(as_of)
        return of_drift(record, labelled=labelled, why_not=why_not)

    def _requested(self, as_of: dt.date) -> bool:
        """Whether a retraining was requested on the evidence of a month."""
        return any(
            receipt.subject == as_of.isoformat()
            for receipt in self.ledger.receipts("retraining requested")
        )

    def _of_decision(self, as_of: dt.date, progress: Progress) -> list[MonthWarning]:
        """Of the decision on the month's training dataset, made while the month was the newest."""
        window = progress.window(as_of)
        if not progress.decisions or not self._requested(as_of) or window is None:
            return []
        newest = progress.decisions[-1]
        if newest.as_of != window.training[-1].isoformat():
            return []
        dataset = (self.records.read("training_dataset", as_of) or {}).get("digest")
        # The decision does not warn of labels that were corrected since.
        if newest.evidence.get("dataset") != dataset:
            return []
        record = newest.model_dump(mode="json")
        approval = self.ledger.state().answers(newest.digest).approval
        answered = approval is not None and approval.state in ("approved", "rejected")
        return of_decision(record, answered=answered)
