"""Removes one customer from an online store on a server: Feast has no such call.

Belongs here: those rows, in Feast's layout. Does not: the rest of forgetting (`adapters/forgetting.py`), SQLite's file.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from churn_platform.adapters.online_address import OnlineAddress
from churn_platform.adapters.online_values import Key, entity_key
from churn_platform.core.contract import Contract
from churn_platform.errors import StoreDown

SECONDS = 10


def rows_held(address: OnlineAddress, contract: Contract, key: Key) -> int:
    """How many rows, one a feature view, the store holds of a customer; 0 for SQLite, whose file is the home's.

    Raises:
        StoreDown: the store does not answer.
    """
    if address.kind == "redis":
        with _redis(address) as client:
            fields = client.hkeys(_hash(contract, key))
        return sum(field.startswith(b"_ts:") for field in fields)
    if address.kind == "postgres":
        count = 'SELECT count(DISTINCT entity_key) FROM public."{}" WHERE entity_key = %s'
        with _postgres(address) as connection:
            return sum(
                int(connection.execute(count.format(table), (entity_key(contract)(key),)).fetchone()[0])
                for table in _tables(connection, contract)
            )
    return 0


def erase(address: OnlineAddress, contract: Contract, key: Key) -> None:
    """Remove a customer; one who is not there is no error.

    Raises:
        StoreDown: the store does not answer.
    """
    if address.kind == "redis":
        with _redis(address) as client:
            client.delete(_hash(contract, key))
    elif address.kind == "postgres":
        with _postgres(address) as connection, connection.transaction():
            for table in _tables(connection, contract):
                delete = f'DELETE FROM public."{table}" WHERE entity_key = %s'  # noqa: S608 - Feast's names
                connection.execute(delete, (entity_key(contract)(key),))


def _hash(contract: Contract, key: Key) -> bytes:
    return entity_key(contract)(key) + contract.name.encode()


def _tables(connection: Any, contract: Contract) -> list[str]:  # noqa: ANN401 - psycopg's
    """Every view's table, also of views that the contract no longer names."""
    asked = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND starts_with(tablename, %s)"
    return [name for (name,) in connection.execute(asked, (f"{contract.name}_",)).fetchall()]


@contextlib.contextmanager
def _redis(address: OnlineAddress) -> Iterator[Any]:
    import redis

    client = redis.Redis(
        host=address.host, port=address.port, db=int(address.database), username=address.user or None,
        password=address.password or None, ssl=address.tls, socket_timeout=SECONDS, socket_connect_timeout=SECONDS,
    )  # fmt: skip
    try:
        yield client
    except redis.RedisError as error:
        raise StoreDown(f"The online store {address.said} does not answer ({error}): try again.") from None
    finally:
        client.close()


@contextlib.contextmanager
def _postgres(address: OnlineAddress) -> Iterator[Any]:
    import psycopg

    try:
        with psycopg.connect(
            host=address.host, port=address.port, dbname=address.database, user=address.user,
            password=address.password or None, sslmode=address.sslmode, connect_timeout=SECONDS, autocommit=True,
        ) as connection:  # fmt: skip
            yield connection
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        raise StoreDown(f"The online store {address.said} does not answer ({said}): try again.") from None
