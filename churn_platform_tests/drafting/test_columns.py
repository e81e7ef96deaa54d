"""What a column's values give away, written as text or typed."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.drafting.columns import LISTED, OFTEN, guess_column, round_up
from churn_platform.ingestion.conversion import Writing, convert


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
    "values",
    [
        ["1", "20", "-3"],
        ["+5", " 7 ", "null"],
        pd.Series([3, 4]),
        pd.Series([3, None], dtype="Int64"),
    ],
)
def test_whole_numbers_are_integers(values):
    assert dtype(values) == "integer"


@pytest.mark.parametrize(
    "values", [["1.5", "2"], ["1.0", "3.0"], ["1e+3", "2"], pd.Series([1.0, 3.0])]
)
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
    found = guess([*numbers, "12x"])
    assert (found.column.dtype, found.doubt) == (
        "integer",
        "1 value is not a number, for example '12x'",
    )
    assert dtype([*numbers, "12x", "13x"]) == "string"
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


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2))
def test_bounds_hold_every_number_seen(values):
    column = guess(pd.Series(values)).column
    if column.dtype == "float":
        seen = [value for value in values if str(value) not in column.missing]
        assert column.min is None or column.min <= min(seen)
        assert column.max is None or column.max >= max(seen)


def test_older_drops_widen_the_rules_but_do_not_repeat_a_key():
    older = [pd.Series(["a", "", "c"], dtype=object)]
    found = guess(["a", "b", "c"], others=older)
    assert (found.unique, found.column.nullable) == (True, True)
    assert guess(["5", "5"], others=[pd.Series(["7", "9.5"])]).column.dtype == "float"
    assert guess(["a", "a"]).unique is False
    assert guess(["a", ""]).unique is False


def test_a_long_column_of_texts_is_known_by_its_first_ones_and_a_stranger_first_does_no_harm():
    numbers = [str(n) for n in range(3000)]
    assert dtype(["n.v.", *numbers]) == "integer"
    assert dtype([f"t{n % 40}" for n in range(1500)] + numbers[:100]) == "category"


@pytest.mark.parametrize(
    "values",
    [
        ["", "null", None, " NA ", "yes", "no"],
        [np.nan, None, "n/a", "NaN", 1.5, 2.5],
        [pd.NaT, "", "None", "yes"],
    ],
)
def test_null_words_are_missing_values(values):
    found = guess(values * 20).values
    present = [value for value in values if str(value) in ("no", "1.5", "2.5", "yes")]
    assert found.notna().sum() == 20 * len(present)


def test_dates_are_read_as_written():
    said = [
        "2024-01-31T23:30:00-05:00",
        dt.date(2024, 1, 31),
        pd.Timestamp("2024-01-31 12:00"),
        None,
    ]
    assert guess(said).values.tolist()[:3] == [pd.Timestamp("2024-01-31")] * 3


@pytest.mark.parametrize(
    ("words", "form", "first"),
    [
        (["31.01.2024", "01.02.2024"], "%d.%m.%Y", "2024-01-31"),
        (["01/31/2024", "02/01/2024"], "%m/%d/%Y", "2024-01-31"),
        (["31/01/2024", "01/02/2024"], "%d/%m/%Y", "2024-01-31"),
        (["31.01.2024 07:30", "01.02.2024 17:05"], "%d.%m.%Y %H:%M", "2024-01-31"),
        (["20240131", "20240201"], "%Y%m%d", "2024-01-31"),
        (["31-Jan-2024", "01-Feb-2024"], "%d-%b-%Y", "2024-01-31"),
    ],
)
def test_dates_in_another_form_are_dates_with_their_form(words, form, first):
    found = guess(words * 20, "joined")
    assert (found.column.dtype, found.column.date_format) == ("date", form)
    assert found.values[0] == pd.Timestamp(first)


def test_a_day_that_may_be_a_month_is_confirmed():
    assert "day or month first?" in guess(["01/02/2024", "03/04/2024"] * 20).doubt
    assert "day or month first?" not in guess(["01/02/2024", "13/04/2024"] * 20).doubt


@pytest.mark.parametrize("typed", [False, True])
def test_day_numbers_of_excel_and_seconds_since_1970_are_dates_to_confirm(typed):
    for numbers, form in (
        ([44000 + n % 300 for n in range(900)], "excel"),
        ([1640000000 + 86400 * n for n in range(90)], "epoch_seconds"),
    ):
        values = pd.Series(numbers) if typed else [str(n) for n in numbers]
        found = guess(values, "joined")
        assert (found.column.dtype, found.column.date_format) == ("date", form)
        assert str(numbers[0]) in found.doubt
    assert guess([str(44000 + n % 300) for n in range(900)], "salary").column.dtype == "integer"
    assert guess([str(44000 + n) for n in range(900)], "who").column.dtype == "integer"


@pytest.mark.parametrize(
    ("word", "written", "dtype"),
    [
        ("1,5", {"decimal": ","}, "float"),
        ("1.234,50", {"decimal": ",", "thousands": "."}, "float"),
        ("1,234.50", {"decimal": ".", "thousands": ","}, "float"),
        ("1 234,50", {"decimal": ",", "thousands": " "}, "float"),
        ("€ 9.90", {"decimal": ".", "unit": "€"}, "float"),
        ("12.5%", {"decimal": ".", "unit": "%"}, "float"),
        ("1'234.50", {"decimal": ".", "thousands": "'"}, "float"),
    ],
)
def test_signs_are_read_by_column_next_to_gaps(word, written, dtype):
    found = guess([word, word.replace("5", "7"), "NULL", word.replace("5", "3")] * 30)
    assert (found.column.dtype, found.decimal, found.column.nullable) == (
        dtype,
        written["decimal"],
        True,
    )
    assert (found.column.thousands, found.column.unit) == (
        written.get("thousands", ""),
        written.get("unit", ""),
    )


def test_a_point_before_three_digits_groups_them_where_small_numbers_have_none():
    grouped = guess([f"{n:,}".replace(",", ".") for n in range(0, 4000, 37)])
    assert (grouped.column.dtype, grouped.column.thousands, grouped.values.max()) == (
        "integer",
        ".",
        3996,
    )
    assert "thousands" in grouped.doubt
    assert guess(["0.125", "1.250", "2"]).column.thousands == ""
    assert "not as thousands" in guess(["1.125", "1.250"]).doubt


def test_codes_with_an_e_are_no_numbers():
    assert guess(["1E2", "2E5", "12E3"] * 20).column.values == ("12E3", "1E2", "2E5")


@pytest.mark.parametrize("word", ["-", "?", "\\N", "#N/A", "<NA>", "unknown", "k.A.", "keine"])
def test_gap_words_among_numbers_are_missing_values_to_confirm(word):
    found = guess([word if n % 6 == 0 else str(n % 40) for n in range(240)])
    assert (found.column.dtype, found.column.missing, found.column.nullable) == (
        "integer",
        (word,),
        True,
    )
    assert repr(word) in found.doubt


def test_a_gap_word_among_yes_and_no_is_a_missing_value():
    assert guess(["yes", "no", "unknown"] * 20).column.missing == ("unknown",)
    assert guess(["yes", "unknown"] * 20).column.dtype == "category"


@pytest.mark.parametrize(
    ("gap", "others", "missing"),
    [
        (-1, [0, 3, 17, 40], ("-1",)), (999, [0, 1, 2, 5], ("999",)), (-999, [0.5, 1.5, 9.5], ("-999.0",)),
        (-1, [-3, -2, 0, 4], ()), (-1, [0, 1], ()), (99, [20, 45, 80], ()),
    ],
)  # fmt: skip
def test_numbers_that_mean_missing_set_no_bounds(gap, others, missing):
    found = guess(pd.Series([gap, *others] * 20))
    assert found.column.missing == missing
    if missing:
        assert found.column.max <= 10 * max(others)
        assert (found.column.min, found.column.nullable) == (0, True)
        assert missing[0] in found.doubt


@pytest.mark.parametrize("gap", ["1900-01-01", "9999-12-31", "0000-00-00", "1970-01-01"])
def test_dates_that_mean_missing_are_confirmed(gap):
    found = guess([gap, "2023-05-01", "2023-07-09", "2021-01-04"] * 20)
    assert (found.column.dtype, found.column.missing, found.column.nullable) == (
        "date",
        (gap,),
        True,
    )
    assert gap in found.doubt


def test_categories_that_differ_by_case_or_blanks_are_named():
    found = guess(["Basic", "Basic ", "BASIC", "Max"] * 20)
    assert found.column.values == ("BASIC", "Basic", "Basic ", "Max")
    assert all(repr(word) in found.doubt for word in ("Basic", "Basic ", "BASIC"))
    assert guess(["Basic", "Max"] * 20).doubt == ""


@pytest.mark.parametrize("header", ["", "Unnamed: 0", "index", "RowNumber"])
def test_rows_that_are_numbered_are_no_feature(header):
    assert guess([str(n) for n in range(50)], header).useless == "row numbers"
    assert guess([str(n * 7 % 50) for n in range(50)], header).useless == ""


def test_numbers_in_a_form_that_cannot_be_read_are_said():
    assert "'(0.50)'" in guess(["(0.50)", "(1.50)", "2.50"] * 20).useless


@pytest.mark.parametrize(
    "form",
    ["%d.%m.%Y", "%d.%m.%y", "%m/%d/%Y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%Y/%m/%d", "%d.%m.%Y %H:%M", "%Y%m%d",
     "%Y-%m-%d", "%Y-%m-%d %H:%M:%S"],
)  # fmt: skip
def test_dates_are_read_by_a_draft_as_ingestion_reads_them(form):
    days = [dt.datetime(2021, 1, 1) + dt.timedelta(days=17 * n) for n in range(60)]
    words = pd.Series([day.strftime(form) for day in days])
    found = guess(words, "joined_on")
    read, faults = convert(words, "date", Writing(date_format=found.column.date_format))
    assert (found.column.dtype, faults) == ("date", {})
    assert found.values.tolist() == read.tolist() == [pd.Timestamp(day.date()) for day in days]


def test_negative_numbers_in_brackets_are_left_out_with_an_example():
    assert "(12.00)" in guess([f"({n}.00)" for n in range(12, 60)]).useless
