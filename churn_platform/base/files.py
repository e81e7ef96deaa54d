"""Atomic writes: temporary name next to the target, fsync, rename.

The only place that knows how.
"""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from churn_platform.base.errors import IntegrityError


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to `target`; on success fsync it and rename it over `target`.

    On any error the temporary file is removed and `target` is untouched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        fsync_file(temporary)
        temporary.replace(target)
        fsync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8 to `target`, atomically."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:  # noqa: ANN401 - whatever json can hold
    """Write `value` as indented JSON; NaN and infinity are refused, they are not JSON."""
    write_text(target, as_json(value))


def as_json(value: Any) -> str:  # noqa: ANN401 - whatever json can hold
    """The text that `write_json` writes for `value`."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


class Fields(dict[str, Any]):
    """A JSON object of a file; a field that it lacks is a fault of the file, not of the
    program.
    """

    def __init__(
        self,
        values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        source: Path | None = None,
    ) -> None:
        # Without a source: `dataclasses.asdict` makes copies of mappings by their type.
        super().__init__(values)
        self._source = source

    def __missing__(self, name: str) -> Any:  # noqa: ANN401 - whatever json can hold
        raise IntegrityError(
            f"{self._source or 'A record'} has no field {name!r}: it was changed; put it back"
            " from a backup."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def read_json(source: Path) -> Any:  # noqa: ANN401 - whatever json can hold
    """The JSON value in `source`.

    Raises:
        IntegrityError: the file is not valid JSON. Reading a field that an object lacks raises
            it later.
    """
    try:
        return json.loads(
            source.read_text(encoding="utf-8"),
            object_hook=lambda values: Fields(values, source),
        )
    except ValueError as error:  # also bytes that are no UTF-8
        raise IntegrityError(
            f"{source} is not valid JSON ({error}); put it back from a backup."
        ) from None


def sha256_file(source: Path) -> str:
    """Hex sha256 of the file's bytes."""
    with source.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fsync_file(path: Path) -> None:
    """Flush a closed file to the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def fsync_folder(folder: Path) -> None:
    """Flush a folder's entries, so a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
