"""The checks of a home's files: decision records, releases, MLflow's files, records.

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

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError, StoreDown
from churn_platform.base.files import as_json, read_json, sha256_file
from churn_platform.base.home import Home
from churn_platform.base.text import counted
from churn_platform.experiments.assignment import CANARY, canary_keys
from churn_platform.lake.records import KINDS, OF_EVERY_MONTH, Records
from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.erasures import current
from churn_platform.ledger.receipts import Anchor, Break, Receipt, version_of
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
