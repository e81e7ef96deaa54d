"""Weights of rows: the same as rows repeated, without effect where they are equal, and honest in their intervals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.evaluation.comparison import (
    auc_interval,
    bootstrap_aucs,
    paired_auc_difference,
    paired_brier_difference,
    too_few,
)
from churn_platform.evaluation.curves import calibration_bins, lift_table, roc_curve_points
from churn_platform.evaluation.gain import AucParts, MonthPair, gain_over
from churn_platform.evaluation.metrics import cheapest_threshold, evaluate
from churn_platform.evaluation.statistics import Interval, auc, chance_p_value
from churn_platform.evaluation.weights import (
    effective_count,
    effective_size,
    entity_weights,
    rows_with_weight,
)

ROW = st.tuples(st.booleans(), st.integers(0, 8), st.integers(0, 8), st.integers(0, 4))
ROWS = st.lists(ROW, min_size=4, max_size=40).filter(
    lambda rows: len({label for label, _, _, weight in rows if weight}) == 2
)
COUNTED = {"rows", "churners", "auc_interval", "lift_at_10", "recall_at_10"}
"""The metrics that repeated rows change, or that need a tenth of the rows to be a whole number."""


def arrays(rows):
    """Labels, two models' probabilities and whole weights."""
    labels, ours, theirs, weights = zip(*rows, strict=True)
    return (
        np.array(labels),
        np.array(ours) / 8,
        np.array(theirs) / 8,
        np.array(weights, dtype=float),
    )


def month(seed=0, rows=400):
    """Labels, two models' probabilities with ties, and unlike weights, some of them 0."""
    random = np.random.default_rng(seed)
    ours = np.round(random.beta(1.5, 4, rows), 2)
    labels = random.random(rows) < ours
    theirs = np.clip(np.round(ours + 0.1 * random.normal(size=rows), 2), 0, 1)
    weights = np.where(ours > 0.4, 10.0, 1.0) * (random.random(rows) < 0.8)
    return labels, ours, theirs, weights


def plain(metrics):
    return {name: value for name, value in metrics.as_dict().items() if name not in COUNTED}


def figures(labels, ours, theirs, weights, keys=None):
    """Every figure that the order of the rows and the unit of the weights must not move."""
    difference = paired_auc_difference(labels, ours, theirs, entities=keys, weights=weights)
    brier = paired_brier_difference(labels, ours, theirs, entities=keys, weights=weights)
    metrics = evaluate(labels, ours, 0.4, keys, weights)
    return [
        auc(labels, ours, weights),
        *auc_interval(labels, ours, entities=keys, weights=weights).as_list(),
        difference.difference, difference.standard_error, *difference.interval.as_list(),
        brier.difference, *brier.interval.as_list(),
        chance_p_value(labels, ours, weights),
        cheapest_threshold(labels, ours, 5, 1, weights),
        *calibration_bins(labels, ours, weights).to_numpy().ravel(),
        metrics.rows, metrics.churners, *plain(metrics).values(),
    ]  # fmt: skip


@given(ROWS)
@settings(deadline=None, max_examples=80)
def test_a_whole_weight_is_a_row_repeated_that_often(rows):
    labels, ours, theirs, weights = arrays(rows)
    often = np.repeat(np.arange(labels.size), weights.astype(int))
    repeated = (labels[often], ours[often])
    assert auc(labels, ours, weights) == pytest.approx(auc(*repeated), abs=1e-12)
    found = evaluate(labels, ours, 0.4, weights=weights)
    expected = evaluate(*repeated, 0.4)
    assert plain(found) == pytest.approx(plain(expected), abs=1e-12)
    assert found.rows == (weights > 0).sum()
    assert found.churners == effective_count(weights[labels])
    assert found.auc_interval == auc_interval(labels, ours, weights=weights)
    missed = 1.0 + np.arange(labels.size) % 3
    assert cheapest_threshold(labels, ours, missed, 1, weights) == cheapest_threshold(
        *repeated, missed[often], 1
    )
    bins = ["predicted", "observed"]
    assert calibration_bins(labels, ours, weights)[bins].to_numpy() == pytest.approx(
        calibration_bins(*repeated)[bins].to_numpy()
    )
    brier = paired_brier_difference(labels, ours, theirs, weights=weights)
    again = paired_brier_difference(*repeated, theirs[often])
    assert brier.difference == pytest.approx(again.difference, abs=1e-12)
    assert brier.candidate_brier == pytest.approx(again.candidate_brier)
    # The corners are the same but for those on a straight line.
    curve = roc_curve_points(labels, ours, weights).to_numpy()
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(auc(*repeated))
    tenfold = np.repeat(often, 10)
    assert lift_table(labels, ours, weights).to_numpy() == pytest.approx(
        lift_table(labels[tenfold], ours[tenfold]).to_numpy(), abs=1e-9
    )


