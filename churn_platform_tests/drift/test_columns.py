"""What a column shows without a distance: its method, nulls, new categories, constants, emptiness."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.base.errors import ContractError, DataError
from churn_platform.contract.model import Column
from churn_platform.contract.policy import DriftPolicy
from churn_platform.drift.columns import column_method, plain_values, precheck, side

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


def _nulls(rows, nulls):
    return np.where(np.arange(rows) < nulls, np.nan, np.arange(float(rows)))


@pytest.mark.parametrize(
    ("column", "before", "now", "reasons"),
    [
        (FLOAT, _nulls(1000, 20), _nulls(1000, 600), ["60% null, was 2%"]),
        (FLOAT, _nulls(10_000, 0), _nulls(10_000, 490), []),  # within the policy
        (FLOAT, _nulls(10_000, 0), _nulls(10_000, 600), ["6% null, was 0%"]),
        (FLOAT, _nulls(60, 0), _nulls(60, 6), []),  # within chance
        (CATEGORY, ["DSL"] * 1000, ["DSL"] * 970 + ["Cable"] * 30, ["new category 'Cable' in 3% of rows"]),
        (CATEGORY, ["DSL"] * 10_000, ["DSL"] * 9901 + ["Cable"] * 99, []),
        (CATEGORY, ["DSL"] * 100, ["DSL"] * 96 + ["Cable"] * 4, []),
        (CATEGORY, ["DSL"] * 300, ["DSL"] * 291 + ["Cable"] * 9, []),  # one of two categories
        (CATEGORY, [f"k{n}" for n in range(200)], [f"k{n}" for n in range(200, 400)], []),
    ],
)  # fmt: skip
def test_nulls_and_new_categories_count_above_the_policy_and_beyond_chance(
    column, before, now, reasons
):
    check = _check(column, before, now)
    assert list(check.reasons) == reasons
    shares = [float(pd.isna(pd.Series(values)).mean()) for values in (before, now)]
    assert [check.null_share_reference, check.null_share_current] == pytest.approx(shares)
    assert check.method is not None


@pytest.mark.parametrize(
    ("before", "now", "reasons", "note"),
    [
        ([np.nan] * 50, [np.nan] * 50, (), "empty in both"),
        ([1.0] * 300, [np.nan] * 300, ("100% null, was 0%",), "empty now"),
        ([np.nan] * 300, [1.0] * 300, ("0% null, was 100%",), "empty before"),
        ([np.nan] * 300, [1.0] + [np.nan] * 299, (), "empty before"),
    ],
)
def test_a_column_empty_on_a_side_has_no_method_and_is_drift_beyond_chance(
    before, now, reasons, note
):
    check = _check(FLOAT, before, now)
    assert (check.method, check.reasons, check.note) == (None, reasons, note)


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
