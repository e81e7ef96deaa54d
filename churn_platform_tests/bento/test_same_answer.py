"""One customer, one answer, whoever is asked: the list, the API, the batch, the command line, the model in MLflow.

With the online store on SQLite, Redis and Postgres. Over the real months, or not at all: see `real_months.py`.
"""

import asyncio
import datetime as dt
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churn_platform.features.online.network import PostgresReader, RedisReader
from churn_platform.features.online.sqlite import SqliteReader
from churn_platform.lake.tables import feature_frame
from churn_platform.training.estimator import model_input
from churn_platform_tests.api_client import running
from churn_platform_tests.bento.conftest import Api
from churn_platform_tests.real_months import FEBRUARY, copy_home

EQUAL = 1e-9
READERS = {"sqlite": SqliteReader, "redis": RedisReader, "postgres": PostgresReader}


@pytest.fixture(scope="module")
def known(february_home):
    """What each customer of February is said to be: by the list, and by the registered model that MLflow loads."""
    import mlflow

    home = february_home
    key, version = home.contract.entity.column, home.releases.pointer().version
    assert home.records.read("scores", FEBRUARY)["version"] == version
    listed = home.records.frame("scores", FEBRUARY).set_index(key)["probability"]
    rows = feature_frame(home.contract, home.lake.tables(FEBRUARY))
    mlflow.set_tracking_uri(home.registry.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/{home.contract.model_name}/{version}")
    features = tuple((name, column.dtype) for name, column in home.contract.features.items())
    registered = dict(zip(rows[key], model.predict(model_input(features, rows))[:, 1], strict=True))
    # A promotion of a moment ago is live at its instant only: until then the version before answers.
    active = dt.datetime.fromisoformat(home.releases.pointer().activate_at)
    time.sleep(max(0.0, (active - dt.datetime.now(dt.UTC)).total_seconds() + 0.1))
    return listed, registered


@pytest.fixture(scope="module", params=list(READERS))
def real(request, february_home, known, tmp_path_factory):
    """The API on both real months with one kind of online store; what the list and the registered model say."""
    home = february_home
    if request.param != "sqlite":
        address = request.getfixturevalue(f"{request.param}_server").new()
        home = copy_home(
            home, tmp_path_factory.mktemp(request.param) / "home", online_store=address
        )
        assert home.feature_store.materialize(
            home.lake.view(home.now(), as_at_scoring=False), FEBRUARY
        )
    with running(home) as made:
        api = Api(made)
        assert api.get("/readyz").status_code == 200
        assert type(made.active.backend.predictor.reader.reader) is READERS[request.param]
        yield home, api, *known


def batch(api, keys, **more):
    return api.post("/predict/batch", {"keys": keys, **more}).json()["results"]


def test_every_customer_of_the_real_month_has_one_probability_everywhere(real):
    home, api, listed, registered = real
    keys, key = list(listed.index), home.contract.entity.column
    assert len(keys) > 7000
    answered = [
        row for start in range(0, len(keys), 1000) for row in batch(api, keys[start : start + 1000])
    ]
    assert [row[key] for row in answered] == keys
    assert max(abs(row["probability"] - listed[row[key]]) for row in answered) <= EQUAL
    assert max(abs(row["probability"] - registered[row[key]]) for row in answered) <= EQUAL


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_customer_reads_the_same_one_by_one_as_in_a_batch_and_on_the_command_line(real, data):
    home, api, listed, registered = real
    key, others = (
        home.contract.entity.column,
        st.lists(st.sampled_from(list(listed.index)), max_size=20),
    )
    chosen, before, after = (
        data.draw(st.sampled_from(list(listed.index))),
        data.draw(others),
        data.draw(others),
    )
    single = api.post("/predict", {key: chosen}).json()
    row = batch(api, [*before, chosen, *after], reasons=True)[len(before)]
    said = home.status.explain(chosen, None)
    for probability in (
        row["probability"],
        said.probability,
        listed[chosen],
        registered[chosen],
    ):
        assert abs(single["probability"] - probability) <= EQUAL
    assert single["reasons"] == row["reasons"] == said.reasons
    assert single["features_used"] == said.features
    assert single["prediction"] == row["prediction"] == said.prediction
    assert single["decile"] == row["decile"]


def test_customers_whose_features_are_legally_empty_are_among_them(real):
    home, api, listed, _ = real
    rows = feature_frame(home.contract, home.lake.tables(FEBRUARY))
    empty = rows[rows[list(home.contract.features)].isna().any(axis=1)][home.contract.entity.column]
    assert len(empty) > 500
    for key in empty.head(20):
        found = api.post("/predict", {home.contract.entity.column: key})
        assert found.status_code == 200
        assert abs(found.json()["probability"] - listed[key]) <= EQUAL


def test_every_store_gives_the_very_values_of_the_lake(real):
    home, api, listed, _ = real
    rows = feature_frame(home.contract, home.lake.tables(FEBRUARY)).set_index(
        home.contract.entity.column
    )
    keys = list(listed.index)
    found = asyncio.run(api.server.active.backend.predictor.reader.read(keys))
    for name in home.contract.features:
        column = rows.loc[keys, name].astype(object)
        assert [row.values[name] for row in found] == column.where(column.notna(), None).tolist()
    assert {(row.as_of, row.behind) for row in found} == {(FEBRUARY, ())}
