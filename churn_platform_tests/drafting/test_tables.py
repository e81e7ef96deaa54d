"""The tables of a draft: names, descriptions, ages, and which files are left out."""

import datetime as dt
from functools import partial

import pandas as pd
import pytest

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
from churn_platform_tests.drafting.sheets import refused

AS_OF = dt.date(2024, 1, 31)
KEY, LABEL = KeyColumn("ID", integer=False), LabelColumn("a", "left", 0.5)
LEFT = ["yes", "no", "no", "no"]
impossible = partial(refused, "DRAFT_IMPOSSIBLE")


def frame(**columns):
    return pd.DataFrame({"ID": range(4), **columns})


def usable(frames):
    parts = Parts()
    return one_row_a_customer(sheets_of(frames, [], parts), KEY, parts), parts


def added(out=(), as_of=AS_OF, **frames):
    sheets, parts = usable(frames)
    parts.taken.add("id")
    for sheet in sheets:
        add_table(parts, sheet, KEY, LABEL, dict.fromkeys(out, "why not"), as_of)
    return parts


def test_a_file_without_rows_or_one_row_per_key_is_left_out_completely():
    events = pd.DataFrame({"ID": [1, 1], "x": [1, 2]})
    frames = {"empty": frame().iloc[:0], "other": pd.DataFrame({"x": [1, 2]}), "events": events}
    sheets, parts = usable({**frames, "a": frame()})
    assert [sheet.name for sheet in sheets] == ["a"]
    empty, other, repeated = parts.left_out
    assert empty == LeftOut("empty", "", "the file has no rows")
    assert other == LeftOut("other", "", "it has no column 'ID'")
    assert repeated.table == "events"
    assert "2.0 rows per customer" in repeated.reason


def test_names_that_are_not_valid_free_or_allowed_are_replaced():
    parts = added(
        **{
            "Usage 2024": frame(
                **{"Calls 30d": range(4), "fee": [1.5, 2, 3, 4], "as_of": range(4)}
            ),
            "usage-2024": frame(Fee=range(4)),
        }
    )
    first, second = parts.tables.values()
    assert list(parts.tables) == ["usage_2024", "table_usage_2024"]
    assert (first.file, second.file) == ("Usage 2024", "usage-2024")
    sources = {name: column.source for name, column in {**first.columns, **second.columns}.items()}
    assert sources == {
        "calls_30d": "Calls 30d", "fee": "", "usage_2024_as_of": "as_of", "table_usage_2024_Fee": "Fee",
    }  # fmt: skip
    assert parts.doubts["tables", "usage_2024"] == "the file must have this name every month"


def test_features_have_a_description_and_the_label_has_none():
    parts = added(a=frame(failed_calls_30d=[1, 2, 3, 4], left=LEFT))
    calls, left = parts.tables["a"].columns.values()
    assert calls.description == "Failed calls in 30 days"
    assert calls.phrase == "{value} failed call{s} in 30 days"
    assert (left.dtype, left.description, left.phrase) == ("boolean", "", "")
    assert (parts.label, parts.views["a_fv"].features) == ("left", ("failed_calls_30d",))
    assert left.nullable, "next month's label is not known yet"
    assert not added(a=frame(left=LEFT), b=frame(fee=range(4))).tables["a"].columns["left"].nullable


@pytest.mark.parametrize(("years", "unit"), [(1, "days"), (5, "months")])
def test_a_date_becomes_an_age_in_days_or_if_it_is_long_in_months(years, unit):
    joined = pd.to_datetime([f"{2024 - years}-01-0{n}" for n in range(1, 5)])
    parts = added(a=frame(joined_on=joined))
    age = parts.tables["a"].ages[f"{unit}_since_joined"]
    assert (age.of, age.unit) == ("joined_on", unit)
    assert age.description == f"{unit.capitalize()} since joined"
    assert age.phrase == f"{{value}} {unit[:-1]}{{s}} since joined"
    assert parts.views["a_fv"].features == (f"{unit}_since_joined",)
    place = ("tables", "a", "ages", "days_since_joined")
    undated = added(as_of=None, a=frame(joined_on=joined))
    assert (parts.doubts.get(place, ""), undated.doubts[place]) == ("", UNDATED)


def test_what_is_left_out_keeps_its_reason_and_a_table_of_nothing_else_is_dropped():
    parts = added(
        ["reason", "why"], a=frame(reason=list("xyxy"), fee=range(4)), b=frame(why=range(4))
    )
    assert [(out.table, out.column) for out in parts.left_out] == [("a", "reason"), ("b", "why")]
    assert parts.left_out[0].spec.dtype == "category"
    assert (list(parts.tables), list(parts.views)) == (["a"], ["a_fv"])


def test_older_drops_widen_the_rules_of_a_column():
    older = {"a": pd.DataFrame({"fee": [900.0, None]})}
    [sheet] = sheets_of({"a": frame(fee=[1.5, 2, 3, 4])}, [older, {}], Parts())
    assert (sheet.guesses["fee"].column.nullable, sheet.guesses["fee"].column.max) == (True, 5000)
    assert sheet.guesses["ID"].unique


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
    other = [change(key) for key in keys]
    found = impossible(usable, {"a": pd.DataFrame({"ID": keys}), "b": pd.DataFrame({"ID": other})})
    for fact in (f"differ by {what}", repr(keys[0]), repr(other[0])):
        assert fact in found


def test_tables_of_different_customers_are_refused_and_one_of_some_customers_is_not():
    a = pd.DataFrame({"ID": [f"c{n}" for n in range(100)]})
    others = pd.DataFrame({"ID": [f"d{n}zz{n}" for n in range(100)]})
    assert "100 of 100 customers of a" in impossible(usable, {"a": a, "b": others})
    sheets, parts = usable({"a": a, "b": a.iloc[:10]})
    assert (len(sheets), parts.absent) == (2, {"a": 0.0, "b": 0.9})
    assert parts.doubts["tables", "b"] == "90 of 100 customers are not in it"


@pytest.mark.parametrize("word", ["Total", " SUM ", "Gesamt"])
def test_a_total_is_not_a_customer_and_refused_with_its_row(word):
    found = impossible(usable, {"a": pd.DataFrame({"ID": ["a", "b", word]})})
    assert "a, row 3" in found
    assert word.strip() in found


def test_a_few_rows_that_repeat_a_key_are_confirmed_and_left_out():
    keys = [*(f"c{n}" for n in range(1000)), "c7", ""]
    [sheet], parts = usable({"a": pd.DataFrame({"ID": keys, "x": range(1002)})})
    assert len(sheet.frame) == len(sheet.guesses["x"].values) == 1000
    assert "2 of 1,002 rows" in parts.doubts["tables", "a"]
