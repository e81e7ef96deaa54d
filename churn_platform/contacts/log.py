"""The contact log: every contact that any month's table holds, as known at an instant."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from churn_platform.contract.contacts import Contacts
from churn_platform.lake.lake import Lake

FIELDS = ("contacted_on", "action", "outcome", "cost", "assigned", "reached")


@dataclass(frozen=True)
class ContactLog:
    """The contacts of one home."""

    lake: Lake
    read: dict[tuple[Path, ...], pd.DataFrame] = field(
        default_factory=dict, repr=False, compare=False
    )
    """Contacts that were read, by their files."""

    def known(self, known_at: dt.datetime) -> pd.DataFrame:
        """Every contact once: the key, then contacted_on (datetime64), action, outcome, cost,
        assigned; null where the contract names no column. And whether the customer was
        reached: `contacts.not_reached` lists the outcomes that say no.

        Rows that several months deliver alike are one contact.
        """
        contacts = self.lake.contract.contacts
        if contacts is None:
            return self._nothing()
        files = self.lake.view(known_at, as_at_scoring=False)[contacts.table]
        paths = tuple(files.values())
        if paths not in self.read:
            self.read[paths] = self._of(contacts, paths)
        return self.read[paths]

    def _nothing(self) -> pd.DataFrame:
        columns = [self.lake.contract.entity.column, *FIELDS]
        nothing = pd.DataFrame(columns=columns)
        return nothing.astype({"contacted_on": "datetime64[ns]", "reached": bool})

    def _of(self, contacts: Contacts, files: Sequence[Path]) -> pd.DataFrame:
        tables = [self.lake.read_table(contacts.table, file) for file in files]
        if not tables:
            return self._nothing()
        columns = [self.lake.contract.entity.column, *FIELDS]
        rows = pd.concat(tables, ignore_index=True).drop_duplicates(ignore_index=True)
        named = {field: rows[column] for field, column in contacts.columns.items()}
        found = pd.DataFrame({columns[0]: rows[columns[0]], **named}).reindex(columns=columns)
        found["contacted_on"] = pd.to_datetime(found["contacted_on"])
        found["reached"] = ~found["outcome"].isin(contacts.not_reached)
        return found

    def between(self, known_at: dt.datetime, after: dt.date, until: dt.date) -> pd.DataFrame:
        """The contacts after one date and up to another, that one included."""
        rows = self.known(known_at)
        days = rows["contacted_on"]
        return rows[(days > pd.Timestamp(after)) & (days <= pd.Timestamp(until))]
