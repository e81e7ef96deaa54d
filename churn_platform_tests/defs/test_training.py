"""The candidate asset: fitted and registered once, linked to its MLflow run, with its figures and plots."""

import pytest

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.defs.promotion import candidate_model
from churn_platform_tests.small_business import FEBRUARY, JANUARY


@pytest.fixture
def client(january_decided_copy):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{january_decided_copy.folder}/mlflow.db")


def test_a_candidate_is_registered_once_for_the_same_data_recipe_and_code(
    january_decided_copy, shown, client, monkeypatch
):
    monkeypatch.setattr(
        "churn_platform.base.provenance.code_digest", lambda: "other code than version 1's"
    )
    first = shown(january_decided_copy, JANUARY, candidate_model)
    again = shown(january_decided_copy, JANUARY, candidate_model)
    assert (first["version"], first["registered"]) == ("2", "now")
    assert (again["version"], again["registered"]) == ("2", "earlier: same data, recipe and code")
    assert (first["digest"], first["auc"]) == (again["digest"], again["auc"])
    assert first["plots"] == again["plots"]
    assert january_decided_copy.registry.alias("candidate") == 2
    runs = [client.get_run(values["MLflow run"]) for values in (first, again)]
    assert [run.data.tags["fitted"] for run in runs] == ["true", "false"]
    assert {run.data.tags["version"] for run in runs} == {"2"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len({run.data.tags["dagster_run_id"] for run in runs}) == 2


def test_the_candidate_shows_its_figures_and_plots(january_decided_copy, shown):
    values = shown(january_decided_copy, JANUARY, candidate_model)
    assert values["algorithm"] == "logistic_regression"
    assert 0.7 < values["auc"] < 1
    assert {"auc", "pr_auc", "f1", "accuracy", "brier", "log_loss"} <= set(values)
    assert values["plots"].count("data:image/png;base64,") == 3
    assert 0 < values["threshold"] < 1


def test_a_month_that_was_never_joined_fails_with_what_to_do(january_decided_copy, materialize):
    result = materialize(january_decided_copy, FEBRUARY, candidate_model, raising=False)
    [event] = result.get_step_failure_events()
    said = str(event.step_failure_data.error)
    assert "There is no training dataset of 2024-02-29: materialize training_dataset first." in said


@pytest.fixture
def fit_raises(monkeypatch):
    """Makes every new fit of another code end in an error."""

    def prepare(error):
        def fit(*_):
            raise error

        monkeypatch.setattr("churn_platform.base.provenance.code_digest", lambda: "another code")
        monkeypatch.setattr("churn_platform.training.candidate.fit_candidate", fit)

    return prepare


def test_nan_is_an_error_and_no_refused_training(january_decided_copy, materialize, fit_raises):
    fit_raises(NotANumber("3 of 4 probabilities are NaN"))
    assert not materialize(january_decided_copy, JANUARY, candidate_model, raising=False).success
    assert january_decided_copy.ledger.receipts("training refused") == []


def test_a_refused_training_holds_for_the_code_that_refused_it(
    january_decided_copy, materialize, fit_raises, monkeypatch
):
    home = january_decided_copy
    fit_raises(DataError("Too few churners."))
    result = materialize(home, JANUARY, candidate_model)
    (receipt,) = home.ledger.receipts("training refused")
    assert receipt.reason == "Too few churners."
    assert set(receipt.evidence) == {"dataset", "policy", "code", "lock"}
    [seen] = [event for event in result.all_events if event.event_type_value == "ASSET_OBSERVATION"]
    assert (
        seen.event_specific_data.asset_observation.description
        == "No candidate can be trained: Too few churners."
    )
    assert home.progress().refused_training(JANUARY) == "Too few churners."
    monkeypatch.setattr("churn_platform.loop.progress.provenance", lambda: {"code": "2:fixed"})
    assert home.progress().refused_training(JANUARY) is None
