"""Several recipes compete: which one is chosen, on which rows, within which budget, and what is recorded."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from churn_platform.base.errors import DataError, UsageError
from churn_platform.contract.recipes import CROSS_VALIDATION, MODEL
from churn_platform.features.training_dataset import OUTSIDE, WEIGHT
from churn_platform.promotion.gate import gather
from churn_platform.training import choosing, tuning
from churn_platform.training.candidate import (
    candidate_digest,
    fit_candidate,
    forward_scores,
    recipe_of,
    shuffled_refit,
)
from churn_platform.training.choosing import (
    MeasuredRecipe,
    Search,
    TrainingRows,
    asked_for,
    choose_recipe,
    measure,
    trials_of,
)
from churn_platform.training.entry_point import EstimatorError
from churn_platform.training.estimator import SigmoidCalibrated
from churn_platform.training.model import Recipe
from churn_platform.training.recipe_check import check_recipes

FLAT = {"name": "flat", "algorithm": "logistic_regression", "parameters": {"C": 1e-6}}
LINEAR = {"name": "linear", "algorithm": "logistic_regression"}
SAME = {"name": "same", "algorithm": "logistic_regression", "parameters": {"C": 0.999}}
TUNED = {**FLAT, "name": "tuned", "tune": {"C": {"low": 1e-6, "high": 10.0, "log": True}}}
BROKEN = {"name": "broken", "algorithm": "logistic_regression", "parameters": {"C": -1.0}}


@pytest.fixture(scope="module")
def competing(declare):
    """The gym's contract with some candidates."""
    return lambda *candidates, **fields: declare(
        policy={"training": {"candidates": candidates, **fields}}
    )


@pytest.fixture(scope="module")
def three(competing):
    return competing(FLAT, LINEAR, SAME)


@pytest.fixture(scope="module")
def chosen(three, two_months):
    return fit_candidate(three, two_months, "code")


@pytest.fixture(scope="module")
def training(two_months):
    rows = two_months.training_rows()
    return TrainingRows(rows, rows["label"], rows["member"])


def chose(contract, training):
    return choose_recipe(Search.of(contract), training)[1]


def same_model(one, other, dataset):
    return np.array_equal(
        one.model.probability(dataset.frame), other.model.probability(dataset.frame)
    )


def by_name(choice):
    return {one.name: one for one in choice.candidates}


def test_the_first_recipe_within_one_standard_error_of_the_best_makes_the_model(
    chosen, gym, two_months
):
    choice = chosen.card.chosen_from
    found = by_name(choice)
    assert choice.chosen == "linear"
    assert found["flat"].gap > 5 * found["flat"].gap_error
    assert abs(found["linear"].log_loss - found["same"].log_loss) < 1e-3
    alone = fit_candidate(gym, two_months, "code")
    assert same_model(chosen, alone, two_months)
    assert chosen.card.metrics == alone.card.metrics
    assert chosen.card.made_from.recipe == alone.card.made_from.recipe
    assert chosen.card.algorithm == "logistic_regression"


def test_the_figures_are_those_of_models_that_have_not_seen_the_customer(training, gym):
    rows = pd.concat([training.rows, training.rows.assign(as_of="2024-03-31")], ignore_index=True)
    twice = TrainingRows(rows, rows["label"], rows["member"])
    recipe = dataclasses.replace(
        Recipe.of(gym), algorithm="random_forest", parameters={"n_estimators": 5}
    )
    measured = measure(recipe, twice)
    # A forest that had seen the same customer's other row would know the label.
    assert measured.auc < 0.85
    _, folds = recipe.cross_validated(rows, rows["label"], rows["member"])
    assert pd.Series(folds).groupby(rows["member"]).nunique().max() == 1
    assert len(measured.fold_losses) == len(measured.fold_aucs) == CROSS_VALIDATION


def test_the_probabilities_are_calibrated_by_the_other_folds(training, gym):
    recipe = Recipe.of(gym)
    probability, folds = recipe.cross_validated(training.rows, training.labels, training.entities)
    model = recipe.fit(training.rows, training.labels, training.entities)
    classify = model.pipeline.named_steps["classify"]
    columns = model.prepared(training.rows)
    labels = training.labels.to_numpy(dtype=int)
    scores, same_folds = classify._out_of_fold(columns, labels, None)
    assert np.array_equal(folds, same_folds)
    own = folds == 2
    sigmoid = LogisticRegression(C=1e6).fit(scores[~own][:, None], labels[~own])
    assert probability[own] == pytest.approx(sigmoid.predict_proba(scores[own][:, None])[:, 1])


