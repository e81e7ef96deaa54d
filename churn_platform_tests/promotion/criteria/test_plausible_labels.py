"""GATE012: labels that look wrong or inverted keep a candidate from being promoted by itself."""

import pytest

from churn_platform.contract.policy import PromotionPolicy
from churn_platform.features.labels import below_chance, turned_over
from churn_platform_tests.promotion.evidence_builder import build, changed, decided, finding

DOUBT = "2024-03-31: The churn rate of 82.0% lies outside 0.5% to 60%."
APPROVAL = PromotionPolicy(mode="approval")
AT_CHANCE = build(candidate=0.3, production=50.0)


def inverted():
    """A candidate that learnt labels the other way round, against a good production model."""
    evidence = build(seed=0, candidate=0.3, production=0.4)
    return changed(evidence, production=1 - evidence.production)


@pytest.mark.parametrize("policy", [PromotionPolicy(), APPROVAL])
def test_inverted_labels_let_the_candidate_wait_for_approval_in_either_mode(policy):
    decision = decided(changed(inverted(), policy=policy))
    low, high = decision.production_interval
    assert high < 0.5 < decision.candidate_interval[0]
    assert (decision.decision, decision.approved, decision.stand_down) == ("pending", False, False)
    found = finding(inverted(), "plausible_labels")
    assert (found.code, found.outcome, found.refuses) == ("GATE012", "warn", False)
    assert f"[{low:.3f}, {high:.3f}] is below 0.5" in found.detail
    assert found.detail in decision.reason


def test_a_production_model_at_chance_is_replaced_and_stands_down_until_then():
    low, high = decided(AT_CHANCE).production_interval
    assert low <= 0.5 <= high
    assert decided(AT_CHANCE).decision == "promoted"
    assert finding(AT_CHANCE, "plausible_labels").outcome == "pass"
    assert decided(changed(AT_CHANCE, policy=APPROVAL)).stand_down


def test_only_an_auc_far_below_chance_acquits_the_model():
    assert below_chance(0.434, 0.496)
    assert not turned_over(0.434, 0.496)
    assert not turned_over(0.38, 0.42)
    assert turned_over(0.125, 0.232)
    assert not below_chance(0.45, 0.5)


@pytest.mark.parametrize(
    ("candidate", "production", "decision"),
    [(0.3, None, "pending"), (0.3, 2.0, "pending"), (2.0, 0.3, "refused")],
)
def test_implausible_labels_warn_with_or_without_production_and_a_refusal_stays(
    candidate, production, decision
):
    evidence = build(candidate=candidate, production=production, label_doubts=(DOUBT,))
    assert decided(evidence).decision == decision
    found = finding(evidence, "plausible_labels")
    assert found.outcome == "warn"
    assert DOUBT in found.detail
