"""GATE002: a difference that may be noise does not pass, and the finding has what could have been seen."""

import numpy as np
import pytest
from scipy.stats import norm

from churn_platform.contract.policy import PromotionPolicy
from churn_platform.promotion.criteria.interval_above_zero import detectable_gain, luck
from churn_platform_tests.promotion.evidence_builder import (
    build,
    changed,
    finding,
    picked,
    with_counts,
)

EVIDENCE = build(seed=0)


def noisy_pair():
    """Two models of one worth whose AUCs differ by more than delta: a difference of luck."""
    pairs = (build(seed=seed, customers=600, candidate=1.0, production=1.0) for seed in range(50))
    return next(pair for pair in pairs if pair.candidate_auc > pair.production_auc + 0.015)


@pytest.mark.parametrize(
    ("evidence", "outcome", "fact"),
    [
        (EVIDENCE, "pass", "above 0"),
        (noisy_pair(), "fail", "noise"),
        (build(seed=0, candidate=2.0, production=0.3), "fail", "below 0"),
        (EVIDENCE.with_scores(EVIDENCE.production.copy()), "fail", "alike"),
        (build(production=None), "not_applicable", "no production model"),
    ],
)
def test_only_an_interval_above_zero_passes(evidence, outcome, fact):
    found = finding(evidence, "interval_above_zero")
    assert (found.outcome, found.refuses) == (outcome, outcome == "fail")
    assert fact in found.detail


@pytest.mark.parametrize(
    ("evidence", "outcome"),
    [
        (noisy_pair(), "pass"),
        (EVIDENCE, "pass"),
        (build(seed=0, candidate=2.0, production=0.3), "fail"),
    ],
)
def test_in_place_of_a_version_that_stands_down_only_a_worse_candidate_fails(evidence, outcome):
    found = finding(changed(evidence, must_replace=True), "interval_above_zero")
    assert (found.outcome, found.refuses) == (outcome, outcome == "fail")


def test_the_finding_has_the_interval_and_the_detectable_gain():
    assert finding(noisy_pair(), "beats_production").outcome == "pass"
    detail = finding(EVIDENCE, "interval_above_zero").detail
    for fact in ("95%", "[+0.082, +0.163]", "0.058", "303 churners", "80% power"):
        assert fact in detail


def test_the_detectable_gain_is_both_quantiles_times_the_standard_error_and_at_most_one():
    evidence = build(seed=0, policy=PromotionPolicy(level=0.9, power=0.7))
    expected = (norm.ppf(0.95) + norm.ppf(0.7)) * evidence.difference.standard_error
    assert detectable_gain(evidence) == pytest.approx(expected, rel=1e-12)
    assert detectable_gain(with_counts(1, 30)) == 1.0
    assert detectable_gain(EVIDENCE.with_scores(EVIDENCE.production.copy())) is None


def test_the_same_rows_delivered_four_times_prove_no_more_than_once():
    pair = noisy_pair()
    often = picked(pair, np.tile(np.arange(pair.labels.size), 4))
    once, again = pair.difference.interval, often.difference.interval
    assert again.high - again.low == pytest.approx(once.high - once.low, rel=0.1)
    assert finding(often, "interval_above_zero").outcome == "fail"


def test_a_later_attempt_has_the_chance_that_luck_alone_passes():
    assert luck(0.95, 1) == pytest.approx(0.025)
    assert luck(0.95, 3) == pytest.approx(1 - 0.975**3)
    detail = finding(changed(EVIDENCE, attempt=3), "interval_above_zero").detail
    assert "attempt 3" in detail
    assert "7%" in detail
    assert "attempt" not in finding(EVIDENCE, "interval_above_zero").detail
