"""Simulated columns: whatever the contract allows, and nothing else."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import ContractError
from churn_platform.contract.model import Column, Contract
from churn_platform.simulator.tables import Levels, Numbers, categories_of, shapes_of, table_frame

LATENT = np.concatenate(
    [np.linspace(-8.0, 8.0, 81), np.random.default_rng(1).standard_normal(2_000)]
)
BOUND = (
    st.none()
    | st.integers(-(10**6), 10**6)
    | st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
)


def contract_of(**columns):
    """A contract of one feature table, the entity `key`, and a label of its own."""
    features = [
        name for name, column in columns.items() if column["dtype"] not in ("string", "date")
    ]
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
            "feature_views": {"facts_fv": {"table": "facts", "features": features}},
        }
    )


def shape_of(seed=1, **column):
    return shapes_of(contract_of(x=column), np.random.default_rng(seed))["facts", "x"]


@settings(max_examples=200, deadline=None)
@given(dtype=st.sampled_from(["integer", "float"]), low=BOUND, high=BOUND, seed=st.integers(0, 99))
def test_numbers_of_any_bounds_stay_within_them_and_integers_are_whole(dtype, low, high, seed):
    if low is not None and high is not None and low > high:
        low, high = high, low
    empty = (
        dtype == "integer"
        and low is not None
        and high is not None
        and np.ceil(low) > np.floor(high)
    )
    if empty:
        with pytest.raises(ContractError, match="no integer lies between"):
            shape_of(seed, dtype=dtype, min=low, max=high)
        return
    values = shape_of(seed, dtype=dtype, min=low, max=high).values(LATENT)
    assert np.isfinite(values).all()
    assert low is None or values.min() >= low
    assert high is None or values.max() <= high
    assert dtype == "float" or (values == np.round(values)).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_far_maximum_is_only_a_bound_and_counts_stay_moderate(seed):
    counts = shape_of(seed, dtype="integer", min=0, max=100_000).values(LATENT[81:])
    amounts = shape_of(seed, dtype="float", min=0, max=100_000).values(LATENT[81:])
    assert 1 <= np.median(counts) <= 10
    assert counts.max() < 200
    assert 5 <= np.median(amounts) <= 60
    assert amounts.max() < 1_000


@pytest.mark.parametrize("seed", range(8))
def test_a_narrow_range_is_used_and_not_only_its_ends(seed):
    share = shape_of(seed, dtype="float", min=0, max=1).values(LATENT[81:])
    assert 0.2 < np.median(share) < 0.5
    assert (share == 1).mean() < 0.1
    flag = shape_of(seed, dtype="integer", min=0, max=1).values(LATENT[81:])
    assert 0.1 < flag.mean() < 0.5


def test_a_negative_minimum_allows_negative_numbers_but_does_not_make_them_usual():
    assert shape_of(dtype="integer", min=-1_000, max=1_000).start == 0
    assert shape_of(dtype="integer", min=-20, max=-10).values(LATENT).max() <= -10
    assert shape_of(dtype="integer", max=-10).values(LATENT).max() <= -10


def test_a_number_with_one_possible_value_has_it():
    assert set(shape_of(dtype="float", min=3.5, max=3.5).values(LATENT)) == {3.5}


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_every_listed_category_occurs_in_a_plausible_share(count):
    shape = shape_of(dtype="category", values=[f"v{n}" for n in range(count)])
    shares = (
        np.bincount(shape.values(np.random.default_rng(2).standard_normal(20_000)).astype(int))
        / 20_000
    )
    assert shares.size == count
    assert (shares > 0.4 / count).all()
    assert (shares < 2.5 / count).all()


def test_the_order_in_which_categories_are_listed_says_nothing_about_their_effect():
    effects = {
        shape_of(seed, dtype="category", values=["a", "b", "c"]).effects for seed in range(30)
    }
    assert len(effects) == 6
    shape = Levels(cuts=(0.0,), effects=(5.0, 2.0))
    assert shape.encoded(np.array([-1.0, 1.0])).tolist() == [5.0, 2.0]


def test_an_empty_list_of_categories_is_refused_with_table_and_column():
    with pytest.raises(ContractError, match=r"^facts\.x: no value is allowed"):
        shape_of(dtype="category", values=[])


def test_unlisted_categories_get_names_of_their_own():
    assert categories_of("town", Column(dtype="category")) == (
        "town_1",
        "town_2",
        "town_3",
        "town_4",
    )
    assert categories_of("plan", Column(dtype="category", values=("NA", "b"))) == ("NA", "b")


def test_label_dates_and_free_text_have_no_look():
    column = {"dtype": "integer"}
    contract = contract_of(n=column, day={"dtype": "date"}, note={"dtype": "string"})
    assert list(shapes_of(contract, np.random.default_rng(1))) == [("facts", "n")]


def test_a_column_keeps_its_look_in_every_process():
    assert shape_of(3, dtype="float", min=0) == shape_of(3, dtype="float", min=0)
    assert isinstance(shape_of(3, dtype="float", min=0), Numbers)
    assert shape_of(3, dtype="float", min=0) != shape_of(4, dtype="float", min=0)


def test_floats_are_rounded_to_about_four_digits_whatever_their_size():
    for high, digits in ((1_000_000, 2), (1, 4), (0.001, 7)):
        values = shape_of(dtype="float", min=0, max=high).values(LATENT)
        assert (values == np.round(values, digits)).all()
        assert np.unique(values).size > 500


COLUMNS = {
    "n": ({"dtype": "integer"}, np.array([1.0, 2.0]), "int64", "Int64"),
    "x": ({"dtype": "float"}, np.array([1.5, 2.5]), "float64", "float64"),
    "b": ({"dtype": "boolean"}, np.array([0.0, 1.0]), "bool", "boolean"),
    "c": ({"dtype": "category", "values": ["p", "q"]}, np.array([0.0, 1.0]), "object", "object"),
    "s": ({"dtype": "string"}, np.array(["u", "v"], dtype=object), "object", "object"),
    "d": (
        {"dtype": "date"},
        np.array(["2024-01-01", "2024-01-02"], dtype="M8[D]"),
        "datetime64[s]",
        "datetime64[s]",
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_has_the_contracts_dtype_and_a_null_stays_a_null(name):
    column, raw, plain, nullable = COLUMNS[name]
    contract = contract_of(anchor={"dtype": "integer"}, **{name: column})
    keys = np.array(["k1", "k2"], dtype=object)
    columns = {"anchor": np.array([0.0, 0.0]), name: raw}
    full = table_frame(contract, "facts", keys, columns, {})
    holed = table_frame(contract, "facts", keys, columns, {name: np.array([True, False])})
    assert list(full) == ["key", "anchor", name]
    assert (str(full[name].dtype), str(holed[name].dtype)) == (plain, nullable)
    assert holed[name].isna().tolist() == [True, False]
    assert holed[name].iloc[1] == full[name].iloc[1]
    assert full["key"].tolist() == ["k1", "k2"]


def test_making_a_hole_leaves_the_raw_values_alone():
    raw = np.array([1.0, 2.0])
    contract = contract_of(x={"dtype": "float", "nullable": True})
    table_frame(contract, "facts", np.array([1, 2]), {"x": raw}, {"x": np.array([True, True])})
    assert not pd.isna(raw).any()
