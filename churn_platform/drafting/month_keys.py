"""What the month before shows, and how the files of a month write the customers' keys."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from churn_platform.contract.model import Contract
from churn_platform.contract.parts import KeySpelling
from churn_platform.ingestion.conversion import Writing, convert
from churn_platform.ingestion.renames import likely_spelling, same_values
from churn_platform.ingestion.rules import read_keys

UNREADABLE = 0.01
"""Share of values that a column may not be able to read under a new header."""


@dataclass(frozen=True)
class MonthBefore:
    """What the newest published month shows, by table of the contract.

    Attributes:
        headers: The columns of its files that the contract leaves out, by file.
        tables: Its tables as the lake has them, with the key.
    """

    headers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


class MonthKeys:
    """The keys of a month's files."""

    def __init__(
        self, contract: Contract, as_of: dt.date, before: Mapping[str, pd.DataFrame]
    ) -> None:
        self._contract = contract
        self._as_of = as_of
        self._before = before
        self._key = contract.key.source or contract.entity.column

    def read(self, name: str, frame: pd.DataFrame) -> pd.Series:
        """The keys (rows,) of a file as the months before write them, as far as is known."""
        keys = read_keys(self._contract.delivery(self._as_of), name, frame[self._key])
        found = likely_spelling(keys, self.known(name))
        if found is None:
            return keys
        text, _ = convert(frame[self._key], "string")
        return text.map(found.read, na_action="ignore")

    def known(self, name: str) -> pd.Series:
        """The keys of a table in the month before; the customers for another or for events."""
        events = self._contract.event_tables
        tables = {n: table for n, table in self._before.items() if n not in events}
        own = tables.get(self._contract.owner(name), next(iter(tables.values()), None))
        return pd.Series(dtype=object) if own is None else own[self._contract.entity.column]

    def spelled(self, frame: pd.DataFrame, known: pd.Series) -> KeySpelling | None:
        """The spelling of a file's keys from this month on, if it is another one."""
        found = likely_spelling(frame[self._key], known)
        if found is None:
            return None
        return found.model_copy(update={"since": self._as_of})

    def doubt(self, frame: pd.DataFrame, spelling: KeySpelling) -> str:
        """An example to confirm a spelling by."""
        example = str(frame[self._key].iloc[0])
        return f"{example!r} is read as {spelling.read(example)!r}"

    def overlap(
        self, name: str, frame: pd.DataFrame, own: str, header: str, then: pd.DataFrame
    ) -> float:
        """How much the values under a header agree with those of a column of the month before,
        from 0 to 1.
        """
        column = self._contract.delivery(self._as_of).delivered(name)[own]
        written = Writing.of(self._contract.files, column)
        now, masks = convert(frame[header], column.dtype, written)
        if sum(int(mask.sum()) for mask in masks.values()) > UNREADABLE * len(now):
            return 0.0
        before, _ = convert(then[own], column.dtype)
        keys = then[self._contract.entity.column]
        return same_values(
            before.set_axis(keys.astype(str)),
            now.set_axis(self.read(name, frame).astype(str)),
        )
