"""Where forgetting reads and writes: the files it searches, and whether this process may write wherever it will.

Belongs here: the files, folders and stores, and the sentence that names the one at fault, which is asked for before a
plan stands that must be completed. Does not: rows (`adapters/upkeep/forgetting_plan.py`), writing
(`adapters/upkeep/forgetting.py`).
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from churn_platform.adapters.drops.delivered_file import suffix_of
from churn_platform.adapters.home import Home
from churn_platform.errors import UsageError

NOT_SEARCHED = ("artifacts", "releases", "dagster", "serving", "forgetting", "feast")
"""Folders without customers' rows by key, and those that are not files of rows."""


def searched(home: Home) -> list[Path]:
    """Every file of rows, also where a folder of the home is a link to a place outside."""
    root, known, found = home.folder.resolve(), set[Path](), list[Path]()
    for name, folders, files in os.walk(home.folder, followlinks=True):
        here, skipped = Path(name), NOT_SEARCHED if name == str(home.folder) else ()
        if (real := here.resolve()) in known:
            folders.clear()
            continue
        known.add(real)
        folders[:] = [name for name in folders if name not in skipped and not _leads_back(here / name, root)]
        folders.sort(key=lambda name: (here / name).is_symlink())  # a folder's own name before a link to it
        found += [here / name for name in files if suffix_of(Path(name)) and not name.startswith(".")]
    return sorted(path for path in found if path.is_file())


def _leads_back(folder: Path, root: Path) -> bool:
    """Whether it is a link to a folder in or around the home, which has a name of its own there."""
    real = folder.resolve()
    return folder.is_symlink() and (real.is_relative_to(root) or root.is_relative_to(real))


def history(home: Home) -> list[Path]:
    """Dagster's databases, which show the head of the list and examples of faults with each run."""
    return sorted((home.folder / "dagster").rglob("*.db"))


def check_writable(home: Home, files: Iterable[str]) -> None:
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
    return bool(folder.st_mode & stat.S_ISVTX) and os.geteuid() not in (0, folder.st_uid, file.stat().st_uid)


def _allow(path: Path, *, may: bool) -> None:
    if not may:
        found = path.stat()
        raise UsageError(
            f"{path} cannot be changed by user {os.geteuid()} (its owner is {found.st_uid}, its mode "
            f"{stat.filemode(found.st_mode)}), so no data was deleted: give write access, or run this as the owner."
        )
