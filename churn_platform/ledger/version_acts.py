"""Acts on versions: decisions, approvals, promotions, rollbacks and proposals."""

from dataclasses import asdict, dataclass
from typing import ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, Field, JsonValue

from churn_platform.base.stored import Stored
from churn_platform.ledger.acts import LedgerAct, OptionalVersion, Production, Version, VersionAct
from churn_platform.ledger.receipts import Act, Receipt

AnyVersionAct = TypeVar("AnyVersionAct", bound=VersionAct)


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

    def act(self, kind: type[AnyVersionAct], **fields: JsonValue) -> AnyVersionAct:
        """An act that is bound to this, with its other fields."""
        return kind.model_validate({**asdict(self), "before": self.production, **fields})


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
    shadow: str | None = None
    """What the version showed as a shadow; absent if it was none."""


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
    """Digest of the decision that approved the version, or of the receipt that imported it."""
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
    imported: str | None = None
    """Digest of the receipt of the import by which a person put it into production."""


class Rollback(ProductionChange):
    """A rollback to a version that was in production before."""

    kind = "rollback"
    blocks: int | None = None
    """The version that is blocked by it."""
    unblocks: int | None = None
    """The version that is no longer blocked."""


class VoidFields(BaseModel):
    """What the cancellation of a production change adds to its intent."""

    intent: str
    """Digest of the receipt of the intent."""


class DoneFields(VoidFields):
    """What the end of a production change adds to its intent."""

    activate_at: str
    """When the servers change over."""


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


class PlannedChange(ProductionChange):
    """A change is planned: its end and its cancellation record the same, and more."""

    done_act: ClassVar[type[PromotionDone | RollbackDone]]
    void_act: ClassVar[type[PromotionVoid | RollbackVoid]]

    def done(self, intent: str, activate_at: str) -> PromotionDone | RollbackDone:
        """The act at its end."""
        plan = self.model_dump(exclude_unset=True)
        return self.done_act(**plan, intent=intent, activate_at=activate_at)

    def void(self, intent: str, production: int | None, why: str) -> PromotionVoid | RollbackVoid:
        """The act that cancels it."""
        plan = self.model_dump(exclude_unset=True)
        stays = {"actor": "", "reason": why, "before": production, "after": production}
        return self.void_act(**plan | stays, intent=intent)


class PromotionIntent(Promotion, PlannedChange):
    """A promotion is planned."""

    name = "promotion intent"
    done_act = PromotionDone
    void_act = PromotionVoid

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


class RollbackIntent(Rollback, PlannedChange):
    """A rollback is planned."""

    name = "rollback intent"
    done_act = RollbackDone
    void_act = RollbackVoid


Intent = PromotionIntent | RollbackIntent


def intent_of(receipt: Receipt) -> Intent:
    """The production change that an intent announces."""
    if receipt.act == "promotion intent":
        return PromotionIntent.of(receipt)
    return RollbackIntent.of(receipt)


def done_of(receipt: Receipt) -> PromotionDone | RollbackDone:
    """The production change that a receipt records as done."""
    if receipt.act == "promotion done":
        return PromotionDone.of(receipt)
    return RollbackDone.of(receipt)


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


class ModelImported(VersionAct):
    """A model that was trained elsewhere is a version of the home."""

    name = "model imported"
    candidate: str
    source: str
    sha256: str
    """Of the file that was read."""
    format: str
    estimator: str
    files: dict[str, str]
    """Name -> sha256 of the version's files."""
    customers: int | None
    """How many customers it was trained on, by the list; None without one."""
    trained_as_of: str | None
    """The newest month that it was trained on, as the person said."""
    login: str
    """Who was logged in, whatever name was given."""


class VersionBlocked(VersionAct):
    """A version was rolled back: it is not promoted automatically."""

    name = "version blocked"


class VersionUnblocked(VersionAct):
    """A blocked version may be promoted again."""

    name = "version unblocked"
    login: str | None = None


# Proposals


class PromotionProposed(VersionAct):
    """On later labels the version is better than production: a promotion is proposed."""

    name: ClassVar[Act] = "promotion proposed"
    key: str
    """Digest of the evidence: a proposal is recorded once for each."""
    test: str | None = None
    """The test of two versions that has shown it; then `difference` is in saved customers."""
    months: tuple[str, ...]
    difference: float
    interval: tuple[float, float]
    level: float


class RollbackProposed(PromotionProposed):
    """On later labels an earlier version is better than production."""

    name = "rollback proposed"


class Proposal(Stored):
    """A version that should be in production by later labels, with its figures."""

    act: Literal["rollback proposed", "promotion proposed"]
    version: int
    production: int
    months: tuple[str, ...]
    auc: float
    production_auc: float
    difference: float
    interval: tuple[float, float]
    level: float
    """Level of the interval: the gate's, Bonferroni-adjusted."""
    sentence: str

    @property
    def command(self) -> str:
        """The command that carries it out."""
        return command_for(self.version, rollback=self.act == "rollback proposed")


def command_for(version: int, *, rollback: bool) -> str:
    """The command by which a person puts a version into production."""
    what = f"rollback --to {version}" if rollback else f"approve {version} --override"
    return f"churn {what} --by NAME --reason TEXT"
