"""What a monthly report is made from, as read from a home."""

import datetime as dt
from dataclasses import dataclass, field

from churn_platform.contacts.campaign import CampaignRecord
from churn_platform.contract.model import Contract
from churn_platform.experiments.month import ExperimentsMonthRecord
from churn_platform.ingestion.month_warnings import MonthWarning
from churn_platform.lake.month_comparison import CustomerChange
from churn_platform.ledger.version_acts import Proposal
from churn_platform.monitoring.performance import VersionPerformance
from churn_platform.reports.monthly.figures import Point, Sources
from churn_platform.reports.status_record import (
    AnsweredDecision,
    ProductionStatus,
    WaitingCandidate,
)


@dataclass(frozen=True)
class PastList:
    """What became of the customers on the newest list whose labels are known.

    Attributes:
        as_of: the month of the list.
        listed: customers on it.
        left: those of them who left.
        stayed: those of them who stayed. The label of the others is not known.
        contacted: those of them who were contacted; None where the contract names no contacts.
        all_customers: customers of the month whose label is known.
        all_left: those of them who left.
    """

    as_of: dt.date
    listed: int
    left: int
    stayed: int
    contacted: int | None
    all_customers: int
    all_left: int
    sources: Sources


@dataclass(frozen=True)
class CurrentList:
    """The list of the month.

    Attributes:
        planned: whether it is a contact plan, not the ranked list.
        listed: customers on it.
        new: those who were not on the list before; None without one.
        gone: customers of the list before who are not on it; None without one.
        before: the month of the list before.
        note: why there is no list.
    """

    planned: bool
    listed: int
    sources: Sources
    new: int | None = None
    gone: int | None = None
    before: dt.date | None = None
    note: str | None = None

    @property
    def still(self) -> int:
        """Customers who were on the list before, too."""
        return self.listed - (self.new or 0)


@dataclass(frozen=True)
class NumberChange:
    """The mean of a number that drifted, in this month and the one before."""

    feature: str
    words: str
    mean: float
    before: float


@dataclass(frozen=True)
class ValueChange:
    """The value of a category whose share changed most since the month before."""

    feature: str
    words: str
    value: str
    share: float
    before: float


@dataclass(frozen=True)
class BusinessChange:
    """How the customers differ from those of the month before.

    Attributes:
        customers: how many are still there, new and gone; None for the first month.
        features: what drifted against the training rows of production and changed since the
            month before.
    """

    customers: CustomerChange | None
    features: tuple[NumberChange | ValueChange, ...]
    before: dt.date | None
    drift_known: bool
    sources: Sources


@dataclass(frozen=True)
class Campaigning:
    """What contacting was worth, and how long until it is known.

    Attributes:
        record: as measured.
        months_needed: months of contacts until an effect of the expected size is shown; None if
            they cannot be forecast, or are more than can be waited for.
        expected_effect: churn rate that a contact is expected to prevent.
        why_unknown: why the months are not known.
    """

    record: CampaignRecord
    sources: Sources
    months_needed: int | None = None
    expected_effect: float | None = None
    why_unknown: str = ""


@dataclass(frozen=True)
class PastDecision:
    """A decision with what people answered."""

    decision: AnsweredDecision
    sources: Sources


@dataclass(frozen=True)
class Realised:
    """The newest realised performance of the version in production, and where it was measured."""

    performance: VersionPerformance
    sources: Sources


@dataclass(frozen=True)
class MonthFacts:
    """Everything that the pages of one month say.

    Attributes:
        churn: churn rate by month.
        performance: AUC of the version in production by month.
        in_production: the release of the version in production.
        decisions: the newest first.
        sources: what was read for the answers that have no sources of their own.
    """

    contract: Contract
    as_of: dt.date
    change: BusinessChange
    current: CurrentList
    past: PastList | None = None
    warnings: tuple[MonthWarning, ...] = ()
    campaigning: Campaigning | None = None
    churn: tuple[Point, ...] = ()
    performance: tuple[Point, ...] = ()
    production: ProductionStatus | None = None
    in_production: Sources = field(default_factory=dict)
    realised: Realised | None = None
    decisions: tuple[PastDecision, ...] = ()
    waiting: WaitingCandidate | None = None
    proposal: Proposal | None = None
    experiments: ExperimentsMonthRecord | None = None
    canary: str | None = None
    sources: Sources = field(default_factory=dict)
