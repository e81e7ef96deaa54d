"""Shapley values by sampling: reasons for a model that has no method of its own."""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import numpy as np

from churn_platform.evaluation.statistics import FloatArray, IntArray

ReasonsBy = Literal["TreeSHAP", "mean replacement", "Shapley sampling"]
"""How the contributions of a model are measured."""
ORDERS = 4
"""Random orders of the features; each is used forwards and backwards."""
SEED = 20
AT_ONCE = 50_000
"""Rows that are scored in one call."""


def shapley_values(
    log_odds: Callable[[FloatArray], FloatArray],
    rows: FloatArray,
    background: FloatArray,
    features: IntArray,
) -> FloatArray:
    """The share of each feature in the difference of a row's log-odds to those of `background`.

    Features are given the row's values one after the other, in the same orders for every row.
    The shares of a row add up to the difference exactly; those of a linear model are exact.
    Strumbelj and Kononenko (2014), "Explaining prediction models and individual predictions with
    feature contributions"; orders forwards and backwards as in Mitchell et al. (2022).

    Args:
        log_odds: of rows (rows, columns).
        rows: (rows, columns).
        background: the mean of each column (columns,).
        features: the number of the feature that each column belongs to (columns,).

    Returns:
        (rows, columns); the first column of a feature has its share, the others 0.
    """
    count = int(features.max()) + 1
    rng = np.random.default_rng(SEED)
    drawn = [rng.permutation(count) for _ in range(ORDERS)]
    orders = [*drawn, *(order[::-1] for order in drawn)]
    # Which features have the row's values, at each step of each order.
    steps = np.array(
        [[np.isin(range(count), order[:n]) for n in range(count + 1)] for order in orders]
    )
    known, places = np.unique(steps.reshape(-1, count), axis=0, return_inverse=True)
    columns = known[:, features]
    scores = np.empty((len(rows), len(known)))
    size = max(1, AT_ONCE // len(known))
    for start in range(0, len(rows), size):
        part = rows[start : start + size, None, :]
        mixed = np.where(columns[None], part, background)
        scores[start : start + size] = log_odds(mixed.reshape(-1, rows.shape[1])).reshape(
            -1, len(known)
        )
    at = places.reshape(len(orders), count + 1)
    shares = np.zeros((len(rows), count))
    for order, scored in zip(orders, at, strict=True):
        for feature, (before, after) in zip(order, pairwise(scored), strict=True):
            shares[:, feature] += scores[:, after] - scores[:, before]
    values = np.zeros(rows.shape)
    first = [int(np.argmax(features == feature)) for feature in range(count)]
    values[:, first] = shares / len(orders)
    return values
