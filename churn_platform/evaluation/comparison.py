"""Confidence intervals of an AUC, and of the difference of two models on the same rows.

With a single churner, stayer or entity the interval is the entire range. Where no stayer scores
above any churner it has no width, however few they are: ask for enough churners first.
"""

import math
from dataclasses import dataclass

import numpy as np

from churn_platform.evaluation.bootstrap import (
    FEWEST,
    bootstrap_aucs,
    draws_p_value,
    entity_codes,
    percentile_interval,
    too_few,
)
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
    quantile_of_normal,
    two_sided_p,
)


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
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> Interval:
    """Two-sided interval of an AUC, within [0, 1]; arguments and errors as
    `paired_auc_difference`.
    """
    churned = checked_labels(labels)
    values = checked_scores("scores", scores, churned.size)
    codes = _row_codes(entities, churned.size)
    if too_few(churned, codes):
        return Interval(0.0, 1.0)
    if _repeats(codes):
        draws = bootstrap_aucs(churned, (values,), codes, replicates=replicates, seed=seed)
        return percentile_interval(draws[:, 0], level)
    error = _standard_error(*placements(churned, values))
    return _normal_interval(auc(churned, values), error, level, least=0.0)


def paired_auc_difference(
    labels: LabelArray,
    candidate: FloatArray,
    production: FloatArray,
    level: float = 0.95,
    entities: KeyArray | None = None,
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> AucDifference:
    """AUC of the candidate minus production's: DeLong (1988), or a paired bootstrap where
    entities repeat.

    Args:
        labels: shape (n,), 0 or 1, both classes present.
        candidate: its scores, shape (n,), finite; only their order matters, so any scale will
            do.
        production: its scores on the same rows.
        level: of the two-sided interval.
        entities: shape (n,), the key of each row where months are pooled; None when no entity
            repeats.
        replicates: draws of the bootstrap.
        seed: of the bootstrap; the same rows, in any order, give the same interval.

    Raises:
        NotANumber: a label or a score is NaN.
        DataError: no rows, one class, unlike shapes, an infinite score, or a missing entity.
    """
    churned = checked_labels(labels)
    ours = checked_scores("candidate scores", candidate, churned.size)
    theirs = checked_scores("production scores", production, churned.size)
    codes = _row_codes(entities, churned.size)
    aucs = auc(churned, ours), auc(churned, theirs)
    if np.array_equal(ours, theirs):
        return AucDifference(*aucs, 0.0, Interval(0.0, 0.0), 0.0, 1.0)
    if too_few(churned, codes):
        # 1 is the largest standard error that a number between -1 and 1 can have.
        return AucDifference(*aucs, aucs[0] - aucs[1], Interval(-1.0, 1.0), 1.0, 1.0)
    if _repeats(codes):
        draws = bootstrap_aucs(churned, (ours, theirs), codes, replicates=replicates, seed=seed)
        return _by_draws(aucs, draws[:, 0] - draws[:, 1], level)
    return _by_delong(aucs, churned, ours, theirs, level)


def paired_brier_difference(
    labels: LabelArray,
    candidate: FloatArray,
    production: FloatArray,
    level: float = 0.95,
    entities: KeyArray | None = None,
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

    Raises:
        NotANumber: a label or a probability is NaN.
        DataError: no rows, unlike shapes, a probability outside [0, 1], or a missing entity.
    """
    churned = checked_labels(labels, two_classes=False)
    ours = (
        checked_probabilities("candidate probabilities", candidate, churned.size) - churned
    ) ** 2
    theirs = (
        checked_probabilities("production probabilities", production, churned.size) - churned
    ) ** 2
    change = ours - theirs
    interval = _clustered_interval(change, _row_codes(entities, churned.size), level)
    return BrierDifference(float(ours.mean()), float(theirs.mean()), float(change.mean()), interval)


def _row_codes(entities: KeyArray | None, rows: int) -> IntArray:
    """The entity of each row; without keys every row is its own."""
    if entities is None:
        return np.arange(rows)
    return entity_codes(entities, rows)


def _repeats(codes: IntArray) -> bool:
    return int(codes.max()) + 1 < codes.size


def _by_draws(aucs: tuple[float, float], gains: FloatArray, level: float) -> AucDifference:
    interval = percentile_interval(gains, level)
    return AucDifference(
        *aucs, aucs[0] - aucs[1], interval, float(gains.std(ddof=1)), draws_p_value(gains)
    )


def _by_delong(
    aucs: tuple[float, float],
    churned: BoolArray,
    ours: FloatArray,
    theirs: FloatArray,
    level: float,
) -> AucDifference:
    gain = aucs[0] - aucs[1]
    our_churners, our_stayers = placements(churned, ours)
    their_churners, their_stayers = placements(churned, theirs)
    # The variance of the paired differences contains the covariance of the two models.
    error = _standard_error(our_churners - their_churners, our_stayers - their_stayers)
    return AucDifference(
        *aucs, gain, _normal_interval(gain, error, level), error, two_sided_p(gain, error)
    )


def placements(churned: BoolArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Share of stayers below each churner, shape (n1,), and of churners above each stayer,
    shape (n0,).

    Both by three mid-rankings, in n log n (Sun and Xu 2014, IEEE Signal Processing Letters 21).
    """
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    beaten = (ranks[churned] - rankdata(scores[churned])) / (~churned).sum()
    beating = 1 - (ranks[~churned] - rankdata(scores[~churned])) / churned.sum()
    return beaten, beating


def _standard_error(of_churners: FloatArray, of_stayers: FloatArray) -> float:
    """DeLong's root of S10 / n1 + S01 / n0."""
    variance = of_churners.var(ddof=1) / of_churners.size + of_stayers.var(ddof=1) / of_stayers.size
    return math.sqrt(float(variance))


def _clustered_interval(values: FloatArray, codes: IntArray, level: float) -> Interval:
    """Normal interval of a mean of values within [-1, 1], whose rows of one entity may be
    alike.
    """
    centre = float(values.mean())
    sums = np.bincount(codes, weights=values - centre)
    if sums.size < FEWEST:
        return Interval(-1.0, 1.0)
    error = math.sqrt(float(sums @ sums) * sums.size / (sums.size - 1)) / values.size
    return _normal_interval(centre, error, level)


def _normal_interval(centre: float, error: float, level: float, least: float = -1.0) -> Interval:
    half = quantile_of_normal(level) * error
    return Interval(max(centre - half, least), min(centre + half, 1.0))
