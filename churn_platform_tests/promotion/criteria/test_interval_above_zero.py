"""GATE002: a difference that may be noise does not pass, and the sentence says what could have been seen."""

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


def noisy_pair():
    """Two models of one worth whose AUCs differ by more than delta: a difference of luck."""
    pairs = (build(seed=seed, customers=600, candidate=1.0, production=1.0) for seed in range(50))
    return next(pair for pair in pairs if pair.candidate_auc > pair.production_auc + 0.015)


def test_a_gain_beyond_noise_passes_with_its_interval():
    found = finding(build(seed=0), "interval_above_zero")
    assert found.outcome == "pass"
    assert found.detail == (
        "The 95% interval of the difference, [+0.082, +0.163], lies above 0: more than noise. A true gain under 0.058 "
        "cannot be seen reliably with 303 churners (80% power)."
    )


def test_a_gain_above_delta_that_may_be_noise_is_refused():
    pair = noisy_pair()
    assert finding(pair, "beats_production").outcome == "pass"
    found = finding(pair, "interval_above_zero")
    assert (found.outcome, found.refuses) == ("fail", True)
    assert "does not lie above 0: it may be noise" in found.detail


def test_a_candidate_that_ranks_worse_is_told_so():
    found = finding(build(seed=0, candidate=2.0, production=0.3), "interval_above_zero")
    assert found.outcome == "fail"
    assert "lies below 0: the candidate ranks worse" in found.detail


def test_the_detectable_gain_is_both_quantiles_times_the_standard_error():
    evidence = build(seed=0, policy=PromotionPolicy(level=0.9, power=0.7))
    expected = (norm.ppf(0.95) + norm.ppf(0.7)) * evidence.difference.standard_error
    assert detectable_gain(evidence) == pytest.approx(expected, rel=1e-12)


def test_one_churner_detects_no_gain_at_all_rather_than_a_gain_above_one():
    assert detectable_gain(with_counts(1, 30)) == 1.0


def test_a_copy_of_production_has_no_detectable_gain_and_is_refused():
    evidence = build(seed=0)
    copy = evidence.with_scores(evidence.production.copy())
    assert detectable_gain(copy) is None
    found = finding(copy, "interval_above_zero")
    assert found.outcome == "fail"
    assert found.detail.endswith("The two models rank the customers alike.")


def test_the_same_rows_delivered_four_times_prove_no_more_than_once():
    pair = noisy_pair()
    often = picked(pair, np.tile(np.arange(pair.labels.size), 4))
    once, again = pair.difference.interval, often.difference.interval
    assert again.high - again.low == pytest.approx(once.high - once.low, rel=0.1)
    assert finding(often, "interval_above_zero").outcome == "fail"


def test_a_later_attempt_says_how_far_luck_alone_carries():
    assert luck(0.95, 1) == pytest.approx(0.025)
    assert luck(0.95, 3) == pytest.approx(1 - 0.975**3)
    found = finding(changed(build(seed=0), attempt=3), "interval_above_zero")
    assert found.detail.endswith(
        "This is attempt 3 on this holdout: by now luck alone would pass one that is no better up to 7% of the time."
    )
    assert "attempt" not in finding(build(seed=0), "interval_above_zero").detail


def test_without_production_it_does_not_apply():
    found = finding(build(production=None), "interval_above_zero")
    assert (found.outcome, found.refuses) == ("not_applicable", False)
