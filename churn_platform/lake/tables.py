"""From validated tables to what the lake keeps: ages made of dates, the labels of a wide table
apart.
"""

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.contract.columns import AgeUnit
from churn_platform.contract.events import EVENT_DAY
from churn_platform.contract.model import Contract
from churn_platform.lake.instants import INSTANTS, days

CANONICAL = {
    "integer": "Int64",
    "float": "float64",
    "boolean": "boolean",
    "timestamp": INSTANTS,
}
"""The one pandas dtype of a column by its dtype in the contract; object for the others."""


def lake_tables(
    contract: Contract,
    tables: Mapping[str, pd.DataFrame],
    as_of: dt.date,
    known: Mapping[str, pd.DataFrame] = MappingProxyType({}),
) -> dict[str, pd.DataFrame]:
    """The tables as the lake publishes them, columns as in `contract.published` of the month.

    A table whose columns arrive in several files is put together by key. Labels that are
    delivered alone replace those of a wide table; a wide table whose labels are not known yet
    publishes none. Labels that say who stayed are turned over here, so all later
    steps read churn. A log becomes its events, each with its day; its windows are made from
    them later.

    Args:
        contract: the contract.
        tables: validated tables of one drop, by name.
        as_of: the month.
        known: the tables of the month as published before, for files that the drop lacks.
    """
    month = contract.at(as_of)
    contract = contract.delivery(as_of)
    published = {}
    for name, table in tables.items():
        if name in contract.logs:
            published[contract.lake_name(name)] = events_of(contract, name, table)
            continue
        complete = _with_ages(contract, name, table, as_of)
        if contract.label.inverted and name in (contract.label.table, contract.label_table):
            complete[contract.label.column] = turned_over(complete[contract.label.column])
        if contract.wide and name == contract.label.table:
            labels = complete[[contract.entity.column, contract.label.column]].dropna(
                ignore_index=True
            )
            if len(labels) and contract.label_table not in tables:
                published[contract.label_table] = labels
        # Columns are shared, not copied: a million rows would be moved for nothing.
        published[name] = pd.DataFrame(
            {own: complete[own] for own in contract.published[name]}, copy=False
        )
    if contract is not month:
        for name, spec in month.tables.items():
            if spec.parts:
                _join_parts(month, name, published, known.get(name))
    return published


def events_of(contract: Contract, name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of a log as the lake keeps them, each with its day in the log's time zone."""
    log = contract.logs[name]
    day = days(rows[log.time], log.time_zone)
    columns = contract.published[contract.lake_name(name)]
    held = {own: day if own == EVENT_DAY else rows[own] for own in columns}
    return pd.DataFrame(held, copy=False)


def _join_parts(
    month: Contract,
    name: str,
    published: dict[str, pd.DataFrame],
    known: pd.DataFrame | None,
) -> None:
    """Put the files of one table together, by key; a file that was not delivered keeps what is
    known.
    """
    key = month.entity.column
    columns = list(month.published[name])
    files = [name, *month.tables[name].parts]
    delivered = [published.pop(file) for file in files if file in published]
    if not delivered:
        return
    held = {column for part in delivered for column in part.columns}
    if known is not None:
        kept = [column for column in columns if column == key or column not in held]
        delivered.append(known[kept])
    joined = pd.concat([part.set_index(key) for part in delivered], axis=1, join="outer")
    published[name] = joined.sort_index().reset_index(names=key)[columns]


def feature_frame(contract: Contract, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per customer of the snapshot: entity, every feature, every carried column; absent
    rows are null.

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
    parts = [
        with_missing(contract, table, tables[table]).set_index(key)[names]
        for table, names in wanted.items()
        if table in tables
    ]
    joined = pd.concat(parts, axis=1, join="outer").sort_index()
    for table, names in wanted.items():
        if table not in tables:
            joined = joined.assign(**{n: missing(contract, table, n, len(joined)) for n in names})
    joined.index.name = key
    return joined.reset_index()[[key, *contract.features, *contract.carried]]


def unknown_customer(contract: Contract, entity: str, as_of: dt.date) -> UsageError:
    """The error for a key that is not in the snapshot of a month."""
    return UsageError(
        f"There is no customer {entity!r} in the snapshot of {as_of}."
        f" {contract.advice_on_key(entity)}",
        code="CUSTOMER_UNKNOWN",
    )


def with_missing(contract: Contract, table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a published table with every column that the contract names for any month;
    null where the month does not have it.
    """
    absent = [name for name in contract.published[table] if name not in frame]
    if not absent:
        return frame
    return frame.assign(**{name: missing(contract, table, name, len(frame)) for name in absent})


def missing(contract: Contract, table: str, name: str, rows: int) -> pd.Series:
    """A column (rows,) of missing values in its dtype."""
    dtype = CANONICAL.get(contract.published[table][name].dtype, "object")
    return pd.Series([None] * rows, dtype=dtype)


def without_values(rows: pd.DataFrame, dtypes: Mapping[str, str]) -> pd.DataFrame:
    """The rows with missing values in some columns.

    Args:
        rows: (rows, any columns).
        dtypes: the columns, each with its dtype in the contract.
    """
    empty = {
        name: pd.Series([None] * len(rows), dtype=CANONICAL.get(dtype, "object"), index=rows.index)
        for name, dtype in dtypes.items()
    }
    return rows.assign(**empty)


def turned_over(labels: pd.Series) -> pd.Series:
    """Who churned, from labels (rows,) that say who stayed; null stays null."""
    if pd.api.types.is_bool_dtype(labels.dtype):
        return ~labels
    return 1 - labels


def age(dates: pd.Series, as_of: dt.date, unit: AgeUnit) -> pd.Series:
    """Whole units from each date (rows,) to `as_of`, rounded down, Int64; null where the date
    is.

    A month is complete on the same day of a later month, or on its last day where that day does
    not exist.
    """
    moment = pd.Timestamp(as_of)
    if unit in ("days", "weeks"):
        days: pd.Series = (moment - dates).dt.days.astype("Int64")
        if unit == "days":
            return days
        return days // 7
    not_yet = (dates.dt.day > moment.day) & (not moment.is_month_end)
    months: pd.Series = (moment.year - dates.dt.year) * 12 + moment.month - dates.dt.month - not_yet
    return (months if unit == "months" else months // 12).astype("Int64")


def _with_ages(contract: Contract, name: str, table: pd.DataFrame, as_of: dt.date) -> pd.DataFrame:
    ages = contract.tables[name].ages if name in contract.tables else {}
    complete = table.copy(deep=False)
    for made, spec in ages.items():
        complete[made] = age(table[spec.of], as_of, spec.unit)
    return complete


def canonical_dtypes(contract: Contract) -> dict[str, str]:
    """The one pandas dtype of each feature, whichever store it was read from."""
    return {
        name: CANONICAL.get(column.dtype, "object") for name, column in contract.features.items()
    }
