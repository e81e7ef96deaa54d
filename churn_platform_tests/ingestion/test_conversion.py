"""Every form in which a value arrives becomes the one value it means, or a fault that says why it cannot."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from churn_platform.contract.parts import Column, FileFormat
from churn_platform.ingestion.conversion import (
    GAP_WORDS,
    NULL_SPELLINGS,
    NULL_WORDS,
    Writing,
    convert,
)

WHOLE = st.integers(-(2**63), 2**63 - 1)
NUMBERS = ("integer", "float")


def read(values, dtype, decimal="."):
    """The values with None for null, the dtype, and the rows (from 1) of each kind of fault."""
    series = values if isinstance(values, pd.Series) else pd.Series(values, dtype=object)
    typed, masks = convert(series, dtype, Writing(decimal=decimal))
    plain = [None if pd.isna(value) else value for value in typed]
    return (
        plain,
        str(typed.dtype),
        {code: (np.flatnonzero(mask) + 1).tolist() for code, mask in masks.items()},
    )


def test_booleans_are_read_from_every_usual_word():
    yes = ["true", "True", "TRUE", "t", "yes", "Yes", "y", "1", "1.0", 1, 1.0, True, " yes "]
    no = ["false", "False", "f", "no", "No", "n", "N", "0", "0.0", 0, 0.0, False, "NO"]
    assert read([*yes, None, *no], "boolean") == (
        [True] * 13 + [None] + [False] * 13,
        "boolean",
        {},
    )


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
    assert read(["yes", "maybe", "2", 2, 0.5, "yess", "-1"], "boolean")[2] == {
        "not_a_boolean": [2, 3, 4, 5, 6, 7]
    }
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


def test_what_is_no_whole_number_of_64_bits_is_a_fault():
    bad = ["2.5", 2.5, "three", "0x1G", "1_0", str(2**63), str(-(2**63) - 1), "9" * 400]
    values, _, faults = read(["1", *bad, None], "integer")
    assert (values, faults) == ([1, *[None] * 9], {"not_a_whole_number": list(range(2, 10))})
    unsigned = pd.Series([2**63 - 1, 2**63, 2**64 - 1], dtype="uint64")
    assert read(unsigned, "integer") == (
        [2**63 - 1, None, None],
        "Int64",
        {"not_a_whole_number": [2, 3]},
    )
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


def test_numbers_are_read_in_every_form():
    words = ["3.5", " 2", "-1e-3", 4, "1e308", None]
    assert read(words, "float") == ([3.5, 2.0, -0.001, 4.0, 1e308, None], "float64", {})
    for dtype in ("Int64", "UInt64", "Float64", "boolean"):
        assert read(pd.Series([1, None], dtype=dtype), "float") == ([1.0, None], "float64", {})


def test_an_infinity_is_a_fault_in_text_and_typed():
    words = ["inf", "-Infinity", np.inf, -np.inf, "1e400", "1", "abc"]
    values, _, faults = read(words, "float")
    assert (values[5], faults) == (1.0, {"infinite": [1, 2, 3, 4, 5], "not_a_number": [7]})
    assert read(pd.Series([1.0, np.inf, np.nan]), "float") == (
        [1.0, None, None],
        "float64",
        {"infinite": [2]},
    )


@pytest.mark.parametrize("dtype", NUMBERS)
def test_a_decimal_comma_is_named_and_read_where_the_contract_says_so(dtype):
    assert read(["1", "2,0", "-3,0", ",5"], dtype)[2] == {"decimal_comma": [2, 3, 4]}
    values, _, faults = read(["1", "2,0", "-3,0", "4.0", None, "x"], dtype, decimal=",")
    assert values == [1, 2, -3, None, None, None]
    assert faults == {
        "decimal_point": [4],
        ("not_a_number" if dtype == "float" else "not_a_whole_number"): [6],
    }


@pytest.mark.parametrize(
    "word", ["1,234", "1,234,567", "1,234.5", "12 345", "1'234", "1.234.567,8", "1\u00a0234"]
)
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
    values = (
        pd.Series(pd.to_datetime(["2024-01-31T00:30", None])).dt.as_unit(unit).dt.tz_localize(zone)
    )
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


def test_a_date_in_a_number_column_is_a_fault():
    values = pd.Series(pd.to_datetime(["2024-01-31"]))
    assert read(values, "float")[2] == {"not_a_number": [1]}
    assert read(values, "boolean")[2] == {"not_a_boolean": [1]}


def written(values, dtype, **how):
    series = values if isinstance(values, pd.Series) else pd.Series(values, dtype=object)
    typed, masks = convert(series, dtype, Writing(**how))
    return [None if pd.isna(value) else value for value in typed], set(masks)


@pytest.mark.parametrize("dtype", ["integer", "float", "string", "category", "boolean"])
def test_a_declared_word_is_no_value_in_any_dtype(dtype):
    words = ["-", "?", "\\N", "#N/A", "<NA>", " - "]
    assert written(["1", *words], dtype, missing=tuple(words[:5])) == (
        [{"integer": 1, "float": 1.0, "boolean": True}.get(dtype, "1"), *[None] * 6], set(),
    )  # fmt: skip


def test_a_number_that_stands_for_no_value_is_missing_in_every_form():
    for values in (
        ["-1", "-1.0", "999", "5"],
        pd.Series([-1.0, -1, 999, 5]),
        pd.Series([-1, -1, 999, 5]),
    ):
        for dtype in NUMBERS:
            assert written(values, dtype, missing=("-1", "999")) == ([None, None, None, 5], set())
    dates = ["9999-12-31", "9999-12-31T00:00:00", "0000-00-00", "2024-01-31"]
    missing = ("9999-12-31", "0000-00-00")
    assert written(dates, "date", missing=missing) == (
        [None, None, None, pd.Timestamp("2024-01-31")],
        set(),
    )
    typed = pd.Series(np.array(["9999-12-31", "2024-01-31"], dtype="datetime64[s]"))
    assert written(typed, "date", missing=missing) == ([None, pd.Timestamp("2024-01-31")], set())


def test_a_word_that_is_a_category_stays_one():
    files = FileFormat(missing=("NA", "-"))
    country = Column(dtype="category", values=("NA", "DE"))
    assert Writing.of(files, country).missing == ("-",)
    assert Writing.of(files, Column(dtype="category", missing=("x",))).missing == ("NA", "-", "x")


def test_a_column_s_own_signs_take_precedence_over_those_of_the_files():
    files = FileFormat(delimiter=";", decimal=",", thousands=".")
    assert Writing.of(files, Column(dtype="float")) == Writing(decimal=",", thousands=".")
    assert Writing.of(files, Column(dtype="float", decimal=".")) == Writing(
        decimal=".", thousands=""
    )
    assert Writing.of(files, Column(dtype="float", decimal=".", thousands=" ")) == Writing(
        decimal=".", thousands=" "
    )


@pytest.mark.parametrize(
    ("how", "words", "values"),
    [
        ({"unit": "\u20ac"}, ["\u20ac 29.90", "29.90 \u20ac", "\u20ac29.90", "-\u20ac5", "\u20ac\u00a0-5", "7"], [29.9, 29.9, 29.9, -5, -5, 7]),
        ({"unit": "%"}, ["12.5%", "12.5 %", "0"], [12.5, 12.5, 0]),
        ({"unit": "EUR"}, ["EUR 1", "2 EUR"], [1, 2]),
        ({"thousands": ","}, ["1,234.50", "12,345,678", "1234", "-1,000"], [1234.5, 12345678, 1234, -1000]),
        ({"thousands": ".", "decimal": ","}, ["1.234,5", "0,5", "1.234"], [1234.5, 0.5, 1234]),
        ({"thousands": " "}, ["1 234", "1\u00a0234", "1\u202f234.5"], [1234, 1234, 1234.5]),
        ({"thousands": "'"}, ["1'234.5"], [1234.5]),
    ],
)  # fmt: skip
def test_declared_signs_are_removed_from_numbers(how, words, values):
    assert written(words, "float", **how) == (values, set())


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ({"unit": "\u20ac"}, "$ 5"),
        ({"thousands": ","}, "1,5"),
        ({"thousands": ","}, "12,34,567"),
        ({"thousands": ".", "decimal": ","}, "1.5"),
        ({"thousands": ".", "decimal": ","}, "1.2345"),
        ({}, "(12.00)"),
        ({}, "5%"),
    ],
)
def test_a_sign_in_another_place_is_a_fault_and_never_another_number(how, word):
    values, codes = written([word], "float", **how)
    assert (values, len(codes)) == ([None], 1)


@given(numbers=st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=6))
@settings(deadline=None, max_examples=20)
def test_grouped_digits_are_the_same_number(numbers):
    assert written([f"{n:,}" for n in numbers], "integer", thousands=",") == (numbers, set())


@pytest.mark.parametrize(
    ("date_format", "word", "date"),
    [
        ("excel", "45322", "2024-01-31"),
        ("excel", "45322.75", "2024-01-31"),
        ("%Y%m%d", "20220305", "2022-03-05"),
        ("%d.%m.%Y", "05.03.2022", "2022-03-05"),
        ("%m/%d/%Y", "03/05/2022", "2022-03-05"),
        ("%d.%m.%Y", "31.12.9999", "9999-12-31"),
        ("epoch_seconds", "1640000000", "2021-12-20"),
        ("epoch_seconds", "-1", "1969-12-31"),
    ],
)
def test_a_declared_date_format_is_read(date_format, word, date):
    expected = (
        pd.Series([date], dtype="datetime64[s]")[0]
        if date < "2262"
        else dt.datetime.fromisoformat(date)
    )
    assert written([word, "", None], "date", date_format=date_format) == (
        [expected, None, None],
        set(),
    )


@pytest.mark.parametrize(
    ("date_format", "word"),
    [("%d.%m.%Y", "2022-03-05"), ("excel", "soon"), ("epoch_seconds", "1e99")],
)
def test_a_date_in_another_than_the_declared_format_is_a_fault(date_format, word):
    assert written([word], "date", date_format=date_format) == ([None], {"not_a_date"})


def test_typed_numbers_are_dates_by_a_declared_format():
    for numbers in (pd.Series([45322.0, np.nan]), pd.Series([45322, None], dtype="Int64")):
        assert written(numbers, "date", date_format="excel") == (
            [pd.Timestamp("2024-01-31"), None],
            set(),
        )


@given(numbers=st.lists(st.floats(allow_nan=False), min_size=1, max_size=6))
@example(numbers=[100938.0, 1.0, -0.0, 1.5, 2.0**53, 1e300])
@settings(deadline=None, max_examples=30)
def test_a_whole_float_is_written_as_an_integer(numbers):
    for dtype in ("string", "category"):
        texts, codes = written(pd.Series(numbers), dtype)
        assert not codes
        for number, text in zip(numbers, texts, strict=True):
            assert float(text) == number
            assert (text.lstrip("-").isdigit()) == (np.isfinite(number) and number % 1 == 0)


def test_yes_and_no_are_also_numbers_with_a_decimal_comma():
    values = pd.Series(["1,0", "0,0", "1.0", "1", "no", "2,0"], dtype="string[pyarrow]")
    read, masks = convert(values, "boolean", Writing(decimal=","))
    assert read.tolist() == [True, False, True, True, False, pd.NA]
    assert [*masks] == ["not_a_boolean"]
    assert convert(values, "boolean")[0].isna().tolist() == [True, True, False, False, False, True]


def test_the_usual_spellings_of_null_words_are_known_to_the_fast_reader():
    assert {word.lower() for word in NULL_SPELLINGS} == set(NULL_WORDS)
    assert {"Null", "Na", "Nan", "NaN", "None", "NULL", "N/A", "n/a", "-NaN"} <= set(NULL_SPELLINGS)
    assert len(set(NULL_SPELLINGS)) == len(NULL_SPELLINGS)
    assert not GAP_WORDS & set(NULL_WORDS)