@given(st.integers(0, 1000), st.sampled_from([1.0, 1 / 0.9, 0.3, 7.0]), st.booleans())
@settings(deadline=None, max_examples=12)
def test_equal_weights_give_the_figures_and_intervals_of_no_weights(seed, weight, pooled):
    labels, ours, theirs, _ = month(seed, rows=200)
    keys = np.arange(200) % 120 if pooled else None
    equal = np.full(200, weight)
    assert figures(labels, ours, theirs, equal, keys) == pytest.approx(
        figures(labels, ours, theirs, None, keys), abs=1e-9
    )
    parts = AucParts.of(labels, ours, equal)
    expected = AucParts.of(labels, ours)
    assert parts.parts == pytest.approx(expected.parts, rel=1e-9)
    assert (parts.churners, parts.rows) == (expected.churners, expected.rows)


def test_the_interval_of_weighted_rows_is_that_of_a_resampled_truth():
    labels, ours, theirs, weights = month(rows=2000)
    draws = bootstrap_aucs(labels, (ours, theirs), np.arange(2000), weights=weights)
    found = paired_auc_difference(labels, ours, theirs, weights=weights)
    assert found.standard_error == pytest.approx((draws[:, 0] - draws[:, 1]).std(), rel=0.1)
    interval = auc_interval(labels, ours, weights=weights)
    assert (interval.high - interval.low) / 3.92 == pytest.approx(draws[:, 0].std(), rel=0.1)
    naive = auc_interval(labels, ours)
    assert interval.high - interval.low > 1.2 * (naive.high - naive.low)


def test_each_draw_of_weighted_entities_is_the_auc_of_their_weighted_rows():
    labels, ours, theirs, weights = month(rows=90)
    weights += 0.5  # an entity without weight would leave the draw
    keys = np.arange(90) % 30
    found = bootstrap_aucs(labels, (ours, theirs), keys, replicates=20, seed=7, weights=weights)
    random = np.random.default_rng(7)
    for aucs in found:
        times = np.bincount(random.integers(30, size=30), minlength=30)[keys]
        expected = [auc(labels, scores, weights * times) for scores in (ours, theirs)]
        assert aucs == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("unit", [0.1, 3, 1e6, 1e-6])
def test_the_unit_of_the_weights_does_not_matter(unit, pooled):
    labels, ours, theirs, weights = month()
    keys = np.arange(400) % 250 if pooled else None
    assert figures(labels, ours, theirs, unit * weights, keys) == pytest.approx(
        figures(labels, ours, theirs, weights, keys), abs=1e-9
    )
    assert lift_table(labels, ours, unit * weights).to_numpy() == pytest.approx(
        lift_table(labels, ours, weights).to_numpy()
    )


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=10)
def test_the_order_of_the_rows_does_not_matter(seed):
    labels, ours, theirs, weights = month(seed)
    mixed = np.random.default_rng(seed).permutation(400)
    moved = figures(labels[mixed], ours[mixed], theirs[mixed], weights[mixed])
    assert moved == pytest.approx(figures(labels, ours, theirs, weights), abs=1e-12)
    unlike = weights / (1.1 + np.arange(400) % 7)
    assert auc(labels[mixed], ours[mixed], unlike[mixed]) == auc(labels, ours, unlike)


def test_a_last_row_of_next_to_no_weight_adds_no_bin():
    labels = np.arange(1000) % 3 == 0
    weights = np.ones(1000)
    weights[-1] = 1e-12
    assert len(calibration_bins(labels, np.arange(1000) / 1000, weights)) == 10


