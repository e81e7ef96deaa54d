"""How a simulated column is distributed: a latent normal number becomes a value that the
contract allows.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.extensions import ExtensionArray

from churn_platform.base.errors import ContractError
from churn_platform.contract.model import Column, Contract

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Key = tuple[str, str]  # table, column

UNLISTED_CATEGORIES = 4
USUAL_COUNT = (1.5, 10.0)
USUAL_AMOUNT = (5.0, 60.0)
NOTHING = {"float": np.nan, "date": np.datetime64("NaT"), "category": None, "string": None}


@dataclass(frozen=True)
class Numbers:
    """A skewed amount or count above `start`: `start + median * exp(sigma * z)`, within the
    bounds.

    The contract's maximum is a plausibility bound, so values stay near `start` and rarely reach
    it.
    """

    start: float
    low: float
    high: float
    median: float
    sigma: float
    whole: bool

    def values(self, latent: Floats) -> Floats:
        """The values of standard normal `latent`, same shape, with about four digits."""
        raw = self.start + self.median * np.exp(self.sigma * latent)
        digits = max(0, 3 - int(np.floor(np.log10(self.median))))
        rounded: Floats = np.floor(raw) if self.whole else np.round(raw, digits)
        bounded: Floats = np.clip(rounded, self.low, self.high)
        return bounded

    def encoded(self, latent: Floats) -> Floats:
        """The numbers that act on churn: the values themselves."""
        return self.values(latent)


@dataclass(frozen=True)
class Levels:
    """Categories or a boolean: `latent` cut at `cuts`; `effects` is the effect of each level on
    churn.
    """

    cuts: tuple[float, ...]
    effects: tuple[float, ...]

    def values(self, latent: Floats) -> Floats:
        """The position of each level, counted from 0."""
        return np.searchsorted(np.array(self.cuts), latent).astype(np.float64)

    def encoded(self, latent: Floats) -> Floats:
        """The numbers that act on churn."""
        return np.array(self.effects)[self.values(latent).astype(np.intp)]


ColumnShape = Numbers | Levels


def shapes_of(contract: Contract, rng: np.random.Generator) -> dict[Key, ColumnShape]:
    """A random shape for each (table, column) except key, label, dates and free text.

    Raises:
        ContractError: a column that no value can satisfy.
    """
    label = (contract.label.table, contract.label.column)
    return {
        (table_name, name): _shape(f"{table_name}.{name}", column, rng)
        for table_name, table in contract.tables.items()
        for name, column in table.columns.items()
        if column.dtype not in ("string", "date") and (table_name, name) != label
    }


def categories_of(name: str, column: Column) -> tuple[str, ...]:
    """The values that the contract lists, or made-up ones."""
    if column.values is not None:
        return column.values
    return tuple(f"{name}_{number}" for number in range(1, UNLISTED_CATEGORIES + 1))


def _shape(where: str, column: Column, rng: np.random.Generator) -> ColumnShape:
    if column.dtype in ("integer", "float"):
        return _numbers(where, column, rng)
    if column.dtype == "boolean":
        count = 2
    else:
        count = len(categories_of(where, column))
    if count == 0:
        raise ContractError(
            f"{where}: no value is allowed (values is empty); list at least one or leave it out."
        )
    # No rare level: in a small month it would be noise in every statistic.
    shares = rng.uniform(1.0, 2.0, count)
    inner = np.cumsum(shares / shares.sum())[:-1]
    cuts = tuple(NormalDist().inv_cdf(float(share)) for share in inner)
    return Levels(cuts, tuple(rng.permutation(count).astype(np.float64).tolist()))


def _numbers(where: str, column: Column, rng: np.random.Generator) -> Numbers:
    whole = column.dtype == "integer"
    low, high = _bounds(column, whole=whole)
    if low > high:
        raise ContractError(
            f"{where}: no integer lies between {column.min} and {column.max}; widen the bounds."
        )
    # A negative minimum allows negative numbers but does not make them usual: start at 0.
    start = 0.0 if low < 0 < high else low
    least, most = USUAL_COUNT if whole else USUAL_AMOUNT
    median = float(np.exp(rng.uniform(np.log(least), np.log(most))))
    room = high - start + whole
    if room > 0:
        median = min(median, 0.35 * room)
    else:
        median = 1.0
    return Numbers(start, low, high, median, float(rng.uniform(0.35, 0.7)), whole)


def _bounds(column: Column, *, whole: bool) -> tuple[float, float]:
    high = column.max
    if high is None:
        high = np.inf
    low = column.min
    if low is None:
        low = min(0.0, high - 100.0)
    if whole:
        return (float(np.ceil(low)), float(np.floor(high)))
    return (float(low), float(high))


def delivered(
    name: str, column: Column, raw: npt.NDArray[Any], empty: Flags | None
) -> npt.NDArray[Any] | ExtensionArray:
    """A column as a drop delivers it, in the contract's dtype, shape (n,).

    Args:
        name: the column's name, for made-up categories.
        column: the contract's.
        raw: raw values, shape (n,); positions for categories.
        empty: where a nullable column is null, shape (n,).
    """
    if column.dtype == "integer":
        whole = raw.astype(np.int64)
        if empty is None:
            return whole
        return pd.arrays.IntegerArray(whole, empty)
    if column.dtype == "boolean":
        flags = raw.astype(np.bool_)
        if empty is None:
            return flags
        return pd.arrays.BooleanArray(flags, empty)
    if column.dtype == "category":
        raw = np.array(categories_of(name, column), dtype=object)[raw.astype(np.intp)]
    result = raw.copy()
    if empty is not None:
        result[empty] = NOTHING[column.dtype]
    return result
