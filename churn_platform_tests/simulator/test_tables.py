"""Simulated columns: whatever the contract allows, and nothing else."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import ContractError
from churn_platform.contract.model import Column
from churn_platform.simulator.tables import delivered, shapes_of
from churn_platform_tests.simulator.shop import shop

NORMAL = np.random.default_rng(1).standard_normal(2_000)
LATENT = np.concatenate([np.linspace(-8.0, 8.0, 81), NORMAL])
BOUND = st.none() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
SEEDS = pytest.mark.parametrize("seed", range(4))


def shape_of(seed=1, **column):
    return shapes_of(shop({"x": column}), np.random.default_rng(seed))["facts", "x"]


@settings(max_examples=200, deadline=None)
@given(dtype=st.sampled_from(["integer", "float"]), low=BOUND, high=BOUND, seed=st.integers(0, 99))
def test_numbers_of_any_bounds_are_within_them_and_integers_are_whole(dtype, low, high, seed):
    if low is not None and high is not None:
        low, high = sorted((low, high))
        if dtype == "integer" and np.ceil(low) > np.floor(high):
            with pytest.raises(ContractError, match=r"facts\.x"):
                shape_of(seed, dtype=dtype, min=low, max=high)
            return
    values = shape_of(seed, dtype=dtype, min=low, max=high).values(LATENT)
    assert np.isfinite(values).all()
    assert low is None or values.min() >= low
    assert high is None or values.max() <= high
    assert dtype == "float" or (values == np.round(values)).all()


@SEEDS
def test_a_far_maximum_is_only_a_bound_and_a_narrow_range_is_used(seed):
    def values(dtype, high):
        return shape_of(seed, dtype=dtype, min=0, max=high).values(NORMAL)

    for dtype, least, most, largest in (("integer", 1, 10, 200), ("float", 5, 60, 1_000)):
        far = values(dtype, 100_000)
        assert least <= np.median(far) <= most
        assert far.max() < largest
    assert 0.2 < np.median(values("float", 1)) < 0.5
    assert (values("float", 1) == 1).mean() < 0.1
    assert 0.1 < values("integer", 1).mean() < 0.5


def test_a_negative_minimum_does_not_make_negative_numbers_usual():
    assert shape_of(dtype="integer", min=-1_000, max=1_000).start == 0
    assert shape_of(dtype="integer", max=-10).values(LATENT).max() <= -10


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_every_listed_category_occurs_in_a_plausible_share(count):
    shape = shape_of(dtype="category", values=[f"v{n}" for n in range(count)])
    drawn = shape.values(np.random.default_rng(2).standard_normal(20_000))
    shares = np.bincount(drawn.astype(int)) / 20_000
    assert shares.size == count
    assert (shares > 0.4 / count).all()
    assert (shares < 2.5 / count).all()


def test_the_order_of_categories_does_not_tell_their_effect():
    column = {"dtype": "category", "values": ["a", "b", "c"]}
    assert len({shape_of(seed, **column).effects for seed in range(30)}) == 6
    with pytest.raises(ContractError, match=r"^facts\.x"):
        shape_of(dtype="category", values=[])


def test_the_same_seed_gives_the_same_shape_and_dates_and_texts_have_none():
    number = {"dtype": "float", "min": 0}
    assert shape_of(3, **number) == shape_of(3, **number) != shape_of(4, **number)
    columns = {"n": number, "day": {"dtype": "date"}, "note": {"dtype": "string"}}
    assert list(shapes_of(shop(columns), np.random.default_rng(1))) == [("facts", "n")]


@pytest.mark.parametrize(("high", "digits"), [(1_000_000, 2), (1, 4), (0.001, 7)])
def test_floats_are_rounded_to_about_four_digits_whatever_their_size(high, digits):
    values = shape_of(dtype="float", min=0, max=high).values(LATENT)
    assert (values == np.round(values, digits)).all()
    assert np.unique(values).size > 500


@pytest.mark.parametrize(
    ("column", "raw", "plain", "nullable"),
    [
        ({"dtype": "integer"}, [1.0, 2.0], "int64", "Int64"),
        ({"dtype": "float"}, [1.5, 2.5], "float64", "float64"),
        ({"dtype": "boolean"}, [0.0, 1.0], "bool", "boolean"),
        ({"dtype": "category", "values": ["p", "q"]}, [0.0, 1.0], "object", "object"),
        ({"dtype": "category"}, [0.0, 3.0], "object", "object"),
        ({"dtype": "string"}, np.array(["u", "v"], dtype=object), "object", "object"),
        ({"dtype": "date"}, np.array(["2024-01-01", "2024-01-02"], "M8[D]"), *["datetime64[s]"] * 2),
    ],
)  # fmt: skip
def test_a_column_has_the_contracts_dtype_and_a_null_stays_a_null(column, raw, plain, nullable):
    values = np.asarray(raw)
    kept = values.copy()
    full, holed = (
        pd.Series(delivered("x", Column.model_validate(column), values, empty))
        for empty in (None, np.array([True, False]))
    )
    assert (str(full.dtype), str(holed.dtype)) == (plain, nullable)
    assert holed.isna().tolist() == [True, False]
    assert holed.iloc[1] == full.iloc[1]
    assert (values == kept).all()
