"""A home as metrics: each part of it one source, read from its files."""

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from churn_platform.alerting.alerting import Alerter
from churn_platform.alerting.watching import DagsterState, Standing
from churn_platform.audit.verifying import verify_home
from churn_platform.base.errors import StoreDown
from churn_platform.base.files import read_json
from churn_platform.lake.lake import instant
from churn_platform.lake.records import Kind
from churn_platform.lake.window import matured_months
from churn_platform.loop.progress import auc_interval
from churn_platform.services import Services


def daemon_metrics(state: DagsterState, now: float) -> Iterator[Metric]:
    """Daemon and jobs, as Dagster's storage tells them."""
    yield gauge(
        "churn_daemon_up",
        "1 while a daemon works on the home.",
        state.daemon_alive(now) is True,
    )
    beats = GaugeMetricFamily(
        "churn_daemon_heartbeat_timestamp_seconds",
        "The last sign of life of each daemon.",
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


def gauge(name: str, said: str, value: Any) -> Metric:  # noqa: ANN401 - whatever float takes
    """A gauge without labels."""
    return GaugeMetricFamily(name, said, value=float(value))


def stamp(name: str, said: str, when: dt.datetime) -> Metric:
    """An instant, under a name with its unit."""
    return gauge(f"{name}_timestamp_seconds", said, when.timestamp())


Source = Callable[[], Iterable[Metric]]


class WatchedHome:
    """The sources of one home, kept between scrapes: the ledger is read once and then followed."""

    def __init__(self, home: Services) -> None:
        self.home = home
        self._standing = Standing()
        self._following = threading.Lock()
        self._verified: tuple[dt.datetime, str] | None = None
        self._missed = ""

    def sources(self, dagster: Callable[[], DagsterState]) -> dict[str, Source]:
        """Name -> source.

        Args:
            dagster: reads Dagster's storage.
        """
        return {
            "daemon": lambda: daemon_metrics(dagster(), self.home.now().timestamp()),
            "snapshot": self.snapshot,
            "production": self.production,
            "drift": self.drift,
            "performance": self.performance,
            "ledger": self.ledger,
            "verify": self.verification,
            "alerts": self.alerts,
        }

    def snapshot(self) -> Iterator[Metric]:
        """The newest published month."""
        months = self.home.lake.months()
        yield gauge("churn_months", "Months published.", len(months))
        if months:
            aside = sum(
                found.quarantined for found in self.home.lake.quarantines(months[-1]).values()
            )
            yield stamp(
                "churn_snapshot_as_of", "The as_of of the newest snapshot.", instant(months[-1])
            )
            age = (self.home.now() - instant(months[-1])).total_seconds()
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
        labelled = (month for month in reversed(months) if self.home.lake.has_labels(month))
        for month in labelled:
            if matured_months([month], {month}, self.home.contract, months[-1]):
                yield stamp(
                    "churn_labelled_as_of",
                    "The newest month whose labels have matured.",
                    instant(month),
                )
                break

    def production(self) -> Iterator[Metric]:
        """The version in production and its age."""
        pointer = self.home.releases.pointer()
        manifest = self.home.releases.production()
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
        age = (self.home.now() - trained).total_seconds()
        yield gauge(
            "churn_production_age_seconds",
            "Time since the training month of the version in production.",
            age,
        )
        low, high = auc_interval(manifest.metrics)
        yield gauge(
            "churn_promoted_auc",
            "AUC of the version in production at its decision.",
            manifest.metrics["auc"],
        )
        yield gauge("churn_promoted_auc_low", "Lower end of that AUC's 95% interval.", low)
        yield gauge("churn_promoted_auc_high", "Upper end of that AUC's 95% interval.", high)

    def drift(self) -> Iterator[Metric]:
        """The newest drift report that compared with anything."""
        month, record = self._newest(
            "drift_report", lambda record: record.get("result") is not None
        )
        if month is None or record is None:
            return
        result = record["result"]
        yield stamp("churn_drift_as_of", "The month of the newest drift report.", instant(month))
        yield gauge(
            "churn_drift_share",
            "Share of the features that drifted since training.",
            result["share"],
        )
        yield gauge(
            "churn_drift_share_threshold",
            "The share above which drift asks for a model.",
            result["share_threshold"],
        )
        yield gauge(
            "churn_drift_alarms", "Drift figures above their threshold.", len(record["alarms"])
        )
        for name in ("target", "prediction"):
            if result[f"{name}_drift"] is not None:
                yield gauge(f"churn_drift_{name}", f"Drift of the {name}.", result[f"{name}_drift"])

    def performance(self) -> Iterator[Metric]:
        """The newest realised performance of the version in production."""
        pointer = self.home.releases.pointer()
        if pointer is None:
            return

        def own(record: Mapping[str, Any]) -> list[dict[str, Any]]:
            return [
                e
                for e in record["evaluated"]
                if e["version"] == pointer.version and e["metrics"] is not None
            ]

        _, record = self._newest("performance", lambda record: bool(own(record)))
        if record is None:
            return
        entry = own(record)[-1]
        low, high = entry["metrics"]["auc_interval"]
        month = instant(dt.date.fromisoformat(entry["as_of"]))
        yield stamp(
            "churn_realised_as_of", "The newest month that production was measured on.", month
        )
        yield gauge(
            "churn_realised_auc",
            "AUC of the version in production on that month.",
            entry["metrics"]["auc"],
        )
        yield gauge("churn_realised_auc_low", "Lower end of its 95% interval.", low)
        yield gauge("churn_realised_auc_high", "Upper end of its 95% interval.", high)

    def ledger(self) -> Iterator[Metric]:
        """What the receipts leave standing."""
        standing = self._followed()
        yield gauge("churn_ledger_receipts", "Receipts in the ledger.", standing.receipts)
        acts = CounterMetricFamily("churn_receipts", "Receipts by act.", labels=["act"])
        for act, count in standing.counts.items():
            acts.add_metric([act], count)
        yield acts
        warnings = GaugeMetricFamily(
            "churn_month_warnings", "Warnings of the newest month.", labels=["code"]
        )
        for code, count in Counter(standing.warnings.get(standing.month, ())).items():
            warnings.add_metric([code], count)
        yield warnings
        yield gauge(
            "churn_production_stand_down",
            "1 while the version in production stands down.",
            standing.stands_down is not None,
        )
        yield gauge(
            "churn_approvals_pending",
            "Candidates that wait for an approval.",
            standing.waiting is not None,
        )
        if standing.waiting_since is not None:
            yield stamp(
                "churn_approval_pending_since",
                "Since when a candidate waits.",
                standing.waiting_since,
            )
        if "decision" in standing.last:
            yield stamp(
                "churn_decision",
                "When the newest decision was made.",
                standing.last["decision"],
            )
        for file in self.home.records.decision_files()[-1:]:
            month = dt.date.fromisoformat(read_json(file)["as_of"])
            yield stamp(
                "churn_decision_as_of",
                "The month that the newest decision was made on.",
                instant(month),
            )

    def verification(self) -> Iterator[Metric]:
        """The newest verification that `verify` made; nothing before the first.

        Raises:
            StoreDown: a part of it could not be looked at, and what could was valid: that is
                neither.
        """
        if self._missed:
            raise StoreDown(self._missed)
        if self._verified is None:
            return
        when, fault = self._verified
        yield gauge(
            "churn_verify_sound",
            "1 when all that `churn verify` checks held at the last verification.",
            not fault,
        )
        yield stamp("churn_verify_last", "When they were last verified.", when)

    def verify(self) -> str:
        """What `churn verify` checks.

        Returns:
            The first break, else what could not be looked at; empty where all holds.
        """
        found = verify_home(self.home)
        fault, missed = (
            next((f.detail for f in found if f.state == state), "")
            for state in ("broken", "unseen")
        )
        self._verified = (self.home.now(), fault)
        self._missed = "" if fault else missed
        return fault or missed

    def alerts(self) -> Iterator[Metric]:
        """What waits for each receiver of alerts."""
        unsent = GaugeMetricFamily(
            "churn_alerts_unsent", "Alerts that wait for a receiver.", labels=["receiver"]
        )
        sent = CounterMetricFamily(
            "churn_alerts_sent", "Alerts that a receiver took.", labels=["receiver"]
        )
        lost = CounterMetricFamily(
            "churn_alerts_lost", "Alerts given up for a receiver.", labels=["receiver"]
        )
        for receiver in Alerter(self.home).waiting():
            for family, name in ((unsent, "unsent"), (sent, "sent"), (lost, "lost")):
                family.add_metric([receiver["receiver"]], receiver[name])
        yield from (unsent, sent, lost)

    def _followed(self) -> Standing:
        """The standing with the receipts that were added since the last scrape."""
        with self._following:
            head = self.home.ledger.head()
            if (
                0 if head is None else head.sequence
            ) < self._standing.receipts:  # put back from a backup
                self._standing = Standing()
            for receipt in self.home.ledger.since(self._standing.receipts):
                self._standing.take(receipt)
            return self._standing

    def _newest(
        self,
        kind: Kind,
        wanted: Callable[[dict[str, Any]], bool],
    ) -> tuple[dt.date | None, dict[str, Any] | None]:
        """The newest record of a kind that is wanted, and its month."""
        for month in reversed(self.home.records.months(kind)):
            record = self.home.records.read(kind, month)
            if record is not None and wanted(record):
                return month, record
        return None, None
