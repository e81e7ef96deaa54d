"""Drops: the files delivered for one as_of, how a change of them is recognised, and what a
person may name as a delivery.
"""

import contextlib
import datetime as dt
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import UsageError
from churn_platform.base.files import sha256_file, write_json
from churn_platform.contract.model import Contract
from churn_platform.ingestion.delivered_file import stem_of, suffix_of, table_files

SUCCESS = "_SUCCESS"
INCOMING = "_INCOMING"
READING = "(reading)"
"""No table has this name."""
BY_CONTENT = "content:"
"""How a fingerprint of content begins; earlier versions recorded one of names, sizes and
modification times.
"""
ZIP = ".zip"
SETTLED = 1_000_000_000
"""Nanoseconds after a change in which a digest is not remembered: another write may carry the
same time.
"""
MOST_UNLIKE = 1000
UNLIKE = "(unlike what was published)"
"""In the memory next to the files: fingerprints of drops. No file has this name."""


class Reading(BaseModel):
    """The digest of a file, and what the file was like when it was read."""

    stat: list[int]
    sha256: str


class DigestMemory(BaseModel, extra="allow"):
    """What is remembered of the files of drops: name -> reading."""

    __pydantic_extra__: dict[str, Reading] = Field(init=False)
    unlike: list[str] = Field(default=[], alias=UNLIKE)
    """Fingerprints of drops that differ from what was published."""

    @property
    def files(self) -> dict[str, Reading]:
        """Name -> reading."""
        return self.__pydantic_extra__


class FileDigests:
    """sha256 of the files under `folder`, remembered in the file `memory` between processes.

    A file counts as unchanged while its size, times and inode are those of the reading. A copy
    or a restore changes them: each file is then read once more, and the digest is the same.
    Without `memory` nothing is remembered.
    """

    def __init__(self, folder: Path | None = None, memory: Path | None = None) -> None:
        self._folder = folder
        self._memory = memory
        self._unsaved = False
        self.saves = True
        """Whether `save` writes; a home that is only read stays as it is."""

    def of(self, path: Path) -> str:
        """Hex sha256 of the file's bytes."""
        if self._folder is None or self._memory is None or not path.is_relative_to(self._folder):
            return sha256_file(path)
        name = path.relative_to(self._folder).as_posix()
        seen = _stat(path)
        known = self._known.files.get(name)
        if known is not None and known.stat == seen:
            return known.sha256
        digest = sha256_file(path)
        changed = max(path.stat().st_mtime_ns, path.stat().st_ctime_ns)
        if _stat(path) == seen and time.time_ns() - changed > SETTLED:
            self._known.files[name] = Reading(stat=seen, sha256=digest)
            self._unsaved = True
        return digest

    def is_unlike_published(self, fingerprint: str) -> bool:
        """Whether a drop was read before and differs from what was published."""
        return fingerprint in self._known.unlike

    def note_unlike_published(self, fingerprint: str) -> None:
        """Remember that the drop differs from what was published, so it is not read again."""
        self._known.unlike = [*self._known.unlike, fingerprint][-MOST_UNLIKE:]
        self._unsaved = True
        self.save()

    def save(self) -> None:
        """Write what was read since the last time. In a home that cannot be written, each
        process reads the files again.
        """
        if not (self._unsaved and self.saves) or self._folder is None or self._memory is None:
            return
        for name in [name for name in self._known.files if not (self._folder / name).exists()]:
            del self._known.files[name]
        with contextlib.suppress(OSError):
            write_json(self._memory, self._known.model_dump(by_alias=True, exclude_defaults=True))
        self._unsaved = False

    @cached_property
    def _known(self) -> DigestMemory:
        if self._memory is not None:
            with contextlib.suppress(OSError, ValidationError):
                return DigestMemory.model_validate_json(self._memory.read_bytes())
        return DigestMemory()


