"""The distances are Evidently's to the last digit that matters; chance alone stays under the noise floor."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import distance as scipy_distance
from scipy.stats import wasserstein_distance

from churn_platform.base.errors import DataError
from churn_platform.drift.statistics import (
    chance_only_current,
    distance,
    has_more_values,
    jensenshannon,
    noise_floor,
    normed_wasserstein,
    share_noise,
)

numbers = hnp.arrays(
    float, st.integers(1, 40), elements=st.floats(-1e6, 1e6).map(lambda value: round(value, 2))
)
few = hnp.arrays(float, st.integers(1, 40), elements=st.integers(0, 4).map(float))


def test_a_constant_reference_is_divided_by_a_thousandth_as_in_evidently():
    assert normed_wasserstein(np.array([5.0, 5.0]), np.array([7.0])) == pytest.approx(2000.0)


def test_two_like_samples_of_different_sizes_are_at_zero_exactly():
    values = np.random.default_rng(2).normal(size=70)
    assert normed_wasserstein(values, np.repeat(values, 3)) == 0.0
    assert jensenshannon(values, values[::-1]) == 0.0


@settings(max_examples=60, deadline=None)
@given(reference=numbers, current=numbers)
def test_normed_wasserstein_is_scipys_divided_by_the_references_deviation(reference, current):
    expected = wasserstein_distance(reference, current) / max(reference.std(), 0.001)
    assert normed_wasserstein(reference, current) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(reference=few, current=few)
def test_jensenshannon_of_few_values_is_scipys_on_their_frequencies(reference, current):
    p, q = (
        np.array([(side == value).mean() for value in range(5)]) for side in (reference, current)
    )
    expected = np.nan_to_num(scipy_distance.jensenshannon(p, q))
    assert jensenshannon(reference, current) == pytest.approx(expected, abs=1e-7)


def test_jensenshannon_of_many_numbers_compares_their_histograms():
    random = np.random.default_rng(3)
    reference, current = random.normal(size=500), random.normal(0.5, 1, size=400)
    edges = np.histogram_bin_edges(np.concatenate([reference, current]), bins="sturges")
    p, q = (np.histogram(side, edges)[0] / len(side) for side in (reference, current))
    assert jensenshannon(reference, current) == pytest.approx(
        scipy_distance.jensenshannon(p, q), abs=1e-12
    )


def test_categories_without_one_in_common_are_at_the_largest_distance():
    before, now = np.array(["a", "b"], dtype=object), np.array(["c"], dtype=object)
    assert jensenshannon(before, now) == pytest.approx(math.sqrt(math.log(2)))


@pytest.mark.parametrize("method", ["wasserstein", "jensenshannon"])
def test_an_empty_side_is_an_error_not_a_number(method):
    with pytest.raises(DataError, match="at least one value on both sides"):
        distance(method, np.array([]), np.array([1.0]))


def _alarms(draw, method, *, rows, months, level):
    """How often the distance of two samples of one population is above its floor."""
    alarms = 0
    for month in range(months):
        random = np.random.default_rng([rows, month])
        reference, current = draw(random, rows), draw(random, rows)
        floor = noise_floor(method, reference, current, level=level, resamples=60, seed=7)
        alarms += distance(method, reference, current) > floor * (1 + 1e-9)
    return alarms / months


@pytest.mark.parametrize(
    ("method", "draw"),
    [
        ("wasserstein", lambda random, rows: random.normal(size=rows)),
        ("wasserstein", lambda random, rows: random.lognormal(0, 2, rows)),
        ("jensenshannon", lambda random, rows: random.integers(0, 12, rows).astype(object)),
        (
            "jensenshannon",
            lambda random, rows: np.minimum(random.zipf(1.5, rows), 10**9).astype(object),
        ),
    ],
    ids=["normal", "heavy tail", "twelve categories", "endless categories"],
)
def test_chance_alone_exceeds_the_floor_as_often_as_its_level_says(method, draw):
    assert (
        0.036 <= _alarms(draw, method, rows=120, months=200, level=0.1) <= 0.164
    )  # 0.1, 3 deviations each way


@pytest.mark.parametrize("side", [200, 12_000])
def test_a_column_of_unique_keys_lies_on_its_floor_and_never_above(side):
    keys = np.arange(2 * side).astype(object)
    floor = noise_floor("jensenshannon", keys[:side], keys[side:], level=0.1, resamples=10, seed=1)
    assert jensenshannon(keys[:side], keys[side:]) == pytest.approx(floor, rel=1e-12)


@pytest.mark.parametrize("method", ["wasserstein", "jensenshannon"])
def test_the_floor_depends_on_the_rows_and_the_seed_but_not_on_their_order(method):
    random = np.random.default_rng(9)
    reference, current = random.poisson(3, 150).astype(float), random.poisson(3, 100).astype(float)
    floor = noise_floor(method, reference, current, level=0.05, resamples=50, seed=1)
    assert floor == noise_floor(
        method, reference[::-1], random.permutation(current), level=0.05, resamples=50, seed=1
    )
    assert floor != noise_floor(method, reference, current, level=0.05, resamples=50, seed=2)
    # A strict level gets the deals that it needs.
    assert floor < noise_floor(method, reference, current, level=0.001, resamples=50, seed=1)


def test_two_columns_of_one_size_are_dealt_differently():
    """The normed distance ignores scale, so the same deals would give the same floor."""
    random = np.random.default_rng(11)
    reference, current = random.normal(size=100), random.normal(size=100)
    floors = [
        noise_floor(
            "wasserstein", scale * reference, scale * current, level=0.1, resamples=50, seed=7
        )
        for scale in (1.0, 2.0, 3.0)
    ]
    assert len({round(floor, 9) for floor in floors}) == 3


def test_the_floor_of_many_rows_comes_from_fewer_and_errs_upwards():
    random = np.random.default_rng(17)
    many = random.normal(size=(2, 40_000))
    floor = noise_floor("wasserstein", many[0], many[1], level=0.02, resamples=50, seed=7)
    of_ten_thousand = noise_floor(
        "wasserstein", many[0][:10_000], many[1][:10_000], level=0.02, resamples=50, seed=7
    )
    assert 0.6 < floor / of_ten_thousand < 1.6
    assert floor > 1.3 * normed_wasserstein(many[0], many[1])


def test_share_noise_is_the_two_proportion_z_test():
    assert share_noise(0.5, 100, 100, 0.05) == pytest.approx(
        1.959964 * math.sqrt(0.25 * 0.02), abs=1e-6
    )
    assert share_noise(0.0, 100, 100, 0.05) == 0.0


def test_rows_of_one_category_fall_into_one_side_by_the_hypergeometric_chance():
    assert chance_only_current(1, 2, 2) == pytest.approx(1 / 2)
    assert chance_only_current(2, 2, 2) == pytest.approx(1 / 6)
    assert chance_only_current(3, 10, 5) == pytest.approx(math.comb(5, 3) / math.comb(15, 3))


def test_distinct_values_are_counted_beyond_the_first_thousand_rows():
    late = np.concatenate([np.zeros(1500), [1.0, 2.0]])
    assert has_more_values(late, 2)
    assert not has_more_values(late, 3)
