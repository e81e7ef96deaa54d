"""Puts right what a lake has at its place, and erases a customer there."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from churn_platform.audit.lake_checks import manifest_faults
from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.base.files import sha256_file
from churn_platform.base.text import counted
from churn_platform.lake.lake import Lake
from churn_platform.lake.place import Place
from churn_platform.lake.place_files import PlaceListing, PublishedFile, published_files
from churn_platform.ledger.receipts import Receipt
from churn_platform.maintenance.erasure_plan import FileChange

A_DAY = dt.timedelta(days=1)
"""A younger object may belong to a run that has not written its manifest yet."""


@dataclass(frozen=True)
class PlaceRepair:
    """One fault at a place and what was done, or why not."""

    done: bool
    says: str


def repaired(
    lake: Lake, place: Place, receipts: Sequence[Receipt], now: dt.datetime
) -> Iterator[PlaceRepair]:
    """Repair what copies on this disk and objects at the place prove of each other.

    Args:
        lake: the lake; the caller holds its home.
        place: its place.
        receipts: the ledger.
        now: the present, by which the age of objects is known.

    Raises:
        StoreDown: the place does not answer.
    """
    listing = PlaceListing.of(lake, place)
    for one in listing.files:
        if (found := _repaired_file(listing, one)) is not None:
            yield found
    old = [one for one in listing.unnamed if one.written is not None and now - one.written > A_DAY]
    if not old:
        return
    objects = f"{counted(len(old), 'object')} at {place.uri} that no manifest names"
    if reason := why_not_deleted(lake, place, receipts):
        yield PlaceRepair(done=False, says=f"{objects}: not deleted. {reason}")
        return
    for unnamed in old:
        place.delete_object(unnamed.name)
    size = sum(one.size for one in old) / 1e6
    yield PlaceRepair(done=True, says=f"{objects}: deleted ({size:,.1f} MB).")


def _repaired_file(listing: PlaceListing, one: PublishedFile) -> PlaceRepair | None:
    local = one.file.local
    entry = one.file.entry
    if not local.exists():
        return None  # one that is nowhere is reported with the files of the lake
    if one.is_intact:
        if listing.is_complete(one):
            return None
        listing.place.put(local, entry)
        return PlaceRepair(done=True, says=f"{entry.file} was put at {listing.place.uri} again.")
    try:
        listing.place.fetch(entry, local)
    except IntegrityError as error:
        says = f"{local} is damaged, and so is its object: {error}"
        return PlaceRepair(done=False, says=says)
    return PlaceRepair(done=True, says=f"{local} was damaged and fetched again.")


def why_not_deleted(lake: Lake, place: Place, receipts: Sequence[Receipt]) -> str:
    """Why objects that no manifest names must stay; empty if they may go."""
    others = place.other_homes()
    if others:
        return shared_sentence(place, others)
    # A lost manifest makes every object of its month look unnamed.
    return next(manifest_faults(lake, receipts), "")


def shared_sentence(place: Place, others: Mapping[str, str]) -> str:
    """Which other homes keep files at a place, and what to do about it."""
    note, folder = next(iter(others.items()))
    return (
        f"The home {folder} keeps files at {place.uri} too. Give one of the two a place of its own"
        f" (`churn lake --move`). If that home no longer exists, delete its note {note}."
    )


def prepare_erasure(lake: Lake, place: Place, receipts: Sequence[Receipt]) -> list[str]:
    """Have every file of the lake on this disk as it was published.

    Returns:
        The names of the objects that no manifest names. They are deleted with the customer's
        rows, because they may contain some.

    Raises:
        UsageError: another home keeps files at the place; nothing was erased.
        IntegrityError: a file is damaged or gone, or objects cannot be told from lost ones.
        StoreDown: the place does not answer, or cannot be written.
    """
    others = place.other_homes()
    if others:
        raise UsageError(
            f"{shared_sentence(place, others)} Nothing was erased.", code="LAKE_SHARED"
        )
    place.check_writable()
    unnamed = [one.name for one in PlaceListing.of(lake, place).unnamed]
    if unnamed and (fault := next(manifest_faults(lake, receipts), "")):
        raise IntegrityError(
            f"{counted(len(unnamed), 'object')} at {place.uri} may contain the customer, and no"
            f" manifest names them: {fault}. Nothing was erased."
        )
    for one in published_files(lake):
        if not one.is_intact:
            place.fetch(one.file.entry, one.file.local)
    return unnamed


def put_changed(place: Place, changes: Mapping[str, FileChange], folders: Sequence[Path]) -> None:
    """Put the new files of an erasure at the place.

    Args:
        place: the place.
        changes: the files below the folder of the lake that change.
        folders: where a new file is, in the order of the search.

    Raises:
        StoreDown: the place does not answer.
    """
    for file, change in changes.items():
        for folder in folders:
            source = folder / file
            if source.exists() and sha256_file(source) == change.after:
                place.put_file(source, file, change.after)
                break
