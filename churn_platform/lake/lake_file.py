"""One file of a lake: on this disk, at the lake's place, or both."""

from dataclasses import dataclass
from pathlib import Path

from churn_platform.lake.deliveries import TableEntry
from churn_platform.lake.place import Place


@dataclass(frozen=True)
class LakeFile:
    """One file of a lake.

    Attributes:
        entry: What its manifest says of it.
        local: Where it is on this disk, if it is here.
        place: Where it is besides; None if only here.
    """

    entry: TableEntry
    local: Path
    place: Place | None

    @property
    def path(self) -> Path:
        """The file on this disk, fetched if it is only at the place."""
        self.fetch()
        return self.local

    def fetch(self) -> None:
        """Copy the file to this disk unless it is here.

        Raises:
            IntegrityError: the place has no such file, or another.
            LakeUnreachable: the place does not answer.
        """
        if self.place is not None and not self.local.exists():
            self.place.fetch(self.entry, self.local)
