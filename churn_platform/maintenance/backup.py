"""Backs up a complete home to one archive with the sha256 of every file, and restores it."""

import contextlib
import glob
import hashlib
import math
import os
import shutil
import sqlite3
import uuid
import zipfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.base.files import fsync_file, fsync_folder, sha256_file
from churn_platform.base.home import FOLDERS, HOLDER, LAYOUT, LAYOUT_WITH_PLACE, Home
from churn_platform.experiments.registered import Experiments
from churn_platform.lake.place import USER_FILE
from churn_platform.ledger.acts import HomeRestored
from churn_platform.ledger.receipts import Sha256, first_fault
from churn_platform.ledger.store import LedgerStore
from churn_platform.training.mlflow_server import relocate
from churn_platform.training.releases import Releases

FORMAT = 1
LAYOUTS = (LAYOUT, LAYOUT_WITH_PLACE)
MANIFEST = "manifest.json"
INSIDE = "home/"
PACKED = frozenset({".parquet", ".png", ".gz", ".zip"})
"""Compressed already."""
NOT_KEPT = ("feast/offline/", "serving/", HOLDER)
"""Links that Feast makes again, files of running servers, and the holder of the home."""
SQLITE = b"SQLite format 3\0"
CHUNK = 1 << 20
NOWHERE = Path(os.devnull)

OnFile = Callable[[str, int], None]
"""Called with each finished file and its bytes."""


class Entry(BaseModel):
    """One file of the home. 0.1.0 recognises a drop by the time of its last change."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sha256: Sha256
    size: Annotated[int, Field(ge=0)]
    changed: int
    """Nanoseconds since 1970."""


class Archive(BaseModel):
    """The manifest of an archive."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: int
    layout: int
    home: str
    """The folder it was taken from."""
    made_at: str
    receipts: int
    head: str | None
    """Digest of the newest receipt."""
    files: dict[str, Entry]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())


