"""GATE005: the gate refuses what it must, tells when it does not, and sees rows that leaked into training."""

import math

import numpy as np
import pandas as pd
import pytest

from churn_platform.contract.model import Costs
from churn_platform.evaluation.comparison import paired_auc_difference
from churn_platform.promotion.criteria.self_test import CRITERION, impostors, judge, shuffled_labels
from churn_platform.promotion.decision import passes
from churn_platform.training.candidate import ShuffledRefit
from churn_platform.training.model import Recipe
from churn_platform_tests.promotion.evidence_builder import (
    build,
    changed,
    decided,
    expit,
    picked,
    refit_at_chance,
)

EVIDENCE = build(seed=0)
AT_CHANCE = refit_at_chance(EVIDENCE, seed=2)
HOLDOUT = 1000


def refit_of(recipe, seed, *, leaked, rows=4000):
    """The recipe fitted on shuffled labels, with a share of the holdout rows among its training rows."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({f"x{i}": random.normal(size=rows) for i in range(6)})
    labels = pd.Series(random.random(rows) < 0.25)
    trains = (np.arange(rows) >= HOLDOUT) | (random.random(rows) < leaked)
    rows_of = frame[trains].reset_index(drop=True), labels[trains].reset_index(drop=True)
    model = recipe(tuple((name, "float") for name in frame)).fit(
        *rows_of, pd.Series(np.flatnonzero(trains))
    )
    return ShuffledRefit(model.probability(frame[:HOLDOUT]), labels[:HOLDOUT].to_numpy())


def shipped(features):
    return Recipe("lightgbm", 7, features, Costs())


def test_a_sound_gate_on_sound_evidence_passes_and_says_what_it_tried():
    found = judge(EVIDENCE, passes, AT_CHANCE, seed=1)
    assert (found.outcome, found.refuses, found.unsound) == ("pass", False, False)
    for fact in ("a copy of production", "a constant score", "permuted", "AUC 0.486", "0.468"):
        assert fact in found.detail


@pytest.mark.parametrize("months", [1, 2])
@pytest.mark.parametrize("production", [None, 0.3, 2.0, 30.0])
def test_no_impostor_passes_the_real_gate(months, production):
    evidence = build(seed=5, customers=600 // months, months=months, production=production)
    tried = {name: [passes(fake) for fake in fakes] for name, fakes in impostors(evidence, seed=3)}
    names = [COPY, CONSTANT, PERMUTED]
    assert list(tried) == (names if production else names[1:])
    assert not any(any(passed) for passed in tried.values())


COPY = "a copy of production"
CONSTANT = "a constant score"
PERMUTED = "the candidate's scores permuted"
BOTH = "both directions"


def differs(evidence):
    interval = paired_auc_difference(evidence.y, evidence.ours, evidence.theirs).interval
    return interval.above(0) or interval.below(0)


@pytest.mark.parametrize(
    ("gate", "faults"),
    [
        (lambda _: True, {COPY, CONSTANT, PERMUTED, BOTH}),
        (differs, {CONSTANT, PERMUTED, BOTH}),
        (lambda e: e.candidate_auc >= e.production_auc, {COPY}),
        (lambda e: len(set(e.candidate)) > 2 and (e.ours != e.theirs).any(), {PERMUTED, BOTH}),
    ],
    ids=["everything", "differs", "equal", "probabilities"],
)
def test_a_gate_that_passes_what_it_must_not_is_found_out(gate, faults):
    found = judge(EVIDENCE, gate, AT_CHANCE, seed=1)
    assert (found.outcome, found.refuses, found.unsound) == ("fail", True, True)
    assert {fault for fault in (COPY, CONSTANT, PERMUTED, BOTH) if fault in found.detail} == faults


def test_a_weak_but_honest_first_candidate_is_not_called_unsound_by_a_lucky_permutation():
    alarms, lucky = 0, 0
    for seed in range(150):
        weak = build(seed=seed, customers=600, candidate=7.0, production=None)
        passed = [passes(fake) for fake in dict(impostors(weak, seed))[PERMUTED]]
        alarms += all(passed)
        lucky += passed[0]
    assert lucky >= 3
    assert alarms <= 1


def test_only_sound_rows_are_permuted_and_in_whatever_order_they_came():
    saw = np.arange(1000) < 300
    evidence = changed(EVIDENCE, production_saw=saw)
    mixed = np.random.default_rng(4).permutation(1000)
    permuted = (dict(impostors(e, 9))[PERMUTED] for e in (evidence, picked(evidence, mixed)))
    for fake, other in zip(*permuted, strict=True):
        assert fake.candidate[saw].tolist() == evidence.candidate[saw].tolist()
        assert sorted(fake.ours) == sorted(evidence.ours)
        assert (fake.ours != evidence.ours).mean() > 0.99
        assert other.candidate.tolist() == fake.candidate[mixed].tolist()


def dealt(evidence):
    """What the permutations look like, without the order of the rows."""
    fakes = dict(impostors(evidence, seed=5))[PERMUTED]
    return [sorted(zip(e.entities, e.weights, e.labels, e.candidate, strict=True)) for e in fakes]


def test_weighted_rows_are_permuted_in_whatever_order_they_came_and_impostors_are_refused():
    evidence = build(seed=5, customers=300, months=3)
    weights = np.random.default_rng(5).integers(0, 4, 900).astype(float)
    evidence = changed(evidence, weights=weights)
    mixed = picked(evidence, np.random.default_rng(6).permutation(900))
    assert dealt(mixed) == dealt(evidence)
    constant = dict(impostors(evidence, seed=5))["a constant score"][0]
    assert constant.candidate[0] == np.average(evidence.labels, weights=weights)
    found = judge(evidence, passes, refit_at_chance(evidence), seed=5)
    assert found.outcome == "pass"


def test_shuffled_labels_count_alike_but_rows_without_weight_have_left():
    weights = np.random.default_rng(5).integers(1, 9, 1000).astype(float)
    assert shuffled_labels(changed(EVIDENCE, weights=weights), AT_CHANCE) == shuffled_labels(
        EVIDENCE, AT_CHANCE
    )
    knows = np.arange(1000) < 300
    scores = np.where(knows, AT_CHANCE.labels, AT_CHANCE.scores)
    leaked = ShuffledRefit(scores, AT_CHANCE.labels)
    assert not shuffled_labels(EVIDENCE, leaked)[0]
    assert shuffled_labels(changed(EVIDENCE, weights=np.where(knows, 0.0, weights)), leaked)[0]


@pytest.mark.parametrize("seed", [0, 3])
def test_holdout_rows_in_the_training_rows_of_the_shipped_recipe_are_seen(seed):
    refit = refit_of(shipped, seed, leaked=1.0)
    found = judge(EVIDENCE, passes, refit, seed=1)
    assert (found.outcome, found.unsound) == ("fail", True)
    assert "below 0.001" in found.detail
    # Out-of-fold scores of noise may slope down: then calibration turns what was memorised over.
    sentence = shuffled_labels(EVIDENCE, refit)[1]
    assert ("AUC 0.2" in sentence) == (seed == 0)
    assert ("AUC 0.7" in sentence) == (seed == 3)


def test_the_shipped_recipe_without_a_leak_is_at_chance():
    assert judge(EVIDENCE, passes, refit_of(shipped, 0, leaked=0.0), seed=1).outcome == "pass"


def test_twenty_of_twenty_planted_leaks_are_seen_and_none_of_twenty_clean_refits_is():
    """A recipe that memorises: the label of the next training row, a third of the holdout among them."""

    def refit(seed, leaked):
        random = np.random.default_rng(seed)
        feature, labels = random.random(2000), random.random(2000) < 0.25
        train = np.flatnonzero((np.arange(2000) >= HOLDOUT) | (random.random(2000) < leaked))
        train = train[np.argsort(feature[train])]
        nearest = np.searchsorted(feature[train], feature[:HOLDOUT]).clip(max=train.size - 1)
        return ShuffledRefit(0.1 + 0.8 * labels[train][nearest], labels[:HOLDOUT])

    outcomes = [
        [shuffled_labels(EVIDENCE, refit(seed, leaked))[0] for seed in range(20)]
        for leaked in (1 / 3, 0)
    ]
    assert outcomes == [[False] * 20, [True] * 20]


def test_a_refit_that_knows_only_rows_which_left_the_comparison_is_at_chance():
    saw = np.arange(1000) < 300
    scores = np.where(saw, 0.05 + 0.9 * AT_CHANCE.labels, AT_CHANCE.scores)
    refit = ShuffledRefit(scores, AT_CHANCE.labels)
    assert not shuffled_labels(EVIDENCE, refit)[0]
    assert shuffled_labels(changed(EVIDENCE, production_saw=saw), refit)[0]


@pytest.mark.parametrize(
    ("refit", "sentence"),
    [
        (ShuffledRefit(np.full(1000, math.nan), AT_CHANCE.labels), "1,000 scores"),
        (ShuffledRefit(AT_CHANCE.scores[:-1], AT_CHANCE.labels), "999 scores for 1,000"),
        (ShuffledRefit(AT_CHANCE.scores, AT_CHANCE.labels[1:]), "1,000 scores for 1,000"),
        (ShuffledRefit(AT_CHANCE.scores, np.zeros(1000, dtype=bool)), "1,000 shuffled"),
    ],
)
def test_a_refit_that_cannot_be_judged_fails_closed_and_never_raises(refit, sentence):
    decision = decided(EVIDENCE, refit)
    found = next(f for f in decision.findings if f.code == "GATE005")
    assert (found.outcome, found.refuses, found.unsound) == ("fail", True, True)
    assert sentence in found.detail
    assert decision.decision == "refused"


def test_a_memorising_recipe_is_refused_however_good_its_candidate_looks():
    assert shuffled_labels(EVIDENCE, ShuffledRefit(np.full(1000, 0.25), AT_CHANCE.labels))[0]
    recited = ShuffledRefit(expit(AT_CHANCE.labels * 4.0 - 2.0), AT_CHANCE.labels)
    decision = decided(EVIDENCE, recited)
    assert decision.decision == "refused"
    assert [f.code for f in decision.findings if f.unsound] == ["GATE005"]


def test_where_nothing_is_comparable_nothing_is_tested():
    found = judge(build(production_saw=None), passes, AT_CHANCE, seed=1)
    assert (found.outcome, found.unsound) == ("not_applicable", False)


def test_it_cannot_be_asked_without_the_other_criteria():
    with pytest.raises(TypeError, match=r"call self_test.judge"):
        CRITERION.judge(EVIDENCE)
