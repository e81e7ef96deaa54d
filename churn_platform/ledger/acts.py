"""What the ledger records: one model per act, with the evidence of the act as its fields.

`LedgerStore.append` writes an act, `of` reads it back from a receipt. A field that was never
set is absent from the JSON line, a field set to None is null. Receipts of earlier versions may
have fewer fields.
"""

import datetime as dt
from dataclasses import asdict, dataclass
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

from churn_platform.base.errors import DataError
from churn_platform.ledger.receipts import Act, Receipt, first_fault


def named(version: int | None) -> str | None:
    """A version as receipts name it."""
    if version is None:
        return None
    return f"version {version}"


def model_named(version: int | None) -> str:
    """A version, or that there is none, in a sentence."""
    return named(version) or "no model"


def version_of(name: str | None) -> int | None:
    """The version that a receipt names; None where it names none."""
    number = (name or "").removeprefix("version ")
    if number.isdecimal():
        return int(number)
    return None


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

    def receipt_fields(self) -> dict[str, Any]:
        """The fields of its receipt."""
        written = self.model_dump(mode="json", by_alias=True)
        chosen = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return {
            "act": self.name,
            "actor": self.actor,
            "subject": written["subject"],
            "before": written.get("before"),
            "after": written.get("after"),
            "reason": self.reason,
            "evidence": {
                name: value for name, value in chosen.items() if name not in self.not_evidence
            },
        }

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


# Training and decisions


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


class DecisionMade(LedgerAct):
    """A candidate was compared with production."""

    name = "decision"
    version: Version = Field(alias="subject")
    before: OptionalVersion = None
    outcome: str = Field(alias="after")
    decision: str
    trigger: str
    candidate: str
    policy: str
    files: dict[str, str] | None = None
    """Name -> sha256 of the version's files."""
    dataset: str
    holdout: str
    contract: str


# Approvals


@dataclass(frozen=True)
class Bound:
    """What an approval is bound to: it counts for exactly this and lapses when any of it
    changes.

    `candidate`, `decision`, `dataset` and `policy` are digests: of the model, of the decision,
    of the data it was judged on, of the thresholds it was judged by.
    """

    version: int
    candidate: str
    decision: str
    dataset: str
    policy: str
    production: int | None

    def act_fields(self) -> dict[str, Any]:
        """The fields of an act that is bound to this."""
        fields = asdict(self)
        fields["before"] = fields.pop("production")
        return fields


class BoundAct(VersionAct):
    """An act on an approval, bound to the digests of what is approved."""

    candidate: str
    decision: str
    dataset: str
    policy: str

    @property
    def bound(self) -> Bound:
        """What it is bound to."""
        return Bound(
            version=self.version,
            candidate=self.candidate,
            decision=self.decision,
            dataset=self.dataset,
            policy=self.policy,
            production=self.before,
        )


class ApprovalRequested(BoundAct):
    """A candidate passed and waits for a manual approval."""

    name = "approval requested"
    as_of: str
    until: str
    """When it lapses, an instant in UTC."""


class AnswerAct(BoundAct):
    """A person's answer about a candidate."""

    as_of: str
    request: str | None
    """Digest of the receipt of the request that it answers."""
    login: str
    """Who was logged in, whatever name was given."""


class Approved(AnswerAct):
    """A person promotes a candidate."""

    name = "approval"
    override: bool
    """Whether it goes against the decision."""
    against: str | None
    """What it overrides."""


class Rejected(AnswerAct):
    """A person refuses a candidate."""

    name = "rejection"


class ApprovalLapsed(VersionAct):
    """A request is no longer valid, or an approval could not be carried out."""

    name = "approval lapsed"
    candidate: str
    decision: str
    dataset: str | None = None
    policy: str | None = None
    request: str | None = None
    as_of: str | None = None
    override: bool | None = None
    approval: str | None = None


# Production changes


class ProductionChange(VersionAct):
    """Production goes from `before` (None: no model) to `version`."""

    kind: ClassVar[Literal["promotion", "rollback"]]

    decision: str
    """Digest of the decision that approved the version."""
    candidate: str
    """Digest of the model."""
    as_of: str
    """The month that the version was trained on."""


class Promotion(ProductionChange):
    """A promotion; `override` and `approval` are set if a person approved it."""

    kind = "promotion"
    override: bool | None = None
    approval: str | None = None
    """Digest of the receipt of the approval."""


