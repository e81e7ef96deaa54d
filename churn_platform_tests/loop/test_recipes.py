"""A home whose recipes compete: training, decision, MLflow, Dagster's metadata, reproduction and the terminal."""

import json

import pytest
from typer.testing import CliRunner

from churn_platform.cli.app import app
from churn_platform.defs.promotion import _candidate_metadata
from churn_platform.training import candidate as candidates
from churn_platform_tests.small_business import (
    DECLARED,
    JANUARY,
    candidate,
    copied,
    make_home,
    up_to_decision,
    up_to_scores,
    with_changes,
)

RECIPES = [
    {"name": "flat", "algorithm": "logistic_regression", "parameters": {"C": 1e-06}},
    {
        "name": "tuned",
        "algorithm": "logistic_regression",
        "parameters": {"C": 1e-06},
        "tune": {"C": {"low": 1e-06, "high": 1.0, "log": True}},
    },
    {"name": "broken", "algorithm": "logistic_regression", "parameters": {"C": -1.0}},
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """January, with a promoted version whose recipe was chosen from three."""
    training = {"candidates": RECIPES, "fits": 36}
    contract = {**DECLARED, "policy": {**DECLARED["policy"], "training": training}}
    made = make_home(tmp_path_factory.mktemp("recipes") / "home", contract)
    return up_to_scores(up_to_decision(made, JANUARY, "first"), JANUARY)


def searching(monkeypatch):
    """Counts the searches that follow."""
    done = []
    choose = candidates.choose_recipe
    monkeypatch.setattr(
        candidates, "choose_recipe", lambda *given: done.append(1) or choose(*given)
    )
    return done


def test_the_chosen_recipe_is_promoted_and_the_decision_records_the_others(home):
    card = home.registry.load(1).card
    assert home.releases.pointer().version == 1
    [decision] = home.decisions.all()
    assert decision.chosen_from == card.chosen_from
    assert (card.chosen_from.chosen, card.chosen_from.fits) == ("tuned", 36)
    assert home.releases.card(1).chosen_from == card.chosen_from


def test_mlflow_has_the_figures_of_every_recipe(home):
    [version] = home.registry._client().search_model_versions("name='gym_churn'")
    run = home.registry._client().get_run(version.run_id or version.tags["mlflow_run"])
    choice = home.registry.load(1).card.chosen_from
    assert run.data.params["recipes.chosen"] == "tuned"
    assert run.data.params["recipes.fits"] == "36"
    assert run.data.metrics["recipes.flat.log_loss"] == choice.candidates[0].log_loss
    assert run.data.metrics["recipes.tuned.auc"] == choice.candidates[1].auc
    assert "recipes.broken.log_loss" not in run.data.metrics
    artifact = home.folder / "artifacts" / run.info.run_id / "artifacts" / "chosen_from.json"
    assert json.loads(artifact.read_text()) == choice.as_json()


def test_the_same_data_and_list_are_the_same_version_and_not_searched_again(
    home, tmp_path, monkeypatch
):
    searches = searching(monkeypatch)
    assert candidate(copied(home, tmp_path / "home"), JANUARY) == 1
    assert searches == []


def test_the_asset_and_the_terminal_show_the_recipes(home):
    with home.registry.run() as run_id:
        trained = home.candidate_training.train(JANUARY, run_id)
    shown = _candidate_metadata(trained, run_id)
    assert shown["chosen recipe"] == "tuned"
    assert shown["recipes"].value.count("\n") == 4
    asked = ["decision", "--home", str(home.folder)]
    said = CliRunner().invoke(app, asked, env={"COLUMNS": "200"}).stdout
    assert all(name in said for name in ("flat", "tuned (chosen)", "broken", "36 fits"))
    found = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert found["chosen_from"]["chosen"] == "tuned"


def test_a_version_is_reproduced_from_the_recorded_recipe_and_deep_by_the_search(home, monkeypatch):
    searches = searching(monkeypatch)
    found = home.reproduction.reproduce(1)
    assert (found.reproduced, found.changed, searches) == (True, [], [])
    assert [note for note in found.noted if "--deep" in note]
    deep = home.reproduction.reproduce(1, deep=True)
    assert (deep.reproduced, deep.changed, deep.noted, searches) == (True, [], [], [1])
    [choice] = [one for one in deep.compared if one.what == "chosen recipe"]
    assert choice.same
    assert choice.found.startswith("tuned (")


def test_another_choice_is_found_by_the_search_alone(home, tmp_path, monkeypatch):
    changed = copied(home, tmp_path / "home")
    choose = candidates.choose_recipe

    def other(search, training):
        recipe, record = choose(search, training)
        return recipe, record.model_copy(update={"best": "flat"})

    monkeypatch.setattr(candidates, "choose_recipe", other)
    assert changed.reproduction.reproduce(1).reproduced
    deep = changed.reproduction.reproduce(1, deep=True)
    assert not deep.reproduced
    assert [one.what for one in deep.compared if not one.same] == ["chosen recipe"]


def test_a_version_is_made_again_by_its_own_list_after_the_policy_changed(home, tmp_path):
    path = {"policy.training": {"algorithm": "logistic_regression"}}
    changed = with_changes(copied(home, tmp_path / "home"), path)
    assert not changed.contract.policy.training.candidates
    found = changed.reproduction.reproduce(1, deep=True)
    assert found.reproduced
    fields = {note.partition(":")[0].partition("[")[0] for note in found.noted}
    assert {"policy.training.algorithm", "policy.training.fits"} <= fields


def test_a_list_that_cannot_be_fitted_is_a_refused_training(home, tmp_path):
    broken = [RECIPES[2], {**RECIPES[2], "name": "worse"}]
    changed = with_changes(
        copied(home, tmp_path / "home"), {"policy.training": {"candidates": broken}}
    )
    refused = changed.candidate_training.train(JANUARY)
    assert "None of the 2 recipes" in refused.reason
    [receipt] = changed.ledger.receipts("training refused")
    assert "broken: " in receipt.reason
