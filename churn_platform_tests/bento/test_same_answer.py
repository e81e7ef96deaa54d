"""One customer, one answer, whoever is asked: the list, the API, the batch, the command line, the model in MLflow."""

import datetime as dt
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churn_platform.adapters.status import explain
from churn_platform.core.snapshot import feature_frame
from churn_platform_tests.bento.conftest import Api
from churn_platform_tests.real_months import FEBRUARY
from churn_platform_tests.serving import running

EQUAL = 1e-9


@pytest.fixture(scope="module")
def real(february_home):
    """The API on both real months; what the list says, and what the registered model says, by customer."""
    home = february_home
    key, version = home.contract.entity.column, home.releases.pointer().version
    assert home.records.read("scores", FEBRUARY)["version"] == version
    listed = home.records.frame("scores", FEBRUARY).set_index(key)["probability"]
    rows = feature_frame(home.contract, home.lake.tables(FEBRUARY))
    registered = dict(zip(rows[key], home.registry.load(version).model.probability(rows), strict=True))
    # A promotion of a moment ago is live at its instant only: until then the version before answers.
    active = dt.datetime.fromisoformat(home.releases.pointer().activate_at)
    time.sleep(max(0.0, (active - dt.datetime.now(dt.UTC)).total_seconds() + 0.1))
    with running(home) as made:
        yield home, Api(*made), listed, registered


def test_every_customer_of_the_real_month_has_one_probability_everywhere(real):
    home, api, listed, registered = real
    keys, key = list(listed.index), home.contract.entity.column
    assert len(keys) > 7000
    answered = []
    for start in range(0, len(keys), 1000):
        answered += api.post("/predict/batch", {"keys": keys[start : start + 1000]}).json()["results"]
    assert [row[key] for row in answered] == keys
    assert max(abs(row["probability"] - listed[row[key]]) for row in answered) <= EQUAL
    assert max(abs(row["probability"] - registered[row[key]]) for row in answered) <= EQUAL


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_customer_reads_the_same_one_by_one_as_in_a_batch_and_on_the_command_line(real, data):
    home, api, listed, registered = real
    chosen = data.draw(st.sampled_from(list(listed.index)))
    single = api.post("/predict", {home.contract.entity.column: chosen}).json()
    [row] = api.post("/predict/batch", {"keys": [chosen], "reasons": True}).json()["results"]
    said = explain(home, chosen, None)
    for probability in (row["probability"], said["probability"], listed[chosen], registered[chosen]):
        assert abs(single["probability"] - probability) <= EQUAL
    assert single["reasons"] == row["reasons"] == said["reasons"]
    assert single["features_used"] == said["features"]
    assert single["prediction"] == said["prediction"]


def test_customers_whose_features_are_legally_empty_are_among_them(real):
    home, api, listed, _ = real
    rows = feature_frame(home.contract, home.lake.tables(FEBRUARY))
    empty = rows[rows[list(home.contract.features)].isna().any(axis=1)][home.contract.entity.column]
    assert len(empty) > 500
    for key in empty.head(20):
        found = api.post("/predict", {home.contract.entity.column: key})
        assert found.status_code == 200
        assert abs(found.json()["probability"] - listed[key]) <= EQUAL
