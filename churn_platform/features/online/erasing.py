"""One customer's rows in the online store, whichever it is: counted, and deleted as Feast wrote
them.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from churn_platform.base.errors import IntegrityError, StoreDown
from churn_platform.features.online.values import entity_key
from churn_platform.services import Services

BUSY_SECONDS = 30.0


def count_rows(home: Services, key: str | int) -> int:
    """How many rows the online store holds of a customer: one a feature view; Redis keeps all
    views in one.

    Raises:
        StoreDown: the store does not answer.
    """
    return _asked(home, key, delete=False)


def delete_rows(home: Services, key: str | int) -> None:
    """Delete a customer from the online store; again changes nothing.

    Raises:
        StoreDown: the store does not answer.
    """
    _asked(home, key, delete=True)


@contextlib.contextmanager
def overwriting(database: Path) -> Iterator[sqlite3.Connection]:
    """A SQLite store in which what is deleted is overwritten, too.

    Raises:
        IntegrityError: it cannot be written.
    """
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as store:
            store.execute("PRAGMA secure_delete = ON")
            with store:
                yield store
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise IntegrityError(
            f"{database} cannot be written ({error}): the customer is not forgotten yet, run"
            " the command again."
        ) from None


def columns_of(store: sqlite3.Connection) -> list[tuple[str, str]]:
    """Every table with each of its columns."""
    tables = [
        name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    ]
    return [
        (t, column) for t in tables for _, column, *_ in store.execute(f'PRAGMA table_info("{t}")')
    ]


def _asked(home: Services, key: str | int, *, delete: bool) -> int:
    own = entity_key(home.contract)(key)
    kind = home.feature_store.address.kind
    if kind == "sqlite":
        return _sqlite(home.feature_store.folder / "online_store.db", own, delete=delete)
    try:
        if kind == "redis":
            return _redis(home, own, delete=delete)
        return _postgres(home, own, delete=delete)
    except OSError as error:
        raise StoreDown(
            f"The online store does not answer ({error}): nothing was deleted there, try again."
        ) from None


def _sqlite(database: Path, own: bytes, *, delete: bool) -> int:
    if not database.exists():
        return 0
    found = 0
    with overwriting(database) as store:
        for table in [table for table, column in columns_of(store) if column == "entity_key"]:
            ask = f'SELECT COUNT(DISTINCT entity_key) FROM "{table}" WHERE entity_key = ?'  # noqa: S608 - Feast's names
            found += store.execute(ask, (own,)).fetchone()[0]
            if delete:
                store.execute(f'DELETE FROM "{table}" WHERE entity_key = ?', (own,))  # noqa: S608 - Feast's names
    return found


def _redis(home: Services, own: bytes, *, delete: bool) -> int:
    import redis

    where = home.feature_store.address
    try:
        with redis.Redis(
            host=where.host, port=where.port, db=int(where.database or 0), username=where.user or None,
            password=where.password or None, ssl=where.tls, socket_timeout=BUSY_SECONDS,
        ) as store:  # fmt: skip
            name = own + home.contract.name.encode()
            return int(store.unlink(name) if delete else store.exists(name))
    except redis.RedisError as error:
        raise OSError(str(error)) from None


def _postgres(home: Services, own: bytes, *, delete: bool) -> int:
    import psycopg
    from psycopg import sql

    where = home.feature_store.address
    found = 0
    try:
        with psycopg.connect(**where.postgres(), connect_timeout=int(BUSY_SECONDS)) as store:
            for view in home.contract.feature_views:
                table = sql.Identifier("public", f"{home.contract.name}_{view}")
                count = sql.SQL(
                    "SELECT COUNT(DISTINCT entity_key) FROM {} WHERE entity_key = %s"
                ).format(table)
                row = store.execute(count, (own,)).fetchone()
                found += 0 if row is None else int(row[0])
                if delete:
                    store.execute(
                        sql.SQL("DELETE FROM {} WHERE entity_key = %s").format(table), (own,)
                    )
    except psycopg.Error as error:
        raise OSError(str(error).strip().splitlines()[0]) from None
    return found
