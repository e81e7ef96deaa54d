"""One table of a draft after the other: names, words, ages, and what is left out whole."""

import datetime as dt

import pandas as pd
import pytest

from churn_platform.base.errors import UsageError
from churn_platform.drafting.keys import KeyColumn
from churn_platform.drafting.label import LabelColumn
from churn_platform.drafting.tables import (
    UNDATED,
    LeftOut,
    Parts,
    add_table,
    one_row_a_customer,
    sheets_of,
)

AS_OF = dt.date(2024, 1, 31)
KEY, LABEL = KeyColumn("ID", integer=False), LabelColumn("a", "left", 0.5)


def frame(**columns):
    return pd.DataFrame({"ID": range(4), **columns})


def added(frames, out=(), as_of=AS_OF):
    parts = Parts()
    parts.taken.add("id")
    for sheet in one_row_a_customer(sheets_of(frames, [], parts), KEY, parts):
        add_table(parts, sheet, KEY, LABEL, dict.fromkeys(out, "why not"), as_of)
    return parts


def test_a_file_without_rows_or_without_the_key_or_with_it_twice_is_left_out_whole():
    parts = Parts()
    frames = {
        "empty": frame().iloc[:0],
        "other": pd.DataFrame({"x": [1, 2]}),
        "events": pd.DataFrame({"ID": [1, 1], "x": [1, 2]}),
        "a": frame(),
    }
    usable = one_row_a_customer(sheets_of(frames, [], parts), KEY, parts)
    assert [sheet.name for sheet in usable] == ["a"]
    assert parts.left_out[:2] == [
        LeftOut("empty", "", "the file has no rows"),
        LeftOut("other", "", "it has no column 'ID'"),
    ]
    assert parts.left_out[2].table == "events"
    assert "2.0 rows per customer" in parts.left_out[2].reason
    assert "`source:`" in parts.left_out[2].reason


def test_tables_and_columns_keep_what_they_are_called_in_the_files():
    parts = added({"Usage 2024": frame(**{"Calls 30d": [1, 2, 3, 4], "fee": [1.5, 2, 3, 4]})})
    table = parts.tables["usage_2024"]
    assert (table.file, list(table.columns)) == ("Usage 2024", ["calls_30d", "fee"])
    assert (table.columns["calls_30d"].source, table.columns["fee"].source) == ("Calls 30d", "")
    assert parts.doubts[("tables", "usage_2024")] == "the file must have this name every month"
    assert parts.views["usage_2024_fv"].features == ("calls_30d", "fee")


def test_two_files_whose_names_become_one_are_two_tables():
    assert set(
        added({"my use": frame(x=[1, 2, 3, 4]), "my-use": frame(y=[1, 2, 3, 4])}).tables
    ) == {
        "my_use",
        "table_my_use",
    }


def test_the_same_column_in_two_tables_and_reserved_names_are_told_apart():
    parts = added(
        {"a": frame(region=[1, 2, 3, 4], as_of=[1, 2, 3, 4]), "b": frame(Region=[1, 2, 3, 4])}
    )
    assert list(parts.tables["a"].columns) == ["region", "a_as_of"]
    assert parts.tables["a"].columns["a_as_of"].source == "as_of"
    assert list(parts.tables["b"].columns) == ["b_Region"]


def test_features_have_words_and_the_label_has_none():
    parts = added({"a": frame(failed_calls_30d=[1, 2, 3, 4], left=["yes", "no", "no", "no"])})
    calls, left = parts.tables["a"].columns.values()
    assert (calls.description, calls.phrase) == (
        "Failed calls in 30 days",
        "{value} failed call{s} in 30 days",
    )
    assert (left.dtype, left.description, left.phrase) == ("boolean", "", "")
    assert (parts.label, parts.views["a_fv"].features) == ("left", ("failed_calls_30d",))


@pytest.mark.parametrize(("years", "unit"), [(1, "days"), (5, "months")])
def test_a_date_becomes_an_age_in_days_or_where_it_is_long_in_months(years, unit):
    joined = pd.to_datetime([f"{2024 - years}-01-0{n}" for n in range(1, 5)])
    parts = added({"a": frame(joined_on=joined)})
    age = parts.tables["a"].ages[f"{unit}_since_joined"]
    assert (age.of, age.unit, age.description) == (
        "joined_on",
        unit,
        f"{unit.capitalize()} since joined",
    )
    assert age.phrase == f"{{value}} {unit[:-1]}{{s}} since joined"
    assert parts.views["a_fv"].features == (f"{unit}_since_joined",)


