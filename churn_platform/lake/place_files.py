"""The files of a lake with a place: what its manifests name, and what is where."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from churn_platform.base.files import sha256_file
from churn_platform.lake.lake import Lake
from churn_platform.lake.lake_file import LakeFile
from churn_platform.lake.place import Place, StoredObject, object_name


@dataclass(frozen=True)
class PublishedFile:
    """A file that a manifest names first for this table of this month."""

    as_of: dt.date
    table: str
    file: LakeFile

    @property
    def object_name(self) -> str:
        """Its name at the place."""
        return object_name(self.file.entry.file, self.file.entry.sha256)

    @property
    def is_intact(self) -> bool:
        """Whether its copy on this disk is what was published."""
        local = self.file.local
        return local.exists() and sha256_file(local) == self.file.entry.sha256


def published_files(lake: Lake) -> Iterator[PublishedFile]:
    """Every file that a manifest names, once.

    Raises:
        IntegrityError: a manifest cannot be read.
    """
    seen: set[str] = set()
    for as_of in lake.months():
        for delivery in lake.deliveries(as_of):
            for table, entry in delivery.tables.items():
                if entry.file not in seen:
                    seen.add(entry.file)
                    yield PublishedFile(as_of, table, lake.file(entry))


def missing_files(lake: Lake) -> list[PublishedFile]:
    """The files that are neither on this disk nor at the place.

    Raises:
        StoreDown: the place does not answer.
    """
    away = [one for one in published_files(lake) if not one.file.local.exists()]
    if lake.place is None or not away:
        return away
    lacking = {entry.file for entry in lake.place.lacks([one.file.entry for one in away])}
    return [one for one in away if one.file.entry.file in lacking]


@dataclass(frozen=True)
class PlaceListing:
    """What a listing of a place shows of the files of a lake."""

    lake: Lake
    place: Place
    objects: dict[str, StoredObject]

    @classmethod
    def of(cls, lake: Lake, place: Place) -> "PlaceListing":
        """The listing as it is now.

        Raises:
            StoreDown: the place does not answer.
        """
        return cls(lake, place, place.objects())

    @cached_property
    def files(self) -> list[PublishedFile]:
        """Every file that a manifest names."""
        return list(published_files(self.lake))

    @property
    def unnamed(self) -> list[StoredObject]:
        """The objects that no manifest names: what a run that was cut off left, for one."""
        named = {one.object_name for one in self.files}
        return [one for name, one in sorted(self.objects.items()) if name not in named]

    def is_complete(self, one: PublishedFile) -> bool:
        """Whether the place has a file, in the size of its copy on this disk if there is one."""
        found = self.objects.get(one.object_name)
        if found is None:
            return False
        local = one.file.local
        return not local.exists() or local.stat().st_size == found.size
