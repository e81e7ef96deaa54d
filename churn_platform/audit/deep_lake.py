"""The lake's files and manifests against the digests that receipts name.

A digest that an older receipt names may have been superseded: forgetting a customer rewrites
files, and its receipt carries `digests`, a mapping of each old digest to the new one.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

from churn_platform.audit.findings import Finding, broken, holds
from churn_platform.base.digests import digest_of
from churn_platform.base.errors import IntegrityError
from churn_platform.base.files import sha256_file
from churn_platform.lake.arrow_tables import table_digest
from churn_platform.lake.deliveries import TableEntry
from churn_platform.ledger.erasures import current
from churn_platform.ledger.receipts import DELIVERED, Receipt
from churn_platform.services import Services

STAMPS = ["event_timestamp", "created_timestamp"]


def check_lake(home: Services, receipts: Sequence[Receipt]) -> Iterator[Finding]:
    """Every manifest against the receipts of its drops, every file against its manifest."""
    of_month: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        if receipt.act in (*DELIVERED, "drop repeated"):
            of_month.setdefault(receipt.subject, []).append(receipt)
    months = {month.isoformat() for month in home.lake.months()}
    faults = [
        f"the manifest of {month} is gone from the lake; {_by(of_month[month])}"
        for month in of_month
        if month not in months
    ]
    files = 0
    for month in sorted(months):
        as_of = dt.date.fromisoformat(month)
        own = of_month.get(month, [])
        try:
            faults += _manifest_faults(home, as_of, own, receipts)
            for delivery in home.lake.deliveries(as_of):
                for table, entry in delivery.tables.items():
                    files += 1 + bool(entry.quarantine and entry.quarantine.file)
                    faults += file_faults(home, as_of, table, entry)
        except (
            IntegrityError,
            KeyError,
            TypeError,
            AttributeError,
        ) as error:  # a name in the manifest was changed
            path = home.lake.folder / "snapshots" / f"{month}.json"
            faults.append(
                f"{path} cannot be read as it was written ({error!r}): restore it from a backup"
            )
    yield from (broken("lake", fault) for fault in faults)
    if not faults:
        yield holds(
            "lake",
            f"{len(months)} months, {files} files as their manifests and receipts say",
            files,
        )


def _manifest_faults(
    home: Services, as_of: dt.date, own: list[Receipt], receipts: Sequence[Receipt]
) -> Iterator[str]:
    path = home.lake.folder / "snapshots" / f"{as_of}.json"
    published = {
        (
            current(receipts, r.evidence["snapshot"], r.sequence),
            current(receipts, r.evidence["delivery"], r.sequence),
        ): r
        for r in own
        if r.act in DELIVERED
    }
    deliveries = [delivery.record_digest for delivery in home.lake.deliveries(as_of)]
    standing = list(zip(home.lake.snapshots(as_of), deliveries, strict=True))
    for number, pair in enumerate(standing, start=1):
        if pair not in published:
            yield (
                f"{path}: delivery {number} is not what a receipt says was published: it was"
                " changed, or a run was cut off before its receipt (`churn run` writes it)"
            )
    for pair, receipt in published.items():
        if pair not in standing:
            yield (
                f"{path}: what receipt {receipt.sequence} says was published is not in it: it"
                " was changed or cut"
            )
    order = [standing.index(pair) for pair in published if pair in standing]
    if order != sorted(order):
        yield f"{path}: its deliveries stand in another order than their receipts"
    if home.lake.fingerprint(as_of) not in {
        current(receipts, r.evidence.get("fingerprint"), r.sequence) for r in own
    }:
        yield (
            f"{path}: its fingerprint is of no drop that a receipt names: a changed drop may"
            " have been passed over"
        )


def file_faults(home: Services, as_of: dt.date, table: str, entry: TableEntry) -> Iterator[str]:
    """What is wrong with a table's file, and with the rows that were put aside of it."""
    path = home.lake.folder / entry.file
    if not path.exists():
        yield f"{path} is gone: {table} of {as_of}"
    elif (found := sha256_file(path)) != entry.sha256:
        yield (
            f"{path} is not what was published: sha256 {found[:12]}, recorded {entry.sha256[:12]}"
        )
    elif (content := _content(path)) != entry.digest:
        yield (f"{path}: its content has the digest {content[:12]}, recorded {entry.digest[:12]}")
    aside = entry.quarantine
    if aside is not None and aside.file:
        rows = home.folder / aside.file
        if not rows.exists():
            yield f"{rows} is gone: the rows that were put aside of {table} of {as_of}"
        elif digest_of(rows.read_text(encoding="utf-8")) != aside.digest:
            yield f"{rows} is not what was put aside"


def _content(path: Path) -> str:
    import pyarrow.parquet as pq

    return table_digest(
        pq.ParquetFile(path).read().drop_columns(STAMPS).replace_schema_metadata(None)
    )


def _by(receipts: list[Receipt]) -> str:
    return f"receipt {receipts[-1].sequence} says that it was published"
