"""Where a lake keeps its files besides the disk of the home: object storage or a shared folder.

An object is named by its content and never changes, so a write that is repeated or cut off harms
nothing. What it means is in the manifests, which stay in the home.
"""

import json
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from churn_platform.base.errors import IntegrityError, LakeUnreachable, StoreDown, UsageError
from churn_platform.base.files import read_json, replacing, sha256_file, write_json
from churn_platform.base.settings import environment_of
from churn_platform.lake.deliveries import TableEntry
from churn_platform.lake.place_uri import EXAMPLE, why_not_a_place

if TYPE_CHECKING:
    import datetime as dt

    from pyarrow.fs import FileSystem

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Other S3 clients read their server from these variables; Arrow does not."""
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
HOMES = ".homes"
"""Below the prefix: a note of each home that puts files there. No table has such a name."""
USER_FILE = "place_user.json"
"""In the folder of the lake: the name by which the home is noted at its place."""
CHUNK = 16 * 2**20
"""Bytes of one request when a file is read."""
DENIED = re.compile("ACCESS_DENIED|PERMISSION_DENIED|403")
REASON = 300
"""Characters of a client's message that ours quotes."""


@dataclass(frozen=True)
class Patience:
    """How long the client of a store waits: for a connection and an answer, in seconds, and how
    often it tries.
    """

    connection: float
    answer: float
    attempts: int


PATIENT = Patience(10, 60, 5)
"""For what a run reads and writes. Google's client tries as often as the minute allows."""
QUICK = Patience(2, 5, 1)
"""For the question whether a run can start."""


@dataclass(frozen=True)
class StoredObject:
    """An object at a place: its name below the prefix, its bytes, and when it was written."""

    name: str
    size: int
    written: "dt.datetime | None"


