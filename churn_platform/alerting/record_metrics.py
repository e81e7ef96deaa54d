"""Records of a month as Prometheus metrics."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from churn_platform.drift.result import DriftResult
from churn_platform.experiments.state import Running
from churn_platform.lake.lake import instant
from churn_platform.monitoring.performance import ContactsInLabels, MeasuredMetrics
from churn_platform.monitoring.track_record import ShownEstimate


def gauge(name: str, said: str, value: Any) -> Metric:  # noqa: ANN401 - whatever float takes
    """A gauge without labels."""
    return GaugeMetricFamily(name, said, value=float(value))


def stamp(name: str, said: str, when: dt.datetime) -> Metric:
    """A time, under a name with its unit."""
    return gauge(f"{name}_timestamp_seconds", said, when.timestamp())


def estimate_metrics(found: ShownEstimate) -> Iterator[Metric]:
    """The estimate of a month without labels; its figures are absent while it is withdrawn."""
    yield stamp(
        "churn_estimated_as_of",
        "The month without labels that is estimated.",
        instant(dt.date.fromisoformat(found.as_of)),
    )
    yield gauge(
        "churn_estimated_withdrawn",
        "1 while labels have shown that estimates cannot be relied on.",
        found.withdrawn is not None,
    )
    yield gauge(
        "churn_estimated_checked_months",
        "Estimates that were compared with labels later.",
        found.checked_months,
    )
    if found.largest_miss is not None:
        yield gauge(
            "churn_estimated_largest_miss",
            "How far off in AUC the worst of them was.",
            found.largest_miss,
        )
    if found.auc is not None:
        low, high = found.auc.interval
        yield gauge(
            "churn_estimated_auc",
            "Estimated, not measured: AUC of the version in production on that month.",
            found.auc.value,
        )
        yield gauge("churn_estimated_auc_low", "Lower end of its 95% interval.", low)
        yield gauge("churn_estimated_auc_high", "Upper end of its 95% interval.", high)


def drift_metrics(month: dt.date, result: DriftResult, alarms: int) -> Iterator[Metric]:
    """The drift report of a month."""
    yield stamp("churn_drift_as_of", "The month of the newest drift report.", instant(month))
    yield gauge(
        "churn_drift_share",
        "Share of the features that drifted since training.",
        result.share,
    )
    yield gauge(
        "churn_drift_share_threshold",
        "The share above which drift requests a candidate.",
        result.share_threshold,
    )
    yield gauge("churn_drift_alarms", "Drift figures above their threshold.", alarms)
    if result.target_drift is not None:
        yield gauge("churn_drift_target", "Drift of the target.", result.target_drift)
    if result.prediction_drift is not None:
        yield gauge("churn_drift_prediction", "Drift of the prediction.", result.prediction_drift)


def performance_metrics(as_of: str, metrics: MeasuredMetrics) -> Iterator[Metric]:
    """The realised performance of a version on a month."""
    month = instant(dt.date.fromisoformat(as_of))
    low, high = metrics.auc_interval
    yield stamp("churn_realised_as_of", "The newest month that production was measured on.", month)
    yield gauge(
        "churn_realised_auc", "AUC of the version in production on that month.", metrics.auc
    )
    yield gauge("churn_realised_auc_low", "Lower end of its 95% interval.", low)
    yield gauge("churn_realised_auc_high", "Upper end of its 95% interval.", high)


def contacts_metrics(contacts: ContactsInLabels) -> Iterator[Metric]:
    """The same month by the labels as they arrived, and what contacts did to them."""
    if contacts.naive_auc is not None:
        yield gauge(
            "churn_naive_auc",
            "AUC on that month's labels as they arrived, not corrected for contacts.",
            contacts.naive_auc,
        )
    if contacts.bounds is not None:
        yield gauge(
            "churn_realised_auc_lowest",
            "Smallest AUC that labels of customers contacted without a plan allow.",
            contacts.bounds[0],
        )
        yield gauge("churn_realised_auc_highest", "The largest such AUC.", contacts.bounds[1])
    customers = GaugeMetricFamily(
        "churn_realised_customers",
        "Customers of that month by what contacts did to their labels.",
        labels=["contacts"],
    )
    customers.add_metric(["assigned"], contacts.assigned)
    customers.add_metric(["untouched"], contacts.untouched)
    customers.add_metric(["outside a plan"], contacts.outside)
    yield customers


def experiment_metrics(running: Running) -> Iterator[Metric]:
    """The experiments that run; nothing without one."""
    if running.shadows:
        yield gauge("churn_shadows", "Shadows that run.", len(running.shadows))
    if running.canary is not None:
        version = running.canary.version
        yield gauge("churn_canary_version", "The version that runs as a canary.", version)
        share = running.canary.share
        yield gauge("churn_canary_share", "Share of the customers that it answers.", share)
