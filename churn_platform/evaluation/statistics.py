"""Checked rows, intervals, the area under the ROC curve, and tests against chance."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.evaluation.weights import rows_with_weight, weight_below

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
IntArray: TypeAlias = npt.NDArray[np.int64]
LabelArray: TypeAlias = FloatArray | BoolArray
KeyArray: TypeAlias = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Interval:
    """A closed interval; NaN ends raise `NotANumber`, crossed ends `DataError`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if math.isnan(self.low) or math.isnan(self.high):
            raise NotANumber(
                f"an interval has the ends {self.low} and {self.high}: check the scores it is of"
            )
        if self.low > self.high:
            raise DataError(
                f"an interval has the low end {self.low} above its high end {self.high}: swap them"
            )

    def above(self, value: float) -> bool:
        """Whether the interval lies strictly above `value`."""
        return self.low > value

    def below(self, value: float) -> bool:
        """Whether the interval lies strictly below `value`."""
        return self.high < value

    def as_list(self) -> list[float]:
        """`[low, high]`, the form in every JSON file."""
        return [self.low, self.high]


def checked_labels(labels: LabelArray, *, two_classes: bool = True) -> BoolArray:
    """Labels as booleans, True for a churner.

    Args:
        labels: shape (n,), n >= 1, each 0 or 1.
        two_classes: refuse rows that are all churners or all stayers.

    Raises:
        NotANumber: a label is NaN.
        DataError: no rows, another shape, a value other than 0 and 1, or one class.
    """
    values = np.asarray(labels, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise DataError(
            f"labels have the shape {values.shape}: pass at least one row in one dimension"
        )
    if np.isnan(values).any():
        raise NotANumber(
            f"{int(np.isnan(values).sum())} of {values.size} labels are NaN: leave unmatured"
            " rows out"
        )
    strange = values[(values != 0) & (values != 1)]
    if strange.size:
        raise DataError(f"a label is {strange[0]:g}: labels are 0 (stayed) or 1 (churned)")
    churned: BoolArray = values == 1
    if two_classes and churned.all() == churned.any():
        raise DataError(
            f"all {values.size} labels are {values[0]:g}: both classes are needed, pool more months"
        )
    return churned


def checked_scores(name: str, scores: FloatArray, rows: int) -> FloatArray:
    """Scores as finite float64 of shape (rows,); an error calls them `name`.

    Raises:
        NotANumber: a score is NaN.
        DataError: another shape or an infinite score.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (rows,):
        raise DataError(
            f"{name} have the shape {values.shape} for {rows} labels: pass one score per label"
        )
    if np.isnan(values).any():
        raise NotANumber(
            f"{int(np.isnan(values).sum())} of {rows} {name} are NaN: check the model that made"
            " them"
        )
    if np.isinf(values).any():
        raise DataError(
            f"{int(np.isinf(values).sum())} of {rows} {name} are infinite: pass finite scores"
        )
    return values


def checked_probabilities(name: str, probabilities: FloatArray, rows: int) -> FloatArray:
    """As `checked_scores`, and a value outside [0, 1] is a `DataError`."""
    values = checked_scores(name, probabilities, rows)
    outside = values[(values < 0) | (values > 1)]
    if outside.size:
        raise DataError(
            f"{outside.size} of {rows} {name} lie outside 0 to 1, the first is {outside[0]:g}"
        )
    return values


def auc(labels: LabelArray, scores: FloatArray, weights: FloatArray | None = None) -> float:
    """Probability that a churner scores above a stayer, ties counting half (Mann and Whitney
    1947).

    With weights, the share of pairs of a churner and a stayer, each weighing the product of the
    two weights.

    Args:
        labels: shape (n,), 0 or 1, both classes present.
        scores: shape (n,), finite; only their order matters.
        weights: shape (n,), finite and >= 0; rows of weight 0 are left out. None: all alike.

    Raises:
        NotANumber: a label or a score is NaN.
        DataError: no rows, one class, unlike shapes, or an infinite score.
    """
    from scipy.stats import rankdata

    if weights is not None:
        return _weighted_auc(*rows_with_weight(weights, labels, scores))
    churned = checked_labels(labels)
    ranks = rankdata(checked_scores("scores", scores, churned.size))
    churners = int(churned.sum())
    pairs = churners * (churned.size - churners)
    # Half-integers add up exactly to 2**52, so two orders of the same rows never differ in the
    # last digit.
    return float((ranks[churned].sum() - churners * (churners + 1) / 2) / pairs)


def _weighted_auc(labels: LabelArray, scores: FloatArray, weights: FloatArray) -> float:
    churned = checked_labels(labels)
    values = checked_scores("scores", scores, churned.size)
    # Of equal scores the lighter comes first, so the order of the rows changes no digit.
    order = np.lexsort((weights, values))
    churned = churned[order]
    values = values[order]
    weights = weights[order]
    churners = weights[churned]
    stayers = weights[~churned]
    wins = churners * weight_below(values[~churned], stayers, values[churned])
    return float(wins.sum() / (churners.sum() * stayers.sum()))


def quantile_of_normal(level: float) -> float:
    """Half width, in standard errors, of the two-sided normal interval at `level` (0.95 gives
    1.96).
    """
    return NormalDist().inv_cdf((1 + level) / 2)


def normal_interval(centre: float, error: float, level: float, least: float = -1.0) -> Interval:
    """The two-sided normal interval at `level`, within [`least`, 1]."""
    half = quantile_of_normal(level) * error
    return Interval(max(centre - half, least), min(centre + half, 1.0))


def two_sided_p(value: float, standard_error: float) -> float:
    """Two-sided normal p-value of `value` against 0; without an error 1.0 for zero, else 0.0."""
    if standard_error == 0:
        if value == 0:
            return 1.0
        return 0.0
    return math.erfc(abs(value) / standard_error / math.sqrt(2))


def detectable_difference(standard_error: float, power: float = 0.8, level: float = 0.95) -> float:
    """The gain that is detected with probability `power`: (z of the two-sided level + z of the
    power) standard errors.

    Args:
        standard_error: of the difference, in its own unit, >= 0.
        power: probability that the interval of a true gain of this size lies above 0.
        level: of that interval.

    Raises:
        NotANumber: the standard error is NaN.
    """
    if math.isnan(standard_error):
        raise NotANumber("the standard error is NaN: a detectable difference needs a number")
    return (quantile_of_normal(level) + NormalDist().inv_cdf(power)) * standard_error


def chance_p_value(
    labels: LabelArray, scores: FloatArray, weights: FloatArray | None = None
) -> float:
    """Two-sided p-value of an AUC against 0.5, for independent rows (one per entity).

    The Mann-Whitney test with the correction for ties (Lehmann 1975, 1.4). At the sizes of a
    holdout its normal approximation needs no correction for continuity. With weights, the same
    test on weighted ranks: equal weights give the same p-value.

    Args:
        labels: shape (n,), 0 or 1, both classes present.
        scores: shape (n,), finite; only their order matters.
        weights: shape (n,), finite and >= 0; rows of weight 0 are left out. None: all alike.

    Raises:
        NotANumber: a label or a score is NaN.
        DataError: no rows, one class, unlike shapes, or an infinite score.
    """
    from scipy.stats import mannwhitneyu

    if weights is not None:
        labels, scores, weights = rows_with_weight(weights, labels, scores)
    churned = checked_labels(labels)
    values = checked_scores("scores", scores, churned.size)
    if (values == values[0]).all():
        return 1.0
    if weights is not None:
        return _weighted_chance_p_value(churned, values, weights)
    test = mannwhitneyu(
        values[churned], values[~churned], use_continuity=False, method="asymptotic"
    )
    return float(test.pvalue)


def _weighted_chance_p_value(churned: BoolArray, scores: FloatArray, weights: FloatArray) -> float:
    """The permutation test of AUC - 0.5, which is the difference of the two classes' weighted
    mean ranks (Pitman 1937), by its normal approximation.
    """
    total = weights.sum()
    ranks = weight_below(scores, weights, scores) / total - 0.5
    # Labels are dealt out among rows that keep both score and weight.
    dealt = weights * ranks / weights.mean()
    variance = float(dealt.var(ddof=1)) * (1 / churned.sum() + 1 / (~churned).sum())
    return two_sided_p(_weighted_auc(churned, scores, weights) - 0.5, math.sqrt(variance))
