"""How a metric is made, and those of daemon and jobs.

Belongs here: names, units and help texts of what Dagster's storage says. Does not: reading it (`defs/health.py`), the
parts of a home (`adapters/watching/watched_home.py`).
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from churn_platform.core.watching import DagsterState


def daemon_metrics(state: DagsterState, now: float) -> Iterator[Metric]:
    """Daemon and jobs, as Dagster's storage tells them."""
    yield gauge("churn_daemon_up", "1 while a daemon works on the home.", state.daemon_alive(now) is True)
    beats = GaugeMetricFamily(
        "churn_daemon_heartbeat_timestamp_seconds", "The last sign of life of each daemon.", labels=["daemon"]
    )
    for daemon, beat in state.heartbeats.items():
        beats.add_metric([daemon], beat)
    yield beats
    for name, said in (("success", "succeeded"), ("failure", "failed or was canceled")):
        ended = GaugeMetricFamily(
            f"churn_job_last_{name}_timestamp_seconds", f"When a run of the job last {said}.", labels=["job"]
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
