"""What a person names as a delivery (a folder, files, zip archives), as one folder of table
files.
"""

import contextlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Contract
from churn_platform.ingestion.delivered_file import stem_of, suffix_of, table_files

ZIP = ".zip"


@dataclass(frozen=True)
class Delivery:
    """The folder with the files, and what the person named."""

    folder: Path
    named: tuple[Path, ...]

    def named_as(self, drop: Path) -> tuple[Path, ...]:
        """What to name for the files of `drop`, which is `folder` or one within it."""
        within = drop.relative_to(self.folder)
        if self.named[0].is_dir():
            return (self.named[0] / within,)
        return self.named


@contextlib.contextmanager
def delivery(
    named: Sequence[Path], contract: Contract | None = None, place: Path | None = None
) -> Iterator[Delivery]:
    """The named files in one folder, unpacked where they are zipped.

    A folder without zip archives is used as it is. A single file is the contract's table where
    it has only one.

    Args:
        named: a folder, or files.
        contract: the contract, where there is one.
        place: where archives are unpacked; by default among the system's temporary files, which
            may be memory.

    Raises:
        UsageError: one is missing, not a file of a table, or not a valid archive; or two files
            have one name.
    """
    for path in named:
        if not path.exists():
            raise UsageError(
                f"{path} does not exist: name the folder with a month's files, or the files.",
                code="DROP_MISSING",
            )
    first = named[0].resolve()
    if (
        len(named) == 1
        and first.is_dir()
        and not any(_archives(folder) for folder in (first, *_folders(first)))
    ):
        yield Delivery(named[0], tuple(named))
        return
    with tempfile.TemporaryDirectory(prefix=".delivery.", suffix=".tmp", dir=place) as temporary:
        folder = Path(temporary) / (first.name if first.is_dir() else first.parent.name or "files")
        folder.mkdir()
        for path in named:
            _put(path, folder)
        _name_the_only(folder, contract)
        yield Delivery(folder, tuple(named))


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _archives(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() == ZIP and path.is_file()
    )


def _put(path: Path, folder: Path) -> None:
    """Link or unpack what a path names into a folder; a folder of folders stays one."""
    if path.is_dir():
        for paths in table_files(path).values():
            for own in paths:
                _put(own, folder)
        for archive in _archives(path):
            _put(archive, folder)
        for inner in _folders(path):
            target = folder / inner.name
            if target.exists():
                raise UsageError(
                    f"{inner}: there are two folders named {inner.name}. Name one of them at a"
                    " time."
                )
            target.mkdir()
            _put(inner, target)
    elif path.suffix.lower() == ZIP:
        _unpack(path, folder)
    elif suffix_of(path):
        _free(folder / path.name, path).symlink_to(path.resolve())
    else:
        raise UsageError(
            f"{path} is not a table: name .csv, .csv.gz or .parquet files, or .zip archives of"
            " them."
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
                    f"{path} holds no .csv, .csv.gz or .parquet file.", code="DROP_MISSING"
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
