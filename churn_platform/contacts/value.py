"""What a ranking is worth: profit by MPC and EMPC, and value at a budget with its interval.

Money is in the contract's currency. A label of 1 is a customer who churned.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.evaluation.comparison import entity_codes
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
from churn_platform.evaluation.weights import checked_weights, effective_size

PRIOR_SAVED = 6.0
PRIOR_LOST = 14.0
LEAST_ASSIGNED_CHURNERS = 50
LEAST_CONTACTS = 30  # with fewer, 95% intervals cover 91% where values of customers differ much
FEWEST = 2  # a variance needs two customers
NEAR_THE_CUT = 0.05  # of the customers, around the place where the budget ends
FEWEST_NEAR_THE_CUT = 20


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

    @property
    def standard_deviation(self) -> float:
        """Of the distribution."""
        total = self.alpha + self.beta
        return math.sqrt(self.alpha * self.beta / (total * total * (total + 1)))


def save_rate_from_counts(
    saves: float,
    failures: float,
    *,
    prior: SaveRate | None = None,
    least_churners: float = LEAST_ASSIGNED_CHURNERS,
) -> SaveRate:
    """The posterior Beta(6 + saves, 14 + failures); the prior below `least_churners` of both.

    Args:
        saves: assigned customers who would have churned and stayed, >= 0.
        failures: assigned customers who would have churned and did, >= 0.
        prior: Beta(6, 14) unless given.
        least_churners: saves + failures needed before the data replace the prior.

    Raises:
        DataError: a count is negative, NaN or infinite.
    """
    prior = prior or SaveRate()
    if not (0 <= saves < math.inf and 0 <= failures < math.inf):
        raise DataError(f"{saves} saves and {failures} failures: counts are finite and at least 0")
    if saves + failures < least_churners:
        return prior
    return SaveRate(prior.alpha + saves, prior.beta + failures, measured=True)


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


def maximum_profit(
    labels: LabelArray,
    scores: FloatArray,
    *,
    value: float | FloatArray = 200.0,
    incentive: float = 10.0,
    contact_cost: float = 1.0,
    save_rate: SaveRate | None = None,
    weights: FloatArray | None = None,
) -> Profit:
    """The largest profit per customer at the mean save rate (MPC, Verbraken et al. 2013).

    Arguments and errors as `expected_maximum_profit`.
    """
    rate = save_rate or SaveRate()
    curve = _ProfitCurve.of(labels, scores, value, incentive, contact_cost, weights)
    profits = rate.mean * curve.saved - curve.spent
    best = int(np.argmax(profits))
    return Profit(
        float(profits[best]), float(curve.contacted[best]), rate, curve.value, np.ndim(value) > 0
    )


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
        row_weights = _checked_weights(weights, rows)
        kept = row_weights > 0
        churned = checked_labels(np.asarray(labels, dtype=np.float64)[kept])
        ranking = checked_scores("scores", np.asarray(scores)[kept], churned.size)
        mean = float(np.average(_checked_values(value, rows)[kept], weights=row_weights[kept]))
        if mean <= 0:
            raise DataError(f"a saved customer is worth {mean:g}: the value must be above 0")
        _check_amount("incentive", incentive)
        _check_amount("contact cost", contact_cost)
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


@dataclass(frozen=True)
class ContactTerms:
    """What a contact costs and achieves: `save_rate` in [0, 1], the costs per contact, >= 0.

    The incentive is paid to every contacted customer, also to those who would have stayed.
    """

    save_rate: float
    contact_cost: float = 0.0
    incentive: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.save_rate <= 1:
            raise DataError(f"the save rate is {self.save_rate}: it lies between 0 and 1")
        _check_amount("contact cost", self.contact_cost)
        _check_amount("incentive", self.incentive)


@dataclass(frozen=True)
class BudgetValue:
    """What the contacts of a month would be worth, when a model chooses them.

    `budget` contacts a month reach `churners` who would churn, worth `at_stake` together; both
    are estimated numbers a month. `value` = save rate x at_stake - costs. The interval, at
    `level`, is that of the customers drawn, for the given save rate. `effective_contacts` is
    (sum w)^2 / sum w^2 of the contacted rows, which the figure rests on.
    """

    budget: float
    value: float
    interval: Interval
    level: float
    churners: float
    at_stake: float
    effective_contacts: float
    months: int


@dataclass(frozen=True)
class BudgetDifference:
    """Candidate minus production at the same budget, on the same rows, in money a month."""

    candidate: BudgetValue
    production: BudgetValue
    difference: float
    interval: Interval


def value_at_budget(
    labels: LabelArray,
    ranking: FloatArray,
    *,
    budget: float,
    value: float | FloatArray,
    terms: ContactTerms,
    weights: FloatArray | None = None,
    entities: KeyArray | None = None,
    months: KeyArray | None = None,
    level: float = 0.95,
    least_contacts: float = LEAST_CONTACTS,
) -> BudgetValue | None:
    """The sum over the `budget` best of save rate x churned x value - contact cost - incentive.

    Rows of equal rank at the end of the budget share what is left of it. The interval is
    Student's, from influence values summed by customer: the rows just inside and outside the
    budget change places when other customers are drawn, so each row counts as its profit minus
    the profit at the end of the budget. A bootstrap of 500 draws covers no better.

    Args:
        labels: shape (rows,), 0 or 1, of rows with a weight; 1 for a churner.
        ranking: shape (rows,), finite; the highest are contacted first (risk x value).
        budget: contacts a month, > 0; everyone is contacted where a month has fewer rows.
        value: of a saved customer, >= 0; one figure or shape (rows,).
        terms: save rate and costs.
        weights: shape (rows,), >= 0, of corrected labels. Rows of weight 0 stay in the count of
            customers and are left out of everything else. The weighted rows stand for all
            rows of their month, so the budget ends where their weight reaches the same share.
        entities: shape (rows,), the customer of each row; None when none repeats.
        months: shape (rows,); the budget is spent in each and the results are means a month.
        level: of the two-sided interval.
        least_contacts: effective contacts below which the value is not measurable, >= 2.

    Returns:
        None where the value is not measurable.

    Raises:
        NotANumber: a label, rank, value or weight is NaN.
        DataError: no rows, unlike shapes, or a figure out of its range.
    """
    rows = _Rows.of(labels, value, terms, weights, entities, months)
    chosen = rows.best(ranking, budget, least_contacts)
    if chosen is None:
        return None
    return rows.summary(chosen, budget, level)


def value_difference(
    labels: LabelArray,
    candidate: FloatArray,
    production: FloatArray,
    *,
    budget: float,
    value: float | FloatArray,
    terms: ContactTerms,
    weights: FloatArray | None = None,
    entities: KeyArray | None = None,
    months: KeyArray | None = None,
    level: float = 0.95,
    least_contacts: float = LEAST_CONTACTS,
) -> BudgetDifference | None:
    """The candidate's value at the budget minus production's, paired by row.

    Arguments, errors and None as `value_at_budget`, with one ranking for each model.
    """
    rows = _Rows.of(labels, value, terms, weights, entities, months)
    ours = rows.best(candidate, budget, least_contacts)
    theirs = rows.best(production, budget, least_contacts)
    if ours is None or theirs is None:
        return None
    difference = ours.value - theirs.value
    contacts = min(ours.effective_contacts, theirs.effective_contacts)
    influence = ours.influence - theirs.influence
    return BudgetDifference(
        candidate=rows.summary(ours, budget, level),
        production=rows.summary(theirs, budget, level),
        difference=difference,
        interval=rows.interval(difference, influence, level, contacts),
    )


@dataclass(frozen=True, eq=False)
class _Chosen:
    """Rows within the budget: `share` (rows,) in [0, 1] of each, and its `influence` (rows,)."""

    value: float
    share: FloatArray
    influence: FloatArray
    effective_contacts: float


@dataclass(frozen=True, eq=False)
class _Rows:
    """Weighted rows; `weights` are scaled to add up to the customers of each month."""

    given: int
    kept: BoolArray
    weights: FloatArray
    at_stake: FloatArray
    churned: BoolArray
    profit: FloatArray
    customers: IntArray
    months: list[IntArray]

    @classmethod
    def of(
        cls,
        labels: LabelArray,
        value: float | FloatArray,
        terms: ContactTerms,
        weights: FloatArray | None,
        entities: KeyArray | None,
        months: KeyArray | None,
    ) -> "_Rows":
        given = np.asarray(labels, dtype=np.float64)
        if given.ndim != 1:
            raise DataError(f"labels have the shape {given.shape}: pass one dimension")
        row_weights = _checked_weights(weights, given.size)
        kept = row_weights > 0
        churned = checked_labels(given[kept], two_classes=False)
        customers = np.arange(given.size)
        if entities is not None:
            customers = entity_codes(entities, given.size)
        month_of = np.zeros(given.size, dtype=np.int64)
        if months is not None:
            month_of = entity_codes(months, given.size)
        customers_of = np.bincount(month_of)
        weight_of = np.bincount(month_of, weights=row_weights)
        if (weight_of == 0).any():
            raise DataError("a month has no row with a weight: leave this month out")
        at_stake = np.where(churned, _checked_values(value, given.size)[kept], 0.0)
        month_of_kept = month_of[kept]
        return cls(
            given=given.size,
            kept=kept,
            weights=(row_weights * (customers_of / weight_of)[month_of])[kept],
            at_stake=at_stake,
            churned=churned,
            profit=terms.save_rate * at_stake - terms.contact_cost - terms.incentive,
            customers=customers[kept],
            months=[np.flatnonzero(month_of_kept == month) for month in range(customers_of.size)],
        )

    def best(self, ranking: FloatArray, budget: float, least_contacts: float) -> _Chosen | None:
        """The rows that the ranking contacts; None where the figure rests on too few."""
        if np.shape(ranking) != (self.given,):
            raise DataError(
                f"the ranking has the shape {np.shape(ranking)} for {self.given} labels: pass one"
                " rank per label"
            )
        ranks = checked_scores("ranks", np.asarray(ranking)[self.kept], self.churned.size)
        if not 0 < budget < math.inf:
            raise DataError(f"the budget is {budget}: pass a number of contacts above 0")
        share = np.zeros(ranks.size)
        influence = np.zeros(ranks.size)
        total = 0.0
        for month in self.months:
            value, share[month], influence[month] = _one_month(
                ranks[month], self.weights[month], self.profit[month], budget
            )
            total += value
        counted = self.weights * share
        effective = effective_size(counted)
        customers = np.unique(self.customers[share > 0]).size
        if effective < max(least_contacts, FEWEST) or customers < FEWEST:
            return None
        return _Chosen(total / len(self.months), share, influence / len(self.months), effective)

    def summary(self, chosen: _Chosen, budget: float, level: float) -> BudgetValue:
        """The figures that people see."""
        counted = self.weights * chosen.share
        months = len(self.months)
        return BudgetValue(
            budget=float(budget),
            value=chosen.value,
            interval=self.interval(
                chosen.value, chosen.influence, level, chosen.effective_contacts
            ),
            level=level,
            churners=float(counted[self.churned].sum()) / months,
            at_stake=float(counted @ self.at_stake) / months,
            effective_contacts=chosen.effective_contacts,
            months=months,
        )

    def interval(
        self, centre: float, influence: FloatArray, level: float, contacts: float
    ) -> Interval:
        """With the variance of sums over a customer's rows (Liang and Zeger 1986)."""
        from scipy.special import stdtrit

        sums = np.bincount(pd.factorize(self.customers)[0], weights=influence)
        error = math.sqrt(float(sums @ sums) * sums.size / (sums.size - 1))
        half = float(stdtrit(contacts - 1, (1 + level) / 2)) * error
        return Interval(centre - half, centre + half)


