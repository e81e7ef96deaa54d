"""Performance as recorded, and when the model in production must stand down because of it."""

import datetime as dt
from typing import Any

from churn_platform.features.labels import turned_over
from churn_platform.ingestion.month_warnings import repetition_sentence
from churn_platform.ledger.acts import StandDownBegan, StandDownEnded
from churn_platform.ledger.state import stand_down_act
from churn_platform.monitoring.performance import measured, stand_down_reason
from churn_platform.services import Services


class PerformanceRecords:
    """What the runs of one home measured."""

    def __init__(self, home: Services) -> None:
        self.home = home

    def all(self) -> list[dict[str, Any]]:
        """Every performance record of every version and month, oldest run first."""
        return [
            entry
            for month in self.home.records.months("performance")
            for entry in self.measured_by(month)
        ]

    def measured_by(self, as_of: dt.date) -> list[dict[str, Any]]:
        """The performance records that the run of a month made."""
        record = self.home.records.read("performance", as_of) or {}
        return [self._without_old_doubt(entry) for entry in record.get("evaluated", ())]

    def _without_old_doubt(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The entry without its warning of repeated data once its month repeats no other month."""
        if "warning" not in entry:
            return entry
        repeated = repetition_sentence(
            self.home.lake.compared(dt.date.fromisoformat(entry["as_of"]))
        )
        if repeated:
            return entry
        return {name: value for name, value in entry.items() if name != "warning"}

    def answered(self) -> list[dict[str, Any]]:
        """What the API answered and what that was worth, as the newest run saw it."""
        record = self.home.records.newest("performance")
        if record is None:
            return []
        return list(record.get("answered", []))

    def stand_down(self) -> str | None:
        """Why the model in production must stand down; None if it need not, or without one."""
        pointer = self.home.releases.pointer()
        if pointer is None:
            return None
        records = self.all()
        churners = self.home.contract.policy.promotion.min_holdout_churners
        decisions = self.home.decisions.all()
        reason = stand_down_reason(records, pointer.version, churners)
        # A quarter of the customers may be too few to tell from chance what all of them show to
        # be better.
        if not measured(records, pointer.version) and decisions:
            newest = decisions[-1]
            if newest.stand_down and newest.production_version == pointer.version:
                better = f"version {newest.candidate_version}, which is better, is not approved"
                if newest.passed:
                    why = better
                else:
                    why = f"no candidate was better: {newest.reason}"
                return f"Version {pointer.version} is no better than chance, and {why}"
        return reason


def record_stand_down(home: Services) -> None:
    """After scoring or measuring: write a receipt when production began or ended to stand down,
    once each.
    """
    pointer = home.releases.pointer()
    reason = PerformanceRecords(home).stand_down()
    states = [
        r for r in home.ledger.receipts() if r.act in ("stand-down began", "stand-down ended")
    ]
    last = states[-1] if states else None
    version = None if pointer is None else pointer.version
    act = stand_down_act(last, version, reason)
    if act is None:
        return
    # Ended also where another version took over: the receipt is about the one that stood down.
    if act == "stand-down ended" and last is not None:
        subject = last.subject
    else:
        subject = f"version {version}"
    measured = _measured(home, version)
    recorded = {"stand-down began": StandDownBegan, "stand-down ended": StandDownEnded}
    home.ledger.append(
        recorded[act](
            subject=subject,
            reason=reason or _ended(subject, version, measured),
            version=version,
            performance=measured,
        )
    )


def _ended(subject: str, version: int | None, measured: dict[str, Any] | None) -> str:
    if subject != f"version {version}":
        return f"V{subject[1:]} is no longer in production: version {version} is."
    if measured is not None and turned_over(*measured["interval"]):
        return (
            f"The labels of {measured['as_of']} may be inverted, so {subject} is not judged by"
            " them."
        )
    return f"V{subject[1:]} is better than chance again on the newest matured labels."


def _measured(home: Services, version: int | None) -> dict[str, Any] | None:
    """The newest realised performance of the version in production: its AUC with the interval."""
    own = [
        entry
        for entry in PerformanceRecords(home).all()
        if entry["version"] == version and entry["metrics"]
    ]
    if not own:
        return None
    newest = max(own, key=lambda entry: str(entry["as_of"]))
    return {
        "as_of": newest["as_of"],
        "auc": newest["metrics"]["auc"],
        "interval": newest["metrics"]["auc_interval"],
    }
