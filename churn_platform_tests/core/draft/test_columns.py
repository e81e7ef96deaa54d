"""What a column's values give away, written as text or typed."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.core.draft.columns import LISTED, OFTEN, guess_column, round_up


def guess(values, name="x", **options):
    series = values if isinstance(values, pd.Series) else pd.Series(values, dtype=object)
    return guess_column(name, series, **options)


def dtype(values, name="x"):
    return guess(values, name).column.dtype


@pytest.mark.parametrize(
    "values",
    [
        ["yes", "no", "Yes"], ["TRUE", "FALSE"], ["1", "0"], ["0.0", "1.0"], ["Y", "n", ""], ["t", "f", "n/a"],
        pd.Series([True, False]), pd.Series([0.0, 1.0, np.nan]), pd.Series([0, 1]), pd.Series([1, None], dtype="boolean"),
    ],
)  # fmt: skip
def test_yes_and_no_are_booleans_however_written(values):
    assert dtype(values) == "boolean"


def test_zero_and_one_of_something_counted_are_numbers_for_two_may_come():
    assert dtype(["0", "1", "0"], "failed_payments_90d") == "integer"
    assert dtype(pd.Series([0, 1, 0]), "num_calls") == "integer"
    assert dtype(["yes", "no"], "num_calls") == "boolean"


@pytest.mark.parametrize(
    "values", [["1", "20", "-3"], ["+5", " 7 ", "null"], pd.Series([3, 4]), pd.Series([3, None], dtype="Int64")]
)
def test_whole_numbers_are_integers(values):
    assert dtype(values) == "integer"


@pytest.mark.parametrize("values", [["1.5", "2"], ["1.0", "3.0"], ["1e3", "2"], pd.Series([1.0, 3.0])])
def test_numbers_written_with_a_fraction_are_floats_even_where_all_are_whole(values):
    assert dtype(values) == "float"


def test_codes_with_leading_zeros_are_no_numbers():
    assert dtype(["007", "012", "300"] * 20) == "category"


@pytest.mark.parametrize(
    "values",
    [
        ["2024-01-31", "2020-02-29", ""],
        ["2024-01-31T10:00:00Z", "2024-01-31 10:00"],
        pd.Series(pd.to_datetime(["2024-01-31", None])),
        [dt.date(2024, 1, 31), None],
    ],
)
def test_iso_dates_are_dates_and_other_ways_to_write_them_are_said(values):
    assert dtype(values) == "date"


def test_a_date_written_otherwise_is_said_so():
    found = guess(["31.01.2024", "01.02.2024"] * 20)
    assert (found.column.dtype, found.useless) == ("string", "a date that is not written as 2024-01-31")


def test_a_few_texts_are_a_category_whose_values_are_listed_when_each_is_frequent():
    assert guess(["b", "a"] * OFTEN).column.values == ("a", "b")
    assert guess([*["b", "a"] * OFTEN, "c"]).column.values is None
    many = [f"v{n:02d}" for n in range(LISTED + 1)] * OFTEN
    assert guess(many[: LISTED * OFTEN]).column.dtype == "category"
    assert guess(many).column.values is None


def test_a_null_word_is_a_value_of_a_category_but_empty_among_numbers():
    assert guess(["None", "fibre"] * OFTEN).column.values == ("None", "fibre")
    numbers = guess(["1.5", "None", "2.5"])
    assert (numbers.column.dtype, numbers.column.nullable) == ("float", True)


def test_texts_that_nearly_all_differ_or_are_long_are_no_feature():
    assert guess([f"note {n}" for n in range(50)]).useless == "nearly every text differs"
    assert guess(["a long text " * 10, "another long text " * 10] * 20).useless == "long texts"
    assert guess([f"town {n % 30}" for n in range(300)]).useless == ""


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (["", None, ""], "always empty"),
        (["5", "5", "5"], "the same value everywhere"),
        (["yes", "", "yes"], "the same value wherever it is not empty"),
    ],
)
def test_what_is_empty_or_always_the_same_is_no_feature(values, why):
    assert guess(values).useless == why


def test_a_column_may_be_empty_where_it_is_seen_to_be_and_few_empty_ones_are_to_be_confirmed():
    assert guess(["1", "2"]).column.nullable is False
    rare = guess(["1", "2"] * 100 + [""])
    assert (rare.column.nullable, rare.doubt) == (True, "1 of 201 empty")
    assert guess(["1", "", "2"]).doubt == ""


def test_one_stranger_in_a_thousand_numbers_is_confirmed_and_two_make_a_text():
    numbers = [str(n) for n in range(5, 1004)]
    found = guess([*numbers, "n.v."])
    assert (found.column.dtype, found.doubt) == ("integer", "1 is no number, as 'n.v.'")
    assert dtype([*numbers, "n.v.", "?"]) == "string"
    assert guess(pd.Series([1.5, np.inf])).doubt == "1 infinite"


def test_bounds_are_round_and_well_outside_and_zero_stays_where_nothing_is_negative():
    fee = guess(["0", "72.5"]).column
    assert (fee.min, fee.max) == (0, 500)
    balance = guess(["-30.5", "12.0"]).column
    assert (balance.min, balance.max) == (-200, 100)
    huge = guess(["5", "123456789012345678"]).column
    assert (huge.dtype, huge.min, huge.max) == ("integer", 0, None)


@given(st.floats(1e-6, 1e15))
def test_a_round_figure_is_the_next_one_two_or_five(number):
    found = round_up(number)
    assert number * (1 - 1e-9) <= found <= number * 2.5 * (1 + 1e-9)
    assert f"{found:e}"[0] in "125"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2))
def test_bounds_hold_every_number_seen(values):
    column = guess(pd.Series(values)).column
    if column.dtype == "float":
        assert column.min is None or column.min <= min(values)
        assert column.max is None or column.max >= max(values)


def test_older_drops_widen_the_rules_but_do_not_repeat_a_key():
    older = [pd.Series(["a", "", "c"], dtype=object)]
    found = guess(["a", "b", "c"], older=older)
    assert (found.unique, found.column.nullable) == (True, True)
    assert guess(["5", "5"], older=[pd.Series(["7", "9.5"])]).column.dtype == "float"
    assert guess(["a", "a"]).unique is False
    assert guess(["a", ""]).unique is False


def test_a_long_column_of_texts_is_known_by_its_first_ones_and_a_stranger_first_does_no_harm():
    numbers = [str(n) for n in range(3000)]
    assert dtype(["n.v.", *numbers]) == "integer"
    assert dtype([f"t{n % 40}" for n in range(1500)] + numbers[:100]) == "category"