@pytest.mark.parametrize("pooled", [False, True])
def test_rows_without_weight_are_left_out_whatever_they_hold(pooled):
    labels, ours, theirs, weights = month()
    keys = np.arange(400) % 250 if pooled else None
    kept = weights > 0
    spoiled = [np.where(kept, column, math.nan) for column in (labels.astype(float), ours, theirs)]
    without = (labels[kept], ours[kept], theirs[kept], weights[kept])
    assert figures(*spoiled, weights, keys) == figures(*without, keys[kept] if pooled else None)
    parts = AucParts.of(*spoiled[:2], weights)
    expected = AucParts.of(labels[kept], ours[kept], weights[kept])
    assert np.array_equal(parts.parts[kept], expected.parts)
    assert not parts.parts[~kept].any()
    assert (parts.rows, parts.auc, parts.churners) == (
        kept.sum(), expected.auc, expected.churners
    )  # fmt: skip


JUDGES = {
    "auc": auc,
    "auc_interval": lambda y, p, w: auc_interval(y, p, weights=w),
    "paired_auc": lambda y, p, w: paired_auc_difference(y, p, p[::-1], weights=w),
    "paired_brier": lambda y, p, w: paired_brier_difference(y, p, p[::-1], weights=w),
    "evaluate": lambda y, p, w: evaluate(y, p, 0.5, weights=w),
    "threshold": lambda y, p, w: cheapest_threshold(y, p, 5, 1, w),
    "calibration": calibration_bins,
    "roc": roc_curve_points,
    "lift": lift_table,
    "chance": chance_p_value,
    "parts": AucParts.of,
}
ONE_CLASS = {"paired_brier", "threshold", "calibration", "parts"}


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize(
    ("wrong", "error"),
    [(math.nan, NotANumber), (-1.0, DataError), (math.inf, DataError), (None, DataError)],
)
def test_weights_that_are_no_weights_are_refused(judge, wrong, error):
    labels, ours, _, weights = month()
    broken = weights[1:] if wrong is None else np.where(np.arange(400) == 3, wrong, weights)
    with pytest.raises(error, match="weight"):
        JUDGES[judge](labels, ours, broken)


@pytest.mark.parametrize("judge", sorted(set(JUDGES) - ONE_CLASS))
def test_a_class_without_weight_is_a_class_that_is_not_there(judge):
    labels, ours, _, weights = month()
    with pytest.raises(DataError, match="both classes"):
        JUDGES[judge](labels, ours, np.where(labels, 0.0, weights))


def test_one_class_is_allowed_where_it_was_and_parts_need_two_effective_rows_of_each():
    labels, ours, theirs, weights = month()
    stayers = np.where(labels, 0.0, weights)
    assert calibration_bins(labels, ours, stayers)["observed"].max() == 0
    assert cheapest_threshold(labels, ours, 5, 1, stayers) == 1.0
    assert paired_brier_difference(labels, ours, theirs, weights=stayers).candidate_brier > 0
    assert AucParts.of(labels, ours, stayers) is None
    assert AucParts.of(labels, ours, np.zeros(400)) is None
    heavy = np.ones(400)
    heavy[np.flatnonzero(labels)[0]] = 1e6
    assert effective_count(heavy[labels]) == 1
    assert AucParts.of(labels, ours, heavy) is None


def test_one_heavy_customer_leaves_everything_open():
    labels, ours, theirs, _ = month()
    heavy = np.ones(400)
    heavy[np.flatnonzero(labels)[0]] = 1e6
    found = paired_auc_difference(labels, ours, theirs, weights=heavy)
    assert (found.interval, found.standard_error, found.p_value) == (Interval(-1.0, 1.0), 1.0, 1.0)
    assert auc_interval(labels, ours, weights=heavy) == Interval(0.0, 1.0)
    brier = paired_brier_difference(labels, ours, theirs, weights=heavy)
    assert brier.interval == Interval(-1.0, 1.0)
    assert too_few(labels, np.arange(400), heavy)
    assert not too_few(labels, np.arange(400), np.ones(400))


def test_the_effective_size_is_kishs():
    assert effective_size(np.array([])) == 0.0
    assert effective_size(np.zeros(3)) == 0.0
    assert effective_size(np.array([1.0, 3.0])) == pytest.approx(16 / 10)
    assert effective_size(np.array([5.0, 0.0, 0.0])) == 1.0
    for weight in (1 / 0.9, 0.1, 1e-200, 1e200):
        assert effective_size(np.full(49, weight)) == 49.0
        assert effective_count(np.full(49, weight)) == 49


