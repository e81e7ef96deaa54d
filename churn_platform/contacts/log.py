"""The contact log: every contact that any month's table holds, as known at an instant."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.contract.contacts import Contacts
from churn_platform.lake.lake import Lake

Numbers = np.ndarray[Any, np.dtype[np.integer[Any]]]
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

        Rows that several months deliver alike are one contact, and so are a row and the same
        row of another month with more of its cells filled, such as the outcome.
        """
        contacts = self.lake.contract.contacts
        if contacts is None:
            return self._nothing()
        files = self.lake.view(known_at, as_at_scoring=False)[contacts.table]
        paths = tuple(file.path for file in files.values())
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
        delivery = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        rows = pd.concat(tables, ignore_index=True)
        certain = [columns[0], contacts.contacted_on, contacts.action]
        rows = _distinct(rows, delivery, certain)
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


def _distinct(rows: pd.DataFrame, delivery: Numbers, certain: Sequence[str]) -> pd.DataFrame:
    """Each contact once: without repetitions, and without a row that another delivery has with
    a cell filled that is empty here.

    A delivery that has both rows shows that they are two contacts.

    Args:
        rows: the contacts of all deliveries.
        delivery: the number of the delivery that each row is from.
        certain: the columns that are the same however a contact is completed.
    """
    first = ~rows.duplicated()
    distinct = rows[first]
    doubtful = distinct[distinct.duplicated(certain, keep=False)]
    if doubtful.empty:
        return distinct.reset_index(drop=True)
    # Grouping all of 600,000 contacts takes 7 s, and few are alike. Equal hashes cost only time.
    place = pd.util.hash_pandas_object(rows[[*certain]], index=False)
    here = place.isin(place[doubtful.index]).to_numpy()
    completed = _completed(rows[here], delivery[here], certain)
    return distinct.drop(index=completed).reset_index(drop=True)


def _completed(rows: pd.DataFrame, delivery: Numbers, certain: Sequence[str]) -> pd.Index:
    """The labels of the distinct rows that another delivery completes; see `_distinct`."""
    known = pd.Series(delivery).groupby(rows.groupby(list(rows), dropna=False).ngroup().to_numpy())
    first = ~rows.duplicated().to_numpy()
    oldest = known.transform("min")[first].to_numpy()
    newest = known.transform("max")[first].to_numpy()
    rows = rows[first]
    optional = [name for name in rows if name not in certain]
    empty = rows[optional].isna()
    completed = np.zeros(len(rows), dtype=bool)
    for pattern in empty.drop_duplicates().itertuples(index=False):
        if not any(pattern):
            continue
        here = (empty == list(pattern)).all(axis=1).to_numpy()
        filled = [name for name, gap in zip(optional, pattern, strict=True) if not gap]
        alike = rows.groupby([*certain, *filled], dropna=False).ngroup().to_numpy()
        last = pd.Series(newest).groupby(alike)
        later = last.transform("max").to_numpy() > newest
        earlier = last.transform("min").to_numpy() < oldest
        completed |= here & (later | earlier)
    return rows.index[completed]
