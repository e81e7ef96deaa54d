"""sha256 of the files of a folder, remembered between processes, so an unchanged file is read
once.

A file counts as unchanged while its size, times and inode are those of the reading. A copy or a
restore changes them: each file is then read once more, and the digest is the same.
"""

import contextlib
import time
from pathlib import Path
from typing import Any

from churn_platform.base.errors import IntegrityError
from churn_platform.base.files import read_json, sha256_file, write_json

SETTLED = 1_000_000_000
"""Nanoseconds after a change during which a digest is not remembered: another write may carry
the same time.
"""


MOST_UNLIKE = 1000
UNLIKE = "(unlike what was published)"
"""In the memory next to the files: fingerprints of drops. No file has this name."""


class FileDigests:
    """The digests of the files under `folder`, remembered in the file `memory`; without one
    nothing is remembered.
    """

    def __init__(self, folder: Path | None = None, memory: Path | None = None) -> None:
        self._folder = folder
        self._memory = memory
        self._known: dict[str, Any] | None = None
        self._unsaved = False

    def of(self, path: Path) -> str:
        """Hex sha256 of the file's bytes."""
        seen = _stat(path)
        name = self._name(path)
        if (
            name is not None
            and isinstance(known := self._remembered().get(name), dict)
            and known.get("stat") == seen
        ):
            return str(known["sha256"])
        digest = sha256_file(path)
        changed = max(path.stat().st_mtime_ns, path.stat().st_ctime_ns)
        if name is not None and _stat(path) == seen and time.time_ns() - changed > SETTLED:
            self._remembered()[name] = {"stat": seen, "sha256": digest}
            self._unsaved = True
        return digest

    def is_unlike_published(self, fingerprint: str) -> bool:
        """Whether a drop was read before and does not hold what was published, so that it need
        not be read again.
        """
        return fingerprint in self._remembered().get(UNLIKE, [])

    def note_unlike_published(self, fingerprint: str) -> None:
        """Remember that the drop does not hold what was published."""
        self._remembered()[UNLIKE] = [*self._remembered().get(UNLIKE, []), fingerprint][
            -MOST_UNLIKE:
        ]
        self._unsaved = True
        self.save()

    def save(self) -> None:
        """Write what was read since the last time; a home that cannot be written is read again
        by each process.
        """
        if not self._unsaved or self._folder is None or self._memory is None:
            return
        known = {
            name: entry
            for name, entry in self._remembered().items()
            if name == UNLIKE or (self._folder / name).exists()
        }
        with contextlib.suppress(OSError):
            write_json(self._memory, known)
        self._unsaved = False

    def _name(self, path: Path) -> str | None:
        if self._folder is None or self._memory is None or not path.is_relative_to(self._folder):
            return None
        return path.relative_to(self._folder).as_posix()

    def _remembered(self) -> dict[str, Any]:
        if self._known is None:
            self._known = {}
            with contextlib.suppress(OSError, IntegrityError):
                found = read_json(self._memory) if self._memory is not None else {}
                self._known = found if isinstance(found, dict) else {}
        return self._known


def _stat(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
