"""Every digest computed again: MLflow's files, records, and the lake.

Reports for people, the prediction log and Dagster's history are evidence of nothing and are not
checked. A digest that an older receipt names may have been superseded: forgetting a customer
rewrites files, and its receipt maps each old digest to the new one.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from churn_platform.audit.checks import CheckResult, answering, broken, holds
from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError, IntegrityError, StoreDown
from churn_platform.base.files import sha256_file
from churn_platform.lake.arrow_tables import table_digest
from churn_platform.lake.deliveries import TableEntry
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import KINDS, Records
from churn_platform.ledger.erasures import current
from churn_platform.ledger.receipts import DELIVERED, Receipt, version_of
from churn_platform.ledger.state import ProductionState
from churn_platform.training.candidate import FILES
from churn_platform.training.registry import ModelRegistry
from churn_platform.training.releases import Releases

ANSWERED = ("retraining requested", "retraining skipped")
"""Receipts that are written once a month has all its records."""
STAMPS = ["event_timestamp", "created_timestamp"]


def check_registry(
    registry: ModelRegistry, releases: Releases, receipts: Sequence[Receipt]
) -> Iterator[CheckResult]:
    """MLflow's files against their tags, the tags against the receipts of decisions and against
    the releases.
    """
    tags = answering(registry).tags()
    state = ProductionState.from_receipts(receipts)
    judged = {version_of(receipt.subject): receipt for receipt in state.decisions}
    files = 0
    released = set(releases.versions())
    for version in sorted({*tags, *(v for v in judged if v is not None)}):
        if version not in tags:
            yield broken(
                "MLflow",
                f"version {version}, judged in receipt {judged[version].sequence}, is gone from"
                " MLflow",
            )
            continue
        try:
            registry.files(version)
            loaded = registry.load(version).digest
        except StoreDown:
            raise
        except ChurnError as error:
            yield broken("MLflow", str(error))
            continue
        files += len(FILES)
        receipt = judged.get(version)
        digest = tags[version]["digest"]
        if loaded != digest or (receipt is not None and receipt.evidence["candidate"] != digest):
            yield broken(
                "MLflow",
                f"version {version} is not the candidate that was judged: its digest is"
                f" {digest[:12]}",
            )
        for name, sha256 in state.judged_files(version).items():
            if tags[version].get(f"sha256.{name}") != sha256:
                yield broken(
                    "MLflow", f"{name} of version {version} is not the file that was judged"
                )
        for name in FILES if version in released else ():
            if sha256_file(releases.folder / str(version) / name) != tags[version].get(
                f"sha256.{name}"
            ):
                yield broken(
                    "MLflow",
                    f"{name} of version {version} is not the same in MLflow and in its release",
                )
    yield holds("MLflow", f"{len(tags)} versions, {files} files read", files)


def check_records(
    records: Records, reports: Path, receipts: Sequence[Receipt]
) -> Iterator[CheckResult]:
    """Every record and its rows against the digests that were written with them, the ranked
    lists against theirs.

    No receipt names those digests: who writes a record with the digests that fit is not found.
    """
    count = 0
    faults = list(_missing(records, receipts))
    for kind in KINDS:
        for as_of in records.months(kind):
            count += 1
            if (fault := records.broken(kind, as_of)) is not None:
                faults.append(fault)
    for as_of in records.months("scores"):
        recorded = (records.read("scores", as_of) or {}).get("list")
        if recorded is not None:
            faults += _list_faults(reports / as_of.isoformat() / "at_risk.csv", recorded)
    yield from (broken("records", fault) for fault in faults)
    if not faults:
        yield holds("records", f"{count} records with their rows", count)


def _missing(records: Records, receipts: Sequence[Receipt]) -> Iterator[str]:
    """Records of months that were whole when a receipt said whether to retrain, and that no
    repair removed since.
    """
    processed = {r.subject: r for r in receipts if r.act in ANSWERED}
    for month, receipt in processed.items():
        later = [
            r for r in receipts[receipt.sequence :] if r.act == "recovery" and r.subject == month
        ]
        for kind in KINDS:
            path = records.path(kind, dt.date.fromisoformat(month), ".json")
            if not path.exists() and not any(r.evidence.get("record", kind) == kind for r in later):
                yield (
                    f"{path} is gone: receipt {receipt.sequence} was written after it (`churn"
                    " run` makes it again)"
                )


def _list_faults(csv: Path, recorded: str) -> Iterator[str]:
    rows = csv.with_suffix(".parquet")
    if not rows.exists() or sha256_file(rows) != recorded:
        yield f"{rows} is not the list that was made"
    elif not csv.exists():
        yield f"{csv} is gone"
    elif csv.read_bytes() != pd.read_parquet(rows).to_csv(index=False).encode():
        yield f"{csv} does not say what {rows.name} beside it says"


def check_lake(lake: Lake, folder: Path, receipts: Sequence[Receipt]) -> Iterator[CheckResult]:
    """Every manifest against the receipts of its drops, every file against its manifest; `folder`
    is the home.
    """
    of_month: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        if receipt.act in (*DELIVERED, "drop repeated"):
            of_month.setdefault(receipt.subject, []).append(receipt)
    months = {month.isoformat() for month in lake.months()}
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
            faults += _manifest_faults(lake, as_of, own, receipts)
            for delivery in lake.deliveries(as_of):
                for table, entry in delivery.tables.items():
                    files += 1 + bool(entry.quarantine and entry.quarantine.file)
                    faults += file_faults(lake, folder, as_of, table, entry)
        except (
            IntegrityError,
            KeyError,
            TypeError,
            AttributeError,
        ) as error:  # a name in the manifest was changed
            path = lake.folder / "snapshots" / f"{month}.json"
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
    if lake.fingerprint(as_of) not in {
        current(receipts, r.evidence.get("fingerprint"), r.sequence) for r in own
    }:
        yield (
            f"{path}: its fingerprint is of no drop that a receipt names: a changed drop may"
            " have been passed over"
        )


def file_faults(
    lake: Lake, folder: Path, as_of: dt.date, table: str, entry: TableEntry
) -> Iterator[str]:
    """What is wrong with a table's file, and with the rows that were quarantined from it."""
    path = lake.folder / entry.file
    if not path.exists():
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
