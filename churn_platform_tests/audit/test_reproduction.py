"""What changed is named; two candidates are the same only when every bit is."""

import dataclasses

import numpy as np
import pytest

from churn_platform.audit.reproduction import (
    changed_code,
    changed_policy,
    changed_tables,
    check_recipe,
    compare,
    contract_as_then,
)
from churn_platform.base.errors import ContractError
from churn_platform.contract.model import Contract
from churn_platform.training.candidate import fit_candidate
from churn_platform.training.model import Recipe


def under(contract, **changes):
    return Contract.model_validate({**contract.as_mapping(), **changes})


def with_training(contract, **fields):
    policy = contract.as_mapping()["policy"]
    return under(contract, policy={**policy, "training": policy["training"] | fields})


@pytest.fixture(scope="module")
def again(gym, two_months):
    return fit_candidate(gym, two_months, "code")


def test_the_same_dataset_and_recipe_are_the_same_in_everything(gym, two_months, candidate, again):
    found = list(compare(gym, two_months, candidate, again, candidate))
    assert [one.what for one in found if not one.same] == []
    assert len(found) == 8


def carded(candidate, changes):
    """The candidate with another model card."""
    return dataclasses.replace(candidate, card=candidate.card.model_copy(update=changes))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda c: dataclasses.replace(c, training_entities=c.training_entities[1:]),
            "training customers",
        ),
        (lambda c: carded(c, {"threshold": 0.5}), "threshold"),
        (lambda c: carded(c, {"training_churners": 1}), "training churners"),
        (lambda c: carded(c, {"metrics": c.card.metrics | {"auc": 0.5}}), "metrics on the holdout"),
        (lambda c: carded(c, {"digest": "f" * 64}), "version (data, months, recipe)"),
    ],
)
def test_each_thing_that_differs_is_named_alone(gym, two_months, candidate, again, change, what):
    found = compare(gym, two_months, change(candidate), again, None)
    assert [one.what for one in found if not one.same] == [what]


def test_the_last_bit_of_one_prediction_is_a_difference(gym, two_months, candidate, again):
    class Moved:
        def probability(self, rows):
            found = candidate.model.probability(rows)
            found[-1] = np.nextafter(found[-1], 1.0)
            return found

    moved = dataclasses.replace(candidate, model=Moved())
    found = [one.what for one in compare(gym, two_months, moved, again, None) if not one.same]
    assert found == [f"predictions of {len(two_months.frame):,} rows"]


def test_the_contract_is_put_back_to_what_a_version_was_made_with(gym, candidate):
    made_from = candidate.card.made_from
    assert contract_as_then(gym, made_from) == gym
    now = with_training(gym, algorithm="random_forest", salt="other", holdout_fraction=0.5, seed=8)
    then = contract_as_then(now, made_from)
    assert Recipe.of(then) == Recipe.of(gym)
    assert then.policy.training.salt == gym.policy.training.salt
    assert [said.split(":")[0] for said in changed_policy(now, made_from)] == [
        "policy.training.algorithm",
        "policy.training.holdout_fraction",
        "policy.training.salt",
        "policy.training.seed",
    ]
    assert changed_policy(gym, made_from) == []


def test_features_or_slices_that_have_no_place_any_more_are_an_error(gym, candidate):
    made_from = candidate.card.made_from
    recipe = made_from.recipe
    with pytest.raises(
        ContractError, match=r"features of the contract have changed since: features\.gone"
    ):
        check_recipe(
            gym,
            made_from.model_copy(
                update={"recipe": recipe | {"features": [*recipe["features"], ["gone", "float"]]}}
            ),
        )
    with pytest.raises(ContractError, match=r"has no place any more for what it was made with"):
        contract_as_then(gym, made_from.model_copy(update={"slices": ["no_column"]}))


def test_changed_code_is_named_by_library_recipe_and_machine():
    then = {"libraries": {"numpy": "2.4"}, "recipe": 1, "machine": {"python": "3.11.1"}}
    now = {"libraries": {"numpy": "2.5"}, "recipe": 2, "machine": {"python": "3.11.1"}}
    library, recipe = changed_code(then, now)
    assert library == 'numpy: "2.4" -> "2.5"'
    assert "recipe version 1" in recipe
    assert changed_code(now, now) == []


def test_a_version_made_before_the_recipe_had_a_version_says_so():
    before = {"libraries": {}, "sources": {"model.py": "a"}, "machine": {}}
    (said,) = changed_code(before, {"libraries": {}, "recipe": 1, "machine": {}})
    assert "before 0.2" in said


def test_changed_tables_are_named_by_month():
    then, now = {"a 1": "x", "b 1": "y"}, {"b 1": "z", "c 1": "w"}
    assert changed_tables(then, now) == [
        "a 1 is not in the lake any more as it was known then",
        "b 1 holds other rows than then (digest y, now z)",
        "c 1 was not known then, and is now",
    ]
    assert changed_tables(then, then) == []
