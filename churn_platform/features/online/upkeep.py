"""Upkeep of the online store: erase a customer, and notice rows that the store has lost."""

import asyncio
import contextlib
import datetime as dt
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from churn_platform.base.errors import IntegrityError, StoreDown, StoreEmpty
from churn_platform.base.files import write_json
from churn_platform.features.feast_repository import APPLIED, COPIED, registration
from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.online.reader import MARKER, FollowingReader, read_month
from churn_platform.features.online.rows import all_older, entity_key
from churn_platform.lake.lake import Lake

BUSY_SECONDS = 30.0
SAMPLE = 20
"""Customers of the newest month that are looked up."""


def count_rows(store: FeatureStore, key: str | int) -> int:
    """How many rows the online store has of a customer: one per feature view, or one on Redis.

    Raises:
        StoreDown: the store does not answer.
    """
    return _rows(store, key, delete=False)


def delete_rows(store: FeatureStore, key: str | int) -> None:
    """Delete a customer's rows from the online store; repeating it changes nothing.

    Raises:
        StoreDown: the store does not answer.
    """
    _rows(store, key, delete=True)


def notice_lost_rows(store: FeatureStore, lake: Lake, known_at: dt.datetime) -> bool:
    """Whether the online store has lost the newest month, which is then due again.

    The marker of the month is removed, so the loop writes the rows again. A store that does
    not answer may still have its rows: nothing changes.
    """
    try:
        month = read_month(store.folder)
    except StoreDown:
        return False
    if month.store != store.address.url:
        return False
    if not month.store and not (store.folder / "online_store.db").exists():
        _forget_registration(store.folder / APPLIED)
    elif not _lost(store, _sample(lake, month.as_of, known_at)):
        return False
    (store.folder / MARKER).unlink(missing_ok=True)
    return True


@contextlib.contextmanager
def overwriting(database: Path) -> Iterator[sqlite3.Connection]:
    """A SQLite database that overwrites what is deleted.

    Raises:
        IntegrityError: it cannot be written.
    """
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as opened:
            opened.execute("PRAGMA secure_delete = ON")
            with opened:
                yield opened
            opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise IntegrityError(
            f"{database} cannot be written ({error}): the customer is not forgotten yet. Run"
            " the command again."
        ) from None


def columns_of(database: sqlite3.Connection) -> list[tuple[str, str]]:
    """Every table with each of its columns."""
    tables = [
        name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    ]
    return [
        (table, column)
        for table in tables
        for _, column, *_ in database.execute(f'PRAGMA table_info("{table}")')
    ]


def _rows(store: FeatureStore, key: str | int, *, delete: bool) -> int:
    own = entity_key(store.contract)(key)
    if store.address.kind == "sqlite":
        return _rows_in_sqlite(store.folder / "online_store.db", own, delete=delete)
    try:
        if store.address.kind == "redis":
            return _rows_in_redis(store, own, delete=delete)
        return _rows_in_postgres(store, own, delete=delete)
    except OSError as error:
        raise StoreDown(
            f"The online store does not answer ({error}). No row was deleted there, try again."
        ) from None


def _rows_in_sqlite(database: Path, own: bytes, *, delete: bool) -> int:
    if not database.exists():
        return 0
    found = 0
    with overwriting(database) as opened:
        for table in [table for table, column in columns_of(opened) if column == "entity_key"]:
            where = f'FROM "{table}" WHERE entity_key = ?'
            found += opened.execute(
                f"SELECT COUNT(DISTINCT entity_key) {where}",
                (own,),
            ).fetchone()[0]
            if delete:
                opened.execute(f"DELETE {where}", (own,))
    return found


def _rows_in_redis(store: FeatureStore, own: bytes, *, delete: bool) -> int:
    import redis

    try:
        with redis.Redis(
            **store.address.redis(), ssl=store.address.tls, socket_timeout=BUSY_SECONDS
        ) as client:
            name = own + store.contract.name.encode()
            return int(client.unlink(name) if delete else client.exists(name))
    except redis.RedisError as error:
        raise OSError(str(error)) from None


def _rows_in_postgres(store: FeatureStore, own: bytes, *, delete: bool) -> int:
    import psycopg
    from psycopg import sql

    found = 0
    try:
        with psycopg.connect(
            store.address.postgres(connect_timeout=int(BUSY_SECONDS))
        ) as connection:
            for view in _stored_views(store):
                name = f"{store.contract.name}_{view}"
                [(there,)] = connection.execute(
                    "SELECT to_regclass(%s)", (f'public."{name}"',)
                ).fetchall()
                if there is None:
                    continue
                where = sql.SQL("FROM {} WHERE entity_key = %s").format(
                    sql.Identifier("public", name)
                )
                count = sql.SQL("SELECT COUNT(DISTINCT entity_key) ") + where
                [(rows,)] = connection.execute(count, (own,)).fetchall()
                found += int(rows)
                if delete:
                    connection.execute(sql.SQL("DELETE ") + where, (own,))
    except psycopg.Error as error:
        raise OSError(str(error).strip().splitlines()[0]) from None
    return found


def _stored_views(store: FeatureStore) -> Collection[str]:
    """The feature views that the store may have: of its month, and of the contract in use."""
    views = dict.fromkeys(store.contract.feature_views)
    with contextlib.suppress(StoreDown):
        views |= dict.fromkeys(read_month(store.folder).views or ())
    return tuple(views)


def _forget_registration(applied: Path) -> None:
    """Make Feast register again, which creates its tables; a Postgres copy of 0.1.0 stays noted."""
    known = registration(applied)
    applied.unlink(missing_ok=True)
    if COPIED in known:
        write_json(applied, {COPIED: known[COPIED]})


def _lost(store: FeatureStore, keys: Sequence[Any]) -> bool:
    """Whether the store answers and has no current row of these customers."""
    reader = FollowingReader(store.folder, store.contract, store.address.password)
    try:
        if keys:
            return all_older(asyncio.run(reader.read(keys)), store.contract)
        asyncio.run(reader.newest())
    except StoreEmpty:
        return True
    except StoreDown:
        return False
    finally:
        if reader.reader is not None:
            reader.reader.close()
    return False


def _sample(lake: Lake, as_of: dt.date, known_at: dt.datetime) -> Sequence[Any]:
    """Some customers whose rows of the month must be in the store; none if the lake has none."""
    import pyarrow.parquet as pq

    table = next(iter(lake.contract.feature_views.values())).table
    file = lake.view(known_at, as_at_scoring=False)[table].get(as_of)
    if file is None:
        return []
    key = lake.contract.entity.column
    batch = next(pq.ParquetFile(file.path).iter_batches(SAMPLE, columns=[key]), None)
    if batch is None:
        return []
    return list(batch[key].to_pylist())
