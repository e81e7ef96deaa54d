"""GATE004: an incumbent scored on what it learned by heart gives no number, and a way out instead."""

import numpy as np
import pytest

from churn_platform.promotion.criteria.comparable import WAY_OUT
from churn_platform_tests.promotion.evidence_builder import (
    build,
    changed,
    decided,
    finding,
    with_counts,
)

FIGURES = (
    "candidate_auc", "candidate_interval", "production_auc", "production_interval", "difference_interval",
    "detectable_gain", "forward_auc",
)  # fmt: skip


def incumbent_that_saw(share, *, digest=True):
    """A better candidate against an incumbent that knows the answers of a share of the rows, as after a random split.

    The old comparison read 0.95 for such an incumbent where the truth was 0.62.
    """
    evidence = build(seed=0, forward=0.5)
    random = np.random.default_rng(1)
    saw = random.random(evidence.labels.size) < share
    recited = np.where(saw, 0.05 + 0.9 * evidence.labels, evidence.production)
    return changed(evidence, production=recited, production_saw=saw if digest else None)


def old_auc(evidence):
    """What the old comparison read: production's AUC over all rows, seen or not."""
    return changed(evidence, production_saw=np.zeros_like(evidence.labels)).production_auc


@pytest.mark.parametrize(
    ("share", "digest"), [(1.0, True), (0.9, True), (0.9, False), (0.0, False)]
)
def test_the_old_comparison_is_not_applicable_and_never_a_number(share, digest):
    evidence = incumbent_that_saw(share, digest=digest)
    decision = decided(evidence)
    found = next(f for f in decision.findings if f.code == "GATE004")
    assert (found.outcome, found.refuses, found.unsound) == ("not_applicable", True, False)
    assert decision.decision == "refused"
    assert [getattr(decision, name) for name in FIGURES] == [None] * 7
    assert not decision.stand_down
    assert found.detail.endswith(f"not comparable; {WAY_OUT}.")
    assert decision.reason == found.detail


def test_the_old_comparison_would_have_refused_the_better_model_for_ever():
    evidence = incumbent_that_saw(0.9)
    assert old_auc(evidence) > 0.95 > evidence.candidate_auc > build(seed=0).production_auc
    assert (
        decided(changed(evidence, production_saw=np.zeros_like(evidence.labels))).decision
        == "refused"
    )


def test_the_rows_that_the_incumbent_saw_leave_and_the_rest_decides():
    evidence = incumbent_that_saw(0.3)
    decision = decided(evidence)
    assert decision.decision == "promoted"
    assert decision.production_auc < 0.65 < old_auc(evidence)
    left = int(evidence.sound_rows.sum())
    assert finding(evidence, "comparable").detail == (
        f"Neither model trained on any customer of the {left} holdout rows compared; {1000 - left} rows of customers "
        "that a model had trained on were left out."
    )


def test_an_incumbent_without_a_digest_is_named_with_its_version():
    found = finding(incumbent_that_saw(0.5, digest=False), "comparable")
    assert found.detail.startswith(
        "Production (version 1) carries no digest of its training entities, so which of the 1,000 holdout rows it "
        "trained on is unknown"
    )


def test_too_few_rows_left_are_counted_by_class():
    evidence = with_counts(60, 200)
    saw = np.zeros(260, dtype=bool)
    saw[np.flatnonzero(evidence.labels)[:11]] = True
    found = finding(changed(evidence, production_saw=saw), "comparable")
    assert found.detail == (
        "11 of 260 holdout rows are of customers that a model trained on; the rest hold 49 churners and 200 others, "
        f"where 50 of each are needed: not comparable; {WAY_OUT}."
    )
    saw[np.flatnonzero(saw)[0]] = False
    assert finding(changed(evidence, production_saw=saw), "comparable").outcome == "pass"


def test_a_first_candidate_that_trained_on_its_holdout_is_sent_back_to_training():
    evidence = build(production=None, candidate_saw=np.ones(1000, dtype=bool))
    found = finding(evidence, "comparable")
    assert found.outcome == "not_applicable"
    assert "customers that the candidate trained on" in found.detail
    assert found.detail.endswith("not comparable; train it again with this holdout.")
    assert decided(evidence).decision == "refused"


def test_a_first_candidate_passes_alone():
    found = finding(build(production=None), "comparable")
    assert found.outcome == "pass"
    assert (
        found.detail
        == "The candidate never trained on any customer of the 1,000 holdout rows compared."
    )


@pytest.mark.parametrize(("churners", "stayers"), [(0, 300), (300, 0)])
def test_a_holdout_of_one_class_gives_no_number_and_asks_for_labels_or_months(churners, stayers):
    evidence = with_counts(churners, stayers)
    decision = decided(evidence)
    assert decision.decision == "refused"
    assert decision.candidate_auc is None
    assert (
        f"hold {churners} churners and {stayers} others, so there is nothing to rank"
        in decision.reason
    )
    assert "pool more months (policy.training.pooled_months)" in decision.reason
    assert WAY_OUT not in decision.reason


def test_where_nothing_was_left_out_too_few_churners_are_another_criterions_matter():
    few = with_counts(20, 200)
    assert finding(few, "comparable").outcome == "pass"
    assert finding(few, "enough_churners").refuses
