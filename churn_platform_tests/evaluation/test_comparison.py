"""Intervals of one AUC and of paired differences: against slow definitions, and against their promised coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, ttest_rel

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.evaluation.comparison import (
    AucDifference,
    auc_interval,
    bootstrap_aucs,
    paired_auc_difference,
    paired_brier_difference,
    percentile_interval,
)
from churn_platform.evaluation.statistics import Interval, auc

Z95 = norm.ppf(0.975)


def two_models(seed=0, rows=300, churners=60, digits=1):
    """Correlated scores of a better and a worse model, rounded so that ties occur."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows) < churners
    shared = random.normal(size=rows)
    better = shared + 1.0 * labels
    worse = 0.6 * shared + 0.8 * random.normal(size=rows) + 0.5 * labels
    return labels, np.round(better, digits), np.round(worse, digits)


def probabilities(scores):
    return 1 / (1 + np.exp(-scores))


def naive_standard_error(labels, models, contrast):
    """DeLong, DeLong and Clarke-Pearson (1988), by comparing every churner with every stayer."""
    placed = []
    for scores in models:
        ours = scores[labels][:, None]
        theirs = scores[~labels][None, :]
        wins = (ours > theirs) + 0.5 * (ours == theirs)
        placed.append((wins.mean(axis=1), wins.mean(axis=0)))
    churners = np.atleast_2d(np.cov([a for a, _ in placed])) / labels.sum()
    stayers = np.atleast_2d(np.cov([b for _, b in placed])) / (~labels).sum()
    return math.sqrt(contrast @ (churners + stayers) @ contrast)


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_the_paired_difference_is_delongs_with_and_without_ties(digits):
    labels, better, worse = two_models(digits=digits)
    found = paired_auc_difference(labels, better, worse)
    error = naive_standard_error(labels, (better, worse), np.array([1.0, -1.0]))
    assert found.standard_error == pytest.approx(error, rel=1e-10)
    assert found == paired_auc_difference(labels, better, worse, entities=np.arange(300))
    assert found.difference == auc(labels, better) - auc(labels, worse)
    assert (found.candidate_auc, found.production_auc) == (auc(labels, better), auc(labels, worse))
    ends = [found.difference - Z95 * error, found.difference + Z95 * error]
    assert found.interval.as_list() == pytest.approx(ends, rel=1e-9)
    assert found.p_value == pytest.approx(2 * norm.sf(found.difference / error), rel=1e-9)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_the_interval_of_one_auc_is_delongs(level):
    labels, better, _ = two_models()
    half = norm.ppf((1 + level) / 2) * naive_standard_error(labels, (better,), np.array([1.0]))
    centre = auc(labels, better)
    assert auc_interval(labels, better, level).as_list() == pytest.approx(
        [centre - half, centre + half]
    )


def test_the_interval_of_an_auc_is_clipped_to_zero_and_one():
    labels = np.array([0, 0, 0, 1, 1])
    scores = np.array([0.1, 0.2, 0.6, 0.5, 0.9])
    assert auc_interval(labels, scores).high == 1.0
    assert auc_interval(labels, -scores).low == 0.0


def test_the_interval_covers_the_true_difference_as_often_as_it_says():
    random = np.random.default_rng(11)
    truth = norm.cdf(1.0 / math.sqrt(2)) - norm.cdf(0.5 / math.sqrt(2))
    labels = np.arange(260) < 60
    differences = 0
    singles = 0
    for _ in range(400):
        shared = random.normal(size=260)
        better = shared + labels
        worse = 0.6 * shared + 0.8 * random.normal(size=260) + 0.5 * labels
        interval = paired_auc_difference(labels, better, worse).interval
        differences += interval.low <= truth <= interval.high
        single = auc_interval(labels, better)
        singles += single.low <= norm.cdf(1.0 / math.sqrt(2)) <= single.high
    assert 0.92 <= differences / 400 <= 0.98
    assert 0.92 <= singles / 400 <= 0.98


def test_the_bootstrap_covers_where_months_of_the_same_customers_are_pooled_and_delong_does_not():
    random = np.random.default_rng(5)
    keys = np.repeat(np.arange(150), 4)
    by_entity = 0
    by_row = 0
    for _ in range(150):
        # Two models of one worth, each with its own lasting opinion of every customer: the truth is 0.
        kept, one, other = (np.repeat(random.normal(size=150), 4) for _ in range(3))
        labels = kept + 0.3 * random.normal(size=keys.size) > 0.8
        ours = kept + 2 * one
        theirs = kept + 2 * other
        draws = bootstrap_aucs(labels, (ours, theirs), keys, replicates=200)
        clustered = percentile_interval(draws[:, 0] - draws[:, 1], 0.95)
        by_entity += clustered.low <= 0 <= clustered.high
        delong = paired_auc_difference(labels, ours, theirs).interval
        by_row += delong.low <= 0 <= delong.high
    assert by_entity / 150 >= 0.9
    assert by_row / 150 <= 0.8


