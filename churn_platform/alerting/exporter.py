"""Serves a home's metrics to Prometheus, and sends an alert when the daemon has died."""

import importlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from churn_platform.alerting.alerts import Alerts
from churn_platform.alerting.dagster_ui import DAEMON, port_is_free
from churn_platform.alerting.metrics import (
    DAEMON_SILENT_SECONDS,
    DagsterState,
    HomeMetrics,
    Source,
)
from churn_platform.base.errors import UsageError

ROUND_SECONDS = 30.0
VERIFY_SECONDS = 900.0
SHARED = (
    "alembic.config",
    "alembic.command",
    "sqlalchemy.orm",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.dialects.mysql",
)
"""Imported before the threads start: SQLAlchemy's circular imports fail in two threads at once.
"""
SILENT = (
    f"No daemon has written a heartbeat for {DAEMON_SILENT_SECONDS / 60:.0f} minutes. No drop"
    " is processed until `churn ui` or the daemon is started again."
)
BACK = "The daemon writes heartbeats again."


class HomeCollector(Collector):
    """Collects every source; one that fails is left out and reported."""

    def __init__(self, sources: Mapping[str, Source], complain: Callable[[str], None]) -> None:
        self._sources = sources
        self._complain = complain
        self._said: dict[str, str] = {}

    def collect(self) -> Iterator[Metric]:
        """Read every source."""
        up = GaugeMetricFamily(
            "churn_source_up", "1 when this part of the home could be read.", labels=["source"]
        )
        took = GaugeMetricFamily(
            "churn_source_seconds", "Processor time that reading it took.", labels=["source"]
        )
        for name, source in self._sources.items():
            began = time.thread_time()
            fault = ""
            try:
                found = list(source())
            except Exception as error:  # noqa: BLE001 - a fault in one part must not hide the others
                found = []
                fault = f"{type(error).__name__}: {error}"
            up.add_metric([name], 0.0 if fault else 1.0)
            took.add_metric([name], time.thread_time() - began)
            self._mention(name, fault)
            yield from found
        yield from (up, took)

    def describe(self) -> list[Metric]:
        """Nothing: registering must not read the home."""
        return []

    def _mention(self, name: str, fault: str) -> None:
        """Report a fault once, not at every scrape."""
        if fault and self._said.get(name) != fault:
            self._complain(f"{name} cannot be read: {' '.join(fault.split())}")
        self._said[name] = fault


@dataclass
class Watch:
    """What is done between scrapes: watch the daemon, send alerts, verify the home regularly."""

    metrics: HomeMetrics
    alerts: Alerts
    dagster: Callable[[], DagsterState]
    complain: Callable[[str], None]
    _verified: float | None = field(default=None, init=False)
    _said: str = field(default="", init=False)

    def round(self) -> None:
        """Run one round, the daemon first: a verification may take long. A fault is reported."""
        for part in (self._alert, self._verify):
            try:
                part()
            except Exception as error:  # noqa: BLE001 - Dagster's database may be down: the next round tries again
                self.complain(
                    f"the round failed: {type(error).__name__}:"
                    f" {' '.join(str(error).split())[:300]}"
                )

    def _alert(self) -> None:
        alerts = self.alerts
        if not alerts.home.settings.alerts_wanted:
            return
        state = self.dagster()
        alive = state.daemon_alive(alerts.home.now().timestamp())
        if alive is not None:
            sentence = BACK if alive else SILENT
            alerts.seen(DAEMON, up=alive, sentence=sentence, sign=state.last_sign)
        for problem in alerts.send().problems:
            self.complain(problem)

    def _verify(self) -> None:
        if self._verified is not None and time.monotonic() - self._verified <= VERIFY_SECONDS:
            return
        fault = self.metrics.verify()
        self._verified = None if fault else time.monotonic()  # a fault is checked every round
        if fault and fault != self._said:
            self.complain(f"verification: {fault}")
        self._said = fault


def serve(
    metrics: HomeMetrics,
    alerts: Alerts,
    host: str,
    port: int,
    dagster: Callable[[], DagsterState],
    say: Callable[[str], None],
) -> None:
    """Answer scrapes until SIGINT or SIGTERM.

    Raises:
        UsageError: the port is taken.
    """
    if host == "127.0.0.1" and not port_is_free(port):
        raise UsageError(
            f"Port {port} on {host} is taken. Stop what listens there, or name another with"
            " --port.",
            code="PORT_TAKEN",
        )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())

    def complain(sentence: str) -> None:
        sys.stderr.write(f"churn exporter: {sentence}\n")
        sys.stderr.flush()

    registry = CollectorRegistry()
    registry.register(HomeCollector(metrics.sources(dagster), complain))
    watch = Watch(metrics, alerts, dagster, complain)
    for shared in SHARED:
        importlib.import_module(shared)
    server, thread = start_http_server(port, addr=host, registry=registry)
    say(
        f"Metrics: http://{host}:{server.server_port}/metrics (home {alerts.home.folder})."
        " Ctrl-C stops it."
    )
    while not ended.is_set():
        watch.round()
        ended.wait(ROUND_SECONDS)
    server.shutdown()
    server.server_close()
    thread.join()
