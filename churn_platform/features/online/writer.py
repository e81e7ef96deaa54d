"""Writes a month's features to the online store in Feast's layout, by column.

Feast makes a protobuf message for every cell; this makes the same bytes once for each distinct
value, in bounded memory.
"""

import contextlib
import datetime as dt
import sqlite3
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from churn_platform.base.errors import StoreDown
from churn_platform.contract.model import Contract
from churn_platform.features.online.address import (
    DATABASE,
    WRITE_SECONDS,
    OnlineAddress,
    packages_of,
)
from churn_platform.features.online.rows import (
    encoded,
    encoded_seconds,
    entity_key,
    field_name,
)
from churn_platform.lake.lake import View, instant

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa


Cell = TypeVar("Cell")

ROWS = 5_000
"""Customers per batch: the unit of memory and of what a store confirms."""


@dataclass(frozen=True)
class Batch:
    """Some customers of one feature view.

    Attributes:
        keys: The customers' encoded keys.
        columns: One column per feature, in the view's order.
        event: The month's instant, the same for every row.
        created: When the delivery became known, the same for every row.
    """

    view: str
    keys: list[bytes]
    columns: "dict[str, pa.Array]"
    event: dt.datetime
    created: dt.datetime


def batches(contract: Contract, view: View, as_of: dt.date) -> Iterator[Batch]:
    """The features of a month, view by view, without the tables that were not delivered. What
    the month does not have by contract is null for every customer of the month: a column, or a
    table that ended or is yet to come.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    key = contract.entity.column
    written = entity_key(contract)
    delivered = contract.at(as_of).tables
    for name, spec in contract.feature_views.items():
        found = view[spec.table].get(as_of)
        if found is None and spec.table not in delivered:
            yield from _without_table(contract, view, as_of, name)
        if found is None:
            continue
        file = pq.ParquetFile(found.path)
        held = [feature for feature in spec.features if feature in file.schema_arrow.names]
        columns = [key, *held, "created_timestamp"]
        for part in file.iter_batches(ROWS, columns=columns):
            if part.num_rows:
                nulls = pa.nulls(part.num_rows, pa.string())
                yield Batch(
                    name,
                    [written(one) for one in part.column(key).to_pylist()],
                    {f: part.column(f) if f in held else nulls for f in spec.features},
                    instant(as_of),
                    part.column("created_timestamp")[0].as_py(),
                )


def _without_table(contract: Contract, view: View, as_of: dt.date, name: str) -> Iterator[Batch]:
    """A feature view whose table the month does not have: null for every customer that another
    view has.
    """
    import pyarrow as pa

    features = contract.feature_views[name].features
    others = {
        other: spec for other, spec in contract.feature_views.items() if as_of in view[spec.table]
    }
    if not others:
        return
    known: set[bytes] = set()
    for batch in batches(contract.changed(feature_views=others), view, as_of):
        keys = [key for key in batch.keys if key not in known]
        known.update(keys)
        if keys:
            nulls = pa.nulls(len(keys), pa.string())
            columns = dict.fromkeys(features, nulls)
            yield Batch(name, keys, columns, batch.event, batch.created)


def cells(column: "pa.Array", cell: Callable[[bytes, str | None], Cell]) -> list[Cell]:
    """What `cell` makes of each value's bytes and text (None: null), once per distinct value."""
    import pyarrow as pa

    if pa.types.is_floating(column.type):
        # By bits: Arrow may take the two zeros for one.
        found = column.view(pa.int64()).dictionary_encode()
        distinct = found.dictionary.view(column.type)
    else:
        found = column.dictionary_encode()
        distinct = found.dictionary
    made = []
    for value in distinct.to_pylist():
        written = encoded(value)
        made.append(cell(written, str(value) if written else None))
    null = len(made)
    made.append(cell(b"", None))
    return [made[index] for index in found.indices.fill_null(null).to_pylist()]


COLUMNS = "entity_key, feature_name, value, value_text, event_ts, created_ts"
UPDATES = ", ".join(
    f"{name} = excluded.{name}" for name in ("value", "value_text", "event_ts", "created_ts")
)
FILL = 50
"""Percent of a Postgres page filled at first. The next month's rows fit next to the old ones, so
no index changes (a heap-only update)."""
NULL = b"\xff\xff\xff\xff"
MICROSECOND = dt.timedelta(microseconds=1)
POSTGRES_ZERO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


def write_month(address: OnlineAddress, folder: Path, project: str, month: Iterator[Batch]) -> None:
    """Write a month to the store at `address`, whose tables Feast has made.

    Raises:
        StoreDown: the store cannot be written.
        UsageError: a package that it needs is not installed.
    """
    if address.kind == "redis":
        write_redis(address, project, month)
    elif address.kind == "postgres":
        write_postgres(address, project, month)
    else:
        write_sqlite(folder / DATABASE, project, month)


