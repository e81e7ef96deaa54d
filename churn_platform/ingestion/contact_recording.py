"""Records the contacts of a worked list: checks them and adds them to the newest month's drop."""

import csv
import datetime as dt
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.base.home import Home
from churn_platform.base.text import EXAMPLES, counted
from churn_platform.contacts.plan import ARM, ASSIGNED
from churn_platform.contacts.plans import ContactPlans
from churn_platform.contract.contacts import Contacts
from churn_platform.contract.model import Contract
from churn_platform.ingestion.conversion import NULL_WORDS, TEXT, Writing
from churn_platform.ingestion.drop import open_drop
from churn_platform.ingestion.faults import Fault
from churn_platform.ingestion.publish import Ingestion
from churn_platform.ingestion.rules import conform, header_faults, read_keys
from churn_platform.ingestion.validation import DropRefused
from churn_platform.ingestion.worked_list import read_worked_list, written
from churn_platform.lake.lake import Lake


@dataclass(frozen=True)
class ContactsFound:
    """What a worked list holds.

    Attributes:
        file: the list.
        as_of: the month whose drop the contacts are added to: the newest one.
        rows: rows of the file.
        contacts: rows with a date of contact.
        repeated: of them those that are recorded already, or stand in the file twice.
        added: contacts that are new.
        without_date: rows that have an action or an outcome, but no date, so they are no
            contacts.
        in_future: contacts that are dated after today.
        unknown: keys that no published month has.
        recorded: whether the contacts were written.
        drop: the folder of the month's drop.
    """

    file: str
    as_of: dt.date
    rows: int
    contacts: int
    repeated: int
    added: int
    without_date: int
    in_future: int
    unknown: tuple[str, ...]
    recorded: bool
    drop: str

    @property
    def sentences(self) -> Iterator[str]:
        """What a person should know before the contacts are recorded."""
        yield (
            f"{counted(self.contacts, 'contact')} in {counted(self.rows, 'row')} of {self.file};"
            f" {self.added:,} new, {self.repeated:,} recorded before."
        )
        if self.without_date:
            yield (
                f"{counted(self.without_date, 'row')} with an action or an outcome but without a"
                " date of contact: not recorded."
            )
        if self.in_future:
            yield f"{counted(self.in_future, 'contact')} dated after today."
        if self.unknown:
            shown = ", ".join(self.unknown[:EXAMPLES])
            more = ", ..." if len(self.unknown) > EXAMPLES else ""
            yield (
                f"{counted(len(self.unknown), 'customer')} that no published month has:"
                f" {shown}{more}."
            )