def test_the_holdout_has_no_part_in_the_choice(three, two_months, chosen):
    frame = two_months.frame.copy()
    poisoned = frame["holdout"]
    frame.loc[poisoned, "label"] = ~frame.loc[poisoned, "label"]
    frame.loc[poisoned, "monthly_fee"] = frame.loc[poisoned, "monthly_fee"].to_numpy()[::-1] * 9
    other = fit_candidate(three, dataclasses.replace(two_months, frame=frame), "code")
    assert other.card.chosen_from == chosen.card.chosen_from
    assert other.card.made_from.recipe == chosen.card.made_from.recipe
    assert same_model(other, chosen, two_months)
    assert other.card.metrics["auc"] != chosen.card.metrics["auc"]


def test_rows_that_stand_for_more_customers_count_more(training, three):
    weights = np.where(training.rows["tier"] == "basic", 5.0, 1.0)
    plain = by_name(chose(three, training))
    weighed = by_name(chose(three, dataclasses.replace(training, weights=weights)))
    one = measure(Recipe.of(three, three.policy.training.candidates[1]), training)
    assert weighed["linear"].log_loss == pytest.approx(np.average(one.losses, weights=weights))
    assert plain["linear"].log_loss == pytest.approx(one.losses.mean())


def test_the_weights_of_a_dataset_with_contacts_are_used(three, two_months, monkeypatch):
    weights = np.where(np.arange(len(two_months.frame)) % 7, 1.0, 3.0)
    frame = two_months.frame.assign(**{WEIGHT: weights, OUTSIDE: False})
    dataset = dataclasses.replace(two_months, frame=frame)
    given = []

    def spied(search, training):
        given.append(training.weights)
        return choose_recipe(search, training)

    monkeypatch.setattr("churn_platform.training.candidate.choose_recipe", spied)
    fit_candidate(three, dataset, "code")
    assert np.array_equal(given[0], dataset.training_rows()[WEIGHT])


def test_the_same_data_contract_and_code_choose_the_same(competing, two_months):
    contract = competing(FLAT, TUNED, fits=56)
    one, other = (fit_candidate(contract, two_months, "code") for _ in range(2))
    assert one.card.as_json() == other.card.as_json()
    assert same_model(one, other, two_months)
    again = fit_candidate(contract, two_months, "code", chosen=one.card)
    assert again.card.as_json() == one.card.as_json()
    assert same_model(again, one, two_months)


def test_tuned_parameters_beat_a_bad_recipe_and_are_recorded(competing, training):
    choice = chose(competing(FLAT, TUNED, fits=66), training)
    tuned = by_name(choice)["tuned"]
    assert choice.chosen == "tuned"
    assert tuned.tuned
    assert tuned.parameters["C"] > 1e-3
    assert (tuned.trials, tuned.failed_trials) == (10, 0)
    recipe, _ = choose_recipe(Search.of(competing(FLAT, TUNED, fits=66)), training)
    assert recipe.parameters == tuned.parameters


def test_a_tuned_recipe_that_is_no_better_keeps_its_own_parameters(competing, training):
    good = {**LINEAR, "name": "good", "tune": {"C": {"low": 0.5, "high": 2.0}}}
    found = by_name(chose(competing(good, fits=26), training))["good"]
    assert (found.tuned, found.parameters) == (False, {})


def test_the_luck_of_many_trials_tunes_nothing(training, monkeypatch, competing):
    # Each variant has the loss of the untuned recipe and noise, so the best of 15 is ahead by luck.
    random = np.random.default_rng(0)

    def measured(recipe, training):
        losses = 0.5 + random.normal(0, 0.5, len(training.rows))
        return MeasuredRecipe(recipe, losses, [0.5], [0.5])

    monkeypatch.setattr(choosing, "measure", measured)
    contract = competing({**TUNED, "name": "one"}, fits=86)
    found = [chose(contract, training).candidates[0] for _ in range(20)]
    assert {one.trials for one in found} == {15}
    assert sum(one.tuned for one in found) <= 8


