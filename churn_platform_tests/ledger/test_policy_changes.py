"""A change of the policy is named field by field."""

from hypothesis import given
from hypothesis import strategies as st

from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.acts import Change, changes

plain = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
policies = st.dictionaries(
    st.sampled_from(["promotion", "drift", "costs"]),
    st.dictionaries(
        st.sampled_from("abc"), plain | st.dictionaries(st.sampled_from("xy"), plain, max_size=2)
    ),
)


def test_every_changed_field_is_named_by_its_path_with_both_values():
    old = {"promotion": {"delta": 0.01, "level": 0.95}, "drift": {"methods": {}}, "gone": 1}
    new = {
        "promotion": {"delta": 0.02, "level": 0.95},
        "drift": {"methods": {"hours": "wasserstein"}},
    }
    found = changes(old, new)
    assert found == [
        Change("drift.methods", {}, None),
        Change("drift.methods.hours", None, "wasserstein"),
        Change("gone", 1, None),
        Change("promotion.delta", 0.01, 0.02),
    ]
    assert found[-1].sentence() == "promotion.delta: 0.01 -> 0.02"


@given(policies, policies)
def test_two_policies_differ_exactly_where_a_change_is_named(old, new):
    assert bool(changes(old, new)) == (ledger.canonical_json(old) != ledger.canonical_json(new))
    assert [change.field for change in changes(old, new)] == [
        change.field for change in changes(new, old)
    ]
    assert changes(old, old) == []


def test_false_is_not_zero():
    found = changes({"costs": {"a": False}}, {"costs": {"a": 0}})
    assert found == [Change("costs.a", False, 0)]


def test_a_field_that_came_with_no_value_is_a_change():
    assert changes({}, {"retraining": {"max_age_cadences": None}}) == [
        Change("retraining.max_age_cadences", None, None)
    ]
