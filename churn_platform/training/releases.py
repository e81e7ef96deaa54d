"""Releases on disk: what serving loads, and the pointer to the one in production."""

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ChurnError, DataError, IntegrityError, UsageError
from churn_platform.base.files import fsync_file, fsync_folder, sha256_file, write_json
from churn_platform.ledger.receipts import GENESIS, first_fault
from churn_platform.training.release import (
    MANIFEST,
    MANIFEST_DIGEST,
    PASSPORT,
    ModelCard,
    Pointer,
    ReleaseManifest,
    manifest_digest,
)

_Model = TypeVar("_Model", bound=BaseModel)


class Releases:
    """The releases in `folder`: a sub-folder per version, and the pointer file `production`.

    One publisher at a time, and any number of readers: a version appears atomically.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pointer_file = folder / "production"

    def publish(
        self, version: int, files: Mapping[str, bytes | Path], manifest: Mapping[str, Any]
    ) -> ReleaseManifest:
        """Publish a version; if it is already published with the same content, change nothing.

        Args:
            version: The version, from 1.
            files: Name -> content, or a path to copy it from.
            manifest: The fields of `ReleaseManifest` except `files` and `version`.

        Returns:
            The published manifest. Publishing again keeps the first `created_at`, which is not
            part of the content.

        Raises:
            DataError: a field of the manifest or the name of a file is invalid.
            IntegrityError: the version is published with other content, or was changed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob(f".{version}.*.tmp"):
            shutil.rmtree(leftover)
        temporary = self.folder / f".{version}.{uuid.uuid4().hex}.tmp"
        try:
            built = self._build(temporary, version, files, manifest)
            if not self._folder(version).exists():
                temporary.rename(self._folder(version))
                fsync_folder(self.folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return self._same_content(built)

    def point(self, version: int, *, ledger_head: str, activate_at: str, as_of: str) -> Pointer:
        """Put a version into production by replacing the pointer.

        Pointing at the same version again keeps the previous version of the pointer.

        Raises:
            UsageError: the version has no release.
            DataError: an argument is invalid.
            IntegrityError: the release was changed, or the current pointer cannot be read.
        """
        self.verify(version)
        current = self.read_pointer()
        replaced = None if current is None else current.version
        if current is not None and current.version == version:
            replaced = current.previous_version
        return self.repoint(
            {
                "version": version,
                "previous_version": replaced,
                "activate_at": activate_at,
                "ledger_head": ledger_head,
                "as_of": as_of,
            }
        )

    def pointer(self) -> Pointer | None:
        """What is in production; None before the first promotion.

        Raises:
            IntegrityError: the pointer cannot be read, or names a version that has no release.
        """
        pointer = self.read_pointer()
        if pointer is not None and not self._folder(pointer.version).is_dir():
            raise IntegrityError(
                f"{self.pointer_file} names version {pointer.version}, which has no release; "
                f"publish it again, or point at one of {self.versions()}",
                code="RELEASE_MISSING",
            )
        return pointer

    def repoint(self, fields: Mapping[str, Any]) -> Pointer:
        """Write a lost pointer again with the values that the receipts record.

        Raises:
            DataError: a field is invalid.
        """
        pointer = _valid(Pointer, fields, "the pointer to production")
        write_json(self.pointer_file, pointer.model_dump())
        return pointer

    def read_pointer(self) -> Pointer | None:
        """The pointer's content; unlike `pointer`, it does not check that the release exists.

        Raises:
            IntegrityError: the pointer cannot be read.
        """
        remedy = f"remove it and point at one of {self.versions()} again"
        try:
            return _read(Pointer, self.pointer_file.read_bytes(), str(self.pointer_file), remedy)
        except FileNotFoundError:
            return None

    def production(self) -> ReleaseManifest | None:
        """The manifest of the version in production; None before the first promotion."""
        pointer = self.pointer()
        if pointer is None:
            return None
        return self.manifest(pointer.version)

    def versions(self) -> list[int]:
        """The published versions, ascending."""
        if not self.folder.is_dir():
            return []
        names = (entry.name for entry in self.folder.iterdir() if entry.is_dir())
        return sorted(int(name) for name in names if re.fullmatch("[1-9][0-9]*", name))

    def manifest(self, version: int) -> ReleaseManifest:
        """The manifest of a version, checked against its own digest.

        Raises:
            UsageError: the version has no release.
            IntegrityError: the manifest was changed.
        """
        if not self._folder(version).is_dir():
            raise UsageError(
                f"version {version} has no release in {self.folder}; there are {self.versions()}",
                code="VERSION_UNKNOWN",
            )
        text = self._content(version, MANIFEST)
        expected = self._content(version, MANIFEST_DIGEST).decode("ascii", "replace")
        found = hashlib.sha256(text).hexdigest()
        if found != expected:
            raise self._fault(version, MANIFEST, expected, found)
        manifest = _read(
            ReleaseManifest, text, f"the manifest of version {version}", self._remedy(version)
        )
        if manifest.version != version:
            raise self._fault(version, MANIFEST, f"of version {version}", f"of {manifest.version}")
        return manifest

    def card(self, version: int) -> ModelCard | ReleaseManifest:
        """The model card of a version; its manifest if an earlier platform kept no card.

        Raises:
            UsageError: the version has no release.
            IntegrityError: the manifest or the card was changed.
        """
        manifest = self.manifest(version)
        if PASSPORT not in manifest.files:
            return manifest
        where = f"the model card of version {version}"
        return _read(ModelCard, self.read(manifest, PASSPORT), where, self._remedy(version))

    def read(self, manifest: ReleaseManifest, name: str) -> bytes:
        """The bytes of a file of a version, compared with the manifest.

        Raises:
            IntegrityError: the file was changed.
        """
        content = (self._folder(manifest.version) / name).read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != manifest.files[name]:
            raise self._fault(manifest.version, name, manifest.files[name], found)
        return content

    def path(self, version: int, name: str) -> Path:
        """The path of one file of a version.

        Raises:
            UsageError: the version has no release, or the release has no such file.
        """
        names = sorted(self.manifest(version).files)
        if name not in names:
            raise UsageError(f"version {version} has no file {name!r}; it has {names}")
        return self._folder(version) / name

    def verify(self, version: int) -> ReleaseManifest:
        """Compare every file of a version with its digest.

        Raises:
            UsageError: the version has no release.
            IntegrityError: a file was changed, removed or added; the message names it and both
                digests.
        """
        manifest = self.manifest(version)
        found = {entry.name: _digest(entry) for entry in self._folder(version).iterdir()}
        for name in (MANIFEST, MANIFEST_DIGEST):
            found.pop(name)
        for name in sorted(manifest.files.keys() | found.keys()):
            expected = manifest.files.get(name, "no file")
            actual = found.get(name, "no file")
            if expected != actual:
                raise self._fault(version, name, expected, actual)
        return manifest

    def _folder(self, version: int) -> Path:
        return self.folder / str(version)

    def _content(self, version: int, name: str) -> bytes:
        try:
            return (self._folder(version) / name).read_bytes()
        except FileNotFoundError as error:
            raise self._fault(version, name, "there", "no file") from error

    def _build(
        self,
        folder: Path,
        version: int,
        files: Mapping[str, bytes | Path],
        manifest: Mapping[str, Any],
    ) -> ReleaseManifest:
        fields = {**manifest, "version": version, "files": dict.fromkeys(files, GENESIS)}
        # Checked before the first write: a name could be a path out of the folder.
        draft = _valid(ReleaseManifest, fields, f"the manifest of version {version}")
        folder.mkdir()
        digests = {name: _put(folder / name, content) for name, content in files.items()}
        built = draft.model_copy(update={"files": digests})
        text = (json.dumps(built.model_dump(), indent=2, allow_nan=False) + "\n").encode()
        _put(folder / MANIFEST_DIGEST, _put(folder / MANIFEST, text).encode())
        fsync_folder(folder)
        return built

    def _same_content(self, built: ReleaseManifest) -> ReleaseManifest:
        published = self.verify(built.version)
        known = digest_of(published.model_dump(exclude={"created_at"}))
        offered = digest_of(built.model_dump(exclude={"created_at"}))
        if known != offered:
            raise IntegrityError(
                f"version {built.version} is published with other content (digest {known},"
                f" offered {offered}); a version never changes: register a new one",
                code="MODEL_CHANGED",
            )
        return published

    def _fault(self, version: int, name: str, expected: str, found: str) -> IntegrityError:
        fault = f"release {version} was changed: {name} should be {expected} and is {found}"
        return IntegrityError(f"{fault}; {self._remedy(version)}", code="MODEL_CHANGED")

    def _remedy(self, version: int) -> str:
        return f"point at another version, or remove {self._folder(version)} and publish it again"


def is_pinned(releases: Releases, version: int, digest: str) -> bool:
    """Whether a version has the release of this manifest digest; a damaged one has not."""
    try:
        return manifest_digest(releases.manifest(version)) == digest
    except (ChurnError, OSError):
        return False


def _put(target: Path, content: bytes | Path) -> str:
    """Write or copy a file, flush it, and return the sha256 of what is on the disk."""
    if isinstance(content, Path):
        shutil.copyfile(content, target)
    else:
        target.write_bytes(content)
    fsync_file(target)
    return sha256_file(target)


def _digest(entry: Path) -> str:
    if entry.is_file() and not entry.is_symlink():
        return sha256_file(entry)
    return "no plain file"


def _valid(model: type[_Model], fields: Mapping[str, Any], what: str) -> _Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise DataError(f"{what} has {first_fault(error)}") from error


def _read(model: type[_Model], text: bytes, what: str, remedy: str) -> _Model:
    try:
        return model.model_validate(json.loads(text))
    except ValidationError as error:
        raise IntegrityError(f"{what} has {first_fault(error)}; {remedy}") from error
    except ValueError as error:
        raise IntegrityError(f"{what} is not valid JSON ({error}); {remedy}") from error
