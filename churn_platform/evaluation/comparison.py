"""Confidence intervals of an AUC, and of the difference of two models on the same rows.

With a single churner, stayer or entity the interval is the entire range. Where no stayer scores
above any churner it has no width, however few they are: ask for enough churners first.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from churn_platform.base.errors import DataError
from churn_platform.evaluation.statistics import (
    BoolArray,
    FloatArray,
    IntArray,
    Interval,
    KeyArray,
    LabelArray,
    auc,
    checked_labels,
    checked_probabilities,
    checked_scores,
    normal_interval,
    two_sided_p,
)
from churn_platform.evaluation.weights import (
    effective_count,
    effective_size,
    entity_weights,
    rows_with_weight,
    weight_below,
    weighted_mean,
)

FEWEST = 2  # a variance needs two of a kind


@dataclass(frozen=True)
class AucDifference:
    """Candidate minus production on the same rows; `p_value` is two-sided, against no
    difference.
    """

    candidate_auc: float
    production_auc: float
    difference: float
    interval: Interval
    standard_error: float
    p_value: float


@dataclass(frozen=True)
class BrierDifference:
    """Candidate minus production on the same rows; below 0 the candidate's probabilities are
    the better.
    """

    candidate_brier: float
    production_brier: float
    difference: float
    interval: Interval


def auc_interval(
    labels: LabelArray,
    scores: FloatArray,
    level: float = 0.95,
    entities: KeyArray | None = None,
    weights: FloatArray | None = None,
) -> Interval:
    """Two-sided interval of an AUC, within [0, 1]; arguments and errors as
    `paired_auc_difference`.
    """
    if weights is not None:
        labels, scores, entities, weights = rows_with_weight(weights, labels, scores, entities)
    churned = checked_labels(labels)
    values = checked_scores("scores", scores, churned.size)
    codes = _row_codes(entities, churned.size)
    if too_few(churned, codes, weights):
        return Interval(0.0, 1.0)
    if codes.max() + 1 < codes.size:  # an entity repeats
        draws = bootstrap_aucs(churned, (values,), codes, weights=weights)
        return percentile_interval(draws[:, 0], level)
    area = auc(churned, values, weights)
    if weights is None:
        error = _standard_error(*placements(churned, values))
    else:
        error = _root_of_squares(influence(churned, values, area, weights))
    return normal_interval(area, error, level, least=0.0)


def paired_auc_difference(
    labels: LabelArray,
    candidate: FloatArray,
    production: FloatArray,
    level: float = 0.95,
    entities: KeyArray | None = None,
    weights: FloatArray | None = None,
) -> AucDifference:
    """AUC of the candidate minus production's: DeLong (1988), or a paired bootstrap where
    entities repeat.

    With weights DeLong's variance is the sum of squares of the rows' weighted influence values
    (`influence`), and the bootstrap draws entities whose rows keep their weights.

    Args:
        labels: shape (n,), 0 or 1, both classes present.
        candidate: its scores, shape (n,), finite; only their order matters, so any scale will
            do.
        production: its scores on the same rows.
        level: of the two-sided interval.
        entities: shape (n,), the key of each row where months are pooled; None when no entity
            repeats. The same rows, in any order, give the same interval.
        weights: shape (n,), finite and >= 0; rows of weight 0 are left out. None: all alike.

    Raises:
        NotANumber: a label, a score or a weight is NaN.
        DataError: no rows, one class, unlike shapes, an infinite score, a missing entity, or a
            weight that is negative or infinite.
    """
    if weights is not None:
        labels, candidate, production, entities, weights = rows_with_weight(
            weights, labels, candidate, production, entities
        )
    churned = checked_labels(labels)
    ours = checked_scores("candidate scores", candidate, churned.size)
    theirs = checked_scores("production scores", production, churned.size)
    codes = _row_codes(entities, churned.size)
    aucs = auc(churned, ours, weights), auc(churned, theirs, weights)
    gain = aucs[0] - aucs[1]
    if np.array_equal(ours, theirs):
        return AucDifference(*aucs, 0.0, Interval(0.0, 0.0), 0.0, 1.0)
    if too_few(churned, codes, weights):
        # 1 is the largest standard error that a number between -1 and 1 can have.
        return AucDifference(*aucs, gain, Interval(-1.0, 1.0), 1.0, 1.0)
    if codes.max() + 1 < codes.size:  # an entity repeats
        draws = bootstrap_aucs(churned, (ours, theirs), codes, weights=weights)
        gains = draws[:, 0] - draws[:, 1]
        interval = percentile_interval(gains, level)
        return AucDifference(*aucs, gain, interval, float(gains.std(ddof=1)), draws_p_value(gains))
    # The variance of the paired differences contains the covariance of the two models.
    if weights is None:
        our_churners, our_stayers = placements(churned, ours)
        their_churners, their_stayers = placements(churned, theirs)
        error = _standard_error(our_churners - their_churners, our_stayers - their_stayers)
    else:
        error = _root_of_squares(
            influence(churned, ours, aucs[0], weights)
            - influence(churned, theirs, aucs[1], weights)
        )
    return AucDifference(
        *aucs, gain, normal_interval(gain, error, level), error, two_sided_p(gain, error)
    )


def paired_brier_difference(
    labels: LabelArray,
    candidate: FloatArray,
    production: FloatArray,
    level: float = 0.95,
    entities: KeyArray | None = None,
    weights: FloatArray | None = None,
) -> BrierDifference:
    """Brier score (mean squared error, Brier 1950) of the candidate minus production's, on the
    same rows.

    The interval is normal round the mean of the rows' differences, with the cluster-robust
    variance of Liang and Zeger (1986), which is the usual one where no entity repeats.

    Args:
        labels: shape (n,), 0 or 1; one class is allowed.
        candidate: its probabilities, shape (n,).
        production: its probabilities on the same rows.
        level: of the two-sided interval.
        entities: shape (n,), the key of each row; None when no entity repeats.
        weights: shape (n,), finite and >= 0; rows of weight 0 are left out. None: all alike.

    Raises:
        NotANumber: a label, a probability or a weight is NaN.
        DataError: no rows, unlike shapes, a probability outside [0, 1], a missing entity, or a
            weight that is negative or infinite.
    """
    if weights is not None:
        labels, candidate, production, entities, weights = rows_with_weight(
            weights, labels, candidate, production, entities
        )
    churned = checked_labels(labels, two_classes=False)
    ours = (
        checked_probabilities("candidate probabilities", candidate, churned.size) - churned
    ) ** 2
    theirs = (
        checked_probabilities("production probabilities", production, churned.size) - churned
    ) ** 2
    change = ours - theirs
    codes = _row_codes(entities, churned.size)
    return BrierDifference(
        candidate_brier=weighted_mean(ours, weights),
        production_brier=weighted_mean(theirs, weights),
        difference=weighted_mean(change, weights),
        interval=_clustered_interval(change, codes, level, weights),
    )


def _row_codes(entities: KeyArray | None, rows: int) -> IntArray:
    """The entity of each row; without keys every row is its own."""
    if entities is None:
        return np.arange(rows)
    return entity_codes(entities, rows)


def placements(
    churned: BoolArray, scores: FloatArray, weights: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Share of stayers below each churner, shape (n1,), and of churners above each stayer,
    shape (n0,).

    Both by three mid-rankings, in n log n (Sun and Xu 2014, IEEE Signal Processing Letters 21).
    With weights, all > 0, the shares are of the weight of the other class.
    """
    from scipy.stats import rankdata

    if weights is not None:
        churners = weights[churned]
        stayers = weights[~churned]
        below = weight_below(scores[~churned], stayers, scores[churned])
        under = weight_below(scores[churned], churners, scores[~churned])
        return below / stayers.sum(), 1 - under / churners.sum()
    ranks = rankdata(scores)
    beaten = (ranks[churned] - rankdata(scores[churned])) / (~churned).sum()
    beating = 1 - (ranks[~churned] - rankdata(scores[~churned])) / churned.sum()
    return beaten, beating


