"""Equal values have equal digests, whatever their order in memory; any difference shows."""

import hashlib
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from churn_platform.base.digests import (
    ADDED,
    canonical_json,
    digest_of,
    distinct_key_hashes,
    frame_digest,
    hashed_values,
    key_hashes,
    readable,
)
from churn_platform.base.errors import DataError
from churn_platform.contract.reading import default_contract_path, read_contract

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aé€"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4)
    ),
    max_leaves=8,
)
FRAME = pd.DataFrame(
    {
        "member": ["m1", "m2", "m3"],
        "visits": pd.array([3, None, 5], dtype="Int64"),
        "fee": [9.5, np.nan, 0.1 + 0.2],
        "autopay": pd.array([True, False, None], dtype="boolean"),
        "tier": ["basic", None, "plus"],
        "joined": pd.to_datetime(["2020-01-01", None, "2021-06-30"]),
    }
)


def test_the_canonical_json_is_sorted_compact_and_not_escaped():
    assert (
        canonical_json({"b": [1, 2.5, None], "a": {"d": True, "c": "é"}})
        == '{"a":{"c":"é","d":true},"b":[1,2.5,null]}'
    )


def test_a_digest_is_the_sha256_of_the_canonical_json():
    assert digest_of({"b": 1, "a": "é"}) == hashlib.sha256('{"a":"é","b":1}'.encode()).hexdigest()


@pytest.mark.parametrize("value", [math.nan, {"a": [math.inf]}, -math.inf, {1, 2}, "\ud800"])
def test_what_has_no_canonical_json_is_refused(value):
    with pytest.raises(DataError, match="no canonical JSON"):
        digest_of(value)


@given(st.dictionaries(st.text("abcd", max_size=3), JSON, max_size=5))
@settings(deadline=None, max_examples=30)
def test_the_order_of_keys_never_matters(value):
    assert digest_of(dict(reversed(value.items()))) == digest_of(value)


def test_an_equal_frame_has_the_same_digest_whatever_its_index():
    again = FRAME.copy()
    again.index = pd.Index([9, 7, 8])
    assert frame_digest(again) == frame_digest(FRAME)
    assert len(frame_digest(FRAME)) == 64


OTHER = {
    "member": "mx",
    "visits": 4,
    "fee": 0.3,
    "autopay": True,
    "tier": "x",
    "joined": pd.Timestamp(9),
}
EMPTY = {
    "member": "",
    "visits": 0,
    "fee": 0.0,
    "autopay": False,
    "tier": "",
    "joined": pd.Timestamp(0),
}


@pytest.mark.parametrize("column", FRAME.columns)
@pytest.mark.parametrize("row", [0, 1, 2])
def test_any_changed_cell_changes_the_digest(column, row):
    for value in (OTHER[column], EMPTY[column], None):
        other = FRAME.copy()
        other.loc[row, column] = value
        own = FRAME.loc[row, column]
        same = pd.isna(own) if value is None else not pd.isna(own) and own == value
        assert (frame_digest(other) == frame_digest(FRAME)) == same


def test_rows_columns_names_and_dtypes_are_part_of_the_digest():
    others = [
        FRAME.iloc[::-1],
        FRAME.iloc[:2],
        FRAME[FRAME.columns[::-1]],
        FRAME.rename(columns={"fee": "price"}),
        FRAME.astype({"visits": "Float64"}),
        FRAME.drop(columns="fee"),
    ]
    assert len({frame_digest(frame) for frame in [FRAME, *others]}) == 7


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_is_readable_as_json_and_one_that_has_utf_8_stays(text):
    assert canonical_json(readable(text))
    try:
        text.encode()
    except UnicodeEncodeError:
        assert readable(text) != text
    else:
        assert readable(text) == text


class _Inner(BaseModel):
    old: int = 1
    new: int = Field(default=2, json_schema_extra=ADDED)


class _Outer(BaseModel):
    inner: _Inner = _Inner()
    several: tuple[int, ...] = ()


def test_an_added_field_counts_once_it_is_used():
    assert hashed_values(_Outer()) == {"inner": {"old": 1}, "several": []}
    assert hashed_values(_Outer(inner=_Inner(new=3))) == {
        "inner": {"old": 1, "new": 3},
        "several": [],
    }


def test_the_digests_of_the_shipped_contract_are_those_of_0_1_0():
    contract = read_contract(default_contract_path())
    assert (
        contract.policy_hash == "72f5c39b4d27b29db9365bafd64213a11fd7bbebdbf54668d068ad22626d662d"
    )
    assert contract.model_hash == "5932da1cf273605a5dc09ddf142f6fe4642566aeb048aa8271df078d66867170"


def test_the_faster_ways_give_the_same_hashes_and_digests():
    keys = pd.Series([f"C{number}" for number in range(300)] + ["ä", 7], dtype=object)
    assert (distinct_key_hashes(keys, "salt") == key_hashes(keys, "salt")).all()
    frame = pd.DataFrame({"key": keys.astype(str), "arm": "below", "e": 0.1})
    assert frame_digest(frame, values_repeat=False) == frame_digest(frame)
