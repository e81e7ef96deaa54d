"""Profit per customer of a ranking at its best threshold: MPC and EMPC, and the save rate.

Money is in the contract's currency. A label of 1 is a customer who churned.
"""

import math
from dataclasses import dataclass

import numpy as np

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.evaluation.statistics import (
    BoolArray,
    FloatArray,
    LabelArray,
    checked_labels,
    checked_scores,
)
from churn_platform.evaluation.weights import checked_weights

PRIOR_SAVED = 6.0
PRIOR_LOST = 14.0
LEAST_ASSIGNED_CHURNERS = 50


@dataclass(frozen=True)
class SaveRate:
    """P(a contact keeps a customer who would have churned), distributed as Beta(alpha, beta).

    `measured` is False for an assumption: the prior Beta(6, 14) of Verbraken et al. (2013),
    mean 30%, is a guess from telecom campaigns. Show it as one.
    """

    alpha: float = PRIOR_SAVED
    beta: float = PRIOR_LOST
    measured: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.alpha < math.inf and 0 < self.beta < math.inf):
            raise DataError(
                f"a save rate is Beta({self.alpha}, {self.beta}): both must be finite and above 0"
            )

    @property
    def mean(self) -> float:
        """The expected save rate, in (0, 1)."""
        return self.alpha / (self.alpha + self.beta)


def save_rate_from_effect(
    rate: float,
    standard_error: float,
    assigned_churners: float,
    *,
    prior: SaveRate | None = None,
    least_churners: float = LEAST_ASSIGNED_CHURNERS,
) -> SaveRate:
    """The posterior when saves cannot be counted, only estimated against untouched customers.

    No one sees who would have churned. A comparison with few untouched customers knows the save
    rate less well than Beta(6 + saves, 14 + failures) says. This is the prior times the normal
    likelihood of the estimate, as the Beta of the same mean and variance.

    Args:
        rate: estimated effect / churn rate of the untouched; below 0 where contacts harm.
        standard_error: of `rate`, > 0.
        assigned_churners: assigned customers x churn rate of the untouched.
        prior: Beta(6, 14) unless given.
        least_churners: assigned churners needed before the data replace the prior.

    Raises:
        DataError: a figure is not finite, or the standard error is not above 0.
    """
    from scipy.stats import beta as beta_distribution

    prior = prior or SaveRate()
    if not all(map(math.isfinite, (rate, standard_error, assigned_churners))):
        raise DataError("the save rate, its error and the assigned churners must be finite")
    if standard_error <= 0:
        raise DataError(f"the standard error of the save rate is {standard_error}: it must be > 0")
    if assigned_churners < least_churners:
        return prior
    rates = (np.arange(20_000) + 0.5) / 20_000
    log_density = beta_distribution.logpdf(rates, prior.alpha, prior.beta)
    log_density = log_density - ((rates - rate) / standard_error) ** 2 / 2
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    mean = float(density @ rates)
    variance = float(density @ (rates - mean) ** 2)
    total = mean * (1 - mean) / variance - 1
    return SaveRate(mean * total, (1 - mean) * total, measured=True)


@dataclass(frozen=True)
class Profit:
    """Profit per customer of the month, and the share of customers to contact for it.

    `customer_value` is what a saved customer is worth, a mean if `averaged`.
    """

    profit: float
    fraction: float
    save_rate: SaveRate
    customer_value: float
    averaged: bool