def test_an_entity_weighs_the_mean_of_its_rows():
    weights = entity_weights(np.array([0, 2, 2, 5]), np.array([4.0, 1.0, 2.0, 7.0]))
    assert weights.tolist() == [4.0, 1.5, 7.0]


def test_columns_follow_the_rows_that_have_weight():
    kept, single, none, weights = rows_with_weight(
        np.array([0, 2, 1]), np.array(["a", "b", "c"]), 7.0, None
    )
    assert (kept.tolist(), single, none, weights.tolist()) == (["b", "c"], 7.0, None, [2.0, 1.0])


def test_months_weigh_by_their_effective_churners_and_customers_are_summed_over_months():
    labels, ours, theirs, weights = month(rows=1000)
    few = np.where(np.arange(1000) < 300, weights, 0.0)
    keys = np.arange(1000)
    pairs = [
        MonthPair(as_of, keys, AucParts.of(labels, ours, w), AucParts.of(labels, theirs, w))
        for as_of, w in (("2024-01-31", few), ("2024-02-29", weights))
    ]
    found = gain_over(pairs)
    churners = [effective_count(w[labels & (w > 0)]) for w in (few, weights)]
    assert [pair.candidate.churners for pair in pairs] == churners
    assert found.churners == sum(churners)
    assert found.rows == (few > 0).sum() + (weights > 0).sum()
    aucs = [auc(labels, ours, w) for w in (few, weights)]
    assert found.candidate_auc == pytest.approx(np.average(aucs, weights=churners))
    one = paired_auc_difference(labels, ours, theirs, weights=weights)
    assert gain_over(pairs[1:]).standard_error == pytest.approx(one.standard_error, rel=1e-9)
    twice = [pairs[1], MonthPair("2024-03-31", keys, pairs[1].candidate, pairs[1].incumbent)]
    assert gain_over(twice).standard_error == pytest.approx(one.standard_error, rel=1e-9)
    chance = pairs[0].candidate.of_chance()
    assert (chance.auc, chance.rows) == (0.5, (few > 0).sum())


def test_weighted_p_values_against_chance_are_uniform_where_labels_are_dealt_out():
    random = np.random.default_rng(3)
    scores = np.round(random.normal(size=600), 1)
    weights = np.where(scores > 1, 10.0, 1.0)
    labels = np.arange(600) < 150
    found = [chance_p_value(random.permutation(labels), scores, weights) for _ in range(1000)]
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(np.array(found) < 0.5) == pytest.approx(0.5, abs=0.05)
    seen = scores > np.quantile(scores, 0.75)
    assert chance_p_value(seen, scores, weights) < 1e-6
    assert chance_p_value(labels, np.ones(600), weights) == 1.0


UNTOUCHED = 0.1
"""The share of the list that no one contacts, at random; the others' labels are spoiled."""


def churn_chance(latent):
    return 1 / (1 + np.exp(1.5 - latent))


def test_registered_probabilities_give_back_the_auc_and_an_interval_that_covers_it():
    random = np.random.default_rng(17)
    found = []
    covered = 0
    naive = []
    everyone = norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    churn = churn_chance(everyone)
    stay = 1 - churn
    truth = churn @ (np.cumsum(stay) - stay / 2) / (churn.sum() * stay.sum())
    for _ in range(500):
        latent = random.normal(size=3000)
        labels = random.random(3000) < churn_chance(latent)
        listed = latent > np.quantile(latent, 0.8)
        assigned = listed & (random.random(3000) >= UNTOUCHED)
        spoiled = labels & ~(assigned & (random.random(3000) < 0.5))
        weights = np.where(assigned, 0.0, np.where(listed, 1 / UNTOUCHED, 1.0))
        found.append(auc(spoiled, latent, weights))
        naive.append(auc(spoiled, latent))
        interval = auc_interval(spoiled, latent, weights=weights)
        covered += interval.low <= truth <= interval.high
    assert np.mean(naive) < truth - 0.06
    # A ratio of weighted sums is off by the order of one over the effective size: 0.1 standard
    # errors with these 140 effective churners.
    assert np.mean(found) == pytest.approx(truth, abs=0.2 * np.std(found))
    assert 0.93 <= covered / 500 <= 0.97
