"""Labels corrected for contacts: one rule for every reader of labels.

The label of a customer who was assigned to be contacted is not the label that the model
predicted. Such rows are left out, and the rows of customers who could have been assigned stand
for them: with weight 1 / (1 - probability of assignment). The rule goes by assignment, never
by who was reached, because that is chance only in the first case (Horvitz and Thompson 1952).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from churn_platform.contacts.plan import ARM, ASSIGNED, PROBABILITY, UNTOUCHED
from churn_platform.evaluation.statistics import BoolArray, FloatArray


@dataclass(frozen=True)
class RegisteredPlan:
    """The plan of one month as it was registered: `rows` indexed by key with arm and
    assignment_probability.
    """

    as_of: str
    rows: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Correction:
    """What the labelled customers of one month stand for; arrays are (rows,).

    Attributes:
        weights: 0 for customers assigned to be contacted.
        assigned: Assigned by a plan that can have changed the label.
        untouched: Left untouched by such a plan.
        outside: Contacted before the label without any plan that knew the customer: chance did
            not decide, so no weight corrects it.
        measurable: False if a plan left nobody untouched: then no row stands for those assigned.
    """

    weights: FloatArray
    assigned: BoolArray
    untouched: BoolArray
    outside: BoolArray
    measurable: bool = True

    def of(self, places: npt.NDArray[np.intp]) -> "Correction":
        """The correction of some of the rows, by their places."""
        return Correction(
            self.weights[places],
            self.assigned[places],
            self.untouched[places],
            self.outside[places],
            self.measurable,
        )


def correct(
    keys: pd.Series, plans: Sequence[RegisteredPlan], contacted: Collection[object]
) -> Correction:
    """Weigh the labelled customers of a month.

    Args:
        keys: (rows,) the customers.
        plans: those that were worked between the as_of and the date at which its label is
            known. Each month draws anew.
        contacted: the customers who were contacted in that time.
    """
    left_alone = np.ones(len(keys))
    assigned = np.zeros(len(keys), dtype=bool)
    untouched = np.zeros(len(keys), dtype=bool)
    known = np.zeros(len(keys), dtype=bool)
    measurable = True
    for plan in plans:
        found = plan.rows.reindex(keys)
        arms = found[ARM].to_numpy(dtype=object)
        probability = found[PROBABILITY].fillna(0).to_numpy(dtype=float)
        assigned |= np.isin(arms.astype(str), ASSIGNED)
        untouched |= arms == UNTOUCHED
        known |= found[ARM].isin([*ASSIGNED, UNTOUCHED]).to_numpy()
        measurable &= bool((plan.rows[PROBABILITY] < 1).all())
        left_alone *= 1 - probability
    weights = np.zeros(len(keys))
    kept = ~assigned & (left_alone > 0)
    weights[kept] = 1 / left_alone[kept]
    outside = keys.isin(list(contacted)).to_numpy() & ~known
    return Correction(weights, assigned, untouched, outside, measurable)
