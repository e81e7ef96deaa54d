"""The experiments of a home as a server follows them: the releases that a canary needs, verified.

The thread that watches the pointer calls `look` after each of its own checks.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from churn_platform.base.errors import IntegrityError
from churn_platform.contract.model import Contract
from churn_platform.experiments.assignment import CANARY, PRODUCTION, Arm, arm_of
from churn_platform.experiments.files import RUNNING_FILE, read_running
from churn_platform.experiments.shadow_log import ShadowScore
from churn_platform.experiments.shadow_scorer import load_shadow
from churn_platform.experiments.state import Canary, Running
from churn_platform.features.online.reader import OnlineReader
from churn_platform.features.online.rows import Key
from churn_platform.serving.release_watch import RETRY_SECONDS, Look
from churn_platform.serving.shadow_scoring import (
    END_SECONDS,
    Losses,
    ShadowPool,
    ShadowThread,
)
from churn_platform.training.release import MANIFEST, manifest_digest
from churn_platform.training.release_loading import Loaded, load_release
from churn_platform.training.releases import Releases

Stamp = tuple[int, int] | None
"""By what a changed file is noticed; None where there is no file."""
CANARY_OFF: Final = "canary off"
NOTHING: Final = Running()


class Guard(Protocol):
    """Watches a canary; `stopped` is whether production must answer every customer."""

    stopped: bool

    def answered(
        self, arm: Arm, key: Key, seconds: float | None, probability: float | None
    ) -> None:
        """An arm's scorer answered for a customer; `seconds` is None in a batch."""
        ...

    def failed(self, arm: Arm, key: Key) -> None:
        """An arm's scorer raised for a customer."""
        ...

    def shadow_scored(self, arm: Arm, key: Key, score: float) -> None:
        """The shadow of the canary's version took a customer of either arm from its queue."""
        ...

    def raised(self, step: int) -> None:
        """The canary is at another step."""
        ...

    def start(self) -> None:
        """Begin to watch."""
        ...

    def stop(self) -> None:
        """Write what was measured and end."""
        ...


@dataclass(frozen=True)
class CanaryArm:
    """A canary whose release was verified, with the release in production that it is pinned to.

    Attributes:
        production: The release in production; the canary counts for no other.
        loaded: The canary's release.
        reader: Reads the features of the canary's version; None where they are production's.
    """

    canary: Canary
    production: Loaded
    loaded: Loaded
    guard: Guard
    reader: OnlineReader | None = None

    def arm_of(self, key: Key) -> Arm:
        """The arm of a customer."""
        canary = self.canary
        return arm_of(key, canary.salt, canary.experiment, canary.share)

    def counts_for(self, production: Loaded) -> bool:
        """Whether the canary answers its share while this release is in production."""
        return self.production is production and not self.guard.stopped


@dataclass(frozen=True)
class Followed:
    """The experiments of one instant; a request reads them once.

    Attributes:
        running: What the home's file names.
        canary: The canary that answers; None where there is none, or where it cannot.
        shadows: The shadows that could be loaded.
        faults: Why a shadow could not be loaded, by its name.
    """

    running: Running = NOTHING
    canary: CanaryArm | None = None
    shadows: tuple[ShadowThread, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)

    def why_off(self, name: str) -> str | None:
        """Why a shadow does not score; None while it does."""
        found = {thread.shadow.name: thread.off for thread in self.shadows}
        return self.faults.get(name) or found.get(name)


