"""Prometheus metrics `churn_*`: units in the names, a bounded number of labels, all workers in one answer.

Belongs here: the metrics and their text. Does not: when they are counted. prometheus_client is imported when the
metrics are made: it looks at that moment whether several processes share a folder.
"""

import collections
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

LATENCY = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
TENTHS = tuple(f"{number / 10:.1f}" for number in range(10))


class Metrics:
    """The metrics of one process; with a `registry` of its own it shares them with no other."""

    def __init__(self, registry: "CollectorRegistry | None" = None) -> None:
        from prometheus_client import (
            REGISTRY,
            Counter,
            Gauge,
            Histogram,
            disable_created_metrics,
        )

        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._own, where = registry, registry or REGISTRY
        self._requests = Counter(
            "churn_requests",
            "Answers by route and status.",
            ["route", "status"],
            registry=where,
        )
        self._latency = Histogram(
            "churn_request_seconds",
            "Time to answer.",
            ["route"],
            buckets=LATENCY,
            registry=where,
        )
        # Counters, not a histogram: that takes one probability at a time, 5 ms for a batch of a thousand.
        tenths = Counter(
            "churn_probabilities",
            "Answers by the tenth that begins at `from`.",
            ["from"],
            registry=where,
        )
        self._tenths = [tenths.labels(tenth) for tenth in TENTHS]
        self._stale = Counter(
            "churn_stale_answers", "Answers from missing or old features.", registry=where
        )
        self._refused = Counter(
            "churn_refused_releases", "Releases that could not be verified.", registry=where
        )
        self._dropped = Counter(
            "churn_log_dropped",
            "Entries of the prediction log that are lost.",
            registry=where,
        )

        def gauge(name: str, text: str, mode: str = "max") -> Gauge:
            return Gauge(name, text, multiprocess_mode=mode, registry=where)  # type: ignore[arg-type]

        self.version = gauge("churn_model_version", "Version that answers.", "mostrecent")
        self.model_age = gauge(
            "churn_model_age_seconds",
            "Time since the model's training month.",
            "mostrecent",
        )
        self.features_age = gauge(
            "churn_features_age_seconds",
            "Time since the newest month of features.",
            "mostrecent",
        )
        self.stand_down = gauge(
            "churn_stand_down", "1 when the model is no better than chance.", "mostrecent"
        )
        self.queue = gauge(
            "churn_log_queue", "Entries of the prediction log that wait.", "livesum"
        )
        self._by_route: dict[tuple[str, int], Counter] = {}
        self._latency_of: dict[str, Histogram] = {}
        self._lost = 0

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one request; `route` is a route of ours, never a path."""
        counter = self._by_route.get((route, status))
        if counter is None:
            counter = self._by_route[route, status] = self._requests.labels(
                route, str(status)
            )
            self._latency_of.setdefault(route, self._latency.labels(route))
        counter.inc()
        self._latency_of[route].observe(seconds)

    def answered(self, probabilities: Sequence[float], stale: int) -> None:
        """Count answers and those of them that were stale."""
        for tenth, count in collections.Counter(
            min(int(p * 10), 9) for p in probabilities
        ).items():
            self._tenths[tenth].inc(count)
        if stale:
            self._stale.inc(stale)

    def refused(self) -> None:
        """Count a release that could not be verified."""
        self._refused.inc()

    def dropped(self, total: int) -> None:
        """Bring the count of lost log entries up to `total` of this process."""
        self._dropped.inc(total - self._lost)
        self._lost = total

    def text(self) -> bytes:
        """All metrics of all workers as Prometheus reads them."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        if self._own is not None:
            return generate_latest(self._own)
        shared = CollectorRegistry()
        with contextlib.suppress(
            ValueError
        ):  # one process alone: there is no shared folder
            MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
            return generate_latest(shared)
        return generate_latest()
