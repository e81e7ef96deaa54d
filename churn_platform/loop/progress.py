"""How far a home has come: the state of every month and what the loop does next, read from the
files alone.
"""

import contextlib
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from churn_platform.base.errors import StoreDown
from churn_platform.base.home import Home
from churn_platform.base.provenance import provenance
from churn_platform.contacts.labels import CorrectedLabels
from churn_platform.contract.model import Contract
from churn_platform.experiments.state import ExperimentState
from churn_platform.features.online.address import OnlineAddress
from churn_platform.features.online.reader import read_month
from churn_platform.ingestion.drop import Drop, FileDigests, find_drops
from churn_platform.ingestion.month_warnings import bare_reason
from churn_platform.lake.contract_history import lacking_columns
from churn_platform.lake.records import OF_CONTACTS, OF_EVERY_MONTH, Records
from churn_platform.lake.window import Months, Window
from churn_platform.ledger.acts import RetrainingRequested, RetrainingSkipped
from churn_platform.ledger.receipts import Act
from churn_platform.ledger.store import LedgerStore
from churn_platform.loop.next_step import MonthState, Step, next_step
from churn_platform.loop.retraining import (
    ManualRequest,
    ProductionModel,
    RetrainingAnswer,
    RetrainingInputs,
    should_retrain,
    training_key,
)
from churn_platform.monitoring.drift import drift_record
from churn_platform.monitoring.stand_down import PerformanceHistory
from churn_platform.promotion.decision import Decision, Trigger
from churn_platform.scoring.scoring import scores_record, why_arms_outdated
from churn_platform.training.entry_point import estimator_sources
from churn_platform.training.release import IMPORTED, ReleaseManifest
from churn_platform.training.releases import Releases
from churn_platform.training.version_contracts import VersionContracts

ANSWERS: tuple[Act, ...] = ("retraining requested", "retraining skipped")


