"""Feast's Redis online store, read in one round trip a call: a hash a customer, a field a feature and a view's moment.

Belongs here: what is asked and how replies are read. Does not: the connection (`adapters/online/redis_connection.py`).
The server imports this module: the standard library and hiredis.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from churn_platform.adapters.online.address import OnlineAddress
from churn_platform.adapters.online.rows import Month, OnlineRow, ages_of, values_of
from churn_platform.adapters.online.values import Key, decoded, entity_key, field_name, seconds_of
from churn_platform.core.contract import Contract
from churn_platform.errors import StoreEmpty, UsageError

try:
    from churn_platform.adapters.online.redis_connection import RedisConnection
except ModuleNotFoundError as error:
    raise UsageError(f"{error.name} is not installed: install churn-platform[redis].") from None

SIZE = b"*1\r\n$6\r\nDBSIZE\r\n"


class RedisReader:
    """The hashes of one contract in one Redis database."""

    def __init__(self, contract: Contract, address: OnlineAddress) -> None:
        self._address, self._key, self._ages = address, entity_key(contract), ages_of(contract)
        views = contract.feature_views
        fields = [field_name(name, feature) for name, view in views.items() for feature in view.features]
        self._values, self._count = values_of(contract), len(fields)
        fields += [f"_ts:{name}".encode() for name in views]
        self._project = contract.name.encode()
        # HMGET key field...: all but the key is the same in every request.
        self._head = b"*%d\r\n$5\r\nHMGET\r\n" % (len(fields) + 2)
        self._tail = self._project + b"\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(name), name) for name in fields)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: RedisConnection | None = None

    async def read(self, keys: Sequence[Key], month: Month) -> list[OnlineRow | None]:
        """The row of each key, None where the store knows no such customer.

        Raises:
            StoreDown: the store does not answer.
            StoreEmpty: it has lost all that it held.
        """
        if not keys:
            return []
        head, tail, extra, parts = self._head, self._tail, len(self._project), []
        for key in keys:
            written = self._key(key)
            parts.append(b"%b$%d\r\n%b%b" % (head, len(written) + extra, written, tail))
        replies = await self._ask(b"".join(parts), len(parts))
        rows = [self._row(reply, month.moment) for reply in replies]
        if None in rows and not (await self._ask(SIZE, 1))[0]:
            raise StoreEmpty(
                f"Redis at {self._address.host}:{self._address.port} holds nothing, it has lost the rows of "
                f"{month.as_of}: the daemon brings them back, or `churn run`."
            )
        return rows

    def close(self) -> None:
        """End the connection once what is under way is answered."""
        if self._connection is not None and self._loop is not None and not self._loop.is_closed():
            self._connection.close()
        self._connection = None

    async def _ask(self, commands: bytes, replies: int) -> list[Any]:
        loop = asyncio.get_running_loop()
        if self._connection is None or self._loop is not loop:  # a connection belongs to the loop that made it
            self._loop, self._connection = loop, RedisConnection(self._address)
        return await self._connection.ask(commands, replies)

    def _row(self, reply: list[bytes | None], newest: int) -> OnlineRow | None:
        moments = tuple(map(seconds_of, reply[self._count :]))
        if not any(moments):
            return None
        return OnlineRow(self._values(map(decoded, reply[: self._count])), *self._ages(moments, newest))
