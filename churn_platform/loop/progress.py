"""How far a home has come: the state of every month and what the loop does next, read from the
files alone.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from churn_platform.base.errors import StoreDown
from churn_platform.base.provenance import provenance
from churn_platform.features.online.reader import read_month
from churn_platform.ingestion.drop import Drop, find_drops
from churn_platform.ingestion.month_warnings import bare_reason
from churn_platform.lake.records import KINDS
from churn_platform.lake.window import Months, Window
from churn_platform.ledger.acts import RetrainingRequested, RetrainingSkipped
from churn_platform.ledger.receipts import Act
from churn_platform.loop.next_step import MonthState, Step, next_step
from churn_platform.loop.retraining import (
    Signals,
    Verdict,
    open_request,
    should_retrain,
    training_key,
)
from churn_platform.monitoring.stand_down import PerformanceRecords
from churn_platform.services import Services
from churn_platform.training.release import why_not_scored

VERDICTS: tuple[Act, ...] = ("retraining requested", "retraining skipped")


class Progress(Months):
    """The state of one home at one moment; make a new one after every step."""

    def __init__(self, home: Services) -> None:
        super().__init__(home.lake, home.contract)
        self.home = home
        self.decisions = home.decisions.all()
        self.measured = PerformanceRecords(home)

    def refused_training(self, as_of: dt.date) -> str | None:
        """Why this code could not train on the month's dataset under this policy; None when it
        was not tried.
        """
        record = self.home.records.read("training_dataset", as_of)
        if record is None:
            return None
        tried = {
            **training_key(str(record["digest"]), self.home.contract.policy_hash),
            **provenance(),
        }
        refused = self.home.ledger.receipts("training refused")
        return next(
            (
                bare_reason(r.reason)
                for r in reversed(refused)
                if tried.items() <= r.evidence.items()
            ),
            None,
        )

    def _newer_left_out(self, as_of: dt.date, window: Window | None) -> tuple[str, ...]:
        newest = "" if window is None else window.training[-1].isoformat()
        return tuple(why for month, why in self.left_out(as_of).items() if month > newest)

    def months(self) -> list[MonthState]:
        """Every month that has a drop or a snapshot, oldest first."""
        drops = {
            drop.as_of: drop
            for drop in find_drops(self.home.drops, self.home.contract, self.home.drop_digests)
        }
        return [self._state(as_of, drops.get(as_of)) for as_of in sorted({*drops, *self.published})]

    def next_step(self) -> Step | None:
        """What the loop does next."""
        months = self.months()
        newest = max((month.as_of for month in months if month.processed), default=None)
        if newest is not None and self._up_to_date(newest):
            verdict = self.verdict(newest)
        else:
            verdict = None
        # With a newer month published, that one is scored when it is processed; the older list
        # stays as it was.
        if newest is not None and newest == self.published[-1]:
            stale = self._why_stale(newest)
        else:
            stale = ""
        return next_step(
            months, verdict, unfinished=self.home.decisions.unfinished(), stale_scores=stale
        )

    def verdict(self, as_of: dt.date) -> Verdict:
        """The retraining policy's answer for a processed month."""
        return should_retrain(self.home.contract, self._signals(as_of))

    def record_verdict(self) -> None:
        """Write the policy's answer for the newest processed month to the ledger, once for each
        piece of evidence.
        """
        processed = [month.as_of for month in self.months() if month.processed]
        if not processed:
            return
        verdict = self.verdict(processed[-1])
        answered = {
            r.evidence.get("key") for act in VERDICTS for r in self.home.ledger.receipts(act)
        }
        if verdict.key not in answered:
            answer = RetrainingRequested if verdict.retrain else RetrainingSkipped
            self.home.ledger.append(
                answer(
                    month=processed[-1],
                    reason=verdict.reason,
                    key=verdict.key,
                    trigger=verdict.trigger,
                    fallen=verdict.fallen,
                )
            )

    def _state(self, as_of: dt.date, drop: Drop | None) -> MonthState:
        if as_of in self.published:
            published = self.home.lake.fingerprint(as_of)
        else:
            published = None
        inputs: str | None = None
        records: list[dict[str, Any] | None] = [None]
        # Labels and corrections of older months are news for the newest month alone: it is what
        # is trained on next.
        if self.published and as_of == self.published[-1]:
            what = "inputs"
        else:
            what = "snapshot"
        if published:
            if what == "inputs":
                inputs = self.inputs(as_of)
            else:
                inputs = self.home.lake.digest(as_of)
            records = [self.home.records.read(kind, as_of) for kind in KINDS]
        absent = self._absent_from(as_of) if what == "inputs" else ""
        processed = not absent and all(
            record is not None and record[what] == inputs for record in records
        )
        if drop is None:
            return MonthState(as_of, None, True, published, processed, inputs, absent)  # noqa: FBT003 - settled
        settled = drop.settled(self.home.now(), self.home.settings.quiet_seconds)
        # Files that are still uploaded would be hashed on each tick.
        if settled:
            fingerprint = drop.fingerprint_as(published)
        else:
            fingerprint = drop.by_times
        return MonthState(as_of, fingerprint, settled, published, processed, inputs, absent)

    def _absent_from(self, newest: dt.date) -> str:
        """The online store that has yet to get the newest month: it is another one than before,
        or lost its rows.
        """
        wanted = self.home.online.said
        try:
            month = read_month(self.home.folder / "feast")
        except StoreDown:
            return wanted or "SQLite"
        if month.store == wanted and month.as_of >= newest:
            return ""
        return wanted or "SQLite"

    def _up_to_date(self, as_of: dt.date) -> bool:
        """Whether the month's training dataset is of its inputs as they now are.

        Not so when labels of an older month came while a newer one is published: that one is to
        be trained on.
        """
        record = self.home.records.read("training_dataset", as_of)
        return record is not None and record["inputs"] == self.inputs(as_of)

    def _why_stale(self, as_of: dt.date) -> str:
        """Why the month's list must be made again; empty when it need not."""
        production = self.home.releases.production()
        record = self.home.records.read("scores", as_of)
        contract = self.home.contract
        if production is None or record is None or why_not_scored(production, contract.model_hash):
            return ""
        if record["version"] != production.version:
            return "The newest month was not scored by the model in production."
        if (
            record.get("list_hash", contract.list_hash) == contract.list_hash
            or self.home.lake.behind()
        ):
            return ""
        return (
            "Descriptions, costs or list settings in the contract have changed since the newest"
            " month was scored."
        )

    def _signals(self, as_of: dt.date) -> Signals:
        production = self.home.releases.production()
        drift = self.home.records.read("drift_report", as_of) or {}
        window = self.window(as_of)
        own = [
            r
            for r in self.measured.all()
            if production is not None and r["version"] == production.version
        ]
        newer = [
            r for r in own if production is not None and r["as_of"] > production.training_as_of
        ]
        return Signals(
            as_of=as_of,
            labelled=window.training[-1] if window else None,
            snapshot_digest=self.inputs(as_of),
            production_version=None if production is None else production.version,
            production_as_of=(
                None if production is None else dt.date.fromisoformat(production.training_as_of)
            ),
            promoted_interval=None if production is None else auc_interval(production.metrics),
            drift_alarms=tuple(drift.get("alarms", ())),
            realised=max(newer, key=lambda record: str(record["as_of"]), default=None),
            last_decision=(
                dt.date.fromisoformat(self.decisions[-1].as_of) if self.decisions else None
            ),
            left_out=self._newer_left_out(as_of, window),
            algorithm=None if production is None else production.algorithm,
            refused=self.refused_training(as_of),
            asked=open_request(self.home.ledger.receipts()),
        )


def auc_interval(metrics: Mapping[str, Any]) -> tuple[float, float]:
    """The interval of the AUC in a release's metrics."""
    low, high = metrics["auc_interval"]
    return float(low), float(high)