def test_without_an_as_of_the_age_is_to_be_confirmed():
    frames = {"a": frame(joined_on=pd.to_datetime([f"2023-01-0{n}" for n in range(1, 5)]))}
    place = ("tables", "a", "ages", "days_since_joined")
    assert added(frames, as_of=None).doubts[place] == UNDATED
    assert added(frames).doubts[place] == ""


def test_what_is_left_out_is_kept_with_its_reason_and_a_table_of_nothing_else_is_no_table():
    parts = added(
        {"a": frame(reason=["x", "y", "x", "y"], fee=[1, 2, 3, 4]), "b": frame(why=[1, 2, 3, 4])},
        ["reason", "why"],
    )
    assert [(out.table, out.column, out.reason) for out in parts.left_out] == [
        ("a", "reason", "why not"),
        ("b", "why", "why not"),
    ]
    assert parts.left_out[0].spec.dtype == "category"
    assert list(parts.tables) == ["a"]
    assert list(parts.views) == ["a_fv"]


def test_older_drops_widen_a_columns_rules():
    sheets = sheets_of(
        {"a": frame(fee=[1.5, 2, 3, 4])}, [{"a": pd.DataFrame({"fee": [900.0, None]})}, {}], Parts()
    )
    fee = sheets[0].guesses["fee"].column
    assert (fee.nullable, fee.max) == (True, 5000)
    assert sheets[0].guesses["ID"].unique


def test_a_table_that_lacks_customers_is_to_be_confirmed():
    parts = Parts()
    sheets = sheets_of({"a": frame(), "b": frame().iloc[1:]}, [], parts)
    one_row_a_customer(sheets, KEY, parts)
    assert parts.doubts == {("tables", "a"): "", ("tables", "b"): "1 of 4 customers are not in it"}


def refused(frames):
    parts = Parts()
    with pytest.raises(UsageError) as refusal:
        one_row_a_customer(sheets_of(frames, [], parts), KEY, parts)
    assert refusal.value.code == "DRAFT_IMPOSSIBLE"
    return str(refusal.value)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda key: key.lstrip("0"), "leading zeros"),
        (lambda key: f"{key} ", "blanks"),
        (str.upper, "upper or lower case"),
        (lambda key: f"cust-{key}", "a prefix"),
    ],
)
def test_tables_whose_keys_match_only_after_a_repair_are_refused_with_it(change, what):
    keys = [f"00{n}ab" for n in range(100, 200)]
    frames = {
        "a": pd.DataFrame({"ID": keys, "x": range(100)}),
        "b": pd.DataFrame({"ID": [change(key) for key in keys], "y": range(100)}),
    }
    said = refused(frames)
    assert f"differ by {what}" in said
    assert repr(change(keys[0])) in said
    assert repr(keys[0]) in said


def test_tables_of_different_customers_are_refused_and_one_of_some_customers_is_not():
    keys = [f"c{n}" for n in range(100)]
    frames = {
        "a": pd.DataFrame({"ID": keys, "x": range(100)}),
        "b": pd.DataFrame({"ID": [f"d{n}zz{n}" for n in range(100)]}),
    }
    assert "100 of 100 customers of a" in refused(frames)
    some = {"a": frames["a"], "b": frames["a"].iloc[:10]}
    parts = Parts()
    assert len(one_row_a_customer(sheets_of(some, [], parts), KEY, parts)) == 2
    assert parts.absent == {"a": 0.0, "b": 0.9}


@pytest.mark.parametrize("word", ["Total", " SUM ", "Gesamt"])
def test_a_total_is_no_customer_and_refused_with_its_row(word):
    said = refused({"a": pd.DataFrame({"ID": ["a", "b", word], "x": [1, 2, 3]})})
    assert "a, row 3" in said
    assert word.strip() in said


def test_a_few_rows_that_repeat_a_key_are_confirmed_and_left_out():
    keys = [*(f"c{n}" for n in range(1000)), "c7", ""]
    parts = Parts()
    (sheet,) = one_row_a_customer(
        sheets_of({"a": pd.DataFrame({"ID": keys, "x": range(1002)})}, [], parts), KEY, parts
    )
    assert len(sheet.frame) == len(sheet.guesses["x"].values) == 1000
    assert "2 of 1,002 rows" in parts.doubts[("tables", "a")]


def test_the_label_of_a_table_of_features_may_be_empty_as_next_months_is():
    parts = added({"a": frame(fee=[1, 2, 3, 4], left=["yes", "no", "no", "no"])})
    assert parts.tables["a"].columns["left"].nullable
    parts = added({"a": frame(left=["yes", "no", "no", "no"]), "b": frame(fee=[1, 2, 3, 4])})
    assert not parts.tables["a"].columns["left"].nullable
