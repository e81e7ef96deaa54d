"""The metrics as Prometheus reads them."""

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from bento.metrics import ApiMetrics


@pytest.fixture
def metrics():
    return ApiMetrics(CollectorRegistry())


def read(metrics):
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in families
        for s in family.samples
    }


def test_requests_are_counted_by_route_and_status_with_their_time(metrics):
    metrics.request("/predict", 200, 0.0015)
    metrics.request("/predict", 404, 0.3)
    found = read(metrics)
    assert found["churn_requests_total", (("route", "/predict"), ("status", "200"))] == 1
    assert found["churn_requests_total", (("route", "/predict"), ("status", "404"))] == 1
    assert found["churn_request_seconds_count", (("route", "/predict"),)] == 2
    assert found["churn_request_seconds_bucket", (("le", "0.002"), ("route", "/predict"))] == 1


def test_probabilities_are_counted_by_tenth_and_stale_answers_apart(metrics):
    metrics.served([0.05, 0.95, 1.0], stale=1)
    metrics.served([0.5], stale=0)
    found = read(metrics)
    tenths = {
        labels[0][1]: value
        for (name, labels), value in found.items()
        if name == "churn_probabilities_total"
    }
    assert tenths == {
        **dict.fromkeys([f"0.{n}" for n in range(10)], 0),
        "0.0": 1,
        "0.5": 1,
        "0.9": 2,
    }
    assert found["churn_stale_answers_total", ()] == 1


def test_lost_log_entries_are_counted_once(metrics):
    for total in (2, 2, 5):
        metrics.dropped(total)
    metrics.refused()
    found = read(metrics)
    assert (found["churn_log_dropped_total", ()], found["churn_refused_releases_total", ()]) == (
        5,
        1,
    )


def test_every_metric_says_what_it_is(metrics):
    families = list(text_string_to_metric_families(metrics.text().decode()))
    assert families
    assert all(family.documentation for family in families)
