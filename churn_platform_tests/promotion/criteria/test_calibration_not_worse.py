"""GATE006: better ranks do not excuse worse probabilities."""

import numpy as np
import pytest

from churn_platform_tests.promotion.evidence_builder import (
    RATE,
    build,
    decided,
    expit,
    finding,
    logit,
)

EVIDENCE = build(seed=0)
EQUAL = build(seed=0, candidate=1.0, production=1.0)


@pytest.mark.parametrize(
    "evidence",
    [
        EVIDENCE,
        EVIDENCE.with_scores(EVIDENCE.production.copy()),
        # worse, but within noise
        EQUAL.with_scores(expit(logit(EQUAL.production) + 0.1)),
        build(seed=0, customers=30, labels=np.arange(30) == 4),
    ],
    ids=["better", "a copy", "noise", "one churner"],
)
def test_probabilities_that_are_not_clearly_worse_pass(evidence):
    assert finding(evidence, "calibration_not_worse").outcome == "pass"


@pytest.mark.parametrize("months", [1, 3])
def test_a_better_ranking_with_overconfident_probabilities_is_refused(months):
    evidence = build(seed=0, customers=1200 // months, months=months, production=0.6)
    boastful = evidence.with_scores(expit(4 * logit(evidence.candidate)))
    assert boastful.candidate_auc == pytest.approx(evidence.candidate_auc)
    found = finding(boastful, "calibration_not_worse")
    assert (found.outcome, found.refuses) == ("fail", True)


def test_the_finding_has_both_brier_scores_and_worse_ones_alone_refuse_the_decision():
    detail = finding(EVIDENCE, "calibration_not_worse").detail
    assert "0.1831" in detail
    assert "0.2042" in detail
    evidence = build(seed=0, customers=3000, candidate=0.5, production=0.9)
    decision = decided(evidence.with_scores(expit(2 * logit(evidence.candidate) - logit(RATE))))
    assert [f.code for f in decision.findings if f.refuses] == ["GATE006"]
    assert decision.decision == "refused"
