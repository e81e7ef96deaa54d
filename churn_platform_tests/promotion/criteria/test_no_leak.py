"""GATE011: a feature that alone predicts the label refuses the candidate, whatever its other figures are."""

import pytest

from churn_platform.evaluation.leaks import Alone
from churn_platform_tests.promotion.evidence_builder import build, decided, finding

AUCS = {"fee": 0.71, "final_bill": 0.994, "closed": 1.0}


@pytest.mark.parametrize(
    ("aucs", "outcome", "facts"),
    [
        (AUCS, "fail", ["closed (AUC 1.000), final_bill (AUC 0.994)", "0.95, 0.970", "they are"]),
        ({"closed": 1.0}, "fail", ["closed (AUC 1.000) alone predicts", "it is"]),
        ({"fee": 0.71, "visits": 0.62}, "pass", ["fee with AUC 0.710", "0.95"]),
        ({}, "not_applicable", []),
    ],
)
def test_the_finding_names_the_features_with_their_aucs_and_decides_alone(aucs, outcome, facts):
    evidence = build(alone=Alone(aucs, 0.95, 0.97))
    found = finding(evidence, "no_leak")
    assert (found.code, found.outcome, found.refuses) == ("GATE011", outcome, outcome == "fail")
    for fact in facts:
        assert fact in found.detail
    decision = decided(evidence)
    assert decision.decision == ("refused" if found.refuses else "promoted")
    assert not found.refuses or decision.reason == found.detail
