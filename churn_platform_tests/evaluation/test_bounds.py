"""Bounds of an AUC with unknown labels, against trying every labelling."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.evaluation.bounds import auc_bounds
from churn_platform.evaluation.statistics import auc

KNOWN = st.lists(
    st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 5)), min_size=0, max_size=8
)
UNKNOWN = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=8)


def every_auc(known, unknown, weighted):
    """The rows as arrays, and the AUC of every labelling with both classes."""
    labels = np.array([label for label, _, _ in known] + [False] * len(unknown))
    scores = np.array([s for _, s, _ in known] + [s for s, _ in unknown], dtype=float)
    weights = np.array([w for _, _, w in known] + [w for _, w in unknown], dtype=float)
    missing = np.arange(labels.size) >= len(known)
    if not weighted:
        weights = np.ones(labels.size)
    found = []
    for guess in itertools.product([False, True], repeat=len(unknown)):
        labels[missing] = guess
        if labels.any() and not labels.all():
            churners = np.where(labels, weights, 0.0)
            stayers = np.where(labels, 0.0, weights)
            wins = (scores[:, None] > scores) + 0.5 * (scores[:, None] == scores)
            found.append(churners @ wins @ stayers / (churners.sum() * stayers.sum()))
    return labels, scores, missing, weights, found


@given(KNOWN, UNKNOWN)
@settings(deadline=None, max_examples=150)
def test_the_bounds_are_those_of_every_labelling(known, unknown):
    labels, scores, missing, _, found = every_auc(known, unknown, weighted=False)
    if not found:
        with pytest.raises(DataError, match="both classes"):
            auc_bounds(labels, scores, missing)
        return
    bounds = auc_bounds(labels, scores, missing)
    assert bounds.as_list() == pytest.approx([min(found), max(found)], abs=1e-12)
    equal = auc_bounds(labels, scores, missing, np.full(labels.size, 0.7))
    assert equal.as_list() == pytest.approx(bounds.as_list(), abs=1e-12)


@given(KNOWN, UNKNOWN)
@settings(deadline=None, max_examples=150)
def test_weighted_bounds_are_exact_on_their_own_side_of_chance_and_contain_it_elsewhere(
    known, unknown
):
    labels, scores, missing, weights, found = every_auc(known, unknown, weighted=True)
    if not found:
        return
    bounds = auc_bounds(labels, scores, missing, weights)
    alike = len({weight for _, weight in unknown}) == 1
    expected = [min(found), max(found)]
    if not alike:
        expected = [min(expected[0], 0.5), max(expected[1], 0.5)]
    assert bounds.as_list() == pytest.approx(expected, abs=1e-12)


def test_without_unknown_rows_the_bounds_are_the_auc():
    random = np.random.default_rng(0)
    labels = random.random(200) < 0.3
    scores = np.round(random.normal(size=200), 1)
    weights = random.integers(0, 5, 200).astype(float)
    none = np.zeros(200, dtype=bool)
    assert auc_bounds(labels, scores, none).as_list() == pytest.approx([auc(labels, scores)] * 2)
    weighted = auc(labels, scores, weights)
    assert auc_bounds(labels, scores, none, weights).as_list() == [weighted] * 2


def test_unknown_labels_are_not_read_and_rows_without_weight_are_left_out():
    labels = np.array([0.0, 1.0, math.nan, 1.0, math.nan])
    scores = np.array([0.1, 0.9, 0.5, 0.3, math.nan])
    unknown = np.isnan(labels)
    weights = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    found = auc_bounds(labels, scores, unknown, weights)
    # As a churner it beats the stayer; as a stayer it beats one of the two churners.
    assert found.as_list() == pytest.approx([3 / 4, 1.0])


def test_what_cannot_be_bounded_is_refused():
    labels = np.array([0.0, 1.0, math.nan])
    scores = np.array([0.1, 0.2, 0.3])
    with pytest.raises(NotANumber, match="labels"):
        auc_bounds(labels, scores, np.array([True, False, False]))
    with pytest.raises(DataError, match="boolean"):
        auc_bounds(labels, scores, np.array([0, 0, 1]))
    with pytest.raises(NotANumber, match="scores"):
        auc_bounds(labels, np.array([0.1, math.nan, 0.3]), np.isnan(labels))
    with pytest.raises(DataError, match="both classes"):
        auc_bounds(labels[2:], scores[2:], np.array([True]))


def test_a_few_unknown_labels_of_many_leave_a_narrow_bound():
    random = np.random.default_rng(1)
    scores = random.normal(size=300_000)
    labels = random.random(scores.size) < 1 / (1 + np.exp(1.2 - scores))
    unknown = random.random(scores.size) < 0.01
    found = auc_bounds(labels, scores, unknown)
    area = auc(labels, scores)
    assert found.low < area < found.high
    assert found.high - found.low < 0.1
