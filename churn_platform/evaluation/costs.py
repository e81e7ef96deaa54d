"""The costs of wrong predictions: one figure for all, or one per customer from a column."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from churn_platform.contract.outcome import Cost, Costs
from churn_platform.evaluation.statistics import BoolArray, FloatArray


@dataclass(frozen=True)
class RowCosts:
    """`missed` and `needless` of each row, shape (n,), >= 0, in the contract's currency."""

    missed: FloatArray
    needless: FloatArray

    @classmethod
    def of(cls, costs: Costs, rows: pd.DataFrame) -> "RowCosts":
        """The costs of (n,) rows with the costs' columns; a row without a figure costs the mean."""
        return cls(_figures(costs.missed_churner, rows), _figures(costs.needless_contact, rows))

    def total(
        self, churned: BoolArray, contacted: BoolArray, weights: FloatArray | None = None
    ) -> float:
        """The cost of contacting these rows: churners not contacted, and stayers contacted.

        Args:
            churned: (n,) who churned.
            contacted: (n,) who is contacted.
            weights: (n,) how many customers each row stands for; None: all alike.
        """
        missed = churned & ~contacted
        needless = ~churned & contacted
        if weights is None:
            return float(self.missed[missed].sum() + self.needless[needless].sum())
        return float(weights[missed] @ self.missed[missed]) + float(
            weights[needless] @ self.needless[needless]
        )


def _figures(cost: Cost, rows: pd.DataFrame) -> FloatArray:
    if isinstance(cost, float | int):
        return np.full(len(rows), float(cost))
    values = rows[cost.column].to_numpy(dtype="float64", na_value=np.nan)
    known = ~np.isnan(values)
    mean = float(values[known].mean()) if known.any() else 0.0
    return np.where(known, values, mean) * cost.times
