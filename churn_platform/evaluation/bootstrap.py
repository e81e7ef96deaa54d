"""AUCs of several models when entities are drawn with replacement, for rows in which entities
repeat.
"""

from dataclasses import dataclass

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
    checked_labels,
    checked_scores,
)

FEWEST = 2  # a variance needs two of a kind


@dataclass(frozen=True)
class _WeightedAuc:
    """AUC of one model's rows under any weights of their entities, sorted once.

    `stayers` (n0,) are the stayers' entities by rising score, `churners` (n1,) the churners'
    entities; each churner beats the stayers before `first` and ties with those from `first` to
    `last`.
    """

    stayers: IntArray
    churners: IntArray
    first: IntArray
    last: IntArray

    @classmethod
    def of(cls, churned: BoolArray, scores: FloatArray, codes: IntArray) -> "_WeightedAuc":
        """Sort the rows of one model; all arrays are (n,)."""
        order = np.argsort(scores[~churned])
        ordered = scores[~churned][order]
        first = np.searchsorted(ordered, scores[churned], side="left")
        last = np.searchsorted(ordered, scores[churned], side="right")
        return cls(codes[~churned][order], codes[churned], first, last)

    def under(self, weights: FloatArray) -> float:
        """The AUC when entity i counts `weights[i]` times; both classes must keep some weight."""
        beaten = np.concatenate(([0.0], np.cumsum(weights[self.stayers])))
        churners = weights[self.churners]
        # Not a dot product: BLAS starts its threads for each, 2.7 ms against 0.02 at 25,000
        # churners.
        wins = (churners * (beaten[self.first] + beaten[self.last])).sum() / 2
        return float(wins / (churners.sum() * beaten[-1]))


def entity_codes(entities: KeyArray, rows: int) -> IntArray:
    """Entities numbered from 0, of shape (rows,).

    Raises:
        DataError: another shape than (rows,), or an entity that is missing.
    """
    if np.shape(entities) != (rows,):
        raise DataError(
            f"entities have the shape {np.shape(entities)} for {rows} labels: pass one per label"
        )
    # Sorted, so the draws do not depend on the order in which a join returns the rows.
    codes: IntArray = pd.factorize(np.asarray(entities), sort=True)[0].astype(np.int64)
    if codes.min() < 0:
        raise DataError(
            f"{int((codes < 0).sum())} of {rows} entities are missing: each row needs its key"
        )
    return codes


def too_few(churned: BoolArray, codes: IntArray) -> bool:
    """Whether fewer than two entities churned or stayed, so no variance can be estimated."""
    return min(np.unique(codes[churned]).size, np.unique(codes[~churned]).size) < FEWEST


def bootstrap_aucs(
    labels: LabelArray,
    models: tuple[FloatArray, ...],
    entities: KeyArray,
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> FloatArray:
    """AUCs of shape (replicates, models) when entities, with all their rows, are drawn with
    replacement.

    Every model sees the same draws, so differences of columns are paired (cluster bootstrap,
    Field and Welsh 2007). `models` holds scores of shape (n,) each.

    Raises:
        NotANumber: a label or a score is NaN.
        DataError: one class, unlike shapes, or fewer than two entities with churned rows or
            with stayed rows.
    """
    churned = checked_labels(labels)
    codes = entity_codes(entities, churned.size)
    if too_few(churned, codes):
        raise DataError(
            "fewer than two entities churned, or fewer than two stayed: pool more months"
        )
    sorted_once = [
        _WeightedAuc.of(churned, checked_scores("scores", m, churned.size), codes) for m in models
    ]
    count = int(codes.max()) + 1
    churners = np.unique(codes[churned])
    stayers = np.unique(codes[~churned])
    random = np.random.default_rng(seed)
    aucs = np.empty((replicates, len(models)), dtype=np.float64)
    done = 0
    while done < replicates:
        weights = np.bincount(random.integers(count, size=count), minlength=count).astype(
            np.float64
        )
        # A draw without churners or stayers has no AUC; `too_few` keeps that to one draw in
        # seven.
        if weights[churners].any() and weights[stayers].any():
            aucs[done] = [model.under(weights) for model in sorted_once]
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
