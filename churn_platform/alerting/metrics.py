"""A home as Prometheus metrics: each part of it is one source, read from its files."""

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from churn_platform.alerting.alerts import Alerts
from churn_platform.alerting.record_metrics import (
    contacts_metrics,
    drift_metrics,
    estimate_metrics,
    experiment_metrics,
    gauge,
    performance_metrics,
    stamp,
)
from churn_platform.audit.checks import CheckResult
from churn_platform.base.errors import StoreDown
from churn_platform.base.files import read_json
from churn_platform.contacts.campaign import CampaignRecord
from churn_platform.contacts.effect import EffectState
from churn_platform.contract.model import Contract
from churn_platform.experiments.files import read_running
from churn_platform.ingestion.month_warnings import recorded
from churn_platform.lake.lake import Lake, instant
from churn_platform.lake.records import Records
from churn_platform.lake.window import matured_months
from churn_platform.ledger.state import ProductionState
from churn_platform.ledger.store import LedgerStore
from churn_platform.loop.progress import auc_interval
from churn_platform.monitoring.drift import drift_record
from churn_platform.monitoring.estimate_history import EstimateHistory
from churn_platform.monitoring.performance import PerformanceRecord
from churn_platform.training.release import IMPORTED
from churn_platform.training.releases import Releases

DAEMON_SILENT_SECONDS = 180.0
"""A daemon writes a heartbeat every 30 seconds; after this long without one it is dead."""


@dataclass(frozen=True)
class JobState:
    """When a job's newest runs ended, in seconds since the epoch; None: never."""

    success: float | None
    failure: float | None


@dataclass(frozen=True)
class DagsterState:
    """The last heartbeat of each daemon, in seconds since the epoch, and the state of each job."""

    heartbeats: Mapping[str, float]
    jobs: Mapping[str, JobState]

    def daemon_alive(self, now: float) -> bool | None:
        """Whether a daemon works on the home; None if there never was one."""
        if not self.heartbeats:
            return None
        return now - max(self.heartbeats.values()) <= DAEMON_SILENT_SECONDS

    @property
    def last_sign(self) -> dt.datetime | None:
        """The newest heartbeat; None if there never was one."""
        newest = max(self.heartbeats.values(), default=None)
        if newest is None:
            return None
        return dt.datetime.fromtimestamp(newest, dt.UTC)


def daemon_metrics(state: DagsterState, now: float) -> Iterator[Metric]:
    """Daemon and jobs."""
    yield gauge(
        "churn_daemon_up",
        "1 while a daemon works on the home.",
        state.daemon_alive(now) is True,
    )
    beats = GaugeMetricFamily(
        "churn_daemon_heartbeat_timestamp_seconds",
        "The last heartbeat of each daemon.",
        labels=["daemon"],
    )
    for daemon, beat in state.heartbeats.items():
        beats.add_metric([daemon], beat)
    yield beats
    for name, said in (("success", "succeeded"), ("failure", "failed or was canceled")):
        ended = GaugeMetricFamily(
            f"churn_job_last_{name}_timestamp_seconds",
            f"When a run of the job last {said}.",
            labels=["job"],
        )
        for job, found in state.jobs.items():
            if (when := getattr(found, name)) is not None:
                ended.add_metric([job], when)
        yield ended


Source = Callable[[], Iterable[Metric]]


