"""The parts of responses that are the same for every contract."""

import datetime as dt
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, WithJsonSchema, with_config
from pydantic.config import JsonDict
from typing_extensions import TypedDict

closed = with_config(ConfigDict(extra="forbid"))

Probability = Annotated[float, Field(ge=0, le=1)]
Day = Annotated[str, WithJsonSchema({"type": "string", "format": "date"})]
Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
TrainedOn = Annotated[bool, Field(description="Whether the model was trained on this row.")]
Reasons = Annotated[list[str], Field(description="Strongest first, in words.")]
Decile = Annotated[int, Field(ge=1, le=10, description="1 is the highest risk.")]
AnswerVersion = Annotated[int, Field(description="The version that answered.")]
ListVersion = Annotated[
    int, Field(description="The version that scored the customer; only while a canary runs.")
]
Arm = Annotated[
    Literal["production", "canary"],
    Field(description="The customer's arm: `canary` while a canary answers this customer."),
]
EXAMPLE_ERROR: JsonDict = {
    "code": "unknown_customer",
    "message": "The online store has no customer 'C-1001'.",
    "hint": "Check the key.",
    "request_id": "6f1c0a93d2b84e57",
}


@closed
class ErrorItem(TypedDict):
    """What is wrong, and what to do."""

    code: str
    message: str
    hint: str
    missing_features: NotRequired[list[str]]
    features_as_of: NotRequired[dt.date]


@closed
class ErrorDetail(ErrorItem):
    """The error of a request."""

    request_id: str


@with_config(ConfigDict(extra="forbid", json_schema_extra={"examples": [{"error": EXAMPLE_ERROR}]}))
class Error(TypedDict):
    """The envelope of every error."""

    error: ErrorDetail


@closed
class HealthAnswer(TypedDict):
    """Whether the process is alive; `/readyz` adds what it can answer with."""

    status: str
    version: NotRequired[int]
    features_as_of: NotRequired[dt.date | None]
    published_as_of: NotRequired[dt.date | None]
    stale: NotRequired[bool]
    missing: NotRequired[list[str]]
    baked_at: NotRequired[Moment | None]
    request_id: str


@closed
class ModelOfAnswer(TypedDict):
    """The model that answered."""

    name: str
    version: int
    sha256: str
    stand_down: bool
    stand_down_reason: str | None


@closed
class EntityKey(TypedDict):
    """The customer's key, as the contract declares it."""

    name: str
    dtype: Literal["string", "integer"]


@closed
class Override(TypedDict):
    """Who promoted the version against its decision."""

    by: str
    reason: str
    at: Moment


@closed
class PendingApproval(TypedDict):
    """The candidate that waits for an approval."""

    version: int
    since: Moment
    lapses: Moment


@closed
class ProposalPart(TypedDict):
    """The version that did better on later labels."""

    version: int
    sentence: str
    command: str


@closed
class WarningPart(TypedDict):
    """A warning of the newest month."""

    as_of: Day
    code: str
    about: str
    sentence: str


@closed
class ProductionRecord(TypedDict):
    """What ledger and records hold about the version in production."""

    receipt: dict[str, Any] | None
    overridden: Override | None
    pending: PendingApproval | None
    proposal: ProposalPart | None
    warnings: list[WarningPart]


@closed
class CanaryPart(TypedDict):
    """The version that answers a share of the customers."""

    version: int
    share: Probability
    step: int
    steps: list[float]
    since: Moment
    raised: Moment


@closed
class ShadowPart(TypedDict):
    """What scores every served answer as well, after the response."""

    name: str
    since: Moment
    off: Annotated[str | None, Field(description="Why it does not score; null: it does.")]
    shows: Annotated[
        str | None,
        Field(description="How it compares with production; null: not compared yet."),
    ]


@closed
class ExperimentsRecord(TypedDict):
    """The experiments that this server follows."""

    canary: CanaryPart | None
    shadows: list[ShadowPart]


@closed
class EstimatedFigure(TypedDict):
    """An estimated figure with its 95% interval."""

    value: float
    interval: list[float]


@closed
class EstimatedPart(TypedDict):
    """Estimated, not measured: the version on the newest month, whose labels are not known."""

    as_of: Day
    auc: Annotated[
        EstimatedFigure | None,
        Field(description="Null: withdrawn by its own record, or not possible."),
    ]
    brier: EstimatedFigure | None
    churn_rate: Annotated[EstimatedFigure | None, Field(description="Without any contact.")]
    contacts: int | None
    hits: Annotated[EstimatedFigure | None, Field(description="Churners among `contacts`.")]
    value: EstimatedFigure | None
    fell: Annotated[bool, Field(description="Whether the month's customers lower the AUC.")]
    checked_months: int
    largest_miss: float | None
    withdrawn: str | None
    sentence: str


@closed
class ModelRecord(ModelOfAnswer, ProductionRecord, ExperimentsRecord):
    """What there is of every model in production."""

    entity: EntityKey
    since: Moment
    previous_version: int | None
    algorithm: str
    training_as_of: Day
    training_months: list[Day]
    threshold: Probability
    costs_given: bool
    metrics: dict[str, Any]
    refused_release: str | None
    request_id: str


@closed
class Model(ModelRecord):
    """The model in production."""

    estimated: NotRequired[EstimatedPart]
    reasons_by: NotRequired[
        Annotated[str, Field(description="How the reasons of your own estimator are measured.")]
    ]


@closed
class RealisedPart(TypedDict):
    """The version's newest realised performance, corrected for contacts and naive."""

    as_of: Day
    auc: Annotated[
        float | None,
        Field(description="By labels corrected for contacts; null: not measurable."),
    ]
    auc_interval: list[float] | None
    naive_auc: Annotated[float | None, Field(description="By the labels as they arrived.")]
    assigned: Annotated[int, Field(description="Assigned to be contacted, not measured.")]
    untouched: Annotated[int, Field(description="Left untouched; they stand for the assigned.")]
    outside: Annotated[int, Field(description="Contacted without a plan.")]
    bounds: Annotated[
        list[float] | None,
        Field(description="Smallest and largest AUC that labels of `outside` allow."),
    ]
    note: str | None


@closed
class ContactValuePart(TypedDict):
    """What the contacts of a month would be worth if the version chose them."""

    decided_on: Day
    budget: int
    value: float
    interval: list[float]
    empc: float | None
    save_rate: float
    save_rate_measured: Annotated[bool, Field(description="False: assumed as Beta(6, 14).")]


@closed
class CampaignPart(TypedDict):
    """What contacting was worth, as known in the newest month."""

    as_of: Day
    state: Literal["shown", "not yet shown", "harmful", "withheld"]
    sentence: str
    saved: float | None
    interval: list[float] | None


@closed
class ContactsRecord(TypedDict):
    """What `GET /model` adds where the contract names contacts."""

    realised: RealisedPart | None
    contact_value: ContactValuePart | None
    campaign: CampaignPart | None


@closed
class ModelWithContacts(Model, ContactsRecord):
    """The model in production, where the contract names contacts."""


@closed
class HistoryEntry(TypedDict):
    """One customer as a month's scoring saw it."""

    as_of: Day
    probability: Probability
    rank: int | None
    decile: int | None
    version: int
    already_left: bool | None
    trained_on: TrainedOn | None
