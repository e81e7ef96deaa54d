"""The one-standard-error rule: whose loss decides, whose error counts, and which recipe is preferred."""

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.evaluation.choice import choose, errors_for, log_losses

ROWS = 400
KEYS = np.array([f"m{n}" for n in range(ROWS)], dtype=object)


@pytest.fixture
def base():
    """The loss of each row of a recipe."""
    return np.random.default_rng(0).gamma(1, 0.5, ROWS)


def test_the_loss_of_a_row_is_that_of_scikit_learn():
    labels = np.array([1, 0, 1, 0])
    chances = np.array([0.9, 0.2, 0.4, 1.0])
    losses = log_losses(labels, chances)
    assert losses[:3] == pytest.approx(-np.log([0.9, 0.8, 0.4]))
    assert losses.mean() == pytest.approx(log_loss(labels, chances))
    with pytest.raises(NotANumber):
        log_losses(labels, np.array([0.9, math.nan, 0.4, 0.1]))
    with pytest.raises(DataError):
        log_losses(labels, chances[:3])


def test_the_best_recipe_wins_where_the_others_are_clearly_worse(base):
    choice = choose([base + 0.1, base, base + 0.2], KEYS)
    assert (choice.chosen, choice.best) == (1, 1)
    assert [loss.gap for loss in choice.losses] == pytest.approx([0.1, 0, 0.2])
    assert (choice.losses[1].gap, choice.losses[1].gap_error) == (0, 0)


def test_the_first_recipe_within_one_standard_error_wins(base):
    noise = np.random.default_rng(1).normal(0, 1, ROWS)
    noise -= noise.mean()
    error = noise.std(ddof=1) / math.sqrt(ROWS)
    near = choose([base + noise + 0.9 * error, base], KEYS)
    assert (near.chosen, near.best) == (0, 1)
    assert near.losses[0].gap_error == pytest.approx(error)
    far = choose([base + noise + 1.1 * error, base], KEYS)
    assert (far.chosen, far.best) == (1, 1)
    later = choose([base, base + noise - 0.9 * error], KEYS)
    assert (later.chosen, later.best) == (0, 1)


def test_of_recipes_within_one_standard_error_the_first_wins_not_the_nearest(base):
    noise = np.random.default_rng(1).normal(0, 1, ROWS)
    noise -= noise.mean()
    error = noise.std(ddof=1) / math.sqrt(ROWS)
    choice = choose([base + 1, base + noise + 0.8 * error, base - noise + 0.1 * error, base], KEYS)
    assert (choice.chosen, choice.best) == (1, 3)


def test_the_error_is_that_of_the_difference_not_of_the_loss(base):
    choice = choose([base + 0.01, base], KEYS)
    assert choice.losses[0].error > 0.02
    assert choice.losses[0].gap_error < 1e-9
    assert choice.chosen == 1


def test_the_error_counts_customers_not_rows(base):
    noise = np.random.default_rng(1).normal(0, 1, ROWS)
    once = choose([base + noise, base], KEYS).losses[0]
    twice = choose([np.tile(base + noise, 2), np.tile(base, 2)], np.tile(KEYS, 2)).losses[0]
    assert twice.gap_error == pytest.approx(once.gap_error)
    assert twice.error == pytest.approx(once.error)


def test_a_row_that_stands_for_three_customers_counts_three_times(base):
    other = np.random.default_rng(2).gamma(1, 0.5, ROWS)
    weights = np.where(np.arange(ROWS) % 4, 1.0, 3.0)
    choice = choose([base, other], KEYS, weights)
    assert choice.losses[0].mean == pytest.approx(np.average(base, weights=weights))
    alike = choose([base, other], KEYS, np.full(ROWS, 2.0))
    plain = choose([base, other], KEYS)
    assert [loss.gap_error for loss in alike.losses] == pytest.approx(
        [loss.gap_error for loss in plain.losses]
    )
    flipped = choose([base, np.where(weights == 3, base + 1, base - 0.4)], KEYS, weights)
    assert (
        flipped.best,
        choose([base, np.where(weights == 3, base + 1, base - 0.4)], KEYS).best,
    ) == (0, 1)


def test_the_best_of_many_tries_must_be_further_ahead(base):
    assert errors_for(1) == pytest.approx(1)
    draws = np.random.default_rng(3).normal(size=(20_000, 20)).max(axis=1)
    assert np.mean(draws > errors_for(20)) == pytest.approx(0.15, abs=0.02)
    noise = np.random.default_rng(1).normal(0, 1, ROWS)
    noise -= noise.mean()
    error = noise.std(ddof=1) / math.sqrt(ROWS)
    losses = [base + noise + 2 * error, base]
    assert choose(losses, KEYS).chosen == 1
    assert choose(losses, KEYS, errors=errors_for(20)).chosen == 0


def test_equal_recipes_give_the_first(base):
    assert choose([base, base, base], KEYS).chosen == 0
    assert choose([base], KEYS).chosen == 0
