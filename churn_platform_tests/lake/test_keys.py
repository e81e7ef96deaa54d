"""Which keys are in which tables, and keys that differ only in how they are written."""

import pandas as pd
import pytest

from churn_platform.lake.keys import (
    SPELLINGS,
    everyone,
    lacking,
    near_keys,
    near_tables,
    same_digits,
)


def text(*keys):
    return pd.Series(list(keys), dtype="string[pyarrow]")


def test_other_customers_and_whole_number_keys_have_no_near_ones():
    assert near_keys(text("a1", "a2"), text("b1", "b2")) is None
    assert near_keys(pd.Series([1, 2], dtype="Int64"), pd.Series([3], dtype="Int64")) is None
    assert near_keys(text(), text("b1")) is None


def test_a_table_that_lacks_customers_is_counted():
    tables = {
        "members": text("a", "b", "c"),
        "visits": text("a", "b"),
        "bills": text("a", "b", "c"),
    }
    assert {name: keys.tolist() for name, keys in lacking(tables).items()} == {"visits": ["c"]}
    assert sorted(everyone(tables)) == ["a", "b", "c"]


@pytest.mark.parametrize("order", [("members", "usage"), ("usage", "members")])
@pytest.mark.parametrize(("damaged", "good"), [("1", "001"), ("1.0", "1"), ("a ", "a")])
def test_of_two_tables_the_one_with_the_damaged_keys_is_named(order, damaged, good):
    tables = {"members": text(good, "x9"), "usage": text(damaged, "x9")}
    found = near_tables({name: tables[name] for name in order})
    assert {name: near.examples for name, near in found.items()} == {
        "usage": (f"{damaged} for {good}",)
    }


def test_of_two_cases_the_later_table_is_named_and_equal_tables_are_never():
    assert list(near_tables({"members": text("A"), "usage": text("a")})) == ["usage"]
    assert near_tables({"members": text("A"), "usage": text("A"), "bills": text("A")}) == {}


def test_keys_with_a_prefix_or_other_signs_have_the_same_digits():
    found = same_digits(text("cust-0042", "00-17", "x", "c0"), text("42", "17", "y", "0"))
    assert found.pairs == (("cust-0042", "42"), ("00-17", "17"))
    assert (found.count, found.spelling) == (2, SPELLINGS["prefix"])


def test_keys_without_digits_or_with_other_digits_are_other_customers():
    assert same_digits(text("anna", "c1"), text("bert", "c2")) is None
    assert same_digits(text(), text("1")) is None
