"""Starts and ends the experiments of a home.

Each act is a receipt first. Then the file that servers follow is written; a kill between the
two is completed by the next `settle`.
"""

import contextlib
import datetime as dt
import itertools
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from churn_platform.base.errors import HomeBusy, IntegrityError, UsageError
from churn_platform.base.files import write_json
from churn_platform.base.home import Home
from churn_platform.base.text import ended, percent
from churn_platform.experiments.canary_ending import Ending, canary_ending
from churn_platform.experiments.canary_status import CanaryReport, CanaryStatus, Tallies
from churn_platform.experiments.files import RUNNING_FILE, STOPPED_FILE, read_running, read_stop
from churn_platform.experiments.state import MOST_SHADOWS, Canary, ExperimentState, Running
from churn_platform.experiments.tallies import read_tallies
from churn_platform.ledger.experiment_acts import (
    CanaryCompleted,
    CanaryEnded,
    CanaryRaised,
    CanaryStarted,
    ShadowEnded,
    ShadowStarted,
)
from churn_platform.ledger.receipts import named, version_of
from churn_platform.ledger.store import LedgerStore
from churn_platform.promotion.promotions import Promotions, signed
from churn_platform.promotion.publishing import ReleasePublisher
from churn_platform.training.release import ReleaseManifest, manifest_digest
from churn_platform.training.releases import Releases
from churn_platform.training.version_contracts import VersionContracts

