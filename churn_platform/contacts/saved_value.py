"""What each customer is worth if saved."""

import numpy as np
import pandas as pd

from churn_platform.contract.model import ColumnCost, Contract
from churn_platform.evaluation.costs import RowCosts
from churn_platform.evaluation.statistics import FloatArray
from churn_platform.lake.tables import feature_frame


def saved_values(
    contract: Contract, tables: dict[str, pd.DataFrame], keys: pd.Series
) -> FloatArray:
    """What each customer (rows,) is worth if saved; one without a figure is worth the mean."""
    value = contract.policy.contacts.value
    if value is None:
        cost = contract.costs.missed_churner
        if not isinstance(cost, ColumnCost):
            return np.full(len(keys), float(cost))
        rows = feature_frame(contract, tables).set_index(keys.name).reindex(keys)
        return RowCosts.of(contract.costs, rows).missed
    if isinstance(value, int | float):
        return np.full(len(keys), float(value))
    figures = named_column(contract, tables, value, keys).astype("Float64")
    return np.asarray(figures.fillna(figures.mean()), dtype=float)


def named_column(
    contract: Contract, tables: dict[str, pd.DataFrame], named: str, keys: pd.Series
) -> pd.Series:
    """A column that is named as `table.column`, by customer (rows,)."""
    table, _, column = named.partition(".")
    by_key = tables[table].set_index(contract.entity.column)[column]
    return by_key.reindex(keys).reset_index(drop=True)
