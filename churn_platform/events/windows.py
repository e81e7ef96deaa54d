"""Window features and active customers of one event table, computed by DuckDB from its log."""

import datetime as dt
import glob
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd

from churn_platform.base.errors import ChurnError
from churn_platform.contract.events import EVENT_DAY
from churn_platform.contract.parts import Table
from churn_platform.events.expression_sql import quoted_name
from churn_platform.events.window_sql import WindowSql, counted_events, where_sql
from churn_platform.lake.arrow_tables import arrow_type, to_frame

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

LOG: Final = "log"
"""The relation with the rows of the files."""
MOST_MEMORY: Final = 6_000_000_000
"""Bytes that DuckDB may use; it writes the rest to a folder next to the log."""


class EventValueTooLarge(ChurnError):
    """A number of an event is too large to be summed exactly."""

    code = "EVENT_VALUE_TOO_LARGE"


def window_table(
    files: Sequence[Path], log: Table, key: str, as_of: dt.date, customers: pd.Series
) -> "pa.Table":
    """The window features of one as_of: a row for each customer, in their order.

    The log is read once, and only the days that a window reaches. The values do not depend on
    the order of the rows or on the number of threads.

    Args:
        files: Parquet files of the log, with the key, its columns and the day of each event. A
            column that a file lacks is null in it.
        log: the event table.
        key: the column of the customer.
        as_of: the last day. Events that became known later are left out.
        customers: the keys, each once.
    """
    import pyarrow as pa

    found = pa.table({key: pa.Array.from_pandas(customers)})
    if not log.windows:
        return found
    sql = WindowSql(log, as_of)
    for window in log.windows.values():
        sql.add(window)
    with _connected(files) as connection:
        if files:
            held = _read(connection, files)
        else:
            held = [key, EVENT_DAY]
            none = [found[key].slice(0, 0), pa.array([], pa.date32())]
            connection.register(LOG, pa.table(none, names=held))
        events = counted_events(log, key, LOG, held, sql.first_day, as_of, known_by=as_of)
        places = pa.array(range(len(customers)), pa.int64())
        connection.register("customers", found.append_column("row number", places))
        made = connection.sql(sql.query(events, key, "customers")).to_arrow_table()
    for (name, window), values in zip(log.windows.items(), made.columns, strict=True):
        column = window.as_column("events", log.columns.get(window.of or ""))
        found = found.append_column(name, values.cast(arrow_type(column.dtype)))
    return found


def keys_with_events(
    files: Sequence[Path],
    log: Table,
    key: str,
    where: str,
    first: dt.date,
    last: dt.date,
    known_by: dt.date | None = None,
) -> pd.Series:
    """The customers with an event that `where` picks on one of these days, each once, sorted.

    Args:
        files: Parquet files of the log.
        log: the event table.
        key: the column of the customer.
        where: the expression that picks events; empty for all of them.
        first: the first day.
        last: the last day.
        known_by: leave out events that became known after this day; None for no limit.
    """
    if not files:
        return pd.Series([], name=key, dtype=object)
    own = quoted_name(key)
    picked = f" WHERE {where_sql(log, where)}" if where else ""
    with _connected(files) as connection:
        held = _read(connection, files)
        events = counted_events(log, key, LOG, held, first, last, known_by)
        query = f"SELECT DISTINCT {own} FROM ({events}){picked} ORDER BY {own}"  # noqa: S608 - quoted
        found = connection.sql(query).to_arrow_table()
    return to_frame(found)[key]


@contextmanager
def _connected(files: Sequence[Path]) -> "Iterator[duckdb.DuckDBPyConnection]":
    """DuckDB without extensions; what does not fit in memory it writes next to the log."""
    import duckdb

    settings: dict[str, str | bool] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "error_on_division_by_zero": False,
        "preserve_insertion_order": False,
    }
    if files:
        settings["temp_directory"] = str(files[0].parent / f".windows.{uuid.uuid4().hex}.tmp")
    with duckdb.connect(config=settings) as connection:  # type: ignore[arg-type]
        connection.execute("SET TimeZone = 'UTC'")
        # By default it is four fifths of what the machine or the container has.
        default = "parse_formatted_bytes(current_setting('memory_limit'))"
        (limit,) = connection.sql(f"SELECT least({default}, {MOST_MEMORY})").fetchall()[0]
        connection.execute(f"SET memory_limit = '{limit}B'")
        try:
            yield connection
        except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
            raise EventValueTooLarge(
                "The numbers of an event table are too large to be summed exactly: a sum of"
                f" floats has at most 32 digits, a sum of integers 38 ({error}). Give the column"
                " a `min` and `max` so that such values are quarantined."
            ) from error


def _read(connection: "duckdb.DuckDBPyConnection", files: Sequence[Path]) -> list[str]:
    """Make the log a view; its columns."""
    paths = [glob.escape(str(path)) for path in files]
    found = connection.read_parquet(paths, union_by_name=True, hive_partitioning=False)
    found.create_view(LOG)
    return found.columns
