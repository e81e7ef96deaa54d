"""Bounds of an AUC where the labels of some rows are unknown (Manski 2003, chapter 1)."""

import numpy as np

from churn_platform.base.errors import DataError
from churn_platform.evaluation.statistics import (
    BoolArray,
    FloatArray,
    Interval,
    LabelArray,
    auc,
    checked_labels,
    checked_scores,
)
from churn_platform.evaluation.weights import rows_with_weight, weight_below

CHANCE = 0.5


def auc_bounds(
    labels: LabelArray, scores: FloatArray, unknown: BoolArray, weights: FloatArray | None = None
) -> Interval:
    """The smallest and the largest AUC that any labels of the unknown rows would give.

    The best labels make churners of the unknown rows above some score and stayers of the
    others: exchanging the labels of a higher stayer and a lower churner of equal weight loses
    nothing. The worst labels do the same in the opposite direction.

    Unknown rows of unlike weight have this form only where the best AUC is at least 0.5 (and
    the worst at most 0.5). Elsewhere the exact end is a partition problem, and 0.5 stands for
    it: the bound is then too wide, never too narrow.

    Args:
        labels: shape (n,), 0 or 1; those of unknown rows are not read.
        scores: shape (n,), finite; only their order matters.
        unknown: shape (n,), the rows whose label is unknown.
        weights: shape (n,), finite and >= 0; rows of weight 0 are left out. None: all alike.

    Raises:
        NotANumber: a known label, a score or a weight is NaN.
        DataError: no rows, unlike shapes, an infinite score, a weight that is negative or
            infinite, or no labels with both classes are possible.
    """
    if weights is None:
        weights = np.ones(np.shape(labels))
    labels, scores, unknown, weights = rows_with_weight(weights, labels, scores, unknown)
    if unknown.dtype != np.bool_:
        raise DataError(f"unknown is {unknown.dtype}: pass one boolean per row")
    values = checked_scores("scores", scores, labels.size)
    if not unknown.any():
        area = auc(labels, values, weights)
        return Interval(area, area)
    churned = np.zeros(labels.size, dtype=bool)
    if not unknown.all():
        churned[~unknown] = checked_labels(labels[~unknown], two_classes=False)
    high = _largest(churned, values, unknown, weights)
    low = 1 - _largest(churned, -values, unknown, weights)
    return Interval(min(low, high), high)


def _largest(
    churned: BoolArray, scores: FloatArray, unknown: BoolArray, weights: FloatArray
) -> float:
    """The largest AUC over all thresholds: the unknown rows below one stayed, the others
    churned.
    """
    churners = churned & ~unknown
    stayers = ~churned & ~unknown
    order = np.argsort(scores[unknown], kind="stable")
    values = scores[unknown][order]
    weight = weights[unknown][order]
    # For each threshold, the weight of the unknown rows below it and above it.
    below = np.concatenate(([0.0], np.cumsum(weight)))
    above = below[-1] - below
    beaten = weight * weight_below(scores[stayers], weights[stayers], values)
    beating = weight * weight_below(-scores[churners], weights[churners], -values)
    known = weights[churners] @ weight_below(scores[stayers], weights[stayers], scores[churners])
    won_by_churners = np.concatenate((np.cumsum(beaten[::-1])[::-1], [0.0]))
    won_over_stayers = np.concatenate(([0.0], np.cumsum(beating)))
    # Equal scores on both sides of a threshold win only half of their pairs.
    first = np.append(np.searchsorted(values, values, side="left"), values.size)
    last = np.append(np.searchsorted(values, values, side="right"), values.size)
    tied = (below - below[first]) * (below[last] - below)
    wins = known + won_by_churners + won_over_stayers + below * above - tied / 2
    pairs = (weights[churners].sum() + above) * (weights[stayers].sum() + below)
    possible = pairs > 0
    if not possible.any():
        raise DataError("no labels of the unknown rows give both classes: pool more months")
    found = float((wins[possible] / pairs[possible]).max())
    if found < CHANCE and np.unique(weight).size > 1:
        return CHANCE
    return min(max(found, 0.0), 1.0)