def test_the_budget_is_kept_and_the_fits_that_are_left_are_shared(competing, training, monkeypatch):
    fits = []
    fitted = SigmoidCalibrated._fitted
    monkeypatch.setattr(
        SigmoidCalibrated, "_fitted", lambda self, *rows: fits.append(1) or fitted(self, *rows)
    )
    contract = competing(LINEAR, TUNED, {**TUNED, "name": "other"}, fits=56)
    assert trials_of(Search.of(contract), 2) == [4, 3]
    recipe, choice = choose_recipe(Search.of(contract), training)
    assert len(fits) == choice.fits - MODEL == 50
    recipe.fit(training.rows, training.labels, training.entities)
    assert (len(fits), choice.fits, choice.budget) == (56, 56, 56)
    assert [one.fits for one in choice.candidates] == [5, 25, 20]


def test_values_that_were_tried_are_not_fitted_again(competing, training):
    one = {**LINEAR, "name": "one", "tune": {"fit_intercept": {"choices": [True, False]}}}
    found = by_name(chose(competing(one, fits=61), training))["one"]
    assert (found.trials, found.fits) == (10, 5 + 2 * 5)


def test_a_recipe_that_cannot_be_fitted_is_left_out_with_its_reason(competing, training):
    choice = chose(competing(BROKEN, FLAT, LINEAR), training)
    broken = by_name(choice)["broken"]
    assert choice.chosen == "linear"
    assert "logistic_regression could not be fitted" in broken.why
    assert (broken.log_loss, broken.auc) == (None, None)
    assert "log_loss" not in broken.as_json()


def test_a_tuned_variant_that_cannot_be_fitted_counts_as_a_failed_trial(competing, training):
    half = {**LINEAR, "name": "half", "tune": {"C": {"low": -1.0, "high": 1.0}}}
    found = by_name(chose(competing(half, fits=61), training))["half"]
    assert 0 < found.failed_trials < found.trials == 10


def test_if_no_recipe_can_be_fitted_the_training_is_refused(competing, training):
    with pytest.raises(DataError) as refused:
        chose(competing(BROKEN, {**BROKEN, "name": "worse"}), training)
    assert refused.value.code == "RECIPES_FAILED"
    assert all(name in str(refused.value) for name in ("broken:", "worse:"))
    assert str(refused.value).count("\n") == 0


def test_too_few_churners_are_a_fault_of_the_data_not_of_the_recipes(three, training):
    churners = training.rows[training.labels].index[9:]
    few = training.rows.drop(churners)
    with pytest.raises(DataError) as refused:
        chose(three, TrainingRows(few, few["label"], few["member"]))
    assert refused.value.code == "TOO_FEW_ROWS"


def test_a_wrong_name_is_a_fault_of_the_contract_and_no_recipe_is_left_out(competing, training):
    wrong = {**LINEAR, "name": "wrong", "parameters": {"c": 1.0}}
    tuned = {**LINEAR, "name": "tuned", "tune": {"c": {"low": 1.0, "high": 2.0}}}
    for other in (wrong, tuned):
        with pytest.raises(EstimatorError) as refused:
            chose(competing(LINEAR, other), training)
        assert refused.value.code == "ESTIMATOR_PARAMETER_UNKNOWN"


def test_a_fault_of_the_machine_does_not_change_the_choice(competing, training, monkeypatch):
    fitted = SigmoidCalibrated._fitted

    def out_of_memory(self, *rows):
        if self.estimator.C == 1e-6:
            raise MemoryError
        return fitted(self, *rows)

    monkeypatch.setattr(SigmoidCalibrated, "_fitted", out_of_memory)
    with pytest.raises(MemoryError):
        chose(competing(FLAT, LINEAR), training)


