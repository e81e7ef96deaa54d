"""Ratios of densities that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from churn_platform.evaluation.density_ratio import density_ratio
from churn_platform.evaluation.weights import effective_size

ROWS = 6_000
FEW_ROWS = 1_000
WIDE = 30
"""Columns with more pairs than are multiplied."""


def drawn(rows: int, columns: int, seed: int, pair=(0, 1), correlation: float = 0.0):
    """Standard normal columns, two of which go together; a product alone shows it."""
    table = np.random.default_rng(seed).standard_normal((rows, columns))
    first, second = pair
    rest = np.sqrt(1 - correlation**2) * table[:, second]
    table[:, second] = correlation * table[:, first] + rest
    return table


def true_ratio(table, pair, correlation):
    together = [[1, correlation], [correlation, 1]]
    known = table[:, list(pair)]
    return multivariate_normal(cov=together).pdf(known) / multivariate_normal(cov=np.eye(2)).pdf(
        known
    )


@settings(max_examples=8, deadline=None)
@given(
    correlation=st.sampled_from([-0.6, -0.4, 0.4, 0.6]),
    columns=st.integers(2, 6),
    seed=st.integers(0, 1_000),
)
def test_a_ratio_that_only_a_product_shows_is_recovered(correlation, columns, seed):
    pair = (seed % 2, columns - 1) if columns > 2 else (0, 1)
    rows = drawn(ROWS, columns, seed)
    like = drawn(ROWS, columns, seed + 5_000, pair, correlation)
    found = density_ratio(rows, like, np.ones(ROWS))
    true = true_ratio(rows, pair, correlation)
    assert np.corrcoef(np.log(found), np.log(true))[0, 1] > 0.9
    weighted = np.cov(rows[:, list(pair)], rowvar=False, aweights=found)
    assert weighted[0, 1] == pytest.approx(correlation, abs=0.1)
    assert found.mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_a_pair_is_found_among_more_columns_than_are_multiplied(seed):
    pair = (10 + seed, WIDE - 2)
    rows = drawn(ROWS, WIDE, seed)
    like = drawn(ROWS, WIDE, 100 + seed, pair, 0.5)
    found = density_ratio(rows, like, np.ones(ROWS))
    weighted = np.cov(rows[:, list(pair)], rowvar=False, aweights=found)
    assert weighted[0, 1] == pytest.approx(0.5, abs=0.1)


def test_rows_count_by_their_weight():
    """Weighted rows in which two columns go together, and others in which they do."""
    rows = drawn(ROWS, 4, 1)
    weights = true_ratio(rows, (0, 1), 0.6)
    found = density_ratio(rows, drawn(ROWS, 4, 2, (0, 1), 0.6), weights)
    assert effective_size(found) / ROWS > 0.9


@pytest.mark.parametrize(
    ("rows", "columns", "least"), [(ROWS, 5, 0.97), (ROWS, WIDE, 0.85), (FEW_ROWS, WIDE, 0.65)]
)
def test_equal_densities_have_a_ratio_near_1(rows, columns, least):
    """With a product of every pair, 1,000 rows of 30 columns would count as 470."""
    found = density_ratio(drawn(rows, columns, 3), drawn(rows, columns, 4), np.ones(rows))
    assert effective_size(found) / rows > least


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1_000))
def test_order_and_scale_of_the_columns_do_not_matter(seed):
    rows = drawn(400, 4, seed)
    like = drawn(300, 4, seed + 5_000, correlation=0.5)
    ones = np.ones(400)
    found = density_ratio(rows, like, ones)
    scaled = density_ratio(np.exp(rows), np.exp(like), ones)
    order = np.random.default_rng(seed).permutation(4)
    turned = density_ratio(rows[:, order], like[:, order], ones)
    assert scaled == pytest.approx(found, rel=1e-3)
    assert turned == pytest.approx(found, rel=1e-2)


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("value", [2.0, np.nan])
def test_columns_without_two_values_have_a_ratio_of_1(value, columns):
    rows = np.full((100, columns), value)
    found = density_ratio(rows, rows[:1], np.ones(100))
    assert found == pytest.approx(np.ones(100))


def test_a_table_of_more_rows_than_are_compared_is_weighted_completely():
    """Equal rows have equal ratios wherever they are."""
    rows = np.tile(drawn(500, 3, 5), (50, 1))
    found = density_ratio(rows, drawn(3_000, 3, 6, correlation=0.5), np.ones(len(rows)))
    assert found.reshape(50, 500) == pytest.approx(np.tile(found[:500], (50, 1)), rel=1e-5)
    assert np.ptp(found[:500]) > 0.5