def _stat(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


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

    @property
    def deliverable(self) -> bool:
        """Whether there are files, and `churn ingest` is not copying them at this moment."""
        return bool(self._all) and not (self.folder / INCOMING).exists()

    def settled(self, now: dt.datetime, quiet_seconds: float) -> bool:
        """Whether the files have stopped changing."""
        return self.marked_complete or now.timestamp() - self.last_change >= quiet_seconds

    @property
    def fingerprint(self) -> str:
        """Changes when a file is added, removed or renamed, has other bytes, or is read in
        another way; a copy has the same.

        A file that cannot be read counts by its size and time: validation names it.
        """
        content: dict[str, Any] = {
            name: [path.name, *self._content(path)] for name, path in self._all.items()
        }
        self.digests.save()  # after each drop: a process that is killed keeps what it has read
        if self.reading:
            content[READING] = dict(self.reading)
        return BY_CONTENT + digest_of(content)

    def fingerprint_as(self, recorded: str | None) -> str:
        """`recorded` where it is of an earlier version and still holds; otherwise the drop's
        own fingerprint.
        """
        if recorded is None or recorded.startswith(BY_CONTENT) or self.reading:
            return self.fingerprint
        if recorded == self.by_times:
            return recorded
        return self.fingerprint

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

    def _content(self, path: Path) -> list[Any]:
        try:
            return [self.digests.of(path)]
        except OSError:
            found = path.stat()
            return ["unreadable", found.st_size, found.st_mtime_ns]

    @property
    def _all(self) -> dict[str, Path]:
        return self.files | {f"{name} (double)": path for name, path in self.doubles.items()}


def find_drops(folder: Path, contract: Contract, digests: FileDigests | None = None) -> list[Drop]:
    """Every drop under `folder`, oldest first; each is in a sub-folder named by its as_of.

    A folder that `churn ingest` is still writing is not a drop yet.
    """
    drops = []
    for entry in sorted(folder.glob("*")):
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


def newest_drop(folder: Path, contract: Contract) -> dt.date | None:
    """The newest as_of that has a drop; None without one."""
    return max((drop.as_of for drop in find_drops(folder, contract)), default=None)


def open_drop(
    folder: Path, as_of: dt.date, contract: Contract, digests: FileDigests | None = None
) -> Drop:
    """The drop in `folder`; files that are not of a table of the contract are ignored."""
    contract = contract.delivery(as_of)
    found = table_files(folder)
    of_table = {table: found.get(contract.file_stem(table), []) for table in contract.deliverable}
    files = {table: paths[0] for table, paths in of_table.items() if paths}
    doubles = {table: paths[1] for table, paths in of_table.items() if paths[1:]}
    changes = [path.stat().st_mtime for path in (*files.values(), *doubles.values())]
    return Drop(
        as_of,
        folder,
        files,
        max(changes, default=0.0),
        (folder / SUCCESS).exists(),
        doubles,
        digests or FileDigests(),
        contract.reading,
    )


@dataclass(frozen=True)
class SourceFolder:
    """A folder of table files, and what the person named to get it."""

    folder: Path
    named: tuple[Path, ...]

    def named_as(self, drop: Path) -> tuple[Path, ...]:
        """What to name for the files of `drop`, which is `folder` or one within it."""
        within = drop.relative_to(self.folder)
        if self.named[0].is_dir():
            return (self.named[0] / within,)
        return self.named


@contextlib.contextmanager
def source_folder(
    named: Sequence[Path], contract: Contract | None = None, place: Path | None = None
) -> Iterator[SourceFolder]:
    """The named files in one folder, unpacked where they are zipped.

    A folder without zip archives is used as it is. A single file is the contract's table where
    it has only one. A `UsageError` about the folder names what the person named instead.

    Args:
        named: a folder, or files.
        contract: the contract, where there is one.
        place: where archives are unpacked; by default among the system's temporary files, which
            may be memory.

    Raises:
        UsageError: a file is missing, is not the file of a table, or is not a valid archive; or
            two files have one name.
    """
    for path in named:
        if not path.exists():
            raise UsageError(
                f"{path} does not exist: name the folder with a month's files, or the files.",
                code="DROP_MISSING",
            )
    first = named[0].resolve()
    inside = (*first.glob("*"), *first.glob("*/*"))
    zipped = any(path.suffix.lower() == ZIP and path.is_file() for path in inside)
    if len(named) == 1 and first.is_dir() and not zipped:
        yield SourceFolder(named[0], tuple(named))
        return
    with tempfile.TemporaryDirectory(prefix=".delivery.", suffix=".tmp", dir=place) as temporary:
        folder = Path(temporary) / (first.name if first.is_dir() else first.parent.name or "files")
        folder.mkdir()
        for path in named:
            _put(path, folder)
        _name_the_only(folder, contract)
        try:
            yield SourceFolder(folder, tuple(named))
        except UsageError as error:
            error.args = (str(error).replace(str(folder), ", ".join(map(str, named))),)
            raise


def _put(path: Path, folder: Path) -> None:
    """Link or unpack what a path names into a folder; a folder of folders stays one."""
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            target = folder / entry.name
            if not entry.is_dir():
                if suffix_of(entry) or entry.suffix.lower() == ZIP:
                    _put(entry, folder)
            elif target.exists():
                raise UsageError(
                    f"{entry}: there are two folders named {entry.name}. Name one of them at a"
                    " time."
                )
            else:
                target.mkdir()
                _put(entry, target)
    elif path.suffix.lower() == ZIP:
        _unpack(path, folder)
    elif suffix_of(path):
        _free(folder / path.name, path).symlink_to(path.resolve())
    else:
        raise UsageError(
            f"{path} is not a table: name .csv, .csv.gz or .parquet files, or .zip archives of"
            f" them. A text file with columns needs such a name: copy it to {path.stem}.csv."
        )


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                member
                for member in archive.infolist()
                if suffix_of(Path(member.filename)) and not member.filename.startswith("__MACOSX")
            ]
            if not members:
                raise UsageError(
                    f"{path} contains no .csv, .csv.gz or .parquet file.", code="DROP_MISSING"
                )
            for member in members:
                target = _free(folder / PurePosixPath(member.filename).name, path)
                with archive.open(member) as source, target.open("wb") as unpacked:
                    shutil.copyfileobj(source, unpacked)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise UsageError(
            f"{path} cannot be unpacked: {error}. Make the archive again, without a password.",
            code="FILE_UNREADABLE",
        ) from None


def _free(target: Path, source: Path) -> Path:
    if target.exists():
        raise UsageError(
            f"{source}: there are two files named {target.name}; a table has one file."
        )
    return target


def _name_the_only(folder: Path, contract: Contract | None) -> None:
    """Give a single file the name of the contract's only table, unless its name is one of the
    contract's.
    """
    files = [path for paths in table_files(folder).values() for path in paths]
    if contract is None or len(contract.tables) > 1 or len(files) > 1 or not files:
        return
    [file] = files
    if stem_of(file) not in {contract.file_stem(table) for table in contract.deliverable}:
        [table] = contract.tables
        file.rename(folder / f"{contract.file_stem(table)}{suffix_of(file)}")
