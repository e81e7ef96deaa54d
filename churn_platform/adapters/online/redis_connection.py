"""One connection to Redis for one event loop: any number of requests pipelined, each answered in its turn.

A client library costs 0.2 ms a request for its pools and retries; here a request is one write and one future. Belongs
here: the connection, its time limits and its end. Does not: what is asked (`adapters/online/redis.py`).
"""

import asyncio
import ssl
import time
from collections import deque
from typing import Any, cast

import hiredis

from churn_platform.adapters.online.address import OnlineAddress
from churn_platform.errors import StoreDown

CONNECT_SECONDS, READ_SECONDS = 1.0, 1.0
PAUSE_SECONDS = 0.2
"""After a failed connection requests fail at once for so long: not each of them waits."""


class RedisConnection:
    """Connects when first asked, and again after the connection was lost."""

    def __init__(self, address: OnlineAddress, read_seconds: float | None = None) -> None:
        self._address, self._read_seconds = address, read_seconds or READ_SECONDS
        self._lock = asyncio.Lock()
        self._wire: _Wire | None = None
        self._failed_at, self._why = -PAUSE_SECONDS, ""

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
                said = f"no answer in {CONNECT_SECONDS:.0f} s" if isinstance(error, TimeoutError) else error
                self._failed_at = time.monotonic()
                self._why = f"Redis at {self._address.host}:{self._address.port} does not answer ({said}): try again."
                raise StoreDown(self._why) from None
            return self._wire

    async def _connect(self) -> "_Wire":
        where, context = self._address, ssl.create_default_context() if self._address.tls else None
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
            replies, self._replies = self._replies, []
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
                future.set_exception(StoreDown(f"{self._where} does not answer ({why}): try again."))
