"""Every form of a value becomes the value it means, or a fault with the reason."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from churn_platform.contract.columns import Column
from churn_platform.contract.parts import FileFormat
from churn_platform.ingestion.conversion import (
    GAP_WORDS,
    NULL_WORDS,
    Writing,
    convert,
    spellings,
)
from churn_platform_tests.gym import plain

WHOLE = st.integers(-(2**63), 2**63 - 1)
NUMBERS = ("integer", "float")


def read(values, dtype, decimal="."):
    """The values with None for null, the dtype, and the rows (from 1) of each kind of fault."""
    series = values if isinstance(values, pd.Series) else pd.Series(values, dtype=object)
    found, masks = convert(series, dtype, Writing(decimal=decimal))
    rows = {code: (np.flatnonzero(mask) + 1).tolist() for code, mask in masks.items()}
    return plain(found), str(found.dtype), rows


DATE = pd.Timestamp("2024-01-31")
YES = ["true", "True", "TRUE", "t", "yes", "Yes", "y", "1", "1.0", 1, 1.0, True, " yes "]
NO = ["false", "False", "f", "no", "No", "n", "N", "0", "0.0", 0, 0.0, False, "NO"]
NOT_WHOLE = ["2.5", 2.5, "three", "0x1G", "1_0", str(2**63), str(-(2**63) - 1), "9" * 400]
DATES = [
    "2024-01-31", "20240131", "2024-01-31T23:30:00", "2024-01-31 23:30:00.25", "2024-01-31T23:30:00Z",
    "2024-01-31T00:30:00+02:00", "2024-01-31 23:30:00 -0500", "2024-01-31T23:30+01", dt.date(2024, 1, 31),
    dt.datetime(2024, 1, 31, 12), pd.Timestamp("2024-01-31T00:30:00", tz="Europe/Berlin"), " 2024-01-31 ",
]  # fmt: skip
OTHER_DATES = [
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
STORED = {"boolean": "boolean", "integer": "Int64", "float": "float64", "date": "datetime64[s]"}


def typed(values, dtype):
    return pd.Series(values, dtype=dtype)


@pytest.mark.parametrize(
    ("dtype", "values", "expected", "faults"),
    [
        ("boolean", [*YES, None, *NO], [True] * 13 + [None] + [False] * 13, {}),
        ("boolean", ["yes", "maybe", "2", 2, 0.5, "-1"], [True, *[None] * 5], {"not_a_boolean": [2, 3, 4, 5, 6]}),
        ("boolean", typed([1, 2, None, 0.5], float), [True, *[None] * 3], {"not_a_boolean": [2, 4]}),
        ("boolean", typed([1, 0, None], "UInt64"), [True, False, None], {}),
        ("boolean", typed([True, False, None], "boolean"), [True, False, None], {}),
        ("boolean", typed(["2024-01-31"], "datetime64[ns]"), [None], {"not_a_boolean": [1]}),
        ("integer", ["3", "3.0", " -7 ", "+4", "1e3", 3.0, 3, "0", None, "007", "0x1F", "0XfF"],
         [3, 3, -7, 4, 1000, 3, 3, 0, None, 7, 31, 255], {}),
        ("integer", ["1", *NOT_WHOLE, None], [1, *[None] * 9], {"not_a_whole_number": list(range(2, 10))}),
        ("integer", typed([2**63 - 1, 2**53 + 1, 2**63, 2**64 - 1], "uint64"), [2**63 - 1, 2**53 + 1, None, None],
         {"not_a_whole_number": [3, 4]}),
        ("integer", typed([1.5, 2.0, 2.0**60, np.inf], float), [None, 2, None, None],
         {"not_a_whole_number": [1, 3], "infinite": [4]}),
        ("float", ["3.5", " 2", "-1e-3", 4, "1e308", None], [3.5, 2.0, -0.001, 4.0, 1e308, None], {}),
        ("float", ["inf", "-Infinity", np.inf, -np.inf, "1e400", "1", "abc"], [*[None] * 5, 1.0, None],
         {"infinite": [1, 2, 3, 4, 5], "not_a_number": [7]}),
        ("float", typed([1.0, np.inf, np.nan], float), [1.0, None, None], {"infinite": [2]}),
        ("float", typed([1, None], "boolean"), [1.0, None], {}),
        ("float", typed(["2024-01-31"], "datetime64[ns]"), [None], {"not_a_number": [1]}),
        ("date", [*DATES, None, "2024-02-29"], [*[DATE] * 12, None, pd.Timestamp("2024-02-29")], {}),
        ("date", OTHER_DATES, [None] * 10,
         {"date_in_another_form": [1, 2, 3], "not_a_date": [4, 8, 9, 10], "excel_date": [5, 6, 7]}),
        ("date", typed([45322, None], "Int64"), [None, None], {"excel_date": [1]}),
        ("date", typed([45322.0, np.nan], float), [None, None], {"excel_date": [1]}),
    ],
)  # fmt: skip
def test_a_value_is_read_as_what_it_means_or_is_a_fault_of_one_kind(
    dtype, values, expected, faults
):
    assert read(values, dtype) == (expected, STORED[dtype], faults)


@pytest.mark.parametrize("dtype", ["boolean", "integer", "float", "date"])
def test_a_word_for_nothing_is_null_and_never_a_value(dtype):
    words = [*NULL_WORDS, "NULL", "NaN", " N/A ", None, np.nan, pd.NA, pd.NaT]
    values, _, faults = read(words, dtype)
    assert (values, faults) == ([None] * len(words), {})


@pytest.mark.parametrize("dtype", ["string", "category"])
def test_text_is_null_only_where_it_is_empty_and_stands_as_it_is(dtype):
    words = ["", None, np.nan, "No", "nan", 7, "007", " a ", "1.0"]
    assert read(words, dtype)[0] == [None, None, None, "No", "nan", "7", "007", " a ", "1.0"]
    assert read(typed([7, None], "Int64"), dtype)[0] == ["7", None]


@given(numbers=st.lists(WHOLE, min_size=1, max_size=8), held=st.booleans())
@example(numbers=[2**53 + 1, -(2**53) - 1], held=False)
@example(numbers=[2**53 + 1, -(2**53) - 1], held=True)
@settings(deadline=None, max_examples=15)
def test_no_whole_number_ever_becomes_its_neighbour(numbers, held):
    values = typed(numbers, "Int64") if held else [*map(str, numbers), ""]
    assert read(values, "integer") == (numbers if held else [*numbers, None], "Int64", {})


@given(number=st.floats(allow_nan=False, allow_infinity=False))
@example(number=0.1234567890123456)
@example(number=3e72)
@settings(deadline=None, max_examples=100)
def test_a_number_is_read_to_its_last_digit(number):
    assert read([repr(number), "x"], "float") == ([number, None], "float64", {"not_a_number": [2]})


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


def test_a_date_that_stands_for_never_is_kept_in_text_and_typed():
    far = dt.datetime(9999, 12, 31)
    for values in (["9999-12-31", "9999-02-30"], typed([far, None], "datetime64[s]")):
        assert read(values, "date")[0][0].to_pydatetime() == far
    assert read(["9999-12-31", "9999-02-30"], "date")[2] == {"not_a_date": [2]}


def written(values, dtype, **how):
    series = values if isinstance(values, pd.Series) else pd.Series(values, dtype=object)
    found, masks = convert(series, dtype, Writing(**how))
    return plain(found), set(masks)


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


def test_the_usual_spellings_of_words_are_known_to_the_fast_reader():
    found = spellings(NULL_WORDS)
    assert {word.lower() for word in found} == set(NULL_WORDS)
    assert {"Null", "Na", "Nan", "NaN", "None", "NULL", "N/A", "n/a", "-NaN"} <= set(found)
    assert len(set(found)) == len(found)
    assert not GAP_WORDS & set(NULL_WORDS)