@dataclass(frozen=True)
class ContactRecording:
    """Records the contacts of one home."""

    home: Home
    contract: Contract
    lake: Lake
    plans: ContactPlans
    ingestion: Ingestion

    def check(self, path: Path) -> ContactsFound:
        """What would be recorded; writes nothing.

        Raises:
            DropRefused: the file breaks the contract's rules.
            UsageError: the contract names no contacts, there is no month yet, or the file is not
                one of this home.
        """
        return self._read(path)[0]

    def record(self, path: Path) -> ContactsFound:
        """Add the contacts of a file to the drop of the newest month; the next run publishes
        them like any delivery.

        Raises:
            DropRefused, UsageError: as `check`; nothing was written.
            HomeBusy: a run is under way.
        """
        with self.home.exclusive("`churn contacts record`"):
            found, merged = self._read(path)
            if not found.added:
                return replace(found, recorded=True)
            month = self.contract.delivery(found.as_of)
            stem = month.file_stem(self._contacts(found.as_of).table)
            place = self.home.drops if self.home.drops.is_dir() else None
            with tempfile.TemporaryDirectory(
                prefix=".delivery.", suffix=".tmp", dir=place
            ) as folder:
                merged.to_csv(
                    Path(folder) / f"{stem}.csv",
                    sep=month.files.delimiter,
                    index=False,
                    # A mark takes precedence over the contract's encoding, which may lack letters.
                    encoding="utf-8-sig",
                    quoting=csv.QUOTE_MINIMAL,
                    lineterminator="\n",
                )
                self.ingestion.accept(Path(folder), found.as_of, [path])
            return replace(found, recorded=True)

    def _contacts(self, as_of: dt.date) -> Contacts:
        contacts = self.contract.at(as_of).contacts
        if contacts is None:
            raise UsageError(
                "The contract names no table of contacts: add `contacts` to it (docs/contract.md).",
                code="CONTACTS_NOT_DECLARED",
            )
        if contacts.table in self.contract.pulled:
            raise UsageError(
                f"The table {contacts.table!r} is read from a database: record contacts there.",
                code="CONTACTS_NOT_DECLARED",
            )
        return contacts

    def _read(self, path: Path) -> tuple[ContactsFound, pd.DataFrame]:
        """What the file holds, and the complete file of the month's contacts."""
        months = self.lake.months()
        as_of = months[-1] if months else self.home.now().date()
        contacts = self._contacts(as_of)
        if not months:
            raise UsageError(
                "No month is published yet, so no customer is known: type `churn run` first.",
                code="MONTH_UNKNOWN",
            )
        month = self.contract.delivery(as_of)
        raw, faults = read_worked_list(path, month, contacts.table)
        headers = {own: spec.source or own for own, spec in month.delivered(contacts.table).items()}
        if not faults:
            raw = self._with_assigned(raw, headers, contacts)
            faults = header_faults(month, contacts.table, [*raw.columns], path.name)
        if faults:
            raise _refused(path, faults)
        dated = _filled(raw[headers[contacts.contacted_on]])
        places = np.flatnonzero(dated)
        rows = raw[dated].reset_index(drop=True)
        valid, faults = conform(month, contacts.table, rows, as_of=as_of, file=path.name)
        if faults:
            in_file = [replace(one, positions=places[one.positions]) for one in faults]
            raise _refused(path, in_file)
        unknown = self._unknown(valid[month.entity.column], path)
        earlier = self._earlier(as_of, month, contacts.table)
        known = self._known(month, contacts.table, as_of, earlier)
        repeated = pd.concat([known, valid[known.columns]]).duplicated().to_numpy()[len(known) :]
        new = valid[~repeated]
        today = pd.Timestamp(self.home.now().date())
        actions = [headers[own] for own in (contacts.action, contacts.outcome) if own is not None]
        worked = np.logical_or.reduce([_filled(raw[header]) for header in actions])
        found = ContactsFound(
            file=path.name,
            as_of=as_of,
            rows=len(raw),
            contacts=len(rows),
            repeated=len(rows) - len(new),
            added=len(new),
            without_date=int((worked & ~dated).sum()),
            in_future=int((new[contacts.contacted_on] > today).sum()),
            unknown=unknown,
            recorded=False,
            drop=str(self.home.drops / as_of.isoformat()),
        )
        return found, _merged(earlier, _texts(month, contacts.table, new, rows), headers)

    def _with_assigned(
        self, raw: pd.DataFrame, headers: dict[str, str], contacts: Contacts
    ) -> pd.DataFrame:
        """The rows with the column `assigned`, which the list for the team does not have: true
        for customers whom any month's list asked for.
        """
        header = headers.get(contacts.assigned or "", "")
        key = headers[self.contract.entity.column]
        if not header or header in raw.columns or key not in raw.columns:
            return raw
        listed: set[str] = set()
        for month in self.plans.months():
            rows = self.plans.rows(month)
            keys = rows.loc[rows[ARM].isin(ASSIGNED), self.contract.entity.column]
            listed |= set(keys.astype(str))
        asked = raw[key].astype(str).str.strip().isin(listed)
        return raw.assign(**{header: asked.map({True: "true", False: "false"}).astype(TEXT)})

    def _unknown(self, keys: pd.Series, path: Path) -> tuple[str, ...]:
        """The keys that no published month has.

        Raises:
            UsageError: that is all of them.
        """
        left = keys.drop_duplicates()
        tables = self.contract.feature_tables
        for month in reversed(self.lake.months()):
            if left.empty:
                break
            for known in self.lake.keys(month, tables).values():
                left = left[~left.isin(known)]
        if len(left) and len(left) == keys.nunique():
            raise UsageError(
                f"No month of this home has a customer of {path} ({left.iloc[0]}, ...): it is the"
                " file of another home, or its keys are written in another way.",
                code="CONTACTS_UNKNOWN",
            )
        return tuple(left.astype(str))

    def _earlier(self, as_of: dt.date, month: Contract, table: str) -> pd.DataFrame:
        """What the month's drop has of contacts, as texts; without a file what the lake has.

        Raises:
            DropRefused: the file of the drop cannot be read.
        """
        drop = open_drop(self.home.drops / as_of.isoformat(), as_of, self.contract)
        file = drop.files.get(table)
        if file is not None:
            earlier, faults = read_worked_list(file, month, table, marked=False)
            if faults:
                raise _refused(file, faults)
            return earlier
        entry = self.lake.entries(as_of).get(table)
        if entry is None:
            return pd.DataFrame()
        rows = self.lake.read_table(table, self.lake.path(entry))
        return _texts(month, table, rows, None)

    def _known(
        self, month: Contract, table: str, as_of: dt.date, earlier: pd.DataFrame
    ) -> pd.DataFrame:
        """Every contact that is recorded: of all published months, and of the month's drop."""
        columns = list(month.delivered(table))
        view = self.lake.view(self.home.now(), as_at_scoring=False)
        published = [
            self.lake.read_table(table, file.path) for file in view.get(table, {}).values()
        ]
        known = [rows.reindex(columns=columns) for rows in published]
        if len(earlier):
            valid, _ = conform(month, table, earlier, as_of=as_of)
            known.append(valid.reindex(columns=columns))
        types = conform(month, table, pd.DataFrame(columns=_headers(month, table)), as_of=as_of)[0]
        return pd.concat([types, *(rows.astype(types.dtypes) for rows in known)])


