"""What forgetting a customer changes, made ready next to the home's files before any of them is
touched.
"""

import json
import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from churn_platform.base.digests import digest_of, frame_digest, readable
from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.base.files import fsync_file, read_json, sha256_file
from churn_platform.features.training_datasets import typed
from churn_platform.ingestion.conversion import Writing
from churn_platform.ingestion.delivered_file import suffix_of
from churn_platform.ingestion.drop import open_drop
from churn_platform.lake.arrow_tables import table_digest
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import DIGESTS, Records
from churn_platform.lake.window import Months, inputs_digest
from churn_platform.ledger.erasures import contacts_left, following, remapped, untold
from churn_platform.maintenance.customer_rows import Key, without_customer
from churn_platform.services import Services

NOT_SEARCHED = ("artifacts", "releases", "dagster", "serving", "forgetting", "feast")
"""Folders without customers' rows by key, and those that are not files of rows."""


def searched(home: Services) -> list[Path]:
    """Every file of rows, also where a folder of the home is a link to a place outside."""
    root = home.folder.resolve()
    known = set[Path]()
    found = list[Path]()
    for name, folders, files in os.walk(home.folder, followlinks=True):
        here = Path(name)
        skipped = NOT_SEARCHED if name == str(home.folder) else ()
        if (real := here.resolve()) in known:
            folders.clear()
            continue
        known.add(real)
        folders[:] = [
            name for name in folders if name not in skipped and not _leads_back(here / name, root)
        ]
        folders.sort(
            key=lambda name: (here / name).is_symlink()
        )  # a folder's own name before a link to it
        found += [
            here / name for name in files if suffix_of(Path(name)) and not name.startswith(".")
        ]
    return sorted(path for path in found if path.is_file())


def _leads_back(folder: Path, root: Path) -> bool:
    """Whether it is a link to a folder in or around the home, which has a name of its own
    there.
    """
    real = folder.resolve()
    return folder.is_symlink() and (real.is_relative_to(root) or root.is_relative_to(real))


def history(home: Services) -> list[Path]:
    """Dagster's databases, which show the head of the list and examples of faults with each
    run.
    """
    return sorted((home.folder / "dagster").rglob("*.db"))


def check_writable(home: Services, files: Iterable[str]) -> None:
    """Refuse before anything is changed what could not be carried out.

    Args:
        home: the home.
        files: paths in it of the files that will be replaced.

    Raises:
        UsageError: a folder or a store cannot be written; names it.
    """
    targets = [(home.folder / name).resolve() for name in files]
    online = home.folder / "feast" / "online_store.db"
    stores = [store for store in (home.ledger.file, online, *history(home)) if store.exists()]
    for folder in sorted({home.folder, *(path.parent for path in (*targets, *stores))}):
        _allow(folder, may=_access(folder, os.W_OK | os.X_OK))
    for store in stores:
        _allow(store, may=_access(store, os.W_OK))
    for target in targets:
        _allow(target, may=not _kept_by_others(target))


