"""A test of two versions on the customers that their lists save: what it can show before it
starts, its estimate, and the verdict of each look.

Chance decides about a contact only where the lists disagree, so that is where the versions are
compared. The churn of one list against that of the other is no comparison: the worse version
lists customers who churn less, and would win.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist
from typing import Final

import numpy as np

from churn_platform.base.errors import DataError
from churn_platform.contacts.assigned import AssignedMonth, AssignedRows, rows_of
from churn_platform.contacts.effect import FEWEST_OF_A_KIND, Comparison, comparison_of
from churn_platform.contacts.planning import EXPECTED_OF_A_KIND, LONGEST, POWER
from churn_platform.contacts.tested_plan import HALF, STRATUM_A, STRATUM_B
from churn_platform.evaluation.sequential import conditional_power, planned_boundaries
from churn_platform.evaluation.statistics import FloatArray

FUTILE_BELOW: Final = 0.10
"""Conditional power under the planned difference below which a test is futile."""
SAMPLE_RATIO_LEVEL: Final = 0.001
"""p-value below which the halves are not as they were drawn (Fabijan et al., KDD 2019)."""
LEAST_INFORMATION: Final = 1e-6
"""Information of a look at which nobody could be compared yet."""


class Outcome(StrEnum):
    """How a test ended."""

    A_BETTER = "A better"
    B_BETTER = "B better"
    NO_DIFFERENCE = "no difference shown"
    FUTILE = "futile"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class DisagreementDesign:
    """What is known of a test before it starts.

    Attributes:
        only: customers on each list alone in a month.
        churn_a: churn rate that is expected of those on list A alone, without a contact.
        churn_b: the same of list B.
        level: two-sided confidence level of all looks together.
    """

    only: int
    churn_a: float
    churn_b: float
    level: float = 0.95

    def error(self, months: int) -> float:
        """Standard error of the difference in saved customers a month, after so many months.

        Of `only` customers half are contacted: sqrt(sum of only^2 p q (2 / only + 2 / only) /
        months). That a contact lowers the churn of its half is not counted on.
        """
        spread = sum(churn * (1 - churn) for churn in (self.churn_a, self.churn_b))
        return math.sqrt(4 * self.only * spread / months)

    def smallest_difference(self, look: int, looks: int) -> float:
        """The difference in saved customers a month that look `look` of `looks` shows with
        probability 0.8: (boundary + z_.80) error.
        """
        planned = planned_boundaries(equal_looks(looks), looks, self.level)
        return (planned[look - 1] + NormalDist().inv_cdf(POWER)) * self.error(look)

    def enough(self, months: int) -> bool:
        """Whether so many months bring enough churners and stayers for an estimate."""
        churners = self.only * months * HALF * (self.churn_a + self.churn_b)
        stayers = 2 * self.only * months * HALF - churners
        return min(churners, stayers) >= EXPECTED_OF_A_KIND

    def possible(self, saved: float) -> float:
        """The difference if one version's list saves this share of its leavers and the other
        version's none.
        """
        return self.only * max(self.churn_a, self.churn_b) * saved


@dataclass(frozen=True)
class ModelTestOutlook:
    """What a test can show.

    Attributes:
        smallest_differences: the smallest difference, in saved customers a month, that is shown
            by month 1, 2, ... with probability 0.8; None while too few would be compared.
        possible: the difference if one list saved at the expected rate and the other nobody.
        planned: the difference that the test is planned for.
        months: planned months in which that difference is shown; None if more than 24.
        boundaries: of |z| at each look.
    """

    smallest_differences: tuple[float | None, ...]
    possible: float
    planned: float
    months: int | None
    boundaries: tuple[float, ...]

    @property
    def hopeless(self) -> bool:
        """Whether the planned looks cannot show what the test is planned for, or even a list
        that saves nobody.
        """
        smallest = self.smallest_differences[-1]
        return smallest is None or smallest > self.possible or smallest > self.planned * (1 + 1e-9)


def outlook_of(
    design: DisagreementDesign, looks: int, saved: float, difference: float | None = None
) -> ModelTestOutlook:
    """What a test of `looks` months can show.

    Args:
        design: what is known.
        looks: planned months; there is one look a month.
        saved: share of its leavers that a list saves.
        difference: the difference, in saved customers a month, that the test is to show; by
            default the smallest that its last look shows.

    Raises:
        DataError: the difference is not above 0, or there is no look.
    """
    if looks < 1 or (difference is not None and not difference > 0):
        raise DataError(
            f"a test of {looks} months for a difference of {difference} saved customers a month"
            " does not exist: pass numbers above 0"
        )
    smallest = tuple(
        design.smallest_difference(look, looks) if design.enough(look) else None
        for look in range(1, looks + 1)
    )
    possible = design.possible(saved)
    wanted = possible if difference is None else min(difference, possible)
    return ModelTestOutlook(
        smallest_differences=smallest,
        possible=possible,
        planned=difference or design.smallest_difference(looks, looks),
        months=_months_to_answer(design, wanted),
        boundaries=planned_boundaries(equal_looks(looks), looks, design.level),
    )


def _months_to_answer(design: DisagreementDesign, difference: float) -> int | None:
    """The fewest planned months of a test whose last look shows the difference; None if more
    than 24.
    """
    for months in range(1, LONGEST + 1):
        if not design.enough(months):
            continue
        if design.smallest_difference(months, months) <= difference:
            return months
    return None


def equal_looks(looks: int) -> list[float]:
    """The information at each of `looks` equal looks."""
    return [number / looks for number in range(1, looks + 1)]


@dataclass(frozen=True)
class OneList:
    """The customers of one list alone.

    Attributes:
        customers: with a label, a row a month.
        contacted: of these assigned to be contacted.
        contacted_churn: churn rate of the assigned; None without a comparison.
        untouched_churn: churn rate of the others.
        saved: customers that contacting all of them saves, over all months.
        contaminated: untouched customers who were contacted all the same.
    """

    customers: int
    contacted: int
    contacted_churn: float | None
    untouched_churn: float | None
    saved: float | None
    contaminated: int


@dataclass(frozen=True)
class ListDifference:
    """Customers saved a month by list A less those saved by list B.

    Attributes:
        months: as_of of the months.
        a: the customers on list A alone.
        b: the customers on list B alone.
        value: the difference; None while too few customers can be compared.
        standard_error: of the difference.
        sample_ratio: p-value of the halves' sizes.
        in_two_halves: customers who were contacted in one month and not in another.
    """

    months: tuple[str, ...]
    a: OneList
    b: OneList
    value: float | None
    standard_error: float | None
    sample_ratio: float
    in_two_halves: int

    @property
    def customers(self) -> int:
        """Customers who are compared, a row a month."""
        return self.a.customers + self.b.customers

    @property
    def z(self) -> float | None:
        """The difference in standard errors."""
        if self.value is None or not self.standard_error:
            return None
        return self.value / self.standard_error


def list_difference(
    months: Sequence[AssignedMonth], without_customers: Sequence[str] = ()
) -> ListDifference:
    """The difference over these months: sum of N_A tau_A - N_B tau_B over their number, with
    tau the churn that assigning prevents among the customers on one list alone (intention to
    treat, Neyman 1923).

    A customer's parts are summed over both lists and all months before squaring (Obuchowski
    1997, Biometrics 53). The halves are drawn exactly, so their sizes differ from what was
    drawn only where labels are missing; Pearson's test is then careful.

    Args:
        months: the months of the test whose labels are known, in any order; rows of customers
            on both lists are not used.
        without_customers: as_of of months in which chance decided about nobody.

    Raises:
        DataError: there is no month, or one is passed twice.
    """
    named = sorted([*(month.as_of for month in months), *without_customers])
    if not named:
        raise DataError("a test without a month with labels has no difference")
    if not months:
        nobody = OneList(0, 0, None, None, None, 0)
        return ListDifference(tuple(named), nobody, nobody, None, None, 1.0, 0)
    rows = rows_of(months)
    on_a = rows.only(rows.stratum == STRATUM_A)
    on_b = rows.only(rows.stratum == STRATUM_B)
    compared_a = comparison_of(on_a) if on_a.size else None
    compared_b = comparison_of(on_b) if on_b.size else None
    value = None
    error = None
    if compared_a is not None and compared_b is not None and _large_enough(on_a, on_b):
        known = int(rows.customer.max()) + 1
        parts = _parts(compared_a, on_a.size, known) - _parts(compared_b, on_b.size, known)
        saved = _saved(compared_a, on_a.size) - _saved(compared_b, on_b.size)
        value = saved / len(named)
        error = math.sqrt(float(parts @ parts)) / len(named)
    alone = rows.only((rows.stratum == STRATUM_A) | (rows.stratum == STRATUM_B))
    return ListDifference(
        months=tuple(named),
        a=_one_list(on_a, compared_a),
        b=_one_list(on_b, compared_b),
        value=value,
        standard_error=error,
        sample_ratio=_sample_ratio((on_a, on_b)),
        in_two_halves=alone.in_two_arms,
    )


def _large_enough(on_a: AssignedRows, on_b: AssignedRows) -> bool:
    """Whether enough customers of each half churned and enough stayed."""
    for assigned in (True, False):
        churned = np.concatenate([one.churned[one.assigned == assigned] for one in (on_a, on_b)])
        churners = int(churned.sum())
        if min(churners, churned.size - churners) < FEWEST_OF_A_KIND:
            return False
    return True


def _saved(compared: Comparison, customers: int) -> float:
    return customers * compared.difference(compared.rows.churned)


def _parts(compared: Comparison, customers: int, known: int) -> FloatArray:
    """How far each customer moves the saved customers of one list, shape (known,)."""
    parts = customers * compared.parts(compared.rows.churned)
    summed = np.bincount(compared.rows.customer, weights=parts, minlength=known)
    return np.asarray(summed, dtype=float)


def _one_list(rows: AssignedRows, compared: Comparison | None) -> OneList:
    assigned = rows.assigned
    if compared is None:
        contacted_churn = untouched_churn = saved = None
    else:
        contacted_churn = compared.mean(compared.rows.churned, compared.rows.assigned)
        untouched_churn = compared.mean(compared.rows.churned, ~compared.rows.assigned)
        saved = _saved(compared, rows.size)
    return OneList(
        customers=rows.size,
        contacted=int(assigned.sum()),
        contacted_churn=contacted_churn,
        untouched_churn=untouched_churn,
        saved=saved,
        contaminated=int(rows.contacted[~assigned].sum()),
    )


def _sample_ratio(lists: Sequence[AssignedRows]) -> float:
    """p-value of Pearson's chi-square of the halves' sizes, one degree of freedom a list."""
    from scipy.stats import chi2

    drawn = [rows for rows in lists if rows.size]
    if not drawn:
        return 1.0
    statistic = sum(
        (rows.assigned.sum() - HALF * rows.size) ** 2 / (HALF * HALF * rows.size) for rows in drawn
    )
    return float(chi2.sf(statistic, len(drawn)))


@dataclass(frozen=True)
class ModelTestPlan:
    """What a test decides by; it is registered before the first month and never changes.

    Attributes:
        looks: planned looks, one a month.
        level: two-sided confidence level of all looks together.
        customers: customers on one list alone that all looks together are planned to compare.
        difference: planned difference in saved customers a month.
        last_boundary: boundary of the last planned look.
    """

    looks: int
    level: float
    customers: int
    difference: float
    last_boundary: float


@dataclass(frozen=True)
class Look:
    """One look at a test.

    Attributes:
        number: from 1.
        information: share of the planned information.
        boundary: of |z|.
        z: the difference in standard errors; None while too few could be compared.
        interval: repeated confidence interval of the difference: all looks' intervals hold
            together at the test's level.
        conditional_power: probability that the test still shows a difference, if the planned
            one is true.
        withheld: whether the halves are not as they were drawn, so there is no verdict.
        outcome: how the test ends with this look; None if it continues.
    """

    number: int
    information: float
    boundary: float
    z: float | None
    interval: tuple[float, float] | None
    conditional_power: float | None
    withheld: bool
    outcome: Outcome | None


def take_look(plan: ModelTestPlan, earlier: Sequence[float], found: ListDifference) -> Look:
    """The next look at a test, O'Brien-Fleming by `evaluation/sequential.py`.

    It is the last one when so many were planned or all of the planned information is there. The
    rule of futility does not bind: the boundaries hold whether or not it is followed.

    Args:
        plan: what was registered.
        earlier: the information at each look before.
        found: the difference over the months of this look.
    """
    before = earlier[-1] if earlier else LEAST_INFORMATION
    information = max(found.customers / max(plan.customers, 1), before)
    bounds = planned_boundaries([*earlier, information], plan.looks, plan.level)
    boundary = bounds[-1]
    number = len(earlier) + 1
    last = number >= plan.looks or information >= 1
    withheld = found.sample_ratio < SAMPLE_RATIO_LEVEL
    interval = None
    power = None
    z = found.z
    if z is not None and found.value is not None and found.standard_error is not None:
        half = boundary * found.standard_error
        interval = (found.value - half, found.value + half)
        drift = plan.difference / (found.standard_error * math.sqrt(information))
        power = conditional_power(z, information, drift, plan.last_boundary)
    return Look(
        number=number,
        information=information,
        boundary=boundary,
        z=z,
        interval=interval,
        conditional_power=power,
        withheld=withheld,
        outcome=_outcome(z, boundary, power, last=last, withheld=withheld),
    )


def _outcome(
    z: float | None, boundary: float, power: float | None, *, last: bool, withheld: bool
) -> Outcome | None:
    if withheld:
        return Outcome.CANCELLED if last else None
    if z is not None and z >= boundary:
        return Outcome.A_BETTER
    if z is not None and z <= -boundary:
        return Outcome.B_BETTER
    if last:
        return Outcome.NO_DIFFERENCE
    if power is not None and power < FUTILE_BELOW:
        return Outcome.FUTILE
    return None