@dataclass(kw_only=True)
class HomeMetrics:
    """The sources of one home. Between scrapes only new receipts of the ledger are read."""

    now: Callable[[], dt.datetime]
    contract: Contract
    lake: Lake
    records: Records
    releases: Releases
    receipts: LedgerStore
    alert_channels: Alerts
    verify_home: Callable[[], list[CheckResult]]
    _state: ProductionState = field(default_factory=ProductionState, init=False)
    _following: threading.Lock = field(default_factory=threading.Lock, init=False)
    _verified: tuple[dt.datetime, str] | None = field(default=None, init=False)
    _missed: str = field(default="", init=False)

    def sources(self, dagster: Callable[[], DagsterState]) -> dict[str, Source]:
        """Name -> source.

        Args:
            dagster: reads Dagster's storage.
        """
        campaign = {"campaign": self.campaign} if self.contract.contacts is not None else {}
        return {
            "daemon": lambda: daemon_metrics(dagster(), self.now().timestamp()),
            "snapshot": self.snapshot,
            "production": self.production,
            "drift": self.drift,
            "performance": self.performance,
            **campaign,
            "ledger": self.ledger,
            "verify": self.verification,
            "alerts": self.alerts,
        }

    def snapshot(self) -> Iterator[Metric]:
        """The newest published month."""
        months = self.lake.months()
        yield gauge("churn_months", "Months published.", len(months))
        if months:
            aside = sum(found.quarantined for found in self.lake.quarantines(months[-1]).values())
            yield stamp(
                "churn_snapshot_as_of", "The as_of of the newest snapshot.", instant(months[-1])
            )
            age = (self.now() - instant(months[-1])).total_seconds()
            yield gauge(
                "churn_snapshot_age_seconds",
                "Time since the as_of of the newest snapshot.",
                age,
            )
            yield gauge(
                "churn_snapshot_quarantined_rows",
                "Quarantined rows of the newest snapshot.",
                aside,
            )
        labelled = (month for month in reversed(months) if self.lake.has_labels(month))
        for month in labelled:
            if matured_months([month], {month}, self.contract, months[-1]):
                yield stamp(
                    "churn_labelled_as_of",
                    "The newest month whose labels have matured.",
                    instant(month),
                )
                break

    def production(self) -> Iterator[Metric]:
        """The version in production and its age."""
        pointer = self.releases.pointer()
        manifest = self.releases.production()
        yield gauge(
            "churn_production_version",
            "Version in production; 0: none yet.",
            pointer.version if pointer else 0,
        )
        if pointer is None or manifest is None:
            return
        trained = instant(dt.date.fromisoformat(manifest.training_as_of))
        since = dt.datetime.fromisoformat(pointer.activate_at)
        yield stamp("churn_production_since", "When the version in production took over.", since)
        yield stamp(
            "churn_production_as_of",
            "The month that the version in production was trained on.",
            trained,
        )
        age = (self.now() - trained).total_seconds()
        yield gauge(
            "churn_production_age_seconds",
            "Time since the training month of the version in production.",
            age,
        )
        if manifest.algorithm != IMPORTED:  # no decision measured an imported version
            low, high = auc_interval(manifest.metrics)
            yield gauge(
                "churn_promoted_auc",
                "AUC of the version in production at its decision.",
                manifest.metrics["auc"],
            )
            yield gauge("churn_promoted_auc_low", "Lower end of that AUC's 95% interval.", low)
            yield gauge("churn_promoted_auc_high", "Upper end of that AUC's 95% interval.", high)
        yield from experiment_metrics(read_running(self.releases.folder))

    def drift(self) -> Iterator[Metric]:
        """The newest drift report with a result."""
        for month in reversed(self.records.months("drift_report")):
            record = drift_record(self.records, month)
            if record.result is not None:
                yield from drift_metrics(month, record.result, len(record.alarms))
                return

    def performance(self) -> Iterator[Metric]:
        """The newest realised performance of the version in production, and the estimate of a
        month whose labels have not arrived.
        """
        yield from self._realised()
        yield from self._estimate()

    def _realised(self) -> Iterator[Metric]:
        pointer = self.releases.pointer()
        if pointer is None:
            return

        for month in reversed(self.records.months("performance")):
            fields = self.records.read("performance", month)
            record = PerformanceRecord.read(fields, f"The performance record of {month}")
            own = [entry for entry in record.evaluated if entry.version == pointer.version]
            for entry in reversed(own):
                if entry.metrics is not None:
                    yield from performance_metrics(entry.as_of, entry.metrics)
                    if entry.contacts is not None:
                        yield from contacts_metrics(entry.contacts)
                    return

    def _estimate(self) -> Iterator[Metric]:
        pointer = self.releases.pointer()
        found = EstimateHistory(self.records).newest()
        if pointer is None or found is None or found.version != pointer.version:
            return
        yield from estimate_metrics(found)

    def campaign(self) -> Iterator[Metric]:
        """What contacting was worth, by the newest record. A figure that is withheld or not
        measurable is absent.
        """
        months = self.records.months("campaign_effect")
        if not months:
            return
        fields = self.records.read("campaign_effect", months[-1])
        record = CampaignRecord.read(fields, f"The campaign record of {months[-1]}")
        yield stamp("churn_campaign_as_of", "The newest month with a record.", instant(months[-1]))
        states = GaugeMetricFamily(
            "churn_campaign_state", "1 for the verdict on the effect.", labels=["state"]
        )
        for state in EffectState:
            states.add_metric([state.value], float(record.state is state))
        yield states
        yield gauge("churn_campaign_look", "Looks at the effect so far.", record.look)
        yield gauge("churn_campaign_looks", "Planned looks at the effect.", record.looks)
        effect = record.shown
        if effect is None:
            return
        yield gauge("churn_campaign_untouched", "Untouched customers.", effect.untouched)
        yield gauge(
            "churn_campaign_contaminated",
            "Untouched customers who were contacted.",
            effect.contaminated,
        )
        for name, said, estimate in (
            ("churn_campaign_saved", "Customers saved.", effect.saved),
            ("churn_campaign_money", "Worth of contacting, less its cost.", effect.money),
        ):
            if estimate is not None:
                yield gauge(name, said, estimate.value)
                yield gauge(f"{name}_low", "Lower end of its interval.", estimate.interval.low)
                yield gauge(f"{name}_high", "Upper end of its interval.", estimate.interval.high)

    def ledger(self) -> Iterator[Metric]:
        """The ledger and the state that follows from it."""
        state = self._followed()
        yield gauge("churn_ledger_receipts", "Receipts in the ledger.", state.receipts)
        acts = CounterMetricFamily("churn_receipts", "Receipts by act.", labels=["act"])
        for act, count in state.counts.items():
            acts.add_metric([act], count)
        yield acts
        warnings = GaugeMetricFamily(
            "churn_month_warnings", "Warnings of the newest month.", labels=["code"]
        )
        codes = Counter(warning.code for warning in recorded(state.warnings.get(state.month)))
        for code, count in codes.items():
            warnings.add_metric([code], count)
        yield warnings
        yield gauge(
            "churn_production_stand_down",
            "1 while the version in production stands down.",
            state.standing_down is not None,
        )
        yield gauge(
            "churn_approvals_pending",
            "Candidates that wait for an approval.",
            state.pending is not None,
        )
        if state.pending is not None:
            yield stamp(
                "churn_approval_pending_since",
                "Since when a candidate waits.",
                dt.datetime.fromisoformat(state.pending.asked),
            )
        if state.decisions:
            yield stamp(
                "churn_decision",
                "When the newest decision was made.",
                dt.datetime.fromisoformat(state.decisions[-1].time),
            )
        for file in self.records.decision_files()[-1:]:
            month = dt.date.fromisoformat(read_json(file)["as_of"])
            yield stamp(
                "churn_decision_as_of",
                "The month that the newest decision was made on.",
                instant(month),
            )

    def verification(self) -> Iterator[Metric]:
        """The result of the newest `verify`; nothing before the first.

        Raises:
            StoreDown: a check could not run and the others found no fault.
        """
        if self._missed:
            raise StoreDown(self._missed)
        if self._verified is None:
            return
        when, fault = self._verified
        yield gauge(
            "churn_verify_sound",
            "1 when the last verification found no fault.",
            not fault,
        )
        yield stamp("churn_verify_last", "When they were last verified.", when)

    def verify(self) -> str:
        """Run the checks of `churn verify`.

        Returns:
            The first fault, else the first check that could not run; empty if all passed.
        """
        found = self.verify_home()
        fault = next((finding.detail for finding in found if finding.state == "broken"), "")
        missed = next((finding.detail for finding in found if finding.state == "unseen"), "")
        self._verified = (self.now(), fault)
        self._missed = "" if fault else missed
        return fault or missed

    def alerts(self) -> Iterator[Metric]:
        """What was sent to each alert channel, and what waits for it."""
        unsent = GaugeMetricFamily(
            "churn_alerts_unsent", "Alerts that wait for a channel.", labels=["receiver"]
        )
        sent = CounterMetricFamily(
            "churn_alerts_sent", "Alerts that a channel accepted.", labels=["receiver"]
        )
        lost = CounterMetricFamily(
            "churn_alerts_lost", "Alerts given up for a channel.", labels=["receiver"]
        )
        for channel in self.alert_channels.waiting():
            unsent.add_metric([channel.receiver], channel.unsent)
            sent.add_metric([channel.receiver], channel.sent)
            lost.add_metric([channel.receiver], channel.lost)
        yield from (unsent, sent, lost)

    def _followed(self) -> ProductionState:
        """The state with the receipts that were added since the last scrape."""
        with self._following:
            head = self.receipts.head()
            if head is None or head.sequence < self._state.receipts:  # restored from a backup
                self._state = ProductionState()
            for receipt in self.receipts.since(self._state.receipts):
                self._state.take(receipt)
            return self._state
