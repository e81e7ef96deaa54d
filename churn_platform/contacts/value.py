"""What the contacts of a month are worth when a model chooses them, with an interval.

Money is in the contract's currency. A label of 1 is a customer who churned.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from churn_platform.base.errors import DataError
from churn_platform.contacts.profit import check_amount, customer_values, weights_or_ones
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
from churn_platform.evaluation.weights import effective_size

LEAST_CONTACTS = 30  # with fewer, 95% intervals cover 91% where values of customers differ much
FEWEST = 2  # a variance needs two customers
NEAR_THE_CUT = 0.05  # of the customers, around the place where the budget ends
FEWEST_NEAR_THE_CUT = 20


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
        check_amount("contact cost", self.contact_cost)
        check_amount("incentive", self.incentive)


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
        row_weights = weights_or_ones(weights, given.size)
        kept = row_weights > 0
        churned = checked_labels(given[kept], two_classes=False)
        customers = np.arange(given.size)
        if entities is not None:
            customers = entity_codes(entities, given.size, sort=False)
        month_of = np.zeros(given.size, dtype=np.int64)
        if months is not None:
            month_of = entity_codes(months, given.size, sort=False)
        customers_of = np.bincount(month_of)
        weight_of = np.bincount(month_of, weights=row_weights)
        if (weight_of == 0).any():
            raise DataError("a month has no row with a weight: leave this month out")
        at_stake = np.where(churned, customer_values(value, given.size)[kept], 0.0)
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
