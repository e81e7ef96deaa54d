"""Acts on experiments after deployment: shadows, canaries, and tests of two versions."""

from typing import ClassVar, Literal

from pydantic import JsonValue

from churn_platform.ledger.acts import OptionalVersion, SubjectAct, Version, VersionAct
from churn_platform.ledger.receipts import Act

CanaryOutcome = Literal[
    "stopped", "ended", "promoted", "production changed", "release changed", "home restored"
]
"""Why a canary ended: a guardrail stopped it, a person ended it, it was promoted, another
version was put into production, a release is not the one that was registered, or the home was
restored from a backup.
"""

TestOutcome = Literal["A better", "B better", "no difference shown", "futile", "cancelled"]
"""How a test of two versions ended."""


class ShadowStarted(SubjectAct):
    """A version or a rule scores from now on what production answers. The subject names it."""

    name: ClassVar[Act] = "shadow started"
    version: Version | None = None
    manifest: str | None = None
    """Digest of the version's release."""
    rule: str | None = None
    """The expression over features."""


class ShadowEnded(SubjectAct):
    """A shadow scores no longer."""

    name = "shadow ended"


class CanaryStarted(VersionAct):
    """A version answers a share of the customers; `before` and `after` are in production."""

    name: ClassVar[Act] = "canary started"
    experiment: str
    salt: str
    manifest: str
    """Digest of the version's release."""
    production_manifest: str
    """Digest of the release in production."""
    steps: tuple[float, ...]
    """Share of the customers at each step, ascending."""
    every_seconds: float
    """Shortest duration of a step."""


class CanaryRaised(VersionAct):
    """A canary answers the share of its next step."""

    name: ClassVar[Act] = "canary raised"
    experiment: str
    step: int
    """Number of the step, from 1."""
    share: float


class CanaryCompleted(CanaryRaised):
    """A canary has passed its last step; its share stays until a person decides."""

    name = "canary completed"


class CanaryEnded(VersionAct):
    """Production answers every customer again."""

    name: ClassVar[Act] = "canary ended"
    experiment: str
    outcome: CanaryOutcome
    share: float
    """The share at the end."""
    guardrail: str | None = None
    """The guardrail that stopped it."""
    figures: dict[str, JsonValue] | None = None
    """What the guardrail measured."""


class ModelTestRegistered(SubjectAct):
    """Two versions are tested on the customers that their lists save. Nothing of it can be
    changed afterwards. The subject names the test.
    """

    name: ClassVar[Act] = "test registered"
    version_a: Version
    version_b: Version
    production: Version
    """The one of the two that is in production."""
    manifest_a: str
    """Digest of the version's release."""
    manifest_b: str
    budget: int
    """Customers to contact in a month of the test."""
    months: int
    """Planned months, with one look each."""
    salt: str
    level: float
    """Two-sided confidence level of all looks together."""
    difference: float
    """The planned difference, in saved customers a month."""
    customers: int
    """Planned customers on one list alone, over all months: the information of the last look."""
    boundaries: tuple[float, ...]
    """Of |z| at each look, if the information comes as planned (O'Brien-Fleming)."""
    listed: int
    """Customers on each list of the newest month."""
    only: int
    """Of these on each list alone."""
    churn: tuple[float, float]
    """Churn that is expected of those on list A alone and on list B alone."""
    save_rate: float
    """Share of its leavers that a list is expected to save."""
    smallest_differences: tuple[float | None, ...]
    """The smallest difference, in saved customers a month, that each look shows in 80%."""
    policy: dict[str, JsonValue]
    """What of the contact policy must stay as it is."""
    anyway: bool
    """Whether it was started although it is hopeless."""


class ModelTestLooked(SubjectAct):
    """The labels of one more month of a test are known."""

    name: ClassVar[Act] = "test looked"
    look: int
    months: tuple[str, ...]
    information: float
    """Share of the planned information."""
    boundary: float
    z: float | None
    difference: float | None
    """Saved customers a month by list A less those by list B."""
    interval: tuple[float, float] | None
    conditional_power: float | None
    sample_ratio: float
    """p-value of the sizes of the halves."""
    withheld: bool
    outcome: TestOutcome | None
    lists: dict[str, JsonValue]
    """The customers on list A alone and on list B alone."""


class ModelTestEnded(SubjectAct):
    """A test of two versions is over."""

    name: ClassVar[Act] = "test ended"
    outcome: TestOutcome
    looks: int
    better: OptionalVersion = None
    """The version whose list saves more customers."""
