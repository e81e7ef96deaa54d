"""What may stand in place of a key, and how digests follow; pure."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.ingestion.faults import fault
from churn_platform.lake.deliveries import quarantined_sentence
from churn_platform.ledger.erasures import (
    FORGOTTEN,
    contacts_left,
    following,
    names,
    remapped,
    salted,
    untold,
)

KEYS = st.one_of(st.integers(0, 10**9), st.text(min_size=1, max_size=12).filter(str.strip))


def test_the_salted_hash_names_the_customer_only_to_who_has_the_key():
    assert salted("a", "m1") == salted("a", "m1") != salted("b", "m1") != salted("a", "m2")
    assert salted("a", 12) == salted("a", "12")
    assert "m1" not in salted("a", "m1")


@given(KEYS)
def test_a_fault_that_shows_the_key_shows_it_no_more(key):
    said = fault(
        "unmatched_customers",
        "visits",
        file="visits.csv",
        examples=[key],
        absent=1,
        all=2,
        share="50%",
        allowed="5%",
    ).sentence()
    assert repr(str(key)) in said
    for text, shown in (
        (said, repr(str(key))),
        (json.dumps(said), json.dumps(repr(str(key)))[1:-1]),
    ):
        assert shown not in untold(text, key)
        assert FORGOTTEN in untold(text, key)


def test_a_key_is_not_looked_for_inside_other_text():
    text = "12 customers on 2024-12-31, found '120' in row 12 | 121 | 0.12 |"
    assert untold(text, 12) == text
    assert untold("| 12 | '12' |", 12) == f"| {FORGOTTEN} | '{FORGOTTEN}' |"
    assert untold(quarantined_sentence({"visits": 12}), 12) == quarantined_sentence({"visits": 12})


def test_texts_are_changed_wherever_they_stand_and_nothing_else():
    record = {"old": ["old", {"a": "old", "n": 1, "none": None, "yes": True}], "b": 0.5}
    changed = remapped(record, following({"old": "new"}, "k"))
    assert changed == {"old": ["new", {"a": "new", "n": 1, "none": None, "yes": True}], "b": 0.5}


@given(KEYS, st.sampled_from(["Letter of {}.", "{}", "({})", "{}: gone", "for\n{}"]))
def test_a_sentence_names_a_key_that_is_a_word_of_it_in_any_case(key, sentence):
    assert names(" ".join(sentence.format(key).split()), key)
    if str(key).isalnum():
        assert not names(sentence.format(f"x{key}x"), f"x{key}")


@pytest.mark.parametrize(
    ("text", "key", "named"),
    [
        ("Letter of M1.", "m1", True), ("m10 and am1", "m1", False), ("no. 007", 7, True), ("in 2007, 70 of 77", 7, False),
        ("a.b", "a.b", True), ("aXb", "a.b", False),
    ],
)  # fmt: skip
def test_a_key_within_a_longer_word_is_not_named(text, key, named):
    assert names(text, key) is named


@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, max_size=12),
    st.floats(0, 0.5),
    st.data(),
)
def test_contacts_are_counted_without_the_threshold_as_with_it(probabilities, threshold, data):
    before = np.array(probabilities)
    after = np.delete(before, data.draw(st.integers(0, len(before) - 1)))
    assert contacts_left(before, int((before >= threshold).sum()), after) == int(
        (after >= threshold).sum()
    )