def _one_month(
    ranks: FloatArray, weights: FloatArray, profit: FloatArray, budget: float
) -> tuple[float, FloatArray, FloatArray]:
    """Value, share of each row within the budget and influence values of one month's rows."""
    customers = float(weights.sum())
    spent = min(budget, customers)
    order = np.argsort(-ranks, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(ranks[order]) != 0))
    of_group = np.add.reduceat(weights[order], first)
    before = np.cumsum(of_group) - of_group
    of_each = np.clip((spent - before) / of_group, 0.0, 1.0)
    share = np.empty(ranks.size)
    share[order] = np.repeat(of_each, np.diff(np.append(first, ranks.size)))
    value = float((weights * share) @ profit)
    at_cut = _profit_at_cut(weights[order], profit[order], spent)
    per_customer = (value - at_cut * spent) / customers
    return value, share, weights * (share * (profit - at_cut) - per_customer)


def _profit_at_cut(weights: FloatArray, profit: FloatArray, spent: float) -> float:
    """Mean profit of the rows, best first, round the place where the budget ends."""
    middle = np.cumsum(weights) - weights / 2
    distance = np.abs(middle - spent)
    fewest = min(FEWEST_NEAR_THE_CUT, profit.size)
    width = max(
        NEAR_THE_CUT / 2 * float(weights.sum()),
        float(np.partition(distance, fewest - 1)[fewest - 1]),
    )
    near = distance <= width
    return float(np.average(profit[near], weights=weights[near]))


def _checked_weights(weights: FloatArray | None, rows: int) -> FloatArray:
    if weights is None:
        return np.ones(rows)
    return checked_weights(weights, (rows,))


def _checked_values(value: float | FloatArray, rows: int) -> FloatArray:
    """What each customer is worth, shape (rows,), >= 0."""
    values = np.asarray(value, dtype=np.float64)
    if values.ndim == 0:
        values = np.full(rows, float(values))
    values = checked_scores("values", values, rows)
    if (values < 0).any():
        raise DataError(f"{int((values < 0).sum())} of {rows} customer values are below 0")
    return values


def _check_amount(name: str, amount: float) -> None:
    if math.isnan(amount):
        raise NotANumber(f"the {name} is NaN: pass an amount")
    if not 0 <= amount < math.inf:
        raise DataError(f"the {name} is {amount}: it must be finite and at least 0")
