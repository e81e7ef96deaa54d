"""GATE009: what carries from one month to the next; a warning, never a refusal."""

import numpy as np
import pytest

from churn_platform.contract.policy import PromotionPolicy
from churn_platform.evaluation.statistics import auc
from churn_platform.promotion.criteria.forward_value import forward_auc
from churn_platform_tests.promotion.evidence_builder import build, changed, decided, finding


def test_a_recipe_that_is_worth_nothing_a_month_later_warns_and_is_promoted_all_the_same():
    evidence = build(seed=0, forward=30.0)
    decision = decided(evidence)
    found = next(f for f in decision.findings if f.code == "GATE009")
    assert (found.outcome, found.refuses) == ("warn", False)
    assert decision.decision == "promoted"
    assert decision.forward_auc == auc(evidence.labels, evidence.forward)
    assert found.detail == (
        f"On this holdout the same recipe fitted one month earlier has AUC {decision.forward_auc:.3f}, the candidate "
        "0.737: what it learns may not last, so tomorrow's value of today's model is in doubt."
    )


@pytest.mark.parametrize("noise", [0.3, 0.1])
def test_a_recipe_that_carries_over_passes(noise):
    found = finding(build(seed=0, forward=noise), "forward_value")
    assert found.outcome == "pass"
    assert found.detail.endswith("no loss from one month to the next is seen.")


def test_a_loss_within_the_policys_delta_is_no_warning():
    evidence = build(seed=0, forward=2.0)
    assert finding(evidence, "forward_value").outcome == "warn"
    assert (
        finding(changed(evidence, policy=PromotionPolicy(delta=0.3)), "forward_value").outcome
        == "pass"
    )


def test_a_loss_within_noise_is_no_warning():
    evidence = build(
        seed=7, customers=150, candidate=1.0, forward=1.6, policy=PromotionPolicy(delta=0.0)
    )
    assert forward_auc(evidence) < evidence.candidate_auc
    assert finding(evidence, "forward_value").outcome == "pass"


def test_in_the_first_month_it_does_not_apply():
    found = finding(build(), "forward_value")
    assert (found.outcome, found.refuses) == ("not_applicable", False)
    assert forward_auc(build()) is None


def test_without_a_sound_comparison_there_is_no_forward_figure():
    assert forward_auc(build(forward=0.5, production_saw=None)) is None


def test_only_sound_rows_count():
    evidence = build(seed=0, forward=0.5)
    saw = np.arange(1000) < 400
    left = changed(evidence, production_saw=saw)
    assert forward_auc(left) == auc(evidence.labels[400:], evidence.forward[400:])
