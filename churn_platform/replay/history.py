"""The past as it was known: every month's rows at scoring, and its labels from the month on in
which they came.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from churn_platform.contract.model import Contract
from churn_platform.evaluation.statistics import BoolArray
from churn_platform.features.training_dataset import AS_OF, LABEL, TrainingDataset, assemble
from churn_platform.lake.window import Classes, Window, choose_window, matured_months
from churn_platform.monitoring.comparison import LabelledMonth


@dataclass(frozen=True, eq=False)
class PastMonth:
    """One month.

    `rows` has one row per customer as known at scoring (entity, features, carried columns).
    `labels` are pairs of the month from which on they were known, and the labels (booleans by
    entity); oldest first, empty without any.
    """

    rows: pd.DataFrame
    labels: tuple[tuple[dt.date, pd.Series], ...] = ()


@dataclass(frozen=True, eq=False)
class PastLabels:
    """The labelled customers of a month; `known` marks their rows, shape (rows,)."""

    known: BoolArray
    labelled: LabelledMonth


class PastMonths:
    """All months of a business, whatever its policy was."""

    def __init__(self, months: Mapping[dt.date, PastMonth]) -> None:
        self.months = dict(sorted(months.items()))

    def rows(self, month: dt.date) -> pd.DataFrame:
        """The month's rows as known at scoring."""
        return self.months[month].rows

    def labels(self, month: dt.date, cutoff: dt.date | None = None) -> pd.Series | None:
        """The month's labels as known in the month `cutoff`, or today; None before they were."""
        known = [
            labels
            for since, labels in self.months[month].labels
            if cutoff is None or since <= cutoff
        ]
        return known[-1] if known else None

    def matured(self, contract: Contract, cutoff: dt.date) -> list[dt.date]:
        """Months whose labels were known and had matured in the month `cutoff`, oldest first."""
        known = {
            month
            for month in self.months
            if month <= cutoff and self.labels(month, cutoff) is not None
        }
        return matured_months(self.months, known, contract, cutoff)

    def labelled(
        self, contract: Contract, month: dt.date, cutoff: dt.date | None = None
    ) -> PastLabels | None:
        """The month's labelled rows as known in the month `cutoff`, or today; None before there
        was a label.
        """
        labels = self.labels(month, cutoff)
        if labels is None:
            return None
        # As objects: pandas looks Arrow's strings up one by one, 40 ms for 7,000.
        keys = self.rows(month)[contract.entity.column].to_numpy(dtype=object)
        places = pd.Index(labels.index.to_numpy(dtype=object)).get_indexer(pd.Index(keys))
        known = places >= 0
        churned = labels.to_numpy(dtype=bool)[places[known]]
        return PastLabels(known, LabelledMonth(keys[known], churned))

    def known(
        self, contract: Contract, months: list[dt.date], cutoff: dt.date
    ) -> tuple[pd.DataFrame, pd.Series]:
        """All rows of some months, and their labels (rows,) as known at `cutoff`, null where
        unknown.
        """
        key = contract.entity.column
        parts = []
        labels = []
        for month in months:
            rows = self.rows(month)
            found = self.labels(month, cutoff)
            parts.append(rows)
            if found is None:
                labels.append(pd.Series(pd.NA, index=rows.index, dtype="boolean"))
            else:
                labels.append(rows[key].map(found))
        joined = pd.concat(labels, ignore_index=True).astype("boolean")
        return pd.concat(parts, ignore_index=True), joined

    def classes(self, contract: Contract, cutoff: dt.date) -> dict[dt.date, Classes]:
        """The classes of the months that had matured in the month `cutoff`."""
        found = {}
        for month in self.matured(contract, cutoff):
            labels = self.labels(month, cutoff)
            churners = 0 if labels is None else int(labels.sum())
            stayers = 0 if labels is None else len(labels) - churners
            found[month] = Classes(churners, stayers)
        return found

    def window(self, contract: Contract, cutoff: dt.date) -> Window | None:
        """The months that the month `cutoff` would have trained on; None before labels had
        matured.
        """
        return choose_window(self.classes(contract, cutoff), contract.policy)

    def left_out(self, contract: Contract, cutoff: dt.date) -> dict[str, str]:
        """The matured months that the month `cutoff` could not have trained on, each with the
        reason.
        """
        reasons = {
            month.isoformat(): classes.why_not_trained(month)
            for month, classes in self.classes(contract, cutoff).items()
        }
        return {month: why for month, why in reasons.items() if why is not None}

    def dataset(self, contract: Contract, cutoff: dt.date) -> TrainingDataset | None:
        """The training dataset that the month `cutoff` would have made; None before labels had
        matured.
        """
        window = self.window(contract, cutoff)
        if window is None:
            return None
        spines = [self._spine(contract, month, cutoff) for month in window.months]
        spine = pd.concat(spines, ignore_index=True)
        key = [contract.entity.column, AS_OF]
        asked = [*key, *contract.carried, LABEL]
        return assemble(contract, spine[asked], spine[[*key, *contract.features]], window)

    def _spine(self, contract: Contract, month: dt.date, cutoff: dt.date) -> pd.DataFrame:
        """Every labelled customer with the month's row; null where the snapshot had none."""
        labels = self.labels(month, cutoff)
        rows = self.rows(month).set_index(contract.entity.column)
        found = rows.reindex(pd.Series([], dtype=object) if labels is None else labels.index)
        found.index.name = contract.entity.column
        return found.assign(**{LABEL: labels, AS_OF: month.isoformat()}).reset_index()
