"""Shapley values by sampling."""

import itertools
import math

import numpy as np
import pytest

from churn_platform.training.reasons import shapley_values

FEATURES = np.array([0, 0, 1, 2, 3])
BACKGROUND = np.array([0.3, 0.7, 0.0, 1.0, -1.0])


def interacting(rows):
    return rows[:, 0] * rows[:, 2] + np.tanh(rows[:, 3] * rows[:, 4]) + rows[:, 1]


@pytest.fixture
def rows():
    return np.random.default_rng(1).normal(size=(40, 5))


def exact(row):
    """By the definition, over every set of features."""
    shares = np.zeros(4)
    for feature in range(4):
        others = [f for f in range(4) if f != feature]
        for size in range(4):
            for known in itertools.combinations(others, size):
                weight = math.factorial(size) * math.factorial(3 - size) / math.factorial(4)
                with_it = np.where(np.isin(FEATURES, [*known, feature]), row, BACKGROUND)
                without = np.where(np.isin(FEATURES, known), row, BACKGROUND)
                shares[feature] += weight * float(
                    interacting(with_it[None])[0] - interacting(without[None])[0]
                )
    return shares


def by_feature(values):
    return np.column_stack([values[:, feature == FEATURES].sum(axis=1) for feature in range(4)])


def test_shares_add_up_and_are_near_the_exact_ones(rows):
    values = shapley_values(interacting, rows, BACKGROUND, FEATURES)
    difference = interacting(rows) - interacting(BACKGROUND[None])
    assert values.sum(axis=1) == pytest.approx(difference, abs=1e-12)
    wanted = np.array([exact(row) for row in rows])
    assert np.abs(by_feature(values) - wanted).mean() < 0.15 * np.abs(wanted).mean()


def test_a_linear_model_is_exact(rows):
    weights = np.array([1.0, -2.0, 0.5, 3.0, 0.0])
    values = shapley_values(lambda x: x @ weights, rows, BACKGROUND, FEATURES)
    wanted = by_feature((rows - BACKGROUND) * weights)
    assert by_feature(values) == pytest.approx(wanted, abs=1e-12)


def test_a_row_alone_has_the_same_values_as_among_others(rows, monkeypatch):
    monkeypatch.setattr("churn_platform.training.reasons.AT_ONCE", 100)
    together = shapley_values(interacting, rows, BACKGROUND, FEATURES)
    alone = shapley_values(interacting, rows[3:4], BACKGROUND, FEATURES)
    assert together[3].tolist() == alone[0].tolist()
