"""Checks that the files and stores of a home can be written, before an erasure changes any."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from churn_platform.base.errors import UsageError
from churn_platform.base.home import Home


def dagster_databases(home: Home) -> list[Path]:
    """Dagster's databases; they show top rows and examples of faults with each run."""
    return sorted((home.folder / "dagster").rglob("*.db"))


def check_writable(home: Home, ledger_file: Path, files: Iterable[str]) -> None:
    """Check before anything changes that every file and store can be written.

    Args:
        home: the home.
        ledger_file: the file of the ledger.
        files: paths in the home of the files to replace.

    Raises:
        UsageError: a folder or a store cannot be written.
    """
    targets = [(home.folder / name).resolve() for name in files]
    online = home.folder / "feast" / "online_store.db"
    stores = [store for store in (ledger_file, online, *dagster_databases(home)) if store.exists()]
    for folder in sorted({home.folder, *(path.parent for path in (*targets, *stores))}):
        _require(folder, may=_access(folder, os.W_OK | os.X_OK))
    for store in stores:
        _require(store, may=_access(store, os.W_OK))
    for target in targets:
        _require(target, may=not _kept_by_others(target))


def _access(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _kept_by_others(file: Path) -> bool:
    """Whether a sticky folder lets only other users replace the file."""
    folder = file.parent.stat()
    owners = (0, folder.st_uid, file.stat().st_uid)
    return bool(folder.st_mode & stat.S_ISVTX) and os.geteuid() not in owners


def _require(path: Path, *, may: bool) -> None:
    if may:
        return
    found = path.stat()
    raise UsageError(
        f"{path} cannot be changed by user {os.geteuid()} (its owner is {found.st_uid}, its"
        f" mode {stat.filemode(found.st_mode)}). No data was deleted. Give write access, or run"
        " this as the owner.",
        code="FILE_DENIED",
    )
