"""Reads the online store in Redis or Postgres over one connection that all requests share.

Requests that wait while a read is under way are read together by the next one. With 16
concurrent reads that takes a third of the CPU of a connection pool (ADR 0041).
"""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from churn_platform.base.errors import StoreDown, StoreEmpty
from churn_platform.contract.model import Contract
from churn_platform.features.online.address import OnlineAddress, packages_of
from churn_platform.features.online.rows import (
    Found,
    Key,
    Month,
    OnlineRow,
    RowFormat,
    decoded,
    field_name,
    seconds_of,
)

ANSWER_SECONDS = 2.0
"""The limit of one read, connecting included."""
PAUSE_SECONDS = 0.2
"""After a failure, requests fail at once for this long instead of waiting each in turn."""


class NetworkReader(ABC):
    """The rows of one contract in a store with an address."""

    name: ClassVar[str]
    """The store, for people."""
    faults: tuple[type[BaseException], ...]
    """What a failed read raises."""

    def __init__(
        self,
        contract: Contract,
        address: OnlineAddress,
        views: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Nothing is read yet.

        Raises:
            UsageError: the client is not installed.
        """
        self.address = address
        self.where = f"{self.name} at {address.host}:{address.port}"
        self.format = RowFormat(contract, views)
        with packages_of(address.kind):
            self.prepare(contract)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Any = None
        self._waiting: list[tuple[list[bytes], asyncio.Future[Found]]] = []
        self._reading: asyncio.Task[None] | None = None
        self._failed_at = -PAUSE_SECONDS
        self._why = ""

    async def read(self, keys: Sequence[Key], month: Month) -> list[OnlineRow | None]:
        """The row of each key, None where the store knows no such customer.

        Raises:
            StoreDown: the store does not answer.
            StoreEmpty: it has lost everything.
        """
        if not keys:
            return []
        wanted = [self.format.key(key) for key in keys]
        return self.format.rows(wanted, await self._shared(wanted), month)

    def close(self) -> None:
        """End the connection once the reads under way are answered."""
        loop = self._loop
        if loop is not None and not loop.is_closed():  # also from another thread
            loop.call_soon_threadsafe(lambda: loop.create_task(self._end()))

    @abstractmethod
    def prepare(self, contract: Contract) -> None:
        """Import the client, and write what every read asks for."""

    @abstractmethod
    async def connect(self) -> Any:  # noqa: ANN401 - the client's own
        """A new connection."""

    @abstractmethod
    async def found(self, connection: Any, keys: Sequence[bytes]) -> Found:  # noqa: ANN401
        """The rows of these keys, without those the store does not know."""

    @abstractmethod
    async def disconnect(self, connection: Any) -> None:  # noqa: ANN401
        """End a connection."""

    async def _shared(self, keys: list[bytes]) -> Found:
        """Have the keys read by the next read."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a connection belongs to the loop that made it
            self._loop = loop
            self._connection = None
            self._reading = None
            self._waiting = []
        answer: asyncio.Future[Found] = loop.create_future()
        self._waiting.append((keys, answer))
        if self._reading is None or self._reading.done():
            self._reading = loop.create_task(self._read_waiting())
        return await answer

    async def _read_waiting(self) -> None:
        while self._waiting:
            asked = self._waiting
            self._waiting = []
            pending = [answer for _, answer in asked]
            try:
                found = await self._read(list({key for keys, _ in asked for key in keys}))
            except StoreDown as error:
                for answer in pending:
                    if not answer.done():  # the request may have been given up
                        answer.set_exception(type(error)(str(error)))
            else:
                for answer in pending:
                    if not answer.done():
                        answer.set_result(found)

    async def _read(self, keys: list[bytes]) -> Found:
        if self._connection is None and time.monotonic() - self._failed_at < PAUSE_SECONDS:
            raise StoreDown(self._why)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if self._connection is not None:
                    # It may have been lost since the last read: only a new one shows whether
                    # the store is away.
                    with contextlib.suppress(*self.faults):
                        return await self.found(self._connection, keys)
                    await self._end()
                self._connection = await self.connect()
                return await self.found(self._connection, keys)
        except self.faults as error:
            reason = str(error).strip().splitlines() or ["no answer in time"]
            await self._end()
            self._failed_at = time.monotonic()
            self._why = f"{self.where} does not answer ({reason[0]}): try again."
            raise StoreDown(self._why) from None

    async def _end(self) -> None:
        reading = self._reading
        if reading is not None and reading is not asyncio.current_task():
            await asyncio.wait([reading])
        connection = self._connection
        self._connection = None
        if connection is not None:
            await self.disconnect(connection)


class RedisReader(NetworkReader):
    """Feast's hashes in a Redis database: one per customer."""

    name = "Redis"

    def prepare(self, contract: Contract) -> None:
        """Import the client, and write what every read asks for."""
        import hiredis  # noqa: F401 - the client's parser in C
        import redis.asyncio

        self.faults = (redis.asyncio.RedisError, OSError, TimeoutError)
        self._kind = redis.asyncio.SSLConnection if self.address.tls else redis.asyncio.Connection
        stored = self.format.views
        self._names = [feature for features in stored.values() for feature in features]
        fields = [
            field_name(name, feature) for name, features in stored.items() for feature in features
        ]
        self._fields = [*fields, *(f"_ts:{name}".encode() for name in stored)]
        self._in_order = self._names == list(self.format.features)
        self._project = contract.name.encode()

    async def connect(self) -> Any:  # noqa: ANN401
        """A new connection."""
        connection: Any = self._kind(**self.address.redis())
        await connection.connect()
        return connection

    async def found(self, connection: Any, keys: Sequence[bytes]) -> Found:  # noqa: ANN401
        """The rows of these keys, without those the store does not know.

        Raises:
            StoreEmpty: the database holds nothing.
        """
        commands = [("HMGET", key + self._project, *self._fields) for key in keys]
        await connection.send_packed_command(connection.pack_commands(commands))
        found: Found = {}
        for key in keys:
            reply = await connection.read_response()
            moments = [*map(seconds_of, reply[len(self._names) :])]
            if any(moments):
                values = dict(zip(self._names, map(decoded, reply), strict=False))
                if not self._in_order:
                    values = {name: values.get(name) for name in self.format.features}
                found[key] = values, moments
        if not found:
            await connection.send_command("DBSIZE")
            if not await connection.read_response():
                raise StoreEmpty(
                    f"{self.where} is empty, it has lost the rows of the newest month: the daemon"
                    " or `churn run` writes them again."
                )
        return found

    async def disconnect(self, connection: Any) -> None:  # noqa: ANN401
        """End a connection."""
        await connection.disconnect(nowait=True)


class PostgresReader(NetworkReader):
    """Feast's tables in a Postgres database: one per feature view, one row per feature."""

    name = "Postgres"

    def prepare(self, contract: Contract) -> None:
        """Import the client, and write what every read asks for."""
        import psycopg

        self.faults = (psycopg.Error, OSError, TimeoutError)
        self._cursor = psycopg.AsyncRawCursor
        self._open = psycopg.AsyncConnection.connect
        self._statement = " UNION ALL ".join(
            f"SELECT {number}, entity_key, feature_name, value,"  # noqa: S608 - names of the contract
            f' extract(epoch FROM event_ts)::bigint FROM public."{contract.name}_{view}"'
            " WHERE entity_key = ANY($1)"
            for number, view in enumerate(self.format.views)
        )

    async def connect(self) -> Any:  # noqa: ANN401
        """A new connection, for reading only."""
        limit = f"-c statement_timeout={ANSWER_SECONDS:.0f}s"
        where = self.address.postgres(
            application_name="churn serve",
            options=f"{limit} -c default_transaction_read_only=on",
        )
        return await self._open(where, autocommit=True)

    async def found(self, connection: Any, keys: Sequence[bytes]) -> Found:  # noqa: ANN401
        """The rows of these keys, without those the store does not know."""
        cursor = self._cursor(connection)
        await cursor.execute(self._statement, [list(keys)], prepare=True, binary=True)
        return self.format.gathered(await cursor.fetchall())

    async def disconnect(self, connection: Any) -> None:  # noqa: ANN401
        """End a connection."""
        await connection.close()
