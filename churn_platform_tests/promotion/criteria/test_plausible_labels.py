"""GATE012: labels that look wrong or turned over keep a candidate from being promoted by itself."""

import pytest

from churn_platform.contract.policy import PromotionPolicy
from churn_platform.features.labels import below_chance, turned_over
from churn_platform_tests.promotion.evidence_builder import build, changed, decided, finding

DOUBT = "2024-03-31: The churn rate of 82.0% lies outside 0.5% to 60%."


def turned(seed=0):
    """A candidate that learnt labels the other way round, against a good production model."""
    evidence = build(seed=seed, candidate=0.3, production=0.4)
    return changed(evidence, production=1 - evidence.production)


def test_turned_over_labels_let_the_candidate_wait_for_a_person_in_either_mode():
    decision = decided(turned())
    assert decision.production_interval[1] < 0.5 < decision.candidate_interval[0]
    assert decision.decision == "pending"
    assert not decision.approved
    assert decision.reason == finding(turned(), "plausible_labels").detail
    assert (
        f"[{decision.production_interval[0]:.3f}, {decision.production_interval[1]:.3f}] is below 0.5"
        in decision.reason
    )
    assert decided(changed(turned(), policy=PromotionPolicy(mode="approval"))).decision == "pending"


def test_the_finding_warns_and_refuses_nothing():
    found = finding(turned(), "plausible_labels")
    assert (found.code, found.outcome, found.refuses, found.unsound) == (
        "GATE012",
        "warn",
        False,
        False,
    )


def test_turned_over_labels_are_no_evidence_that_production_is_at_chance():
    assert not decided(turned()).stand_down
    at_chance = build(candidate=0.3, production=50.0)
    low, high = decided(at_chance).production_interval
    assert low <= 0.5 <= high
    assert decided(changed(at_chance, policy=PromotionPolicy(mode="approval"))).stand_down


def test_only_an_auc_far_below_chance_acquits_the_model():
    assert below_chance(0.434, 0.496)
    assert not turned_over(0.434, 0.496)
    assert not turned_over(0.38, 0.42)
    assert turned_over(0.125, 0.232)
    assert not below_chance(0.45, 0.5)


def test_a_production_model_at_chance_is_replaced_without_a_person():
    decision = decided(build(candidate=0.3, production=50.0))
    assert decision.decision == "promoted"
    assert finding(build(candidate=0.3, production=50.0), "plausible_labels").outcome == "pass"


@pytest.mark.parametrize("production", [None, 2.0])
def test_implausible_labels_wait_for_a_person_with_or_without_a_production_model(production):
    evidence = build(candidate=0.3, production=production, label_doubts=(DOUBT,))
    decision = decided(evidence)
    assert decision.decision == "pending"
    assert DOUBT in decision.reason


def test_a_refusal_stays_a_refusal():
    worse = build(candidate=2.0, production=0.3, label_doubts=(DOUBT,))
    assert decided(worse).decision == "refused"
    assert finding(worse, "plausible_labels").outcome == "warn"
