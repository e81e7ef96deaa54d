"""Keeps a server on the release in production: watches the pointer, verifies, switches."""

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from churn_platform.base.errors import ChurnError
from churn_platform.contract.model import Contract
from churn_platform.training.release import Pointer
from churn_platform.training.release_loading import Loaded, load_release
from churn_platform.training.releases import Releases

POLL_SECONDS = 0.25
RETRY_SECONDS = 10.0
"""How often a refused release is checked again: it may have been restored."""
UNUSABLE = (ChurnError, OSError, ValueError, KeyError)
"""What reading a damaged release can raise."""
CONTRACTS_KEPT = 4
"""What is prepared for so many contracts is kept: a rollback needs the one before again."""


@dataclass(eq=False)
class Held:
    """What answers under one contract: the current release, and why a newer one does not.

    Attributes:
        prepared: What the server made for the contract.
    """

    contract: Contract
    current: Loaded | None = None
    refusal: str | None = None
    prepared: Any = None


@dataclass(frozen=True)
class Look:
    """What a check of the pointer found.

    Attributes:
        production: The release that answers now; None before the first.
        contract: The contract in use.
        time: When it was, in seconds since 1970.
        switching: Whether another release waits for its instant, which must not be delayed.
    """

    production: Loaded | None
    contract: Contract
    time: float
    switching: bool = False


class ReleaseWatch:
    """The release that answers now, in `held.current`.

    A request reads `held` once and its release once, and keeps both, so one answer has one
    contract and one model. Each release has its own contract (`VersionContracts.of`), and both
    change at the same instant. A change of the contract in use applies to the current release.
    """

    def __init__(
        self,
        releases: Releases,
        contract: Contract,
        *,
        now: Callable[[], dt.datetime],
        reread: Callable[[], Contract] | None = None,
        prepare: Callable[[Held], Any] = lambda _: None,
        activated: Callable[[Held], None] = lambda _: None,
        refused: Callable[[int | None, str], None] = lambda *_: None,
        dropped: Callable[[Held], None] = lambda _: None,
        looked: Callable[[Look], None] = lambda _: None,
    ) -> None:
        """Read nothing yet.

        Args:
            releases: the releases of a home.
            contract: the contract in use.
            now: the clock.
            reread: the contract in use now; the same object while its file is unchanged.
            prepare: makes what the server needs for another contract, before its release is
                active.
            activated: called with what answers from now on.
            refused: called with a version that cannot serve, and why.
            dropped: called with a contract of earlier releases that is no longer kept.
            looked: called with what each check found.
        """
        self.held = Held(contract)
        self._known = [self.held]
        self._releases = releases
        self._now = now
        self._contract = contract
        self._reread = reread or (lambda: contract)
        self._prepare = prepare
        self._activated = activated
        self._refused = refused
        self._dropped = dropped
        self._looked = looked
        self._seen: tuple[int, int] | None = None
        self._pending: _Pending | None = None
        self._retry_at = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> Loaded | None:
        """The release that answers now."""
        return self.held.current

    @property
    def refusal(self) -> str | None:
        """Why the release in production does not serve; None if it does."""
        return self.held.refusal

    def start(self) -> None:
        """Load the release in production, then keep watching in a thread."""
        self.poll()
        self._thread = threading.Thread(target=self._run, name="release-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def poll(self) -> float:
        """Check once; the seconds until the next check. Without news it takes 50 microseconds."""
        if self._changed() or self._due_again():
            self._take()
        left = POLL_SECONDS
        if self._pending is not None:
            left = (
                dt.datetime.fromisoformat(self._pending.loaded.since) - self._now()
            ).total_seconds()
            if left <= 0:
                self._activate(self._pending)
                left = POLL_SECONDS
        now = self._now().timestamp()
        self._looked(Look(self.current, self._contract, now, self._pending is not None))
        return min(left, POLL_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(self.poll()):
            pass

    def _changed(self) -> bool:
        contract = self._reread()
        changed = contract is not self._contract
        self._contract = contract
        try:
            found = self._releases.pointer_file.stat()
        except OSError:  # no model yet, or the disk is unavailable: keep serving
            return False
        changed = changed or (found.st_mtime_ns, found.st_ino) != self._seen
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
            pending = self._load(pointer.version, pointer)
            self.held.refusal = None
            if not self._answers_already(pending):
                self._pending = pending
        except UNUSABLE as error:
            self._refuse(None if pointer is None else pointer.version, str(error))
        if pointer is not None and self.current is None:
            self._stand_in(pointer)

    def _load(self, version: int, pointer: Pointer) -> "_Pending":
        loaded = load_release(self._releases, self._contract, version, pointer)
        return _Pending(loaded, self._held_for(loaded.contract))

    def _held_for(self, contract: Contract) -> Held:
        held = next((one for one in self._known if one.contract == contract), None)
        if held is None:
            held = Held(contract)
            held.prepared = self._prepare(held)
        self._known = [one for one in self._known if one is not held] + [held]
        others = [one for one in self._known[:-CONTRACTS_KEPT] if one is not self.held]
        for one in others:
            self._known.remove(one)
            self._dropped(one)
        return held

    def _answers_already(self, pending: "_Pending") -> bool:
        """Whether the release is the current one, under the same contract."""
        current = self.current
        loaded = pending.loaded
        return (
            current is not None
            and pending.held is self.held
            and (loaded.manifest, loaded.since) == (current.manifest, current.since)
        )

    def _refuse(self, version: int | None, reason: str) -> None:
        self._retry_at = self._now().timestamp() + RETRY_SECONDS
        if reason != self.refusal:
            self.held.refusal = reason
            self._refused(version, reason)

    def _stand_in(self, pointer: Pointer) -> None:
        """Answer with the previous release in a worker that starts before the new one is active.

        The other workers still serve it, and a restarted one would fail every request.
        """
        active = self._pending is not None and self._now() >= dt.datetime.fromisoformat(
            pointer.activate_at
        )
        if pointer.previous_version is None or active:
            return
        try:
            stand_in = self._load(pointer.previous_version, pointer)
        except UNUSABLE as error:
            self._refused(pointer.previous_version, str(error))
            return
        kept = self._pending
        loaded = replace(
            stand_in.loaded, since=stand_in.loaded.manifest.created_at, previous_version=None
        )
        self._activate(_Pending(loaded, stand_in.held))
        self._pending = kept

    def _activate(self, pending: "_Pending") -> None:
        held = pending.held
        self._pending = None
        held.current = pending.loaded
        held.refusal = self.refusal
        self.held = held
        self._activated(held)


@dataclass(frozen=True)
class _Pending:
    """A verified release that waits for its instant, with its contract."""

    loaded: Loaded
    held: Held
