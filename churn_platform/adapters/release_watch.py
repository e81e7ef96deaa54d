"""Keeps a server on the release in production: watches the pointer, verifies, changes over at the named instant.

Belongs here: loading a release for serving and the one thread that does it. Does not: publishing
(`adapters/releases.py`), HTTP. MLflow, Dagster and the ledger are not asked: they may be away.
"""

import datetime as dt
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from churn_platform.adapters.booster import LightGBMBooster
from churn_platform.adapters.releases import Releases
from churn_platform.core.contract import Contract
from churn_platform.core.release import FeatureSpec, Manifest, Pointer
from churn_platform.core.scorer import (
    BOOSTER_FILE,
    FORM_FILE,
    FormScorer,
    ModelScorer,
    Scorer,
    ServingForm,
    check_golden,
)
from churn_platform.errors import ChurnError, IntegrityError

MODEL_FILE = "model.skops"
POLL_SECONDS = 0.25
RETRY_SECONDS = 10.0
"""A refused release is looked at again so often: it may have been restored."""
UNUSABLE = (ChurnError, OSError, ValueError, KeyError)
"""What a damaged release can raise while it is read."""


@dataclass(frozen=True)
class Loaded:
    """A verified release that can answer."""

    manifest: Manifest
    scorer: Scorer
    sha256: str
    """Of the model file."""
    since: str
    """The instant from which it serves."""
    previous_version: int | None


def load_release(releases: Releases, contract: Contract, version: int, pointer: Pointer) -> Loaded:
    """Verify a release and load it: every digest, the contract, the features in order, the golden predictions.

    Raises:
        IntegrityError: it must not serve; says why.
    """
    manifest = releases.verify(version)
    if manifest.contract_hash != contract.model_hash:
        raise IntegrityError(
            f"release {version} was trained under another contract: entity, features or label have changed; restart "
            "the server with the contract of the release"
        )
    expected = [FeatureSpec(name=name, dtype=column.dtype) for name, column in contract.features.items()]
    if manifest.features != expected:
        raise IntegrityError(f"release {version} reads the features in another order than the contract names them")
    scorer = _scorer(manifest, lambda name: _verified(releases, manifest, name))
    check_golden(scorer, manifest.golden)
    return Loaded(manifest, scorer, manifest.files[MODEL_FILE], pointer.activate_at, pointer.previous_version)


class ReleaseWatch:
    """The release that answers now, in `current`; None until one could be verified.

    A request reads `current` once and keeps it: one answer is of one model.
    """

    def __init__(
        self,
        releases: Releases,
        contract: Contract,
        *,
        now: Callable[[], dt.datetime],
        activated: Callable[[Loaded], None] = lambda _: None,
        refused: Callable[[int | None, str], None] = lambda *_: None,
    ) -> None:
        self.current: Loaded | None = None
        self.refusal: str | None = None
        self._releases, self._contract, self._now = releases, contract, now
        self._activated, self._refused = activated, refused
        self._seen: tuple[int, int] | None = None
        self._pending: Loaded | None = None
        self._retry_at = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Load what is in production now, then go on watching in a thread."""
        self.poll()
        self._thread = threading.Thread(target=self._run, name="release-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def poll(self) -> float:
        """Look once; seconds until the next look is worth while. A look without news costs 2 microseconds."""
        if self._changed() or self._due_again():
            self._take()
        left = POLL_SECONDS
        if self._pending is not None:
            left = (dt.datetime.fromisoformat(self._pending.since) - self._now()).total_seconds()
            if left <= 0:
                self._activate(self._pending)
                left = POLL_SECONDS
        return min(left, POLL_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(self.poll()):
            pass

    def _changed(self) -> bool:
        try:
            found = self._releases.pointer_file.stat()
        except OSError:  # no model yet, or the disk is away: what serves goes on serving
            return False
        changed = (found.st_mtime_ns, found.st_ino) != self._seen
        self._seen = (found.st_mtime_ns, found.st_ino)
        return changed

    def _due_again(self) -> bool:
        return self.refusal is not None and self._now().timestamp() >= self._retry_at

    def _take(self) -> None:
        self._pending = None
        pointer: Pointer | None = None
        try:
            pointer = self._releases.pointer()
            if pointer is None:
                return
            self._pending = load_release(self._releases, self._contract, pointer.version, pointer)
            self.refusal = None
        except UNUSABLE as error:
            self._refuse(None if pointer is None else pointer.version, str(error))
        if pointer is not None and self.current is None:
            self._stand_in(pointer)

    def _refuse(self, version: int | None, reason: str) -> None:
        self._retry_at = self._now().timestamp() + RETRY_SECONDS
        if reason != self.refusal:
            self.refusal = reason
            self._refused(version, reason)

    def _stand_in(self, pointer: Pointer) -> None:
        """A worker that starts while a release is refused, or not yet active, answers as the others do: with the last.

        Nothing is active before its time, and without one a restarted worker would fail every request.
        """
        active = self._pending is not None and self._now() >= dt.datetime.fromisoformat(pointer.activate_at)
        if pointer.previous_version is None or active:
            return
        try:
            stand_in = load_release(self._releases, self._contract, pointer.previous_version, pointer)
        except UNUSABLE as error:
            self._refused(pointer.previous_version, str(error))
            return
        kept = self._pending
        self._activate(replace(stand_in, since=stand_in.manifest.created_at, previous_version=None))
        self._pending = kept

    def _activate(self, loaded: Loaded) -> None:
        self.current, self._pending = loaded, None
        self._activated(loaded)


def _verified(releases: Releases, manifest: Manifest, name: str) -> bytes:
    """A file's bytes, compared with the manifest as they are used: the file may have changed since it was verified."""
    content = (releases.folder / str(manifest.version) / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest.files[name]:
        raise IntegrityError(f"release {manifest.version} was changed while it was read: {name}")
    return content


def _scorer(manifest: Manifest, read: Callable[[str], bytes]) -> Scorer:
    if FORM_FILE in manifest.files:
        return FormScorer(ServingForm.model_validate_json(read(FORM_FILE)), LightGBMBooster(read(BOOSTER_FILE)))
    from churn_platform.core.model import load_model

    features = tuple((feature.name, feature.dtype) for feature in manifest.features)
    return ModelScorer(load_model(read(MODEL_FILE), features))
