"""The checks of the lake: its manifests against the receipts, its files against the manifests."""

import contextlib
import datetime as dt
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from churn_platform.audit.checks import CheckResult, broken, holds, unseen
from churn_platform.base.digests import digest_of
from churn_platform.base.errors import IntegrityError, StoreDown
from churn_platform.base.files import sha256_file
from churn_platform.base.text import counted
from churn_platform.lake.arrow_tables import STAMPS, table_digest
from churn_platform.lake.lake import Lake
from churn_platform.lake.lake_file import LakeFile
from churn_platform.lake.place import Place, object_name
from churn_platform.lake.place_files import missing_files, published_files
from churn_platform.ledger.erasures import current
from churn_platform.ledger.receipts import DELIVERED, Receipt

LAKE = "lake"


def check_place(lake: Lake) -> Iterator[CheckResult]:
    """The files that are not on this disk against one listing of the place; nothing without a
    place.
    """
    if lake.place is None:
        return
    missing = missing_files(lake)
    for one in missing:
        yield broken(
            LAKE, f"{lake.place.uri}/{one.object_name} is gone: {one.table} of {one.as_of}"
        )
    if not missing:
        files = [one.file.local.exists() for one in published_files(lake)]
        away = files.count(False)
        yield holds(LAKE, f"{counted(away, 'file')} only at {lake.place.uri}, none is gone", away)


def check_lake(lake: Lake, folder: Path, receipts: Sequence[Receipt]) -> Iterator[CheckResult]:
    """Every manifest against the receipts of its drops, every file against its manifest: its copy
    on this disk and its object at the place. `folder` is the home.
    """
    faults = list(manifest_faults(lake, receipts))
    files = 0
    objects = _Objects(lake)
    months = lake.months()
    for as_of in months:
        with contextlib.suppress(IntegrityError):  # the manifest is among the faults
            for delivery in lake.deliveries(as_of):
                for table, entry in delivery.tables.items():
                    files += 1 + bool(entry.quarantine and entry.quarantine.file)
                    file = lake.file(entry)
                    faults += file_faults(file, folder, as_of, table)
                    faults += objects.faults(file)
    yield from (broken(LAKE, fault) for fault in faults)
    if objects.away:
        yield unseen(LAKE, objects.away)
    elif not faults:
        where = f" at {lake.place.uri}" if lake.place is not None else ""
        yield holds(
            LAKE,
            f"{len(months)} months, {files} files{where} match their manifests and receipts",
            files,
        )


class _Objects:
    """Reads the objects of a lake at its place, each once; nothing without a place."""

    def __init__(self, lake: Lake) -> None:
        self.place = lake.place
        self.away = ""
        """Why the place cannot be read; it is not asked again."""
        self._read: set[str] = set()

    def faults(self, file: LakeFile) -> list[str]:
        """What is wrong with the object of a file."""
        name = object_name(file.entry.file, file.entry.sha256)
        if self.place is None or self.away or name in self._read:
            return []
        self._read.add(name)
        try:
            with tempfile.TemporaryDirectory() as folder:
                return _object_faults(self.place, file, Path(folder) / "object.parquet")
        except StoreDown as error:
            self.away = str(error)
            return []


def _object_faults(place: Place, file: LakeFile, target: Path) -> list[str]:
    try:
        place.fetch(file.entry, target)
    except IntegrityError as error:
        return [str(error)]
    # The content of an intact copy on this disk was compared, and its bytes are the same.
    content = file.entry.digest if file.local.exists() else _content(target)
    if content == file.entry.digest:
        return []
    name = object_name(file.entry.file, file.entry.sha256)
    recorded = file.entry.digest[:12]
    return [f"{place.uri}/{name}: its content has the digest {content[:12]}, recorded {recorded}"]


def manifest_faults(lake: Lake, receipts: Sequence[Receipt]) -> Iterator[str]:
    """How the manifests of the lake differ from the receipts of its drops."""
    of_month: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        if receipt.act in (*DELIVERED, "drop repeated"):
            of_month.setdefault(receipt.subject, []).append(receipt)
    months = {month.isoformat() for month in lake.months()}
    for month, own in of_month.items():
        if month not in months:
            yield (
                f"the manifest of {month} is gone from the lake; receipt {own[-1].sequence}"
                " published it"
            )
    for month in sorted(months):
        as_of = dt.date.fromisoformat(month)
        try:
            yield from _manifest_faults(lake, as_of, of_month.get(month, []), receipts)
        except (IntegrityError, KeyError, TypeError) as error:  # a name was changed
            path = lake.folder / "snapshots" / f"{month}.json"
            yield f"{path} cannot be read as it was written ({error!r}): restore it from a backup"


def _manifest_faults(
    lake: Lake, as_of: dt.date, own: list[Receipt], receipts: Sequence[Receipt]
) -> Iterator[str]:
    path = lake.folder / "snapshots" / f"{as_of}.json"
    published = {
        (
            current(receipts, r.evidence["snapshot"], r.sequence),
            current(receipts, r.evidence["delivery"], r.sequence),
        ): r
        for r in own
        if r.act in DELIVERED
    }
    deliveries = [delivery.record_digest for delivery in lake.deliveries(as_of)]
    standing = list(zip(lake.snapshots(as_of), deliveries, strict=True))
    for number, pair in enumerate(standing, start=1):
        if pair not in published:
            yield (
                f"{path}: no receipt published delivery {number} as it is: it was changed, or a"
                " run was cut off before its receipt (`churn run` writes it)"
            )
    for pair, receipt in published.items():
        if pair not in standing:
            yield (
                f"{path}: what receipt {receipt.sequence} published is not in it: it was changed"
                " or removed"
            )
    order = [standing.index(pair) for pair in published if pair in standing]
    if order != sorted(order):
        yield f"{path}: its deliveries are in another order than their receipts"
    if lake.fingerprint(as_of) not in {
        current(receipts, r.evidence.get("fingerprint"), r.sequence) for r in own
    }:
        yield (
            f"{path}: no receipt names a drop of its fingerprint: a changed drop may have been"
            " ignored"
        )


def file_faults(file: LakeFile, folder: Path, as_of: dt.date, table: str) -> Iterator[str]:
    """What is wrong with a table's file on this disk, and with the rows that were quarantined
    from it. A file that has a place may be only there.
    """
    path = file.local
    entry = file.entry
    if not path.exists():
        if file.place is None:
            yield f"{path} is gone: {table} of {as_of}"
    elif (found := sha256_file(path)) != entry.sha256:
        yield (
            f"{path} is not what was published: sha256 {found[:12]}, recorded {entry.sha256[:12]}"
        )
    elif (content := _content(path)) != entry.digest:
        yield f"{path}: its content has the digest {content[:12]}, recorded {entry.digest[:12]}"
    aside = entry.quarantine
    if aside is not None and aside.file:
        rows = folder / aside.file
        if not rows.exists():
            yield f"{rows} is gone: the quarantined rows of {table} of {as_of}"
        elif digest_of(rows.read_text(encoding="utf-8")) != aside.digest:
            yield f"{rows} is not what was quarantined"


def _content(path: Path) -> str:
    return table_digest(
        pq.ParquetFile(path).read().drop_columns(list(STAMPS)).replace_schema_metadata(None)
    )
