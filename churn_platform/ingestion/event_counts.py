"""What a drop has of contacts and logs: events, customers whom no month knows, and gaps."""

import datetime as dt
from collections.abc import Mapping, Sequence

import pandas as pd

from churn_platform.contract.events import EVENT_DAY
from churn_platform.ingestion.log_days import AROUND, customers_a_day, gaps
from churn_platform.lake.instants import days
from churn_platform.lake.keys import apart, everyone
from churn_platform.lake.lake import Lake
from churn_platform.lake.month_comparison import ContactCount, LogCount

MONTHS_OF_CUSTOMERS = 6
"""A customer with events who is in none of so many published months is unknown."""
DAY = pd.Timedelta(days=1)
Keys = Mapping[str, pd.Series]
"""Table -> the keys of its rows."""


def contact_count(lake: Lake, as_of: dt.date, rows: pd.DataFrame, features: Keys) -> ContactCount:
    """The contacts of a month, and those of customers whom no month knows."""
    keys = rows[lake.contract.entity.column].drop_duplicates(ignore_index=True)
    unknown = _unknown(lake, as_of, keys, features, lake.months())
    return ContactCount(contacts=len(rows), customers=len(keys), unknown=unknown)


def _unknown(
    lake: Lake, as_of: dt.date, keys: pd.Series, features: Keys, months: Sequence[dt.date]
) -> int:
    """How many of the distinct keys are in no feature table of the month or of others."""
    unknown = apart(keys, everyone(features))[0]
    for month in reversed(months):
        if len(unknown) and month != as_of:
            known = everyone(lake.keys(month, lake.contract.snapshot_tables))
            unknown = apart(unknown, known)[0]
    return len(unknown)


def log_count(
    lake: Lake, as_of: dt.date, name: str, rows: pd.DataFrame, features: Keys
) -> LogCount:
    """The events of a drop, the customers with some since the drop before, and the gaps."""
    contract = lake.contract.at(as_of)
    log = contract.logs[name]
    day = days(rows[log.time], log.time_zone)
    before = lake.month_before(as_of)
    since = pd.Timestamp(before or as_of - (contract.step.after(as_of) - as_of))
    keys = rows[contract.entity.column]
    recent = keys[(day > since).to_numpy()].drop_duplicates(ignore_index=True)
    unknown = 0
    if contract.snapshot_tables:
        unknown = _unknown(lake, as_of, recent, features, lake.months()[-MONTHS_OF_CUSTOMERS:])
    customers = customers_a_day(day, keys)
    if before is not None and log.delivery == "append":
        customers = customers.add(_earlier_days(lake, name, as_of, before), fill_value=0)
    start = customers.index.min() if before is None and len(customers) else since + DAY
    found = gaps(customers, pd.Timestamp(start).date(), as_of)
    ends = None
    if found and found[-1].last == as_of:
        ends = found.pop().first - dt.timedelta(days=1)
    said = tuple(gap.said for gap in found)
    return LogCount(events=len(rows), customers=len(recent), unknown=unknown, gaps=said, ends=ends)


def _earlier_days(lake: Lake, name: str, as_of: dt.date, before: dt.date) -> pd.Series:
    """Day -> the customers with events on it, of the drops around `before`."""
    import duckdb

    table = lake.contract.lake_name(name)
    near = [m for m in lake.months() if m != as_of and abs((before - m).days) <= AROUND]
    entries = [lake.entries(month).get(table) for month in near]
    files = [str(lake.path(entry)) for entry in entries if entry is not None]
    if not files:
        return pd.Series(dtype="int64", index=pd.DatetimeIndex([]))
    query = (
        f'SELECT "{EVENT_DAY}", count(DISTINCT "{lake.contract.entity.column}")'  # noqa: S608 - names
        " FROM read_parquet($files, union_by_name = true) GROUP BY 1"
    )
    with duckdb.connect() as connection:
        counts = dict(connection.execute(query, {"files": files}).fetchall())
    return pd.Series(counts.values(), index=pd.DatetimeIndex(list(counts)), dtype="int64")