def _standard_error(of_churners: FloatArray, of_stayers: FloatArray) -> float:
    """DeLong's root of S10 / n1 + S01 / n0."""
    variance = of_churners.var(ddof=1) / of_churners.size + of_stayers.var(ddof=1) / of_stayers.size
    return math.sqrt(float(variance))


def influence(
    churned: BoolArray, scores: FloatArray, area: float, weights: FloatArray | None = None
) -> FloatArray:
    """How far each row moves the AUC `area`, shape (n,); the sum of their squares is its
    variance.

    A row's share of the weight of its class times the distance of its placement from the AUC.
    The correction sqrt(n / (n - 1)), with the effective size n of the class, makes the variance
    exactly DeLong's where all weights are equal.

    Args:
        churned: shape (n,), at least two of each class.
        scores: shape (n,), finite.
        area: the AUC of these rows under these weights.
        weights: shape (n,), all > 0.
    """
    parts = np.empty(scores.size)
    beaten, beating = placements(churned, scores, weights)
    for own, placed in ((churned, beaten), (~churned, beating)):
        if weights is None:
            parts[own] = (placed - area) / math.sqrt(placed.size * (placed.size - 1))
        else:
            size = effective_size(weights[own])
            share = weights[own] / weights[own].sum()
            parts[own] = (placed - area) * share * math.sqrt(size / (size - 1))
    return parts


