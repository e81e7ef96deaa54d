"""Weights of rows: how many customers a row represents where some were left out by chance.

A row of weight 0 is left out before anything else. Only ratios of weights matter.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from churn_platform.base.errors import DataError, NotANumber

Weights = npt.NDArray[np.float64]
Column = npt.NDArray[Any] | float | None

ROUNDING = 1e-9
"""Sums of equal weights are off by this at most, relative to their size."""


def checked_weights(weights: Weights, shape: tuple[int, ...]) -> Weights:
    """Weights as finite float64 >= 0 of this shape.

    Raises:
        NotANumber: a weight is NaN.
        DataError: another shape, or a weight that is negative or infinite.
    """
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != shape:
        raise DataError(
            f"weights have the shape {values.shape} for rows of the shape {shape}: pass one"
            " weight per row"
        )
    if np.isnan(values).any():
        raise NotANumber(f"{int(np.isnan(values).sum())} of {values.size} weights are NaN")
    wrong = values[(values < 0) | np.isinf(values)]
    if wrong.size:
        raise DataError(f"a weight is {wrong[0]:g}: weights are finite and not negative")
    return values


def rows_with_weight(weights: Weights, *columns: Column) -> tuple[Any, ...]:
    """These columns of the rows with a weight above 0, then their weights.

    Args:
        weights: shape (rows,).
        columns: each of shape (rows,); None and single numbers stay as they are.

    Raises:
        NotANumber: a weight is NaN.
        DataError: unlike shapes, or a weight that is negative or infinite.
    """
    shapes = [np.shape(column) for column in columns if column is not None and np.ndim(column)]
    for shape in shapes:
        checked_weights(weights, shape)
    values = np.asarray(weights, dtype=np.float64)
    kept = values > 0
    found = [
        np.asarray(column)[kept] if column is not None and np.ndim(column) else column
        for column in columns
    ]
    return *found, values[kept]


def effective_size(weights: Weights) -> float:
    """How many rows of equal weight are worth as much: (sum w)^2 / sum w^2 (Kish 1965).

    Args:
        weights: shape (rows,), finite and >= 0; no rows, or rows of weight 0 only, give 0.
    """
    if not weights.size or not weights.max():
        return 0.0
    # Equal weights become exactly 1, so they count exactly as many as they are.
    scaled = weights / weights.max()
    return float(scaled.sum() ** 2 / (scaled**2).sum())


def effective_count(weights: Weights) -> int:
    """The effective size, rounded down."""
    return int(effective_size(weights) * (1 + ROUNDING))


def entity_weights(codes: npt.NDArray[np.int64], weights: Weights) -> Weights:
    """The mean weight of each entity's rows, of shape (entities that occur,).

    The mean, so that a customer who comes in three months counts once.

    Args:
        codes: shape (rows,), the entity of each row, numbered from 0.
        weights: shape (rows,).
    """
    rows = np.bincount(codes)
    sums = np.bincount(codes, weights=weights)
    return sums[rows > 0] / rows[rows > 0]


def weighted_mean(values: npt.NDArray[Any], weights: Weights | None) -> float:
    """The mean of values of shape (rows,), weighted if there are weights."""
    if weights is None:
        return float(values.mean())
    return float((values * weights).sum() / weights.sum())


def weight_below(scores: Weights, weights: Weights, at: Weights) -> Weights:
    """The weight of the scores below each of `at`, equal ones counting half, in n log n.

    Args:
        scores: shape (n,).
        weights: shape (n,).
        at: shape (m,).

    Returns:
        Shape (m,).
    """
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    below = np.concatenate(([0.0], np.cumsum(weights[order])))
    first = np.searchsorted(ordered, at, side="left")
    last = np.searchsorted(ordered, at, side="right")
    return (below[first] + below[last]) / 2
