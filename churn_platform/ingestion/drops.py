"""Finds the files of a drop, and the fingerprint by which a change is seen."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from churn_platform.base.digests import digest_of
from churn_platform.contract.model import Contract
from churn_platform.ingestion.delivered_file import table_files
from churn_platform.ingestion.file_digests import FileDigests

SUCCESS = "_SUCCESS"
INCOMING = "_INCOMING"
READING = "(reading)"
"""No table has this name."""
BY_CONTENT = "content:"
"""How a fingerprint of content begins; earlier versions recorded one of names, sizes and
modification times.
"""


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

    digests: FileDigests = field(default_factory=FileDigests, compare=False, repr=False)
    reading: Mapping[str, Any] = field(default_factory=dict)
    """What the contract declares about reading the files; see `Contract.reading`."""

    def settled(self, now: dt.datetime, quiet_seconds: float) -> bool:
        """Whether the files have stopped changing."""
        return self.marked_complete or now.timestamp() - self.last_change >= quiet_seconds

    @property
    def fingerprint(self) -> str:
        """Changes when a file is added, removed, renamed or has other bytes, or is read
        otherwise; a copy has the same.

        A file that cannot be read counts by its size and time: validation names it.
        """
        content: dict[str, Any] = {
            name: [path.name, *self._content(path)] for name, path in self._all.items()
        }
        self.digests.save()  # a drop at a time: a process that is killed has not read all of them in vain
        if self.reading:
            content[READING] = dict(self.reading)
        return BY_CONTENT + digest_of(content)

    def fingerprint_as(self, recorded: str | None) -> str:
        """`recorded` where these files are known by it, also from an earlier version; else
        their own fingerprint.
        """
        of_times = recorded is not None and not recorded.startswith(BY_CONTENT) and not self.reading
        if recorded is not None and of_times and recorded == self.by_times:
            return recorded
        return self.fingerprint

    def _content(self, path: Path) -> list[Any]:
        try:
            return [self.digests.of(path)]
        except OSError:
            found = path.stat()
            return ["unreadable", found.st_size, found.st_mtime_ns]

    @property
    def _all(self) -> dict[str, Path]:
        return self.files | {f"{name} (double)": path for name, path in self.doubles.items()}

    @property
    def by_times(self) -> str:
        """The fingerprint of earlier versions: it reads no file."""
        stats = {name: (path.name, path.stat()) for name, path in self._all.items()}
        return digest_of(
            {
                name: [file, found.st_size, found.st_mtime_ns]
                for name, (file, found) in stats.items()
            }
        )


def find_drops(folder: Path, contract: Contract, digests: FileDigests | None = None) -> list[Drop]:
    """Every drop under `folder` (one sub-folder an as_of, named by its date), oldest first.

    A folder that is still being written by `churn ingest` is not a drop yet.
    """
    drops = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            as_of = dt.date.fromisoformat(entry.name)
        except ValueError:
            continue
        if not entry.is_dir() or (entry / INCOMING).exists():
            continue
        drop = open_drop(entry, as_of, contract, digests)
        if drop.files:
            drops.append(drop)
    return drops


def open_drop(
    folder: Path, as_of: dt.date, contract: Contract, digests: FileDigests | None = None
) -> Drop:
    """The drop in `folder`; files that are not of a table of the contract are left alone."""
    found = table_files(folder)
    of_table = {table: found.get(contract.file_stem(table), []) for table in contract.deliverable}
    files = {table: paths[0] for table, paths in of_table.items() if paths}
    doubles = {table: paths[1] for table, paths in of_table.items() if paths[1:]}
    newest = max(
        (path.stat().st_mtime for path in (*files.values(), *doubles.values())), default=0.0
    )
    complete = (folder / SUCCESS).exists()
    return Drop(
        as_of,
        folder,
        files,
        newest,
        complete,
        doubles,
        digests or FileDigests(),
        contract.reading,
    )
