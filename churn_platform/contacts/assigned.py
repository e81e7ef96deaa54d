"""The randomised customers of several months in one table, and whether their arms are as drawn.

Each month draws its arms anew, so every listing of a customer is a comparison of its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from churn_platform.base.errors import DataError
from churn_platform.evaluation.statistics import (
    BoolArray,
    FloatArray,
    IntArray,
    KeyArray,
    checked_labels,
    checked_scores,
)

Scalar = TypeVar("Scalar", bound=np.generic)

FEWEST_EXPECTED = 15.0
"""Expected customers an arm and stratum. The usual five (Cochran 1954) are meant for a level of
5%. Fifteen give 0.08 to 0.14% false alarms a look, both tests at 0.05%, if 5% or more are
untouched.
"""


@dataclass(frozen=True, eq=False)
class AssignedMonth:
    """The customers of one month's plan above the cut whose label is known; arrays (rows,).

    Attributes:
        as_of: the month of the plan, in ISO format.
        entities: the customers, each once.
        assigned: True in arm `contact`, False in arm `untouched`.
        probability: registered probability of being assigned, strictly between 0 and 1.
        stratum: tenth of the part above the cut.
        churned: the label.
        contacted: whether the contact table has a contact inside the horizon.
        action: what was done, None where nothing was.
        value: what a saved customer is worth.
        cost: contact cost and incentive where contacted, else 0.
        slices: groups to report separately, known before the assignment, by name.
    """

    as_of: str
    entities: KeyArray
    assigned: BoolArray
    probability: FloatArray
    stratum: IntArray
    churned: BoolArray
    contacted: BoolArray
    action: KeyArray
    value: FloatArray
    cost: FloatArray
    slices: Mapping[str, KeyArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = len(self.entities)
        arrays = {
            "assigned": self.assigned,
            "stratum": self.stratum,
            "churned": self.churned,
            "contacted": self.contacted,
            "action": self.action,
            **self.slices,
        }
        for name, values in arrays.items():
            if len(values) != rows:
                raise DataError(
                    f"{self.as_of}: {name} has {len(values)} rows for {rows} customers."
                )
        checked_scores("values of a saved customer", self.value, rows)
        checked_scores("costs", self.cost, rows)
        chances = checked_scores("assignment probabilities", self.probability, rows)
        certain = chances[(chances <= 0) | (chances >= 1)]
        if certain.size:
            raise DataError(
                f"{self.as_of}: {certain.size} customers have the assignment probability"
                f" {certain[0]:g}. Without chance there is nothing to compare."
            )
        if rows:
            checked_labels(self.churned, two_classes=False)
        if pd.unique(np.asarray(self.entities, dtype=object)).size != rows:
            raise DataError(f"{self.as_of}: a customer has two rows in one month's plan.")


@dataclass(frozen=True, eq=False)
class AssignedRows:
    """The rows of several months below each other, oldest month first; arrays (rows,).

    `month` and `customer` are codes from 0.
    """

    month: IntArray
    customer: IntArray
    assigned: BoolArray
    probability: FloatArray
    stratum: IntArray
    churned: FloatArray
    contacted: FloatArray
    action: KeyArray
    value: FloatArray
    cost: FloatArray
    slices: Mapping[str, KeyArray]

    @property
    def size(self) -> int:
        """How many rows there are."""
        return int(self.customer.size)

    def only(self, kept: BoolArray) -> "AssignedRows":
        """The rows that `kept` selects."""
        return AssignedRows(
            month=self.month[kept],
            customer=self.customer[kept],
            assigned=self.assigned[kept],
            probability=self.probability[kept],
            stratum=self.stratum[kept],
            churned=self.churned[kept],
            contacted=self.contacted[kept],
            action=self.action[kept],
            value=self.value[kept],
            cost=self.cost[kept],
            slices={name: values[kept] for name, values in self.slices.items()},
        )

    @property
    def in_two_arms(self) -> int:
        """How many customers were assigned in one month and untouched in another."""
        both = np.intersect1d(self.customer[self.assigned], self.customer[~self.assigned])
        return int(both.size)


def rows_of(months: Sequence[AssignedMonth]) -> AssignedRows:
    """All months in one table; the slices are those of the latest month.

    Raises:
        DataError: a month is passed twice.
    """
    ordered = sorted(months, key=lambda month: month.as_of)
    if len({month.as_of for month in ordered}) < len(ordered):
        raise DataError("A month is passed twice.")
    sizes = [len(month.entities) for month in ordered]
    slices = {
        name: np.concatenate(
            [
                np.asarray(month.slices.get(name, [None] * len(month.entities)), dtype=object)
                for month in ordered
            ]
        )
        for name in ordered[-1].slices
    }
    return AssignedRows(
        month=np.repeat(np.arange(len(ordered)), sizes),
        customer=pd.factorize(_joined([month.entities for month in ordered], np.object_))[0],
        assigned=_joined([month.assigned for month in ordered], np.bool_),
        probability=_joined([month.probability for month in ordered], np.float64),
        stratum=_joined([month.stratum for month in ordered], np.int64),
        churned=_joined([month.churned for month in ordered], np.float64),
        contacted=_joined([month.contacted for month in ordered], np.float64),
        action=_joined([month.action for month in ordered], np.object_),
        value=_joined([month.value for month in ordered], np.float64),
        cost=_joined([month.cost for month in ordered], np.float64),
        slices=slices,
    )


def _joined(arrays: Sequence[npt.ArrayLike], kind: type[Scalar]) -> npt.NDArray[Scalar]:
    """The arrays below each other as `kind`."""
    return np.concatenate([np.asarray(values, dtype=kind) for values in arrays])


@dataclass(frozen=True)
class SampleRatio:
    """Customers in each arm against the registered probabilities."""

    customers: int
    untouched: int
    expected_untouched: float
    p_value: float
    p_value_in_strata: float


def sample_ratio(rows: AssignedRows) -> SampleRatio:
    """Compare the arms with the registered probabilities, overall and within strata.

    Returns:
        p-values of Pearson's chi-square, with one degree of freedom overall and one for each
        stratum (strata that expect fewer than fifteen customers in an arm are joined). With
        unequal probabilities (n - E)^2 / sum p(1 - p) takes the place of Pearson's sum, which
        it equals where the probabilities are equal (Fabijan et al., KDD 2019, for its use).
    """
    expected = float((1 - rows.probability).sum())
    cells = expected_cells(rows.stratum, rows.probability, FEWEST_EXPECTED)
    overall = _chi_square(np.zeros_like(cells), rows)
    in_strata = _chi_square(cells, rows)
    return SampleRatio(
        customers=rows.size,
        untouched=int((~rows.assigned).sum()),
        expected_untouched=expected,
        p_value=overall,
        p_value_in_strata=in_strata,
    )


def _chi_square(cells: IntArray, rows: AssignedRows) -> float:
    """p-value of the arms' sizes, summed over the cells."""
    from scipy.stats import chi2

    surplus = np.bincount(cells, weights=rows.assigned - rows.probability)
    variance = np.bincount(cells, weights=rows.probability * (1 - rows.probability))
    return float(chi2.sf(float((surplus**2 / variance).sum()), surplus.size))


def expected_cells(groups: IntArray, probability: FloatArray, fewest: float) -> IntArray:
    """Join neighbouring groups until each arm expects `fewest` rows; codes from 0, shape (rows,).

    The registered probabilities decide, not the arms as they came: stopping at the untouched
    row that completes a cell would put too many untouched rows at the cell's end, which biases
    the comparison. A remainder joins the cell before it.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    assigned = np.bincount(codes, weights=probability)
    untouched = np.bincount(codes, weights=1 - probability)
    return joined_groups(np.minimum(assigned, untouched), fewest)[codes]


def joined_groups(sizes: FloatArray, fewest: float) -> IntArray:
    """The cell of each group when neighbours are joined until their sizes add up to `fewest`."""
    cells = np.zeros(sizes.size, dtype=np.int64)
    cell = 0
    total = 0.0
    for group, size in enumerate(sizes):
        cells[group] = cell
        total += float(size)
        if total >= fewest or math.isclose(total, fewest):
            cell += 1
            total = 0.0
    if total > 0 and cell > 0:
        cells[cells == cell] = cell - 1
    return cells
