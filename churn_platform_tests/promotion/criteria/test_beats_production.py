"""GATE001: `should_promote`, and the sentence round it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.base.errors import NotANumber
from churn_platform.contract.policy import PromotionPolicy
from churn_platform.promotion.criteria.beats_production import should_promote
from churn_platform_tests.promotion.evidence_builder import build, changed, finding

AUCS = st.floats(0, 1)


@pytest.mark.parametrize(
    ("new", "prod", "promoted"), [(0.80, 0.78, True), (0.785, 0.78, False), (0.1, None, True)]
)
def test_the_cases_of_the_course(new, prod, promoted):
    assert should_promote(new, prod) is promoted


@pytest.mark.parametrize("prod", [0.0, 0.5, 0.62, 0.78, 0.99])
@pytest.mark.parametrize("delta", [0.0, 0.01, 0.25])
def test_exactly_production_plus_delta_is_not_enough_and_the_next_number_is(prod, delta):
    assert not should_promote(prod + delta, prod, delta)
    assert should_promote(math.nextafter(prod + delta, 2), prod, delta)
    assert not should_promote(math.nextafter(prod + delta, -1), prod, delta)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_not_a_number_is_an_error_in_every_place(wrong, place):
    arguments = [0.8, 0.7, 0.01]
    arguments[place] = wrong
    with pytest.raises(NotANumber, match=f"{wrong}"):
        should_promote(*arguments)


def test_what_is_not_a_number_is_an_error_without_production_too():
    with pytest.raises(NotANumber):
        should_promote(math.nan, None)


@given(AUCS, AUCS, st.floats(0, 0.5))
def test_never_may_both_of_a_pair_replace_each_other(one, other, delta):
    assert not (should_promote(one, other, delta) and should_promote(other, one, delta))


@given(AUCS, AUCS, AUCS, st.floats(0, 0.5))
def test_a_better_candidate_is_never_refused_where_a_worse_one_passes(worse, more, prod, delta):
    better = max(worse, more)
    assert should_promote(better, prod, delta) or not should_promote(worse, prod, delta)


def test_the_finding_says_both_aucs_and_their_difference():
    evidence = build(seed=0)
    found = finding(evidence, "beats_production")
    assert found.outcome == "pass"
    assert found.detail == (
        "The candidate's AUC is 0.7372, production's 0.6149 on the same 1,000 holdout rows: the difference +0.1223 is "
        "more than the policy's 0.01."
    )


def test_the_policys_delta_decides_strictly():
    evidence = build(seed=0)
    gain = evidence.candidate_auc - evidence.production_auc
    just_under, just_over = (
        changed(evidence, policy=PromotionPolicy(delta=gain + d)) for d in (-1e-9, 1e-9)
    )
    assert finding(just_under, "beats_production").outcome == "pass"
    refused = finding(just_over, "beats_production")
    assert (refused.outcome, refused.refuses) == ("fail", True)
    assert "is not more than the policy's 0.122" in refused.detail


def test_without_production_the_finding_says_so():
    found = finding(build(seed=0, production=None), "beats_production")
    assert found.outcome == "pass"
    assert (
        found.detail
        == "No model is in production; the candidate's AUC is 0.7372 on 1,000 holdout rows."
    )
