"""Feast's SQLite online store, read with one statement a call: a table a view, one row a feature.

Belongs here: that read. Does not: the bytes (`adapters/online_values.py`). The server imports this module: the standard
library only.
"""

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from churn_platform.adapters.online_reader import Month, OnlineRow, ages_of
from churn_platform.adapters.online_values import Key, decoded, entity_key
from churn_platform.core.contract import Contract
from churn_platform.errors import StoreDown

LOCK_SECONDS = 1.0
CACHE_KB = 32_768


class SqliteReader:
    """The database of one home. It never waits for longer than a lock, so it is read without a thread."""

    def __init__(self, contract: Contract, database: Path) -> None:
        self._database = database
        self._features = tuple(contract.features)
        self._key, self._ages = entity_key(contract), ages_of(contract)
        self._tables = [f'"{contract.name}_{view}"' for view in contract.feature_views]
        self._connection: sqlite3.Connection | None = None

    async def read(self, keys: Sequence[Key], month: Month) -> list[OnlineRow | None]:
        """The row of each key, None where the store knows no such customer.

        Raises:
            StoreDown: the store does not answer.
        """
        wanted = [self._key(key) for key in keys]
        found: dict[bytes, tuple[dict[str, Any], list[int]]] = {}
        last: tuple[int, bytes] | None = None
        values: dict[str, Any] = {}
        for view, key, feature, value, moment in self._select(wanted):  # one customer's rows of a view come together
            if (view, key) != last:
                last = (view, key)
                values, moments = found.setdefault(key, (dict.fromkeys(self._features), [0] * len(self._tables)))
                moments[view] = moment if isinstance(moment, int) else _seconds(moment)
            values[feature] = decoded(value)
        return [self._row(*found[key], month) if key in found else None for key in wanted]

    def close(self) -> None:
        """Close the database."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _row(self, values: dict[str, Any], moments: list[int], month: Month) -> OnlineRow:
        # a feature that the contract no longer names stays in the store
        named = values if len(values) == len(self._features) else {name: values[name] for name in self._features}
        return OnlineRow(named, *self._ages(tuple(moments), month.moment))

    def _select(self, keys: Sequence[bytes]) -> list[tuple[int, bytes, str, bytes, Any]]:
        places = ",".join(f"?{number + 1}" for number in range(len(keys)))
        statement = " UNION ALL ".join(
            f"SELECT {number}, entity_key, feature_name, value, event_ts FROM {table} WHERE entity_key IN ({places})"  # noqa: S608 - names of the contract
            for number, table in enumerate(self._tables)
        )
        try:
            return self._opened().execute(statement, keys).fetchall()
        except sqlite3.Error as error:
            self._connection = None
            raise StoreDown(f"{self._database} does not answer ({error}): try again.") from None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                address = f"{self._database.resolve().as_uri()}?mode=ro"
                opened = sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS, check_same_thread=False)
                # Not mmap, as fast: a file that is truncated under it kills the process.
                opened.execute(f"PRAGMA cache_size = -{CACHE_KB}")
                self._connection = opened
            except sqlite3.Error as error:
                raise StoreDown(f"{self._database} cannot be opened ({error}): materialize feature_views.") from None
        return self._connection


def _seconds(moment: str) -> int:
    """Older versions of Feast write text, in UTC."""
    read = dt.datetime.fromisoformat(str(moment))
    return int((read if read.tzinfo else read.replace(tzinfo=dt.UTC)).timestamp())
