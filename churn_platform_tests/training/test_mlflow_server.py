"""MLflow as a server: away is told at once, and a home never looks for its models in the wrong place."""

import pytest

from churn_platform.alerting.dagster_ui import free_port
from churn_platform.base.errors import StoreDown, UsageError
from churn_platform.training.mlflow_server import MARKER, MlflowServer, check_place
from churn_platform.training.registry import PRODUCTION, ModelRegistry


@pytest.fixture
def nobody():
    """The address of a server that is not there."""
    return f"http://127.0.0.1:{free_port()}"


def test_a_server_that_is_away_is_told_with_its_address(tmp_path, nobody):
    assert (
        MlflowServer(tmp_path, nobody + "/")
        .away()
        .startswith(f"MLflow at {nobody} does not answer (")
    )
    assert ModelRegistry(tmp_path, "gym_churn").away() is None  # the home's own store is a file


def test_no_answer_is_not_the_same_as_no_alias(tmp_path, nobody, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = ModelRegistry(tmp_path, "gym_churn", nobody)
    for ask in (lambda: registry.alias(PRODUCTION), lambda: registry.files(1), registry.prepare):
        with pytest.raises(
            StoreDown, match=rf"^MLflow at {nobody} did not answer as expected \(.*\): check"
        ):
            ask()
    assert not (tmp_path / MARKER).exists()


def test_a_home_with_models_of_its_own_asks_no_server(january_decided, nobody):
    registry = ModelRegistry(january_decided.folder, "gym_churn", nobody)
    with pytest.raises(
        UsageError,
        match=r"in its own MLflow store \(.*mlflow\.db\), and CHURN_MLFLOW_URI names a server",
    ):
        registry.alias(PRODUCTION)
    with pytest.raises(UsageError, match="in its own MLflow store"):
        registry.prepare()


def test_a_home_whose_models_are_on_a_server_makes_no_store_of_its_own(tmp_path):
    check_place(tmp_path, on_server=False)
    (tmp_path / MARKER).write_text('{"owner": "abc"}')
    check_place(tmp_path, on_server=True)
    registry = ModelRegistry(tmp_path, "gym_churn")
    for ask in (lambda: registry.alias(PRODUCTION), lambda: registry.files(1), registry.prepare):
        with pytest.raises(
            UsageError, match="on an MLflow server, and CHURN_MLFLOW_URI is not set"
        ):
            ask()
    assert not (tmp_path / "mlflow.db").exists()
