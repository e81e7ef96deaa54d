"""What a typed value must satisfy, and that null breaks only the rule that forbids it."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from churn_platform.ingestion.faults import TEXT_LIMIT
from churn_platform.ingestion.rules import broken_rules

JANUARY = dt.date(2024, 1, 31)
TEXT = "string[pyarrow]"
STORED = {"integer": "Int64", "float": "float64", "boolean": "boolean", "date": "datetime64[s]"}


@pytest.fixture
def broken(declare):
    """The rules that the values of one column (or the keys) break, with their rows from 1."""

    def ask(given, *, keys=None, as_of=JANUARY, entity="string", ages=None, **spec):
        contract = declare(
            entity={"column": "member", "dtype": entity},
            tables={
                "t": {
                    "columns": {"x": spec, "y": {"dtype": "float", "nullable": True}},
                    "ages": ages or {},
                },
                "leavers": {"columns": {"has_left": {"dtype": "boolean"}}},
            },
            feature_views={"v": {"table": "t", "features": ["y"]}},
            slices=[],
        )
        keys = pd.Series([str(n) for n in range(len(given))] if keys is None else keys)
        frame = pd.DataFrame({"member": keys.astype("Int64" if entity == "integer" else TEXT)})
        frame = frame.assign(x=pd.Series(given, dtype=STORED.get(spec["dtype"], TEXT)), y=np.nan)
        found = broken_rules(contract, "t", frame, as_of)
        return {rule: (np.flatnonzero(mask) + 1).tolist() for rule, mask in found.items()}

    return ask


def test_a_table_that_keeps_every_rule_breaks_none(broken):
    assert broken([1, 2], dtype="integer", min=0) == {}
    assert broken([None, None], dtype="date", nullable=True) == {}


def test_ranges_are_inclusive_and_null_is_in_every_range(broken):
    spec = {"min": 0, "max": 10, "nullable": True}
    assert broken([0, 10, -1, 11, None, 12], dtype="integer", **spec) == {
        ("x", "below_min"): [3],
        ("x", "above_max"): [4, 6],
    }
    assert broken([0.5, 2.25, 2.5, None], dtype="float", min=0.5, max=2.25, nullable=True) == {
        ("x", "above_max"): [3]
    }


@pytest.mark.parametrize("dtype", ["integer", "float", "boolean", "date", "category"])
def test_null_breaks_the_rule_that_forbids_it_in_every_dtype(broken, dtype):
    assert broken([None, None], dtype=dtype) == {("x", "empty"): [1, 2]}
    assert broken([None, None], dtype=dtype, nullable=True) == {}


def test_a_category_is_one_of_the_listed_or_any(broken):
    values = ["basic", "gold", None, "Basic"]
    assert broken(values, dtype="category", values=["basic", "plus"], nullable=True) == {
        ("x", "unknown_category"): [2, 4]
    }
    assert broken(values, dtype="category", nullable=True) == {}


@pytest.mark.parametrize("dtype", ["string", "category"])
def test_a_text_is_no_file(broken, dtype):
    values = ["x" * TEXT_LIMIT, "x" * (TEXT_LIMIT + 1), "é" * TEXT_LIMIT, "x" * 10_000, None]
    assert broken(values, dtype=dtype, nullable=True) == {("x", "too_long"): [2, 4]}


def test_a_key_is_never_empty_too_long_or_wrapped_in_spaces(broken):
    keys = ["a", None, " b", "c ", "007", "d e", "x" * 10_000]
    assert broken([1] * 7, keys=keys, dtype="integer") == {
        ("member", "too_long"): [7],
        ("member", "empty_key"): [2],
        ("member", "key_with_spaces"): [3, 4],
    }
    assert broken([1, 1], keys=[7, None], entity="integer", dtype="integer") == {
        ("member", "empty_key"): [2]
    }


def test_a_date_with_an_age_may_not_lie_after_the_as_of(broken):
    days = ["2024-01-31", "2024-02-01", None, "9999-12-31", "1900-01-01"]
    ages = {"since": {"of": "x"}}
    spec = {"dtype": "date", "nullable": True}
    assert broken(days, ages=ages, **spec) == {("x", "after_as_of"): [2, 4]}
    assert broken(days, **spec) == {}
    assert broken(days, ages=ages, as_of=None, **spec) == {}
