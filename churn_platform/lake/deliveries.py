"""What the lake keeps of each month: its deliveries, their tables and their quarantined rows.

A manifest is the JSON of a `SnapshotManifest`. A field that an earlier version did not write stays
absent, so every digest of a delivery stays as it is in its receipt.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import PlainSerializer, ValidationError

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import IntegrityError
from churn_platform.base.files import write_text
from churn_platform.base.text import counted
from churn_platform.lake.month_comparison import MonthComparison, StoredStrictly

Kind = Literal["first", "addition", "correction", "unchanged"]
Instant = Annotated[dt.datetime, PlainSerializer(dt.datetime.isoformat)]


class QuarantineRecord(StoredStrictly):
    """What validation found in one file of a delivery."""

    rows: int
    """Data rows in the file."""
    quarantined: int
    duplicates: int
    """Rows that repeated another one exactly and were dropped."""
    reasons: tuple[str, ...]
    """Worst first."""
    file: str = ""
    """The quarantined rows, below the home; absent when there are none."""
    digest: str = ""
    """Of the quarantined rows; absent when there are none."""


class TableEntry(StoredStrictly):
    """One table of a delivery."""

    file: str
    """Below the lake's folder."""
    sha256: str
    """Of the file."""
    digest: str
    """Of the content."""
    rows: int
    created: Instant
    """When the table became known."""
    quarantine: QuarantineRecord | None = None
    churners: int | None = None
    """The label table alone has this and `labels`."""
    labels: int | None = None
    """Rows with a label; older manifests count rows alone."""

    @property
    def content(self) -> tuple[str, str]:
        """Digest of the rows, and of the quarantined rows."""
        return self.digest, "" if self.quarantine is None else self.quarantine.digest


class DeliveryRecord(StoredStrictly):
    """One delivery of a month: the tables that it changed."""

    number: int
    arrived: Instant
    kind: Kind
    tables: dict[str, TableEntry]
    compared: MonthComparison | None = None

    @property
    def record_digest(self) -> str:
        """Digest of the record, by which a receipt names the delivery."""
        return digest_of(self.as_json())

    @property
    def quarantines(self) -> dict[str, QuarantineRecord]:
        """Table -> what validation found in it, where that is worth keeping."""
        return quarantines_of(self.tables)


class SnapshotManifest(StoredStrictly):
    """Every delivery of one month, oldest first."""

    as_of: dt.date
    fingerprint: str | None = None
    """Of the drop's files as they were last acknowledged."""
    deliveries: tuple[DeliveryRecord, ...] = ()

    @classmethod
    def of_file(cls, path: Path, as_of: dt.date) -> "SnapshotManifest":
        """The manifest in a file; an empty one where there is no file.

        Raises:
            IntegrityError: the file is not a manifest.
        """
        if not path.exists():
            return cls(as_of=as_of, fingerprint=None, deliveries=())
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise IntegrityError(
                f"{path} is not a valid manifest ({where}: {first['msg']}); put it back from a"
                " backup."
            ) from None

    def first(self, deliveries: int) -> "SnapshotManifest":
        """The manifest with the first deliveries only."""
        return self.model_copy(update={"deliveries": self.deliveries[:deliveries]})

    def newest(self, deliveries: int | None = None) -> dict[str, TableEntry]:
        """Table -> its newest entry, after all deliveries or after the first of them."""
        newest: dict[str, TableEntry] = {}
        for delivery in self.deliveries[:deliveries]:
            newest |= delivery.tables
        return newest


def quarantines_of(tables: Mapping[str, TableEntry]) -> dict[str, QuarantineRecord]:
    """Table -> what validation found in it, where that is worth keeping."""
    return {n: entry.quarantine for n, entry in tables.items() if entry.quarantine is not None}


def content_digest(tables: Mapping[str, TableEntry]) -> str:
    """Digest of the content of some tables of a month."""
    return digest_of({name: entry.digest for name, entry in tables.items()})


@dataclass(frozen=True)
class Publication:
    """What one delivery changed."""

    as_of: dt.date
    kind: Kind
    tables: tuple[str, ...]
    rows: dict[str, int]
    digest: str
    """Digest of the snapshot as it now is."""


def kind_of(changed: Collection[str], known: Collection[str]) -> Kind:
    """The kind of a delivery that changes some tables of a month with known tables."""
    if not changed:
        return "unchanged"
    if not known:
        return "first"
    if any(name in known for name in changed):
        return "correction"
    return "addition"


class Quarantine:
    """The quarantined rows of one table as CSV, and the record of why."""

    def __init__(self, rows: str, record: QuarantineRecord) -> None:
        self.rows = rows
        """Empty when rows were only dropped as exact duplicates."""
        self.record = record
        self.digest = digest_of(rows) if rows else ""


def write_quarantines(
    home: Path, delivery: str, quarantines: Mapping[str, Quarantine]
) -> dict[str, QuarantineRecord]:
    """Write the quarantined rows of one delivery to `quarantine/<delivery>/<table>.csv`.

    What a delivery that was cut off left there is removed first.

    Args:
        home: the folder above `quarantine/`.
        delivery: `<as_of>/<number>`.
        quarantines: table -> its quarantined rows.

    Returns:
        Table -> its record, with the file and the digest where there are rows.
    """
    folder = home / "quarantine" / delivery
    for stale in folder.glob("*.csv"):
        if stale.stem not in quarantines or not quarantines[stale.stem].rows:
            stale.unlink()
    records = {}
    for table, quarantine in quarantines.items():
        records[table] = quarantine.record
        if quarantine.rows:
            path = folder / f"{table}.csv"
            write_text(path, quarantine.rows)
            stored = {"file": str(path.relative_to(home)), "digest": quarantine.digest}
            records[table] = quarantine.record.model_copy(update=stored)
    return records


def quarantined_sentence(rows: Mapping[str, int]) -> str:
    """How many rows of which tables are quarantined; empty when there are none."""
    found = {table: count for table, count in rows.items() if count}
    total = sum(found.values())
    if not total:
        return ""
    tables = ", ".join(f"{table} {count:,}" for table, count in found.items())
    return f"{counted(total, 'row')} quarantined: {tables}."


def quarantined_in(records: Mapping[str, QuarantineRecord]) -> str:
    """The same sentence for the records of a delivery or a month."""
    return quarantined_sentence({name: record.quarantined for name, record in records.items()})
