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


def test_better_probabilities_pass_with_their_figures():
    found = finding(build(seed=0), "calibration_not_worse")
    assert found.outcome == "pass"
    assert found.detail.startswith(
        "The candidate's Brier score is 0.1831, production's 0.2042 (lower is better): "
    )
    assert found.detail.endswith("does not show that the candidate's probabilities are worse.")


@pytest.mark.parametrize("months", [1, 3])
def test_a_better_ranking_with_overconfident_probabilities_is_refused(months):
    evidence = build(seed=0, customers=1200 // months, months=months, production=0.6)
    boastful = evidence.with_scores(expit(4 * logit(evidence.candidate)))
    assert boastful.candidate_auc == pytest.approx(evidence.candidate_auc)
    found = finding(boastful, "calibration_not_worse")
    assert (found.outcome, found.refuses) == ("fail", True)
    assert found.detail.endswith("is entirely above 0, so the candidate's probabilities are worse.")


def test_probabilities_that_are_worse_within_noise_pass():
    evidence = build(seed=0, candidate=1.0, production=1.0)
    shifted = evidence.with_scores(expit(logit(evidence.production) + 0.1))
    found = finding(shifted, "calibration_not_worse")
    assert ((shifted.ours - shifted.y) ** 2).mean() > ((shifted.theirs - shifted.y) ** 2).mean()
    assert found.outcome == "pass"


def test_a_copy_of_production_is_not_worse():
    evidence = build(seed=0)
    assert (
        finding(evidence.with_scores(evidence.production.copy()), "calibration_not_worse").outcome
        == "pass"
    )


def test_one_churner_decides_nothing_and_does_not_raise():
    evidence = build(seed=0, customers=30, labels=np.arange(30) == 4)
    assert finding(evidence, "calibration_not_worse").outcome == "pass"


def test_worse_probabilities_alone_refuse_the_whole_decision():
    evidence = build(seed=0, customers=3000, candidate=0.5, production=0.9)
    boastful = evidence.with_scores(expit(2 * logit(evidence.candidate) - logit(RATE)))
    decision = decided(boastful)
    assert [f.code for f in decision.findings if f.refuses] == ["GATE006"]
    assert decision.decision == "refused"
