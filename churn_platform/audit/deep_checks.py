"""Every digest computed again: decisions, releases, MLflow's files, records, and the lake.

Reports for people, the prediction log and Dagster's history are evidence of nothing and not
looked at.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from churn_platform.audit.deep_lake import check_lake
from churn_platform.audit.findings import Finding, broken, holds
from churn_platform.audit.recorded_files import check_decisions, check_releases
from churn_platform.audit.verifying import answering
from churn_platform.base.errors import ChurnError, StoreDown
from churn_platform.base.files import sha256_file
from churn_platform.lake.records import KINDS
from churn_platform.ledger.acts import version_of
from churn_platform.ledger.receipts import Receipt
from churn_platform.ledger.state import ProductionState
from churn_platform.loop.progress import ANSWERS
from churn_platform.scoring.scoring import list_file
from churn_platform.services import Services
from churn_platform.training.candidate import FILES

Check = Callable[[Services, Sequence[Receipt]], Iterator[Finding]]


def deep_checks() -> tuple[tuple[str, Check], ...]:
    """The checks in the order in which their breaks are reported: what decides first, what it
    was made from last.
    """
    return (
        ("decisions", check_decisions),
        ("releases", check_releases),
        ("MLflow", check_registry),
        ("lake", check_lake),
        ("records", check_records),
    )


def check_registry(home: Services, receipts: Sequence[Receipt]) -> Iterator[Finding]:
    """MLflow's files against their tags, the tags against the receipts of decisions and against
    the releases.
    """
    tags = answering(home).tags()
    state = ProductionState.from_receipts(receipts)
    judged = {version_of(receipt.subject): receipt for receipt in state.decisions}
    files = 0
    released = set(home.releases.versions())
    for version in sorted({*tags, *(v for v in judged if v is not None)}):
        if version not in tags:
            yield broken(
                "MLflow",
                f"version {version}, judged in receipt {judged[version].sequence}, is gone from"
                " MLflow",
            )
            continue
        try:
            home.registry.files(version)
            loaded = home.registry.load(version).digest
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
            if sha256_file(home.releases.folder / str(version) / name) != tags[version].get(
                f"sha256.{name}"
            ):
                yield broken(
                    "MLflow",
                    f"{name} of version {version} is not the same in MLflow and in its release",
                )
    yield holds("MLflow", f"{len(tags)} versions, {files} files read", files)


def check_records(home: Services, receipts: Sequence[Receipt]) -> Iterator[Finding]:
    """Every record and its rows against the digests that were written with them, the ranked
    lists against theirs.

    No receipt names those digests: who writes a record with the digests that fit is not found.
    """
    count = 0
    faults = list(_missing(home, receipts))
    for kind in KINDS:
        for as_of in home.records.months(kind):
            count += 1
            if (fault := home.records.broken(kind, as_of)) is not None:
                faults.append(fault)
    for as_of in home.records.months("scores"):
        recorded = (home.records.read("scores", as_of) or {}).get("list")
        if recorded is not None:
            faults += _list_faults(list_file(home.reports, as_of), recorded)
    yield from (broken("records", fault) for fault in faults)
    if not faults:
        yield holds("records", f"{count} records with their rows", count)


def _missing(home: Services, receipts: Sequence[Receipt]) -> Iterator[str]:
    """Records of months that were whole when a receipt said whether to retrain, and that no
    repair removed since.
    """
    processed = {r.subject: r for r in receipts if r.act in ANSWERS}
    for month, receipt in processed.items():
        later = [
            r for r in receipts[receipt.sequence :] if r.act == "recovery" and r.subject == month
        ]
        for kind in KINDS:
            path = home.records.path(kind, dt.date.fromisoformat(month), ".json")
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
