"""Prometheus metrics `churn_*`, of all workers together.

prometheus_client is imported when the metrics are made: on import it looks for the folder
that the processes share.
"""

import collections
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

LATENCY = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
TENTHS = tuple(f"{number / 10:.1f}" for number in range(10))


class ApiMetrics:
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
        self._own = registry
        counter = partial(Counter, registry=registry or REGISTRY)
        gauge = partial(Gauge, registry=registry or REGISTRY, multiprocess_mode="mostrecent")
        self._requests = counter(
            "churn_requests", "Requests by route and status.", ["route", "status"]
        )
        self._latency = Histogram(
            "churn_request_seconds",
            "Time to answer.",
            ["route"],
            buckets=LATENCY,
            registry=registry or REGISTRY,
        )
        # Counters, not a histogram: that takes one probability at a time, 5 ms for 1,000.
        tenths = counter(
            "churn_probabilities",
            "Predictions by the tenth that begins at `from`.",
            ["from"],
        )
        self._tenths = [tenths.labels(tenth) for tenth in TENTHS]
        self._stale = counter("churn_stale_answers", "Predictions from missing or old features.")
        self._refused = counter("churn_refused_releases", "Releases that could not be verified.")
        self._dropped = counter("churn_log_dropped", "Dropped entries of the prediction log.")
        self.version = gauge("churn_model_version", "Version in production.")
        self.model_age = gauge("churn_model_age_seconds", "Time since the model's training month.")
        self.features_age = gauge(
            "churn_features_age_seconds", "Time since the newest month of features."
        )
        self.canary_share = gauge(
            "churn_canary_share", "Share of the customers whom a canary answers; 0 without one."
        )
        self._canary_answers = counter(
            "churn_canary_answers", "Predictions for customers of the canary's arm."
        )
        self.shadow_dropped = counter(
            "churn_shadow_dropped", "Dropped scores of shadows: a full queue, or no log."
        )
        self.shadow_failures = counter(
            "churn_shadow_failures", "Predictions that a shadow could not score."
        )
        self.stand_down = gauge("churn_stand_down", "1 when the model is no better than chance.")
        self.queue = gauge(
            "churn_log_queue",
            "Waiting entries of the prediction log.",
            multiprocess_mode="livesum",
        )
        self._by_route: dict[tuple[str, int], Counter] = {}
        self._latency_of: dict[str, Histogram] = {}
        self._dropped_so_far = 0

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one request; `route` is a route of ours, never a path."""
        counter = self._by_route.get((route, status))
        if counter is None:
            counter = self._by_route[route, status] = self._requests.labels(route, str(status))
            self._latency_of.setdefault(route, self._latency.labels(route))
        counter.inc()
        self._latency_of[route].observe(seconds)

    def served(self, probabilities: Sequence[float], stale: int) -> None:
        """Count predictions, and those of them from missing or old features."""
        tenths = collections.Counter(min(int(p * 10), 9) for p in probabilities)
        for tenth, count in tenths.items():
            self._tenths[tenth].inc(count)
        if stale:
            self._stale.inc(stale)

    def in_canary(self, count: int) -> None:
        """Count predictions for customers of the canary's arm."""
        if count:
            self._canary_answers.inc(count)

    def refused(self) -> None:
        """Count a release that could not be verified."""
        self._refused.inc()

    def dropped(self, total: int) -> None:
        """Raise the count of dropped log entries to `total` of this process."""
        self._dropped.inc(total - self._dropped_so_far)
        self._dropped_so_far = total

    def text(self) -> bytes:
        """All metrics of all workers as Prometheus reads them."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        if self._own is not None:
            return generate_latest(self._own)
        shared = CollectorRegistry()
        try:
            MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        except ValueError:  # one process alone has no shared folder
            return generate_latest()
        return generate_latest(shared)
