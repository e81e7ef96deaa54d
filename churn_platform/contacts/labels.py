"""The labels of a month as every reader takes them: corrected for contacts."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from churn_platform.contacts.correction import Correction, correct
from churn_platform.contacts.log import ContactLog
from churn_platform.contacts.plans import ContactPlans
from churn_platform.evaluation.statistics import BoolArray, FloatArray
from churn_platform.evaluation.weights import effective_count
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Records
from churn_platform.lake.window import Classes, Months
from churn_platform.ledger.store import LedgerStore


@dataclass(frozen=True, eq=False)
class MonthLabels:
    """Who churned, (rows,) booleans indexed by customer, and what the rows stand for.

    Without contacts in the contract `correction` is None: every label counts alike.
    """

    churned: pd.Series
    correction: Correction | None = None

    @property
    def measurable(self) -> bool:
        """Whether rows stand for the customers who were assigned to be contacted, if any."""
        return self.correction is None or self.correction.measurable

    @property
    def weights(self) -> pd.Series | None:
        """(rows,) by customer; 0 for those assigned to be contacted. None: all count alike."""
        if self.correction is None:
            return None
        return pd.Series(self.correction.weights, index=self.churned.index)

    def weights_of(self, keys: pd.Series) -> FloatArray:
        """How many customers the label of each key (rows,) stands for; 0 without a label."""
        known = self.weights
        if known is None:
            known = pd.Series(1.0, index=self.churned.index)
        return np.asarray(known.reindex(keys).fillna(0.0), dtype=float)

    def of_customers(self, keys: pd.Series) -> "MonthLabels":
        """The labels of some of the customers (rows,), in their order."""
        places = pd.Index(self.churned.index).get_indexer(pd.Index(keys))
        churned = self.churned.iloc[places]
        if self.correction is None:
            return MonthLabels(churned)
        return MonthLabels(churned, self.correction.of(places))

    def only(self, chosen: BoolArray) -> "MonthLabels":
        """The labels of the customers that are marked, shape (rows,)."""
        churned = self.churned[chosen]
        if self.correction is None:
            return MonthLabels(churned)
        return MonthLabels(churned, self.correction.of(np.flatnonzero(chosen)))

    @property
    def kept(self) -> pd.Series:
        """The labels of the customers who were not assigned to be contacted."""
        if self.correction is None:
            return self.churned
        return self.churned[self.correction.weights > 0]

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
    """The labels of one home: what every step that reads labels takes."""

    lake: Lake
    plans: ContactPlans
    log: ContactLog
    now: Callable[[], dt.datetime]

    @classmethod
    def of_home(
        cls, lake: Lake, records: Records, ledger: LedgerStore, now: Callable[[], dt.datetime]
    ) -> "CorrectedLabels":
        """The labels in a lake, with the plans of its home."""
        return cls(lake, ContactPlans(lake.contract, records, ledger), ContactLog(lake), now)

    @property
    def corrected(self) -> bool:
        """Whether labels have weights: the contract names contacts."""
        return self.lake.contract.contacts is not None

    def of(self, month: dt.date, known_at: dt.datetime) -> MonthLabels | None:
        """The labels of a month as known at an instant; None before they are."""
        churned = self.lake.labels(month, known_at)
        if churned is None:
            return None
        return self.correct(month, churned, known_at)

    def correct(self, month: dt.date, churned: pd.Series, known_at: dt.datetime) -> MonthLabels:
        """Labels of a month, (rows,) booleans by customer, with what they stand for.

        Contacts from the as_of to the date at which the label is known can have changed it.
        """
        if not self.corrected:
            return MonthLabels(churned)
        contract = self.lake.contract
        until = contract.matures(month)
        contacts = self.log.between(known_at, month, until)
        plans = self.plans.worked_between(month, until)
        correction = correct(pd.Series(churned.index), plans, set(contacts[contract.entity.column]))
        return MonthLabels(churned, correction)

    def months(self) -> Months:
        """The published months, each counted by the labels that count."""
        return Months(self.lake, self.lake.contract, self.classes)

    def classes(self, month: dt.date) -> Classes:
        """How many labelled customers of a month churned and stayed, in effective numbers."""
        if not self.corrected:
            return self.lake.classes(month)
        found = self.of(month, self.now())
        return Classes(0, 0) if found is None else found.classes()