def _root_of_squares(parts: FloatArray) -> float:
    return math.sqrt(float(parts @ parts))


def _clustered_interval(
    values: FloatArray, codes: IntArray, level: float, weights: FloatArray | None
) -> Interval:
    """Normal interval of a mean of values within [-1, 1], whose rows of one entity may be
    alike.
    """
    error = clustered_error(values, codes, weights)
    if math.isinf(error):
        return Interval(-1.0, 1.0)
    return normal_interval(weighted_mean(values, weights), error, level)


def clustered_error(values: FloatArray, codes: IntArray, weights: FloatArray | None) -> float:
    """Standard error of a mean of values whose rows of one entity may be alike (Liang and Zeger
    1986); infinite with fewer than two entities.

    Args:
        values: shape (n,), finite.
        codes: shape (n,), the entity of each row, numbered from 0.
        weights: shape (n,), all > 0. None: all alike.
    """
    away = values - weighted_mean(values, weights)
    if weights is None:
        sums = np.bincount(codes, weights=away)
        size = float(sums.size)
        total = float(values.size)
    else:
        by_entity = entity_weights(codes, weights)
        sums = np.bincount(codes, weights=weights * away)
        size = effective_size(by_entity)
        total = float(weights.sum())
        if effective_count(by_entity) < FEWEST:
            return math.inf
    if size < FEWEST:
        return math.inf
    return math.sqrt(float(sums @ sums) * size / (size - 1)) / total


@dataclass(frozen=True)
class _WeightedAuc:
    """AUC of one model's rows under any weights of their entities, sorted once.

    `stayers` (n0,) are the stayers' entities by rising score, `churners` (n1,) the churners'
    entities; each churner beats the stayers before `first` and ties with those from `first` to
    `last`. `stayer_weights` and `churner_weights` are their rows' own weights, if there are any.
    """

    stayers: IntArray
    churners: IntArray
    first: IntArray
    last: IntArray
    stayer_weights: FloatArray | None = None
    churner_weights: FloatArray | None = None

    @classmethod
    def of(
        cls,
        churned: BoolArray,
        scores: FloatArray,
        codes: IntArray,
        weights: FloatArray | None = None,
    ) -> "_WeightedAuc":
        """Sort the rows of one model; all arrays are (n,)."""
        order = np.argsort(scores[~churned])
        ordered = scores[~churned][order]
        first = np.searchsorted(ordered, scores[churned], side="left")
        last = np.searchsorted(ordered, scores[churned], side="right")
        found = cls(codes[~churned][order], codes[churned], first, last)
        if weights is None:
            return found
        return replace(
            found,
            stayer_weights=weights[~churned][order],
            churner_weights=weights[churned],
        )

    def under(self, weights: FloatArray) -> float:
        """The AUC when entity i counts `weights[i]` times; both classes must keep some weight."""
        stayers = weights[self.stayers]
        churners = weights[self.churners]
        if self.stayer_weights is not None:
            stayers = stayers * self.stayer_weights
        if self.churner_weights is not None:
            churners = churners * self.churner_weights
        beaten = np.concatenate(([0.0], np.cumsum(stayers)))
        # Not a dot product: BLAS starts its threads for each, 2.7 ms against 0.02 at 25,000
        # churners.
        wins = (churners * (beaten[self.first] + beaten[self.last])).sum() / 2
        return float(wins / (churners.sum() * beaten[-1]))


