"""The labels of a month as every reader takes them: corrected for contacts."""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd

from churn_platform.contacts.correction import Correction, correct
from churn_platform.contacts.log import ContactLog
from churn_platform.contacts.plans import ContactPlans
from churn_platform.evaluation.weights import effective_count
from churn_platform.lake.lake import Lake
from churn_platform.lake.window import Classes


@dataclass(frozen=True, eq=False)
class MonthLabels:
    """Who churned, (rows,) booleans indexed by customer, and what the rows stand for.

    Without contacts in the contract `correction` is None: every label counts alike.
    """

    churned: pd.Series
    correction: Correction | None = None

    @property
    def weights(self) -> pd.Series | None:
        """(rows,) by customer; 0 for those assigned to be contacted. None: all count alike."""
        if self.correction is None:
            return None
        return pd.Series(self.correction.weights, index=self.churned.index)

    @property
    def outside(self) -> pd.Series | None:
        """(rows,) by customer: contacted without a plan that knew them. None: nobody was."""
        if self.correction is None:
            return None
        return pd.Series(self.correction.outside, index=self.churned.index)

    def classes(self) -> Classes:
        """How many customers churned and stayed, in effective numbers, rounded down."""
        churned = self.churned.to_numpy(dtype=bool)
        if self.correction is None:
            churners = int(churned.sum())
            return Classes(churners, len(churned) - churners)
        kept = self.correction.weights * ~self.correction.outside
        return Classes(effective_count(kept[churned]), effective_count(kept[~churned]))


@dataclass(frozen=True)
class CorrectedLabels:
    """The labels of one home."""

    lake: Lake
    plans: ContactPlans
    log: ContactLog

    def of(self, month: dt.date, known_at: dt.datetime) -> MonthLabels | None:
        """The labels of a month as known at an instant; None before they are.

        A plan of a later month changes no earlier label: contacts count from the as_of to the
        date at which the label is known.
        """
        churned = self.lake.labels(month, known_at)
        if churned is None:
            return None
        contract = self.lake.contract
        if contract.at(month).contacts is None and not self.plans.months():
            return MonthLabels(churned)
        known = contract.matures(month)
        contacts = self.log.between(known_at, month, known)
        correction = correct(
            pd.Series(churned.index),
            self.plans.worked_between(month, known),
            set(contacts[contract.entity.column]),
        )
        return MonthLabels(churned, correction)

    def classes(self, month: dt.date, known_at: dt.datetime) -> Classes:
        """How many labelled customers churned and stayed; the lake's own count without contacts."""
        if self.lake.contract.contacts is None:
            return self.lake.classes(month)
        found = self.of(month, known_at)
        return Classes(0, 0) if found is None else found.classes()


def aligned(values: pd.Series | None, keys: pd.Series) -> np.ndarray | None:
    """Values by customer in the order of `keys` (rows,)."""
    return None if values is None else values.reindex(keys).to_numpy()