class Rollback(ProductionChange):
    """A rollback to a version that was in production before."""

    kind = "rollback"
    blocks: int | None = None
    """The version that is blocked by it."""
    unblocks: int | None = None
    """The version that is no longer blocked."""


class DoneFields(BaseModel):
    """What the end of a production change adds to its intent."""

    intent: str
    """Digest of the receipt of the intent."""
    activate_at: str
    """When the servers change over."""


class VoidFields(BaseModel):
    """What the cancellation of a production change adds to its intent."""

    intent: str


class PromotionDone(Promotion, DoneFields):
    """A version is in production."""

    name = "promotion done"


class RollbackDone(Rollback, DoneFields):
    """An earlier version is in production again."""

    name = "rollback done"


class PromotionVoid(Promotion, VoidFields):
    """A promotion that was cut off cannot be completed."""

    name = "promotion void"


class RollbackVoid(Rollback, VoidFields):
    """A rollback that was cut off cannot be completed."""

    name = "rollback void"


class PromotionIntent(Promotion):
    """A promotion is planned: what its end and its cancellation record, too."""

    name = "promotion intent"

    @classmethod
    def approved_by(cls, receipt: Receipt) -> Self:
        """The promotion that a person's approval asks for."""
        approval = Approved.of(receipt)
        return cls(
            version=approval.version,
            before=approval.before,
            after=approval.version,
            actor=approval.actor,
            reason=approval.reason,
            decision=approval.decision,
            candidate=approval.candidate,
            as_of=approval.as_of,
            override=approval.override,
            approval=receipt.digest,
        )

    def done(self, intent: str, activate_at: str) -> PromotionDone:
        """The act at its end."""
        plan = self.model_dump(exclude_unset=True)
        return PromotionDone(**plan, intent=intent, activate_at=activate_at)

    def void(self, intent: str, production: int | None, why: str) -> PromotionVoid:
        """The act that cancels it."""
        plan = self.model_dump(exclude_unset=True)
        return PromotionVoid(**plan | _cancelled(intent, production, why))


class RollbackIntent(Rollback):
    """A rollback is planned."""

    name = "rollback intent"

    def done(self, intent: str, activate_at: str) -> RollbackDone:
        """The act at its end."""
        plan = self.model_dump(exclude_unset=True)
        return RollbackDone(**plan, intent=intent, activate_at=activate_at)

    def void(self, intent: str, production: int | None, why: str) -> RollbackVoid:
        """The act that cancels it."""
        plan = self.model_dump(exclude_unset=True)
        return RollbackVoid(**plan | _cancelled(intent, production, why))


Intent = PromotionIntent | RollbackIntent


def _cancelled(intent: str, production: int | None, why: str) -> dict[str, Any]:
    return {
        "actor": "",
        "reason": why,
        "before": production,
        "after": production,
        "intent": intent,
    }


class ProductionKept(LedgerAct):
    """A decision leaves production as it is."""

    name = "production kept"
    production: Production = Field(alias="subject")
    before: Production
    after: Production
    decision: str
    candidate: str


class ReleasePublished(VersionAct):
    """A version has a release, which serving loads."""

    name = "release published"
    candidate: str
    manifest: str
    """Digest of the manifest."""
    files: dict[str, str]
    """Name -> sha256."""
    created_at: str | None = None


class VersionBlocked(VersionAct):
    """A version was rolled back: it is not promoted automatically."""

    name = "version blocked"


class VersionUnblocked(VersionAct):
    """A blocked version may be promoted again."""

    name = "version unblocked"
    login: str | None = None


# Performance


class PromotionProposed(VersionAct):
    """On later labels the version is better than production: a promotion is proposed."""

    name: ClassVar[Act] = "promotion proposed"
    key: str
    """Digest of the evidence: a proposal is recorded once for each."""
    months: tuple[str, ...]
    difference: float
    interval: tuple[float, float]
    level: float


class RollbackProposed(PromotionProposed):
    """On later labels an earlier version is better than production."""

    name = "rollback proposed"


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


# The home


class PolicyChanged(SubjectAct):
    """The policy of the contract is another one than the ledger records."""

    name = "policy changed"
    policy: dict[str, JsonValue]
    changed: dict[str, tuple[JsonValue, JsonValue]]
    """Path of the field -> old and new value."""
    contract: str


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
