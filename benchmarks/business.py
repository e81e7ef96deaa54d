"""A business of any size made from a contract, fast: sound tables, customers that come and go,
nulls where allowed.
"""

import datetime as dt

import numpy as np
import pandas as pd

from churn_platform.contract.model import Column, Contract
from churn_platform.lake.lake import Lake, instant
from churn_platform.simulator import as_of_at

FIRST = dt.date(2024, 1, 31)
PRESENT = 0.97
NULLS = 0.05
CHURN = 0.2


def months_of(contract: Contract, count: int) -> list[dt.date]:
    """The first `count` as_of dates."""
    return [as_of_at(contract, FIRST, number) for number in range(1, count + 1)]


def tables_of(
    contract: Contract, customers: int, month: int, moved: float = 0.0
) -> dict[str, pd.DataFrame]:
    """One month's tables; the same arguments give the same rows.

    Args:
        contract: names, dtypes, ranges.
        customers: customers ever known; 97% of them have a row in a table.
        month: counted from 1.
        moved: how far numbers are moved, in standard deviations.
    """
    rng = np.random.default_rng([month, customers])
    keys = np.arange(customers) if contract.entity.dtype == "integer" else keys_of(customers)
    made = {}
    for name, table in contract.tables.items():
        there = np.flatnonzero(rng.random(customers) < PRESENT)
        columns = {
            column: _values(spec, len(there), rng, moved) for column, spec in table.columns.items()
        }
        if name == contract.label.table:
            columns[contract.label.column] = pd.array(
                rng.random(len(there)) < CHURN, dtype="boolean"
            )
        made[name] = pd.DataFrame({contract.entity.column: keys[there], **columns})
    return made


def keys_of(customers: int) -> np.ndarray:
    """Keys as text, sorted."""
    return np.char.mod("c%09d", np.arange(customers)).astype(object)


def fill(lake: Lake, customers: int, months: list[dt.date]) -> None:
    """Publish months of such tables, unless the lake already holds them."""
    for number, month in enumerate(months, start=1):
        if month not in lake.months():
            lake.publish(
                month, tables_of(lake.contract, customers, number), instant(month), str(number)
            )


def _values(spec: Column, count: int, rng: np.random.Generator, moved: float) -> object:
    low = spec.min or 0
    high = min(spec.max if spec.max is not None else 100, 1000)
    if spec.dtype == "category" and spec.values:
        return rng.choice(np.array(spec.values, dtype=object), count)
    if spec.dtype in ("category", "string"):
        return rng.choice(np.array(["a", "b", "c"], dtype=object), count)
    if spec.dtype == "boolean":
        values = pd.array(rng.random(count) < 0.4, dtype="boolean")
        if spec.nullable:
            values[rng.random(count) < NULLS] = pd.NA
        return values
    if spec.dtype == "date":
        return pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1400, count), unit="D")
    share = np.clip(rng.gamma(2.0, 0.1, count) + 0.14 * moved, 0, 1)
    if spec.dtype == "integer":
        return pd.array(np.round(low + (min(high, 60) - low) * share), dtype="Int64")
    values = low + (high - low) * share
    if spec.nullable:
        values[rng.random(count) < NULLS] = np.nan
    return values