LOCK_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Experiments:
    """The experiments of one home.

    Attributes:
        check_rule: Gives the one text of a rule; raises `UsageError` where it is not valid.
    """

    home: Home
    ledger: LedgerStore
    releases: Releases
    publisher: ReleasePublisher
    promotions: Promotions
    version_contracts: VersionContracts
    check_rule: Callable[[str], str]

    def state(self) -> ExperimentState:
        """What the receipts say."""
        return ExperimentState.from_receipts(self.ledger.receipts())

    def settled_canary(self) -> Canary | None:
        """The canary that runs, after what is due was done."""
        self.settle()
        return self.state().canary

    def canary_report(self) -> CanaryReport:
        """The canary that runs, and the one that ended last."""
        state = self.state()
        canary = state.canary
        running = None
        if canary is not None:
            running = CanaryStatus.of(canary, self._tallies(canary), self.home.now())
        return CanaryReport.of(state, running)

    def start_shadow(self, version: int | None, rule: str | None, by: str, reason: str) -> str:
        """Let a version or a rule score what production answers; describes what was done.

        Args:
            version: the version; None for a rule.
            rule: the expression over features; None for a version.
            by: the name of the person.
            reason: why, for the ledger.

        Raises:
            UsageError: it is unknown, invalid, in production, or a shadow already; or there are
                `MOST_SHADOWS`.
            IntegrityError: the version is not what was judged.
        """
        by, reason = signed(by, reason)
        manifest = None
        if rule is not None:
            rule = self.check_rule(rule)
        elif version is not None:
            manifest = self._release(version, "shadow", by)
        name = rule or named(version) or ""
        with self._held():
            shadows = self.state().shadows
            if name in shadows:
                raise UsageError(f"{_titled(name)} is a shadow already.", code="EXPERIMENT_RUNNING")
            if len(shadows) >= MOST_SHADOWS:
                raise UsageError(
                    f"There are {MOST_SHADOWS} shadows already ({', '.join(shadows)}): end one"
                    " with `churn shadow --end`.",
                    code="SHADOWS_FULL",
                )
            started = ShadowStarted(subject=name, actor=by, reason=reason, rule=rule)
            if manifest is not None:
                digest = manifest_digest(manifest)
                started = started.model_copy(update={"version": version, "manifest": digest})
            self.ledger.append(started)
            self._mirror()
        return f"{_titled(name)} is a shadow now: it scores what production answers."

    def end_shadow(self, name: str, by: str, reason: str) -> str:
        """End a shadow by its name; describes what was done.

        Raises:
            UsageError: there is no such shadow.
        """
        by, reason = signed(by, reason)
        with self._held():
            shadows = self.state().shadows
            if name not in shadows:
                known = ", ".join(shadows) or "none"
                raise UsageError(
                    f"{_titled(name)} is not a shadow; shadows: {known}.",
                    code="EXPERIMENT_UNKNOWN",
                )
            self.ledger.append(ShadowEnded(subject=name, actor=by, reason=reason))
            self._mirror()
        return f"{_titled(name)} is no longer a shadow: {ended(reason)}"

    def start_canary(
        self, version: int, steps: Sequence[float], every: dt.timedelta, by: str, reason: str
    ) -> str:
        """Let a version answer a share of the customers; describes what was done.

        Args:
            version: the version.
            steps: share of the customers at each step, ascending, each above 0 and below 1.
            every: the shortest duration of a step.
            by: the name of the person.
            reason: why, for the ledger.

        Raises:
            UsageError: the version is unknown, in production, barred or cannot score, a canary
                runs already, or a step or the duration is invalid.
            IntegrityError: the version is not what was judged.
        """
        by, reason = signed(by, reason)
        _check_steps(steps, every)
        self._refuse_second_canary()
        manifest = self._release(version, "canary", by)
        with self._held():
            self._refuse_second_canary()
            production = self._production()
            self.ledger.append(
                CanaryStarted(
                    version=version,
                    before=production.version,
                    after=production.version,
                    actor=by,
                    reason=reason,
                    experiment=f"canary of version {version} from {self.home.now().isoformat()}",
                    salt=secrets.token_hex(8),
                    manifest=manifest_digest(manifest),
                    production_manifest=manifest_digest(production),
                    steps=tuple(steps),
                    every_seconds=every.total_seconds(),
                )
            )
            self._mirror()
        return (
            f"Version {version} is a canary now: it answers {percent(steps[0])} of the customers,"
            f" version {production.version} all others."
        )

    def end_canary(self, by: str, reason: str) -> str:
        """Let production answer every customer again; describes what was done.

        Raises:
            UsageError: no canary runs.
        """
        by, reason = signed(by, reason)
        with self._held():
            canary = self.state().canary
            if canary is None:
                raise UsageError("There is no canary.", code="EXPERIMENT_UNKNOWN")
            said = self._end(canary, Ending("ended", reason), by)
            self._mirror()
        return said

    def raise_canary(self, by: str, reason: str) -> str:
        """Raise the canary to its next step now; describes what was done.

        Raises:
            UsageError: no canary runs, it has ended meanwhile, or it is at its last step.
        """
        by, reason = signed(by, reason)
        with self._held():
            canary = self.state().canary
            if canary is None:
                raise UsageError("There is no canary.", code="EXPERIMENT_UNKNOWN")
            ending = self._ending(canary)
            if ending is not None:
                said = self._end(canary, ending)
                self._mirror()
                raise UsageError(said, code="EXPERIMENT_UNKNOWN")
            if canary.step == len(canary.steps):
                raise UsageError(
                    f"The canary of version {canary.version} is at its last step,"
                    f" {percent(canary.share)} of the customers.",
                    code="CANARY_AT_LAST_STEP",
                )
            said = self._raise(canary, reason, by)
            self._mirror()
        return said

    def settle(self) -> list[str]:
        """Do what is due: complete what was cut off, end a canary that a guardrail stopped or
        whose versions changed, raise it to its next step once that has enough answers, and end
        the shadow of a version that is in production now.

        Returns:
            A sentence for each act.
        """
        state = self.state()
        if not state.shadows and state.canary is None and self._followed() == Running():
            return []
        said = []
        with self._held():
            state = self.state()
            if state.canary is not None:
                said = self._settle_canary(state.canary)
            said += self._end_shadow_in_production(state)
            self._mirror()
        return said

    def end_of_another_home(self) -> None:
        """End the canary of the home from which this one was restored: its servers, and what
        they measured, are there.
        """
        canary = self.state().canary
        if canary is None:
            return
        with self._held():
            reason = "The home was restored from a backup, without the servers of the canary."
            self._end(canary, Ending("home restored", reason))
            self._mirror()

    @property
    def folder(self) -> Path:
        """The folder of the files that servers follow."""
        return self.releases.folder

    def _settle_canary(self, canary: Canary) -> list[str]:
        ending = self._ending(canary)
        if ending is not None:
            return [self._end(canary, ending)]
        due = not canary.completed and self.home.now() >= canary.due
        if not due or not self._tallies(canary).suffice:
            return []
        return [
            self._raise(canary, f"Step {canary.step} of {len(canary.steps)} passed its guardrails.")
        ]

    def _end_shadow_in_production(self, state: ExperimentState) -> list[str]:
        """End the shadow of the version in production: it would be compared with itself."""
        pointer = self.releases.read_pointer()
        name = None if pointer is None else named(pointer.version)
        if name not in state.shadows:
            return []
        reason = "It is in production now."
        self.ledger.append(ShadowEnded(subject=name, reason=reason))
        return [f"{_titled(name)} is no longer a shadow: {ended(reason)}"]

    def _raise(self, canary: Canary, reason: str, by: str = "") -> str:
        """Record that a step has passed; describes what was done."""
        last = canary.step == len(canary.steps)
        act = CanaryCompleted if last else CanaryRaised
        step = min(canary.step + 1, len(canary.steps))
        share = canary.steps[step - 1]
        self.ledger.append(
            act(
                version=canary.version,
                before=canary.production,
                after=canary.production,
                actor=by,
                reason=reason,
                experiment=canary.experiment,
                step=step,
                share=share,
            )
        )
        if last:
            return (
                f"The canary of version {canary.version} has passed its last step. It answers"
                f" {percent(share)} of the customers until it is promoted or ended."
            )
        return (
            f"The canary of version {canary.version} answers {percent(share)} of the customers"
            f" now, step {step} of {len(canary.steps)}."
        )

    def _refuse_second_canary(self) -> None:
        running = self.state().canary
        if running is not None:
            raise UsageError(
                f"Version {running.version} is a canary already: end it with `churn canary"
                " --end` first.",
                code="EXPERIMENT_RUNNING",
            )

    def _ending(self, canary: Canary) -> Ending | None:
        return canary_ending(canary, self.releases, self.ledger.state().barred())

    def _tallies(self, canary: Canary) -> Tallies:
        return read_tallies(self.home.folder, canary)

    def _end(self, canary: Canary, ending: Ending, by: str = "") -> str:
        """Record that it has ended; describes what was done."""
        pointer = self.releases.read_pointer()
        production = canary.production if pointer is None else pointer.version
        fields = {"guardrail": ending.guardrail, "figures": ending.figures}
        self.ledger.append(
            CanaryEnded(
                version=canary.version,
                before=production,
                after=production,
                actor=by,
                reason=ending.reason,
                experiment=canary.experiment,
                outcome=ending.outcome,
                share=canary.share,
                **{name: value for name, value in fields.items() if value is not None},
            )
        )
        return (
            f"Version {canary.version} is no longer a canary, production answers every customer:"
            f" {ended(ending.reason)}"
        )

    def _followed(self) -> Running | None:
        """The content of the file; None where it cannot be read."""
        try:
            return read_running(self.folder)
        except IntegrityError:
            return None

    def _mirror(self) -> None:
        """Have the file that servers follow as the receipts say."""
        running = self.state().running
        if self._followed() != running:
            write_json(self.folder / RUNNING_FILE, running.as_json())
        canary = running.canary
        try:
            stop = read_stop(self.folder)
            of_the_past = stop is not None and (
                canary is None or canary.experiment != stop.experiment
            )
        except IntegrityError:
            of_the_past = canary is None
        if of_the_past:
            (self.folder / STOPPED_FILE).unlink(missing_ok=True)

    def _release(self, version: int, purpose: str, by: str) -> ReleaseManifest:
        """The release of a version that is not in production, published if it has none.

        Raises:
            UsageError: it is unknown, in production, barred, or cannot score; or nothing is in
                production.
        """
        production = self._production()
        if production.version == version:
            raise UsageError(
                f"Version {version} is in production: name another version.",
                code="VERSION_IN_PRODUCTION",
            )
        barred = self.ledger.state().barred()
        if purpose == "canary" and version in barred:
            raise UsageError(barred[version], code="VERSION_BLOCKED")
        with self.promotions.acting(f"the {purpose} of version {version} by {by}"):
            manifest = self.publisher.publish_version(version, purpose)
        why_not = self.version_contracts.why_not(self.releases.card(version))
        if why_not:
            raise UsageError(why_not, code="CONTRACT_CHANGED")
        return manifest

    def _production(self) -> ReleaseManifest:
        production = self.releases.production()
        if production is None:
            raise UsageError(
                "No model is in production: type `churn run` first.", code="NO_PRODUCTION"
            )
        return production

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """One writer of experiments at a time. A run may hold the home meanwhile."""
        from filelock import FileLock, Timeout

        lock = self.ledger.folder / "experiments.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(lock, timeout=LOCK_SECONDS):
                yield
        except Timeout:
            raise HomeBusy(
                f"Another process has changed the experiments for {LOCK_SECONDS:.0f} seconds:"
                " try again."
            ) from None


def _check_steps(steps: Sequence[float], every: dt.timedelta) -> None:
    ascending = all(low < high for low, high in itertools.pairwise(steps))
    if not ascending or not all(0 < step < 1 for step in steps) or not steps:
        raise UsageError(
            "The steps are percentages above 0 and below 100 that ascend, as 1,5,25,50.",
            code="STEPS_INVALID",
        )
    if every <= dt.timedelta():
        raise UsageError("A step lasts longer than 0 seconds, as 1d.", code="STEPS_INVALID")


def _titled(name: str) -> str:
    """A shadow at the beginning of a sentence."""
    version = version_of(name)
    return f"The rule {name}" if version is None else f"Version {version}"
