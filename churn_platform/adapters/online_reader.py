"""Reads the online features of customers for serving, from the rows that Feast wrote, without importing Feast.

Feast's own read takes 1 ms, of which the database is 0.02 ms, and its import 2.4 s a process. The layout is Feast's
(a table a view, one row a feature, entity key of serialization version 3, protobuf values); a test holds both readings
equal. Belongs here: the interface and the SQLite store. Does not: any other store (`adapters/online_sdk.py`).
The server imports this module: the standard library only.
"""

import contextlib
import datetime as dt
import sqlite3
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import yaml

from churn_platform.adapters.files import read_json
from churn_platform.core.contract import Contract
from churn_platform.errors import ChurnError, StoreDown

Key = str | int
STRING, INTEGER = 2, 4
"""Feast's ValueType of an entity key."""
KEY_VERSION = 3
MARKER = "online.json"
LOCK_SECONDS = 1.0
CACHE_KB = 32_768


@dataclass(frozen=True)
class OnlineRow:
    """What the online store holds of one customer.

    Attributes:
        values: Every feature of the contract in its order; None is a legal null or a row that is not there.
        as_of: The month of the oldest feature view's row.
        behind: Features whose view has no row, or one of an older month than the newest.
    """

    values: dict[str, Any]
    as_of: dt.date
    behind: tuple[str, ...]


class OnlineReader(Protocol):
    """Reads customers; `blocking` says that a read may wait for a network and belongs in a thread."""

    blocking: bool

    def newest(self) -> dt.date:
        """The newest month in the store; also shows that the store answers."""
        ...

    def read(self, keys: Sequence[Key]) -> list[OnlineRow | None]:
        """The row of each key, None where the store knows no such customer."""
        ...


def open_online_reader(folder: Path, contract: Contract) -> OnlineReader:
    """The fastest reader of the store that the Feast repository in `folder` names; no customer is read yet."""
    configuration = folder / "feature_store.yaml"
    named = yaml.safe_load(configuration.read_text(encoding="utf-8")) if configuration.exists() else {}
    store = named.get("online_store") or {"type": "sqlite"}
    if store.get("type") == "sqlite" and named.get("entity_key_serialization_version", KEY_VERSION) == KEY_VERSION:
        return SqliteReader(folder, contract, folder / str(store.get("path", "online_store.db")))
    from churn_platform.adapters.online_sdk import FeastReader

    return FeastReader(folder, contract)


class Newest:
    """The newest month that was written whole, read again when its file changes; the check costs 2 microseconds."""

    def __init__(self, folder: Path) -> None:
        self._file, self._seen = folder / MARKER, (0, 0)
        self.as_of, self.moment = dt.date.min, 0

    def refresh(self) -> bool:
        """Read the month again if need be; whether it changed.

        Raises:
            StoreDown: there is no month yet, or the file cannot be read.
        """
        try:
            found = self._file.stat()
            seen = (found.st_mtime_ns, found.st_ino)
            if seen == self._seen:
                return False
            self.as_of = dt.date.fromisoformat(read_json(self._file)["as_of"])
        except (OSError, ChurnError, KeyError, TypeError, ValueError) as error:
            raise StoreDown(f"{self._file} names no newest month ({error}): materialize feature_views first.") from None
        self.moment = int(dt.datetime.combine(self.as_of, dt.time(), dt.UTC).timestamp())
        self._seen = seen
        return True


