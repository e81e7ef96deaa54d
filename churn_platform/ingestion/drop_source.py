"""Copy the drops that a business delivers to object storage or a shared folder into the home.

The copy in the home is what is ingested, and it stays when the source is cleared.
"""

import contextlib
import datetime as dt
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ValidationError

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import (
    DropsUnreachable,
    HomeBusy,
    IntegrityError,
    StoreDown,
    UsageError,
)
from churn_platform.base.files import fsync_folder, write_json
from churn_platform.base.home import Home
from churn_platform.ingestion.delivered_file import suffix_of
from churn_platform.ingestion.drop import INCOMING, SUCCESS
from churn_platform.lake.place import Place, StoredObject

NOTE = "_SOURCE.json"
"""In the folder of a copied drop: the listing that was copied. No table has such a name."""
COPYING = ".copying"
PREVIOUS = ".previous"


class ListedFile(BaseModel, frozen=True):
    """A file as the source listed it: bytes, and seconds since the epoch."""

    name: str
    size: int
    written: float | None


class CopiedListing(BaseModel, frozen=True):
    """The note in the folder of a copied drop."""

    uri: str
    files: tuple[ListedFile, ...]


@dataclass(frozen=True)
class SourceDrop:
    """A month at the source."""

    as_of: dt.date
    files: tuple[ListedFile, ...]
    folders: tuple[str, ...]
    """Folders in it that contain files of tables."""
    is_incoming: bool

    def is_complete(self, now: dt.datetime, quiet_seconds: float) -> bool:
        """Whether it contains `_SUCCESS`, or its files have stopped changing."""
        if self.is_incoming:
            return False
        if any(one.name == SUCCESS for one in self.files):
            return True
        times = [one.written for one in self.files if one.written is not None]
        if not times or len(times) < len(self.files):
            return False
        return now.timestamp() - max(times) >= quiet_seconds


