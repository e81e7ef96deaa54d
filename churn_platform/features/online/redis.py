"""One connection to Redis for one event loop: any number of requests pipelined, each answered
in its turn.

A client library costs 0.2 ms a request for its pools and retries; here a request is one write
and one future.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

from churn_platform.base.errors import StoreDown, StoreEmpty, UsageError
from churn_platform.contract.model import Contract
from churn_platform.features.online.address import OnlineAddress
from churn_platform.features.online.rows import Month, OnlineRow, ages_of, values_of
from churn_platform.features.online.values import (
    Key,
    decoded,
    entity_key,
    field_name,
    seconds_of,
)

try:
    import hiredis
except ModuleNotFoundError as error:
    raise UsageError(
        f"{error.name} is not installed: install churn-platform[redis].", code="PACKAGE_MISSING"
    ) from None

CONNECT_SECONDS = 1.0
READ_SECONDS = 1.0
PAUSE_SECONDS = 0.2
"""After a failed connection requests fail at once for so long: not each of them waits."""


class RedisConnection:
    """Connects when first asked, and again after the connection was lost."""

    def __init__(self, address: OnlineAddress, read_seconds: float | None = None) -> None:
        self._address = address
        self._read_seconds = read_seconds or READ_SECONDS
        self._lock = asyncio.Lock()
        self._wire: _Wire | None = None
        self._failed_at = -PAUSE_SECONDS
        self._why = ""

    async def ask(self, commands: bytes, replies: int) -> list[Any]:
        """Send commands that are already encoded; their replies, in order.

        Raises:
            StoreDown: no answer within the time limits, or Redis refuses.
        """
        wire = self._wire
        if wire is None or wire.closed:
            wire = await self._connected()
        return await wire.ask(commands, replies)

    def close(self) -> None:
        """End the connection once what is under way is answered."""
        if self._wire is not None:
            self._wire.close()

    async def _connected(self) -> "_Wire":
        async with self._lock:
            if self._wire is not None and not self._wire.closed:
                return self._wire
            if time.monotonic() - self._failed_at < PAUSE_SECONDS:
                raise StoreDown(self._why)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    self._wire = await self._connect()
            except (OSError, TimeoutError, StoreDown) as error:
                said = str(error)
                if isinstance(error, TimeoutError):
                    said = f"no answer in {CONNECT_SECONDS:.0f} s"
                self._failed_at = time.monotonic()
                self._why = (
                    f"Redis at {self._address.host}:{self._address.port} does not answer"
                    f" ({said}): try again."
                )
                raise StoreDown(self._why) from None
            return self._wire

    async def _connect(self) -> "_Wire":
        where = self._address
        if self._address.tls:
            context = ssl.create_default_context()
        else:
            context = None
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(
            lambda: _Wire(where, self._read_seconds), where.host, where.port, ssl=context
        )
        commands: list[tuple[Any, ...]] = [("SELECT", where.database)]
        if where.password:
            commands.insert(0, ("AUTH", *([where.user] if where.user else []), where.password))
        try:
            for command in commands:
                await wire.ask(hiredis.pack_command(command), 1)
        except BaseException:
            wire.close()
            raise
        return wire


class _Wire(asyncio.Protocol):
    def __init__(self, address: OnlineAddress, read_seconds: float) -> None:
        self._limit = read_seconds
        self._where = f"Redis at {address.host}:{address.port}"
        self._parser = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[list[Any]], int]] = deque()
        self._replies: list[Any] = []
        self._transport: asyncio.Transport | None = None
        self._leaving = False
        self.closed = False

    async def ask(self, commands: bytes, replies: int) -> list[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()
        self._waiting.append((future, replies))
        assert self._transport is not None  # noqa: S101 - `connection_made` came before
        self._transport.write(commands)
        limit = loop.call_later(self._limit, self._late, future)
        try:
            return await future
        finally:
            limit.cancel()

    def close(self) -> None:
        self._leaving = True
        if not self._waiting:
            self._end("closed")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        while self._waiting:
            future, wanted = self._waiting[0]
            while len(self._replies) < wanted:
                try:
                    reply = self._parser.gets()
                except hiredis.ProtocolError as error:
                    self._end(f"no Redis: {error}")
                    return
                if reply is False:
                    return
                self._replies.append(reply)
            self._waiting.popleft()
            replies = self._replies
            self._replies = []
            if not future.done():  # the request may have gone away
                self._settle(future, replies)
        if self._leaving:
            self._end("closed")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc or "connection closed"))

    def _settle(self, future: "asyncio.Future[list[Any]]", replies: list[Any]) -> None:
        refused = next((reply for reply in replies if isinstance(reply, hiredis.ReplyError)), None)
        if refused is None:
            future.set_result(replies)
        else:
            future.set_exception(StoreDown(f"{self._where} refuses ({refused}): try again."))

    def _late(self, future: "asyncio.Future[list[Any]]") -> None:
        if not future.done():
            self._end(f"no answer in {self._limit:.0f} s")

    def _end(self, why: str) -> None:
        """Replies have no number: with one of them missing, the connection is worth nothing."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(
                    StoreDown(f"{self._where} does not answer ({why}): try again.")
                )


SIZE = b"*1\r\n$6\r\nDBSIZE\r\n"


class RedisReader:
    """The hashes of one contract in one Redis database."""

    def __init__(self, contract: Contract, address: OnlineAddress) -> None:
        self._address = address
        self._key = entity_key(contract)
        self._ages = ages_of(contract)
        views = contract.feature_views
        fields = [
            field_name(name, feature) for name, view in views.items() for feature in view.features
        ]
        self._values = values_of(contract)
        self._count = len(fields)
        fields += [f"_ts:{name}".encode() for name in views]
        self._project = contract.name.encode()
        # HMGET key field...: all but the key is the same in every request.
        self._head = b"*%d\r\n$5\r\nHMGET\r\n" % (len(fields) + 2)
        self._tail = (
            self._project
            + b"\r\n"
            + b"".join(b"$%d\r\n%b\r\n" % (len(name), name) for name in fields)
        )
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
        head = self._head
        tail = self._tail
        extra = len(self._project)
        parts = []
        for key in keys:
            written = self._key(key)
            parts.append(b"%b$%d\r\n%b%b" % (head, len(written) + extra, written, tail))
        replies = await self._ask(b"".join(parts), len(parts))
        rows = [self._row(reply, month.moment) for reply in replies]
        if None in rows and not (await self._ask(SIZE, 1))[0]:
            raise StoreEmpty(
                f"Redis at {self._address.host}:{self._address.port} holds nothing, it has lost"
                f" the rows of {month.as_of}: the daemon brings them back, or `churn run`."
            )
        return rows

    def close(self) -> None:
        """End the connection once what is under way is answered."""
        if self._connection is not None and self._loop is not None and not self._loop.is_closed():
            self._connection.close()
        self._connection = None

    async def _ask(self, commands: bytes, replies: int) -> list[Any]:
        loop = asyncio.get_running_loop()
        if (
            self._connection is None or self._loop is not loop
        ):  # a connection belongs to the loop that made it
            self._loop = loop
            self._connection = RedisConnection(self._address)
        return await self._connection.ask(commands, replies)

    def _row(self, reply: list[bytes | None], newest: int) -> OnlineRow | None:
        moments = tuple(map(seconds_of, reply[self._count :]))
        if not any(moments):
            return None
        return OnlineRow(
            self._values(map(decoded, reply[: self._count])), *self._ages(moments, newest)
        )
