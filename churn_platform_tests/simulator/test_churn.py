"""The two relations to churn: known strength, unrelated to each other, for any number of features."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from churn_platform.base.errors import ContractError
from churn_platform.simulator.churn import Relation, build_world, leaked_feature, with_log_odds
from churn_platform_tests.simulator.shop import shop

ROWS = 20_000
FLAT = {"flat": {"dtype": "integer", "min": 4, "max": 4}}
SEEDS = pytest.mark.parametrize("seed", range(4))


def floats(count):
    return {f"x{number}": {"dtype": "float", "min": 0} for number in range(count)}


def world_of(columns, seed=1):
    return build_world(shop(columns), np.random.default_rng(seed))


def population(world, *, moved):
    """Encoded features of customers who were not used to build the world."""
    random = np.random.default_rng(99)
    moves = world.relation_moves if moved else {}
    return np.column_stack(
        [
            world.shapes[key].encoded(random.standard_normal(ROWS) + moves.get(key, 0.0))
            for key in world.features
        ]
    )


def auc(labels_by, score_by):
    return roc_auc_score(np.random.default_rng(5).random(ROWS) < labels_by, score_by)


@pytest.mark.parametrize("count", [2, 3, 5, 14])
def test_both_relations_have_the_wanted_strength_and_the_old_one_is_near_chance_after_the_shift(
    count,
):
    world = world_of(floats(count))
    after = population(world, moved=True)
    old = world.before.probability(population(world, moved=False))
    new = world.after.probability(after)
    assert (old.mean(), new.mean()) == pytest.approx((0.22, 0.25), abs=0.01)
    assert (auc(old, old), auc(new, new)) == pytest.approx((0.83, 0.83), abs=0.03)
    stale = world.before.probability(after)
    assert 0.49 < auc(new, stale) < 0.58
    np.testing.assert_allclose(world.probability(after, 0.25), 0.75 * stale + 0.25 * new)


def test_with_a_single_feature_the_shift_reverses_the_relation():
    world = world_of(floats(1))
    after = population(world, moved=True)
    assert auc(world.after.probability(after), world.before.probability(after)) < 0.25
    assert list(world.relation_moves) == [("facts", "x0")]


@SEEDS
def test_the_weights_have_both_signs_and_the_strongest_changes_its_sign(seed):
    world = world_of(floats(14), seed)
    old, new = world.before.weights, world.after.weights
    assert {*np.sign(old)} == {-1, 0, 1}
    strongest = np.argmax(np.abs(old))
    assert old[strongest] * new[strongest] < 0
    assert np.count_nonzero(old) == 4
    assert (np.linalg.norm(old), np.linalg.norm(new), old @ new) == pytest.approx((1, 1, 0.1))
    drivers = [("facts", name) for name in world.drivers(0.0)]
    strength = [abs(old[world.features.index(key)]) for key in drivers]
    assert strength == sorted(strength, reverse=True)
    assert len(strength) == 4


@SEEDS
def test_two_new_drivers_move_with_the_relation_and_numbers_before_categories(seed):
    categories = {name: {"dtype": "category", "values": ["a", "b", "c"]} for name in ("c0", "c1")}
    world = world_of(categories | floats(14), seed)
    moved = [world.features.index(key) for key in world.relation_moves]
    assert len(moved) == 2
    assert (world.before.weights[moved] == 0).all()
    names = {name for _, name in world.relation_moves}
    assert names <= set(world.drivers(1.0)) & floats(14).keys()
    weak, idle = (
        abs(world.before.weights[world.features.index(key)]) for key in world.covariate_moves
    )
    assert 0 < weak < np.abs(world.before.weights).max()
    assert idle == 0


def test_a_null_and_a_constant_have_no_effect_and_an_outlier_is_clipped():
    relation = Relation(np.ones(3), np.zeros(3), np.array([1.0, 2.0, 0.0]), 2.0, -1.0)
    encoded = np.array([[np.nan, np.nan, 0.0], [1.0, 4.0, 0.0], [100.0, 0.0, 0.0]])
    expected = 1 / (1 + np.exp(-np.array([-1.0, -1.0 + 2 * 3.0, -1.0 + 2 * 2.5])))
    np.testing.assert_allclose(relation.probability(encoded), expected)


def test_features_that_cannot_vary_have_no_weight():
    world = world_of(floats(3) | FLAT)
    place = world.features.index(("facts", "flat"))
    assert world.before.weights[place] == world.after.weights[place] == 0
    with pytest.raises(ContractError, match="feature_views"):
        world_of(FLAT)


def test_distances_are_shares_of_the_complete_move_and_add_up():
    world = world_of(floats(14))
    assert world.distances(0.0, 0.0) == {}
    assert world.distances(0.5, 0.0) == dict.fromkeys(world.relation_moves, 0.25)
    assert world.distances(0.0, 1.0) == dict.fromkeys(world.covariate_moves, 0.5)
    assert sum(world.distances(1.0, 1.0).values()) == pytest.approx(2.0)


def test_log_odds_multiply_the_odds():
    chance = np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(with_log_odds(chance, np.log(3)), [0.25, 0.75, 27 / 28])
    assert with_log_odds(chance, 0.0) is chance


def test_a_leaking_feature_puts_every_churner_above_all_others():
    found = leaked_feature(np.array([-5.0, 5.0, 0.0, 1.0]), np.array([True, False, False, True]))
    assert found.tolist() == [9.0, 0.0, 0.0, 5.0]


CATEGORY, NULLABLE = {"dtype": "category"}, {"dtype": "float", "nullable": True}


@pytest.mark.parametrize(
    ("columns", "leaks"),
    [
        ({"a": CATEGORY, "b": NULLABLE, "c": {"dtype": "float"}}, "c"),
        ({"a": CATEGORY, "b": NULLABLE}, "b"),
        ({"a": CATEGORY, "b": {"dtype": "boolean"}}, "ab"),
    ],
)  # fmt: skip
def test_a_number_that_is_never_null_leaks_before_others_do(columns, leaks):
    assert world_of(columns).leak[1] in leaks