@dataclass(frozen=True)
class Place:
    """A prefix on object storage, or a folder, as a URI. Building it connects to nothing.

    Attributes:
        uri: the URI.
        lake: the folder of the lake that keeps its files here; None to leave no note of it.
        copies: where files are fetched to; None for the folder of the lake.
        holds: what is here, for messages.
        unreachable: the error if the store does not answer.
    """

    uri: str
    lake: Path | None = None
    copies: Path | None = None
    holds: str = "lake"
    unreachable: type[StoreDown] = LakeUnreachable

    def __post_init__(self) -> None:
        """Check the form.

        Raises:
            UsageError: it is not such a URI, or may contain a login.
        """
        reason = why_not_a_place(self.uri)
        if reason is not None:
            raise UsageError(
                f"Invalid URI for a {self.holds} (not shown, it may contain a login): {reason}. It"
                f" must be like {EXAMPLE}. A login belongs in the variables that the store's own"
                " tools read, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
                code="SETTING_INVALID",
            )

    def prepare(self) -> None:
        """Make a shared folder that is not there yet. A bucket must exist.

        Raises:
            LakeUnreachable: it cannot be made.
        """
        if self._is_folder:
            with self._answering():
                Path(self._root).mkdir(parents=True, exist_ok=True)

    def away(self) -> str | None:
        """Why the store cannot be used now, as a sentence; None if it answers."""
        from pyarrow.fs import FileType

        try:
            with self._answering():
                system, root = self._opened_by(QUICK)
                if system.get_file_info(root).type == FileType.NotFound:
                    self._require_root(system)
        except (StoreDown, UsageError) as error:
            return str(error)
        return None

    def put(self, source: Path, entry: TableEntry) -> None:
        """Copy a file of the disk here, unless it is here.

        Raises:
            LakeUnreachable: the store does not answer.
        """
        self.put_file(source, entry.file, entry.sha256)

    def put_file(self, source: Path, file: str, sha256: str) -> None:
        """Copy a file of the disk here under the name of a file of the lake, unless it is here.

        Raises:
            LakeUnreachable: the store does not answer.
        """
        name = object_name(file, sha256)
        if self._size(name) != source.stat().st_size:
            self.join()
            self._upload(source, name)

    def join(self) -> None:
        """Note that the home keeps files here, so no other home deletes them.

        Raises:
            LakeUnreachable: the store does not answer.
        """
        if self.lake is not None and self._size(self._note) is None:
            self._upload(self.lake / USER_FILE, self._note)

    def leave(self) -> None:
        """Delete the note of the home.

        Raises:
            LakeUnreachable: the store does not answer.
        """
        if self.lake is not None:
            self.delete_object(self._note)

    def other_homes(self) -> dict[str, str]:
        """The notes of other homes that keep files here: URI of the note -> folder of the home.

        Raises:
            LakeUnreachable: the store does not answer.
        """
        notes = {name for name in self._listed(HOMES) if name.endswith(".json")}
        if self.lake is not None and (self.lake / USER_FILE).exists():
            notes.discard(self._note)
        return {f"{self.uri}/{name}": self._folder_in(name) for name in sorted(notes)}

    def check_writable(self) -> None:
        """Write an object and delete it, for a home.

        Raises:
            LakeUnreachable: the store does not answer, or does not allow it.
        """
        if self.lake is None:
            return
        probe = f"{self._note}.probe"
        self._upload(self.lake / USER_FILE, probe)
        self.delete_object(probe)

    def fetch(self, entry: TableEntry, target: Path) -> None:
        """Copy the object of a file to the disk, atomically.

        Raises:
            IntegrityError: there is no such object, or it has another content.
            LakeUnreachable: the store does not answer.
        """
        name = object_name(entry.file, entry.sha256)
        with replacing(target) as temporary:
            self._download(name, temporary)
            found = sha256_file(temporary)
            if found != entry.sha256:
                raise IntegrityError(
                    f"{self.uri}/{name} is not what was published: sha256 {found[:12]},"
                    f" recorded {entry.sha256[:12]}. Restore it from a backup of the store.",
                )

    def fetch_object(self, name: str, target: Path) -> None:
        """Copy an object to the disk by its name, atomically.

        Raises:
            IntegrityError: there is no such object.
            StoreDown: the store does not answer; of the class `unreachable`.
        """
        with replacing(target) as temporary:
            self._download(name, temporary)

    def delete(self, file: str, sha256: str) -> None:
        """Delete the object of a file; one that is gone is deleted.

        Raises:
            LakeUnreachable: the store does not answer.
        """
        self.delete_object(object_name(file, sha256))

    def delete_object(self, name: str) -> None:
        """Delete an object by its name; one that is gone is deleted.

        Raises:
            LakeUnreachable: the store does not answer.
        """
        with self._answering():
            try:
                self._system.delete_file(self._path(name))
            except FileNotFoundError:
                self._require_root(self._system)

    def copy_of(self, local: Path, entry: TableEntry) -> Path:
        """Where the file is on this disk: `local` in the lake's folder, or a copy elsewhere."""
        if self.copies is None or local.exists():
            return local
        return self.copies / object_name(entry.file, entry.sha256)

    def objects(self) -> dict[str, StoredObject]:
        """Name -> object, of everything below the prefix but the notes of homes.

        Raises:
            LakeUnreachable: the store does not answer.
        """
        listed = self._listed()
        return {name: one for name, one in listed.items() if not name.startswith(f"{HOMES}/")}

    def _listed(self, below: str = "") -> dict[str, StoredObject]:
        from pyarrow.fs import FileSelector, FileType

        folder = self._path(below) if below else self._root
        selector = FileSelector(folder, recursive=True, allow_not_found=True)
        with self._answering():
            listed = self._system.get_file_info(selector)
        found = {}
        for info in listed:
            if info.type == FileType.File:
                name = info.path.removeprefix(self._root).lstrip("/")
                found[name] = StoredObject(name, info.size, info.mtime)
        if not found:
            with self._answering():
                self._require_root(self._system)
        return found

    def lacks(self, entries: Collection[TableEntry]) -> list[TableEntry]:
        """The files among these that have no object here.

        Raises:
            LakeUnreachable: the store does not answer.
        """
        if not entries:
            return []
        held = self.objects()
        return [one for one in entries if object_name(one.file, one.sha256) not in held]

    def _folder_in(self, note: str) -> str:
        """The folder of the home that left a note."""
        with self._answering(), self._system.open_input_stream(self._path(note)) as stream:
            content = stream.read()
        try:
            return str(json.loads(content)["home"])
        except (ValueError, LookupError, TypeError):
            return "an unknown folder"

    @cached_property
    def _note(self) -> str:
        """The object that notes the home. A home that is restored elsewhere gets another name."""
        assert self.lake is not None  # noqa: S101 - only a home has a note
        file = self.lake / USER_FILE
        if not file.exists():
            write_json(file, {"name": secrets.token_hex(8), "home": str(self.lake.parent)})
        return f"{HOMES}/{read_json(file)['name']}.json"

    def _upload(self, source: Path, name: str) -> None:
        path = self._path(name)
        with self._answering():
            if self._is_folder:
                self._require_root(self._system)
                with replacing(Path(path)) as temporary:
                    shutil.copyfile(source, temporary)
                return
            # Not `copy_files`: it ignores errors of the last request, and says that all went well.
            with source.open("rb") as read, self._system.open_output_stream(path) as written:
                shutil.copyfileobj(read, written, CHUNK)

    def _download(self, name: str, target: Path) -> None:
        with self._answering():
            try:
                opened = self._system.open_input_stream(self._path(name))
            except FileNotFoundError:
                self._require_root(self._system)
                raise IntegrityError(
                    f"{self.uri}/{name} is gone. Restore it from a backup of the store.",
                ) from None
            with opened as read, target.open("wb") as written:
                shutil.copyfileobj(read, written, CHUNK)

    def _require_root(self, system: "FileSystem") -> None:
        """Without its bucket, or with a share that is not mounted, every object seems gone.

        Raises:
            FileNotFoundError: there is no such bucket or folder.
        """
        from pyarrow.fs import FileType

        root = self._root if self._is_folder else self._root.partition("/")[0]
        try:
            found = system.get_file_info(root)
        except OSError as error:
            if DENIED.search(str(error)):  # a login for this prefix only
                return
            raise
        if found.type == FileType.NotFound:
            kind = "folder" if self._is_folder else "bucket"
            raise FileNotFoundError(f"there is no {kind} {root}")

    def _size(self, name: str) -> int | None:
        with self._answering():
            info = self._system.get_file_info(self._path(name))
        size: int | None = info.size
        return size

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @property
    def _is_folder(self) -> bool:
        return urlsplit(self.uri).scheme == "file"

    @property
    def _root(self) -> str:
        return self._opened[1]

    @property
    def _system(self) -> "FileSystem":
        return self._opened[0]

    @cached_property
    def _opened(self) -> "tuple[FileSystem, str]":
        return self._opened_by(PATIENT)

    def _opened_by(self, patience: Patience) -> "tuple[FileSystem, str]":
        """The client of the store, and the prefix as it names it."""
        with self._answering():
            try:
                return _open(self.uri, patience)
            except ValueError as error:  # Arrow's ArrowInvalid is one
                raise UsageError(
                    f"The {self.holds} at {self.uri} cannot be opened ({_short(error)})."
                    " Correct its URI.",
                    code="SETTING_INVALID",
                ) from None

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn what the clients of stores raise into our error."""
        import pyarrow as pa

        try:
            yield
        except (OSError, pa.ArrowException) as error:
            if getattr(error, "errno", None) is not None and not self._is_folder:
                raise  # this disk: the clients of stores give no number
            raise self.unreachable(
                f"The {self.holds} at {self.uri} does not answer as expected ({_short(error)})."
                " What is published stays as it is. Check its address, its bucket and the login, or"
                " run this again when it answers."
            ) from None


def object_name(file: str, sha256: str) -> str:
    """The name of the object of a file of the lake."""
    path = PurePosixPath(file)
    return str(path.with_name(f"{path.stem}-{sha256[:16]}{path.suffix}"))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:REASON]


def _open(uri: str, patience: Patience) -> "tuple[FileSystem, str]":
    from pyarrow.fs import FileSystem, LocalFileSystem

    parts = urlsplit(uri)
    path = unquote(parts.path).rstrip("/")
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme == "file":
        return LocalFileSystem(), path
    if parts.scheme == "s3":
        return _s3(parts.netloc, options, patience), parts.netloc + path
    if parts.scheme == "gs":
        options = {"retry_limit_seconds": str(patience.answer)} | options
    # Arrow knows which part is the bucket, and wants every other character encoded.
    encoded = parts._replace(path=quote(path), query=urlencode(options))
    system, root = FileSystem.from_uri(encoded.geturl())
    return system, root


def _s3(bucket: str, given: Mapping[str, str], patience: Patience) -> "FileSystem":
    """The client of a bucket, by what its URI gives and by the environment."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

    options: dict[str, Any] = dict(given)
    endpoint = _first(ENDPOINTS)
    if endpoint and "endpoint_override" not in options:
        server = urlsplit(endpoint)
        if server.scheme not in ("http", "https") or not server.netloc or "@" in server.netloc:
            raise ValueError("AWS_ENDPOINT_URL must be like https://host:port")
        options = {"scheme": server.scheme} | options | {"endpoint_override": server.netloc}
    region = _first(REGIONS)
    if region and "region" not in options:
        options["region"] = region
    if "region" not in options and "endpoint_override" not in options:
        options["region"] = resolve_s3_region(bucket)
    return S3FileSystem(
        connect_timeout=patience.connection,
        request_timeout=patience.answer,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=patience.attempts),
        # A file below 5 MB is one request, and nothing stays behind if it is cut off.
        allow_delayed_open=True,
        **options,
    )


def _first(names: tuple[str, ...]) -> str:
    """The first of these variables that is set, empty if none is."""
    return next((value for value in environment_of(names).values() if value), "")