def test_without_optuna_a_list_with_tune_is_refused_and_others_are_not(
    competing, training, two_months, monkeypatch
):
    contract = competing(FLAT, TUNED, fits=56)
    made = fit_candidate(contract, two_months, "code")
    monkeypatch.setattr(tuning.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as refused:
        fit_candidate(contract, two_months, "code")
    assert refused.value.code == "PACKAGE_MISSING"
    assert chose(competing(FLAT, LINEAR), training).chosen == "linear"
    again = fit_candidate(contract, two_months, "code", chosen=made.card)
    assert again.card.as_json() == made.card.as_json()


def test_the_identity_covers_the_list_and_the_search(competing, two_months, monkeypatch):
    lists = [
        competing(FLAT, LINEAR),
        competing(LINEAR, FLAT),
        competing(FLAT, LINEAR, fits=60),
        competing(FLAT, {**LINEAR, "name": "line"}),
        competing(FLAT, {**LINEAR, "parameters": {"C": 2.0}}),
        competing(FLAT, TUNED),
        competing(FLAT, {**TUNED, "tune": {"C": {"low": 1e-6, "high": 9.0, "log": True}}}),
        competing(FLAT, LINEAR, seed=8),
    ]
    digests = [candidate_digest(two_months, asked_for(contract), "code") for contract in lists]
    monkeypatch.setattr(choosing, "optuna_version", lambda: "0.0.1")
    digests.append(candidate_digest(two_months, asked_for(lists[5]), "code"))
    assert len(set(digests)) == len(digests)


def test_without_candidates_card_and_digest_are_those_of_earlier_versions(
    gym, candidate, two_months
):
    assert "chosen_from" not in candidate.card.as_json()
    assert "search" not in candidate.card.as_json()["made_from"]
    assert candidate.digest == candidate_digest(two_months, Recipe.of(gym), "code")


def test_the_gate_refits_the_chosen_recipe_without_searching_again(
    three, two_months, chosen, monkeypatch
):
    def searched(*_):
        raise AssertionError("the recipe is chosen again")

    monkeypatch.setattr("churn_platform.training.candidate.choose_recipe", searched)
    recipe = recipe_of(three, chosen.card.made_from)
    assert recipe.as_json() == chosen.card.made_from.recipe
    fitted = []

    def fit(own, *rows):
        fitted.append(own)
        return own.fit(*rows)

    evidence = gather(three, two_months, chosen, None, 1, fit)
    assert np.array_equal(evidence.forward, forward_scores(three, two_months, recipe=recipe))
    shuffled_refit(three, two_months, fit, recipe_of(three, chosen.card.made_from))
    assert fitted == [recipe, recipe]


def test_a_version_from_before_the_list_is_refitted_by_its_own_recipe(three, two_months, candidate):
    assert recipe_of(three, candidate.card.made_from).as_json() == candidate.card.made_from.recipe
    evidence = gather(three, two_months, candidate, None, 1)
    assert evidence.forward is not None


def test_every_recipe_says_why_it_was_chosen_or_not(chosen):
    choice = chosen.card.chosen_from
    why = {one.name: one.why for one in choice.candidates}
    assert (choice.chosen, choice.folds, choice.budget) == ("linear", 5, 100)
    assert choice.best in ("linear", "same")
    assert "above that of" in why["flat"]
    assert "within one standard error" in why["linear"] + why["same"]
    assert len(choice.table()) == 3
    assert choice.table()[1][0] == "linear (chosen)"


def checked(contract, tmp_path):
    return [
        (one.state, one.where, one.code) for one in check_recipes(contract, tmp_path / "c.yaml")
    ]


def test_the_check_of_a_contract_tries_every_recipe_and_both_ends_of_what_is_tuned(
    competing, tmp_path
):
    place = "policy.training.candidates"
    good = competing(FLAT, TUNED, fits=56)
    assert checked(good, tmp_path) == [
        ("ok", f"{place}.flat", None),
        ("ok", f"{place}.tuned", None),
    ]
    typo = {**LINEAR, "name": "typo", "parameters": {"c": 1.0}}
    ends = {**LINEAR, "name": "ends", "tune": {"C": {"low": -1.0, "high": 1.0}}}
    unknown = {**LINEAR, "name": "unknown", "tune": {"leaves": {"low": 1, "high": 3}}}
    assert checked(competing(typo, ends, unknown), tmp_path) == [
        ("fail", f"{place}.typo", "ESTIMATOR_PARAMETER_UNKNOWN"),
        ("ok", f"{place}.ends", None),
        ("fail", f"{place}.ends.tune", "ESTIMATOR_FAILED"),
        ("ok", f"{place}.unknown", None),
        ("fail", f"{place}.unknown.tune", "ESTIMATOR_PARAMETER_UNKNOWN"),
    ]


def test_the_check_of_a_contract_asks_for_optuna(competing, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning.util, "find_spec", lambda name: None)
    found = checked(competing(FLAT, TUNED, fits=56), tmp_path)
    assert ("fail", "policy.training.candidates.tuned", "PACKAGE_MISSING") in found
