"""Values and keys that files write in a new way."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.ingestion.renames import likely_renames, likely_spelling

COUNTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.integers(1, 1000))


@pytest.mark.parametrize(
    ("new", "gone", "pairs"),
    [
        ({"Monthly": 2841}, {"Month-to-month": 2790}, {"Monthly": "Month-to-month"}),
        ({"Monthly": 40}, {"Month-to-month": 2790}, {}),
        ({"Monthly": 2841}, {}, {}),
        ({"M": 900, "Y": 400}, {"monthly": 880, "yearly": 410}, {"M": "monthly", "Y": "yearly"}),
        ({"gold": 500, "silver": 500}, {"Gold": 500, "Silver": 500},
         {"gold": "Gold", "silver": "Silver"}),
        ({"a": 500, "b": 480}, {"z": 500}, {"a": "z"}),
    ],
)  # fmt: skip
def test_a_renamed_value_occurs_about_as_often(new, gone, pairs):
    assert likely_renames(new, gone) == pairs


@given(COUNTS, COUNTS)
def test_pairs_are_of_a_new_and_a_gone_value_and_one_to_one(new, gone):
    pairs = likely_renames(new, gone)
    assert set(pairs) <= set(new)
    assert set(pairs.values()) <= set(gone)
    assert len(set(pairs.values())) == len(pairs)


@pytest.mark.parametrize(
    ("write", "known"),
    [
        (lambda n: f"CUST-{n:05d}", lambda n: f"{n:05d}"),
        (str, lambda n: f"{n:05d}"),
        (lambda n: f"c{n}x", lambda n: f"C{n}X"),
        (lambda n: f"{n}", lambda n: f"C{n}"),
        (lambda n: f"id:{n}", lambda n: f"C{n:06d}"),
        (lambda n: f"A-{n}", lambda n: n),
    ],
)
def test_keys_in_another_spelling_are_read_as_before(write, known):
    keys = pd.Series([write(n) for n in range(100, 1100)])
    before = pd.Series([known(n) for n in range(100, 1080)])
    found = likely_spelling(keys, before)
    assert [found.read(key) for key in keys.head(980)] == before.astype(str).tolist()


@pytest.mark.parametrize(
    ("keys", "before"),
    [
        (["a1", "a2"], ["a1", "a2", "a3"]),
        (["b7", "b8"], ["a1", "a2"]),
        ([], ["a1"]),
        (["a1"], []),
    ],
)
def test_keys_that_match_or_cannot_match_have_no_other_spelling(keys, before):
    assert likely_spelling(pd.Series(keys, dtype=str), pd.Series(before, dtype=str)) is None
