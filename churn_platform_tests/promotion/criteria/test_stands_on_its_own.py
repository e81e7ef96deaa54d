"""GATE003: better than chance and better than telling everyone the churn rate, whatever production is worth."""

import numpy as np
import pytest

from churn_platform_tests.promotion.evidence_builder import build, expit, finding, logit

EVIDENCE = build(seed=0)
NOISE = np.random.default_rng(5).uniform(0.2, 0.3, 1000)


def test_the_finding_has_the_interval_and_both_brier_scores():
    found = finding(EVIDENCE, "stands_on_its_own")
    assert found.outcome == "pass"
    for fact in ("0.737", "95%", "[0.704, 0.770]", "0.1831", "0.2112"):
        assert fact in found.detail


@pytest.mark.parametrize(
    "evidence",
    [
        build(seed=1).with_scores(NOISE),
        build(seed=1, production=None).with_scores(NOISE),
        # beats a terrible production model, but not chance
        build(seed=1).with_scores(np.full(1000, 0.25), 1 - build(seed=1).candidate),
        # good ranks, probabilities that are far off
        EVIDENCE.with_scores(expit(logit(EVIDENCE.candidate) + 2.5)),
        # a gain over chance that so few churners cannot show
        build(seed=1, customers=40, candidate=3.0),
    ],
    ids=["noise", "first", "terrible production", "far off", "few"],
)
def test_a_candidate_that_is_worth_nothing_by_itself_is_refused(evidence):
    found = finding(evidence, "stands_on_its_own")
    assert (found.outcome, found.refuses) == ("fail", True)


def test_ranks_and_probabilities_are_judged_apart():
    off = EVIDENCE.with_scores(expit(logit(EVIDENCE.candidate) + 2.5))
    assert off.candidate_auc == EVIDENCE.candidate_auc
    terrible = build(seed=1).with_scores(np.full(1000, 0.25), 1 - build(seed=1).candidate)
    assert finding(terrible, "interval_above_zero").outcome == "pass"
