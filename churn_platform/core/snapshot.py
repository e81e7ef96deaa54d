"""Validation of one drop: raw tables in, typed tables or faults out; every rule comes from the contract.

Belongs here: conversion to the contract's dtypes, the Pandera schema, the sentence for each fault.
Does not: reading files (`adapters/drop_reader.py`) or publishing (`adapters/lake.py`).
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from churn_platform.core.contract import Column, Contract, Dtype

if TYPE_CHECKING:
    import pandera.pandas as pa

TRUE_WORDS = ("true", "t", "yes", "y", "1", "1.0")
FALSE_WORDS = ("false", "f", "no", "n", "0", "0.0")
NULL_WORDS = ("", "null", "none", "nan", "na", "n/a")
EXAMPLES = 3
EXACT_FLOAT = 2**53
"""Up to here a float64 tells neighbouring whole numbers apart."""
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Fault:
    """What is wrong with one column of one table; `rows` are data rows counted from 1, the header not counted."""

    table: str
    column: str
    problem: str
    remedy: str
    rows: tuple[int, ...] = ()
    examples: tuple[str, ...] = ()

    def sentence(self) -> str:
        """The fault for a person: what, where, which values, what to do."""
        where = f"table {self.table!r}" + (f", column {self.column!r}" if self.column else "")
        shown = ", ".join(repr(example) for example in self.examples[:EXAMPLES])
        lines = ", ".join(str(row) for row in self.rows[:EXAMPLES]) + (", ..." if len(self.rows) > EXAMPLES else "")
        seen = f"found {shown} " if shown else ""
        found = f" ({seen}in row{'s' if len(self.rows) > 1 else ''} {lines})" if self.rows else ""
        return f"{where}: {self.problem}{found}; {self.remedy}."


def missing_tables(contract: Contract, present: set[str]) -> list[Fault]:
    """A fault for each feature table that a first delivery lacks; labels may come later."""
    return [
        Fault(name, "", "there is no file for this table", f"deliver {name}.csv or {name}.parquet")
        for name in contract.feature_tables
        if name not in present
    ]


def conform(contract: Contract, name: str, raw: pd.DataFrame) -> tuple[pd.DataFrame, list[Fault]]:
    """Convert `raw` to the contract's columns and dtypes and check every rule.

    Args:
        contract: the contract.
        name: the table.
        raw: (rows, columns), strings as read or values already typed.

    Returns:
        The typed table, sorted by entity, columns in the contract's order; and all faults, none meaning sound.
    """
    columns = contract.delivered(name)
    raw = raw.rename(columns={spec.source: own for own, spec in columns.items() if spec.source})
    header = _header_faults(name, raw, columns)
    if header:
        return raw, header
    if raw.empty:
        return raw, [Fault(name, "", "the table has no rows", "deliver the month's rows")]
    typed, unreadable, faults = {}, dict[str, Mask](), list[Fault]()
    for column, spec in columns.items():
        typed[column], unreadable[column] = _convert(raw[column], spec.dtype)
        problem = f"not {_article(spec.dtype)}"
        faults += _value_fault(name, column, raw[column], unreadable[column], problem, "mend the value")
    frame = pd.DataFrame(typed)
    faults += _broken_rules(name, frame, columns, contract.entity.column, unreadable)
    if not faults:
        frame = frame.sort_values(contract.entity.column, kind="stable", ignore_index=True)
    return frame, faults


def feature_frame(contract: Contract, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a customer of the snapshot: entity, every feature, every carried column; absent rows are null.

    Args:
        contract: the contract.
        tables: the month's published feature tables.
    """
    key = contract.entity.column
    wanted: dict[str, list[str]] = {}
    for view in contract.feature_views.values():
        wanted.setdefault(view.table, []).extend(view.features)
    for name, table in contract.carried.items():
        wanted.setdefault(table, []).append(name)
    parts = [tables[table].set_index(key)[names] for table, names in wanted.items()]
    joined = pd.concat(parts, axis=1, join="outer").sort_index()
    joined.index.name = key
    return joined.reset_index()[[key, *contract.features, *contract.carried]]


def canonical_dtypes(contract: Contract) -> dict[str, str]:
    """The one pandas dtype of each feature, whichever store it was read from."""
    kinds = {"integer": "Int64", "float": "float64", "boolean": "boolean"}
    return {name: kinds.get(column.dtype, "object") for name, column in contract.features.items()}


def _header_faults(name: str, raw: pd.DataFrame, columns: Mapping[str, Column]) -> list[Fault]:
    repeated = sorted({str(column) for column in raw.columns[raw.columns.duplicated()]})
    absent = [column for column in columns if column not in raw.columns]
    remedy = f"the file has the columns {', '.join(str(column) for column in raw.columns)}: rename or add it"
    return [
        *(Fault(name, column, "the header names this column twice", "name every column once") for column in repeated),
        *(Fault(name, column, "the column is missing", remedy) for column in absent),
    ]


def _convert(values: pd.Series, dtype: Dtype) -> tuple[pd.Series, Mask]:
    """The values in the column's dtype, and a mask of those that could not be read as it."""
    if dtype in ("string", "category"):
        text = values.astype(object).where(values.notna() & (values.astype(str) != ""), None)
        return text.map(str, na_action="ignore"), np.zeros(len(values), dtype=bool)
    if dtype == "boolean":
        converted = _booleans(values)
    elif dtype == "date":
        converted = _dates(_without_null_words(values))
    elif dtype == "integer":
        converted = _integers(values)
    else:
        converted = _numbers(values).astype("float64")
    bad = converted.isna().to_numpy() & _without_null_words(values).notna().to_numpy()
    return converted, bad


