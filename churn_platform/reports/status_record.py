"""The state of a home, as status shows it."""

from pydantic import Field

from churn_platform.alerting.alerts import ChannelStatus
from churn_platform.base.digests import digest_of
from churn_platform.base.stored import Stored
from churn_platform.events.held_events import HeldEvents
from churn_platform.experiments.canary_status import CanaryStatus
from churn_platform.lake.deliveries import QuarantineRecord
from churn_platform.ledger.state import ProductionState, RequestRecord, Signature
from churn_platform.ledger.version_acts import Proposal
from churn_platform.monitoring.performance import ServedPerformance, VersionPerformance
from churn_platform.monitoring.track_record import ShownEstimate
from churn_platform.promotion.contact_value import ContactValue
from churn_platform.promotion.decision import Decision
from churn_platform.reports.campaign_status import CampaignStatus
from churn_platform.reports.contact_status import ContactStatus
from churn_platform.reports.contract_status import ContractStatus


class AnsweredDecision(Decision):
    """A decision with what people answered."""

    approval: RequestRecord | None
    """The request that the decision made, and its answer."""
    overridden: Signature | None

    @classmethod
    def of(cls, decision: Decision, state: ProductionState) -> "AnsweredDecision":
        """A decision with the answers that the ledger records."""
        record = decision.model_dump(mode="json")
        return cls.model_validate(record | vars(state.answers(digest_of(record))))


class ProductionStatus(Stored):
    """The version in production; its AUC is the one on the holdout at its decision, None if it
    was imported.
    """

    version: int
    as_of: str
    auc: float | None
    stand_down: bool
    stand_down_reason: str | None
    algorithm: str
    threshold: float
    since: str
    previous_version: int | None
    overridden: Signature | None
    contact_value: ContactValue | None = Field(exclude_if=lambda value: value is None)
    """What its contacts would be worth, by the newest decision that measured it; absent where
    the contract names no contacts.
    """


class WaitingCandidate(Stored):
    """The candidate that waits for approval; `lapsed` is why it no longer waits."""

    version: int
    state: str
    since: str
    until: str
    by: str | None
    reason: str | None
    at: str | None
    sentence: str
    lapsed: str | None
    how: str
    contact_value: ContactValue | None = Field(exclude_if=lambda value: value is None)
    """What its contacts and those of production would be worth."""
    shadow: str | None = Field(None, exclude_if=lambda value: value is None)
    """What it showed as a shadow; absent if it was none."""


class QuarantineStatus(Stored):
    """The quarantined rows of a month by table, and the page with the reasons."""

    as_of: str
    sentence: str
    tables: dict[str, QuarantineRecord]
    page: str


class DueStep(Stored):
    """The step that `churn run` does next."""

    job: str
    as_of: str
    reason: str


class NewestList(Stored):
    """The newest list; `outdated` states that another version is in production than made it."""

    as_of: str
    version: int
    outdated: str | None


class HomeStatus(Stored):
    """Months, production, decisions, and what is due or why nothing is."""

    home: str
    contract: str
    lake: str | None = Field(None, exclude_if=lambda value: value is None)
    """The URI where the lake keeps its files; absent where they are only in the home."""
    drop_source: str | None = Field(None, exclude_if=lambda value: value is None)
    """What waits at the place of `CHURN_DROPS`, or why it cannot be used; absent without it."""
    contract_changes: ContractStatus
    months: list[str]
    production: ProductionStatus | None
    newest_list: NewestList | None
    events: list[HeldEvents] | None = Field(None, exclude_if=lambda value: value is None)
    """What the logs hold; absent where the contract names no event table."""
    contacts: ContactStatus | None = Field(exclude_if=lambda value: value is None)
    """The newest contact plan; absent where the contract names no contacts."""
    pending: WaitingCandidate | None
    blocked: dict[int, Signature]
    decisions: list[AnsweredDecision]
    quarantine: QuarantineStatus | None
    warnings: list[dict[str, str]]
    performance: list[VersionPerformance]
    answered: list[ServedPerformance]
    estimated: ShownEstimate | None = Field(exclude_if=lambda value: value is None)
    """Production on the newest month, whose labels have not arrived; absent where they have."""
    campaign: CampaignStatus | None = Field(exclude_if=lambda value: value is None)
    """What contacting was worth; absent where the contract names no contacts."""
    proposal: Proposal | None
    shadows: list[str] | None = Field(None, exclude_if=lambda value: value is None)
    """The shadows that run; absent without one."""
    canary: CanaryStatus | None = Field(None, exclude_if=lambda value: value is None)
    """The canary that runs; absent without one."""
    test: str | None = Field(None, exclude_if=lambda value: value is None)
    """What the test of two versions that runs shows; absent without one."""
    next: DueStep | None
    reason: str
    alerts: list[ChannelStatus]
