"""The two relations to churn: known strength, unrelated to each other, for any number of features."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from churn_platform.base.errors import ContractError
from churn_platform.contract.model import Contract
from churn_platform.simulator.churn import Relation, build_world, leaked_feature, with_log_odds

ROWS = 20_000


def contract_of(columns):
    """A contract whose features are `columns`, in that order."""
    return Contract.model_validate(
        {
            "name": "shop",
            "model_name": "shop_churn",
            "entity": {"column": "key"},
            "tables": {
                "facts": {"columns": columns},
                "ends": {"columns": {"left": {"dtype": "boolean"}}},
            },
            "label": {"table": "ends", "column": "left"},
            "feature_views": {"facts_fv": {"table": "facts", "features": list(columns)}},
        }
    )


def floats(count):
    return {f"x{number}": {"dtype": "float", "min": 0} for number in range(count)}


def world_of(columns, seed=1):
    return build_world(contract_of(columns), np.random.default_rng(seed))


def population(world, *, moved):
    """Encoded features of people who were not used to build the world."""
    rng = np.random.default_rng(99)
    columns = [
        world.shapes[key].encoded(
            rng.standard_normal(ROWS) + (world.relation_moves.get(key, 0.0) if moved else 0.0)
        )
        for key in world.features
    ]
    return np.column_stack(columns)


def auc(labels_by, score_by):
    labels = np.random.default_rng(5).random(ROWS) < labels_by
    return roc_auc_score(labels, score_by)


@pytest.mark.parametrize("count", [2, 3, 5, 14])
@pytest.mark.parametrize("seed", [1, 2])
def test_both_relations_are_as_strong_as_wanted_and_the_old_one_is_near_chance_after_the_shift(
    count, seed
):
    world = world_of(floats(count), seed)
    before, after = population(world, moved=False), population(world, moved=True)
    assert world.before.probability(before).mean() == pytest.approx(0.22, abs=0.01)
    assert world.after.probability(after).mean() == pytest.approx(0.25, abs=0.01)
    assert 0.80 < auc(world.before.probability(before), world.before.probability(before)) < 0.86
    assert 0.80 < auc(world.after.probability(after), world.after.probability(after)) < 0.86
    assert 0.49 < auc(world.after.probability(after), world.before.probability(after)) < 0.58


def test_with_a_single_feature_the_shift_turns_the_relation_round():
    world = world_of(floats(1))
    after = population(world, moved=True)
    assert auc(world.after.probability(after), world.before.probability(after)) < 0.25
    assert list(world.relation_moves) == [("facts", "x0")]


@pytest.mark.parametrize("seed", range(6))
def test_both_signs_occur_and_a_shift_turns_some_of_them_round(seed):
    world = world_of(floats(14), seed)
    old, new = world.before.weights, world.after.weights
    assert (old > 0).any()
    assert (old < 0).any()
    strongest = np.argmax(np.abs(old))
    assert old[strongest] * new[strongest] < 0
    assert np.count_nonzero(old) == 4
    assert np.linalg.norm(old) == pytest.approx(1)
    assert np.linalg.norm(new) == pytest.approx(1)
    assert old @ new == pytest.approx(0.1)


@pytest.mark.parametrize("seed", range(6))
def test_what_moves_carries_the_new_relation_and_had_no_part_in_the_old_one(seed):
    world = world_of(floats(14), seed)
    places = [world.features.index(key) for key in world.relation_moves]
    assert len(places) == 2
    assert (world.before.weights[places] == 0).all()
    assert {name for _, name in world.relation_moves} <= set(world.drivers(1.0))
    still, moved = population(world, moved=False), population(world, moved=True)
    assert world.before.probability(still).mean() == world.before.probability(moved).mean()


def test_numbers_move_before_categories_do():
    categories = {
        f"c{number}": {"dtype": "category", "values": ["a", "b", "c"]} for number in range(2)
    }
    kinds = {
        name[0]
        for seed in range(6)
        for _, name in world_of(categories | floats(14), seed).relation_moves
    }
    assert kinds == {"x"}


def test_drivers_are_named_strongest_first():
    world = world_of(floats(14))
    names = world.drivers(0.0)
    strength = [abs(world.before.weights[world.features.index(("facts", name))]) for name in names]
    assert len(names) == 4
    assert strength == sorted(strength, reverse=True)


def test_between_the_relations_the_probability_is_their_mixture():
    world = world_of(floats(6))
    encoded = population(world, moved=True)
    old, new = world.before.probability(encoded), world.after.probability(encoded)
    np.testing.assert_allclose(world.probability(encoded, 0.25), 0.75 * old + 0.25 * new)


def test_a_null_and_a_constant_have_no_effect_and_an_outlier_is_held_back():
    one = np.ones(3)
    relation = Relation(one, np.zeros(3), np.array([1.0, 2.0, 0.0]), slope=2.0, intercept=-1.0)
    encoded = np.array([[np.nan, np.nan, 0.0], [1.0, 4.0, 0.0], [100.0, 0.0, 0.0]])
    expected = 1 / (1 + np.exp(-np.array([-1.0, -1.0 + 2 * 3.0, -1.0 + 2 * 2.5])))
    np.testing.assert_allclose(relation.probability(encoded), expected)


def test_features_that_cannot_vary_carry_nothing():
    world = world_of(floats(3) | {"flat": {"dtype": "integer", "min": 4, "max": 4}})
    place = world.features.index(("facts", "flat"))
    assert world.before.weights[place] == world.after.weights[place] == 0
    with pytest.raises(ContractError, match="no feature can take two values"):
        world_of({"flat": {"dtype": "integer", "min": 4, "max": 4}})


def test_what_moves_harmlessly_is_a_weak_driver_and_a_feature_without_a_part():
    world = world_of(floats(14))
    weights = [
        abs(world.before.weights[world.features.index(key)]) for key in world.covariate_moves
    ]
    assert len(weights) == 2
    assert 0 < weights[0] < np.abs(world.before.weights).max()
    assert weights[1] == 0


def test_distances_are_shares_of_the_whole_way_and_add_up():
    world = world_of(floats(14))
    assert world.distances(0.0, 0.0) == {}
    assert world.distances(0.5, 0.0) == dict.fromkeys(world.relation_moves, 0.25)
    assert world.distances(0.0, 1.0) == dict.fromkeys(world.covariate_moves, 0.5)
    both = world.distances(1.0, 1.0)
    assert sum(both.values()) == pytest.approx(2.0)


def test_tilting_multiplies_the_odds_and_keeps_the_order():
    chance = np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(with_log_odds(chance, np.log(3)), [0.25, 0.75, 27 / 28])
    assert with_log_odds(chance, 0.0) is chance


def test_a_leaking_feature_puts_every_churner_above_all_others():
    latent, churned = np.array([-5.0, 5.0, 0.0, 1.0]), np.array([True, False, False, True])
    assert (
        leaked_feature(latent, churned)[churned].min()
        > leaked_feature(latent, churned)[~churned].max() + 3
    )
    assert np.array_equal(leaked_feature(latent, churned)[~churned], [0.0, 0.0])


@pytest.mark.parametrize(
    ("columns", "leaks"),
    [
        (
            {
                "a": {"dtype": "category"},
                "b": {"dtype": "float", "nullable": True},
                "c": {"dtype": "float"},
            },
            "c",
        ),
        ({"a": {"dtype": "category"}, "b": {"dtype": "float", "nullable": True}}, "b"),
        ({"a": {"dtype": "category"}, "b": {"dtype": "boolean"}}, "ab"),
    ],
)
def test_a_number_that_is_never_null_leaks_before_others_do(columns, leaks):
    assert world_of(columns).leak[1] in leaks
