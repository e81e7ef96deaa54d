"""The checks of a home's files: decision records, releases, MLflow's files, records, the lake.

Reports, the prediction log and Dagster's history are not checked: nothing rests on them. A
digest that an older receipt names may have been superseded: the erasure of a customer rewrites
files, and its receipt maps each old digest to the new one.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow.parquet as pq

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError, IntegrityError, StoreDown
from churn_platform.base.files import as_json, read_json, sha256_file
from churn_platform.base.home import Home
from churn_platform.base.text import counted
from churn_platform.experiments.assignment import CANARY, canary_keys
from churn_platform.lake.arrow_tables import STAMPS, table_digest
from churn_platform.lake.deliveries import TableEntry
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import KINDS, OF_EVERY_MONTH, Records
from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.erasures import current
from churn_platform.ledger.receipts import DELIVERED, Anchor, Break, Receipt, version_of
from churn_platform.ledger.state import ProductionState
from churn_platform.ledger.store import LedgerStore
from churn_platform.scoring.scoring import ScoresRecord
from churn_platform.training.candidate import FILES
from churn_platform.training.registry import ModelRegistry
from churn_platform.training.releases import Releases

RESTORE = "restore it from a backup"
ANSWERED = ("retraining requested", "retraining skipped")
"""Receipts that are written once a month has all its records."""


@dataclass
class Chain:
    """The receipts and the anchor of one moment; no receipts if the chain is not valid."""

    receipts: list[Receipt] = field(default_factory=list)
    anchor: Anchor | None = None
    valid: bool = False

    @property
    def digests(self) -> list[str]:
        """The digest of each receipt."""
        return [receipt.digest for receipt in self.receipts]

    def read(self, store: LedgerStore) -> Break | None:
        """Read the current ledger; the first break if the chain is not valid.

        Raises:
            IntegrityError: the anchor's file was changed.
        """
        self.receipts = []
        self.valid = False
        lines, self.anchor = store.snapshot()
        fault = ledger.verify_lines(lines)
        if fault is None:
            self.receipts = [ledger.parse(line) for line in lines]
            self.valid = True
        return fault

    def moved(self, store: LedgerStore) -> bool:
        """Whether receipts were added since it was read."""
        if not self.valid:
            return False
        try:
            head = store.head()
        except ChurnError:
            return False
        return (None if head is None else head.digest) != next(reversed(self.digests), None)


@dataclass(frozen=True)
class CheckResult:
    """One result of one check; `count` is how many things it covers."""

    check: str
    state: Literal["holds", "broken", "unseen", "said"]
    detail: str
    count: int = 1


def holds(check: str, detail: str, count: int = 1) -> CheckResult:
    """Something is as it was recorded."""
    return CheckResult(check, "holds", detail, count)


def broken(check: str, detail: str) -> CheckResult:
    """Something is not as it was recorded."""
    return CheckResult(check, "broken", detail)


def unseen(check: str, detail: str) -> CheckResult:
    """Something could not be checked, so nothing is verified by it."""
    return CheckResult(check, "unseen", f"not verified: {detail}", 0)


def said(check: str, detail: str) -> CheckResult:
    """Something does not exist or does not answer, which is not a fault."""
    return CheckResult(check, "said", detail, 0)


def answering(registry: ModelRegistry) -> ModelRegistry:
    """MLflow, if it answers; its own client keeps trying for minutes.

    Raises:
        StoreDown: it does not answer.
    """
    if (away := registry.away()) is not None:
        raise StoreDown(away)
    return registry


def check_decisions(
    home: Home, records: Records, receipts: Sequence[Receipt]
) -> Iterator[CheckResult]:
    """The decision records, in their order and byte for byte, against the digests in their
    receipts.
    """
    folder = home.folder / "ledger" / "decisions"
    recorded = [str(r.evidence["decision"]) for r in receipts if r.act == "decision"]
    found: list[str] = []
    faults: list[str] = []
    for path in records.decision_files():
        try:
            record = read_json(path)
        except ChurnError as error:
            faults.append(str(error))
            continue
        digest = digest_of(record)
        found.append(digest)
        if digest not in recorded and home.is_free():
            faults.append(
                f"{path} is not a decision that a receipt records: it was changed or added, or"
                " a run was cut off before its receipt (`churn run` writes it); if it was"
                f" changed, {RESTORE}"
            )
        elif digest not in recorded:
            yield unseen(
                "decisions",
                f"{path} has no receipt yet, and a run is under way; run this again",
            )
        elif path.read_bytes() != as_json(record).encode():
            faults.append(
                f"{path} has the recorded values but not the bytes that were written; {RESTORE}"
            )
    for digest in dict.fromkeys(recorded):
        if digest not in found:
            first = next(r.sequence for r in receipts if r.evidence.get("decision") == digest)
            faults.append(
                f"the record of the decision in receipt {first} is not in {folder}: it was"
                f" changed or removed; {RESTORE}"
            )
    if not faults and [digest for digest in found if digest in recorded] != recorded:
        faults.append(
            f"the {len(found)} records in {folder} are in another order than their"
            f" {len(recorded)} receipts, or not as often; restore the folder from a backup"
        )
    yield from (broken("decisions", fault) for fault in faults)
    if not faults:
        yield holds("decisions", f"{len(found)} records match their receipts", len(found))


def check_releases(releases: Releases, receipts: Sequence[Receipt]) -> Iterator[CheckResult]:
    """Every file of the releases against its manifest, the manifest against the receipt of its
    publication.
    """
    published = ProductionState.from_receipts(receipts).published
    versions = releases.versions()
    known = sorted({*versions, *published})
    files = 0
    for version in known:
        folder = releases.folder / str(version)
        receipt = published.get(version)
        if receipt is not None and version not in versions:
            yield broken(
                "releases",
                f"{folder} is gone: receipt {receipt.sequence} published it; `churn doctor --fix`"
                " makes it again",
            )
            continue
        try:
            manifest = releases.verify(version)
        except ChurnError as error:
            yield broken(
                "releases",
                f"{error}, in {folder}; `churn doctor --fix` makes it again from MLflow",
            )
            continue
        files += len(manifest.files) + 2
        if receipt is None:
            yield broken("releases", f"{folder} is a release that no receipt published")
        elif digest_of(manifest.model_dump(mode="json")) != current(
            receipts, receipt.evidence["manifest"], receipt.sequence
        ):
            yield broken(
                "releases",
                f"{folder / 'manifest.json'} is not what receipt {receipt.sequence} published;"
                f" {RESTORE}",
            )
    if files or not known:
        yield holds(
            "releases", f"{counted(len(known), 'release')}, {counted(files, 'file')} read", files
        )


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
        digest = tags[version]["digest"]
        receipt = judged.get(version)
        if loaded != digest or (receipt is not None and receipt.evidence["candidate"] != digest):
            yield broken(
                "MLflow",
                f"version {version} is not the candidate that was judged: its digest is"
                f" {digest[:12]}",
            )
        tagged = {name: tags[version].get(f"sha256.{name}") for name in FILES}
        for name, sha256 in state.judged_files(version).items():
            if tagged.get(name) != sha256:
                yield broken(
                    "MLflow", f"{name} of version {version} is not the file that was judged"
                )
        if version in released:
            folder = releases.folder / str(version)
            differ = [name for name in FILES if sha256_file(folder / name) != tagged[name]]
            yield from (
                broken(
                    "MLflow",
                    f"{name} of version {version} is not the same in MLflow and in its release",
                )
                for name in differ
            )
    yield holds("MLflow", f"{len(tags)} versions, {files} files read", files)


def check_records(
    records: Records, reports: Path, receipts: Sequence[Receipt]
) -> Iterator[CheckResult]:
    """Every record and its rows against the digests that were written with them, the ranked
    lists against theirs.

    No receipt contains those digests, so a record that was forged with its digests passes.
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
        faults += _arm_faults(records, as_of)
    yield from (broken("records", fault) for fault in faults)
    if not faults:
        yield holds("records", f"{count} records with their rows", count)


