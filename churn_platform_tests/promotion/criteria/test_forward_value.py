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
    assert (found.outcome, found.refuses, decision.decision) == ("warn", False, "promoted")
    assert decision.forward_auc == auc(evidence.labels, evidence.forward)
    assert f"{decision.forward_auc:.3f}" in found.detail
    assert "0.737" in found.detail


NOISY = build(seed=7, customers=150, candidate=1.0, forward=1.6, policy=PromotionPolicy(delta=0.0))


@pytest.mark.parametrize(
    ("evidence", "outcome"),
    [
        (build(seed=0, forward=0.3), "pass"),
        (build(seed=0, forward=0.1), "pass"),
        (build(seed=0, forward=2.0), "warn"),
        # within the policy's delta, or within noise
        (build(seed=0, forward=2.0, policy=PromotionPolicy(delta=0.3)), "pass"),
        (NOISY, "pass"),
        (build(), "not_applicable"),
    ],
)
def test_only_a_loss_beyond_delta_and_noise_warns(evidence, outcome):
    found = finding(evidence, "forward_value")
    assert (found.outcome, found.refuses) == (outcome, False)


def test_the_figure_is_that_of_the_valid_rows_if_there_is_one():
    assert forward_auc(NOISY) < NOISY.candidate_auc
    assert forward_auc(build()) is None
    assert forward_auc(build(forward=0.5, production_saw=None)) is None
    evidence = build(seed=0, forward=0.5)
    left = changed(evidence, production_saw=np.arange(1000) < 400)
    assert forward_auc(left) == auc(evidence.labels[400:], evidence.forward[400:])
