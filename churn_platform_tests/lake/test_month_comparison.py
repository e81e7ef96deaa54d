"""Who is new and gone, keys that changed their spelling only, and tables that came twice."""

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.lake.keys import SPELLINGS
from churn_platform.lake.month_comparison import (
    changes,
    compare_customers,
    repeated_month,
    repeated_tables,
)

JANUARY, FEBRUARY, MARCH = dt.date(2024, 1, 31), dt.date(2024, 2, 29), dt.date(2024, 3, 31)


def text(*keys):
    return pd.Series(list(keys), dtype="string[pyarrow]")


some_keys = st.lists(
    st.text("ab01. ", min_size=1, max_size=4), unique=True, min_size=1, max_size=12
).map(lambda keys: text(*keys))


@settings(deadline=None)
@given(now=some_keys, before=some_keys)
def test_every_customer_is_counted_once(now, before):
    found = compare_customers(now, before, JANUARY)
    assert found.still == len(set(now) & set(before))
    assert (found.new + found.still, found.gone + found.still) == (len(now), len(before))
    assert 0 <= found.share <= 1
    assert found.near <= min(found.new, found.gone)


@pytest.mark.parametrize(
    ("here", "there", "spelling"),
    [
        ("100001", "0100001", "zeros"),
        ("100001.0", "100001", "point_zero"),
        ("c1", "C1", "case"),
        (" C1", "C1", "blanks"),
        ("c1 ", "C1", "several"),
        ("7.0", "007", "several"),
    ],
)
def test_a_key_that_changed_its_spelling_is_found_with_the_repair(here, there, spelling):
    found = compare_customers(text(here, "x9"), text(there, "y9"), JANUARY)
    assert (found.new, found.gone, found.near) == (2, 2, 1)
    assert found.near_keys.spelling == SPELLINGS[spelling]
    assert found.near_keys.examples == (f"{here} for {there}",)


def test_keys_that_both_exist_are_two_customers():
    assert compare_customers(text("C1", "c1"), text("C1"), JANUARY).near == 0
    assert compare_customers(text("7", "007"), text("7", "007"), JANUARY).near == 0


def test_the_larger_share_counts_whether_customers_came_or_went():
    most_gone = compare_customers(text("a"), text(*"abcde"), JANUARY)
    most_new = compare_customers(text(*"abcde"), text("a"), JANUARY)
    assert (most_gone.share, most_new.share) == (0.8, 0.8)


def test_what_is_stored_holds_no_key():
    stored = compare_customers(text("100001"), text("0100001"), JANUARY).as_json()
    assert "100001" not in str(stored)
    assert (stored["before"], stored["near"]) == ("2024-01-31", 1)


@pytest.mark.parametrize(
    ("digests", "numeric", "expected"),
    [
        (["1"], True, True),
        (["1"], False, False),
        (["1", "2"], False, True),
        (["1", "1"], False, False),
        (["1", "1", "2"], False, False),
        (["1", "1"], True, False),
        (["1", "2", "2"], True, True),
    ],
)
def test_a_table_is_expected_to_change_by_its_numbers_and_its_past(digests, numeric, expected):
    assert changes(digests, numeric=numeric) is expected


def test_a_repeated_table_names_the_newest_month_it_equals_and_master_data_may_stay_equal():
    others = {JANUARY: {"members": "m", "usage": "u1"}, FEBRUARY: {"members": "m", "usage": "u2"}}
    numeric = {"usage": True}
    assert repeated_tables({"members": "m", "usage": "u1"}, others, numeric) == {"usage": JANUARY}
    assert repeated_tables({"members": "m", "usage": "u3"}, others, numeric) == {}
    twice = {**others, MARCH: {"members": "m", "usage": "u1"}}
    assert repeated_tables({"usage": "u1"}, twice, numeric) == {"usage": MARCH}


def test_a_repeated_month_equals_another_in_every_table_of_which_one_should_have_changed():
    others = {JANUARY: {"members": "m", "usage": "u1", "labels": "l"}}
    same = {"members": "m", "usage": "u1"}
    assert repeated_month(same, others, {"usage": JANUARY}) == JANUARY
    assert repeated_month({**same, "labels": "other"}, others, {"usage": JANUARY}) is None
    assert repeated_month(same, others, {}) is None
