"""Leaks: columns that predict the label on their own, as one known only after churning does."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.contract.model import Column, Contract
from churn_platform.evaluation.statistics import (
    BoolArray,
    FloatArray,
    IntArray,
    auc,
    checked_labels,
    quantile_of_normal,
)

MOST_ROWS = 200_000
"""Above it a random sample is as good: an AUC of 0.95 is then known to 0.002."""
FOLDS = 5
FEW_VALUES = 50
"""Numbers with at most this many distinct values are also judged as codes: 3 for "cancelled" is
not an order.
"""
HUGE = 1e300
PERFECT = 0.999
"""A column that separates all but one in a thousand pairs is a leak at any size."""


@dataclass(frozen=True)
class Alone:
    """How well each column alone predicts the label of some rows.

    `limit` is the policy's; an AUC above `certain` is above it, however few churners there are.
    """

    aucs: dict[str, float]
    limit: float
    certain: float

    @property
    def leaks(self) -> dict[str, float]:
        """The columns that predict the label, best first."""
        return leaks(self.aucs, self.certain)


def judge_alone(contract: Contract, rows: pd.DataFrame, labels: pd.Series) -> Alone:
    """Judge every feature of the contract on training rows.

    The rows count alike even where contacts give them weights: a leak predicts the label as it
    was recorded, and a weight says nothing about that.

    Args:
        contract: features, and the policy's `training.leak_auc` and `promotion.level`.
        rows: (rows, any columns) holding at least the features.
        labels: (rows,) booleans; with only one class, no column is judged.
    """
    policy = contract.policy
    churners = int(labels.sum())
    limit = policy.training.leak_auc
    stayers = len(labels) - churners
    if not churners or not stayers:
        return Alone({}, limit, 1.0)
    aucs = single_feature_aucs(rows, contract.features, labels)
    return Alone(aucs, limit, beyond_luck(limit, churners, stayers, policy.promotion.level))


def single_feature_aucs(
    frame: pd.DataFrame, features: Mapping[str, Column], labels: pd.Series | BoolArray
) -> dict[str, float]:
    """The AUC of each column alone against the label, 0.5 to 1 except for noise; a null is a
    value of its own.

    Numbers, booleans and dates are judged in both directions, and by being empty: an amount
    that only churners have leaks by being there. Categories, texts and numbers with few values
    are judged by the churn rate of each value in other rows; in the same rows a column of
    unique keys would reach 1.0.

    Args:
        frame: (rows, any columns) holding at least `features`.
        features: columns to judge, of any dtype.
        labels: (rows,) 0 or 1, both present.

    Raises:
        NotANumber: a label is NaN.
        DataError: no rows or labels of one class only.
    """
    churned = checked_labels(np.asarray(labels, dtype=np.float64))
    if churned.size > MOST_ROWS:
        chosen = np.sort(np.random.default_rng(0).choice(churned.size, MOST_ROWS, replace=False))
        frame = frame.iloc[chosen]
        churned = churned[chosen]
    return {name: _alone(frame[name], column, churned) for name, column in features.items()}


def leaks(aucs: Mapping[str, float], limit: float) -> dict[str, float]:
    """The columns whose AUC alone lies above `limit`, best first."""
    return dict(sorted(((n, a) for n, a in aucs.items() if a > limit), key=lambda found: -found[1]))


def beyond_luck(limit: float, churners: int, stayers: int, level: float) -> float:
    """The AUC that a column with a true AUC of `limit` exceeds only as rarely as `level` allows.

    By the standard error of Hanley and McNeil (Radiology 143, 1982), which needs no scores. A
    perfect column is above it at any size.
    """
    of_churners = limit / (2 - limit) - limit**2
    of_stayers = 2 * limit**2 / (1 + limit) - limit**2
    variance = limit * (1 - limit) + (churners - 1) * of_churners + (stayers - 1) * of_stayers
    error = math.sqrt(variance / (churners * stayers))
    return max(limit, min(limit + quantile_of_normal(level) * error, PERFECT))


def _alone(values: pd.Series, column: Column, churned: BoolArray) -> float:
    if column.dtype in ("category", "string"):
        return _by_rates(values, churned)
    numbers = _numbers(values, column)
    empty = np.isnan(numbers)
    found = [
        _either_way(np.where(empty, place, numbers), churned) for place in _places(numbers, empty)
    ]
    if empty.any():
        found.append(_either_way(empty.astype(np.float64), churned))
    if len(pd.unique(numbers[:1000])) <= FEW_VALUES and len(pd.unique(numbers)) <= FEW_VALUES:
        found.append(_by_rates(pd.Series(numbers), churned))
    return max(found)


def _places(numbers: FloatArray, empty: BoolArray) -> tuple[float, ...]:
    """The values that replace nulls: one below all others and one above; any without nulls."""
    if not empty.any() or empty.all():
        return (0.0,)
    below = float(np.nextafter(np.nanmin(numbers), -np.inf))
    above = float(np.nextafter(np.nanmax(numbers), np.inf))
    return below, above


def _numbers(values: pd.Series, column: Column) -> FloatArray:
    """The column as float64 with NaN for null; infinities as very large numbers, dates as
    seconds.
    """
    if column.dtype == "date":
        days = pd.to_datetime(values)
        seconds = days.to_numpy(dtype="datetime64[s]").astype(np.float64)
        return np.asarray(np.where(days.isna().to_numpy(), np.nan, seconds))
    numbers = values.astype("Float64").to_numpy(dtype="float64", na_value=np.nan)
    return np.asarray(np.clip(numbers, -HUGE, HUGE), dtype=np.float64)


def _either_way(scores: FloatArray, churned: BoolArray) -> float:
    found = auc(churned, scores)
    return max(found, 1 - found)


def _by_rates(values: pd.Series, churned: BoolArray) -> float:
    """The AUC of each value's churn rate in the rows of the other folds; an unseen value has the
    mean rate.

    In one direction only: the rate has a direction, and taken from other rows it falls below
    0.5 for a column without information.
    """
    codes = pd.factorize(values.astype(object))[0].astype(np.int64) + 1  # null is -1
    folds = _folds(churned)
    rows = _counts(codes, folds, None)
    churners = _counts(codes, folds, churned)
    mean = churned.mean()
    others = rows.sum(axis=1, keepdims=True) - rows
    churned_others = churners.sum(axis=1, keepdims=True) - churners
    rates = (churned_others + mean) / (others + 1)
    return auc(churned, rates[codes, folds])


def _folds(churned: BoolArray) -> IntArray:
    """A fold for each row, with equally many churners: a fold with fewer would raise the rates
    of the others.
    """
    random = np.random.default_rng(0)
    folds = np.empty(churned.size, dtype=np.int64)
    for rows in (np.flatnonzero(churned), np.flatnonzero(~churned)):
        folds[rows] = random.permutation(rows.size) % FOLDS
    return folds


def _counts(codes: IntArray, folds: IntArray, weights: Any) -> FloatArray:  # noqa: ANN401 - what bincount weighs by
    """Rows (or their weights) per value and fold; (values, folds)."""
    size = (int(codes.max()) + 1) * FOLDS
    return np.bincount(codes * FOLDS + folds, weights, size).reshape(-1, FOLDS).astype(np.float64)