@dataclass(frozen=True)
class Backup:
    """Backs up one home, and restores a backup to its place."""

    home: Home
    ledger: LedgerStore
    releases: Releases
    experiments: Callable[[], Experiments]
    """Built late: a home that is restored has no contract before."""
    elsewhere: Callable[[Path], "Backup"]
    """The same for a home in another folder."""

    def write(self, target: Path, on_file: OnFile = lambda _name, _size: None) -> Archive:
        """Write the complete home to one new file, between runs.

        Raises:
            UsageError: `target` exists or is inside the home, or a file has a name that no
                archive can contain.
            HomeBusy: a run holds the home.
            IntegrityError: what was written cannot be read back.
        """
        target = self.check_target(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            with self.home.exclusive("`churn backup`"):
                for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
                    leftover.unlink()  # of a killed backup
                written = self._write(temporary, on_file)
            fsync_file(temporary)
            with opened(temporary) as (archive, found):
                for name in found.files:
                    copy_checked(archive, found, name)
            temporary.rename(target)
            fsync_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)
        return written

    def check_target(self, target: Path) -> Path:
        """The archive's absolute path.

        Raises:
            UsageError: it exists or is inside the home.
        """
        target = target.expanduser().resolve()
        if target.exists():
            raise UsageError(
                f"{target} exists already. A backup never replaces a file. Name a new one.",
                code="TARGET_EXISTS",
            )
        if target.is_relative_to(self.home.folder):
            raise UsageError(
                f"{target} is inside the home. Name a file outside {self.home.folder}.",
                code="TARGET_EXISTS",
            )
        return target

    def restore(self, file: Path, on_file: OnFile = lambda _name, _size: None) -> Archive:
        """Restore the home in `file` to this home's folder.

        Everything is verified before that folder changes: every file's sha256, the ledger's
        chain with its head, every release's digests. The receipt "home restored" and the
        artifacts' new addresses are written before the rename, so an interrupted restore leaves
        no home without them. Shadows go on; a canary ends, because its servers are elsewhere.

        Raises:
            UsageError: there is a home already, no such backup, no room, or `CHURN_LAKE`
                names another place than the home has.
            IntegrityError: the backup or the home in it is damaged.
        """
        place = free_place(self.home.folder)
        for leftover in place.parent.glob(f".{place.name}.*.restoring"):
            shutil.rmtree(leftover)
        staging = place.with_name(f".{place.name}.{uuid.uuid4().hex}.restoring")
        try:
            with opened(file) as (archive, manifest):
                check_room(manifest, place.parent)
                for folder in FOLDERS:
                    (staging / folder).mkdir(parents=True)
                for name, entry in manifest.files.items():
                    target = staging / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    copy_checked(archive, manifest, name, target)
                    on_file(name, entry.size)
            unpacked = self.elsewhere(staging)
            unpacked.verify(manifest)
            if unpacked.home.lake_uri:  # there it is another home than the first
                (staging / "lake" / USER_FILE).unlink(missing_ok=True)
            relocate(staging / "mlflow.db", place / "artifacts")
            unpacked.ledger.append(
                HomeRestored(
                    subject=str(place),
                    before=manifest.home,
                    after=str(place),
                    reason=(
                        f"Restored from the backup of {manifest.made_at[:19]}:"
                        f" {len(manifest.files)} files, all as recorded."
                    ),
                    archive=sha256_file(file),
                    receipts=manifest.receipts,
                    head=manifest.head,
                )
            )
            unpacked.experiments().end_of_another_home()
            for path in (*(entry for entry in staging.rglob("*") if entry.is_dir()), staging):
                fsync_folder(path)
            staging.rename(place)  # also over an empty folder
            fsync_folder(place.parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return manifest

    def verify(self, manifest: Archive) -> None:
        """Verify the ledger and the releases of a home that was just unpacked.

        Raises:
            IntegrityError: the ledger's chain is broken or another one, or a release was
                changed.
        """
        pointer = self.releases.pointer()
        for anchor in (manifest.head, None if pointer is None else pointer.ledger_head):
            if broken := self.ledger.verify(anchor):
                raise IntegrityError(
                    f"The ledger in the backup is damaged at receipt {broken.sequence}:"
                    f" {broken.detail}. Nothing was restored. Use an older backup.",
                    code="BACKUP_DAMAGED",
                )
        for version in self.releases.versions():
            self.releases.verify(version)

    def _write(self, temporary: Path, on_file: OnFile) -> Archive:
        files: dict[str, Entry] = {}
        head = self.ledger.head()
        with zipfile.ZipFile(temporary, "x", compresslevel=1) as archive:
            for name, path in contents(self.home.folder).items():
                try:
                    files[name] = _add(archive, name, path)
                except FileNotFoundError:  # a running server or daemon deleted it
                    continue
                on_file(name, files[name].size)
            manifest = Archive(
                format=FORMAT,
                layout=LAYOUT_WITH_PLACE if self.home.lake_uri else LAYOUT,
                home=str(self.home.folder),
                made_at=self.home.now().isoformat(),
                receipts=0 if head is None else head.sequence,
                head=None if head is None else head.digest,
                files=files,
            )
            archive.writestr(MANIFEST, manifest.model_dump_json(indent=1), zipfile.ZIP_DEFLATED)
        return manifest


def contents(folder: Path) -> dict[str, Path]:
    """Every file of a home that a backup contains, by its name in the archive.

    Raises:
        UsageError: a file has a name that no archive can contain.
    """
    found: dict[str, Path] = {}
    for path in files_below(folder):
        name = path.relative_to(folder).as_posix()
        if _kept(name):
            found[_writable(name, folder)] = path
    return dict(sorted(found.items()))


def files_below(home: Path, skipped: Collection[str] = ()) -> Iterator[Path]:
    """Every file below a home except those in the `skipped` folders. Links are followed, and
    each folder is read once, by its own name rather than that of a link.
    """
    root = home.resolve()
    known: set[Path] = set()
    for place, folders, files in os.walk(home, followlinks=True):
        here = Path(place)
        real = here.resolve()
        if real in known:
            folders.clear()
            continue
        known.add(real)
        left_out = skipped if here == home else ()
        folders[:] = [
            name for name in folders if name not in left_out and not _leads_back(here / name, root)
        ]
        folders.sort(key=lambda name: (here / name).is_symlink())
        yield from (here / name for name in files if (here / name).is_file())


def _leads_back(folder: Path, root: Path) -> bool:
    """Whether it is a link to a folder in or around the home."""
    real = folder.resolve()
    return folder.is_symlink() and (real.is_relative_to(root) or root.is_relative_to(real))


@contextlib.contextmanager
def opened(file: Path) -> Iterator[tuple[zipfile.ZipFile, Archive]]:
    """Open an archive; it contains exactly the files of its manifest, all inside the home.

    Raises:
        UsageError: there is no such file.
        IntegrityError: it is not an archive of a home, was damaged, or is of another version.
    """
    if not file.is_file():
        raise UsageError(f"There is no backup at {file}.", code="BACKUP_MISSING")
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive, _read_manifest(archive, file)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise IntegrityError(
            f"{file} is damaged or not a backup ({error}). Use another one.", code="BACKUP_DAMAGED"
        ) from None


def copy_checked(
    archive: zipfile.ZipFile, manifest: Archive, name: str, target: Path = NOWHERE
) -> None:
    """Copy one file of an archive to `target`, or only verify it.

    Raises:
        IntegrityError: its bytes do not match its digest.
    """
    entry = manifest.files[name]
    with target.open("wb") as sink, archive.open(INSIDE + name) as source:
        try:
            found, size = _copy(source, sink, entry.size)
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # an error of the disk, not of the archive
            raise IntegrityError(
                f"{archive.filename} is damaged at {name} ({error}). Nothing was restored.",
                code="BACKUP_DAMAGED",
            ) from None
    if size != entry.size or found != entry.sha256:
        raise IntegrityError(
            f"{archive.filename} is damaged: {name} does not match its digest (recorded"
            f" {entry.sha256[:12]}, found {found[:12]}). Nothing was restored. Use"
            " another backup.",
            code="BACKUP_DAMAGED",
        )
    if target != NOWHERE:
        os.utime(target, ns=(entry.changed, entry.changed))
        fsync_file(target)


def _writable(name: str, folder: Path) -> str:
    shown = os.fsencode(name).decode(errors="backslashreplace")
    if shown != name:
        raise UsageError(
            f"{shown} in {folder} has a name that is not UTF-8, so it cannot be backed up."
            " Rename it."
        )
    return name


def _kept(name: str) -> bool:
    own = PurePosixPath(name).name
    temporary = (own.startswith(".") and own.endswith(".tmp")) or own.endswith(
        ("-wal", "-shm", "-journal", ".lock")
    )
    return not temporary and not name.startswith(NOT_KEPT)


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> Entry:
    """Copy one file into the archive; of a SQLite store, a consistent copy."""
    changed = path.stat().st_mtime_ns
    with path.open("rb") as stream:
        database = stream.read(len(SQLITE)) == SQLITE
    if not database:
        return _stream(archive, name, path, changed)
    # Next to the archive, because the home may be read-only.
    copy = Path(f"{archive.filename}.store.tmp")
    try:
        with (
            contextlib.closing(
                sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=60)
            ) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        return _stream(archive, name, copy, changed)
    except sqlite3.Error as error:
        raise IntegrityError(
            f"{path} cannot be copied ({error}). Try again when no process writes to it."
        ) from None
    finally:
        copy.unlink(missing_ok=True)


def _stream(archive: zipfile.ZipFile, name: str, path: Path, changed: int) -> Entry:
    if path.suffix in PACKED:
        archive.compression = zipfile.ZIP_STORED
    else:
        archive.compression = zipfile.ZIP_DEFLATED
    with path.open("rb") as source, archive.open(INSIDE + name, "w", force_zip64=True) as sink:
        digest, size = _copy(source, sink)
    return Entry(sha256=digest, size=size, changed=changed)


def _copy(source: IO[bytes], sink: IO[bytes], most: float = math.inf) -> tuple[str, int]:
    """Copy a stream and stop after more than `most` bytes; the sha256 and the size of the copy."""
    digest = hashlib.sha256()
    size = 0
    while size <= most and (chunk := source.read(CHUNK)):
        size += len(chunk)
        digest.update(chunk)
        sink.write(chunk)
    return digest.hexdigest(), size


def _read_manifest(archive: zipfile.ZipFile, file: Path) -> Archive:
    try:
        manifest = Archive.model_validate_json(archive.read(MANIFEST))
    except KeyError:
        raise IntegrityError(
            f"{file} is not a backup of a home: it has no {MANIFEST}.", code="BACKUP_DAMAGED"
        ) from None
    except ValidationError as error:
        raise IntegrityError(
            f"{file} is not a backup of a home: its {MANIFEST} has {first_fault(error)}.",
            code="BACKUP_DAMAGED",
        ) from None
    if manifest.format != FORMAT or manifest.layout not in LAYOUTS:
        raise IntegrityError(
            f"{file} has format {manifest.format} and layout {manifest.layout}. This version knows"
            f" format {FORMAT} and layouts {LAYOUT} and {LAYOUT_WITH_PLACE}. Restore it with the"
            " version that made it.",
            code="BACKUP_DAMAGED",
        )
    if outside := [name for name in manifest.files if not _inside(name)]:
        raise IntegrityError(
            f"{file} contains {outside[0]!r}, which is outside the home. Nothing was restored.",
            code="BACKUP_DAMAGED",
        )
    stored = sorted(archive.namelist())
    listed = sorted([MANIFEST, *(INSIDE + name for name in manifest.files)])
    if stored != listed:
        odd = sorted(set(stored) ^ set(listed)) or [
            name for name in stored if stored.count(name) > 1
        ]
        raise IntegrityError(
            f"{file} does not contain what its {MANIFEST} lists ({odd[0]}). Nothing was restored.",
            code="BACKUP_DAMAGED",
        )
    return manifest


def _inside(name: str) -> bool:
    # By this system's rules: a colon or a backslash leaves a folder only on Windows.
    path = PurePath(name)
    return (
        path.as_posix() == name and not path.anchor and path.name != "" and ".." not in path.parts
    )


def check_room(manifest: Archive, folder: Path) -> None:
    """Check before anything is written that the disk has room for all files.

    Raises:
        UsageError: it has not.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < manifest.size:
        raise UsageError(
            f"The backup needs {manifest.size / 1e6:,.0f} MB and {folder} has {free / 1e6:,.0f} MB"
            " free.",
            code="DISK_FULL",
        )


def free_place(place: Path) -> Path:
    """The folder for a new home.

    Raises:
        UsageError: it is not empty.
    """
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UsageError(
            f"{place} is not empty. A restore never replaces a home. Name another with --home.",
            code="HOME_NOT_EMPTY",
        )
    return place
