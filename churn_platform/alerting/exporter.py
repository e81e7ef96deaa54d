"""Serves a home's metrics to Prometheus, and sends an alert when the daemon has died."""

import importlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from churn_platform.alerting.alerting import Alerter
from churn_platform.alerting.dagster_ui import DAEMON, port_is_free
from churn_platform.alerting.watched_home import Source, WatchedHome
from churn_platform.alerting.watching import DAEMON_SILENT_SECONDS, DagsterState
from churn_platform.base.errors import UsageError
from churn_platform.services import Services

ROUND_SECONDS = 30.0
VERIFY_SECONDS = 900.0
SHARED = (
    "alembic.config", "alembic.command", "sqlalchemy.orm", "sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.mysql"
)  # fmt: skip
"""What a scrape and a round both import, so it is there before either: two threads in
SQLAlchemy's circle fail.
"""
SILENT = (
    f"No daemon has given a sign of life for {DAEMON_SILENT_SECONDS / 60:.0f} minutes: no drop"
    " is processed until `churn ui` or the daemon is started again."
)
BACK = "The daemon gives signs of life again."


class HomeCollector(Collector):
    """Every source in one answer; one that fails is left out and says so, the others are there."""

    def __init__(self, sources: Mapping[str, Source], complain: Callable[[str], None]) -> None:
        self._sources = sources
        self._complain = complain
        self._said: dict[str, str] = {}

    def collect(self) -> Iterator[Metric]:
        """The metrics of now."""
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
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one part, the others are wanted
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
        """Say a fault once, not at every scrape."""
        if fault and self._said.get(name) != fault:
            self._complain(f"{name} cannot be read: {' '.join(fault.split())}")
        self._said[name] = fault


class Watch:
    """What is done between scrapes: tell people about the daemon, send what waits, verify now
    and then.
    """

    def __init__(
        self,
        watched: WatchedHome,
        dagster: Callable[[], DagsterState],
        complain: Callable[[str], None],
    ) -> None:
        self._watched = watched
        self._dagster = dagster
        self._complain = complain
        self._verified: float | None = None
        self._said = ""

    def round(self) -> None:
        """One round, the daemon first: a verification may wait. A fault is said; the next round
        comes all the same.
        """
        for part in (self._tell, self._verify):
            try:
                part()
            except Exception as error:  # noqa: BLE001 - Dagster's database may be away: the next round comes
                self._complain(
                    f"the round failed: {type(error).__name__}:"
                    f" {' '.join(str(error).split())[:300]}"
                )

    def _tell(self) -> None:
        home = self._watched.home
        if not home.settings.alerts_wanted:
            return
        alerter = Alerter(home)
        state = self._dagster()
        alive = state.daemon_alive(home.now().timestamp())
        if alive is not None:
            alerter.seen(DAEMON, up=alive, sentence=BACK if alive else SILENT, sign=state.last_sign)
        for problem in alerter.send().problems:
            self._complain(problem)

    def _verify(self) -> None:
        if self._verified is not None and time.monotonic() - self._verified <= VERIFY_SECONDS:
            return
        fault = self._watched.verify()
        self._verified = (
            None if fault else time.monotonic()
        )  # what is wrong is looked at again in the next round
        if fault and fault != self._said:
            self._complain(f"verification: {fault}")
        self._said = fault


def serve(
    home: Services,
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
            f"Port {port} on {host} is taken: stop what listens there or name another with --port.",
            code="PORT_TAKEN",
        )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())

    def complain(sentence: str) -> None:
        sys.stderr.write(f"churn exporter: {sentence}\n")
        sys.stderr.flush()

    watched = WatchedHome(home)
    registry = CollectorRegistry()
    registry.register(HomeCollector(watched.sources(dagster), complain))
    watch = Watch(watched, dagster, complain)
    for shared in SHARED:
        importlib.import_module(shared)
    server, thread = start_http_server(port, addr=host, registry=registry)
    say(
        f"Metrics: http://{host}:{server.server_port}/metrics (home {home.folder}). Ctrl-C"
        " stops it."
    )
    while not ended.is_set():
        watch.round()
        ended.wait(ROUND_SECONDS)
    server.shutdown()
    server.server_close()
    thread.join()