@pytest.mark.parametrize("pooled", [False, True])
def test_swapping_the_models_negates_the_interval(pooled):
    labels, better, worse = two_models()
    keys = np.arange(300) % 120 if pooled else None
    there = paired_auc_difference(labels, better, worse, entities=keys)
    back = paired_auc_difference(labels, worse, better, entities=keys)
    assert back.difference == -there.difference
    assert [back.interval.low, back.interval.high] == pytest.approx(
        [-there.interval.high, -there.interval.low]
    )
    assert back.p_value == there.p_value
    assert there.interval.above(0)
    assert not back.interval.above(0)


@given(st.integers(0, 1000), st.booleans())
@settings(deadline=None, max_examples=10)
def test_a_rising_transform_of_one_model_changes_nothing(seed, pooled):
    labels, better, worse = two_models(seed, rows=80, churners=25)
    keys = np.arange(80) % 50 if pooled else None
    plain = paired_auc_difference(labels, better, worse, entities=keys)
    assert paired_auc_difference(labels, np.exp(better), 5 * worse - 2, entities=keys) == plain


@pytest.mark.parametrize("keys", [None, np.arange(300) % 100, np.zeros(300)])
def test_identical_scores_differ_by_exactly_nothing(keys):
    labels, better, _ = two_models()
    found = paired_auc_difference(labels, better, better.copy(), entities=keys)
    assert found == AucDifference(*[auc(labels, better)] * 2, 0.0, Interval(0.0, 0.0), 0.0, 1.0)


@pytest.mark.parametrize("copies", [2, 5])
def test_copies_of_the_same_rows_do_not_narrow_a_clustered_interval(copies):
    labels, better, worse = two_models()
    keys = np.arange(300)
    rows = np.tile(keys, copies)
    once = bootstrap_aucs(labels, (better, worse), keys)
    found = paired_auc_difference(labels[rows], better[rows], worse[rows], entities=rows)
    assert found.interval.as_list() == pytest.approx(
        percentile_interval(once[:, 0] - once[:, 1], 0.95).as_list()
    )
    single = auc_interval(labels[rows], better[rows], entities=rows)
    assert single.as_list() == pytest.approx(percentile_interval(once[:, 0], 0.95).as_list())
    ours = probabilities(better)
    theirs = probabilities(worse)
    brier = paired_brier_difference(labels[rows], ours[rows], theirs[rows], entities=rows)
    alone = paired_brier_difference(labels, ours, theirs)
    assert brier.interval.as_list() == pytest.approx(alone.interval.as_list())


def test_a_single_churner_leaves_everything_open():
    labels = np.array([0, 0, 0, 1])
    one = np.array([0.1, 0.2, 0.3, 0.9])
    other = np.array([0.5, 0.1, 0.9, 0.3])
    found = paired_auc_difference(labels, one, other)
    assert (found.interval, found.standard_error, found.p_value) == (Interval(-1.0, 1.0), 1.0, 1.0)
    assert found.difference == pytest.approx(1.0 - 1 / 3)
    assert auc_interval(labels, one) == Interval(0.0, 1.0)


def test_the_brier_difference_is_the_paired_mean_with_its_usual_error():
    labels, better, worse = two_models()
    ours = probabilities(better - 1.5)
    theirs = probabilities(worse)
    found = paired_brier_difference(labels, ours, theirs)
    one = (ours - labels) ** 2
    other = (theirs - labels) ** 2
    error = (one - other).std(ddof=1) / math.sqrt(300)
    assert found.difference == pytest.approx(one.mean() - other.mean())
    assert (found.candidate_brier, found.production_brier) == (one.mean(), other.mean())
    ends = [found.difference - Z95 * error, found.difference + Z95 * error]
    assert found.interval.as_list() == pytest.approx(ends)
    assert found.difference / error == pytest.approx(ttest_rel(one, other).statistic)
    assert found.interval.below(0)


def test_the_brier_difference_of_one_row_or_one_entity_is_open_and_of_identical_models_is_zero():
    one = np.array([0.9, 0.8])
    other = np.array([0.5, 0.5])
    labels = np.array([1, 1])
    assert paired_brier_difference(labels[:1], one[:1], other[:1]).interval == Interval(-1.0, 1.0)
    assert paired_brier_difference(
        labels, one, other, entities=np.array([7, 7])
    ).interval == Interval(-1.0, 1.0)
    same = paired_brier_difference(labels, one, one)
    assert (same.difference, same.interval) == (0.0, Interval(0.0, 0.0))


@pytest.mark.parametrize("compare", [paired_auc_difference, paired_brier_difference])
@pytest.mark.parametrize("spoiled", [0, 1, 2])
def test_a_nan_on_either_side_or_in_the_labels_stops_the_comparison(compare, spoiled):
    labels, better, worse = two_models()
    arguments = [labels.astype(float), probabilities(better), probabilities(worse)]
    arguments[spoiled][5] = math.nan
    whose = ["labels", "candidate", "production"][spoiled]
    with pytest.raises(NotANumber, match=whose):
        compare(*arguments)


@pytest.mark.parametrize("compare", [paired_auc_difference, paired_brier_difference])
def test_rows_dropped_on_one_side_are_refused(compare):
    labels, better, worse = two_models()
    with pytest.raises(DataError, match=r"production .*\(299,\) for 300"):
        compare(labels, probabilities(better), probabilities(worse)[1:])