def _arm_faults(records: Records, as_of: dt.date) -> Iterator[str]:
    """The arms of a month's list against those that its record draws again."""
    canary = ScoresRecord.read(records.read("scores", as_of), f"The scores of {as_of}").canary
    if canary is None or records.broken("scores", as_of) is not None:
        return
    scored = records.frame("scores", as_of)
    drawn = canary_keys(scored.iloc[:, 0], canary.salt, canary.experiment, canary.share)
    in_arm = (scored["arm"] == CANARY).to_numpy(dtype=bool)
    answered = (scored["version"] == canary.version).to_numpy(dtype=bool)
    # Production scores a customer of the arm whom the canary's version cannot score.
    other = int(((drawn != in_arm) | (answered & ~drawn)).sum())
    if other:
        customers = counted(other, "customer")
        yield f"the list of {as_of} has {customers} in another arm than the draw of its canary"


def _missing(records: Records, receipts: Sequence[Receipt]) -> Iterator[str]:
    """Records that are gone: a receipt was written after them, and no repair removed them."""
    processed = {r.subject: r for r in receipts if r.act in ANSWERED}
    for month, receipt in processed.items():
        removed = {
            r.evidence.get("record")
            for r in receipts[receipt.sequence :]
            if r.act == "recovery" and r.subject == month
        }
        for kind in OF_EVERY_MONTH:
            path = records.path(kind, dt.date.fromisoformat(month), ".json")
            if not path.exists() and removed.isdisjoint((kind, None)):
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
        yield f"{csv} has other rows than {rows.name}"


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
        f"the manifest of {month} is gone from the lake; receipt {own[-1].sequence} published it"
        for month, own in of_month.items()
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
        except (IntegrityError, KeyError, TypeError) as error:  # a name was changed
            path = lake.folder / "snapshots" / f"{month}.json"
            faults.append(
                f"{path} cannot be read as it was written ({error!r}): restore it from a backup"
            )
    yield from (broken("lake", fault) for fault in faults)
    if not faults:
        yield holds(
            "lake",
            f"{len(months)} months, {files} files match their manifests and receipts",
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
            yield f"{rows} is gone: the quarantined rows of {table} of {as_of}"
        elif digest_of(rows.read_text(encoding="utf-8")) != aside.digest:
            yield f"{rows} is not what was quarantined"


def _content(path: Path) -> str:
    return table_digest(
        pq.ParquetFile(path).read().drop_columns(list(STAMPS)).replace_schema_metadata(None)
    )
