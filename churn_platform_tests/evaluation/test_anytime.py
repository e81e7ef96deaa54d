"""Evidence that stays valid at every look: exact by enumeration, and its error by simulation."""

import itertools
import math

import numpy as np
import pytest

from churn_platform.evaluation.anytime import RATIOS, TILTS, ScoreEvidence, event_evidence


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5])
def test_without_a_difference_the_evidence_of_events_is_1_on_average(share):
    customers = 7
    inside = np.arange(customers + 1)
    ways = np.array([math.comb(customers, k) for k in inside])
    chances = ways * share**inside * (1 - share) ** (customers - inside)
    mean = chances @ np.exp(event_evidence(inside, np.full(customers + 1, customers), share))
    assert mean == pytest.approx(1, abs=1e-12)


def test_the_evidence_of_events_is_the_mean_of_likelihood_ratios():
    inside, both, share = 5, 20, 0.05
    ratios = []
    for ratio in RATIOS:
        tilted = share * ratio / (1 - share + share * ratio)
        ratios.append((tilted / share) ** inside * ((1 - tilted) / (1 - share)) ** (both - inside))
    assert float(event_evidence(inside, both, share)) == pytest.approx(math.log(np.mean(ratios)))


def test_fewer_events_in_the_canary_are_no_evidence():
    assert float(event_evidence(0, 300, 0.25)) < 0 < float(event_evidence(120, 300, 0.25))


def test_without_a_difference_the_evidence_of_scores_is_1_on_average():
    scores = np.array([0.1, 0.9, 0.4, 0.4, 0.7])
    mean = 0.0
    for arms in itertools.product((False, True), repeat=len(scores)):
        chance = 1.0
        for arm in arms:
            chance *= 0.25 if arm else 0.75
        evidence = ScoreEvidence(0.25)
        evidence.add(scores, np.array(arms))
        mean += chance * math.exp(evidence.log_evidence)
    assert mean == pytest.approx(1, abs=1e-12)


def test_scores_in_lots_are_the_scores_at_once():
    rng = np.random.default_rng(3)
    scores = rng.random(500)
    arms = rng.random(500) < 0.3
    at_once = ScoreEvidence(0.3)
    at_once.add(scores, arms)
    in_lots = ScoreEvidence(0.3)
    for start in range(0, 500, 7):
        in_lots.add(scores[start : start + 7], arms[start : start + 7])
    assert in_lots.log_evidence == pytest.approx(at_once.log_evidence)
    assert in_lots.highest == pytest.approx(at_once.highest)
    assert in_lots.customers == at_once.customers == (int((~arms).sum()), int(arms.sum()))
    assert at_once.means == pytest.approx((scores[~arms].mean(), scores[arms].mean()))


@pytest.mark.parametrize("shift", [-0.2, 0.2])
def test_a_shift_of_scores_is_seen_in_both_directions(shift):
    rng = np.random.default_rng(5)
    arms = rng.random(2_000) < 0.25
    scores = np.clip(rng.beta(3, 3, 2_000) + shift * arms, 0, 1)
    evidence = ScoreEvidence(0.25)
    evidence.add(scores, arms)
    assert evidence.log_evidence > 20
    assert len(TILTS) == 16


def test_scores_of_one_arm_alone_are_not_compared():
    """The shadow does not score, and the customers come in the order of their risk."""
    evidence = ScoreEvidence(0.5)
    evidence.add(np.linspace(0, 1, 200), np.ones(200, dtype=bool))
    assert evidence.highest == 0
    evidence.add(np.full(9, 0.1), np.zeros(9, dtype=bool))
    assert evidence.highest == 0


def test_without_a_difference_scores_stay_below_the_error():
    """Also where customers of high risk come first, and where the queue of the shadow is full
    half of the time.
    """
    rng = np.random.default_rng(7)
    highest = []
    for _ in range(400):
        arms = rng.random(2_000) < 0.05
        scores = -np.sort(-rng.beta(1, 3, 2_000))
        kept = rng.random(2_000) < np.where(scores > 0.3, 0.3, 0.8)
        evidence = ScoreEvidence(0.05)
        evidence.add(scores[kept], arms[kept])
        highest.append(evidence.highest)
    assert (np.array(highest) > math.log(100)).mean() <= 0.01
