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
    saw = np.random.default_rng(1).random(evidence.labels.size) < share
    recited = np.where(saw, 0.05 + 0.9 * evidence.labels, evidence.production)
    return changed(evidence, production=recited, production_saw=saw if digest else None)


def unaware(evidence):
    """The old comparison: all rows, seen or not."""
    return changed(evidence, production_saw=np.zeros_like(evidence.labels))


@pytest.mark.parametrize(
    ("share", "digest"), [(1.0, True), (0.9, True), (0.9, False), (0.0, False)]
)
def test_the_old_comparison_is_not_applicable_and_never_a_number(share, digest):
    decision = decided(incumbent_that_saw(share, digest=digest))
    found = next(f for f in decision.findings if f.code == "GATE004")
    assert (found.outcome, found.refuses, found.unsound) == ("not_applicable", True, False)
    assert decision.decision == "refused"
    assert [getattr(decision, name) for name in FIGURES] == [None] * 7
    assert not decision.stand_down
    assert WAY_OUT in found.detail
    assert decision.reason == found.detail
    assert digest or "version 1" in found.detail


def test_the_old_comparison_would_have_refused_the_better_model_for_ever():
    evidence = incumbent_that_saw(0.9)
    old = unaware(evidence)
    assert old.production_auc > 0.95 > evidence.candidate_auc > build(seed=0).production_auc
    assert decided(old).decision == "refused"


def test_the_rows_that_the_incumbent_saw_leave_and_the_rest_decides():
    evidence = incumbent_that_saw(0.3)
    decision = decided(evidence)
    assert decision.decision == "promoted"
    assert decision.production_auc < 0.65 < unaware(evidence).production_auc
    left = int(evidence.sound_rows.sum())
    detail = finding(evidence, "comparable").detail
    assert f"the {left} holdout rows" in detail
    assert f"{1000 - left} rows" in detail


def test_too_few_rows_left_are_counted_by_class():
    evidence = with_counts(60, 200)
    saw = np.zeros(260, dtype=bool)
    saw[np.flatnonzero(evidence.labels)[:11]] = True
    detail = finding(changed(evidence, production_saw=saw), "comparable").detail
    for fact in ("11 of 260", "49 churners and 200 others", "50 of each", WAY_OUT):
        assert fact in detail
    saw[np.flatnonzero(saw)[0]] = False
    assert finding(changed(evidence, production_saw=saw), "comparable").outcome == "pass"


def test_a_first_candidate_passes_alone_unless_it_trained_on_its_holdout():
    assert finding(build(production=None), "comparable").outcome == "pass"
    evidence = build(production=None, candidate_saw=np.ones(1000, dtype=bool))
    found = finding(evidence, "comparable")
    assert found.outcome == "not_applicable"
    assert "train it again with this holdout" in found.detail
    assert decided(evidence).decision == "refused"


@pytest.mark.parametrize(("churners", "stayers"), [(0, 300), (300, 0)])
def test_a_holdout_of_one_class_gives_no_number_and_asks_for_labels_or_months(churners, stayers):
    decision = decided(with_counts(churners, stayers))
    assert (decision.decision, decision.candidate_auc) == ("refused", None)
    assert f"{churners} churners and {stayers} others" in decision.reason
    assert "policy.training.pooled_months" in decision.reason
    assert WAY_OUT not in decision.reason


def test_where_nothing_was_left_out_too_few_churners_are_another_criterions_matter():
    few = with_counts(20, 200)
    assert finding(few, "comparable").outcome == "pass"
    assert finding(few, "enough_churners").refuses
