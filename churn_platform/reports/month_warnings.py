"""Collects the warnings of a month from its records, whoever found them, and records them in
the ledger.
"""

import datetime as dt
from collections.abc import Collection
from typing import Any

from churn_platform.base.digests import digest_of
from churn_platform.ingestion.comparing import comparison_warnings
from churn_platform.ingestion.month_warnings import (
    RAISED,
    MonthWarning,
    of_checks,
    of_decision,
    of_drift,
    of_label_count,
    of_labels,
    of_performance,
    of_quarantine,
    of_scores,
    recorded,
    same_warnings,
)
from churn_platform.lake.deliveries import quarantined_in
from churn_platform.ledger.acts import WarningsCleared, WarningsRaised
from churn_platform.ledger.receipts import Receipt
from churn_platform.loop.progress import Progress
from churn_platform.promotion.decision import Decision
from churn_platform.services import Services


def warnings_of(
    home: Services, as_of: dt.date, progress: Progress | None = None
) -> list[MonthWarning]:
    """Every warning of a published month, from the manifest and the records as they now are."""
    progress = progress or home.progress()
    training = home.records.read("training_dataset", as_of) or {}
    return [
        *comparison_warnings(home.lake, as_of, home.lake.compared(as_of)),
        *of_quarantine(quarantined_in(home.lake.quarantines(as_of))),
        *_of_label_count(home, as_of),
        *of_labels(training.get("labels")),
        *of_checks(training.get("failed_checks", {})),
        *_of_drift(home, as_of, progress),
        *of_performance(entry.as_json() for entry in home.performance_history.measured_by(as_of)),
        *of_scores(home.records.read("scores", as_of)),
        *_of_decision(home, as_of, progress),
    ]


def warnings_of_months(home: Services, months: Collection[dt.date] = ()) -> list[dict[str, str]]:
    """The warnings of these months and of the newest published one as plain JSON values, oldest
    month first.
    """
    progress = home.progress()
    wanted = sorted({*months, *progress.published[-1:]} & set(progress.published))
    return [one for month in wanted for one in listed(month, warnings_of(home, month, progress))]


def listed(as_of: dt.date, warnings: list[MonthWarning]) -> list[dict[str, str]]:
    """The warnings of a month as plain JSON values, each with its month."""
    return [{"as_of": as_of.isoformat(), **warning.as_dict()} for warning in warnings]


def record_warnings(home: Services, as_of: dt.date) -> list[MonthWarning]:
    """Write a receipt when the month's warnings are others than those last recorded, so alerts
    follow.
    """
    found = warnings_of(home, as_of)
    values: list[Any] = [warning.as_dict() for warning in found]
    last = last_receipt(home.ledger.receipts(), as_of)
    if same_warnings(values, recorded(last)):
        return found
    sentences = " ".join(warning.sentence for warning in found)
    act = WarningsRaised if found else WarningsCleared
    home.ledger.append(
        act(
            month=as_of,
            reason=sentences[:2000] or "The warnings recorded before no longer hold.",
            warnings=values,
            snapshot=home.lake.digest(as_of),
        )
    )
    return found


def last_receipt(receipts: list[Receipt], as_of: dt.date) -> Receipt | None:
    """The newest receipt of a month's warnings; None when it never had one."""
    found = [r for r in receipts if r.act in RAISED and r.subject == as_of.isoformat()]
    if found:
        return found[-1]
    return None


def _of_label_count(home: Services, as_of: dt.date) -> list[MonthWarning]:
    if not home.lake.has_labels(as_of):
        return []
    return of_label_count(home.lake.label_count(as_of), home.contract.policy.ingestion)


def _of_drift(home: Services, as_of: dt.date, progress: Progress) -> list[MonthWarning]:
    record = home.records.read("drift_report", as_of)
    pointer = home.releases.pointer()
    if (
        record is None
        or record["result"] is None
        or pointer is None
        or pointer.version != record["production_version"]
    ):
        return []  # what an earlier version drifted from is no news of the one in production
    return of_drift(
        record,
        labelled=as_of in progress.matured(as_of),
        why_not=_why_not_trained(home, as_of, progress),
    )


def _why_not_trained(home: Services, as_of: dt.date, progress: Progress) -> str:
    """Why no candidate answers the month; empty where one was or will be made."""
    answer = progress.retraining(as_of)
    if answer.retrain:
        return ""
    refused = progress.refused_training(as_of)
    if refused is not None:
        return refused
    if _requested(home, as_of):
        return ""
    return answer.reason


def _requested(home: Services, as_of: dt.date) -> bool:
    """Whether a retraining was requested on the evidence of a month."""
    return any(
        receipt.subject == as_of.isoformat()
        for receipt in home.ledger.receipts("retraining requested")
    )


def _of_decision(home: Services, as_of: dt.date, progress: Progress) -> list[MonthWarning]:
    decision = _decision(home, as_of, progress)
    if decision is None:
        return []
    record = decision.model_dump(mode="json")
    approval = home.ledger.state().answers(digest_of(record))["approval"]
    return of_decision(
        record, answered=approval is not None and approval["state"] in ("approved", "rejected")
    )


def _decision(home: Services, as_of: dt.date, progress: Progress) -> Decision | None:
    """The decision on the month's training dataset as it is now, made while the month was the
    newest one.
    """
    if not progress.decisions or not _requested(home, as_of):
        return None
    window = progress.window(as_of)
    newest = progress.decisions[-1]
    if window is None or newest.as_of != window.training[-1].isoformat():
        return None
    dataset = (home.records.read("training_dataset", as_of) or {}).get("digest")
    # Labels that were corrected since are not what the decision warns of.
    if newest.evidence.get("dataset") == dataset:
        return newest
    return None
