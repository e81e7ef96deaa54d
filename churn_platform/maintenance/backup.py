"""A complete home in one archive and back: every file with its sha256, nothing in place before
all is verified.
"""

import contextlib
import glob
import hashlib
import os
import shutil
import sqlite3
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.base.files import fsync_file, fsync_folder, sha256_file
from churn_platform.base.home import FOLDERS, HOLDER, LAYOUT
from churn_platform.ledger.acts import HomeRestored
from churn_platform.ledger.receipts import Sha256, first_fault
from churn_platform.services import Services
from churn_platform.training.mlflow_server import relocate

FORMAT = 1
MANIFEST = "manifest.json"
INSIDE = "home/"
PACKED = frozenset({".parquet", ".png", ".gz", ".zip"})
"""Compressed already."""
NOT_KEPT = ("feast/offline/", "serving/", HOLDER)
"""Links that Feast's next use makes again, the working files of running servers, and who holds
the home right now.
"""
SQLITE = b"SQLite format 3\0"
CHUNK = 1 << 20

OnFile = Callable[[str, int], None]
"""Told each file and its bytes when it is done."""


class Entry(BaseModel):
    """One file of the home. The time of its last change is part of how a drop is recognised."""

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


def back_up(home: Services, target: Path, on_file: OnFile = lambda _name, _size: None) -> Archive:
    """Write the complete home to one new file, between runs: the home is held, SQLite stores
    are copied through SQLite.

    Raises:
        UsageError: `target` exists or lies in the home, or a file has a name that no archive
            can hold.
        HomeBusy: a run holds the home.
        IntegrityError: what was written does not read back.
    """
    target = free_target(home, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with home.exclusive("`churn backup`"):
            for leftover in target.parent.glob(
                f".{glob.escape(target.name)}.*.tmp"
            ):  # of a killed one
                leftover.unlink()
            written = _write(home, temporary, on_file)
        fsync_file(temporary)
        with opened(temporary) as (archive, found):
            for name in found.files:
                copy_checked(archive, found, name, None)
        temporary.rename(target)
        fsync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return written


def free_target(home: Services, target: Path) -> Path:
    """The archive's absolute path.

    Raises:
        UsageError: it exists or lies in the home.
    """
    target = target.expanduser().resolve()
    if target.exists():
        raise UsageError(
            f"{target} exists already: a backup never replaces another file; name a new one.",
            code="TARGET_EXISTS",
        )
    if target.is_relative_to(home.folder):
        raise UsageError(
            f"{target} lies in the home that it would hold: name a file outside {home.folder}.",
            code="TARGET_EXISTS",
        )
    return target


def contents(folder: Path) -> dict[str, Path]:
    """Every file of a home that a backup keeps, by its name in the archive; links are followed,
    once each folder.

    Raises:
        UsageError: a file has a name that no archive can hold.
    """
    found: dict[str, Path] = {}
    seen: set[Path] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = Path(place).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in names:
            path = Path(place) / name
            inside = path.relative_to(folder).as_posix()
            if _kept(inside) and path.is_file():
                found[_writable(inside, folder)] = path
    return dict(sorted(found.items()))


@contextlib.contextmanager
def opened(file: Path) -> Iterator[tuple[zipfile.ZipFile, Archive]]:
    """An archive and what it says it holds; the names in it are those and no others, and none
    leads out of the home.

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
            f"{file} is damaged or no backup ({error}): take another one.", code="BACKUP_DAMAGED"
        ) from None


def copy_checked(archive: zipfile.ZipFile, said: Archive, name: str, target: Path | None) -> None:
    """Read one file of an archive, to `target` where there is one; its bytes must be those of
    its digest.

    Raises:
        IntegrityError: they are not.
    """
    entry = said.files[name]
    digest = hashlib.sha256()
    size = 0
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(archive.open(INSIDE + name))
        if target is None:
            sink = None
        else:
            sink = stack.enter_context(target.open("xb"))
        try:
            while (chunk := source.read(CHUNK)) and size <= entry.size:
                size += len(chunk)
                digest.update(chunk)
                if sink is not None:
                    sink.write(chunk)
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            if (
                isinstance(error, OSError) and error.errno is not None
            ):  # the disk's, not the archive's
                raise
            raise IntegrityError(
                f"{archive.filename} is damaged at {name} ({error}): nothing was restored.",
                code="BACKUP_DAMAGED",
            ) from None
    if size != entry.size or digest.hexdigest() != entry.sha256:
        raise IntegrityError(
            f"{archive.filename} is damaged: {name} does not match its digest (recorded"
            f" {entry.sha256[:12]}, found {digest.hexdigest()[:12]}): nothing was restored,"
            " take another backup.",
            code="BACKUP_DAMAGED",
        )
    if target is not None:
        os.utime(target, ns=(entry.changed, entry.changed))
        fsync_file(target)


def _writable(name: str, folder: Path) -> str:
    shown = os.fsencode(name).decode(errors="backslashreplace")
    if shown != name:
        raise UsageError(
            f"{shown} in {folder} has a name that is not UTF-8, so it cannot be backed up:"
            " rename it."
        )
    return name


def _kept(name: str) -> bool:
    own = PurePosixPath(name).name
    temporary = (own.startswith(".") and own.endswith(".tmp")) or own.endswith(
        ("-wal", "-shm", "-journal", ".lock")
    )
    return not temporary and not name.startswith(NOT_KEPT)


def _write(home: Services, temporary: Path, on_file: OnFile) -> Archive:
    files: dict[str, Entry] = {}
    head = home.ledger.head()
    with zipfile.ZipFile(temporary, "x", compresslevel=1) as archive:
        for name, path in contents(home.folder).items():
            try:
                files[name] = _add(archive, name, path)
            except FileNotFoundError:  # a running server or daemon cleared it away
                continue
            on_file(name, files[name].size)
        said = Archive(
            format=FORMAT, layout=LAYOUT, home=str(home.folder), made_at=home.now().isoformat(),
            receipts=0 if head is None else head.sequence, head=None if head is None else head.digest, files=files,
        )  # fmt: skip
        archive.writestr(MANIFEST, said.model_dump_json(indent=1), zipfile.ZIP_DEFLATED)
    return said


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> Entry:
    """Copy one file into the archive; a SQLite store as it was at one instant, whoever writes
    to it meanwhile.
    """
    changed = path.stat().st_mtime_ns
    with path.open("rb") as stream:
        database = stream.read(len(SQLITE)) == SQLITE
    if not database:
        return _stream(archive, name, path, changed)
    copy = Path(
        f"{archive.filename}.store.tmp"
    )  # beside the archive: a home that cannot be written is backed up, too
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
            f"{path} cannot be copied ({error}): try again when no process writes to it."
        ) from None
    finally:
        copy.unlink(missing_ok=True)


def _stream(archive: zipfile.ZipFile, name: str, path: Path, changed: int) -> Entry:
    digest = hashlib.sha256()
    size = 0
    if path.suffix in PACKED:
        archive.compression = zipfile.ZIP_STORED
    else:
        archive.compression = zipfile.ZIP_DEFLATED
    with path.open("rb") as source, archive.open(INSIDE + name, "w", force_zip64=True) as sink:
        while chunk := source.read(CHUNK):
            size += len(chunk)
            digest.update(chunk)
            sink.write(chunk)
    return Entry(sha256=digest.hexdigest(), size=size, changed=changed)


def _read_manifest(archive: zipfile.ZipFile, file: Path) -> Archive:
    try:
        said = Archive.model_validate_json(_read_all(archive))
    except KeyError:
        raise IntegrityError(
            f"{file} has no {MANIFEST}: not a backup of a home.", code="BACKUP_DAMAGED"
        ) from None
    except ValidationError as error:
        raise IntegrityError(
            f"{file}: its {MANIFEST} has {first_fault(error)}: not a backup of a home.",
            code="BACKUP_DAMAGED",
        ) from None
    if (said.format, said.layout) != (FORMAT, LAYOUT):
        raise IntegrityError(
            f"{file} is a backup in format {said.format} of a home with layout {said.layout};"
            f" this version of the platform knows format {FORMAT} and layout {LAYOUT}: restore"
            " it with the version that made it.",
            code="BACKUP_DAMAGED",
        )
    if outside := [name for name in said.files if not _inside(name)]:
        raise IntegrityError(
            f"{file} names {outside[0]!r}, which would lie outside the home: nothing was restored.",
            code="BACKUP_DAMAGED",
        )
    stored = sorted(archive.namelist())
    listed = sorted([MANIFEST, *(INSIDE + name for name in said.files)])
    if stored != listed:
        odd = sorted(set(stored) ^ set(listed)) or [
            name for name in stored if stored.count(name) > 1
        ]
        raise IntegrityError(
            f"{file} does not hold what its {MANIFEST} lists ({odd[0]}): nothing was restored.",
            code="BACKUP_DAMAGED",
        )
    return said


def _read_all(archive: zipfile.ZipFile) -> bytes:
    stream: IO[bytes]
    with archive.open(MANIFEST) as stream:
        return stream.read()


def _inside(name: str) -> bool:
    path = PurePath(
        name
    )  # in the words of this system: a colon or backslash leads out of a folder on Windows only
    return (
        path.as_posix() == name and not path.anchor and path.name != "" and ".." not in path.parts
    )


def room_for(said: Archive, folder: Path) -> None:
    """Refuse before anything is written when the disk cannot take all files.

    Raises:
        UsageError: it cannot.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < said.size:
        raise UsageError(
            f"The backup needs {said.size / 1e6:,.0f} MB and {folder} has {free / 1e6:,.0f} MB"
            " free.",
            code="DISK_FULL",
        )


def archive_digest(file: Path) -> str:
    """The sha256 by which the ledger names an archive."""
    return sha256_file(file)


def restore(file: Path, home: Services, on_file: OnFile = lambda _name, _size: None) -> Archive:
    """Put the home in `file` where `home` is to be; until everything is verified that place
    stays as it is.

    Verified: every file's sha256, the ledger's chain with its head, every release's digests.
    The receipt "home restored" and the artifacts' new addresses are written before the rename,
    so a kill leaves no home without them.

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
        unpacked = Services(home.settings.model_copy(update={"home": staging}), home.now)
        verify_restored(unpacked, said)
        relocate(staging / "mlflow.db", place / "artifacts")
        unpacked.ledger.append(
            HomeRestored(
                subject=str(place),
                before=said.home,
                after=str(place),
                reason=(
                    f"Restored from the backup of {said.made_at[:19]}: {len(said.files)} files,"
                    " all as recorded."
                ),
                archive=archive_digest(file),
                receipts=said.receipts,
                head=said.head,
            )
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
        raise UsageError(
            f"{place} is not empty: a restore never replaces a home; name another with --home.",
            code="HOME_NOT_EMPTY",
        )
    return place


def verify_restored(home: Services, said: Archive) -> None:
    """Compare what was unpacked with itself.

    Raises:
        IntegrityError: the ledger's chain is broken or another one, or a release was changed.
    """
    pointer = home.releases.pointer()
    for anchor in (said.head, None if pointer is None else pointer.ledger_head):
        if broken := home.ledger.verify(anchor):
            raise IntegrityError(
                f"The ledger in the backup does not hold, at receipt {broken.sequence}:"
                f" {broken.detail}; nothing was restored, take an older backup.",
                code="BACKUP_DAMAGED",
            )
    for version in home.releases.versions():
        home.releases.verify(version)