class ExperimentWatch:
    """Keeps `followed` on the experiments of a home."""

    def __init__(
        self,
        releases: Releases,
        *,
        guard: Callable[[Canary, Loaded], Guard],
        open_reader: Callable[[Contract], OnlineReader],
        scored: Callable[[str, Sequence[ShadowScore]], None],
        losses: Losses,
        report: Callable[..., None] = lambda *_, **__: None,
    ) -> None:
        """Nothing is read yet.

        Args:
            releases: the releases of the home; the file of the experiments is in their folder.
            guard: makes the guard of a canary from its verified release.
            open_reader: opens the online store for a contract.
            scored: called with the name of the key's column and scores of a shadow.
            losses: count the scores of shadows that are missing.
            report: called with the name of an event and its fields.
        """
        self.followed = Followed()
        self._releases = releases
        self._file = releases.folder / RUNNING_FILE
        self._make_guard = guard
        self._open_reader = open_reader
        self._report = report
        self._running = NOTHING
        self._file_seen: Stamp = None
        self._seen: object = None
        self._shadows = ShadowPool(
            lambda shadow, contract: load_shadow(shadow, contract, releases),
            scored=self._shadow_scored,
            losses=losses,
            open_reader=open_reader,
            report=report,
        )
        self._hand_over = scored
        self._canary: _Version | None = None
        self._ending: list[threading.Thread] = []
        self._guard: tuple[str, Guard] | None = None
        self._reader: tuple[Loaded, OnlineReader] | None = None
        self._faults = dict[str, str]()
        self._retry_at = 0.0

    def look(self, look: Look) -> None:
        """Follow what has changed. Without news it takes 20 microseconds.

        While production switches, nothing is loaded or ended: what needs that waits.
        """
        self._read()
        self._shadows.check()
        canary = self._running.canary
        scoring = self._running.scoring()
        stamps = {shadow: self._stamp_of(shadow.version) for shadow in scoring}
        seen = (self._running, look.production, look.contract, stamps)
        retry = bool(self._faults or self._shadows.faults) and look.time >= self._retry_at
        if seen == self._seen and not retry:
            return
        if look.switching and canary is not None and not self._has_loaded(canary, look.contract):
            return
        before = self.followed
        self.followed = replace(before, running=self._running, canary=self._canary_arm(look))
        self._tell(before, self.followed)
        if look.switching:
            return
        self._shadows.follow({} if look.production is None else stamps, look.contract)
        self.followed = replace(
            self.followed, shadows=self._shadows.threads, faults=self._shadows.faults
        )
        self._tidy()
        self._seen = seen
        self._retry_at = look.time + RETRY_SECONDS

    def stop(self) -> None:
        """End shadows and guard; from now on production answers."""
        self.followed = Followed()
        self._running = NOTHING
        self._shadows.stop()
        self._tidy()
        for thread in self._ending:
            thread.join(END_SECONDS)

    def _shadow_scored(self, entity: str, scores: Sequence[ShadowScore]) -> None:
        """Hand scores over, and those of the canary's version to its guard."""
        self._hand_over(entity, scores)
        arm = self.followed.canary
        if arm is None:
            return
        for one in scores:
            served = one.served
            counts = not (served.what_if or served.stale)
            if not counts or one.score is None or one.shadow != arm.canary.name:
                continue
            if served.arm == PRODUCTION:
                arm.guard.shadow_scored(PRODUCTION, served.key, one.score)
            elif served.version == arm.canary.version:
                arm.guard.shadow_scored(CANARY, served.key, served.probability)

    def _read(self) -> None:
        """Read the file of the experiments if it has changed."""
        stamp = _stamp(self._file)
        if stamp == self._file_seen:
            return
        self._file_seen = stamp
        try:
            self._running = read_running(self._releases.folder)
        except (IntegrityError, OSError) as error:
            # Without a readable file nothing is tried, and production answers.
            self._running = NOTHING
            self._report("experiments not read", reason=str(error))

    def _stamp_of(self, version: int | None) -> Stamp:
        """By what a changed release is noticed."""
        if version is None:
            return None
        return _stamp(self._releases.folder / str(version) / MANIFEST)

    def _has_loaded(self, canary: Canary, contract: Contract) -> bool:
        """Whether the canary's release need not be loaded again."""
        held = self._canary
        return held is not None and held.is_of(
            canary.version, contract, self._stamp_of(canary.version)
        )

    def _canary_arm(self, look: Look) -> CanaryArm | None:
        canary = self._running.canary
        if canary is None or look.production is None:
            self._faults.pop(CANARY_OFF, None)
            return None
        try:
            _check_production(canary, look.production)
            loaded = self._loaded(canary, look.contract)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, production answers
            self._off(CANARY_OFF, canary.version, str(error))
            return None
        self._faults.pop(CANARY_OFF, None)
        guard = self._guard_of(canary, loaded)
        reader = self._reader_of(loaded, look.production)
        return CanaryArm(canary, look.production, loaded, guard, reader)

    def _loaded(self, canary: Canary, contract: Contract) -> Loaded:
        """The release of the canary, if it is the registered one.

        Raises:
            IntegrityError: it is not; or anything that a damaged release can raise.
        """
        if self._canary is None or not self._has_loaded(canary, contract):
            stamp = self._stamp_of(canary.version)
            pointer = self._releases.read_pointer()
            if pointer is None:
                raise IntegrityError("nothing is in production")
            loaded = load_release(self._releases, contract, canary.version, pointer)
            self._canary = _Version(loaded, contract, stamp)
        found = self._canary.loaded
        if manifest_digest(found.manifest) != canary.manifest:
            raise IntegrityError(
                f"the release of version {canary.version} is not the registered one"
            )
        return found

    def _guard_of(self, canary: Canary, loaded: Loaded) -> Guard:
        if self._guard is not None and self._guard[0] == canary.experiment:
            guard = self._guard[1]
            guard.raised(canary.step)
            return guard
        self._end_guard()
        guard = self._make_guard(canary, loaded)
        guard.start()
        self._guard = (canary.experiment, guard)
        return guard

    def _end_guard(self) -> None:
        """End the guard in a thread: it may be waiting for a command, and the pointer must not."""
        if self._guard is not None:
            ending = threading.Thread(target=self._guard[1].stop, name="guard-end", daemon=True)
            ending.start()
            self._ending.append(ending)
        self._guard = None

    def _reader_of(self, loaded: Loaded, production: Loaded) -> OnlineReader | None:
        """What reads the canary's features; None where production's reader does."""
        if _reads_alike(loaded.contract, production.contract):
            return None
        if self._reader is None or self._reader[0] is not loaded:
            self._close_reader()
            self._reader = (loaded, self._open_reader(loaded.contract))
        return self._reader[1]

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader[1].close()
        self._reader = None

    def _tidy(self) -> None:
        """End and forget what no experiment needs any more."""
        canary = self._running.canary
        if canary is None or (self._guard and self._guard[0] != canary.experiment):
            self._end_guard()
        if self.followed.canary is None or self.followed.canary.reader is None:
            self._close_reader()
        if canary is None:
            self._canary = None

    def _off(self, event: str, version: int, reason: str) -> None:
        """Report once why a part does not take part."""
        if self._faults.get(event) != reason:
            self._faults[event] = reason
            self._report(event, version=version, reason=reason)

    def _tell(self, before: Followed, after: Followed) -> None:
        was = None if before.canary is None else before.canary.canary
        now = None if after.canary is None else after.canary.canary
        if now is not None and (was is None or was.share != now.share):
            self._report("canary active", version=now.version, share=now.share)
        elif was is not None and now is None and CANARY_OFF not in self._faults:
            self._report("canary ended", version=was.version)


@dataclass(frozen=True)
class _Version:
    """A loaded release, and what it was loaded from."""

    loaded: Loaded
    contract: Contract
    stamp: Stamp

    def is_of(self, version: int, contract: Contract, stamp: Stamp) -> bool:
        """Whether it need not be loaded again."""
        same = self.loaded.manifest.version == version and self.contract is contract
        return same and self.stamp == stamp


def _check_production(canary: Canary, production: Loaded) -> None:
    """Refuse a canary of another production.

    Raises:
        IntegrityError: the release in production is not the one that is registered with it.
    """
    version = production.manifest.version
    if version != canary.production:
        raise IntegrityError(f"version {version} is in production, not {canary.production}")
    if manifest_digest(production.manifest) != canary.production_manifest:
        raise IntegrityError(f"the release of version {version} is not the registered one")


def _reads_alike(one: Contract, other: Contract) -> bool:
    """Whether one reader serves both versions."""
    return list(one.features) == list(other.features)


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
