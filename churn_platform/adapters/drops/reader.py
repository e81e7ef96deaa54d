"""Finds the files of a drop, and the fingerprint by which a change is seen.

Belongs here: which folders and files are drops, whether one is complete. Does not: reading the files
(`adapters/drops/table_reader.py`).
"""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from churn_platform.adapters.drops.delivered_file import table_files
from churn_platform.core.contract import Contract
from churn_platform.core.digest import digest_of

SUCCESS, INCOMING = "_SUCCESS", "_INCOMING"


@dataclass(frozen=True)
class Drop:
    """The files delivered for one as_of."""

    as_of: dt.date
    folder: Path
    files: dict[str, Path]
    last_change: float
    """Newest modification time of its files, seconds since the epoch."""
    marked_complete: bool
    doubles: dict[str, Path] = field(default_factory=dict)
    """Tables that have a second file."""

    @property
    def fingerprint(self) -> str:
        """Changes when a file is added, removed, resized or rewritten; cheap, it reads no content."""
        files = self.files | {f"{name} (double)": path for name, path in self.doubles.items()}
        stats = {name: (path.name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in files.items()}
        return digest_of({name: list(stat) for name, stat in stats.items()})


def find_drops(folder: Path, contract: Contract) -> list[Drop]:
    """Every drop under `folder` (one sub-folder an as_of, named by its date), oldest first.

    A folder that is still being written by `churn ingest` is not a drop yet.
    """
    drops = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            as_of = dt.date.fromisoformat(entry.name)
        except ValueError:
            continue
        if entry.is_dir() and not (entry / INCOMING).exists() and (drop := open_drop(entry, as_of, contract)).files:
            drops.append(drop)
    return drops


def open_drop(folder: Path, as_of: dt.date, contract: Contract) -> Drop:
    """The drop in `folder`; files that are no table of the contract are left alone."""
    found = table_files(folder)
    of_table = {table: found.get(contract.file_stem(table), []) for table in contract.deliverable}
    files = {table: paths[0] for table, paths in of_table.items() if paths}
    doubles = {table: paths[1] for table, paths in of_table.items() if paths[1:]}
    newest = max((path.stat().st_mtime for path in (*files.values(), *doubles.values())), default=0.0)
    return Drop(as_of, folder, files, newest, (folder / SUCCESS).exists(), doubles)
