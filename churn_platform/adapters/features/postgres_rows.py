"""Whole tables in and out of Postgres by COPY, as Arrow: no row passes through Python.

Belongs here: a connection whose faults are one sentence, names, types, and that. Does not: which tables there are
(`adapters/features/offline_copy.py`).
"""

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from churn_platform.adapters.features.postgres_address import PostgresAddress
from churn_platform.errors import DataError, StoreDown, UsageError

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

    Connection = psycopg.Connection[Any]

NAME_BYTES = 63
"""Postgres cuts longer names, silently."""
PG_TYPES = {"int64": "bigint", "double": "double precision", "bool": "boolean", "string": "text", "date32[day]": "date"}
CHUNK_ROWS = 100_000


@contextlib.contextmanager
def connected(address: PostgresAddress) -> "Iterator[Connection]":
    """A connection and one transaction on it: all of it or nothing.

    Raises:
        StoreDown: the database does not answer, or not as it should.
        UsageError: psycopg is not installed.
    """
    try:
        import psycopg
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed: install churn-platform[postgres].") from None
    try:
        with psycopg.connect(**address.connection()) as connection:
            yield connection
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        raise StoreDown(f"Postgres at {address.said} does not answer as it should ({said}): try again.") from None


def why_away(address: PostgresAddress) -> str | None:
    """Why a database cannot be used now, as a sentence; None when it answers."""
    try:
        with connected(address):
            return None
    except StoreDown as error:
        return str(error)


def identifier(*names: str) -> str:
    """A name as SQL, with its schema before it."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def copy_in(connection: "Connection", target: str, rows: "pa.Table", what: str) -> None:
    """Add rows to a table with the same columns.

    Raises:
        DataError: Postgres cannot keep a value, such as a text with a NUL character; `what` says of what.
    """
    import psycopg
    from pyarrow import csv

    options = csv.WriteOptions(include_header=False)
    try:
        with connection.cursor().copy(f"COPY {target} FROM STDIN (FORMAT csv)") as copy:
            for batch in rows.to_batches(max_chunksize=CHUNK_ROWS):
                sink = io.BytesIO()
                csv.write_csv(batch, sink, options)
                copy.write(sink.getbuffer())
    except psycopg.DataError as error:
        said = " ".join(str(error).split())
        raise DataError(f"Postgres cannot keep {what} ({said}): take CHURN_OFFLINE_STORE away.") from None


def copy_out(connection: "Connection", query: str) -> "pa.Table":
    """The answer to a query: integers, floats, booleans, text and UTC timestamps, nulls as nulls."""
    import pyarrow as pa
    from pyarrow import csv

    described = connection.execute(f"SELECT * FROM ({query}) AS asked LIMIT 0").description or []  # noqa: S608 - the caller's own
    types = {
        "int4": pa.int64(), "int8": pa.int64(), "float8": pa.float64(), "bool": pa.bool_(), "text": pa.string(),
        "date": pa.date32(), "timestamptz": pa.timestamp("us", tz="UTC"),
    }  # fmt: skip
    schema = pa.schema([(column.name, types[column.type_display]) for column in described])
    received = io.BytesIO()
    with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT csv)") as copy:
        for part in copy:
            received.write(part)
    if not received.tell():
        return schema.empty_table()
    received.seek(0)
    return csv.read_csv(
        received,
        csv.ReadOptions(column_names=schema.names),
        csv.ParseOptions(newlines_in_values=True),
        # An empty field without quotes is null; an empty text has quotes.
        csv.ConvertOptions(
            column_types=schema, null_values=[""], true_values=["t"], false_values=["f"],
            strings_can_be_null=True, quoted_strings_can_be_null=False,
        ),
    )  # fmt: skip
