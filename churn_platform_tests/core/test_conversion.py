"""Every form in which a value arrives becomes the one value it means, or a fault that says why it cannot."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from churn_platform.core.conversion import NULL_WORDS, convert, excel_day

WHOLE = st.integers(-(2**63), 2**63 - 1)
NUMBERS = ("integer", "float")


def read(values, dtype, decimal="."):
    """The values with None for null, the dtype, and the rows (from 1) of each kind of fault."""
    series = values if isinstance(values, pd.Series) else pd.Series(values, dtype=object)
    typed, masks = convert(series, dtype, decimal)
    plain = [None if pd.isna(value) else value for value in typed]
    return plain, str(typed.dtype), {code: (np.flatnonzero(mask) + 1).tolist() for code, mask in masks.items()}


def test_booleans_are_read_from_every_usual_word():
    yes = ["true", "True", "TRUE", "t", "yes", "Yes", "y", "1", "1.0", 1, 1.0, True, " yes "]
    no = ["false", "False", "f", "no", "No", "n", "N", "0", "0.0", 0, 0.0, False, "NO"]
    assert read([*yes, None, *no], "boolean") == ([True] * 13 + [None] + [False] * 13, "boolean", {})


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([True, False, None], dtype="boolean"),
        pd.Series([1, 0, None], dtype="Int64"),
        pd.Series([1, 0, None], dtype="UInt64"),
        pd.Series([1.0, 0.0, np.nan]),
    ],
)
def test_booleans_that_are_typed_already_stay_what_they_are(values):
    assert read(values, "boolean") == ([True, False, None], "boolean", {})
    assert read(pd.Series([True, False]), "boolean") == ([True, False], "boolean", {})


def test_what_is_neither_true_nor_false_is_a_fault():
    assert read(["yes", "maybe", "2", 2, 0.5, "yess", "-1"], "boolean")[2] == {"not_a_boolean": [2, 3, 4, 5, 6, 7]}
    assert read(pd.Series([1.0, 2.0, np.nan, 0.5]), "boolean")[2] == {"not_a_boolean": [2, 4]}


@pytest.mark.parametrize("dtype", ["boolean", "integer", "float", "date"])
def test_a_word_for_nothing_is_null_and_never_a_value(dtype):
    words = [*NULL_WORDS, "NULL", "NaN", " N/A ", None, np.nan, pd.NA, pd.NaT]
    values, _, faults = read(words, dtype)
    assert (values, faults) == ([None] * len(words), {})


@pytest.mark.parametrize("dtype", ["string", "category"])
def test_text_is_null_only_where_it_is_empty_and_stands_as_it_is(dtype):
    words = ["", None, np.nan, "No", "nan", 7, "007", " a ", "1.0"]
    assert read(words, dtype)[0] == [None, None, None, "No", "nan", "7", "007", " a ", "1.0"]
    assert read(pd.Series([7, None], dtype="Int64"), dtype)[0] == ["7", None]


def test_typed_nulls_stay_null_in_every_dtype():
    for dtype, typed in (
        ("boolean", "boolean"),
        ("integer", "Int64"),
        ("float", "Float64"),
        ("date", "datetime64[ns]"),
    ):
        assert read(pd.Series([None, None], dtype=typed), dtype)[0::2] == ([None, None], {})


def test_whole_numbers_are_read_in_every_form():
    words = ["3", "3.0", " -7 ", "+4", "1e3", 3.0, 3, "0", None, "007", "0x1F", "0XfF"]
    assert read(words, "integer") == ([3, 3, -7, 4, 1000, 3, 3, 0, None, 7, 31, 255], "Int64", {})


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "UInt64", "float32", "float64", "bool", "boolean"])
def test_a_whole_number_is_the_same_in_every_physical_type(dtype):
    assert read(pd.Series([1, 0], dtype=dtype), "integer") == ([1, 0], "Int64", {})


def test_what_is_no_whole_number_of_64_bits_is_a_fault():
    bad = ["2.5", 2.5, "three", "0x1G", "1_0", str(2**63), str(-(2**63) - 1), "9" * 400]
    values, _, faults = read(["1", *bad, None], "integer")
    assert (values, faults) == ([1, *[None] * 9], {"not_a_whole_number": list(range(2, 10))})
    unsigned = pd.Series([2**63 - 1, 2**63, 2**64 - 1], dtype="uint64")
    assert read(unsigned, "integer") == ([2**63 - 1, None, None], "Int64", {"not_a_whole_number": [2, 3]})
    assert read(pd.Series([1.5, 2.0, 2.0**60, np.inf]), "integer")[2] == {
        "not_a_whole_number": [1, 3],
        "infinite": [4],
    }


@given(numbers=st.lists(WHOLE, min_size=1, max_size=8), typed=st.booleans())
@example(numbers=[2**53 + 1, -(2**53) - 1], typed=False)
@example(numbers=[2**53 + 1, -(2**53) - 1], typed=True)
@settings(deadline=None, max_examples=15)
def test_no_whole_number_ever_becomes_its_neighbour(numbers, typed):
    values = pd.Series(pd.array(numbers, dtype="Int64")) if typed else [*map(str, numbers), ""]
    assert read(values, "integer") == (numbers if typed else [*numbers, None], "Int64", {})


def test_an_unsigned_number_beyond_a_float_stays_exact():
    assert read(pd.Series([2**53 + 1, 2**63], dtype="uint64"), "integer")[0] == [2**53 + 1, None]


def test_numbers_are_read_in_every_form():
    words = ["3.5", " 2", "-1e-3", 4, "1e308", None]
    assert read(words, "float") == ([3.5, 2.0, -0.001, 4.0, 1e308, None], "float64", {})
    for dtype in ("Int64", "UInt64", "Float64", "boolean"):
        assert read(pd.Series([1, None], dtype=dtype), "float") == ([1.0, None], "float64", {})


def test_an_infinity_is_a_fault_in_text_and_typed():
    words = ["inf", "-Infinity", np.inf, -np.inf, "1e400", "1", "abc"]
    values, _, faults = read(words, "float")
    assert (values[5], faults) == (1.0, {"infinite": [1, 2, 3, 4, 5], "not_a_number": [7]})
    assert read(pd.Series([1.0, np.inf, np.nan]), "float") == ([1.0, None, None], "float64", {"infinite": [2]})


@pytest.mark.parametrize("dtype", NUMBERS)
def test_a_decimal_comma_is_named_and_read_where_the_contract_says_so(dtype):
    assert read(["1", "2,0", "-3,0", ",5"], dtype)[2] == {"decimal_comma": [2, 3, 4]}
    values, _, faults = read(["1", "2,0", "-3,0", "4.0", None, "x"], dtype, decimal=",")
    assert values == [1, 2, -3, None, None, None]
    assert faults == {"decimal_point": [4], ("not_a_number" if dtype == "float" else "not_a_whole_number"): [6]}


@pytest.mark.parametrize("word", ["1,234", "1,234,567", "1,234.5", "12 345", "1'234", "1.234.567,8", "1\u00a0234"])
def test_a_thousands_separator_is_named(word):
    for dtype in NUMBERS:
        assert read(["1", word], dtype)[2] == {"thousands_separator": [2]}


def test_dates_are_read_as_written_whatever_their_time_and_zone():
    forms = [
        "2024-01-31", "20240131", "2024-01-31T23:30:00", "2024-01-31 23:30:00.25", "2024-01-31T23:30:00Z",
        "2024-01-31T00:30:00+02:00", "2024-01-31 23:30:00 -0500", "2024-01-31T23:30+01", dt.date(2024, 1, 31),
        dt.datetime(2024, 1, 31, 12), pd.Timestamp("2024-01-31T00:30:00", tz="Europe/Berlin"), " 2024-01-31 ",
    ]  # fmt: skip
    expected = [*[pd.Timestamp("2024-01-31")] * 12, None, pd.Timestamp("2024-02-29")]
    assert read([*forms, None, "2024-02-29"], "date") == (expected, "datetime64[s]", {})


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_typed_dates_keep_their_date(zone, unit):
    values = pd.Series(pd.to_datetime(["2024-01-31T00:30", None])).dt.as_unit(unit).dt.tz_localize(zone)
    assert read(values, "date") == ([pd.Timestamp("2024-01-31"), None], "datetime64[s]", {})


def test_a_date_that_stands_for_never_is_kept_in_text_and_typed():
    far = dt.datetime(9999, 12, 31)
    for values in (["9999-12-31", "9999-02-30"], pd.Series([far, None], dtype="datetime64[s]")):
        assert read(values, "date")[0][0].to_pydatetime() == far
    assert read(["9999-12-31", "9999-02-30"], "date")[2] == {"not_a_date": [2]}


def test_what_is_no_iso_date_is_named_for_what_it_is():
    words = [
        "31/01/2024",
        "1.2.24",
        "2024/01/31",
        "2024-02-30",
        "45322",
        45322,
        "45322.0",
        "soon",
        "2024",
        "2024-13-01",
    ]
    assert read(words, "date")[2] == {
        "date_in_another_form": [1, 2, 3],
        "not_a_date": [4, 8, 9, 10],
        "excel_date": [5, 6, 7],
    }
    assert read(pd.Series([45322, None], dtype="Int64"), "date")[2] == {"excel_date": [1]}
    assert read(pd.Series([45322.0, np.nan]), "date")[2] == {"excel_date": [1]}


def test_excel_counts_days_from_the_end_of_1899():
    assert excel_day("45322") == dt.date(2024, 1, 31)
    assert excel_day("45322.0") == dt.date(2024, 1, 31)


def test_a_date_in_a_number_column_is_a_fault():
    values = pd.Series(pd.to_datetime(["2024-01-31"]))
    assert read(values, "float")[2] == {"not_a_number": [1]}
    assert read(values, "boolean")[2] == {"not_a_boolean": [1]}
