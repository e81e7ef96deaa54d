"""The experiments that run: the only fold over their receipts, and the file that servers follow."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import Field

from churn_platform.base.stored import Stored
from churn_platform.ledger.acts import PlannedTest
from churn_platform.ledger.experiment_acts import (
    CanaryRaised,
    CanaryStarted,
    ModelTestEnded,
    ModelTestLooked,
    ModelTestRegistered,
    ShadowStarted,
)
from churn_platform.ledger.receipts import Receipt, named

MOST_SHADOWS: Final = 3
TEST_ACTS: Final = ("test registered", "test looked", "test ended")


class Shadow(Stored):
    """A version or a rule that scores what production answers, after the response.

    Attributes:
        name: `version 3`, or the expression of a rule.
        version: The version; None for a rule.
        manifest: Digest of the version's release; None for a rule.
        rule: The expression over features; None for a version.
        since: The instant of its start, in UTC.
    """

    name: str
    version: int | None = None
    manifest: str | None = None
    rule: str | None = None
    since: str


class Canary(Stored):
    """A version that answers a share of the customers.

    Attributes:
        experiment: The name of its draw.
        version: The version, pinned to `manifest`, the digest of its release.
        production: The version in production, pinned to `production_manifest`.
        steps: Share of the customers at each step, ascending.
        step: Number of the present step, from 1.
        since: The instant of its start, in UTC.
        raised: The instant at which the present step began, in UTC.
        completed: Whether the last step has passed.
    """

    experiment: str
    salt: str
    version: int
    manifest: str
    production: int
    production_manifest: str
    steps: tuple[float, ...]
    every_seconds: float
    step: int
    since: str
    raised: str
    completed: bool = False

    @property
    def share(self) -> float:
        """The present share of the customers."""
        return self.steps[self.step - 1]

    @property
    def due(self) -> dt.datetime:
        """The instant from which the present step may be raised."""
        return dt.datetime.fromisoformat(self.raised) + dt.timedelta(seconds=self.every_seconds)

    @property
    def name(self) -> str:
        """The version as receipts name it."""
        return f"version {self.version}"


class Running(Stored):
    """The experiments that run: the content of `releases/experiments.json`."""

    shadows: tuple[Shadow, ...] = ()
    canary: Canary | None = Field(None)

    def scoring(self) -> tuple[Shadow, ...]:
        """What scores as a shadow: the shadows, and the canary's version as well, so its scores
        can be compared between the arms.
        """
        canary = self.canary
        if canary is None or any(one.version == canary.version for one in self.shadows):
            return self.shadows
        own = Shadow(
            name=canary.name, version=canary.version, manifest=canary.manifest, since=canary.since
        )
        return (*self.shadows, own)


@dataclass(frozen=True)
class ModelTest:
    """A test of two versions, as its receipts say.

    Attributes:
        name: `test 1`.
        registered: what was planned; it never changes.
        since: the instant of its start, in UTC.
        by: who started it.
        looks: the looks so far.
        ended: how it ended; None while it runs.
    """

    name: str
    registered: ModelTestRegistered
    since: str
    by: str
    looks: tuple[ModelTestLooked, ...] = ()
    ended: ModelTestEnded | None = None

    @property
    def planned(self) -> PlannedTest:
        """What the contact plan of a month records of it."""
        return PlannedTest(
            name=self.name,
            version_a=self.registered.version_a,
            version_b=self.registered.version_b,
            salt=self.registered.salt,
            budget=self.registered.budget,
        )


@dataclass
class ExperimentState:
    """What follows from the receipts about experiments."""

    shadows: dict[str, Shadow] = field(default_factory=dict)
    """Those that run, by name, oldest first."""
    canary: Canary | None = None
    """The one that runs."""
    ended_canaries: list[Receipt] = field(default_factory=list)
    """The end of every canary, oldest first."""
    tests: dict[str, ModelTest] = field(default_factory=dict)
    """Every test of two versions by name, oldest first."""

    @classmethod
    def from_receipts(cls, receipts: Iterable[Receipt]) -> "ExperimentState":
        """The state after these receipts, which are in the order of the ledger."""
        state = cls()
        for receipt in receipts:
            state.take(receipt)
        return state

    @property
    def running(self) -> Running:
        """The experiments that run."""
        return Running(shadows=tuple(self.shadows.values()), canary=self.canary)

    @property
    def test(self) -> ModelTest | None:
        """The test of two versions that runs."""
        return next((one for one in self.tests.values() if one.ended is None), None)

    def take(self, receipt: Receipt) -> None:
        """Fold one more receipt, in the ledger's order."""
        if receipt.act == "shadow started":
            self.shadows[receipt.subject] = _shadow(receipt)
        elif receipt.act == "shadow ended":
            self.shadows.pop(receipt.subject, None)
        elif receipt.act == "canary started":
            self.canary = _canary(receipt)
        elif receipt.act == "canary ended":
            self.canary = None
            self.ended_canaries.append(receipt)
        elif self.canary is not None and receipt.act in ("canary raised", "canary completed"):
            self.canary = _raised(self.canary, receipt)
        elif receipt.act in TEST_ACTS:
            self._take_test(receipt)

    def _take_test(self, receipt: Receipt) -> None:
        name = receipt.subject
        if receipt.act == "test registered":
            registered = ModelTestRegistered.of(receipt)
            self.tests[name] = ModelTest(name, registered, receipt.time, receipt.actor)
        elif receipt.act == "test looked":
            looks = (*self.tests[name].looks, ModelTestLooked.of(receipt))
            self.tests[name] = replace(self.tests[name], looks=looks)
        else:
            self.tests[name] = replace(self.tests[name], ended=ModelTestEnded.of(receipt))


def _shadow(receipt: Receipt) -> Shadow:
    started = ShadowStarted.of(receipt)
    return Shadow(
        name=started.rule or named(started.version) or receipt.subject,
        version=started.version,
        manifest=started.manifest,
        rule=started.rule,
        since=receipt.time,
    )


def _canary(receipt: Receipt) -> Canary:
    started = CanaryStarted.of(receipt)
    return Canary(
        experiment=started.experiment,
        salt=started.salt,
        version=started.version,
        manifest=started.manifest,
        production=started.before or 0,
        production_manifest=started.production_manifest,
        steps=started.steps,
        every_seconds=started.every_seconds,
        step=1,
        since=receipt.time,
        raised=receipt.time,
    )


def _raised(canary: Canary, receipt: Receipt) -> Canary:
    raised = CanaryRaised.of(receipt)
    if receipt.act == "canary completed":
        return canary.model_copy(update={"completed": True})
    return canary.model_copy(update={"step": raised.step, "raised": receipt.time})
