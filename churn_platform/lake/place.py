"""Where a lake keeps its files besides the disk of the home: object storage or a shared folder.

An object is named by its content and never changes, so a write that is repeated or cut off harms
nothing. What it means is in the manifests, which stay in the home.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from churn_platform.base.errors import IntegrityError, StoreDown, UsageError
from churn_platform.base.files import replacing, sha256_file
from churn_platform.base.settings import environment_of
from churn_platform.lake.deliveries import TableEntry

if TYPE_CHECKING:
    import datetime as dt

    from pyarrow.fs import FileSystem

SCHEMES = ("s3", "gs", "abfs", "abfss", "file")
EXAMPLE = "s3://bucket/prefix"
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Other S3 clients read their server from these variables; Arrow does not."""
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
SECRETS = frozenset({"access_key", "secret_key", "session_token", "account_key", "sas_token"})
CONNECT_SECONDS = 10
REQUEST_SECONDS = 60
ATTEMPTS = 5


@dataclass(frozen=True)
class StoredObject:
    """An object at a place: its name below the prefix, its bytes, and when it was written."""

    name: str
    size: int
    written: "dt.datetime | None"


@dataclass(frozen=True)
class Place:
    """A prefix on object storage, or a folder, as a URI. Building it connects to nothing."""

    uri: str

    def __post_init__(self) -> None:
        """Check the form.

        Raises:
            UsageError: it is no such URI, or holds a secret.
        """
        parts = urlsplit(self.uri)
        if parts.username or parts.password or SECRETS & set(parse_qs(parts.query)):
            raise UsageError(
                "CHURN_LAKE holds a login. Give it in the variables that the store's own tools"
                " read, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
                code="SETTING_INVALID",
            )
        rooted = parts.netloc or parts.scheme == "file"
        if parts.scheme not in SCHEMES or not rooted or not parts.path.strip("/"):
            raise UsageError(
                f"CHURN_LAKE is {self.uri!r}. It must be like {EXAMPLE}, with one of"
                f" {', '.join(SCHEMES)}.",
                code="SETTING_INVALID",
            )

    def put(self, source: Path, entry: TableEntry) -> None:
        """Copy a file of the disk here, unless it is here.

        Raises:
            StoreDown: the store does not answer.
        """
        name = object_name(entry.file, entry.sha256)
        if self._size(name) != source.stat().st_size:
            self._upload(source, name)

    def fetch(self, entry: TableEntry, target: Path) -> None:
        """Copy the object of a file to the disk, atomically.

        Raises:
            IntegrityError: there is no such object, or it has another content.
            StoreDown: the store does not answer.
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

    def delete(self, file: str, sha256: str) -> None:
        """Delete the object of a file; one that is gone is deleted.

        Raises:
            StoreDown: the store does not answer.
        """
        with self._answering():
            try:
                self._system.delete_file(self._path(object_name(file, sha256)))
            except FileNotFoundError:
                return

    def objects(self) -> dict[str, StoredObject]:
        """Name -> object, of everything below the prefix.

        Raises:
            StoreDown: the store does not answer.
        """
        from pyarrow.fs import FileSelector, FileType

        selector = FileSelector(self._root, recursive=True, allow_not_found=True)
        with self._answering():
            listed = self._system.get_file_info(selector)
        found = {}
        for info in listed:
            if info.type == FileType.File:
                name = info.path.removeprefix(self._root).lstrip("/")
                found[name] = StoredObject(name, info.size, info.mtime)
        return found

    def lacks(self, entries: Collection[TableEntry]) -> list[TableEntry]:
        """The files among these that have no object here.

        Raises:
            StoreDown: the store does not answer.
        """
        if not entries:
            return []
        held = self.objects()
        return [one for one in entries if object_name(one.file, one.sha256) not in held]

    def _upload(self, source: Path, name: str) -> None:
        from pyarrow.fs import LocalFileSystem, copy_files

        path = self._path(name)
        target = path
        is_folder = isinstance(self._system, LocalFileSystem)
        with self._answering():
            if is_folder:  # only here can a reader see half a file
                self._system.create_dir(str(PurePosixPath(path).parent))
                target = f"{path}.{os.getpid()}.tmp"
            copy_files(
                str(source),
                target,
                source_filesystem=LocalFileSystem(),
                destination_filesystem=self._system,
                use_threads=False,
            )
            if is_folder:
                self._system.move(target, path)

    def _download(self, name: str, target: Path) -> None:
        from pyarrow.fs import LocalFileSystem, copy_files

        with self._answering():
            try:
                copy_files(
                    self._path(name),
                    str(target),
                    source_filesystem=self._system,
                    destination_filesystem=LocalFileSystem(),
                    use_threads=False,
                )
            except FileNotFoundError:
                raise IntegrityError(
                    f"{self.uri}/{name} is gone. Restore it from a backup of the store.",
                ) from None

    def _size(self, name: str) -> int | None:
        with self._answering():
            info = self._system.get_file_info(self._path(name))
        size: int | None = info.size
        return size

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @cached_property
    def _root(self) -> str:
        parts = urlsplit(self.uri)
        path = parts.path.rstrip("/")
        if parts.scheme == "file":
            return path
        bucket = parts.netloc.partition("@")[0] if parts.scheme.startswith("abfs") else parts.netloc
        return bucket + path

    @cached_property
    def _system(self) -> "FileSystem":
        from pyarrow.fs import FileSystem

        with self._answering():
            if urlsplit(self.uri).scheme == "s3":
                return _s3(self.uri)
            return FileSystem.from_uri(self.uri)[0]

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn what the clients of stores raise into our error."""
        import pyarrow as pa

        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())
            raise StoreDown(
                f"The lake at {self.uri} does not answer as expected ({reason[:300]}). Nothing was"
                " published. Try again when it does.",
                code="LAKE_UNREACHABLE",
            ) from None


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
            StoreDown: the place does not answer.
        """
        if self.place is not None and not self.local.exists():
            self.place.fetch(self.entry, self.local)


def object_name(file: str, sha256: str) -> str:
    """The name of the object of a file of the lake."""
    path = PurePosixPath(file)
    return str(path.with_name(f"{path.stem}-{sha256[:16]}{path.suffix}"))


def _s3(uri: str) -> "FileSystem":
    """The S3 client of a URI; its query may name `endpoint_override`, `scheme` and `region`."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

    parts = urlsplit(uri)
    options: dict[str, Any] = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    endpoints = environment_of(ENDPOINTS)
    if endpoints and "endpoint_override" not in options:
        server = urlsplit(next(iter(endpoints.values())))
        options |= {"endpoint_override": server.netloc, "scheme": server.scheme}
    regions = environment_of(REGIONS)
    if regions and "region" not in options:
        options["region"] = next(iter(regions.values()))
    if "region" not in options and "endpoint_override" not in options:
        options["region"] = resolve_s3_region(parts.netloc)
    return S3FileSystem(
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        **options,
    )
