"""Reads the online features of customers for serving, from rows in Feast's layout.

Feast's own read takes 1 ms, of which the database takes 0.02 ms, and its import 2.4 s.
"""

import contextlib
import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from churn_platform.base.errors import ChurnError, StoreDown, UsageError
from churn_platform.base.files import read_json
from churn_platform.contract.model import Contract
from churn_platform.features.online.address import DATABASE, OnlineAddress, online_address
from churn_platform.features.online.network import NetworkReader, PostgresReader, RedisReader
from churn_platform.features.online.rows import Key, Month, OnlineRow
from churn_platform.features.online.sqlite import SqliteReader

MARKER = "online.json"


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

    def close(self) -> None:
        """End the connection, if there is one."""
        ...


class FollowingReader:
    """Reads the store of the home's newest month; follows a new month or store by itself."""

    def __init__(self, folder: Path, contract: Contract, password: str = "") -> None:
        self._folder = folder
        self._contract = contract
        self._password = password
        self._file = folder / MARKER
        self._seen = (0, 0)
        self._month = Month(dt.date.min, "")
        self.reader: SqliteReader | NetworkReader | None = None

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
        reader = self.current()
        return await reader.read(keys, self._month)

    def current(self) -> SqliteReader | NetworkReader:
        """The reader of the newest month; the check for a new one takes 2 microseconds."""
        try:
            found = self._file.stat()
            seen = (found.st_mtime_ns, found.st_ino)
            if seen == self._seen and self.reader is not None:
                return self.reader
            month = read_month(self._folder)
        except OSError as error:
            raise StoreDown(
                f"{self._file} cannot be read ({error}): materialize feature_views first."
            ) from None
        # Opened again for every month: the database may have been replaced by another file.
        try:
            opened = self._open(online_address(month.store, self._password), month)
        except UsageError as error:
            raise StoreDown(str(error)) from None
        if self.reader is not None:
            self.reader.close()
        self.reader = opened
        self._month = month
        self._seen = seen
        return opened

    def close(self) -> None:
        """End the connection; the next read opens it again."""
        if self.reader is not None:
            self.reader.close()

    def _open(self, address: OnlineAddress, month: Month) -> SqliteReader | NetworkReader:
        if address.kind == "redis":
            return RedisReader(self._contract, address, month.views)
        if address.kind == "postgres":
            return PostgresReader(self._contract, address, month.views)
        return SqliteReader(self._contract, self._folder / DATABASE, month.views)


def open_online_reader(folder: Path, contract: Contract, password: str = "") -> FollowingReader:
    """The reader of the Feast repository in `folder`; no customer is read yet."""
    reader = FollowingReader(folder, contract, password)
    with contextlib.suppress(StoreDown):
        reader.current()  # imports the store's client now, not in the first request
    return reader


def read_month(folder: Path) -> Month:
    """The newest month of the Feast repository in `folder`.

    Raises:
        StoreDown: no month was written yet, or the file cannot be read.
    """
    file = folder / MARKER
    try:
        named = read_json(file)
        views = named.get("views")
        return Month(
            dt.date.fromisoformat(named["as_of"]),
            str(named.get("store", "")),
            views and {str(view): tuple(features) for view, features in views.items()},
        )
    except (OSError, ChurnError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreDown(
            f"{file} does not name a month ({error}): materialize feature_views first."
        ) from None


def newest_published(lake: Path) -> dt.date | None:
    """The newest month with a manifest in the folder of the lake; None without one."""
    months = [path.stem for path in (lake / "snapshots").glob("[0-9]*.json")]
    if months:
        return dt.date.fromisoformat(max(months))
    return None
