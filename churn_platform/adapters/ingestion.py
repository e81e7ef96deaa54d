"""Drop in, snapshot out: reads a drop's files, validates every table, publishes all or nothing, writes the receipt.

Belongs here: the order of those steps, shared by the asset and `churn ingest`. Does not: the rules
(`core/snapshot.py`) and the layout (`adapters/lake.py`).
"""

import datetime as dt
import shutil
from pathlib import Path

import pandas as pd

from churn_platform.adapters.drop_reader import INCOMING, SUCCESS, Drop, open_drop, read_table
from churn_platform.adapters.home import Home
from churn_platform.adapters.lake import Publication
from churn_platform.core.contract import Contract
from churn_platform.core.lake_tables import lake_tables
from churn_platform.core.snapshot import conform, missing_tables
from churn_platform.errors import DropRefused, UsageError


def validated(contract: Contract, drop: Drop, *, first: bool) -> dict[str, pd.DataFrame]:
    """The drop's tables, typed.

    Raises:
        DropRefused: with every fault of every table at once.
    """
    faults = [fault.sentence() for fault in missing_tables(contract, set(drop.files))] if first else []
    tables = {}
    for name, path in drop.files.items():
        try:
            tables[name], found = conform(contract, name, read_table(path, contract, name))
        except DropRefused as refusal:
            faults += refusal.faults
        else:
            faults += [fault.sentence() for fault in found]
    if faults:
        listed = "\n".join(f"  - {fault}" for fault in faults)
        many = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        raise DropRefused(
            f"The drop of {drop.as_of} is refused, nothing was published ({many}):\n{listed}", tuple(faults)
        )
    return tables


def publish_drop(home: Home, as_of: dt.date) -> Publication:
    """Publish the drop of a month as a snapshot and write the receipt; a refusal is a receipt too.

    Raises:
        UsageError: there is no drop of that month and nothing was published earlier.
        DropRefused: the drop broke the contract.
    """
    drop = open_drop(home.drops / as_of.isoformat(), as_of, home.contract)
    known = as_of in home.lake.months()
    if not drop.files or (drop.folder / INCOMING).exists():
        if not known:
            raise UsageError(f"There is no drop of {as_of} in {home.drops}: deliver it or use `churn ingest`.")
        return home.lake.publish(as_of, {}, home.now(), home.lake.fingerprint(as_of) or "")
    fingerprint = drop.fingerprint
    try:
        tables = validated(home.contract, drop, first=not known)
    except DropRefused as refusal:
        _record(home, "drop refused", as_of, " ".join(refusal.faults)[:2000], {"fingerprint": fingerprint})
        raise
    publication = home.lake.publish(as_of, lake_tables(home.contract, tables, as_of), home.now(), fingerprint)
    # A kill between publication and receipt leaves nothing to publish, but the receipt to write.
    if publication.kind != "unchanged" or not _recorded(home, as_of, publication.digest):
        delivery = home.lake.deliveries(as_of)[-1]
        act = "drop corrected" if delivery["kind"] == "correction" else "drop accepted"
        reason = f"{delivery['kind'].capitalize()} delivery of {', '.join(delivery['tables'])}."
        _record(home, act, as_of, reason, {"snapshot": publication.digest, "fingerprint": fingerprint})
    return publication


def take_in(home: Home, source: Path, as_of: dt.date) -> Path:
    """Validate the files in `source` and copy them into the home as the drop of `as_of`.

    The copy is marked as incoming until every file is there, so nobody processes half of it.

    Raises:
        UsageError: `source` holds no table of the contract.
        DropRefused: the files break the contract; nothing was copied.
    """
    drop = open_drop(source, as_of, home.contract)
    if not drop.files:
        wanted = ", ".join(f"{home.contract.file_stem(name)}.csv" for name in home.contract.tables)
        raise UsageError(f"{source} holds none of the contract's tables: expected {wanted} (or .parquet).")
    validated(home.contract, drop, first=as_of not in home.lake.months())
    target = home.drops / as_of.isoformat()
    target.mkdir(parents=True, exist_ok=True)
    (target / INCOMING).touch()
    (target / SUCCESS).unlink(missing_ok=True)
    for path in drop.files.values():
        _copy(path, target / path.name)
        for other in (".csv", ".parquet"):
            if other != path.suffix:
                (target / f"{path.stem}{other}").unlink(missing_ok=True)
    (target / SUCCESS).touch()
    (target / INCOMING).unlink()
    return target


def _copy(source: Path, target: Path) -> None:
    from churn_platform.adapters.files import replacing, sha256_file

    if target.exists() and sha256_file(target) == sha256_file(source):
        return
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _recorded(home: Home, as_of: dt.date, snapshot: str) -> bool:
    """Whether a receipt says that this content of the month was published."""
    return any(
        r.subject == as_of.isoformat() and r.evidence.get("snapshot") == snapshot for r in home.ledger.receipts()
    )


def _record(home: Home, act: str, as_of: dt.date, reason: str, evidence: dict[str, str]) -> None:
    home.ledger.append(
        actor=home.settings.who, act=act, subject=as_of.isoformat(), reason=reason, evidence=evidence  # type: ignore[arg-type]
    )  # fmt: skip
