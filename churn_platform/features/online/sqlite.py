"""Reads Feast's SQLite online store with one statement per call."""

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from churn_platform.base.errors import StoreDown
from churn_platform.contract.model import Contract
from churn_platform.features.online.rows import Key, Month, OnlineRow, RowFormat

LOCK_SECONDS = 1.0
CACHE_KB = 32_768


class SqliteReader:
    """The database of one home, read without a thread: only a lock can make it wait."""

    def __init__(
        self,
        contract: Contract,
        database: Path,
        views: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._database = database
        self._format = RowFormat(contract, views)
        self._tables = [f'"{contract.name}_{view}"' for view in self._format.views]
        self._connection: sqlite3.Connection | None = None

    async def read(self, keys: Sequence[Key], month: Month) -> list[OnlineRow | None]:
        """The row of each key, None where the store knows no such customer.

        Raises:
            StoreDown: the store does not answer.
        """
        wanted = [self._format.key(key) for key in keys]
        places = ",".join(f"?{number + 1}" for number in range(len(wanted)))
        statement = " UNION ALL ".join(
            f"SELECT {number}, entity_key, feature_name, value, event_ts"  # noqa: S608 - names of the contract
            f" FROM {table} WHERE entity_key IN ({places})"
            for number, table in enumerate(self._tables)
        )
        try:
            cells = self._opened().execute(statement, wanted).fetchall()
        except sqlite3.Error as error:
            self._connection = None
            raise StoreDown(f"{self._database} does not answer ({error}): try again.") from None
        return self._format.rows(wanted, self._format.gathered(cells), month)

    def close(self) -> None:
        """Close the database."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                address = f"{self._database.resolve().as_uri()}?mode=ro"
                opened = sqlite3.connect(
                    address, uri=True, timeout=LOCK_SECONDS, check_same_thread=False
                )
                # mmap is not faster, and a truncated file would kill the process.
                opened.execute(f"PRAGMA cache_size = -{CACHE_KB}")
                self._connection = opened
            except sqlite3.Error as error:
                raise StoreDown(
                    f"{self._database} cannot be opened ({error}): materialize feature_views."
                ) from None
        return self._connection
