"""What the ledger records: one model per act, with the evidence of the act as its fields.

`LedgerStore.append` writes an act, `of` reads it back from a receipt. A field that was never
set is absent from the JSON line, a field set to None is null. Receipts of earlier versions may
have fewer fields.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from churn_platform.base.digests import canonical_json
from churn_platform.base.errors import DataError
from churn_platform.ledger.receipts import (
    Act,
    Receipt,
    append,
    first_fault,
    model_named,
    named,
    version_of,
)


def _number(value: Any) -> Any:  # noqa: ANN401 - pydantic judges what is left
    """`version 7` as 7; other values stay."""
    if isinstance(value, str):
        return version_of(value)
    return value


Version = Annotated[int, BeforeValidator(_number), PlainSerializer(named)]
"""A version, in receipts `version 7`."""
OptionalVersion = Annotated[int | None, BeforeValidator(_number), PlainSerializer(named)]
"""A version, or null for no version."""
Production = Annotated[int | None, BeforeValidator(_number), PlainSerializer(model_named)]
"""What is in production, in receipts `version 7` or `no model`."""


class LedgerAct(BaseModel):
    """An act, as its receipt records it. The fields of subclasses are its evidence."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)
    name: ClassVar[Act]
    not_evidence: ClassVar[set[str]] = {"actor", "subject", "before", "after", "reason"}

    actor: str = ""
    """Who did it; empty for the person who runs the platform, whom the store fills in."""
    reason: str

    @classmethod
    def of(cls, receipt: Receipt) -> Self:
        """The act that a receipt records.

        Raises:
            DataError: the receipt lacks a field, or has one of another type.
        """
        fields = {name: getattr(receipt, name) for name in cls.not_evidence}
        return cls.model_validate(receipt.evidence | fields)

    def receipt(
        self,
        head: Receipt | None,
        time: str,
        actor: str = "",
        made_by: Mapping[str, JsonValue] | None = None,
    ) -> Receipt:
        """The receipt of the act, which follows `head`.

        Args:
            head: the newest receipt; None in an empty ledger.
            time: an instant in UTC.
            actor: who acted, if the act names no actor.
            made_by: what the evidence records of the installation that acted.

        Raises:
            DataError: a field has the wrong form, or the evidence is not plain, finite JSON.
        """
        written = self.model_dump(mode="json", by_alias=True)
        chosen = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        evidence = {name: value for name, value in chosen.items() if name not in self.not_evidence}
        return append(
            head,
            time=time,
            actor=self.actor or actor,
            act=self.name,
            subject=written["subject"],
            before=written.get("before"),
            after=written.get("after"),
            reason=self.reason,
            evidence={**(made_by or {}), **evidence},
        )

    @model_validator(mode="wrap")
    @classmethod
    def _refuse(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401 - as pydantic hands it over
        try:
            return handler(value)
        except ValidationError as error:
            raise DataError(f"the act {cls.name!r} has {first_fault(error)}") from error


class SubjectAct(LedgerAct):
    """An act on something named by a text."""

    subject: str
    before: str | None = None
    after: str | None = None


class MonthAct(LedgerAct):
    """An act on a month."""

    month: dt.date = Field(alias="subject")


class VersionAct(LedgerAct):
    """An act on a version; `before` and `after` are what was and is in production."""

    version: Version = Field(alias="subject")
    before: OptionalVersion = None
    after: OptionalVersion = None


# Drops


class DropAct(MonthAct):
    """An act on the drop of a month."""

    fingerprint: str
    """Digest of the delivered files."""


class DropAccepted(DropAct):
    """A drop was published as the first delivery of its month."""

    name: ClassVar[Act] = "drop accepted"
    snapshot: str
    """Digest of the month as it is now."""
    delivery: str
    """Digest of the delivery's record."""
    quarantine: dict[str, str] | None = None
    """Table -> digest of its quarantined rows."""
    labelled: tuple[int, int] | None = None
    """Customers with a label, and all customers."""
    compared: JsonValue = None
    """The comparison with the months before."""


class DropCorrected(DropAccepted):
    """A drop was published as a correction of its month."""

    name = "drop corrected"


class DropRepeated(DropAct):
    """Files came again with content that is known."""

    name = "drop repeated"
    snapshot: str


class RefusedDrop(DropAct):
    """A drop breaks the contract; nothing was published."""

    name = "drop refused"


# Training


class RetrainingRequested(MonthAct):
    """The retraining policy asks for a candidate."""

    name: ClassVar[Act] = "retraining requested"
    key: str
    """Digest of the evidence that the policy judged: it answers once for each."""
    trigger: str | None = None
    fallen: str | None = None
    """How performance fell where no candidate can be made yet."""


class RetrainingSkipped(RetrainingRequested):
    """The retraining policy asks for no candidate."""

    name = "retraining skipped"


class ManualRetrainingRequested(MonthAct):
    """A person asks for a candidate."""

    name = "manual retraining requested"
    login: str
    policy: str


class TrainingRefused(MonthAct):
    """The data cannot support a training."""

    name = "training refused"
    dataset: str
    policy: str
    estimator: str | None = None
    """Digest of the sources of the contract's own estimator."""


# Stand-down and warnings


class StandDownBegan(LedgerAct):
    """Production should not be used: it is no better than chance."""

    name: ClassVar[Act] = "stand-down began"
    subject: Version
    version: int | None = None
    """The version in production."""
    performance: JsonValue = None
    """Its newest realised performance."""


class StandDownEnded(StandDownBegan):
    """The version that stood down is used again, or has left production."""

    name = "stand-down ended"


class WarningsRaised(MonthAct):
    """The warnings of a month are others than before."""

    name: ClassVar[Act] = "warnings raised"
    warnings: list[dict[str, JsonValue]]
    snapshot: str | None = None


class WarningsCleared(WarningsRaised):
    """A month has no warnings any more."""

    name = "warnings cleared"


# Contacts


class PlannedTest(BaseModel):
    """The test of two versions that a contact plan belongs to."""

    model_config = ConfigDict(frozen=True)

    name: str
    version_a: int
    version_b: int
    salt: str
    """Of the draw among customers who are on one list alone."""
    budget: int


class ContactPlanRegistered(MonthAct):
    """Who is to be contacted and who is left untouched was decided, before anybody saw it."""

    name: ClassVar[Act] = "contact plan registered"
    digest: str
    """Digest of key, arm and probability of every customer of the plan."""
    inputs: str | None = None
    """Digest of what it was drawn from: the scores, the values, and who was excluded why."""
    experiment: str
    """The month's as_of: each month draws anew."""
    salt: str
    untouched_share: float
    explore_share: float
    budget: int
    contact: int
    explore: int
    untouched: int
    below: int
    excluded: dict[str, int]
    """Reason -> customers in no arm."""
    version: int
    policy: str
    test: PlannedTest | None = None
    """Only where two versions are tested."""


class CampaignEffectChanged(MonthAct):
    """What is known of the effect of contacting is something else than before."""

    name: ClassVar[Act] = "campaign effect changed"
    about: Literal["effect", "contamination"]
    state: str
    """The verdict on the effect, or `high` or `low` for contacts with untouched customers."""
    look: int
    looks: int
    level: float | None
    saved: float | None
    """Customers saved, where an effect is shown or harmful."""
    interval: tuple[float, float] | None
    untouched: int
    contaminated: int
    """Untouched customers who were contacted."""


# The home


class PolicyChanged(SubjectAct):
    """The policy of the contract is another one than the ledger records."""

    name = "policy changed"
    policy: dict[str, JsonValue]
    changed: dict[str, tuple[JsonValue, JsonValue]]
    """Path of the field -> old and new value."""
    contract: str


class ContractChanged(SubjectAct):
    """The contract, apart from its policy and costs, is another one than the ledger records."""

    name = "contract changed"
    contract: dict[str, JsonValue]
    """The whole contract that is in use from now on, as `Contract.written`."""
    features: list[str]
    """The features in the contract's order, which a receipt does not keep: its names are sorted."""
    changes: dict[str, str]
    """Part of the contract, as a path -> what changed."""


class Recovered(SubjectAct):
    """Something that was cut off or damaged was completed or repaired."""

    name = "recovery"
    digests: dict[str, str] | None = None
    """Digest -> the digest that takes its place."""
    files: list[str] | None = None
    record: str | None = None
    intent: str | None = None
    approval: str | None = None


class CustomerForgotten(SubjectAct):
    """Every row of a customer was removed."""

    name = "customer forgotten"
    customer: str
    """Salted hash of the key."""
    salt: str
    digests: dict[str, str]
    """Digest of changed content -> its new digest."""
    rows: dict[str, int]
    versions: list[int]
    unknown: list[int]
    unread: list[str]
    changed: list[str]


class HomeRestored(SubjectAct):
    """The home comes from a backup."""

    name = "home restored"
    archive: str
    receipts: int
    head: str | None


class HomeMoved(SubjectAct):
    """The models moved from the home's own MLflow to a server."""

    name = "home moved"
    move: str
    store: JsonValue
    server: str
    kept: str
    versions: list[int]
    deleted: list[int]
    runs: int
    files: int
    left: list[str]


class LakeMoved(SubjectAct):
    """The files of the lake moved to another place."""

    name = "lake moved"
    move: str
    files: int


@dataclass(frozen=True)
class Change:
    """One field of the policy, by its path in the contract; a value that is not there is None."""

    field: str
    old: JsonValue
    new: JsonValue

    def sentence(self) -> str:
        """The change as a person reads it."""
        return f"{self.field}: {canonical_json(self.old)} -> {canonical_json(self.new)}"


def changes(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> list[Change]:
    """Every field that differs between two policies, by path; a field that only one of them has
    differs too.
    """
    before = dict(_fields(old))
    after = dict(_fields(new))
    # As JSON: in Python false equals 0.
    written_before = {path: canonical_json(value) for path, value in before.items()}
    written_after = {path: canonical_json(value) for path, value in after.items()}
    return [
        Change(path, before.get(path), after.get(path))
        for path in sorted({*before, *after})
        if written_before.get(path) != written_after.get(path)
    ]


def _fields(
    value: JsonValue | Mapping[str, JsonValue], path: str = ""
) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, Mapping) and (value or not path):
        for name, part in value.items():
            yield from _fields(part, f"{path}.{name}" if path else str(name))
    else:
        yield path, value  # type: ignore[misc] # an empty mapping within is a value
