"""What may stand in place of a key, and how digests follow; pure."""

import json

from hypothesis import given
from hypothesis import strategies as st

from churn_platform.core.faults import fault
from churn_platform.core.forgetting import FORGOTTEN, following, remapped, salted, untold
from churn_platform.core.quarantine import quarantined_sentence

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
    for text, shown in ((said, repr(str(key))), (json.dumps(said), json.dumps(repr(str(key)))[1:-1])):
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
