"""How far a home has come: the state of every month and what the loop does next, read from the files alone.

Belongs here: reading records, releases and ledger into the core's values. Does not: the rules (`core/loop.py`,
`core/retraining.py`).
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from churn_platform.adapters.drops.reader import Drop, find_drops
from churn_platform.adapters.home import Home
from churn_platform.adapters.ledger.provenance import provenance
from churn_platform.adapters.online.reader import read_month
from churn_platform.adapters.records import KINDS
from churn_platform.core.digest import digest_of
from churn_platform.core.ledger import Act
from churn_platform.core.loop import MonthState, Step, next_step
from churn_platform.core.month_warnings import repetition_sentence
from churn_platform.core.moves import carried_out
from churn_platform.core.performance import measured, stand_down_reason
from churn_platform.core.promotion import Decision, Trigger
from churn_platform.core.refused_training import bare_reason
from churn_platform.core.release import why_not_scored
from churn_platform.core.retraining import Signals, Verdict, open_request, should_retrain, training_key
from churn_platform.core.window import Classes, Window, choose_window, matured_months
from churn_platform.errors import StoreDown

VERDICTS: tuple[Act, ...] = ("retraining requested", "retraining skipped")
OUTCOMES: tuple[Act, ...] = ("promotion done", "production kept", "approval requested")
"""What ends the loop's work on a decision; an approval that is asked for is a person's work."""


class Progress:
    """The state of one home at one moment; make a new one after every step."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.published = home.lake.months()
        self.labelled = home.lake.labelled()
        self.decisions = [Decision.model_validate(record) for record in home.records.decisions()]

    def window(self, as_of: dt.date) -> Window | None:
        """The months a candidate of this month is made from; None while no labels have matured."""
        return choose_window(self._classes(as_of), self.home.contract.policy)

    def left_out(self, as_of: dt.date) -> dict[str, str]:
        """The matured months that no candidate of this month is made from, each with the sentence why."""
        found = {month: classes.why_not_trained(month) for month, classes in self._classes(as_of).items()}
        return {month.isoformat(): why for month, why in found.items() if why is not None}

    def _classes(self, as_of: dt.date) -> dict[dt.date, Classes]:
        return {month: self.home.lake.classes(month) for month in self.matured(as_of)}

    def matured(self, as_of: dt.date) -> list[dt.date]:
        """Months up to `as_of` whose labels have been delivered and had matured by the newest published month."""
        newest = self.published[-1] if self.published else as_of
        known = matured_months(self.published, self.labelled, self.home.contract, newest)
        return [month for month in known if month <= as_of]

    def inputs(self, as_of: dt.date) -> str:
        """Digest of every snapshot that the month's records are made from."""
        return inputs_digest({month: self.home.lake.digest(month) for month in self.input_months(as_of)})

    def input_months(self, as_of: dt.date) -> list[dt.date]:
        """The published months that the month's records are made from."""
        window = self.window(as_of)
        return [month for month in sorted({as_of, *(window.months if window else ())}) if month in self.published]

    def made_from(self, as_of: dt.date) -> dict[str, str]:
        """What a record of the month was made from: its own snapshot, and all of its inputs."""
        return {"snapshot": self.home.lake.digest(as_of), "inputs": self.inputs(as_of)}

    def refused_training(self, as_of: dt.date) -> str | None:
        """Why this code could not train on the month's dataset under this policy; None when it was not tried."""
        record = self.home.records.read("training_dataset", as_of)
        if record is None:
            return None
        tried = {**training_key(str(record["digest"]), self.home.contract.policy_hash), **provenance()}
        refused = self.home.ledger.receipts("training refused")
        return next((bare_reason(r.reason) for r in reversed(refused) if tried.items() <= r.evidence.items()), None)

    def _newer_left_out(self, as_of: dt.date, window: Window | None) -> tuple[str, ...]:
        newest = "" if window is None else window.training[-1].isoformat()
        return tuple(why for month, why in self.left_out(as_of).items() if month > newest)

    def months(self) -> list[MonthState]:
        """Every month that has a drop or a snapshot, oldest first."""
        drops = {drop.as_of: drop for drop in find_drops(self.home.drops, self.home.contract, self.home.drop_digests)}
        return [self._state(as_of, drops.get(as_of)) for as_of in sorted({*drops, *self.published})]

    def next_step(self) -> Step | None:
        """What the loop does next."""
        months = self.months()
        newest = max((month.as_of for month in months if month.processed), default=None)
        verdict = self.verdict(newest) if newest is not None and self._up_to_date(newest) else None
        # With a newer month published, that one is scored when it is processed; the older list stays as it was.
        stale = self._why_stale(newest) if newest is not None and newest == self.published[-1] else ""
        return next_step(months, verdict, unfinished=self.unfinished(), stale_scores=stale)

    def verdict(self, as_of: dt.date) -> Verdict:
        """The retraining policy's answer for a processed month."""
        return should_retrain(self.home.contract, self._signals(as_of))

    def record_verdict(self) -> None:
        """Write the policy's answer for the newest processed month to the ledger, once for each piece of evidence."""
        processed = [month.as_of for month in self.months() if month.processed]
        if not processed:
            return
        verdict = self.verdict(processed[-1])
        answered = {r.evidence.get("key") for act in VERDICTS for r in self.home.ledger.receipts(act)}
        if verdict.key not in answered:
            self.home.ledger.append(
                actor=self.home.settings.who,
                act="retraining requested" if verdict.retrain else "retraining skipped",
                subject=processed[-1].isoformat(),
                reason=verdict.reason,
                evidence={"key": verdict.key, "trigger": verdict.trigger, "fallen": verdict.fallen},
            )

    def unfinished(self) -> Trigger | None:
        """The newest decision's trigger when no receipt shows that it was carried out."""
        if not self.decisions:
            return None
        newest = self.decisions[-1]
        ended = digest_of(newest.model_dump(mode="json")) in carried_out(self.home.ledger.receipts(), OUTCOMES)
        return None if ended else newest.trigger

    def performance(self) -> list[dict[str, Any]]:
        """Every performance record of every version and month, oldest run first."""
        return [entry for month in self.home.records.months("performance") for entry in self.measured_by(month)]

    def measured_by(self, as_of: dt.date) -> list[dict[str, Any]]:
        """The performance records that the run of a month made."""
        record = self.home.records.read("performance", as_of) or {}
        return [self._without_old_doubt(entry) for entry in record.get("evaluated", ())]

    def _without_old_doubt(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The entry without its warning of repeated data once its month repeats no other month."""
        if "warning" not in entry:
            return entry
        repeated = repetition_sentence(self.home.lake.compared(dt.date.fromisoformat(entry["as_of"])))
        return entry if repeated else {name: value for name, value in entry.items() if name != "warning"}

    def answered(self) -> list[dict[str, Any]]:
        """What the API answered and what that was worth, as the newest run saw it."""
        record = self.home.records.newest("performance")
        return [] if record is None else record.get("answered", [])

    def stand_down(self) -> str | None:
        """Why the model in production must stand down; None if it need not, or without one."""
        pointer = self.home.releases.pointer()
        if pointer is None:
            return None
        records, churners = self.performance(), self.home.contract.policy.promotion.min_holdout_churners
        reason = stand_down_reason(records, pointer.version, churners)
        # A quarter of the customers may be too few to tell from chance what all of them show to be better.
        if not measured(records, pointer.version) and self.decisions:
            newest = self.decisions[-1]
            if newest.stand_down and newest.production_version == pointer.version:
                better = f"version {newest.candidate_version}, which is better, is not approved"
                why = better if newest.passed else f"no candidate was better: {newest.reason}"
                return f"Version {pointer.version} is no better than chance, and {why}"
        return reason

    def _state(self, as_of: dt.date, drop: Drop | None) -> MonthState:
        published = self.home.lake.fingerprint(as_of) if as_of in self.published else None
        inputs: str | None = None
        records: list[dict[str, Any] | None] = [None]
        # Labels and corrections of older months are news for the newest month alone: it is what is trained on next.
        what = "inputs" if self.published and as_of == self.published[-1] else "snapshot"
        if published:
            inputs = self.inputs(as_of) if what == "inputs" else self.home.lake.digest(as_of)
            records = [self.home.records.read(kind, as_of) for kind in KINDS]
        absent = self._absent_from(as_of) if what == "inputs" else ""
        processed = not absent and all(record is not None and record[what] == inputs for record in records)
        if drop is None:
            return MonthState(as_of, None, True, published, processed, inputs, absent)  # noqa: FBT003 - settled
        age = self.home.now().timestamp() - drop.last_change
        settled = drop.marked_complete or age >= self.home.settings.quiet_seconds
        return MonthState(as_of, drop.fingerprint_as(published), settled, published, processed, inputs, absent)

    def _absent_from(self, newest: dt.date) -> str:
        """The online store that has yet to get the newest month: it is another one than before, or lost its rows."""
        wanted = self.home.online.said
        try:
            month = read_month(self.home.folder / "feast")
        except StoreDown:
            return wanted or "SQLite"
        return "" if month.store == wanted and month.as_of >= newest else wanted or "SQLite"

    def _up_to_date(self, as_of: dt.date) -> bool:
        """Whether the month's training dataset is of its inputs as they now are.

        Not so when labels of an older month came while a newer one is published: that one is to be trained on.
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
        if record.get("list_hash", contract.list_hash) == contract.list_hash or self.home.lake.behind():
            return ""
        return "Descriptions, costs or list settings in the contract have changed since the newest month was scored."

    def _signals(self, as_of: dt.date) -> Signals:
        production = self.home.releases.production()
        drift = self.home.records.read("drift_report", as_of) or {}
        window = self.window(as_of)
        own = [r for r in self.performance() if production is not None and r["version"] == production.version]
        newer = [r for r in own if production is not None and r["as_of"] > production.training_as_of]
        return Signals(
            as_of=as_of,
            labelled=window.training[-1] if window else None,
            snapshot_digest=self.inputs(as_of),
            production_version=None if production is None else production.version,
            production_as_of=None if production is None else dt.date.fromisoformat(production.training_as_of),
            promoted_interval=None if production is None else auc_interval(production.metrics),
            drift_alarms=tuple(drift.get("alarms", ())),
            realised=max(newer, key=lambda record: str(record["as_of"]), default=None),
            last_decision=dt.date.fromisoformat(self.decisions[-1].as_of) if self.decisions else None,
            left_out=self._newer_left_out(as_of, window),
            refused=self.refused_training(as_of),
            asked=open_request(self.home.ledger.receipts()),
        )


def inputs_digest(snapshots: Mapping[dt.date, str]) -> str:
    """Digest of the snapshots that records are made from: month -> digest of its snapshot."""
    return digest_of({month.isoformat(): digest for month, digest in snapshots.items()})


def auc_interval(metrics: Mapping[str, Any]) -> tuple[float, float]:
    """The interval of the AUC in a release's metrics."""
    low, high = metrics["auc_interval"]
    return float(low), float(high)