def _headers(month: Contract, table: str) -> list[str]:
    return [spec.source or own for own, spec in month.delivered(table).items()]


def _texts(
    month: Contract, table: str, rows: pd.DataFrame, delivered: pd.DataFrame | None
) -> pd.DataFrame:
    """Typed rows as texts in the writing of the contract.

    Args:
        month: the contract of the month as delivered.
        table: the table.
        rows: (rows, columns) valid rows.
        delivered: the rows as they came, whose spelling of the keys is kept.
    """
    texts = {}
    for own, spec in month.delivered(table).items():
        writing = Writing.of(month.files, spec)
        values = rows[own].astype(object) if own in rows else [None] * len(rows)
        texts[spec.source or own] = [written(value, writing) for value in values]
    found = pd.DataFrame(texts, dtype=TEXT)
    header = month.key.source or month.entity.column
    if delivered is not None and month.tables[table].key_spellings:
        keys = delivered[header].str.strip()
        spelled = dict(zip(read_keys(month, table, keys).astype(str), keys, strict=True))
        found[header] = found[header].map(spelled).astype(TEXT)
    return found


def _merged(earlier: pd.DataFrame, new: pd.DataFrame, headers: dict[str, str]) -> pd.DataFrame:
    """Both, under the headers of the earlier file, whose other columns are kept."""
    columns = [*dict.fromkeys([*earlier.columns, *headers.values()])]
    parts = [part.reindex(columns=columns).astype(TEXT) for part in (earlier, new) if len(part)]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)


def _filled(cells: pd.Series) -> np.ndarray:
    """Which cells (rows,) hold a value."""
    found: np.ndarray = ~cells.str.strip().str.lower().isin(NULL_WORDS).to_numpy(dtype=bool)
    return found


def _refused(path: Path, faults: Sequence[Fault]) -> DropRefused:
    message = f"{path} is refused, nothing was recorded ({counted(len(faults), 'fault')}):"
    message += "".join(f"\n  - {fault.sentence()}" for fault in faults)
    return DropRefused(message, tuple(faults))