def write_sqlite(database: Path, project: str, month: Iterator[Batch]) -> None:
    """Write to Feast's SQLite file, one transaction per batch, so readers do not wait long.

    Raises:
        StoreDown: it cannot be written.
    """
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=WRITE_SECONDS)) as store:
            for batch in month:
                stamps = int(batch.event.timestamp()), int(batch.created.timestamp())
                columns = [
                    [
                        (name, value, text, *stamps)
                        for value, text in cells(column, lambda *cell: cell)
                    ]
                    for name, column in batch.columns.items()
                ]
                rows = (
                    (key, *cell)
                    for key, *row in zip(batch.keys, *columns, strict=True)
                    for cell in row
                )
                with store:
                    store.executemany(
                        f'INSERT INTO "{project}_{batch.view}" ({COLUMNS})'  # noqa: S608 - names of the contract
                        " VALUES (?, ?, ?, ?, ?, ?) "
                        f"ON CONFLICT (entity_key, feature_name) DO UPDATE SET {UPDATES}",
                        rows,
                    )
    except sqlite3.Error as error:
        raise StoreDown(
            f"The online store {database} cannot be written ({error}): try again."
        ) from None


def write_redis(address: OnlineAddress, project: str, month: Iterator[Batch]) -> None:
    """Write to Redis, one command per customer and view; a batch is made while one is sent.

    Raises:
        StoreDown: it cannot be written.
    """
    with packages_of("redis"):
        import redis
    kind = redis.SSLConnection if address.tls else redis.Connection
    connection: Any = kind(**address.redis(), socket_timeout=WRITE_SECONDS)
    try:
        unanswered = 0
        for batch in month:
            commands = redis_commands(project, batch)
            for _ in range(unanswered):
                connection.read_response()
            connection.send_packed_command([commands])
            unanswered = len(batch.keys)
        for _ in range(unanswered):
            connection.read_response()
    except redis.RedisError as error:
        raise StoreDown(
            f"The online store {address.url} cannot be written ({error}): try again."
        ) from None
    finally:
        connection.disconnect()


def redis_commands(project: str, batch: Batch) -> bytes:
    """One encoded HSET per customer: the view's moment and features; other views keep theirs."""
    name = f"_ts:{batch.view}".encode()
    moment = encoded_seconds(int(batch.event.timestamp()))
    head = b"*%d\r\n$4\r\nHSET\r\n" % (2 * len(batch.columns) + 4)
    tail = project.encode() + b"\r\n"
    stamp = _bulk(name) + _bulk(moment)
    extra = len(project.encode())
    starts = [b"%b$%d\r\n%b%b%b" % (head, len(key) + extra, key, tail, stamp) for key in batch.keys]
    columns = []
    for feature, column in batch.columns.items():
        field = _bulk(field_name(batch.view, feature))

        def cell(value: bytes, _: str | None, field: bytes = field) -> bytes:
            return field + _bulk(value)

        columns.append(cells(column, cell))
    return b"".join(chain.from_iterable(zip(starts, *columns, strict=True)))


def write_postgres(address: OnlineAddress, project: str, month: Iterator[Batch]) -> None:
    """Write to Postgres in one transaction: the month appears at once, and readers never wait.

    Raises:
        StoreDown: it cannot be written.
    """
    with packages_of("postgres"):
        import psycopg
    try:
        with psycopg.connect(address.postgres(connect_timeout=WRITE_SECONDS)) as store:
            for view, parts in groupby(month, lambda batch: batch.view):
                _copy(store, f'public."{project}_{view}"', parts)
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise StoreDown(
            f"The online store {address.url} cannot be written ({reason}): try again."
        ) from None


def _copy(store: "psycopg.Connection[Any]", table: str, parts: Iterator[Batch]) -> None:
    """Copy into an empty table; otherwise copy to a temporary table and upsert from there."""
    filled = store.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None  # noqa: S608 - names of the contract
    fill = store.execute(
        "SELECT reloptions FROM pg_class WHERE oid = %s::regclass", (table,)
    ).fetchone()
    if fill is not None and f"fillfactor={FILL}" not in (fill[0] or ()):
        store.execute(f"ALTER TABLE {table} SET (fillfactor = {FILL})")
    target = "pg_temp.fresh" if filled else table
    if filled:
        store.execute(f"CREATE TEMP TABLE fresh (LIKE {table}) ON COMMIT DROP")
    with store.cursor().copy(f"COPY {target} ({COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\x00" + bytes(8))
        for batch in parts:
            copy.write(postgres_rows(batch))
        copy.write(b"\xff\xff")
    if filled:
        store.execute(
            f"INSERT INTO {table} ({COLUMNS}) SELECT {COLUMNS} FROM pg_temp.fresh "  # noqa: S608 - names of the contract
            f"ON CONFLICT (entity_key, feature_name) DO UPDATE SET {UPDATES}"
        )
        store.execute("DROP TABLE pg_temp.fresh")


def postgres_rows(batch: Batch) -> bytes:
    """One row per customer and feature in the binary format of COPY."""
    stamps = b"".join(
        _field(struct.pack(">q", (moment - POSTGRES_ZERO) // MICROSECOND))
        for moment in (batch.event, batch.created)
    )
    starts = [b"\x00\x06" + _field(key) for key in batch.keys]
    columns: list[list[bytes]] = []
    for feature, column in batch.columns.items():
        name = _field(feature.encode())

        def cell(value: bytes, text: str | None, name: bytes = name) -> bytes:
            return name + _field(value) + (NULL if text is None else _field(text.encode())) + stamps

        columns += [starts, cells(column, cell)]
    return b"".join(chain.from_iterable(zip(*columns, strict=True)))


def _bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def _field(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value
