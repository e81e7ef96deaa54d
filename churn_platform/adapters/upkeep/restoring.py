"""Restores a home from its backup: unpacked next to its place, verified completely, then renamed.

Belongs here: what must hold before a restored home is put in place. Does not: the archive
(`adapters/upkeep/backup.py`).
"""

import shutil
import uuid
from pathlib import Path

from churn_platform.adapters.files import fsync_folder
from churn_platform.adapters.home import FOLDERS, Home
from churn_platform.adapters.models.artifact_paths import relocate
from churn_platform.adapters.upkeep.backup import Archive, OnFile, archive_digest, copy_checked, opened, room_for
from churn_platform.errors import IntegrityError, UsageError


def restore(file: Path, home: Home, on_file: OnFile = lambda _name, _size: None) -> Archive:
    """Put the home in `file` where `home` is to be; until everything is verified that place stays as it is.

    Verified: every file's sha256, the ledger's chain with its head, every release's digests. The receipt
    "home restored" and the artifacts' new addresses are written before the rename, so a kill leaves no home
    without them.

    Raises:
        UsageError: there is a home already, no such backup, or no room.
        IntegrityError: the backup was damaged, or the home in it was.
    """
    place = free_place(home.folder)
    for leftover in place.parent.glob(f".{place.name}.*.restoring"):
        shutil.rmtree(leftover)
    staging = place.with_name(f".{place.name}.{uuid.uuid4().hex}.restoring")
    try:
        with opened(file) as (archive, said):
            room_for(said, place.parent)
            for folder in FOLDERS:
                (staging / folder).mkdir(parents=True)
            for name, entry in said.files.items():
                target = staging / name
                target.parent.mkdir(parents=True, exist_ok=True)
                copy_checked(archive, said, name, target)
                on_file(name, entry.size)
        unpacked = Home(home.settings.model_copy(update={"home": staging}), home.now)
        verify_restored(unpacked, said)
        relocate(staging / "mlflow.db", place / "artifacts")
        unpacked.ledger.append(
            actor=home.settings.who,
            act="home restored",
            subject=str(place),
            before=said.home,
            after=str(place),
            reason=f"Restored from the backup of {said.made_at[:19]}: {len(said.files)} files, all as recorded.",
            evidence={"archive": archive_digest(file), "receipts": said.receipts, "head": said.head},
        )
        for path in (*(entry for entry in staging.rglob("*") if entry.is_dir()), staging):
            fsync_folder(path)
        staging.rename(place)  # over an empty folder, too
        fsync_folder(place.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return said


def free_place(place: Path) -> Path:
    """The folder for a home, where there is none yet.

    Raises:
        UsageError: something is there.
    """
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UsageError(f"{place} is not empty: a restore never replaces a home; name another with --home.")
    return place


def verify_restored(home: Home, said: Archive) -> None:
    """Compare what was unpacked with itself.

    Raises:
        IntegrityError: the ledger's chain is broken or another one, or a release was changed.
    """
    pointer = home.releases.pointer()
    for anchor in (said.head, None if pointer is None else pointer.ledger_head):
        if broken := home.ledger.verify(anchor):
            raise IntegrityError(
                f"The ledger in the backup does not hold, at receipt {broken.sequence}: {broken.detail}; nothing was "
                "restored, take an older backup."
            )
    for version in home.releases.versions():
        home.releases.verify(version)
