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

TWENTY = PromotionPolicy(min_holdout_churners=20)


@pytest.mark.parametrize(
    ("churners", "stayers", "changes", "outcome"),
    [
        (50, 300, {}, "pass"), (49, 300, {}, "fail"), (300, 50, {}, "pass"), (300, 49, {}, "fail"),
        (20, 100, {"policy": TWENTY}, "pass"), (19, 100, {"policy": TWENTY}, "fail"),
    ],
)  # fmt: skip
def test_the_policys_number_of_each_class_is_enough_and_one_less_is_not(
    churners, stayers, changes, outcome
):
    found = finding(with_counts(churners, stayers, **changes), "enough_churners")
    assert (found.outcome, found.refuses) == (outcome, outcome == "fail")
    assert f"{churners} churners and {stayers} others" in found.detail
    assert ("policy.training.pooled_months" in found.detail) == (outcome == "fail")


def test_forty_churners_delivered_twice_are_still_forty():
    twice = picked(with_counts(40, 300), np.tile(np.arange(340), 2))
    assert twice.labels.sum() == 80
    assert finding(twice, "enough_churners").outcome == "fail"


def test_a_perfect_candidate_on_a_handful_of_others_is_refused_although_its_interval_has_no_width():
    evidence = with_counts(60, 3)
    perfect = evidence.with_scores(0.05 + 0.9 * evidence.labels, np.full(63, 0.5))
    assert perfect.difference.interval.low == 0.5
    assert decided(perfect).decision == "refused"


def test_where_nothing_is_comparable_it_does_not_apply():
    assert finding(build(production_saw=None), "enough_churners").outcome == "not_applicable"
