"""Feast's Postgres online store: a table a view, one row per feature; requests that wait are
read together.

One connection, one query at a time: whoever asks while it is under way shares the next one, so
the cost of a query is shared too.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from churn_platform.base.errors import StoreDown, UsageError
from churn_platform.contract.model import Contract
from churn_platform.features.online.address import OnlineAddress
from churn_platform.features.online.rows import Month, OnlineRow, ages_of
from churn_platform.features.online.values import Key, decoded, entity_key

try:
    import psycopg
except ModuleNotFoundError as error:
    raise UsageError(
        f"{error.name} is not installed: install churn-platform[postgres].", code="PACKAGE_MISSING"
    ) from None

CONNECT_SECONDS = 2
READ_SECONDS = 2.0
PAUSE_SECONDS = 0.2
Found = dict[bytes, tuple[dict[str, Any], list[int]]]


class PostgresReader:
    """The tables of one contract in one database."""

    def __init__(self, contract: Contract, address: OnlineAddress) -> None:
        self._address = address
        self._key = entity_key(contract)
        self._ages = ages_of(contract)
        self._features = tuple(contract.features)
        self._views = len(contract.feature_views)
        self._statement = " UNION ALL ".join(
            f"SELECT {number}, entity_key, feature_name, value, extract(epoch FROM event_ts)::bigint "  # noqa: S608 - names of the contract
            f'FROM public."{contract.name}_{view}" WHERE entity_key = ANY($1)'
            for number, view in enumerate(contract.feature_views)
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._waiting: list[tuple[list[bytes], asyncio.Future[Found]]] = []
        self._reading: asyncio.Task[None] | None = None
        self._failed_at = -PAUSE_SECONDS
        self._why = ""

    async def read(self, keys: Sequence[Key], month: Month) -> list[OnlineRow | None]:
        """The row of each key, None where the store knows no such customer.

        Raises:
            StoreDown: the store does not answer.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a connection belongs to the loop that made it
            self._loop = loop
            self._connection = None
            self._reading = None
            self._waiting = []
        wanted = [self._key(key) for key in keys]
        future = loop.create_future()
        self._waiting.append((wanted, future))
        if self._reading is None or self._reading.done():
            self._reading = loop.create_task(self._drain())
        found: Found = await future
        return [self._row(*found[key], month.moment) if key in found else None for key in wanted]

    def close(self) -> None:
        """The connection ends with its last reference, once what is under way is answered."""

    async def _drain(self) -> None:
        while self._waiting:
            asked = self._waiting
            self._waiting = []
            try:
                found = await self._found(list({key for keys, _ in asked for key in keys}))
            except StoreDown as error:
                for _, future in asked:
                    if not future.done():
                        future.set_exception(StoreDown(str(error)))
            else:
                for _, future in asked:
                    if not future.done():
                        future.set_result(found)

    async def _found(self, keys: list[bytes]) -> Found:
        if self._connection is None and time.monotonic() - self._failed_at < PAUSE_SECONDS:
            raise StoreDown(self._why)
        try:
            async with asyncio.timeout(CONNECT_SECONDS + READ_SECONDS):
                if self._connection is None:
                    self._connection = await self._connected()
                cursor = psycopg.AsyncRawCursor(self._connection)
                rows = await (
                    await cursor.execute(self._statement, [keys], prepare=True, binary=True)
                ).fetchall()
        except (psycopg.Error, OSError, TimeoutError) as error:
            self._connection = None
            if isinstance(error, TimeoutError):
                said = "no answer in time"
            else:
                said = str(error).strip().splitlines()[0]
            self._failed_at = time.monotonic()
            self._why = (
                f"Postgres at {self._address.host}:{self._address.port} does not answer"
                f" ({said}): try again."
            )
            raise StoreDown(self._why) from None
        found: Found = {}
        for view, key, feature, value, moment in rows:
            values, moments = found.setdefault(
                key, (dict.fromkeys(self._features), [0] * self._views)
            )
            moments[view] = moment
            values[feature] = decoded(value)
        return found

    async def _connected(self) -> "psycopg.AsyncConnection[Any]":
        return await psycopg.AsyncConnection.connect(
            **self._address.postgres(), connect_timeout=CONNECT_SECONDS, application_name="churn serve",
            autocommit=True,
            options=f"-c statement_timeout={READ_SECONDS:.0f}s -c default_transaction_read_only=on",
        )  # fmt: skip

    def _row(self, values: dict[str, Any], moments: list[int], newest: int) -> OnlineRow:
        # a feature that the contract no longer names stays in the store
        if len(values) == len(self._features):
            named = values
        else:
            named = {name: values[name] for name in self._features}
        return OnlineRow(named, *self._ages(tuple(moments), newest))
