"""What contacting was worth: the effect of assigning customers to contact, by intention to treat.

Within a stratum chance alone decides who is left untouched, so the difference of the churn
rates is the effect (Neyman 1923). Customers are compared as assigned, whether or not a contact
reached them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np
import pandas as pd

from churn_platform.contacts.assigned import (
    AssignedMonth,
    AssignedRows,
    SampleRatio,
    expected_cells,
    rows_of,
    sample_ratio,
)
from churn_platform.evaluation.statistics import (
    BoolArray,
    FloatArray,
    IntArray,
    Interval,
)

EXPECTED_IN_ARM = 10.0
"""Strata are joined until each arm expects ten rows: finer strata gain less than they cost."""
FEWEST_IN_ARM = 2
"""A stratum with fewer rows in an arm has no variance and is left out."""
FEWEST_OF_A_KIND = 10
"""With fewer churners or stayers among the untouched, the smaller arm, there is no interval:
their churn rate is not yet normal.
"""
SAMPLE_RATIO_LEVEL = 0.001 / 2
"""p-value below which the arms are not as they were drawn (Fabijan et al., KDD 2019): 0.001 for
the two tests of a look together (Bonferroni).
"""


class EffectState(StrEnum):
    """What the interval allows to say."""

    SHOWN = "shown"
    NOT_YET_SHOWN = "not yet shown"
    HARMFUL = "harmful"
    WITHHELD = "withheld"


class WithheldBecause(StrEnum):
    """Why a verdict is withheld: the arms are not as they were drawn."""

    SAMPLE_RATIO = "sample_ratio"
    SAMPLE_RATIO_IN_STRATA = "sample_ratio_in_strata"


@dataclass(frozen=True)
class Estimate:
    """A figure with its standard error and the interval at the asked critical value."""

    value: float
    standard_error: float
    interval: Interval


@dataclass(frozen=True)
class PartEffect:
    """The effect in one part of the customers; no estimate where the part is too small.

    `randomised` is False where people chose the part after the assignment, such as an action
    type: then the figure is a comparison, not an effect.
    """

    name: str
    value: str
    assigned: int
    untouched: int
    effect: Estimate | None
    randomised: bool


@dataclass(frozen=True)
class Effect:
    """What contacting was worth over `months`, oldest first.

    A row is a customer on the list of a month: who is listed in two months has two rows.

    Attributes:
        months: as_of of the months.
        rows: rows compared.
        assigned: of these in arm `contact`.
        untouched: of these in arm `untouched`.
        left_out: rows of strata with an arm of fewer than two rows, not compared.
        in_two_arms: customers who were assigned in one month and untouched in another.
        contaminated: untouched rows that were contacted all the same. They stay untouched.
        reached: share of the assigned that were contacted.
        assigned_churn: churn rate of the assigned, weighted by stratum.
        untouched_churn: churn rate of the untouched, weighted by stratum.
        effect: churn rate prevented by assigning (intention to treat).
        complier_effect: churn rate prevented for a customer contacted because of the plan.
        saved: churn prevented among the assigned, in customers; one who was saved in two months
            counts twice.
        spent: cost of the contacts of the assigned.
        money: value of the saved customers less `spent`.
        by_action: comparison by action type.
        by_slice: effect by slice; intervals widened by the number of slices (Bonferroni).
        sample_ratio: sizes of the arms against the registered probabilities.
        doubts: why the verdict is withheld.
        state: the verdict.
    """

    months: tuple[str, ...]
    rows: int
    assigned: int
    untouched: int
    left_out: int
    in_two_arms: int
    contaminated: int
    reached: float
    assigned_churn: float
    untouched_churn: float
    effect: Estimate | None
    complier_effect: Estimate | None
    saved: Estimate | None
    spent: float
    money: Estimate | None
    by_action: tuple[PartEffect, ...]
    by_slice: tuple[PartEffect, ...]
    sample_ratio: SampleRatio
    doubts: tuple[WithheldBecause, ...]
    state: EffectState


@dataclass(frozen=True, eq=False)
class Comparison:
    """Untouched less assigned within cells, weighted by the cells' rows (Neyman 1923).

    Attributes:
        rows: the rows, each in a cell that has two rows or more in each arm.
        cells: the rows' cells, codes from 0, shape (rows,).
        weights: the cells' weights, they sum to 1, shape (cells,).
    """

    rows: AssignedRows
    cells: IntArray
    weights: FloatArray

    def means(self, outcome: FloatArray, arm: BoolArray) -> FloatArray:
        """Mean outcome of an arm in each cell, shape (cells,)."""
        sums = np.bincount(self.cells[arm], weights=outcome[arm], minlength=self.weights.size)
        found: FloatArray = sums / self.sizes(arm)
        return found

    def sizes(self, arm: BoolArray) -> IntArray:
        """Rows of an arm in each cell, shape (cells,)."""
        return np.bincount(self.cells[arm], minlength=self.weights.size)

    def mean(self, outcome: FloatArray, arm: BoolArray) -> float:
        """Mean outcome of an arm over the cells."""
        return float(self.weights @ self.means(outcome, arm))

    def difference(self, outcome: FloatArray) -> float:
        """Mean of the untouched less mean of the assigned."""
        assigned = self.rows.assigned
        return self.mean(outcome, ~assigned) - self.mean(outcome, assigned)

    def parts(self, outcome: FloatArray) -> FloatArray:
        """How far each row moves the difference, shape (rows,).

        The squares of one month's parts add up to Neyman's variance, sum of w_s^2 (s0_s^2 /
        n0_s + s1_s^2 / n1_s).
        """
        parts = np.empty(self.rows.size)
        for arm, sign in ((self.rows.assigned, -1), (~self.rows.assigned, 1)):
            sizes = self.sizes(arm)
            scale = sign * self.weights / np.sqrt(sizes * (sizes - 1.0))
            cells = self.cells[arm]
            parts[arm] = scale[cells] * (outcome[arm] - self.means(outcome, arm)[cells])
        return parts

    def standard_error(self, parts: FloatArray) -> float:
        """Error of a difference: a customer's parts are summed before squaring (Obuchowski
        1997, Biometrics 53).
        """
        sums = np.bincount(self.rows.customer, weights=parts)
        return math.sqrt(float(sums @ sums))

    def estimate(self, outcome: FloatArray, critical: float) -> Estimate:
        """The difference with its interval."""
        error = self.standard_error(self.parts(outcome))
        return _estimate(self.difference(outcome), error, critical)

    def complier_effect(self, critical: float) -> Estimate | None:
        """Effect on customers contacted because of the plan (Wald; Imbens and Angrist 1994).

        None while the arms do not differ in who was contacted.
        """
        contacted = self.rows.contacted
        reach = -self.difference(contacted)
        reach_parts = -self.parts(contacted)
        if reach <= critical * self.standard_error(reach_parts):
            return None
        value = self.difference(self.rows.churned) / reach
        parts = (self.parts(self.rows.churned) - value * reach_parts) / reach
        return _estimate(value, self.standard_error(parts), critical)

    def like_assigned(self) -> "Comparison":
        """The cells weighted by the customers who are expected to be assigned. With one
        probability these are the same weights.
        """
        if np.unique(self.rows.probability).size == 1:
            return self
        expected = np.bincount(self.cells, weights=self.rows.probability)
        return Comparison(self.rows, self.cells, expected / expected.sum())

    @property
    def large_enough(self) -> bool:
        """Whether enough untouched customers churned and enough stayed."""
        untouched = self.rows.churned[~self.rows.assigned]
        churners = int(untouched.sum())
        return min(churners, untouched.size - churners) >= FEWEST_OF_A_KIND


def effect_of(months: Sequence[AssignedMonth], critical: float) -> Effect | None:
    """What contacting was worth over these months; None without a comparable customer.

    Each month draws its arms anew among the customers who can be listed, so every row is
    compared. A stratum that has fewer than two rows in an arm has no variance: it is left out
    and counted.

    Args:
        months: the months, in any order.
        critical: half width of an interval in standard errors: 1.96 for one look, the
            boundary of the look where the effect is looked at every month.

    Raises:
        DataError: a month is passed twice.
    """
    if not months:
        return None
    listed = rows_of(months)
    whole = comparison_of(listed)
    if whole is None:
        return None
    ratio = sample_ratio(listed)
    doubts = _doubts(ratio)
    rows = whole.rows
    assigned = rows.assigned
    effect = None
    complier_effect = None
    saved = None
    money = None
    spent = float(rows.cost[assigned].sum())
    if whole.large_enough:
        treated = int(assigned.sum())
        effect = whole.estimate(rows.churned, critical)
        complier_effect = whole.complier_effect(critical)
        of_assigned = whole.like_assigned()
        saved = _scaled(of_assigned.estimate(rows.churned, critical), treated, critical)
        kept = of_assigned.estimate(rows.churned * rows.value, critical)
        money = _scaled(kept, treated, critical, less=spent)
    return Effect(
        months=tuple(sorted({month.as_of for month in months})),
        rows=rows.size,
        assigned=int(assigned.sum()),
        untouched=int((~assigned).sum()),
        left_out=listed.size - rows.size,
        in_two_arms=listed.in_two_arms,
        contaminated=int(rows.contacted[~assigned].sum()),
        reached=float(rows.contacted[assigned].mean()),
        assigned_churn=whole.mean(rows.churned, assigned),
        untouched_churn=whole.mean(rows.churned, ~assigned),
        effect=effect,
        complier_effect=complier_effect,
        saved=saved,
        spent=spent,
        money=money,
        by_action=_by_action(whole, critical),
        by_slice=_by_slice(listed, critical),
        sample_ratio=ratio,
        doubts=doubts,
        state=_state(effect, doubts),
    )


def comparison_of(rows: AssignedRows) -> Comparison | None:
    """Untouched against assigned within the strata of a month; None where no cell has two rows
    in each arm.

    Neighbouring strata of a month are joined until each arm expects ten rows, and neighbouring
    months of one probability where a month expects fewer.
    """
    cells = np.full(rows.size, -1)
    for probability in np.unique(rows.probability):
        drawn = np.flatnonzero(rows.probability == probability)
        blocks = _cells(rows.month, rows, drawn)
        for block in np.unique(blocks):
            inside = drawn[blocks == block]
            cells[inside] = _cells(rows.stratum, rows, inside) + cells.max() + 1
    return _comparable(rows, cells)


def _cells(groups: IntArray, rows: AssignedRows, inside: IntArray) -> IntArray:
    """The groups of the rows `inside`, joined until each arm expects ten rows."""
    return expected_cells(groups[inside], rows.probability[inside], EXPECTED_IN_ARM)


def _comparable(
    rows: AssignedRows, cells: IntArray, *, like_assigned: bool = False
) -> Comparison | None:
    """The cells with two rows or more in each arm, weighted by all their rows or by the
    assigned ones.
    """
    cell_count = int(cells.max(initial=-1)) + 1
    assigned = np.bincount(cells[rows.assigned], minlength=cell_count)
    untouched = np.bincount(cells[~rows.assigned], minlength=cell_count)
    enough = np.minimum(assigned, untouched) >= FEWEST_IN_ARM
    kept = enough[cells]
    if not kept.any():
        return None
    sizes = assigned if like_assigned else assigned + untouched
    weights = sizes[enough] / sizes[enough].sum()
    return Comparison(rows.only(kept), np.unique(cells[kept], return_inverse=True)[1], weights)


def _by_slice(rows: AssignedRows, critical: float) -> tuple[PartEffect, ...]:
    """The effect in every group of every slice, at a level shared between the groups."""
    groups = [
        (name, group)
        for name, values in rows.slices.items()
        for group in sorted(pd.unique(values[~pd.isna(values)]), key=str)
    ]
    shared = shared_critical(critical, len(groups))
    found = []
    for name, group in groups:
        inside = rows.only(rows.slices[name] == group)
        comparison = comparison_of(inside)
        effect = None
        if comparison is not None and comparison.large_enough:
            effect = comparison.estimate(comparison.rows.churned, shared)
        assigned = int(inside.assigned.sum())
        found.append(
            PartEffect(name, str(group), assigned, inside.size - assigned, effect, randomised=True)
        )
    return tuple(found)


def _by_action(whole: Comparison, critical: float) -> tuple[PartEffect, ...]:
    """Churn after every action type against the untouched of the same strata, at a shared level.

    The team chose who got which action, so customers of one action may differ from the
    untouched in more than the action.
    """
    rows = whole.rows
    done = rows.assigned & (rows.contacted == 1) & ~pd.isna(rows.action)
    actions = sorted(pd.unique(rows.action[done]), key=str)
    shared = shared_critical(critical, len(actions))
    found = []
    for action in actions:
        having = done & (rows.action == action)
        kept = having | ~rows.assigned
        comparison = _comparable(rows.only(kept), whole.cells[kept], like_assigned=True)
        effect = None
        untouched = 0
        if comparison is not None:
            untouched = int((~comparison.rows.assigned).sum())
            if comparison.large_enough:
                effect = comparison.estimate(comparison.rows.churned, shared)
        found.append(
            PartEffect(
                "action", str(action), int(having.sum()), untouched, effect, randomised=False
            )
        )
    return tuple(found)


def shared_critical(critical: float, parts: int) -> float:
    """The critical value with which `parts` intervals hold together at the level of one
    (Bonferroni).
    """
    if parts <= 1:
        return critical
    return -NormalDist().inv_cdf(NormalDist().cdf(-critical) / parts)


def _doubts(ratio: SampleRatio) -> tuple[WithheldBecause, ...]:
    """Every sign that the arms are not as they were drawn."""
    doubts = []
    if ratio.p_value < SAMPLE_RATIO_LEVEL:
        doubts.append(WithheldBecause.SAMPLE_RATIO)
    if ratio.p_value_in_strata < SAMPLE_RATIO_LEVEL:
        doubts.append(WithheldBecause.SAMPLE_RATIO_IN_STRATA)
    return tuple(doubts)


def _state(effect: Estimate | None, doubts: tuple[WithheldBecause, ...]) -> EffectState:
    """The verdict."""
    if doubts:
        return EffectState.WITHHELD
    if effect is None:
        return EffectState.NOT_YET_SHOWN
    if effect.interval.above(0):
        return EffectState.SHOWN
    if effect.interval.below(0):
        return EffectState.HARMFUL
    return EffectState.NOT_YET_SHOWN


def _estimate(value: float, error: float, critical: float) -> Estimate:
    """A figure with its interval."""
    half = critical * error
    return Estimate(value, error, Interval(value - half, value + half))


def _scaled(mean: Estimate, rows: int, critical: float, less: float = 0.0) -> Estimate:
    """The sum over `rows` of a mean, less a known amount."""
    return _estimate(mean.value * rows - less, mean.standard_error * rows, critical)