def _without_null_words(values: pd.Series) -> pd.Series:
    if values.dtype != object and not isinstance(values.dtype, pd.StringDtype):
        return values
    null = values.isna() | values.astype(str).str.strip().str.lower().isin(NULL_WORDS)
    return values.mask(null, None)


def _booleans(values: pd.Series) -> pd.Series:
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.astype("boolean")
    words = values.astype(str).str.strip().str.lower()
    truth = pd.Series(pd.NA, index=values.index, dtype="boolean")
    return truth.mask(words.isin(TRUE_WORDS), other=True).mask(words.isin(FALSE_WORDS), other=False)


def _numbers(values: pd.Series) -> pd.Series:
    """Float64; null where there is no number or an infinite one."""
    numbers = pd.to_numeric(_without_null_words(values), errors="coerce").astype("Float64")
    return numbers.where(~np.isinf(numbers.to_numpy(dtype=float, na_value=0.0)))


def _integers(values: pd.Series) -> pd.Series:
    """Int64, exact: a key of 18 digits read through a float would silently become its neighbour."""
    if pd.api.types.is_signed_integer_dtype(values.dtype):
        return values.astype("Int64")
    numbers = _numbers(values)
    exact = ((numbers % 1 == 0) & (numbers.abs() <= EXACT_FLOAT)).fillna(value=False)
    whole = numbers.where(exact).astype("Int64")
    text = values.astype(str).str.strip()
    digits = text.str.fullmatch(r"[+-]?[0-9]{16,19}").to_numpy(dtype=bool)
    read = [int(number) for number in text[digits]]
    whole[digits] = pd.array([n if -(2**63) <= n < 2**63 else pd.NA for n in read], dtype="Int64")
    return whole


def _dates(values: pd.Series) -> pd.Series:
    """Midnight of the date as written; a time zone is cut off, it would move the date."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_localize(None)
    elif values.dtype == object or isinstance(values.dtype, pd.StringDtype):
        text = values.map(str, na_action="ignore").astype("string")
        values = text.str.replace(r"([T ][0-9]{2}:[0-9]{2}.*?) ?(Z|[+-][0-9]{2}:?([0-9]{2})?)$", r"\1", regex=True)
    # One unit: the same dates in Parquet of another unit are no correction.
    return pd.to_datetime(values, errors="coerce", format="ISO8601").dt.normalize().astype("datetime64[ns]")


def _broken_rules(
    table: str, frame: pd.DataFrame, columns: Mapping[str, Column], key: str, unreadable: Mapping[str, Mask]
) -> list[Fault]:
    """Faults that Pandera finds; a value that could not be read is no empty one."""
    import pandera.errors

    try:
        _schema(columns, key).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        found = error.failure_cases
        rows = zip(found["column"], found["check"], found["index"], strict=True)
        cases = found[[check != "not_nullable" or not unreadable[column][row] for column, check, row in rows]]
        return [
            _rule_fault(table, str(column), str(check), group, columns[str(column)])
            for (column, check), group in cases.groupby(["column", "check"], sort=False)
        ]
    return []


def _schema(columns: Mapping[str, Column], key: str) -> "pa.DataFrameSchema":
    import pandera.pandas as pa

    def checks(spec: Column) -> list["pa.Check"]:
        found = []
        if spec.values is not None:
            found.append(pa.Check.isin(spec.values, error="values"))
        if spec.min is not None:
            found.append(pa.Check.ge(spec.min, error="min"))
        if spec.max is not None:
            found.append(pa.Check.le(spec.max, error="max"))
        return found

    return pa.DataFrameSchema(
        {
            name: pa.Column(checks=checks(spec), nullable=spec.nullable, unique=name == key, required=True)
            for name, spec in columns.items()
        }
    )


def _rule_fault(table: str, column: str, check: str, cases: pd.DataFrame, spec: Column) -> Fault:
    rows = tuple(int(row) + 1 for row in cases["index"].dropna())
    examples = tuple(str(value) for value in cases["failure_case"].head(EXAMPLES) if not pd.isna(value))
    many = f"{len(rows)} value{'s' if len(rows) != 1 else ''}"
    problem, remedy = {
        "values": (
            f"{many} outside the allowed {_listed(spec.values)}",
            "add the value to the contract or mend the file",
        ),
        "min": (f"{many} below the minimum {_number(spec.min)}", "mend the file or widen min in the contract"),
        "max": (f"{many} above the maximum {_number(spec.max)}", "mend the file or widen max in the contract"),
        "not_nullable": (f"{many} empty", "fill them or set nullable: true in the contract"),
        "field_uniqueness": (f"{many} of a key that must be unique repeated", "deliver one row a customer"),
    }.get(check, (f"{many} break {check}", "mend the file"))
    return Fault(table, column, problem, remedy, rows, examples)


def _value_fault(table: str, column: str, raw: pd.Series, bad: Mask, problem: str, remedy: str) -> list[Fault]:
    rows = np.flatnonzero(bad)
    if not len(rows):
        return []
    examples: list[Hashable] = raw.iloc[rows[:EXAMPLES]].tolist()
    many = f"{len(rows)} value{'s' if len(rows) != 1 else ''}"
    shown = tuple(str(example)[:60] for example in examples)
    return [Fault(table, column, f"{many} {problem}", remedy, tuple(int(r) + 1 for r in rows), shown)]


def _article(dtype: Dtype) -> str:
    words = {"integer": "a whole number", "float": "a number", "boolean": "true or false"}
    return words.get(dtype, "a date as 2024-01-31" if dtype == "date" else "text")


def _listed(values: tuple[str, ...] | None) -> str:
    return ", ".join(values or ())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
