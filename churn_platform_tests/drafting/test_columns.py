"""What the values of a column suggest, written as text or typed."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.drafting.columns import LISTED, OFTEN, guess_column, round_up
from churn_platform.ingestion.conversion import Writing, convert

TIMES = 20
"""How often each value occurs where a value must be frequent."""


def guess(values, name="x", **options):
    series = values if isinstance(values, pd.Series) else pd.Series(values, dtype=object)
    return guess_column(name, series, **options)


def written(values, name="x"):
    """The fields of the column that are not defaults, without its bounds."""
    found = guess(values, name).column.model_dump(exclude_defaults=True, exclude={"min", "max"})
    return {"dtype": "string"} | found


@pytest.mark.parametrize(
    ("dtype", "columns"),
    [
        ("boolean", [
            ["yes", "no", "Yes"], ["TRUE", "FALSE"], ["1", "0"], ["0.0", "1.0"], ["Y", "n", ""], ["t", "f", "n/a"],
            pd.Series([True, False]), pd.Series([0.0, 1.0, np.nan]), pd.Series([0, 1]), pd.Series([1, None], dtype="boolean"),
            pd.Series(["yes", "no"], dtype="category"),
        ]),
        ("integer", [["1", "20", "-3"], ["+5", " 7 ", "null"], pd.Series([3, 4]), pd.Series([3, None], dtype="Int64")]),
        ("float", [["1.5", "2"], ["1.0", "3.0"], ["1e+3", "2"], pd.Series([1.0, 3.0])]),
        ("category", [["007", "012", "300"] * TIMES, ["1E2", "2E5"] * TIMES, ["€ 5", "$ 7"] * TIMES, ["yes", "unknown"] * TIMES]),
        ("date", [
            ["2024-01-31", "2020-02-29", ""], ["2024-01-31T10:00:00Z", "2024-01-31 10:00"], [dt.date(2024, 1, 31), None],
            pd.Series(pd.to_datetime(["2024-01-31", None])), pd.Series(pd.to_datetime(["2024-01-31"]).tz_localize("UTC")),
        ]),
    ],
)  # fmt: skip
def test_a_dtype_is_known_however_its_values_are_written(dtype, columns):
    assert [guess(values).column.dtype for values in columns] == [dtype] * len(columns)


def test_zero_and_one_of_something_counted_are_numbers():
    for values in (["0", "1", "0"], pd.Series([0, 1, 0])):
        assert guess(values, "failed_payments_90d").column.dtype == "integer"
    assert guess(["yes", "no"], "num_calls").column.dtype == "boolean"


def test_categories_are_listed_if_they_are_few_and_each_is_frequent():
    assert guess(["b", "None"] * OFTEN).column.values == ("None", "b")
    assert guess([*["b", "a"] * OFTEN, "c"]).column.values is None
    many = [f"v{n:02d}" for n in range(LISTED + 1)] * OFTEN
    assert (guess(many).column.dtype, guess(many).column.values) == ("category", None)
    assert len(guess([word for word in many if word != "v00"]).column.values) == LISTED


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("x", [f"note {n}" for n in range(50)], "nearly every text differs"),
        ("x", ["a long text " * 10, "another long text " * 10] * TIMES, "long texts"),
        ("x", [f"town {n % 30}" for n in range(300)], ""),
        ("x", ["", None, ""], "always empty"),
        ("x", ["5", "5", "5"], "the same value everywhere"),
        ("x", ["yes", "", "yes"], "the same value wherever it is not empty"),
        ("x", ["(0.50)", "(1.50)", "2.50"] * TIMES, "numbers that cannot be read, for example '(0.50)'"),
        *[(name, [str(n) for n in range(50)], "row numbers") for name in ("", "Unnamed: 0", "index", "RowNumber")],
        ("index", [str(n * 7 % 50) for n in range(50)], ""),
    ],
)  # fmt: skip
def test_what_cannot_be_a_feature_has_its_reason(name, values, why):
    assert guess(values, name).useless == why


def test_a_column_may_be_empty_where_it_was_and_few_empty_ones_are_confirmed():
    assert guess(["1", "2"]).column.nullable is False
    rare = guess(["1", "2"] * 100 + [""])
    assert (rare.column.nullable, rare.doubt) == (True, "1 of 201 empty")
    assert guess(["1", "", "2"]).doubt == ""


def test_one_unreadable_value_in_a_thousand_is_confirmed_and_two_make_a_text():
    numbers = [str(n) for n in range(5, 1004)]
    found = guess([*numbers, "12x"])
    assert (found.column.dtype, found.column.nullable) == ("integer", False)
    assert found.doubt == "1 value is not a number, for example '12x'"
    assert guess([*numbers, "12x", "13x"]).column.dtype == "string"
    assert guess(pd.Series([1.5, np.inf])).doubt == "1 infinite"


@pytest.mark.parametrize(
    ("values", "bounds"),
    [
        (["0", "72.5"], (0, 500)),
        (["-30.5", "12.0"], (-200, 100)),
        (["-30.5", "-12.0"], (-200, None)),
        (["5", "123456789012345678"], (0, None)),
        (["-5", "-123456789012345678"], (None, None)),
    ],
)
def test_bounds_are_round_and_far_outside_and_zero_stays_if_nothing_is_negative(values, bounds):
    column = guess(values).column
    assert (column.min, column.max) == bounds


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
    found = guess(["a", "b", "c"], others=[pd.Series(["a", "", "c"], dtype=object)])
    assert (found.unique, found.column.nullable, len(found.values)) == (True, True, 3)
    assert guess(["5", "5"], others=[pd.Series(["7", "9.5"])]).column.dtype == "float"
    assert [guess(values).unique for values in (["a", "a"], ["a", ""])] == [False, False]


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        (["", "null", None, " NA ", "yes", "no"], 4),
        ([np.nan, None, "n/a", "NaN", 1.5, 2.5], 4),
        ([pd.NaT, "", "None", "yes"], 3),
    ],
)
def test_null_words_are_missing_values(values, missing):
    assert guess(values * TIMES).values.isna().sum() == missing * TIMES


@pytest.mark.parametrize(
    "form",
    ["%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%Y/%m/%d", "%d.%m.%Y %H:%M",
     "%d-%m-%Y %H:%M:%S", "%Y%m%d", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S"],
)  # fmt: skip
def test_dates_are_read_by_a_draft_as_ingestion_reads_them(form):
    days = [dt.datetime(2021, 1, 1, 7, 30) + dt.timedelta(days=17 * n) for n in range(60)]
    words = pd.Series([day.strftime(form) for day in days])
    found = guess(words, "joined_on")
    read, faults = convert(words, "date", Writing(date_format=found.column.date_format))
    assert (found.column.dtype, faults) == ("date", {})
    assert found.column.date_format == ("" if form.startswith("%Y-") else form)
    assert found.values.tolist() == read.tolist() == [pd.Timestamp(day.date()) for day in days]


def test_dates_keep_the_day_of_their_time_zone():
    values = [
        "2024-01-31T23:30:00-05:00",
        dt.date(2024, 1, 31),
        pd.Timestamp("2024-01-31 12:00"),
        None,
    ]
    assert guess(values).values.tolist()[:3] == [pd.Timestamp("2024-01-31")] * 3


def test_a_day_that_may_be_a_month_is_confirmed():
    doubt = "day or month first?"
    assert doubt in guess(["01/02/2024", "03/04/2024"] * TIMES).doubt
    assert doubt not in guess(["01/02/2024", "13/04/2024"] * TIMES).doubt


EXCEL = [44000 + n % 300 for n in range(900)]
SECONDS = [1640000000 + 86400 * n for n in range(90)]


@pytest.mark.parametrize(
    ("name", "numbers", "date_format"),
    [
        ("joined", EXCEL, "excel"),
        ("joined", SECONDS, "epoch_seconds"),
        ("who", EXCEL, "excel"),
        ("salary", EXCEL, ""),
        ("who", SECONDS, ""),
        ("who", [44010, 44020, 44030] * TIMES, ""),
        ("joined", [7, 8, 9] * TIMES, ""),
        ("joined", [20240131, 20240140] * TIMES, ""),
    ],
)
@pytest.mark.parametrize("typed", [False, True])
def test_numbers_are_dates_if_their_name_and_range_allow_it(name, numbers, date_format, typed):
    found = guess(pd.Series(numbers) if typed else [str(n) for n in numbers], name)
    assert found.column.date_format == date_format
    assert found.column.dtype == ("date" if date_format else "integer")
    assert (str(numbers[0]) in found.doubt) == bool(date_format)


@pytest.mark.parametrize(
    ("word", "decimal", "signs"),
    [
        ("1,5", ",", {}),
        ("1.234,50", ",", {"thousands": "."}),
        ("1,234.50", ".", {"thousands": ","}),
        ("1 234,50", ",", {"thousands": " "}),
        ("1'234.50", ".", {"thousands": "'"}),
        ("€ 9.90", ".", {"unit": "€"}),
        ("12.5%", ".", {"unit": "%"}),
    ],
)
def test_each_column_shows_its_own_signs(word, decimal, signs):
    values = [word, word.replace("5", "7"), "NULL", word.replace("5", "3")] * 30
    found = guess(values)
    assert found.decimal == decimal
    assert written(values) == {"dtype": "float", "nullable": True, **signs}


def test_a_point_before_three_digits_groups_them_if_small_numbers_have_none():
    grouped = guess([f"{n:,}".replace(",", ".") for n in range(0, 4000, 37)])
    assert (grouped.column.dtype, grouped.column.thousands) == ("integer", ".")
    assert grouped.values.max() == 3996
    assert "thousands" in grouped.doubt
    assert guess(["0.125", "1.250", "2"]).column.thousands == ""
    assert "not as thousands" in guess(["1.125", "1.250"]).doubt


@pytest.mark.parametrize("word", ["-", "?", "\\N", "#N/A", "<NA>", "unknown", "k.A.", "keine"])
def test_gap_words_among_numbers_are_missing_values_to_confirm(word):
    values = [word if n % 6 == 0 else str(n % 40) for n in range(240)]
    assert written(values) == {"dtype": "integer", "nullable": True, "missing": (word,)}
    assert repr(word) in guess(values).doubt


def test_a_gap_word_among_yes_and_no_is_a_missing_value():
    assert guess(["yes", "no", "unknown"] * TIMES).column.missing == ("unknown",)


@pytest.mark.parametrize(
    ("gap", "others", "missing"),
    [
        (-1, [0, 3, 17, 40], ("-1",)), (999, [0, 1, 2, 5], ("999",)), (-999, [0.5, 1.5, 9.5], ("-999.0",)),
        (-1, [-3, -2, 0, 4], ()), (-1, [0, 1], ()), (99, [20, 45, 80], ()),
    ],
)  # fmt: skip
def test_numbers_that_mean_missing_set_no_bounds(gap, others, missing):
    found = guess(pd.Series([gap, *others] * TIMES))
    assert found.column.missing == missing
    if missing:
        assert found.column.max <= 10 * max(others)
        assert (found.column.min, found.column.nullable) == (0, True)
        assert missing[0] in found.doubt


@pytest.mark.parametrize("gap", ["1900-01-01", "9999-12-31", "0000-00-00", "1970-01-01"])
def test_dates_that_mean_missing_are_confirmed(gap):
    values = [gap, "2023-05-01", "2023-07-09", "2021-01-04"] * TIMES
    assert written(values) == {"dtype": "date", "nullable": True, "missing": (gap,)}
    assert gap in guess(values).doubt


def test_a_typed_date_that_means_missing_is_named_as_a_day():
    values = pd.Series(pd.to_datetime(["1900-01-01", "2023-05-01", "2021-01-04"] * TIMES))
    assert guess(values).column.missing == ("1900-01-01",)


def test_categories_that_differ_by_case_or_blanks_are_named():
    found = guess(["Basic", "Basic ", "BASIC", "Max"] * TIMES)
    assert found.column.values == ("BASIC", "Basic", "Basic ", "Max")
    assert "'BASIC', 'Basic', 'Basic '" in found.doubt
    assert guess(["Basic", "Max"] * TIMES).doubt == ""
