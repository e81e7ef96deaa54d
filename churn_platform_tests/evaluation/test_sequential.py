"""Boundaries by alpha spending: published values, the error they keep, and their speed."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from churn_platform.base.errors import DataError
from churn_platform.evaluation.sequential import (
    HIGHEST,
    _boundaries,
    boundaries,
    conditional_power,
    level_at,
    obrien_fleming,
    planned_boundaries,
)
from churn_platform.evaluation.statistics import quantile_of_normal

PUBLISHED = {
    5: (4.877, 3.357, 2.680, 2.290, 2.031),
    6: (5.367, 3.710, 2.970, 2.539, 2.252, 2.045),
    12: (7.676, 5.367, 4.333, 3.717, 3.301, 2.998, 2.766, 2.580, 2.427, 2.299, 2.189, 2.093),
}


def equal(looks):
    return [number / looks for number in range(1, looks + 1)]


def pocock(information, error):
    return error * math.log(1 + (math.e - 1) * information)


def kept(information, bounds):
    """Probability that no boundary is crossed without an effect, by another integration."""
    shares = np.array(information)
    covariance = np.sqrt(np.minimum.outer(shares, shares) / np.maximum.outer(shares, shares))
    bounds = np.array(bounds)
    return multivariate_normal.cdf(bounds, cov=covariance, lower_limit=-bounds, rng=1)


@pytest.mark.parametrize("looks", PUBLISHED)
def test_boundaries_are_the_published_ones(looks):
    assert boundaries(equal(looks)) == pytest.approx(PUBLISHED[looks], abs=0.002)


def test_the_integration_is_right_for_another_spending_function():
    found = boundaries(equal(5), spending=pocock)
    assert found == pytest.approx((2.438, 2.427, 2.410, 2.397, 2.386), abs=0.002)


def test_one_look_is_the_usual_interval():
    assert boundaries([1]) == pytest.approx([1.959964], abs=1e-5)
    assert boundaries([1], 0.99) == pytest.approx([2.575829], abs=1e-5)
    assert level_at(1, 1) == pytest.approx(0.95, abs=1e-6)


@pytest.mark.parametrize(
    ("information", "level"),
    [
        ([0.1, 0.25, 0.5, 0.6, 1.0], 0.95),
        ([0.4, 0.41, 0.9, 1.0], 0.9),
        (equal(12), 0.95),
        (equal(12), 1 - 0.05 / 6),
    ],
)
def test_without_an_effect_a_boundary_is_crossed_as_often_as_the_level_allows(information, level):
    """200,000 repeats: three standard errors are 0.0015 at 95%."""
    steps = np.sqrt(np.diff(information, prepend=0))
    noise = np.random.default_rng(1).standard_normal((200_000, len(information)))
    z = np.cumsum(noise * steps, axis=1) / np.sqrt(information)
    crossed = (np.abs(z) > boundaries(information, level)).any(axis=1).mean()
    error = 1 - level
    assert crossed == pytest.approx(error, abs=3 * math.sqrt(error / 200_000))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.02, 1), min_size=1, max_size=4), st.sampled_from([0.8, 0.95, 0.99]))
def test_unequal_information_keeps_the_level(steps, level):
    information = np.cumsum(steps) / np.sum(steps)
    found = boundaries(information, level)
    assert kept(information, found) == pytest.approx(level, abs=5e-4)


@pytest.mark.parametrize("looks", [2, 5, 12, 36])
@pytest.mark.parametrize("level", [0.8, 0.95, 1 - 0.05 / 6])
def test_the_boundaries_of_equal_looks_fall(looks, level):
    found = boundaries(equal(looks), level)
    assert all(
        later < earlier or earlier == HIGHEST for earlier, later in itertools.pairwise(found)
    )
    assert quantile_of_normal(level) < found[-1] < found[0] <= HIGHEST


def test_a_boundary_does_not_depend_on_the_looks_to_come():
    assert boundaries([0.2, 0.5]) == pytest.approx(boundaries([0.2, 0.5, 0.9, 1.0])[:2], abs=1e-5)


def test_more_information_than_planned_spends_no_more_than_the_error():
    assert kept([0.5, 1.3], boundaries([0.5, 1.3])) == pytest.approx(0.95, abs=5e-4)
    assert obrien_fleming(1.0, 0.025) == pytest.approx(0.025)
    assert obrien_fleming(0.0, 0.025) == 0


def test_a_look_that_adds_next_to_nothing_cannot_decide():
    found = boundaries([1e-5, 0.5, 0.5, 0.5004, 1.0])
    assert found[0] == found[2] == found[3] == HIGHEST
    assert (found[1], found[4]) == pytest.approx(boundaries([0.5, 1.0]), abs=1e-5)


def test_the_level_of_a_look_has_its_boundary_as_quantile():
    for look, boundary in enumerate(PUBLISHED[12], start=1):
        assert quantile_of_normal(level_at(look, 12)) == pytest.approx(boundary, abs=0.01)
    assert level_at(12, 12) == pytest.approx(0.9637, abs=1e-4)
    assert level_at(40, 12) == level_at(12, 12)
    assert level_at(1, 12, 1 - 0.05 / 6) < 1


@pytest.mark.parametrize("information", [[], [0.0, 1.0], [-0.1], [0.5, 0.4], [math.nan]])
def test_information_that_falls_or_is_missing_is_refused(information):
    with pytest.raises(DataError):
        boundaries(information)


@pytest.mark.parametrize(("look", "looks"), [(0, 12), (1, 0)])
def test_a_look_before_the_first_is_refused(look, looks):
    with pytest.raises(DataError):
        level_at(look, looks)


def test_planned_looks_have_the_published_boundaries():
    for looks, published in PUBLISHED.items():
        found = planned_boundaries(equal(looks), looks)
        assert found == pytest.approx(published, abs=0.002)


def test_the_last_planned_look_spends_what_is_left_whatever_information_came():
    short = [0.1, 0.3, 0.6]
    assert planned_boundaries(short, 5) == boundaries(short)
    found = planned_boundaries([*short, 0.8], 4)
    assert found[:3] == pytest.approx(boundaries(short), abs=1e-5)
    assert found[3] < boundaries([*short, 0.8])[3]
    assert kept([*short, 0.8], found) == pytest.approx(0.95, abs=5e-4)
    early = planned_boundaries([0.5, 1.2], 4)
    assert kept([0.5, 1.2], early) == pytest.approx(0.95, abs=5e-4)
    with pytest.raises(DataError):
        planned_boundaries([0.2, 0.5, 1.0], 2)


@pytest.mark.parametrize(("z", "information"), [(0.5, 0.3), (-1.2, 0.5), (2.0, 0.9)])
def test_conditional_power_is_the_share_of_ways_that_end_beyond_the_boundary(z, information):
    """400,000 ways from what was seen, with the planned effect on the side of what was seen."""
    drift, boundary, rest = 2.9, 2.1, 1 - information
    noise = np.random.default_rng(2).standard_normal(400_000) * math.sqrt(rest)
    end = abs(z) * math.sqrt(information) + drift * rest + noise
    found = conditional_power(z, information, drift, boundary)
    assert found == pytest.approx((end >= boundary).mean(), abs=0.003)
    assert found == conditional_power(-z, information, drift, boundary)


def test_conditional_power_at_the_ends_of_a_test():
    power = conditional_power(0.0, 0.0, 1.96 + 0.8416, 1.96)
    assert power == pytest.approx(0.8, abs=0.001)
    assert conditional_power(2.2, 1.0, 2.9, 2.1) == 1
    assert conditional_power(-2.0, 1.3, 2.9, 2.1) == 0


def test_twelve_looks_take_less_than_50_ms():
    boundaries([1])
    took = []
    for _ in range(5):
        _boundaries.cache_clear()
        start = time.perf_counter()
        boundaries(equal(12))
        took.append(time.perf_counter() - start)
    assert min(took) < 0.05
