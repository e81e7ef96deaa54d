"""The choice between recipes that were cross-validated on the same rows: the first one within
one standard error of the best.

The one-standard-error rule is of Breiman, Friedman, Olshen and Stone (1984), "Classification and
regression trees", 3.4.3. Theirs is the error of the best recipe's own loss. All recipes are
measured on the same customers here, so the standard error is that of the difference, customer by
customer: what is hard for one recipe is hard for all, and cancels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from churn_platform.evaluation.comparison import clustered_error, entity_codes
from churn_platform.evaluation.statistics import (
    FloatArray,
    KeyArray,
    LabelArray,
    checked_labels,
    checked_probabilities,
)
from churn_platform.evaluation.weights import weighted_mean

MARGIN = 2.0**-52
"""Keeps the loss of a probability of exactly 0 or 1 finite, as in scikit-learn."""


@dataclass(frozen=True)
class Loss:
    """The mean log loss of one recipe, and how far it is above that of the best.

    `error` and `gap_error` are standard errors, by customer.
    """

    mean: float
    error: float
    gap: float
    gap_error: float
    within: bool
    """Whether the gap is so small that the recipe counts as good as the best."""


@dataclass(frozen=True)
class Choice:
    """Which of the recipes, by their place in the list."""

    chosen: int
    best: int
    losses: tuple[Loss, ...]


def log_losses(labels: LabelArray, probabilities: FloatArray) -> FloatArray:
    """The log loss of each row (n,), in nats.

    Raises:
        NotANumber: a label or a probability is NaN.
        DataError: no rows, unlike shapes, or a probability outside [0, 1].
    """
    churned = checked_labels(labels, two_classes=False)
    values = checked_probabilities("probabilities", probabilities, churned.size)
    likely = np.where(churned, values, 1 - values)
    return np.asarray(-np.log(np.maximum(likely, MARGIN)))


def errors_for(tries: int) -> float:
    """How many standard errors the best of so many tries must be ahead.

    One for one try, which is a test at the level of 16%. For more the level is divided by their
    number (Bonferroni): the best of 20 equally good ones is ahead by two standard errors by luck.
    """
    level = 1 - NormalDist().cdf(1)
    return NormalDist().inv_cdf(1 - level / tries)


def choose(
    losses: Sequence[FloatArray],
    entities: KeyArray,
    weights: FloatArray | None = None,
    errors: float = 1,
) -> Choice:
    """The first recipe within one standard error of the best.

    Args:
        losses: of each recipe the loss of each row (n,), in the order in which recipes are
            preferred.
        entities: (n,), the key of each row.
        weights: (n,), how many customers a row stands for, all > 0. None: all alike.
        errors: how many standard errors instead of one.
    """
    codes = entity_codes(entities, losses[0].size)
    means = [weighted_mean(one, weights) for one in losses]
    best = int(np.argmin(means))
    found = []
    for one, mean in zip(losses, means, strict=True):
        gap = mean - means[best]
        gap_error = clustered_error(one - losses[best], codes, weights)
        own_error = clustered_error(one, codes, weights)
        found.append(Loss(mean, own_error, gap, gap_error, gap <= errors * gap_error))
    chosen = next(place for place, loss in enumerate(found) if loss.within)
    return Choice(chosen, best, tuple(found))