def _access(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _kept_by_others(file: Path) -> bool:
    """Whether a sticky folder lets no one but other users replace the file."""
    folder = file.parent.stat()
    return bool(folder.st_mode & stat.S_ISVTX) and os.geteuid() not in (
        0,
        folder.st_uid,
        file.stat().st_uid,
    )


def _allow(path: Path, *, may: bool) -> None:
    if not may:
        found = path.stat()
        raise UsageError(
            f"{path} cannot be changed by user {os.geteuid()} (its owner is {found.st_uid}, its"
            f" mode {stat.filemode(found.st_mode)}), so no data was deleted: give write access,"
            " or run this as the owner.",
            code="FILE_DENIED",
        )


DELIVERED = ("drops", "simulated")
"""Written as the contract requires; all other files are the home's own."""
STAMPS = ("event_timestamp", "created_timestamp")


@dataclass
class Staged:
    """The new files under `folder`, each at its own path in the home."""

    home: Services
    folder: Path
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    """Path in the home -> sha256 of the file before and after."""
    digests: dict[str, str] = field(default_factory=dict)
    """Every digest of content that changes -> the one that takes its place."""
    rows: Counter[str] = field(default_factory=Counter)
    """Top folder -> rows left out."""
    unread: list[str] = field(default_factory=list)
    """Files of rows that cannot be read, so no one knows whether the customer is in them."""

    def put(self, path: Path, content: bytes) -> Path:
        """Write what will take the place of `path`, with its time: earlier versions recognise a
        drop by it.
        """
        relative = path.relative_to(self.home.folder)
        time = path.stat()
        target = self.folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        os.utime(target, ns=(time.st_atime_ns, time.st_mtime_ns))
        fsync_file(target)
        self.files[relative.as_posix()] = {
            "before": sha256_file(path),
            "after": sha256_file(target),
        }
        return target

    def of(self, path: Path) -> Path | None:
        """The new file for a path; None where it stays as it is."""
        relative = path.relative_to(self.home.folder)
        if relative.as_posix() in self.files:
            return self.folder / relative
        return None


def stage(home: Services, value: str | int, folder: Path) -> Staged:
    """Make every file ready that changes when the customer with this key is forgotten.

    Raises:
        IntegrityError: a file of the lake is not what its manifest records; forgetting would
            hide it.
    """
    staged = Staged(home, folder)
    contract = home.contract
    key = Key(
        value, {contract.entity.column, *([contract.key.source] if contract.key.source else [])}
    )
    _tables(staged, key)
    for digests in list(staged.files.values()):  # manifests and records name files by these, too
        _follow(staged, digests["before"], digests["after"])
    _fingerprints(staged)
    _snapshots(staged, value)
    _inputs(staged)
    _datasets(staged)
    _records(staged, value)
    _pages(staged, value)
    return staged


def _tables(staged: Staged, key: Key) -> None:
    """Every CSV and Parquet file of the home that has the key's column and a row of the
    customer.
    """
    log = staged.home.settings.prediction_log
    if log is not None and not log.resolve().is_relative_to(staged.home.folder):
        staged.unread.append(readable(str(log)))
    home, files = staged.home, staged.home.contract.files
    delivered = replace(key, writing=Writing.of(files, home.contract.key))
    keys = {
        **dict.fromkeys(DELIVERED, delivered),
        "quarantine": replace(delivered, quarantined=True),
    }
    for path in searched(home):
        top = path.relative_to(home.folder).parts[0]
        delimiter, encoding = (
            (files.delimiter, files.encoding) if top in DELIVERED else (",", "utf-8")
        )
        try:
            found = without_customer(
                path, keys.get(top, key), delimiter=delimiter, encoding=encoding
            )
        except (OSError, ValueError):
            staged.unread.append(readable(path.relative_to(home.folder).as_posix()))
            continue
        if found is not None:
            staged.put(path, found[0])
            staged.rows[readable(top)] += found[1]


def _fingerprints(staged: Staged) -> None:
    """The drops that the lake was published from, as they will be recognised."""
    home = staged.home
    for as_of in home.lake.months():
        drop = open_drop(home.drops / as_of.isoformat(), as_of, home.contract)
        after = replace(
            drop,
            files={name: staged.of(path) or path for name, path in drop.files.items()},
            doubles={name: staged.of(path) or path for name, path in drop.doubles.items()},
        )
        recorded = home.lake.fingerprint(as_of)
        if recorded is not None and drop.fingerprint_as(
            recorded
        ) == recorded != after.fingerprint_as(recorded):
            staged.digests[recorded] = after.fingerprint


def _snapshots(staged: Staged, value: str | int) -> None:
    """The lake's manifests, and the digests of the months as they will be."""
    home = staged.home
    before = {}
    manifests = {}
    for as_of in home.lake.months():
        path = home.lake.folder / "snapshots" / f"{as_of}.json"
        manifest = read_json(path)
        manifests[path] = manifest
        before[as_of] = (home.lake.digest(as_of), home.lake.feature_digest(as_of))
        for delivery in manifest["deliveries"]:
            for name, entry in delivery["tables"].items():
                _entry(staged, name, entry)
    for (
        path,
        manifest,
    ) in manifests.items():  # a comparison names tables of other months, later ones too
        _put_json(staged, path, remapped(manifest, following(staged.digests, value)))
    lake = Lake(staged.folder / "lake", home.contract)
    for as_of, (whole, features) in before.items():
        if staged.of(home.lake.folder / "snapshots" / f"{as_of}.json") is not None:
            _follow(staged, whole, lake.digest(as_of))
            _follow(staged, features, lake.feature_digest(as_of))
            for old, new in zip(home.lake.snapshots(as_of), lake.snapshots(as_of), strict=True):
                _follow(staged, old, new)
            for earlier, later in zip(
                home.lake.deliveries(as_of), lake.deliveries(as_of), strict=True
            ):
                _follow(staged, earlier.record_digest, later.record_digest)


def _entry(staged: Staged, table: str, entry: dict[str, Any]) -> None:
    """One table of a delivery: rows and churners counted again, its digests recorded in
    `staged`.
    """
    home = staged.home
    path = home.lake.folder / entry["file"]
    if (after := staged.of(path)) is not None:
        if entry["digest"] not in staged.digests:
            _unchanged(path, entry["digest"], _lake_digest(path))
            _follow(staged, entry["digest"], _lake_digest(after))
        entry["rows"] = pq.read_metadata(after).num_rows
        if table == home.contract.label_table:
            labels = home.lake.read(after)[home.contract.label.column].astype("Float64")
            entry |= {"churners": int(labels.sum()), "labels": int(labels.count())}
    aside = entry.get("quarantine", {})
    if "file" in aside and (after := staged.of(home.folder / aside["file"])) is not None:
        _follow(staged, aside["digest"], digest_of(after.read_text(encoding="utf-8")))


def _inputs(staged: Staged) -> None:
    """What records say they were made from, for every month as its window is now."""
    home, progress = staged.home, Months(staged.home.lake, staged.home.contract)
    for as_of in progress.published:
        before = {month: home.lake.digest(month) for month in progress.input_months(as_of)}
        after = {month: staged.digests.get(digest, digest) for month, digest in before.items()}
        _follow(staged, inputs_digest(before), inputs_digest(after))


def _datasets(staged: Staged) -> None:
    home = staged.home
    records = Records(staged.folder)
    for as_of in home.records.months("training_dataset"):
        record = home.records.read("training_dataset", as_of) or {}
        if staged.of(home.records.path("training_dataset", as_of, ".parquet")) is not None:
            after = frame_digest(typed(home.contract, records.frame("training_dataset", as_of)))
            _follow(staged, str(record["digest"]), after)


def _records(staged: Staged, value: str | int) -> None:
    home = staged.home
    for path in sorted((home.folder / "lake" / "derived").rglob("*.json")):
        record = remapped(read_json(path), following(staged.digests, value))
        scored = staged.of(path.with_suffix(".parquet"))
        if isinstance(record, dict) and scored is not None and "contacts" in record:
            rows = _at_risk(scored)
            before = _at_risk(path.with_suffix(".parquet"))
            customers = pq.read_metadata(scored).num_rows
            record |= {
                "customers": customers,
                "contacts": contacts_left(before, int(str(record["contacts"])), rows),
            }
            if "already_left" in record:
                record["already_left"] = customers - len(rows)
        if isinstance(record, dict) and isinstance(made := record.get(DIGESTS), dict):
            whole = {name: part for name, part in record.items() if name != DIGESTS}
            record[DIGESTS] = {**made, "record": digest_of(whole)}
        _put_json(staged, path, record)


def _at_risk(scores: Path) -> np.ndarray:
    """The probabilities of the scored customers who can still leave; in files of earlier
    versions, of all.
    """
    table = pq.read_table(scores)
    if "already_left" in table.column_names:
        table = table.filter(pc.invert(table["already_left"]))
    found: np.ndarray = table["probability"].to_numpy()
    return found


def _pages(staged: Staged, value: str | int) -> None:
    for path in sorted(staged.home.reports.rglob("*.html")):
        before = path.read_text(encoding="utf-8")
        if (after := untold(before, value)) != before:
            staged.put(path, after.encode())


def _put_json(staged: Staged, path: Path, value: Any) -> None:  # noqa: ANN401 - whatever json can hold
    if value != read_json(path):
        staged.put(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def _follow(staged: Staged, before: str, after: str) -> None:
    if before != after:
        staged.digests[before] = after


def _lake_digest(path: Path) -> str:
    table = pq.ParquetFile(path).read()
    return table_digest(table.drop_columns([name for name in STAMPS if name in table.column_names]))


def _unchanged(path: Path, recorded: str, found: str) -> None:
    if recorded != found:
        raise IntegrityError(
            f"{path} is not what the lake published (recorded {recorded[:12]}, found"
            f" {found[:12]}): nothing was forgotten, since that would hide it; put the file"
            " back from a backup."
        )
