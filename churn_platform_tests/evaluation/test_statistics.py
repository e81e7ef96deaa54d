"""Checked rows, intervals, AUC, power and the test against chance, each against an independent source."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.evaluation.statistics import (
    Interval,
    auc,
    chance_p_value,
    checked_labels,
    checked_probabilities,
    checked_scores,
    detectable_difference,
    quantile_of_normal,
    two_sided_p,
)

ROWS = st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=2, max_size=60).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def arrays(rows):
    labels, scores = zip(*rows, strict=True)
    return np.array(labels, dtype=float), np.array(scores, dtype=float)


def test_an_interval_lies_above_a_value_only_when_its_low_end_is_strictly_greater():
    interval = Interval(0.1, 0.3)
    assert interval.above(0.09)
    assert not interval.above(0.1)
    assert interval.below(0.31)
    assert not interval.below(0.3)
    assert interval.as_list() == [0.1, 0.3]
    for low, high, error in (
        (math.nan, 1, NotANumber),
        (0, math.nan, NotANumber),
        (1, 0, DataError),
    ):
        with pytest.raises(error):
            Interval(low, high)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([], DataError, r"shape \(0,\)"),
        ([[0, 1]], DataError, r"shape \(1, 2\)"),
        ([0, 1, math.nan, math.nan], NotANumber, "2 of 4 labels are NaN"),
        ([0, 1, 2], DataError, "a label is 2"),
        ([0, 1, -1], DataError, "a label is -1"),
        ([1, 1, 1], DataError, "all 3 labels are 1"),
        ([False, False], DataError, "all 2 labels are 0"),
    ],
)
def test_labels_that_support_no_score_are_refused_with_the_reason(labels, error, message):
    with pytest.raises(error, match=message):
        checked_labels(np.array(labels))


def test_one_class_is_let_through_where_a_caller_allows_it():
    assert checked_labels(np.array([1.0, 1.0]), two_classes=False).tolist() == [True, True]


@pytest.mark.parametrize(
    ("scores", "error", "message"),
    [
        ([0.1, math.nan, 0.2], NotANumber, "1 of 3 old scores are NaN"),
        ([0.1, math.inf, -math.inf], DataError, "2 of 3 old scores are infinite"),
        ([0.1, 0.2], DataError, r"shape \(2,\) for 3 labels"),
    ],
)
def test_scores_that_cannot_be_ranked_are_refused_with_their_name(scores, error, message):
    with pytest.raises(error, match=message):
        checked_scores("old scores", np.array(scores), 3)


@pytest.mark.parametrize("value", [-1e-9, 1 + 1e-9])
def test_a_probability_outside_zero_to_one_is_refused(value):
    with pytest.raises(DataError, match="1 of 3 probabilities"):
        checked_probabilities("probabilities", np.array([value, 0.0, 1.0]), 3)


@given(ROWS)
@settings(deadline=None, max_examples=100)
def test_auc_equals_scikit_learns_with_ties(rows):
    labels, scores = arrays(rows)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_auc_of_a_million_rows_loses_no_digit():
    labels = np.arange(1_000_000) >= 500_000
    scores = np.arange(1_000_000, dtype=float)
    scores[[499_999, 500_000]] = scores[[500_000, 499_999]]
    assert auc(labels, scores) == 1 - 1 / 500_000**2


def test_the_gain_that_is_seen_with_the_power_asked_for_is_just_that():
    gain = detectable_difference(0.02)
    assert gain == pytest.approx(0.0560317, abs=1e-6)
    assert norm.sf(quantile_of_normal(0.95) - gain / 0.02) == pytest.approx(0.8)
    assert detectable_difference(0.02, power=0.5, level=0.9) == pytest.approx(0.02 * norm.ppf(0.95))
    with pytest.raises(NotANumber):
        detectable_difference(math.nan)


def test_the_two_sided_p_value_keeps_its_digits_far_out():
    assert two_sided_p(-0.02, 0.01) == pytest.approx(2 * norm.sf(2))
    assert two_sided_p(0.3, 0.01) == pytest.approx(2 * norm.sf(30), rel=1e-9)
    assert two_sided_p(0.0, 0.0) == 1.0
    assert two_sided_p(0.1, 0.0) == 0.0


def test_shuffled_labels_fall_under_a_level_as_often_as_the_level_says():
    random = np.random.default_rng(3)
    labels = np.arange(400) < 80
    scores = random.integers(0, 50, 400).astype(float)
    found = np.array([chance_p_value(random.permutation(labels), scores) for _ in range(2000)])
    assert 0.04 <= (found < 0.05).mean() <= 0.06
    assert (found < 0.001).mean() <= 0.003


def test_a_leak_is_far_from_chance_and_a_constant_score_is_at_it():
    labels = np.arange(200) < 50
    assert chance_p_value(labels, labels.astype(float)) < 1e-20
    assert chance_p_value(labels, np.full(200, 0.3)) == 1.0