class Progress(Months):
    """The state of one home at one moment; make a new one after every step."""

    def __init__(
        self,
        home: Home,
        contract: Contract,
        labels: CorrectedLabels,
        records: Records,
        releases: Releases,
        ledger: LedgerStore,
        performance: PerformanceHistory,
        version_contracts: VersionContracts,
        *,
        drop_digests: FileDigests,
        online: OnlineAddress,
        decisions: Sequence[Decision],
        unfinished: Trigger | None,
    ) -> None:
        super().__init__(labels.lake, contract, labels.classes)
        self._home = home
        self._records = records
        self._releases = releases
        self._ledger = ledger
        self._performance = performance
        self._version_contracts = version_contracts
        self._drop_digests = drop_digests
        self._online = online
        self.decisions = decisions
        self._unfinished = unfinished

    def refused_training(self, as_of: dt.date) -> str | None:
        """Why this code could not train on the month's dataset under this policy; None when it
        was not tried.
        """
        record = self._records.read("training_dataset", as_of)
        if record is None:
            return None
        tried = {
            **training_key(
                str(record["digest"]), self.contract.policy_hash, estimator_sources(self.contract)
            ),
            **provenance(),
        }
        for receipt in reversed(self._ledger.receipts("training refused")):
            if tried.items() <= receipt.evidence.items():
                return bare_reason(receipt.reason)
        return None

    def months(self) -> list[MonthState]:
        """Every month that has a drop or a snapshot, oldest first."""
        found = find_drops(self._home.drops, self.contract, self._drop_digests)
        drops = {drop.as_of: drop for drop in found}
        return [self._state(as_of, drops.get(as_of)) for as_of in sorted({*drops, *self.published})]

    def next_step(self) -> Step | None:
        """What the loop does next."""
        months = self.months()
        newest = max((month.as_of for month in months if month.processed), default=None)
        answer = None
        if newest is not None and self._up_to_date(newest):
            answer = self.retraining(newest)
        # With a newer month published, that one is scored when it is processed; the older list
        # stays as it was.
        stale = ""
        if newest is not None and newest == self.published[-1]:
            stale = self._why_stale(newest)
        return next_step(months, answer, unfinished=self._unfinished, stale_scores=stale)

    def stale_list(self) -> Step | None:
        """The scoring of the newest month, where its list must be made again and nothing of it
        must be processed before, whatever else is due.
        """
        newest = next((month for month in self.months()[::-1] if month.published), None)
        if newest is None or newest.due or not newest.processed:
            return None
        reason = self._why_stale(newest.as_of)
        if not reason:
            return None
        return Step("scores", newest.as_of, reason, newest.key)

    def retraining(self, as_of: dt.date) -> RetrainingAnswer:
        """The retraining policy's answer for a processed month."""
        return should_retrain(self.contract, self._retraining_inputs(as_of))

    def record_retraining(self) -> None:
        """Write the policy's answer for the newest processed month to the ledger, once for each
        piece of evidence.
        """
        processed = [month.as_of for month in self.months() if month.processed]
        if not processed:
            return
        answer = self.retraining(processed[-1])
        receipts = self._ledger.receipts()
        if answer.key in {r.evidence.get("key") for r in receipts if r.act in ANSWERS}:
            return
        act = RetrainingRequested if answer.retrain else RetrainingSkipped
        self._ledger.append(
            act(
                month=processed[-1],
                reason=answer.reason,
                key=answer.key,
                trigger=answer.trigger,
                fallen=answer.fallen,
            )
        )

    def _state(self, as_of: dt.date, drop: Drop | None) -> MonthState:
        published = None
        if as_of in self.published:
            published = self.lake.fingerprint(as_of)
        compared = "snapshot"
        inputs = None
        absent = ""
        # Labels and corrections of older months are news for the newest month alone: it is what
        # is trained on next.
        if self.published and as_of == self.published[-1]:
            compared = "inputs"
            inputs = self.inputs(as_of)
            absent = self._absent_from(as_of)
        elif published:
            inputs = self.lake.digest(as_of)
        kinds = [*OF_EVERY_MONTH]
        if compared == "inputs" and self.contract.at(as_of).contacts is not None:
            kinds += OF_CONTACTS
        records = [self._records.read(kind, as_of) for kind in kinds]
        processed = bool(published) and not absent
        processed = processed and all(
            record is not None and record[compared] == inputs for record in records
        )
        fingerprint = None
        settled = True
        if drop is not None:
            settled = drop.settled(self._home.now(), self._home.settings.quiet_seconds)
            # Files that are still uploaded would be hashed on each tick.
            fingerprint = drop.fingerprint_as(published) if settled else drop.by_times
        return MonthState(as_of, fingerprint, settled, published, processed, inputs, absent)

    def _absent_from(self, newest: dt.date) -> str:
        """The online store that does not have the newest month yet: it is another store than
        before, or lost its rows.
        """
        wanted = self._online.url
        with contextlib.suppress(StoreDown):
            month = read_month(self._home.folder / "feast")
            if month.store == wanted and month.as_of >= newest:
                return ""
        return wanted or "SQLite"

    def _up_to_date(self, as_of: dt.date) -> bool:
        """Whether the month's training dataset was made from its inputs as they now are.

        It was not when labels of an older month came while a newer one is published: the newer
        one is trained on next.
        """
        record = self._records.read("training_dataset", as_of)
        return record is not None and record["inputs"] == self.inputs(as_of)

    def _why_stale(self, as_of: dt.date) -> str:
        """Why the month's list must be made again; empty when it need not."""
        production = self._releases.production()
        record = scores_record(self._records, as_of)
        if production is None or record is None or self._version_contracts.why_not_scored():
            return ""
        contract = self._version_contracts.of(self._releases.card(production.version))
        if record.version != production.version:
            return "The newest month was not scored by the model in production."
        running = ExperimentState.from_receipts(self._ledger.receipts()).running
        if why_arms_outdated(record, running.canary):
            return "The newest month was not scored with the present arms of the canary."
        plan = self._records.read("contact_plan", as_of) or {}
        if plan.get("waiting"):
            return "Contacts of the newest month are not planned yet."
        tried = running.scoring() or plan.get("test")
        if tried and self._records.read("experiments", as_of) is None:
            return "The experiments of the newest month are not measured yet."
        same_list = record.list_hash in (None, contract.list_hash)
        if same_list or lacking_columns(self.lake):
            return ""
        return (
            "Costs or list settings in the contract have changed since the newest month was scored."
        )

    def _retraining_inputs(self, as_of: dt.date) -> RetrainingInputs:
        production = self._releases.production()
        window = self.window(as_of)
        ended: tuple[str, ...] = ()
        redefined = False
        if production is not None and self.contract.boundaries:
            card = self._releases.card(production.version)
            ended = self._version_contracts.ended(card, as_of)
            if window is not None and not self._version_contracts.why_not(card):
                redefined = not self._version_contracts.predicts(card, window.training[-1])
        return RetrainingInputs.gather(
            as_of,
            self.inputs(as_of),
            window=window,
            left_out=self.left_out(as_of),
            production=None if production is None else in_production(production),
            drift_alarms=drift_record(self._records, as_of).alarms,
            performance=self._performance.all(),
            decisions=self.decisions,
            refused=self.refused_training(as_of),
            request=ManualRequest.open_in(self._ledger.state()),
            ended=ended,
            redefined=redefined,
            added=self._added(as_of, production, window),
        )

    def _added(
        self, as_of: dt.date, production: ReleaseManifest | None, window: Window | None
    ) -> tuple[str, ...]:
        """The features that a candidate would learn from and production does not read."""
        if production is None or window is None:
            return ()
        contract = self._version_contracts.of_candidate(
            as_of, self.matured(as_of), window.training[-1]
        )
        read = {feature.name for feature in production.features}
        return tuple(feature for feature in contract.features if feature not in read)


def in_production(manifest: ReleaseManifest) -> ProductionModel:
    """What the retraining policy reads of the release in production."""
    if manifest.algorithm == IMPORTED:
        months = manifest.training_months
        return ProductionModel(
            version=manifest.version,
            as_of=dt.date.fromisoformat(months[-1]) if months else None,
            auc_interval=None,
            imported=True,
        )
    return ProductionModel(
        version=manifest.version,
        as_of=dt.date.fromisoformat(manifest.training_as_of),
        auc_interval=auc_interval(manifest.metrics),
        algorithm=manifest.algorithm,
    )


def auc_interval(metrics: Mapping[str, Any]) -> tuple[float, float]:
    """The interval of the AUC in a release's metrics."""
    low, high = metrics["auc_interval"]
    return float(low), float(high)
