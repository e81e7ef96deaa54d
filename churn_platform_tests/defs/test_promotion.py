"""Candidate, decision, gate and production model, as the UI shows them."""

import dagster as dg
import pytest

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.defs.promotion import (
    candidate_model,
    production_model,
    promotion_decision,
    promotion_gate,
)
from churn_platform.promotion.criteria import CRITERIA
from churn_platform_tests.small_business import FEBRUARY, JANUARY, candidate, open_home, with_policy


@pytest.fixture
def gate(checked):
    """The results of the gate's checks, by name."""
    return lambda home, month: checked(home, month, promotion_gate)


def refused(home):
    """February's candidate judged anew under a policy that it cannot meet."""
    return with_policy(home, delta=0.9)


TRIGGER = {"ops": {"promotion_decision": {"config": {"trigger": "drift"}}}}


def test_the_decision_shows_both_models_and_every_finding(february_decided_copy, shown):
    candidate(february_decided_copy, FEBRUARY, "other code")
    values = shown(february_decided_copy, FEBRUARY, promotion_decision, **TRIGGER)
    record = february_decided_copy.records.decisions()[-1]
    assert (values["decision"], values["trigger"]) == ("promoted", "drift")
    assert (values["candidate version"], values["production version"]) == ("3", "1")
    assert values["candidate AUC"] == round(record["candidate_auc"], 4) > values["production AUC"]
    low, high = record["difference_interval"]
    assert values["difference interval"] == f"[{low:+.4f}, {high:+.4f}]"
    assert values["attempt on this holdout"] == 2
    assert [
        criterion.code
        for criterion in CRITERIA
        if f"| {criterion.code} | {criterion.title} |" in values["findings"]
    ] == [criterion.code for criterion in CRITERIA]


def test_a_decision_made_by_hand_says_so(january_decided_copy, shown):
    candidate(january_decided_copy, JANUARY, "other code")
    values = shown(january_decided_copy, JANUARY, promotion_decision)
    assert values["trigger"] == "manual"
    assert (values["production version"], values["difference interval"]) == ("none", "none")


def test_the_gate_shows_one_check_a_criterion_bound_to_the_candidate(february_decided_copy, gate):
    found = gate(february_decided_copy, FEBRUARY)
    assert list(found) == [criterion.name for criterion in CRITERIA]
    findings = {
        finding["name"]: finding
        for finding in february_decided_copy.records.decisions()[-1]["findings"]
    }
    for name, result in found.items():
        assert result.description == findings[name]["detail"]
        assert result.metadata["outcome"].value == findings[name]["outcome"]
        assert (result.metadata["as_of"].value, result.metadata["candidate version"].value) == (
            "2024-02-29",
            "2",
        )
        assert result.passed is (findings[name]["outcome"] in ("pass", "not_applicable"))


def test_a_refusal_is_a_green_run_with_a_yellow_check(february_decided_copy, materialize, gate):
    home = refused(february_decided_copy)
    candidate(home, FEBRUARY, "other code")
    result = materialize(home, FEBRUARY, promotion_decision, production_model, promotion_gate)
    assert result.success
    found = {check.check_name: check for check in result.get_asset_check_evaluations()}
    beats = found["beats_production"]
    assert (beats.passed, beats.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "0.9" in beats.description
    [shown] = result.asset_materializations_for_node("production_model")
    assert shown.metadata["outcome"].value.startswith("Kept version 1: ")
    assert shown.metadata["production version"].value == "1"
    assert shown.metadata["newest list"].value == "The list is of version 1."
    assert open_home(home.folder).releases.pointer().version == 1


def test_an_unsound_comparison_is_a_red_check(february_decided_copy, gate):
    folder = february_decided_copy.folder / "ledger" / "decisions"
    newest = max(folder.glob("*.json"))
    newest.write_text(newest.read_text().replace('"unsound": false', '"unsound": true', 1))
    first = gate(february_decided_copy, FEBRUARY)[CRITERIA[0].name]
    assert first.severity == dg.AssetCheckSeverity.ERROR


def test_an_approved_candidate_is_promoted(february_decided_copy, shown):
    values = shown(february_decided_copy, FEBRUARY, production_model)
    outdated = "The list is of version 1; version 2 is in production."
    assert values["newest list"] == outdated
    assert values["outcome"].startswith("Promoted version 2: ")
    assert values["production version"] == "2"
    assert values["production AUC at its decision"] == pytest.approx(
        february_decided_copy.records.decisions()[-1]["candidate_auc"], abs=1e-9
    )
    assert values["release"] == str(february_decided_copy.folder / "releases" / "2")
    home = open_home(february_decided_copy.folder)
    assert (home.releases.pointer().version, home.registry.alias("production")) == (2, 2)


def test_without_production_a_refusal_leaves_none(january_decided_copy, shown):
    values = shown(with_policy(january_decided_copy, delta=0.02), JANUARY, production_model)
    assert values["outcome"].startswith("No model is in production: ")
    assert (values["production version"], values["release"]) == ("none", "none")


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