@dataclass(frozen=True)
class DropSource:
    """The prefix of `CHURN_DROPS`. Building it connects to nothing."""

    uri: str
    home: Home

    @cached_property
    def _place(self) -> Place:
        return Place(self.uri, holds="source of drops", unreachable=DropsUnreachable)

    def away(self) -> str | None:
        """Why the source cannot be used now, as a sentence; None if it answers."""
        return self._place.away()

    def status(self) -> str:
        """What is there that the home does not have yet, or why the source cannot be used."""
        try:
            drops = self._listed()
        except (StoreDown, UsageError) as error:
            return str(error)
        problems = [problem for drop in drops if (problem := self._why_not_copied(drop))]
        if problems:
            return " ".join(problems)
        due = [str(drop.as_of) for drop in drops if self._is_due(drop)]
        return f"{self.uri}: {', '.join(due) or 'nothing'} to copy at the next run."

    def copy_due(self) -> list[str]:
        """Copy every complete month that differs from what was copied last.

        Returns:
            What needs attention, as sentences. Other months are copied all the same.
        """
        try:
            with self.home.exclusive("copying drops", 0):
                self._complete_swaps()
                return self._copy_due()
        except HomeBusy:
            return []  # a run reads the drops now: the next tick copies
        except (StoreDown, UsageError) as error:  # local drops are processed all the same
            return [str(error)]

    def _copy_due(self) -> list[str]:
        problems = []
        for drop in self._listed():
            if problem := self._why_not_copied(drop):
                problems.append(problem)
            elif self._is_due(drop):
                self._copy(drop)
        return problems

    def _listed(self) -> list[SourceDrop]:
        """The months at the source, oldest first."""
        of_month: dict[dt.date, list[tuple[str, StoredObject]]] = {}
        for name, found in self._place.objects().items():
            folder, _, rest = name.partition("/")
            with contextlib.suppress(ValueError):
                as_of = dt.date.fromisoformat(folder)
                if as_of.isoformat() == folder:
                    of_month.setdefault(as_of, []).append((rest, found))
        return [_drop_of(as_of, of_month[as_of]) for as_of in sorted(of_month)]

    def _why_not_copied(self, drop: SourceDrop) -> str:
        """Why a month cannot be copied, as a sentence; empty if it can."""
        folder = self.home.drops / drop.as_of.isoformat()
        if drop.folders:
            return (
                f"{self.uri}/{drop.as_of}/{drop.folders[0]} is a folder: a table is one file."
                f" Deliver its parts as one file in {self.uri}/{drop.as_of}."
            )
        if self._is_due(drop) and folder.exists() and _noted(folder) is None:
            return (
                f"The drop of {drop.as_of} is in {folder} and at {self.uri}. The one in the home"
                " is used. Move that folder away to use the other."
            )
        return ""

    def _is_due(self, drop: SourceDrop) -> bool:
        settings = self.home.settings
        if not drop.files or not drop.is_complete(self.home.now(), settings.quiet_seconds):
            return False
        noted = _noted(self.home.drops / drop.as_of.isoformat())
        # Files that are gone were ingested: a source is cleared file by file.
        return noted is None or not set(drop.files) <= set(noted.files)

    def _copy(self, drop: SourceDrop) -> None:
        """Copy a month, unless it changes meanwhile. A copy that was cut off is continued."""
        listing = CopiedListing(uri=self.uri, files=drop.files)
        written = listing.model_dump(mode="json")
        month = drop.as_of.isoformat()
        staging = self.home.drops / f".{month}.{digest_of(written)[:16]}{COPYING}"
        for other in self.home.drops.glob(f".{month}.*{COPYING}"):
            if other != staging:
                shutil.rmtree(other)
        staging.mkdir(parents=True, exist_ok=True)
        for one in drop.files:
            target = staging / one.name
            if target.exists():
                continue
            try:
                self._place.fetch_object(f"{month}/{one.name}", target)
            except IntegrityError:  # it is gone, so the next listing is another one
                shutil.rmtree(staging)
                return
        if drop not in self._listed() or not _has_sizes(staging, drop.files):
            shutil.rmtree(staging)
            return
        for one in drop.files:
            if one.written is not None:
                os.utime(staging / one.name, (one.written, one.written))
        write_json(staging / NOTE, written)
        self._swap(staging, self.home.drops / month)

    def _swap(self, staging: Path, target: Path) -> None:
        previous = target.with_name(f".{target.name}{PREVIOUS}")
        if target.exists():
            target.rename(previous)
        staging.rename(target)
        fsync_folder(target.parent)
        if previous.exists():
            shutil.rmtree(previous)

    def _complete_swaps(self) -> None:
        """Put back a drop that a killed process had moved away, or delete it if replaced."""
        for previous in self.home.drops.glob(f".*{PREVIOUS}"):
            target = self.home.drops / previous.name[1:].removesuffix(PREVIOUS)
            if target.exists():
                shutil.rmtree(previous)
            else:
                previous.rename(target)


def _drop_of(as_of: dt.date, found: Sequence[tuple[str, StoredObject]]) -> SourceDrop:
    files = []
    folders = set()
    for name, one in found:
        folder, slash, _ = name.rpartition("/")
        is_table = bool(suffix_of(Path(name)))
        if slash and is_table:
            folders.add(folder)
        elif not slash and (is_table or name == SUCCESS):
            written = None if one.written is None else one.written.timestamp()
            files.append(ListedFile(name=name, size=one.size, written=written))
    return SourceDrop(
        as_of,
        tuple(sorted(files, key=lambda one: one.name)),
        tuple(sorted(folders)),
        any(name == INCOMING for name, _ in found),
    )


def _has_sizes(folder: Path, files: Sequence[ListedFile]) -> bool:
    return all((folder / one.name).stat().st_size == one.size for one in files)


def _noted(folder: Path) -> CopiedListing | None:
    """The listing that was copied into a folder; None if it has no readable note."""
    try:
        return CopiedListing.model_validate_json((folder / NOTE).read_bytes())
    except (OSError, ValidationError):
        return None
