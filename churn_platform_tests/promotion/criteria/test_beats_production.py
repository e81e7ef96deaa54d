"""GATE001: `should_promote`, and the finding with its figures."""

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


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("prod", [0.7, None])
def test_what_is_not_a_number_is_an_error_in_every_place(wrong, place, prod):
    arguments = [0.8, prod, 0.01]
    arguments[place] = wrong
    with pytest.raises(NotANumber, match=f"{wrong}"):
        should_promote(*arguments)


@given(AUCS, AUCS, AUCS, st.floats(0, 0.5))
def test_never_may_both_replace_each_other_nor_a_better_one_be_refused_where_a_worse_passes(
    one, other, prod, delta
):
    assert not (should_promote(one, other, delta) and should_promote(other, one, delta))
    worse, better = sorted([one, other])
    assert should_promote(better, prod, delta) or not should_promote(worse, prod, delta)


def test_the_finding_has_both_aucs_and_the_policys_delta_decides_strictly():
    evidence = build(seed=0)
    found = finding(evidence, "beats_production")
    assert found.outcome == "pass"
    for fact in ("0.7372", "0.6149", "1,000 holdout rows", "+0.1223", "0.01"):
        assert fact in found.detail
    gain = evidence.candidate_auc - evidence.production_auc
    for delta, outcome in ((gain - 1e-9, "pass"), (gain + 1e-9, "fail")):
        other = changed(evidence, policy=PromotionPolicy(delta=delta))
        found = finding(other, "beats_production")
        assert (found.outcome, found.refuses) == (outcome, outcome == "fail")


def test_without_production_the_candidates_auc_alone_is_reported():
    found = finding(build(seed=0, production=None), "beats_production")
    assert found.outcome == "pass"
    assert "0.7372 on 1,000" in found.detail
