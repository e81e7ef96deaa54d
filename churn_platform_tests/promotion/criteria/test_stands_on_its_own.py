"""GATE003: better than chance and better than telling everyone the churn rate, whatever production is worth."""

import numpy as np
import pytest

from churn_platform_tests.promotion.evidence_builder import build, expit, finding, logit


def test_a_sound_candidate_passes_with_both_figures():
    found = finding(build(seed=0), "stands_on_its_own")
    assert found.outcome == "pass"
    assert found.detail == (
        "The candidate's AUC is 0.737, its 95% interval [0.704, 0.770] lies above 0.5 (chance); its Brier score 0.1831 "
        "(lower is better) beats the 0.2112 of predicting the churn rate for everyone."
    )


@pytest.mark.parametrize("production", [None, 2.0])
def test_a_candidate_at_chance_is_refused_with_or_without_production(production):
    evidence = build(seed=1, production=production)
    noise = np.random.default_rng(5).uniform(0.2, 0.3, evidence.labels.size)
    found = finding(evidence.with_scores(noise), "stands_on_its_own")
    assert (found.outcome, found.refuses) == ("fail", True)
    assert "does not lie above 0.5 (chance)" in found.detail


def test_a_candidate_that_beats_a_terrible_production_model_but_not_chance_is_refused():
    evidence = build(seed=1)
    terrible = evidence.with_scores(np.full(1000, 0.25), 1 - evidence.candidate)
    assert finding(terrible, "beats_production").outcome == "pass"
    assert finding(terrible, "interval_above_zero").outcome == "pass"
    assert finding(terrible, "stands_on_its_own").outcome == "fail"


def test_good_ranks_with_probabilities_that_are_far_off_are_refused():
    evidence = build(seed=0)
    raised = evidence.with_scores(expit(logit(evidence.candidate) + 2.5))
    assert raised.candidate_auc == evidence.candidate_auc
    found = finding(raised, "stands_on_its_own")
    assert found.outcome == "fail"
    assert "lies above 0.5 (chance)" in found.detail
    assert "does not beat the 0.2112" in found.detail


def test_a_gain_over_chance_that_so_few_churners_cannot_show_is_refused():
    evidence = build(seed=1, customers=40, candidate=3.0)
    assert evidence.candidate_auc > 0.55
    assert finding(evidence, "stands_on_its_own").outcome == "fail"
