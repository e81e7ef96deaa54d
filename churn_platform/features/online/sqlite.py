"""Reads Feast's SQLite online store with one statement per call."""

import contextlib
import datetime as dt
import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from churn_platform.base.errors import StoreDown
from churn_platform.contract.model import Contract
from churn_platform.features.online.rows import (
    Key,
    Month,
    OnlineRow,
    ages_of,
    decoded,
    entity_key,
    values_of,
)

LOCK_SECONDS = 1.0
CACHE_KB = 32_768
MANY = 20
"""The number of customers from which reading by column is faster than by row."""


class SqliteReader:
    """The database of one home, read without a thread: only a lock can make it wait."""

    def __init__(self, contract: Contract, database: Path) -> None:
        self._database = database
        self._features = tuple(contract.features)
        self._views = [tuple(view.features) for view in contract.feature_views.values()]
        self._key = entity_key(contract)
        self._ages = ages_of(contract)
        self._values = values_of(contract)
        self._tables = [f'"{contract.name}_{view}"' for view in contract.feature_views]
        self._connection: sqlite3.Connection | None = None

    async def read(self, keys: Sequence[Key], month: Month) -> list[OnlineRow | None]:
        """The row of each key, None where the store knows no such customer.

        Raises:
            StoreDown: the store does not answer.
        """
        wanted = [self._key(key) for key in keys]
        found = self._select(wanted)
        if len(wanted) < MANY or not found:
            return self._few(wanted, found, month.moment)
        # By column: a thousand customers are 14,000 rows, and one Python step for each takes as
        # long as SQLite.
        numbers, owners, names, values, moments = zip(*found, strict=True)
        decoded_values = list(map(decoded, values))
        start = 0
        held: list[tuple[dict[bytes, tuple[Any, ...]], dict[bytes, int]]] = []
        for number, features in enumerate(self._views):
            end = bisect_right(numbers, number)
            part = slice(start, end)
            held.append(
                _by_customer(
                    features, owners[part], names[part], decoded_values[part], moments[part]
                )
            )
            start = end
        return self._rows(wanted, held, month.moment)

    def close(self) -> None:
        """Close the database."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _few(
        self, wanted: list[bytes], found: list[tuple[int, bytes, str, bytes, Any]], newest: int
    ) -> list[OnlineRow | None]:
        """By row, which is faster for few customers."""
        held: dict[bytes, tuple[dict[str, Any], list[int]]] = {}
        for view, owner, name, value, moment in found:
            values, moments = held.setdefault(
                owner, (dict.fromkeys(self._features), [0] * len(self._views))
            )
            moments[view] = moment if isinstance(moment, int) else _seconds(moment)
            if name in values:  # a feature that the contract no longer names stays in the store
                values[name] = decoded(value)
        ages = self._ages
        return [
            (
                OnlineRow(held[owner][0], *ages(tuple(held[owner][1]), newest))
                if owner in held
                else None
            )
            for owner in wanted
        ]

    def _rows(
        self,
        wanted: list[bytes],
        held: list[tuple[dict[bytes, tuple[Any, ...]], dict[bytes, int]]],
        newest: int,
    ) -> list[OnlineRow | None]:
        empty = [(None,) * len(features) for features in self._views]
        parts = [
            [view.get(key, none) for key in wanted]
            for (view, _), none in zip(held, empty, strict=True)
        ]
        ages = zip(*([moments.get(key, 0) for key in wanted] for _, moments in held), strict=True)
        return [
            (
                OnlineRow(self._values(chain.from_iterable(part)), *self._ages(age, newest))
                if any(age)
                else None
            )
            for part, age in zip(zip(*parts, strict=True), ages, strict=True)
        ]

    def _select(self, keys: Sequence[bytes]) -> list[tuple[int, bytes, str, bytes, Any]]:
        places = ",".join(f"?{number + 1}" for number in range(len(keys)))
        statement = " UNION ALL ".join(
            f"SELECT {number}, entity_key, feature_name, value, event_ts"  # noqa: S608 - names of the contract
            f" FROM {table} WHERE entity_key IN ({places})"
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


def _by_customer(
    features: tuple[str, ...],
    owners: tuple[bytes, ...],
    names: tuple[str, ...],
    values: list[Any],
    moments: tuple[Any, ...],
) -> tuple[dict[bytes, tuple[Any, ...]], dict[bytes, int]]:
    """A view's rows (one per customer and feature) as the values and moment of each customer."""
    width = next((number for number, owner in enumerate(owners) if owner != owners[0]), len(owners))
    first = names[:width]
    count = len(owners) // width if width else 0
    alike = names == first * count and all(
        owners[place::width] == owners[::width] for place in range(1, width)
    )
    if alike and set(features) <= set(first):
        places = [first.index(name) for name in features]
        own = dict(
            zip(
                owners[::width],
                zip(*(values[place::width] for place in places), strict=True),
                strict=True,
            )
        )
        return own, dict(zip(own, map(_seconds, moments[::width]), strict=True))
    # A view written in parts, or under another contract, whose old features stay in the store.
    mixed: dict[bytes, dict[str, Any]] = {}
    when: dict[bytes, int] = {}
    for owner, name, value, moment in zip(owners, names, values, moments, strict=True):
        mixed.setdefault(owner, {})[name] = value
        when.setdefault(owner, _seconds(moment))
    return {owner: tuple(map(held.get, features)) for owner, held in mixed.items()}, when


def _seconds(moment: int | str) -> int:
    """Older versions of Feast write text, in UTC."""
    if isinstance(moment, int):
        return moment
    read = dt.datetime.fromisoformat(moment)
    return int((read if read.tzinfo else read.replace(tzinfo=dt.UTC)).timestamp())
