"""Reads the online features of customers for serving, from rows in Feast's layout, without importing Feast.

Feast's own read takes 1 ms, of which the database is 0.02 ms, and its import 2.4 s a process. Belongs here: what a
reader answers, which month and store are read (`online.json`, the one source), and the choice of a reader. Does not:
one store (`adapters/online_sqlite.py`, `online_redis.py`, `online_postgres.py`; every other `online_sdk.py`).
The server imports this module: the standard library and YAML only.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import yaml

from churn_platform.adapters.files import read_json
from churn_platform.adapters.online_address import OnlineAddress, names_store, online_address
from churn_platform.adapters.online_values import KEY_VERSION, Key
from churn_platform.core.contract import Contract
from churn_platform.errors import ChurnError, StoreDown, UsageError

MARKER = "online.json"


class OnlineRow(NamedTuple):
    """What the online store holds of one customer.

    Attributes:
        values: Every feature of the contract in its order; None is a legal null or a row that is not there.
        as_of: The month of the oldest feature view's row.
        behind: Features whose view has no row, or one of an older month than the newest.
    """

    values: dict[str, Any]
    as_of: dt.date
    behind: tuple[str, ...]


@dataclass(frozen=True)
class Month:
    """The newest month that was written whole, and the store that it was written to."""

    as_of: dt.date
    store: str

    @property
    def moment(self) -> int:
        """The instant that its rows carry, in seconds since 1970."""
        return int(dt.datetime.combine(self.as_of, dt.time(), dt.UTC).timestamp())


class OnlineReader(Protocol):
    """Reads customers for the API."""

    async def newest(self) -> dt.date:
        """The newest month in the store; also shows that the store answers.

        Raises:
            StoreDown: there is no month yet, or the store does not answer.
        """
        ...

    async def read(self, keys: Sequence[Key]) -> list[OnlineRow | None]:
        """The row of each key, None where the store knows no such customer.

        Raises:
            StoreDown: there is no month yet, or the store does not answer.
        """
        ...


class StoreReader(Protocol):
    """Reads one store; not for two threads at once."""

    async def read(self, keys: Sequence[Key], month: Month) -> list[OnlineRow | None]:
        """The row of each key, None where the store knows no such customer.

        Raises:
            StoreDown: the store does not answer.
        """
        ...

    def close(self) -> None:
        """Let go of the store; reads that are under way are answered."""
        ...


class FollowingReader:
    """Reads whichever store the home's newest month is in: a new month and another store are seen without a restart."""

    def __init__(self, folder: Path, contract: Contract, password: str = "") -> None:
        self._folder, self._contract, self._password = folder, contract, password
        self._file, self._seen = folder / MARKER, (0, 0)
        self._month = Month(dt.date.min, "")
        self.reader: StoreReader | None = None

    async def newest(self) -> dt.date:
        """The newest month in the store; also shows that the store answers.

        Raises:
            StoreDown: there is no month yet, or the store does not answer.
        """
        await self.read([0 if self._contract.entity.dtype == "integer" else ""])
        return self._month.as_of

    async def read(self, keys: Sequence[Key]) -> list[OnlineRow | None]:
        """The row of each key, None where the store knows no such customer.

        Raises:
            StoreDown: there is no month yet, or the store does not answer.
        """
        reader = self._current()
        return await reader.read(keys, self._month)

    def _current(self) -> StoreReader:
        """The reader of the newest month; that nothing has changed costs 2 microseconds to see."""
        try:
            found = self._file.stat()
            seen = (found.st_mtime_ns, found.st_ino)
            if seen == self._seen and self.reader is not None:
                return self.reader
            month = read_month(self._folder)
        except OSError as error:
            raise StoreDown(f"{self._file} cannot be read ({error}): materialize feature_views first.") from None
        # Opened anew with every month: a database that was put in place of the old one is another file.
        try:
            opened = open_reader(self._folder, self._contract, online_address(month.store, self._password))
        except UsageError as error:
            raise StoreDown(str(error)) from None
        if self.reader is not None:
            self.reader.close()
        self.reader, self._month, self._seen = opened, month, seen
        return opened


def open_online_reader(folder: Path, contract: Contract, password: str = "") -> FollowingReader:
    """The reader of the Feast repository in `folder`; nothing is read yet."""
    return FollowingReader(folder, contract, password)


def read_month(folder: Path) -> Month:
    """The newest month of the Feast repository in `folder`.

    Raises:
        StoreDown: there is none, or the file cannot be read.
    """
    file = folder / MARKER
    try:
        named = read_json(file)
        return Month(dt.date.fromisoformat(named["as_of"]), str(named.get("store", "")))
    except (OSError, ChurnError, KeyError, TypeError, ValueError) as error:
        raise StoreDown(f"{file} names no newest month ({error}): materialize feature_views first.") from None


def open_reader(folder: Path, contract: Contract, address: OnlineAddress) -> StoreReader:
    """The fastest reader of a store; no customer is read yet."""
    file = folder / "feature_store.yaml"
    named = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    direct = named.get("entity_key_serialization_version", KEY_VERSION) == KEY_VERSION and names_store(named, address)
    if direct and address.kind == "sqlite":
        from churn_platform.adapters.online_sqlite import SqliteReader

        path = str((named.get("online_store") or {}).get("path", "online_store.db"))
        return SqliteReader(contract, folder / path)
    if direct and address.kind == "redis":
        from churn_platform.adapters.online_redis import RedisReader

        return RedisReader(contract, address)
    if direct and address.kind == "postgres":
        from churn_platform.adapters.online_postgres import PostgresReader

        return PostgresReader(contract, address)
    from churn_platform.adapters.online_sdk import FeastReader

    return FeastReader(folder, contract, address)


Values = Callable[[Iterable[Any]], dict[str, Any]]


def values_of(contract: Contract) -> Values:
    """From a customer's values, view after view, to every feature in the contract's order."""
    held = [feature for view in contract.feature_views.values() for feature in view.features]
    features, places = tuple(contract.features), [held.index(name) for name in contract.features]
    if list(features) == held:
        return lambda values: dict(zip(features, values, strict=True))

    def sorted_out(values: Iterable[Any]) -> dict[str, Any]:
        found = list(values)
        return {name: found[place] for name, place in zip(features, places, strict=True)}

    return sorted_out


Ages = Callable[[tuple[int, ...], int], tuple[dt.date, tuple[str, ...]]]


def ages_of(contract: Contract) -> Ages:
    """How old a customer's rows are: from the moment of each view's row (0: none) and the newest month's.

    The answers are remembered: nearly all customers have the same moments.
    """
    views = tuple(tuple(view.features) for view in contract.feature_views.values())

    @lru_cache(maxsize=1024)
    def ages(moments: tuple[int, ...], newest: int) -> tuple[dt.date, tuple[str, ...]]:
        oldest = min(moment for moment in moments if moment)
        late = [name for features, moment in zip(views, moments, strict=True) if moment < newest for name in features]
        return dt.datetime.fromtimestamp(oldest, dt.UTC).date(), tuple(late)

    return ages
