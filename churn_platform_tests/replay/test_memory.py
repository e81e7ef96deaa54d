"""What is remembered is what would have come out again, and nothing that would not."""

import dataclasses
import datetime as dt

import numpy as np
import pytest

from churn_platform.contacts.labels import MonthLabels
from churn_platform.promotion.gate import gather
from churn_platform.replay.history import Memory, PastMonth, PastMonths
from churn_platform.training.candidate import fit_candidate, recipe_of, shuffled_refit
from churn_platform.training.model import Recipe

JANUARY = dt.date(2024, 1, 31)
FEBRUARY = dt.date(2024, 2, 29)


@pytest.fixture
def memory(month):
    months = {}
    for as_of, seed in ((JANUARY, 1), (FEBRUARY, 2)):
        drawn = month(as_of, seed=seed)
        labels = drawn.set_index("member")["label"].astype(bool)
        months[as_of] = PastMonth(
            drawn.drop(columns=["as_of", "label"]), ((as_of, MonthLabels(labels)),)
        )
    return Memory(PastMonths(months), "code")


def test_a_fit_is_that_of_the_recipe_and_made_once(memory, gym, two_months):
    rows = two_months.training_rows()
    recipe = Recipe.of(gym)
    found = memory.fit(recipe, rows, rows["label"], rows["member"])
    assert memory.fit(recipe, rows.copy(), rows["label"], rows["member"]) is found
    assert memory.fits == 1
    honest = recipe.fit(rows, rows["label"], rows["member"])
    assert np.array_equal(found.probability(rows), honest.probability(rows))


def test_other_labels_rows_customers_or_recipes_are_fitted_anew(memory, gym, two_months):
    rows = two_months.training_rows()
    recipe = Recipe.of(gym)
    other = rows.assign(monthly_fee=rows["monthly_fee"] + 1)
    for changed in (
        (recipe, rows, rows["label"], rows["member"]),
        (recipe, rows, ~rows["label"], rows["member"]),
        (recipe, other, rows["label"], rows["member"]),
        (recipe, rows, rows["label"], rows["member"].iloc[::-1].reset_index(drop=True)),
        (dataclasses.replace(recipe, seed=8), rows, rows["label"], rows["member"]),
    ):
        memory.fit(*changed)
    assert memory.fits == 5


def test_candidate_refit_and_evidence_are_those_of_the_gate(memory, gym):
    dataset = memory.dataset(gym, FEBRUARY)
    assert memory.dataset(gym, FEBRUARY) is dataset
    candidate = memory.candidate(gym, dataset)
    refit = memory.refit(gym, dataset)
    honest = fit_candidate(gym, dataset, "code")
    assert candidate.card == honest.card
    assert np.array_equal(refit.scores, shuffled_refit(gym, dataset).scores)
    older = dataclasses.replace(memory.candidate(gym, memory.dataset(gym, JANUARY)), version=1)
    found = memory.evidence(gym, dataset, candidate, older, 1)
    expected = gather(gym, dataset, honest, older, 1)
    for name in ("candidate", "production", "forward", "labels"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    assert memory.evidence(gym, dataset, candidate, older, 1) is found
    assert memory.evidence(gym, dataset, candidate, older, 2).attempt == 2
    assert (
        memory.evidence(
            gym, dataset, candidate, dataclasses.replace(older, version=3), 1
        ).production_version
        == 3
    )
    assert not memory.evidence(gym, dataset, candidate, None, 1).compares


def test_another_policy_of_the_gate_has_its_own_evidence(memory, gym, declare):
    dataset = memory.dataset(gym, FEBRUARY)
    candidate = memory.candidate(gym, dataset)
    strict = declare(
        policy={"training": {"algorithm": "logistic_regression"}, "promotion": {"delta": 0.2}}
    )
    assert memory.evidence(gym, dataset, candidate, None, 1).policy.delta == 0.01
    assert memory.evidence(strict, dataset, candidate, None, 1).policy.delta == 0.2


def test_probabilities_of_a_month_are_those_of_the_model(memory, gym):
    candidate = memory.candidate(gym, memory.dataset(gym, JANUARY))
    rows = memory.history.rows(FEBRUARY)
    assert np.array_equal(
        memory.probability(candidate, FEBRUARY), candidate.model.probability(rows)
    )
    assert memory.labelled(gym, JANUARY) is memory.labelled(gym, JANUARY)


def test_competing_recipes_are_chosen_once_and_refitted_as_the_gate_does(
    declare, dataset_of, month
):
    recipes = [
        {"name": "flat", "algorithm": "logistic_regression", "parameters": {"C": 1e-06}},
        {"name": "linear", "algorithm": "logistic_regression"},
    ]
    contract = declare(policy={"training": {"candidates": recipes}})
    dataset = dataset_of(contract, month(JANUARY, seed=1), month(FEBRUARY, seed=2))
    memory = Memory(PastMonths({}), "code")
    chosen = memory.candidate(contract, dataset)
    assert chosen.card == fit_candidate(contract, dataset, "code").card
    assert chosen.card.chosen_from.chosen == "linear"
    recipe = recipe_of(contract, chosen.card.made_from)
    refit = memory.refit(contract, dataset)
    assert np.array_equal(refit.scores, shuffled_refit(contract, dataset, recipe=recipe).scores)
    assert memory.evidence(contract, dataset, chosen, None, 1).forward is not None
    assert memory.fits == 3
