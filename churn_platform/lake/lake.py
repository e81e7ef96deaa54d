"""The lake: typed Parquet a table and as_of, every delivery kept, shown as it was known at any
instant.

A snapshot is what its manifest records (`snapshots/<as_of>.json`): files that no manifest names
are never read, so a crash between two files publishes nothing.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.base.files import sha256_file, write_json
from churn_platform.contract.model import Contract
from churn_platform.lake.arrow_tables import (
    read_frame,
    table_digest,
    to_arrow,
    write_stamped,
    written_columns,
)
from churn_platform.lake.deliveries import (
    DeliveryRecord,
    Publication,
    Quarantine,
    QuarantineRecord,
    SnapshotManifest,
    TableEntry,
    content_digest,
    kind_of,
    quarantines_of,
    write_quarantines,
)
from churn_platform.lake.lake_file import LakeFile
from churn_platform.lake.month_comparison import MonthComparison
from churn_platform.lake.place import Place
from churn_platform.lake.tables import with_missing
from churn_platform.lake.window import Classes

if TYPE_CHECKING:
    import pyarrow as pa

View = dict[str, dict[dt.date, LakeFile]]
"""table -> as_of -> the file that was known."""


OF_THE_FILE = ("file", "sha256", "digest", "rows", "created")
"""What a table entry keeps when only the quarantined rows change."""
NO_QUARANTINES: Mapping[str, Quarantine] = MappingProxyType({})
NO_INSTANTS: Mapping[str, dt.datetime] = MappingProxyType({})


def instant(day: dt.date) -> dt.datetime:
    """The as_of date as an instant: midnight UTC."""
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)


class Lake:
    """Snapshots under one folder, by one contract."""

    def __init__(self, folder: Path, contract: Contract, place: Place | None = None) -> None:
        """With a place, the folder has the manifests, and copies of some of the files."""
        self.folder = folder
        self.contract = contract
        self.place = place

    def by(self, contract: Contract) -> "Lake":
        """The same lake by another contract."""
        return Lake(self.folder, contract, self.place)

    def file(self, entry: TableEntry) -> LakeFile:
        """The file of a table."""
        local = self.folder / entry.file
        if self.place is not None:
            local = self.place.copy_of(local, entry)
        return LakeFile(entry, local, self.place)

    def path(self, entry: TableEntry) -> Path:
        """The file of a table on this disk; see `LakeFile.path`."""
        return self.file(entry).path

    def publish(
        self,
        as_of: dt.date,
        tables: Mapping[str, pd.DataFrame],
        arrived: dt.datetime,
        fingerprint: str,
        quarantines: Mapping[str, Quarantine] = NO_QUARANTINES,
        compared: MonthComparison | None = None,
        known_since: Mapping[str, dt.datetime] = NO_INSTANTS,
    ) -> Publication:
        """Publish validated tables atomically; tables equal to those known change nothing.

        A first delivery counts as known at its as_of (labels: when they mature); a correction,
        and a table of contacts, when it arrives. Quarantined rows are written before the manifest
        names them; other quarantined rows are a delivery of their own. `compared` is kept with
        the delivery. A table in `known_since` counts as known since then: it was made from
        what was known then.
        """
        manifest = self._manifest(as_of)
        known = manifest.newest()
        ready = self._typed(as_of, tables)
        content = _contents(ready, quarantines)
        changed = [
            name for name in tables if name not in known or known[name].content != content[name]
        ]
        kind = kind_of(changed, known)
        if changed:
            number = len(manifest.deliveries) + 1
            records = write_quarantines(
                self.folder.parent,
                f"{as_of}/{number}",
                {name: made for name, made in quarantines.items() if name in changed},
            )
            entries = {}
            for name in changed:
                entry = self._entry(
                    as_of, number, name, ready[name], content[name][0], arrived,
                    known.get(name), known_since.get(name),
                )  # fmt: skip
                added: dict[str, object] = {}
                if name in records:
                    added["quarantine"] = records[name]
                if name == self.contract.label_table:
                    column = self.contract.label.at(as_of).column
                    labels = tables[name][column].astype("Float64")
                    added |= {"churners": int(labels.sum()), "labels": int(labels.count())}
                entries[name] = entry.model_copy(update=added)
            delivery = DeliveryRecord(number=number, arrived=arrived, kind=kind, tables=entries)
            known = known | entries
            if compared is not None:
                against = self._against(compared, known)
                update = {"compared": compared.model_copy(update={"against": against})}
                delivery = delivery.model_copy(update=update)
            self._write(
                manifest.model_copy(
                    update={
                        "deliveries": (*manifest.deliveries, delivery),
                        "fingerprint": fingerprint,
                    }
                )
            )
        rows = {name: entry.rows for name, entry in known.items()}
        return Publication(as_of, kind, tuple(changed), rows, content_digest(known))

    def holds(
        self,
        as_of: dt.date,
        tables: Mapping[str, pd.DataFrame],
        quarantines: Mapping[str, Quarantine],
    ) -> bool:
        """Whether validated tables are those known of the month."""
        known = self.entries(as_of)
        content = _contents(self._typed(as_of, tables), quarantines)
        return all(name in known and known[name].content == content[name] for name in tables)

    def acknowledge(self, as_of: dt.date, fingerprint: str) -> None:
        """Note that the drop's files, as they now are, hold what is known of the month."""
        manifest = self._manifest(as_of)
        if manifest.fingerprint != fingerprint:
            self._write(manifest.model_copy(update={"fingerprint": fingerprint}))

    def quarantines(self, as_of: dt.date) -> dict[str, QuarantineRecord]:
        """Table -> what validation quarantined or dropped of its newest delivery."""
        return quarantines_of(self.entries(as_of))

    def compared(self, as_of: dt.date) -> MonthComparison | None:
        """The comparison of a month with the months before, as its newest delivery recorded it.

        What was found in another month is left out once the tables of that month have changed.
        """
        deliveries = reversed(self.deliveries(as_of))
        found = next((one.compared for one in deliveries if one.compared is not None), None)
        if found is None:
            return None
        digests = {month: self._table_digests(month) for month in found.against}
        return found.still_true(digests, self.contract.feature_tables)

    def month_before(self, as_of: dt.date) -> dt.date | None:
        """The newest published month before this one; None for the first."""
        return max((month for month in self.months() if month < as_of), default=None)

    def entries(self, as_of: dt.date) -> dict[str, TableEntry]:
        """Table -> its newest entry in the manifest."""
        return self._manifest(as_of).newest()

    def entry_known(
        self, as_of: dt.date, table: str, known_by: dt.datetime | None
    ) -> TableEntry | None:
        """The newest entry of a table of a month that was known by an instant, or by now."""
        found = None
        for delivery in self.deliveries(as_of):
            entry = delivery.tables.get(table)
            if entry is not None and (known_by is None or entry.created <= known_by):
                found = entry
        return found

    def typed(self, as_of: dt.date, name: str, frame: pd.DataFrame) -> "pa.Table":
        """A table of a month in the types that the lake keeps."""
        return self._typed(as_of, {name: frame})[name]

    def keys(
        self,
        as_of: dt.date,
        tables: Collection[str] | None = None,
        known_by: dt.datetime | None = None,
    ) -> dict[str, pd.Series]:
        """The keys (rows,) of each table of a month, or of these, as newest known or as known by
        an instant; text is held by Arrow.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        key = self.contract.entity.column
        types = {pa.int64(): pd.Int64Dtype(), pa.string(): pd.StringDtype("pyarrow")}
        found = {}
        for name, newest in self.entries(as_of).items():
            entry = newest if known_by is None else self.entry_known(as_of, name, known_by)
            if entry is not None and (tables is None or name in tables):
                table = pq.ParquetFile(self.path(entry)).read(columns=[key])
                found[name] = table.to_pandas(types_mapper=types.get)[key]
            if name in found and name in self.contract.event_tables:
                found[name] = found[name].drop_duplicates(ignore_index=True)
        return found

    def months(self) -> list[dt.date]:
        """Every published as_of, oldest first."""
        return sorted(
            dt.date.fromisoformat(path.stem)
            for path in (self.folder / "snapshots").glob("[0-9]*.json")
        )

    def deliveries(self, as_of: dt.date) -> tuple[DeliveryRecord, ...]:
        """Every delivery of a month, oldest first."""
        return self._manifest(as_of).deliveries

    def snapshots(self, as_of: dt.date) -> list[str]:
        """Digest of the month's content after each delivery, as receipts of drops name it."""
        manifest = self._manifest(as_of)
        return [
            content_digest(manifest.newest(number + 1))
            for number in range(len(manifest.deliveries))
        ]

    def delivered_by(self, as_of: dt.date, instant: dt.datetime) -> dict[str, LakeFile]:
        """Table -> the newest file that had arrived by an instant."""
        return {
            name: self.file(entry)
            for delivery in self.deliveries(as_of)
            if delivery.arrived <= instant
            for name, entry in delivery.tables.items()
        }

    def fingerprint(self, as_of: dt.date) -> str | None:
        """Fingerprint of the drop's files as they were last acknowledged; None before the first
        delivery.
        """
        return self._manifest(as_of).fingerprint

    def digest(self, as_of: dt.date) -> str:
        """Digest of the newest known content of a month."""
        return content_digest(self.entries(as_of))

    def feature_digest(self, as_of: dt.date) -> str:
        """Digest of the newest known feature tables of a month: what its scores are made from."""
        return content_digest(
            {n: e for n, e in self.entries(as_of).items() if n not in self._known_later}
        )

    @property
    def _known_later(self) -> set[str]:
        """The tables that no score is made from: labels and events."""
        return {self.contract.label_table, *self.contract.event_tables}

    def labelled(self) -> set[dt.date]:
        """The months whose labels have been delivered."""
        return {month for month in self.months() if self.has_labels(month)}

    def has_labels(self, as_of: dt.date) -> bool:
        """Whether labels of the month have been delivered."""
        return self.contract.label_table in self.entries(as_of)

    def classes(self, as_of: dt.date) -> Classes:
        """How many customers of a labelled month churned and stayed, by the newest labels."""
        entry = self.entries(as_of)[self.contract.label_table]
        churners = entry.churners or 0
        labels = entry.rows if entry.labels is None else entry.labels
        return Classes(churners, labels - churners)

    def view(self, known_at: dt.datetime, *, as_at_scoring: bool) -> View:
        """The files known at an instant.

        Args:
            known_at: knowledge time; a delivery created later does not exist yet.
            as_at_scoring: for feature tables, also leave out what came after as_of + delivery
                days.
        """
        view: View = {name: {} for name in self.contract.published}
        for as_of in self.months():
            limit = known_at
            if as_at_scoring:
                limit = min(
                    known_at, instant(as_of) + dt.timedelta(days=self.contract.delivery_days)
                )
            for delivery in self.deliveries(as_of):
                for name, entry in delivery.tables.items():
                    bound = known_at if name in self._known_later else limit
                    # A version that is made again may be older than a table.
                    if name in view and entry.created <= bound:
                        view[name][as_of] = self.file(entry)
        return view

    def require_published(self, as_of: dt.date) -> None:
        """Raise UsageError if the month was never published."""
        if as_of not in self.months():
            listed = ", ".join(month.isoformat() for month in self.months()) or "none yet"
            raise UsageError(
                f"There is no snapshot of {as_of}; published months: {listed}.",
                code="MONTH_UNKNOWN",
            )

    def tables(self, as_of: dt.date, view: View | None = None) -> dict[str, pd.DataFrame]:
        """The tables of a month, newest known or as in `view`, without the timestamp columns.

        Raises:
            UsageError: the month was never published.
        """
        self.require_published(as_of)
        if view is None:
            files = {n: self.file(entry) for n, entry in self.entries(as_of).items()}
        else:
            files = {name: known[as_of] for name, known in view.items() if as_of in known}
        return {name: self.read_table(name, file.path) for name, file in files.items()}

    def read_table(self, name: str, path: Path, columns: list[str] | None = None) -> pd.DataFrame:
        """One file of a table without its timestamps; a column that its month lacks is null."""
        if columns is None:
            frame = read_frame(path)
        else:
            written = set(written_columns(path))
            frame = read_frame(path, [column for column in columns if column in written])
        if name not in self.contract.published:
            return frame
        complete = with_missing(self.contract, name, frame)
        return complete if columns is None else complete[columns]

    read = staticmethod(read_frame)

    def labels(self, as_of: dt.date, known_at: dt.datetime) -> pd.Series | None:
        """The month's labels (rows,) as booleans indexed by entity, as known at an instant;
        None before they are.
        """
        entry = self.entry_known(as_of, self.contract.label_table, known_at)
        if entry is None:
            return None
        return self.read_labels(self.path(entry), as_of)

    def read_labels(self, path: Path, as_of: dt.date) -> pd.Series:
        """The labels (rows,) in one file of the label table, as booleans indexed by entity, by
        the month's definition of churn.
        """
        key = self.contract.entity.column
        column = self.contract.label.at(as_of).column
        frame = self.read(path, [key, column]).dropna()
        return frame.set_index(key)[column].astype(float).astype(bool).rename(column)

    def _against(
        self, compared: MonthComparison, own: Collection[str]
    ) -> dict[dt.date, dict[str, str]]:
        """Month -> digests of its tables, for the months that a comparison names and the tables
        of the month itself.
        """
        return {
            month: {n: digest for n, digest in self._table_digests(month).items() if n in own}
            for month in compared.months
        }

    def _table_digests(self, as_of: dt.date) -> dict[str, str]:
        return {name: entry.digest for name, entry in self.entries(as_of).items()}

    def _typed(self, as_of: dt.date, tables: Mapping[str, pd.DataFrame]) -> "dict[str, pa.Table]":
        published = self.contract.at(as_of).published
        return {name: to_arrow(frame, published[name]) for name, frame in tables.items()}

    def _entry(
        self,
        as_of: dt.date,
        number: int,
        name: str,
        table: "pa.Table",
        digest: str,
        arrived: dt.datetime,
        known: TableEntry | None,
        since: dt.datetime | None,
    ) -> TableEntry:
        """Write a table; one whose rows are known already stays where and when it was."""
        if known is not None and known.digest == digest:
            return TableEntry(**{part: getattr(known, part) for part in OF_THE_FILE})
        # Ahead of the clock (a time zone, simulated months) is known when it arrives: no view
        # would show it.
        ahead = arrived < instant(as_of)
        contacts = self.contract.contacts
        is_contacts = contacts is not None and name == contacts.table
        if since is not None:
            created = since
        elif known is not None or ahead or is_contacts:
            created = arrived
        elif name == self.contract.label_table:
            created = instant(self.contract.matures(as_of))
        else:
            created = instant(as_of)
        path = self.folder / name / f"as_of={as_of}" / f"delivery-{number:04d}.parquet"
        write_stamped(table, path, event=instant(as_of), created=created)
        entry = TableEntry(
            file=str(path.relative_to(self.folder)),
            sha256=sha256_file(path),
            digest=digest,
            rows=table.num_rows,
            created=created,
        )
        if self.place is not None:
            self.place.put(path, entry)
        return entry

    def _manifest(self, as_of: dt.date) -> SnapshotManifest:
        return SnapshotManifest.of_file(self.folder / "snapshots" / f"{as_of}.json", as_of)

    def _write(self, manifest: SnapshotManifest) -> None:
        write_json(self.folder / "snapshots" / f"{manifest.as_of}.json", manifest.as_json())


def view_digests(view: View, months: Collection[dt.date]) -> dict[str, str]:
    """`<table> <as_of>` -> digest of the content, for every file of a view in these months."""
    return {
        f"{name} {month}": files[month].entry.digest
        for name, files in view.items()
        for month in sorted(months)
        if month in files
    }


def _contents(
    tables: "Mapping[str, pa.Table]", quarantines: Mapping[str, Quarantine]
) -> dict[str, tuple[str, str]]:
    """Table -> digest of its rows, and of its quarantined rows."""
    aside = {name: quarantine.digest for name, quarantine in quarantines.items()}
    return {name: (table_digest(table), aside.get(name, "")) for name, table in tables.items()}
