"""What a column shows without a distance: its method, nulls, new categories, constants, emptiness."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.base.errors import ContractError, DataError
from churn_platform.base.text import percent
from churn_platform.contract.model import Column
from churn_platform.contract.policy import DriftPolicy
from churn_platform.drift.columns import Side, column_method, plain_values, precheck, side

FLOAT, BOOLEAN, CATEGORY, INTEGER = (
    Column(dtype=d) for d in ("float", "boolean", "category", "integer")
)
POLICY = DriftPolicy()


def _check(column, before, now, policy=POLICY, level=0.003):
    sides = (side("x", column, pd.Series(values)) for values in (before, now))
    return precheck("x", column, policy, *sides, level)


@pytest.mark.parametrize(
    ("column", "series", "expected"),
    [
        (INTEGER, pd.Series([1, None, 3], dtype="Int64"), [1.0, np.nan, 3.0]),
        (INTEGER, pd.Series([1, 2]), [1.0, 2.0]),
        (FLOAT, pd.Series([1.5, np.nan, np.inf, -np.inf]), [1.5, np.nan, np.nan, np.nan]),
        (FLOAT, pd.Series([1.5, None], dtype=object), [1.5, np.nan]),
        (FLOAT, pd.Series([1.5, None], dtype="Float64"), [1.5, np.nan]),
        (BOOLEAN, pd.Series([True, None, False], dtype="boolean"), [1.0, np.nan, 0.0]),
        (BOOLEAN, pd.Series([True, None, False], dtype=object), [1.0, np.nan, 0.0]),
        (BOOLEAN, pd.Series([True, False]), [1.0, 0.0]),
        (BOOLEAN, pd.Series([1.0, np.nan, 0.0]), [1.0, np.nan, 0.0]),
        (BOOLEAN, pd.Series([None, None], dtype=object), [np.nan, np.nan]),
    ],
)
def test_numbers_and_booleans_of_any_dtype_become_floats_with_nan(column, series, expected):
    values = plain_values("x", column, series)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("dtype", ["string", "object", "category"])
def test_categories_of_any_dtype_become_text_with_none(dtype):
    values = plain_values("x", CATEGORY, pd.Series(["a", None, "b"], dtype=dtype))
    assert values.dtype == object
    assert values.tolist() == ["a", None, "b"]


@pytest.mark.parametrize(
    ("column", "value"), [(FLOAT, "dear"), (BOOLEAN, 2.5), (BOOLEAN, "perhaps")]
)
def test_a_value_of_another_dtype_is_an_error_that_names_the_feature(column, value):
    with pytest.raises(DataError, match=rf"'x' does not hold {column.dtype} values"):
        plain_values("x", column, pd.Series([value]))


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (FLOAT, np.arange(6.0), "wasserstein"),
        (FLOAT, np.arange(5.0), "jensenshannon"),
        (INTEGER, np.arange(6.0), "wasserstein"),
        (BOOLEAN, np.array([0.0, 1.0]), "jensenshannon"),
        (CATEGORY, np.array(list("abcdefgh"), dtype=object), "jensenshannon"),
    ],
)
def test_the_method_follows_dtype_and_distinct_values(column, values, expected):
    assert column_method("x", column, values, POLICY) == expected


def test_the_policy_names_a_method_and_a_constant_reference_overrules_it():
    policy = DriftPolicy(methods={"x": "wasserstein", "y": "jensenshannon"})
    assert column_method("x", INTEGER, np.array([1.0, 2.0]), policy) == "wasserstein"
    assert column_method("y", FLOAT, np.arange(50.0), policy) == "jensenshannon"
    assert column_method("x", INTEGER, np.array([1.0, 1.0]), policy) == "jensenshannon"


@pytest.mark.parametrize("column", [CATEGORY, BOOLEAN])
def test_wasserstein_for_what_is_no_number_is_an_error_of_the_contract(column):
    with pytest.raises(
        ContractError, match=rf"'x' is a {column.dtype}, but wasserstein needs numbers"
    ):
        column_method("x", column, np.array([0.0, 1.0]), DriftPolicy(methods={"x": "wasserstein"}))


def test_nulls_that_rose_from_two_to_sixty_per_cent_are_drift_though_the_rest_is_unchanged():
    before, now = np.arange(1000.0), np.arange(1000.0)
    before[:20], now[:600] = np.nan, np.nan
    check = _check(FLOAT, before, now)
    assert check.reasons == ("60% null, was 2%",)
    assert (check.null_share_reference, check.null_share_current) == pytest.approx((0.02, 0.6))
    assert check.method == "wasserstein"


def test_nulls_within_the_policy_or_within_chance_are_no_drift():
    many, few = np.arange(10_000.0), np.arange(60.0)
    moved = many.copy()
    moved[:490] = np.nan
    assert _check(FLOAT, many, moved).reasons == ()
    assert _check(FLOAT, few, np.where(few < 6, np.nan, few)).reasons == ()
    assert _check(FLOAT, many, np.where(many < 600, np.nan, many)).reasons == ("6% null, was 0%",)


def test_a_new_category_above_the_policy_and_beyond_chance_is_named():
    before = ["DSL"] * 1000
    assert _check(CATEGORY, before, ["DSL"] * 970 + ["Cable"] * 30).reasons == (
        "new category 'Cable' in 3% of rows",
    )
    assert _check(CATEGORY, before * 10, ["DSL"] * 9901 + ["Cable"] * 99).reasons == ()


def test_a_rare_category_that_a_small_reference_missed_is_chance():
    assert _check(CATEGORY, ["DSL"] * 100, ["DSL"] * 96 + ["Cable"] * 4).reasons == ()


def test_many_new_categories_that_are_each_rare_are_not_called_new():
    keys = [f"k{number}" for number in range(400)]
    assert _check(CATEGORY, keys[:200], keys[200:]).reasons == ()


def test_a_column_empty_in_both_is_not_drift_and_has_no_method():
    check = _check(FLOAT, [np.nan] * 50, [np.nan] * 50)
    assert (check.method, check.reasons, check.note) == (None, (), "empty in both")


@pytest.mark.parametrize(
    ("before", "now", "reason", "note"),
    [
        ([1.0] * 300, [np.nan] * 300, "100% null, was 0%", "empty now"),
        ([np.nan] * 300, [1.0] * 300, "0% null, was 100%", "empty before"),
    ],
)
def test_a_column_empty_on_one_side_is_drift_and_has_no_method(before, now, reason, note):
    check = _check(FLOAT, before, now)
    assert (check.method, check.reasons, check.note) == (None, (reason,), note)


def test_one_value_among_three_hundred_nulls_is_chance_where_the_reference_had_none():
    check = _check(FLOAT, [np.nan] * 300, [1.0] + [np.nan] * 299)
    assert (check.method, check.reasons) == (None, ())


@pytest.mark.parametrize(
    ("column", "before", "now", "note"),
    [
        (FLOAT, [29.14104464] * 4, [29.14104464] * 4, "always 29.141 in both"),
        (INTEGER, [1] * 4, [1, 1, 1, 2], "always 1 in the reference, 25% of rows differ now"),
        (BOOLEAN, [True] * 2, [False] * 2, "always True in the reference, 100% of rows differ now"),
        (CATEGORY, ["a", "b"], ["a", "a"], "always 'a' now"),
        (CATEGORY, ["a", "b"], ["a", "b"], ""),
    ],
)
def test_constants_are_noted_in_words(column, before, now, note):
    assert _check(column, before, now).note == note


def test_shares_read_as_per_cent_and_a_side_knows_its_nulls():
    assert [percent(share) for share in (0.6, 0.0241, 1.0, 0.0)] == ["60%", "2.41%", "100%", "0%"]
    assert Side(np.array([1.0, 2.0, 3.0]), 4).null_share == 0.25
