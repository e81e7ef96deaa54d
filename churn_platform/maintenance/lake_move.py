"""Moves the files of a home's lake to another place, and frees the disk of copies."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from churn_platform.base.errors import IntegrityError, StoreDown
from churn_platform.base.home import Home
from churn_platform.base.text import counted
from churn_platform.lake.lake import Lake
from churn_platform.lake.place import Place
from churn_platform.lake.place_files import (
    PlaceListing,
    PublishedFile,
    missing_files,
    published_files,
)
from churn_platform.ledger.acts import LakeMoved
from churn_platform.ledger.store import LedgerStore

OWN_FOLDER = "home"
"""The name of the home's own folder as a place."""


@dataclass(frozen=True)
class LakeSummary:
    """Where the files of a lake are.

    Attributes:
        place: A URI, or `home`.
        files: Number of files that the manifests name.
        here: How many of them are on this disk.
        bytes_here: Their size.
        missing: How many are neither here nor at the place.
    """

    place: str
    files: int
    here: int
    bytes_here: int
    missing: int


@dataclass(frozen=True)
class LakeMove:
    """Moves the lake of one home."""

    home: Home
    lake: Callable[[], Lake]
    """Opened late: a home at a wrong place must still be moved."""
    ledger: LedgerStore

    def summary(self) -> LakeSummary:
        """Where the files are now.

        Raises:
            StoreDown: the place does not answer.
        """
        lake = self.lake()
        files = [one.file for one in published_files(lake)]
        here = [file for file in files if file.local.exists()]
        return LakeSummary(
            place=_name(lake.place),
            files=len(files),
            here=len(here),
            bytes_here=sum(file.local.stat().st_size for file in here),
            missing=len(missing_files(lake)),
        )

    def move(self, target: str) -> LakeSummary:
        """Copy every file to a place, compare it there, then use that place; `home` is the
        folder of the home. Files stay where they were.

        Raises:
            UsageError: `target` is not a place.
            IntegrityError: a file is damaged or gone; the lake stays where it was.
            StoreDown: a place does not answer; the lake stays where it was.
            HomeBusy: a run holds the home.
        """
        folder = self.home.folder / "lake"
        place = None if target == OWN_FOLDER else Place(target.rstrip("/"), folder)
        with self.home.exclusive("`churn lake --move`"):
            self.finish()
            lake = self.lake()
            before = _name(lake.place)
            if before == _name(place):
                return self.summary()
            if place is not None:
                place.prepare()
                place.join()
            for one in published_files(lake):
                _check(one)
                if place is not None:
                    place.put(one.file.path, one.file.entry)
            self.home.name_lake("" if place is None else place.uri, secrets.token_hex(8), before)
            self.finish()
            if lake.place is not None:
                with suppress(StoreDown):  # the move is complete; a person can delete the note
                    lake.place.leave()
        moved = Lake(lake.folder, lake.contract, place)
        return LakeMove(self.home, lambda: moved, self.ledger).summary()

    def finish(self) -> str | None:
        """Write the receipt of a move that was cut off after the switch; the sentence of it, or
        None. The caller holds the home.
        """
        note = self.home.note()
        move = note.get("move")
        recorded = {LakeMoved.of(receipt).move for receipt in self.ledger.receipts("lake moved")}
        if move is None or move in recorded:
            return None
        files = sum(1 for _ in published_files(self.lake()))
        after = str(note.get("lake", OWN_FOLDER))
        reason = f"{counted(files, 'file')} of the lake are at the new place, compared one by one."
        self.ledger.append(
            LakeMoved(
                subject="lake",
                before=str(note["moved_from"]),
                after=after,
                reason=reason,
                move=str(move),
                files=files,
            )
        )
        return reason

    def clear(self) -> LakeSummary:
        """Delete the copies on this disk of files that are at the place.

        Raises:
            StoreDown: the place does not answer; nothing was deleted.
            HomeBusy: a run holds the home.
        """
        with self.home.exclusive("`churn lake --clear`"):
            lake = self.lake()
            if lake.place is not None:
                listing = PlaceListing.of(lake, lake.place)
                for one in listing.files:
                    if listing.is_complete(one):
                        one.file.local.unlink(missing_ok=True)
            return self.summary()


def _check(one: PublishedFile) -> None:
    """Have a file on this disk; refuse to move one that is not what was published."""
    local = one.file.local
    one.file.fetch()
    if not local.exists():
        raise IntegrityError(f"{local} is gone. Nothing was moved. Restore it from a backup.")
    if not one.is_intact:
        raise IntegrityError(
            f"{local} is not what was published. Nothing was moved. `churn doctor --fix`"
            " fetches it again if it is at the place; else restore it from a backup."
        )


def _name(place: Place | None) -> str:
    return OWN_FOLDER if place is None else place.uri