def expected_maximum_profit(
    labels: LabelArray,
    scores: FloatArray,
    *,
    value: float | FloatArray = 200.0,
    incentive: float = 10.0,
    contact_cost: float = 1.0,
    save_rate: SaveRate | None = None,
    weights: FloatArray | None = None,
) -> Profit:
    """The profit per customer, expected over the save rate (EMPC, Verbraken et al. 2013).

    Profit of contacting everyone above a threshold, with churners' share F0 and stayers' share F1
    above it: v (g (1 - d) - f) p0 F0 - v (d + f) p1 F1, with incentive d and contact cost f as
    shares of the value v, and the save rate g ~ Beta. Stayers take the incentive, churners only
    when they are saved. For each g the best threshold lies on the convex hull of the ROC curve.

    One value for each customer is averaged. The result then ignores which customers are worth
    most: exchanging the values of two customers changes nothing. Compare rankings by risk x value
    with `value_at_budget`, which keeps each customer's own value.

    Args:
        labels: shape (rows,), 0 or 1, 1 for a churner; both classes must keep some weight.
        scores: shape (rows,), finite, higher for likelier churners; only their order matters.
        value: of a saved customer, > 0; one figure or shape (rows,).
        incentive: paid to each customer who takes it, >= 0.
        contact_cost: of each contact, >= 0.
        save_rate: the assumption Beta(6, 14) unless given.
        weights: shape (rows,), >= 0, of corrected labels; rows of weight 0 are left out.

    Raises:
        NotANumber: a label, score, value or weight is NaN.
        DataError: no rows, one class, unlike shapes, or a figure out of its range.
    """
    from scipy.special import betainc

    rate = save_rate or SaveRate()
    curve = _ProfitCurve.of(labels, scores, value, incentive, contact_cost, weights)
    # At which save rate the next point of the hull becomes the better one.
    steps = np.full(curve.saved.size - 1, np.inf)
    np.divide(np.diff(curve.spent), np.diff(curve.saved), out=steps, where=np.diff(curve.saved) > 0)
    edges = np.concatenate(([0.0], np.clip(steps, 0.0, 1.0), [1.0]))
    share = np.diff(betainc(rate.alpha, rate.beta, edges))
    rate_times_share = rate.mean * np.diff(betainc(rate.alpha + 1, rate.beta, edges))
    return Profit(
        profit=float(curve.saved @ rate_times_share - curve.spent @ share),
        fraction=float(curve.contacted @ share),
        save_rate=rate,
        customer_value=curve.value,
        averaged=np.ndim(value) > 0,
    )


@dataclass(frozen=True, eq=False)
class _ProfitCurve:
    """Points of the ROC convex hull: at save rate g the profit of each is g saved - spent.

    All arrays have the shape (points,), by rising share contacted, the first for no contact.
    """

    contacted: FloatArray
    saved: FloatArray
    spent: FloatArray
    value: float

    @classmethod
    def of(
        cls,
        labels: LabelArray,
        scores: FloatArray,
        value: float | FloatArray,
        incentive: float,
        contact_cost: float,
        weights: FloatArray | None,
    ) -> "_ProfitCurve":
        rows = np.shape(scores)[0] if np.ndim(scores) else 0
        row_weights = weights_or_ones(weights, rows)
        kept = row_weights > 0
        churned = checked_labels(np.asarray(labels, dtype=np.float64)[kept])
        ranking = checked_scores("scores", np.asarray(scores)[kept], churned.size)
        mean = float(np.average(customer_values(value, rows)[kept], weights=row_weights[kept]))
        if mean <= 0:
            raise DataError(f"a saved customer is worth {mean:g}: the value must be above 0")
        check_amount("incentive", incentive)
        check_amount("contact cost", contact_cost)
        churners, stayers = _hull(churned, ranking, row_weights[kept])
        contacted = churners + stayers
        saved = (mean - incentive) * churners
        spent = contact_cost * contacted + incentive * stayers
        return cls(contacted, saved, spent, mean)


def _hull(
    churned: BoolArray, scores: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Shares of all customers that are churners and stayers above each threshold of the hull."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1)
    total = float(weights.sum())
    churners = np.cumsum(np.where(churned, weights, 0.0)[order])[ends] / total
    stayers = np.cumsum(np.where(churned, 0.0, weights)[order])[ends] / total
    hull = [(0.0, 0.0)]
    for point in zip(stayers.tolist(), churners.tolist(), strict=True):
        while len(hull) > 1 and not _turns_right(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    right, up = np.array(hull).T
    return up, right


def _turns_right(
    first: tuple[float, float], second: tuple[float, float], third: tuple[float, float]
) -> bool:
    ahead = (second[0] - first[0]) * (third[1] - first[1])
    return ahead < (second[1] - first[1]) * (third[0] - first[0])


def weights_or_ones(weights: FloatArray | None, rows: int) -> FloatArray:
    """Checked weights, shape (rows,); None gives ones."""
    if weights is None:
        return np.ones(rows)
    return checked_weights(weights, (rows,))


def customer_values(value: float | FloatArray, rows: int) -> FloatArray:
    """What each customer is worth, shape (rows,), >= 0."""
    values = np.asarray(value, dtype=np.float64)
    if values.ndim == 0:
        values = np.full(rows, float(values))
    values = checked_scores("values", values, rows)
    if (values < 0).any():
        raise DataError(f"{int((values < 0).sum())} of {rows} customer values are below 0")
    return values


def check_amount(name: str, amount: float) -> None:
    """Refuse an amount of money that is NaN, infinite or below 0."""
    if math.isnan(amount):
        raise NotANumber(f"the {name} is NaN: pass an amount")
    if not 0 <= amount < math.inf:
        raise DataError(f"the {name} is {amount}: it must be finite and at least 0")