def entity_codes(entities: KeyArray, rows: int, *, sort: bool = True) -> IntArray:
    """Entities numbered from 0, of shape (rows,); in their order if `sort`, which takes longer.

    Raises:
        DataError: another shape than (rows,), or an entity that is missing.
    """
    if np.shape(entities) != (rows,):
        raise DataError(
            f"entities have the shape {np.shape(entities)} for {rows} labels: pass one per label"
        )
    # Sorted, so the draws do not depend on the order in which a join returns the rows.
    codes: IntArray = pd.factorize(np.asarray(entities), sort=sort)[0].astype(np.int64)
    if codes.min() < 0:
        raise DataError(
            f"{int((codes < 0).sum())} of {rows} entities are missing: each row needs its key"
        )
    return codes


def too_few(churned: BoolArray, codes: IntArray, weights: FloatArray | None = None) -> bool:
    """Whether fewer than two entities churned or stayed, so no variance can be estimated.

    With weights, all > 0, entities count by their effective number.
    """
    if weights is not None:
        classes = (churned, ~churned)
        return any(
            effective_count(entity_weights(codes[own], weights[own])) < FEWEST for own in classes
        )
    return min(np.unique(codes[churned]).size, np.unique(codes[~churned]).size) < FEWEST


def bootstrap_aucs(
    labels: LabelArray,
    models: tuple[FloatArray, ...],
    entities: KeyArray,
    *,
    replicates: int = 1000,
    seed: int = 0,
    weights: FloatArray | None = None,
) -> FloatArray:
    """AUCs of shape (replicates, models) when entities, with all their rows, are drawn with
    replacement.

    Every model sees the same draws, so differences of columns are paired (cluster bootstrap,
    Field and Welsh 2007). `models` holds scores of shape (n,) each. Where the rows have
    weights of shape (n,), a row counts its weight as often as its entity is drawn.

    Raises:
        NotANumber: a label or a score is NaN.
        DataError: one class, unlike shapes, or fewer than two entities with churned rows or
            with stayed rows.
    """
    if weights is not None:
        labels, entities, *models_left, weights = rows_with_weight(
            weights, labels, entities, *models
        )
        models = tuple(models_left)
    churned = checked_labels(labels)
    codes = entity_codes(entities, churned.size)
    if too_few(churned, codes, weights):
        raise DataError(
            "fewer than two entities churned, or fewer than two stayed: pool more months"
        )
    sorted_once = [
        _WeightedAuc.of(churned, checked_scores("scores", m, churned.size), codes, weights)
        for m in models
    ]
    count = int(codes.max()) + 1
    churners = np.unique(codes[churned])
    stayers = np.unique(codes[~churned])
    random = np.random.default_rng(seed)
    aucs = np.empty((replicates, len(models)), dtype=np.float64)
    done = 0
    while done < replicates:
        drawn = np.bincount(random.integers(count, size=count), minlength=count).astype(np.float64)
        # A draw without churners or stayers has no AUC; `too_few` keeps that to one draw in
        # seven.
        if drawn[churners].any() and drawn[stayers].any():
            aucs[done] = [model.under(drawn) for model in sorted_once]
            done += 1
    return aucs


def percentile_interval(draws: FloatArray, level: float) -> Interval:
    """The middle `level` of the draws, shape (replicates,)."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def draws_p_value(draws: FloatArray) -> float:
    """Twice the smaller share of draws on one side of 0, never 0 itself (Davison and Hinkley
    1997, 4.2).
    """
    sides = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return min(1.0, 2 * (sides + 1) / (draws.size + 1))
