"""The bootstrap over entities against physically repeated rows, and its rules for small numbers."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from churn_platform.base.errors import DataError
from churn_platform.evaluation.comparison import (
    bootstrap_aucs,
    draws_p_value,
    entity_codes,
    too_few,
)


def pooled(seed=0, entities=40, months=3):
    """Three months of the same entities: labels, two models' scores with ties, keys."""
    random = np.random.default_rng(seed)
    keys = np.tile(np.array([f"c{i:03d}" for i in range(entities)], dtype=object), months)
    labels = random.random(keys.size) < 0.3
    one = np.round(random.normal(size=keys.size) + labels, 1)
    other = np.round(random.normal(size=keys.size) + labels / 2, 1)
    return labels, one, other, keys


def test_each_draw_is_the_auc_of_the_rows_of_the_drawn_entities_repeated():
    labels, one, other, keys = pooled()
    found = bootstrap_aucs(labels, (one, other), keys, replicates=30, seed=7)
    random = np.random.default_rng(7)
    rows_of = {code: np.flatnonzero(keys == key) for code, key in enumerate(np.unique(keys))}
    for aucs in found:
        rows = np.concatenate([rows_of[code] for code in random.integers(40, size=40)])
        expected = [roc_auc_score(labels[rows], scores[rows]) for scores in (one, other)]
        assert aucs == pytest.approx(expected, abs=1e-12)


def test_the_order_of_the_rows_does_not_move_a_draw():
    labels, one, other, keys = pooled()
    mixed = np.random.default_rng(1).permutation(labels.size)
    straight = bootstrap_aucs(labels, (one, other), keys, replicates=20)
    shuffled = bootstrap_aucs(labels[mixed], (one[mixed], other[mixed]), keys[mixed], replicates=20)
    assert np.array_equal(straight, shuffled)


def test_a_draw_without_churners_is_drawn_again():
    labels = np.array([1, 1, 0, 0, 0, 0])
    scores = np.array([0.4, 0.9, 0.1, 0.5, 0.6, 0.2])
    found = bootstrap_aucs(labels, (scores,), np.array([1, 2, 3, 4, 5, 6]), replicates=500)
    assert np.isfinite(found).all()
    assert found.min() == 0.0
    assert found.max() == 1.0


def test_one_churned_entity_with_many_rows_is_too_few():
    labels = np.array([1, 1, 1, 0, 0, 0])
    keys = np.array([9, 9, 9, 1, 2, 3])
    assert too_few(labels == 1, keys)
    assert not too_few(labels == 1, np.array([9, 8, 9, 1, 2, 3]))
    assert too_few(labels == 0, keys)
    with pytest.raises(DataError, match="fewer than two entities churned"):
        bootstrap_aucs(labels, (np.arange(6.0),), keys)


def test_entities_are_numbered_in_sorted_order_and_each_row_needs_one():
    assert entity_codes(np.array(["b", "a", "b", "c"], dtype=object), 4).tolist() == [1, 0, 1, 2]
    for missing in (None, math.nan):
        with pytest.raises(DataError, match="1 of 3"):
            entity_codes(np.array(["a", missing, "b"], dtype=object), 3)
    with pytest.raises(DataError, match=r"\(2,\) for 3"):
        entity_codes(np.array([1, 2]), 3)


def test_the_p_value_of_draws_counts_the_smaller_side_of_zero_twice_and_is_never_zero():
    assert draws_p_value(np.array([-1.0] + [1.0] * 98)) == pytest.approx(0.04)
    assert draws_p_value(-np.array([-1.0] + [1.0] * 98)) == pytest.approx(0.04)
    assert draws_p_value(np.ones(999)) == pytest.approx(0.002)
    assert draws_p_value(np.zeros(999)) == 1.0