class SqliteReader:
    """Feast's SQLite online store, read with one statement a call. For one thread at a time."""

    blocking = False

    def __init__(self, folder: Path, contract: Contract, database: Path) -> None:
        self._database, self._newest = database, Newest(folder)
        self._features = tuple(contract.features)
        self._views = tuple(view.features for view in contract.feature_views.values())
        self._key = entity_key(contract)
        self._tables = [f'"{contract.name}_{view}"' for view in contract.feature_views]
        self._connection: sqlite3.Connection | None = None

    def newest(self) -> dt.date:
        """The newest month in the store.

        Raises:
            StoreDown: the store does not answer.
        """
        self._select([b""])
        return self._newest.as_of

    def read(self, keys: Sequence[Key]) -> list[OnlineRow | None]:
        """The row of each key, None where the store knows no such customer.

        Raises:
            StoreDown: the store does not answer.
        """
        wanted = [self._key(key) for key in keys]
        found: dict[bytes, tuple[dict[str, Any], dict[int, Any]]] = {}
        last: tuple[int, bytes] | None = None
        values: dict[str, Any] = {}
        for view, key, feature, value, moment in self._select(wanted):  # one customer's rows of a view come together
            if (view, key) != last:
                last = (view, key)
                values, moments = found.setdefault(key, (dict.fromkeys(self._features), {}))
                moments[view] = moment
            values[feature] = decoded(value)
        return [self._row(*found[key]) if key in found else None for key in wanted]

    def _row(self, values: dict[str, Any], moments: Mapping[int, Any]) -> OnlineRow:
        # a feature that the contract no longer names stays in the store
        named = values if len(values) == len(self._features) else {name: values[name] for name in self._features}
        seconds = {view: at if isinstance(at, int) else _seconds(at) for view, at in moments.items()}
        behind: list[str] = []
        for number, features in enumerate(self._views):
            if seconds.get(number, 0) < self._newest.moment:
                behind += features
        return OnlineRow(named, _day(min(seconds.values())), tuple(behind))

    def _select(self, keys: Sequence[bytes]) -> list[tuple[int, bytes, str, bytes, Any]]:
        # A store that was put in place anew is another file: the open connection would go on reading the old one.
        if self._newest.refresh() or self._connection is None:
            self._reconnect()
        places = ",".join(f"?{number + 1}" for number in range(len(keys)))
        statement = " UNION ALL ".join(
            f"SELECT {number}, entity_key, feature_name, value, event_ts FROM {table} WHERE entity_key IN ({places})"  # noqa: S608 - names of the contract
            for number, table in enumerate(self._tables)
        )
        try:
            assert self._connection is not None  # noqa: S101 - for the type checker
            return self._connection.execute(statement, keys).fetchall()
        except sqlite3.Error as error:
            self._connection = None
            raise StoreDown(f"{self._database} does not answer ({error}): try again.") from None

    def _reconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        try:
            address = f"{self._database.resolve().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS, check_same_thread=False)
            # Not mmap, as fast: a file that is truncated under it kills the process.
            self._connection.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        except sqlite3.Error as error:
            raise StoreDown(f"{self._database} cannot be opened ({error}): materialize feature_views.") from None


def entity_key(contract: Contract) -> Callable[[Key], bytes]:
    """How Feast writes a customer's key (serialization version 3): the key's name, then its value."""
    name = contract.entity.column.encode()
    start = struct.pack("<III", 1, STRING, len(name)) + name
    if contract.entity.dtype == "integer":
        head = start + struct.pack("<II", INTEGER, 8)
        return lambda key: head + struct.pack("<q", int(key))
    head = start + struct.pack("<I", STRING)

    def text(key: Key) -> bytes:
        value = str(key).encode()
        return head + struct.pack("<I", len(value)) + value

    return text


@lru_cache(maxsize=65_536)
def decoded(value: bytes) -> str | float | bool | None:
    """One value of Feast's protobuf message `Value`: empty is null, else one field of the kinds that features have.

    Raises:
        StoreDown: a field of another kind.
    """
    if not value:
        return None
    tag = value[0]
    if tag == 0x12:  # noqa: PLR2004 - string_val: a length, then UTF-8
        _, start = _varint(value, 1)
        return value[start:].decode()
    if tag == 0x29:  # noqa: PLR2004 - double_val
        return float(struct.unpack_from("<d", value, 1)[0])
    if tag == 0x35:  # noqa: PLR2004 - float_val
        return float(struct.unpack_from("<f", value, 1)[0])
    if tag in (0x18, 0x20, 0x38):  # int32_val, int64_val, bool_val
        number, _ = _varint(value, 1)
        return bool(number) if tag == 0x38 else number - (1 << 64) if number >> 63 else number  # noqa: PLR2004
    raise StoreDown(f"the online store holds a value of an unknown kind ({value[:8]!r}): materialize the views again.")


@lru_cache(maxsize=256)
def _day(seconds: int) -> dt.date:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).date()


def _varint(value: bytes, start: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = value[start]
        number |= (byte & 0x7F) << shift
        start += 1
        if byte < 0x80:  # noqa: PLR2004 - the last byte has no continuation bit
            return number, start
        shift += 7


def _seconds(moment: str) -> int:
    """Older versions of Feast write text, in UTC."""
    read = dt.datetime.fromisoformat(str(moment))
    return int((read if read.tzinfo else read.replace(tzinfo=dt.UTC)).timestamp())
