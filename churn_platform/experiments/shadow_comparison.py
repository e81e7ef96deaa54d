"""A shadow compared with production: before labels whom each would list, on labels who was
right.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from churn_platform.base.stored import Stored
from churn_platform.base.text import counted
from churn_platform.evaluation.gain import AucParts, MonthPair, gain_over
from churn_platform.evaluation.statistics import (
    BoolArray,
    FloatArray,
    IntArray,
    Interval,
    quantile_of_normal,
)

MOST_CHANGES = 3
"""Changes of the first reason that are named."""


@dataclass(frozen=True, eq=False)
class ScoredCustomers:
    """Customers (rows,) in the order of their keys, scored by production and by a shadow; NaN
    where a rule is null.
    """

    keys: pd.Series
    production: FloatArray
    shadow: FloatArray

    @classmethod
    def of(cls, keys: pd.Series, production: FloatArray, shadow: FloatArray) -> "ScoredCustomers":
        """Put the customers in the order of their keys."""
        order = keys.argsort(kind="stable").to_numpy()
        return cls(
            keys.iloc[order].reset_index(drop=True),
            np.asarray(production, dtype=np.float64)[order],
            _null_last(np.asarray(shadow, dtype=np.float64)[order]),
        )

    def kept(self, which: BoolArray) -> "ScoredCustomers":
        """Some of the customers."""
        return ScoredCustomers(
            self.keys[which].reset_index(drop=True), self.production[which], self.shadow[which]
        )


class ListComparison(Stored):
    """Whom production and a shadow would list, by risk, before labels are known.

    Attributes:
        budget: Customers on each list.
        overlap: Customers on both lists.
        enter: Customers on the shadow's list alone.
        leave: Customers on production's list alone.
        correlation: Spearman's rank correlation over all customers; None without an order.
        reasons_changed: Share of the customers on both lists whose first reason differs; None
            for a rule.
        changes: The most common changes of the first reason: production's feature, the
            shadow's, customers.
    """

    as_of: str
    customers: int
    budget: int
    overlap: int
    enter: int
    leave: int
    correlation: float | None
    reasons_changed: float | None = None
    changes: tuple[tuple[str, str, int], ...] = ()

    @property
    def share(self) -> float:
        """Share of the list that stays."""
        return self.overlap / max(self.overlap + self.leave, 1)

    @property
    def sentence(self) -> str:
        """What changes."""
        said = (
            f"{self.overlap} of {counted(self.overlap + self.leave, 'customer')} on the list of"
            f" {self.as_of} stay on it, {self.enter} enter and {self.leave} leave"
        )
        if self.correlation is not None:
            said += f"; the rank correlation of all customers is {self.correlation:.2f}"
        if self.reasons_changed is None:
            return f"{said}."
        said += f". The first reason differs for {self.reasons_changed:.0%} of those who stay"
        if self.changes:
            was, now, count = self.changes[0]
            said += f", mostly {now} instead of {was} ({count})"
        return f"{said}."


class OutcomeComparison(Stored):
    """A shadow and production on labels that are corrected for contacts.

    Attributes:
        months: The months that are measured.
        customers: Rows that are measured, in all months.
        churners: Churners among them, in effective numbers.
        hits: Churners on the shadow's lists: their share of the measured customers on a list,
            times the customers on it.
        level: Of both intervals.
        note: Why there are no figures.
    """

    months: tuple[str, ...] = ()
    customers: int = 0
    churners: int = 0
    production_auc: float | None = None
    auc: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    production_hits: float | None = None
    hits: float | None = None
    hits_difference: float | None = None
    hits_interval: tuple[float, float] | None = None
    level: float | None = None
    note: str | None = None

    @property
    def sentence(self) -> str:
        """What the labels show."""
        if self.interval is None or self.hits_interval is None or self.difference is None:
            return self.note or "Not measurable."
        low, high = self.interval
        fewer, more = self.hits_interval
        return (
            f"AUC {self.auc:.3f} against {self.production_auc:.3f} in production, a difference of"
            f" {self.difference:+.3f} [{low:+.3f}, {high:+.3f}], and {self.hits:,.0f} churners on"
            f" its lists against {self.production_hits:,.0f}, a difference of"
            f" {self.hits_difference:+,.0f} [{fewer:+,.0f}, {more:+,.0f}], on"
            f" {counted(len(self.months), 'month')}."
        )


@dataclass(frozen=True, eq=False)
class MeasuredMonth:
    """Customers of one month whose labels count: rows that no compared version may have learned
    from.

    Attributes:
        scored: The customers.
        churned: Who churned (rows,).
        weights: How many customers each stands for (rows,), all above 0; None: all alike.
        on_production: Who is on production's list (rows,).
        on_shadow: Who is on the shadow's list (rows,).
        listed: Customers on each list, those that are not measured included.
    """

    as_of: str
    scored: ScoredCustomers
    churned: BoolArray
    weights: FloatArray | None
    on_production: BoolArray
    on_shadow: BoolArray
    listed: int


def on_list(scores: FloatArray, budget: int) -> BoolArray:
    """Who is on the list of the `budget` highest scores (rows,); of equal ones the first."""
    found = np.zeros(len(scores), dtype=bool)
    found[np.argsort(-scores, kind="stable")[:budget]] = True
    return found


def compare_lists(
    as_of: str,
    scored: ScoredCustomers,
    budget: int,
    reasons: tuple[Sequence[str], Sequence[str]] | None = None,
) -> ListComparison:
    """Compare two lists before labels are known.

    Args:
        as_of: the month, ISO date.
        scored: the customers who can still leave.
        budget: customers on a list.
        reasons: the first reason of each customer on both lists, production's and the shadow's.
    """
    ours = on_list(scored.production, budget)
    theirs = on_list(scored.shadow, budget)
    changed = None
    changes: tuple[tuple[str, str, int], ...] = ()
    if reasons is not None and len(reasons[0]):
        pairs = Counter((was, now) for was, now in zip(*reasons, strict=True) if was != now)
        changed = sum(pairs.values()) / len(reasons[0])
        common = sorted(pairs.items(), key=lambda entry: (-entry[1], entry[0]))
        changes = tuple((was, now, count) for (was, now), count in common[:MOST_CHANGES])
    return ListComparison(
        as_of=as_of,
        customers=len(scored.keys),
        budget=budget,
        overlap=int((ours & theirs).sum()),
        enter=int((theirs & ~ours).sum()),
        leave=int((ours & ~theirs).sum()),
        correlation=rank_correlation(scored.production, scored.shadow),
        reasons_changed=changed,
        changes=changes,
    )


def changed_customers(scored: ScoredCustomers, budget: int) -> pd.DataFrame:
    """The customers on one of the two lists alone: key, `change` (enters or leaves) and both
    ranks from 1; in the order of the shadow's rank.
    """
    ours = on_list(scored.production, budget)
    theirs = on_list(scored.shadow, budget)
    only = ours ^ theirs
    found = pd.DataFrame(
        {
            str(scored.keys.name): scored.keys,
            "change": np.where(theirs, "enters", "leaves"),
            "production_rank": _ranks(scored.production),
            "shadow_rank": _ranks(scored.shadow),
        }
    )
    return found[only].sort_values("shadow_rank", ignore_index=True)


def rank_correlation(first: FloatArray, second: FloatArray) -> float | None:
    """Spearman's rank correlation, equal scores with their mean rank (Kendall 1948); None where
    one of the two has no order.
    """
    ranks = [pd.Series(scores).rank(method="average").to_numpy() for scores in (first, second)]
    if len(first) == 0 or any(np.ptp(one) == 0 for one in ranks):
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def compare_outcomes(
    months: Sequence[MeasuredMonth], level: float, fewest: int
) -> OutcomeComparison:
    """Compare a shadow with production on labels, over these months.

    The difference of the AUCs is that of `evaluation.gain`. The hits are ratio estimates, with
    the linearised variance of Woodruff (1971, JASA 66); a customer's months are summed before
    it is squared. Each list is taken as it is.

    Args:
        months: the customers of each month whose labels count.
        level: of the intervals.
        fewest: effective churners that are needed.
    """
    pairs = []
    measured = []
    for month in months:
        ours = AucParts.of(month.churned, month.scored.shadow, month.weights)
        theirs = AucParts.of(month.churned, month.scored.production, month.weights)
        listed = month.on_production.any() and month.on_shadow.any()
        if ours is not None and theirs is not None and listed:
            keys = month.scored.keys.to_numpy()
            pairs.append(MonthPair(month.as_of, keys, ours, theirs))
            measured.append(month)
    gain = gain_over(pairs)
    if gain is None or gain.churners < fewest:
        churners = 0 if gain is None else gain.churners
        return OutcomeComparison(
            months=() if gain is None else gain.months,
            churners=churners,
            note=(
                f"Not measurable yet: {counted(churners, 'effective churner')} in months with"
                f" mature labels; {fewest} are needed."
            ),
        )
    production_hits, hits, change = _hits(measured, level)
    return OutcomeComparison(
        months=gain.months,
        customers=gain.rows,
        churners=gain.churners,
        production_auc=gain.incumbent_auc,
        auc=gain.candidate_auc,
        difference=gain.difference,
        interval=_ends(gain.interval(level)),
        production_hits=production_hits,
        hits=hits,
        hits_difference=hits - production_hits,
        hits_interval=_ends(change),
        level=level,
    )


def _hits(months: Sequence[MeasuredMonth], level: float) -> tuple[float, float, Interval]:
    """The churners on production's lists and on the shadow's, and the interval of the change."""
    production = 0.0
    shadow = 0.0
    moved = []
    for month in months:
        theirs, their_parts = _hits_of(month, month.on_production)
        ours, our_parts = _hits_of(month, month.on_shadow)
        production += theirs
        shadow += ours
        moved.append(our_parts - their_parts)
    customers = pd.factorize(pd.concat([month.scored.keys for month in months]))[0]
    sums = np.bincount(customers, weights=np.concatenate(moved))
    half = quantile_of_normal(level) * math.sqrt(float(sums @ sums))
    change = shadow - production
    return production, shadow, Interval(change - half, change + half)


def _hits_of(month: MeasuredMonth, on: BoolArray) -> tuple[float, FloatArray]:
    """The churners on a list, and each row's part of the error (rows,)."""
    weights = np.ones(len(on)) if month.weights is None else month.weights
    counted_for = np.where(on, weights, 0.0) * (month.listed / weights[on].sum())
    hits = float(counted_for[month.churned].sum())
    return hits, counted_for * (month.churned - hits / month.listed)


def _null_last(scores: FloatArray) -> FloatArray:
    """The scores with one below all others where there is none."""
    known = scores[~np.isnan(scores)]
    lowest = np.nextafter(known.min(), -np.inf) if known.size else 0.0
    return np.where(np.isnan(scores), lowest, scores)


def _ranks(scores: FloatArray) -> IntArray:
    order = np.argsort(-scores, kind="stable")
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[order] = np.arange(1, len(scores) + 1)
    return ranks


def _ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high
