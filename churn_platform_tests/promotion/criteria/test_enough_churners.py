"""GATE008: fifty churners, fifty others, each counted once."""

import numpy as np
import pytest

from churn_platform.contract.policy import PromotionPolicy
from churn_platform_tests.promotion.evidence_builder import (
    build,
    decided,
    finding,
    picked,
    with_counts,
)


@pytest.mark.parametrize(
    ("churners", "stayers", "outcome"),
    [(50, 300, "pass"), (49, 300, "fail"), (300, 50, "pass"), (300, 49, "fail")],
)
def test_fifty_of_each_class_are_enough_and_forty_nine_are_not(churners, stayers, outcome):
    found = finding(with_counts(churners, stayers), "enough_churners")
    assert (found.outcome, found.refuses) == (outcome, outcome == "fail")
    assert found.detail.startswith(f"The holdout has {churners} churners and {stayers} others")


def test_the_refusal_names_the_policy_that_pools_more_months():
    detail = finding(with_counts(49, 300), "enough_churners").detail
    assert detail == (
        "The holdout has 49 churners and 300 others, too few to decide: 50 of each are needed; further months "
        "are pooled as their labels mature, up to policy.training.pooled_months."
    )


def test_the_policy_says_how_many():
    policy = PromotionPolicy(min_holdout_churners=20)
    assert finding(with_counts(20, 100, policy=policy), "enough_churners").outcome == "pass"
    assert finding(with_counts(19, 100, policy=policy), "enough_churners").outcome == "fail"


def test_forty_churners_delivered_twice_are_still_forty():
    twice = picked(with_counts(40, 300), np.tile(np.arange(340), 2))
    assert twice.labels.sum() == 80
    assert finding(twice, "enough_churners").outcome == "fail"


def test_a_perfect_candidate_on_a_handful_of_others_is_refused_although_its_interval_has_no_width():
    evidence = with_counts(60, 3)
    perfect = evidence.with_scores(0.05 + 0.9 * evidence.labels, np.full(63, 0.5))
    assert perfect.difference.interval.low == 0.5
    decision = decided(perfect)
    assert decision.decision == "refused"
    assert "60 churners and 3 others, too few" in decision.reason


def test_where_nothing_is_comparable_it_leaves_the_word_to_that_criterion():
    assert finding(build(production_saw=None), "enough_churners").outcome == "not_applicable"
