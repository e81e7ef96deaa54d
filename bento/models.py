"""The bodies of requests and responses, made from the contract in production.

They are typed dicts, which pydantic validates and FastAPI describes like model classes: a
feature may be called `copy` or `json`, and those are attributes of a model class.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, cast

from annotated_types import Ge, Le, Lt
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
)
from typing_extensions import TypedDict

from churn_platform.contract.model import Column, Contract

from .schemas import (
    AnswerVersion,
    Arm,
    Decile,
    ErrorItem,
    HistoryEntry,
    ListVersion,
    ModelOfAnswer,
    Probability,
    Reasons,
    TrainedOn,
)

MAX_KEYS = 1000
MAX_TOP = 1000
KEY_LENGTH = 256
INT64 = 2**63
"""Integers lie below it. As an exclusive bound it survives OpenAPI, which holds floats."""
EXACT_FLOAT = 2**53
_typed_dict = cast("Any", TypedDict)


class Page(BaseModel):
    """Which part of the at-risk list to return."""

    model_config = ConfigDict(extra="forbid")

    top: int = Field(50, ge=1, le=MAX_TOP)
    offset: int = Field(0, ge=0, lt=INT64)


@dataclass(frozen=True)
class Models:
    """The types that depend on the contract.

    Attributes:
        path_key: The customer's key as a part of a path.
        predict_request: One customer, with or without reasons and assumed feature values.
        batch_request: Up to 1,000 customers.
        answer: The answer about one customer.
        batch_answer: The answers about many.
        at_risk: The ranked list.
        customer: One customer, now and in every scored month.
    """

    path_key: Any
    predict_request: Any
    batch_request: Any
    answer: Any
    batch_answer: Any
    at_risk: Any
    customer: Any


def models_of(contract: Contract) -> Models:
    """The types for a contract."""
    name = contract.entity.column
    key = _key_type(contract)
    example = 1001 if contract.entity.dtype == "integer" else "C-1001"
    features = {
        feature: NotRequired[_feature_type(column)] for feature, column in contract.features.items()
    }
    what_if = Field(description="Assumed values, in place of the customer's own.")
    reasons = NotRequired[Annotated[bool, Strict(), Field(description="Whether to give reasons.")]]
    keys = Annotated[list[key], Field(min_length=1, max_length=MAX_KEYS)]  # type: ignore[valid-type]
    predict_fields = {
        name: key,
        "reasons": reasons,
        "features": NotRequired[Annotated[_closed("Features", features), what_if]],
    }
    scored = _scored_fields(name, key)
    answer = _answer_type(contract, scored)
    return Models(
        path_key=Annotated[int, *_int64()] if contract.entity.dtype == "integer" else key,
        predict_request=_closed(
            "PredictRequest",
            predict_fields,
            examples=[{name: example}, {name: example, "reasons": False}],
        ),
        batch_request=_closed(
            "BatchRequest",
            {"keys": keys, "reasons": reasons},
            examples=[{"keys": [example]}],
        ),
        answer=answer,
        batch_answer=_batch_answer_type(name, key, scored),
        at_risk=_at_risk_type(contract, key),
        customer=_closed(
            "Customer",
            {
                name: key,
                **_customer_contact(contract),
                "history": list[HistoryEntry],
                "current": answer | None,
                "no_current": ErrorItem | None,
                "request_id": str,
            },
        ),
    )


def add_features(schemas: dict[str, Any], contract: Contract) -> None:
    """Describe answers that may also have the features of another contract: those of a canary.

    Args:
        schemas: the schemas of an OpenAPI document.
        contract: the contract of the canary's version.
    """
    described = TypeAdapter(models_of(contract).answer).json_schema()["$defs"]
    for name in ("FeaturesUsed", "Contributions"):
        schema = schemas[name]
        other = described[name]["properties"]
        schema["properties"] = {**other, **schema["properties"]}
        schema["required"] = [one for one in schema.get("required", []) if one in other]


def _scored_fields(name: str, key: Any) -> Mapping[str, Any]:  # noqa: ANN401 - a type
    prediction = Field(description="1 from the release's threshold on.")
    left = "Known to have left in the newest scored month; null: not known here."
    return {
        name: key,
        "prediction": Annotated[Literal[0, 1], prediction],
        "probability": Probability,
        "decile": Decile | None,
        "already_left": Annotated[bool | None, Field(description=left)],
        "version": AnswerVersion,
        "arm": Arm,
    }


def _answer_type(contract: Contract, scored: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a type
    used = {name: _used_type(column) for name, column in contract.features.items()}
    moves = "How far each feature moves the log-odds: above 0 it raises the risk."
    contributions = _closed("Contributions", dict.fromkeys(contract.features, float))
    return _closed(
        "Answer",
        {
            **scored,
            "reasons": NotRequired[Reasons],
            "contributions": NotRequired[Annotated[contributions, Field(description=moves)]],
            "features_used": _closed("FeaturesUsed", used),
            "features_as_of": Annotated[
                dt.date | None,
                Field(description="Null where the request gave every feature."),
            ],
            "stale": bool,
            "what_if": Annotated[list[str], Field(description="Features that the request gave.")],
            "model": ModelOfAnswer,
            "request_id": str,
        },
    )


def _batch_answer_type(name: str, key: Any, scored: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a type
    row = {
        **scored,
        "features_as_of": dt.date,
        "stale": bool,
        "reasons": NotRequired[Reasons],
    }
    answered = _closed("BatchRow", row)
    failed = _closed("BatchError", {name: key, "error": ErrorItem})
    return _closed(
        "BatchAnswer",
        {
            "results": list[answered | failed],  # type: ignore[valid-type]
            "answered": int,
            "failed": int,
            "model": ModelOfAnswer,
            "request_id": str,
        },
    )


def _customer_contact(contract: Contract) -> dict[str, Any]:
    """The field of a customer where the contract names contacts."""
    if contract.contacts is None:
        return {}
    said = "Whether the newest month's list of who to contact has the customer; null without one."
    return {"to_contact": Annotated[bool | None, Field(description=said)]}


def _list_contact(contract: Contract) -> dict[str, Any]:
    """The field of the list where the contract names contacts."""
    if contract.contacts is None:
        return {}
    said = "The list holds the customers to contact, not all who are likely to leave."
    return {"to_contact": Annotated[Literal[True], Field(description=said)]}


def _at_risk_type(contract: Contract, key: Any) -> Any:  # noqa: ANN401 - a type
    name = contract.entity.column
    listed = {
        name: key,
        "rank": int,
        "probability": Probability,
        "decile": int,
        "expected_loss": NotRequired[float],
        "trained_on": NotRequired[TrainedOn],
        "version": NotRequired[ListVersion],
        "arm": NotRequired[Arm],
        "reasons": Reasons,
    }
    return _closed(
        "AtRisk",
        {
            "as_of": dt.date | None,
            "version": int | None,
            "stand_down": bool,
            "list_note": str | None,
            "customers_scored": int,
            "already_left": int,
            "listed": int,
            "offset": int,
            "customers": list[_closed("ListedCustomer", listed)],  # type: ignore[misc]
            **_list_contact(contract),
            "request_id": str,
        },
    )


def _key_type(contract: Contract) -> Any:  # noqa: ANN401 - a type
    text = Field(description="The customer's key.")
    if contract.entity.dtype == "integer":
        return Annotated[int, Strict(), *_int64(), text, BeforeValidator(_whole)]
    return Annotated[str, Strict(), Field(min_length=1, max_length=KEY_LENGTH), text]


def _feature_type(column: Column) -> Any:  # noqa: ANN401 - a type
    """The values of a feature that a request may assume: the column's dtype and range."""
    kind: Any
    if column.dtype == "category" and column.values:
        kind = Literal[column.values]
    elif column.dtype == "category":
        kind = Annotated[str, Strict(), Field(max_length=KEY_LENGTH)]
    elif column.dtype == "boolean":
        kind = Annotated[bool, Strict()]
    elif column.dtype == "integer":
        kind = Annotated[int, Strict(), *_int64(column.min, column.max), BeforeValidator(_whole)]
    else:
        bounds = Field(allow_inf_nan=False, ge=column.min, le=column.max)
        kind = Annotated[float, Strict(), bounds]
    nullable = kind | None if column.nullable else kind
    return Annotated[nullable, Field(description=column.description)]


def _used_type(column: Column) -> Any:  # noqa: ANN401 - a type
    """A value as the model saw it: each may be null, a legal null or a missing one."""
    kinds: dict[str, Any] = {"category": str, "boolean": bool, "integer": int}
    kind = kinds.get(column.dtype, float)
    return Annotated[kind | None, Field(description=column.description)]


def _int64(low: float | None = None, high: float | None = None) -> tuple[Any, ...]:
    """Bounds of an integer: without them 400 digits would reach the model, which reads floats."""
    least = Ge(-INT64 if low is None else int(low))
    return (least, Lt(INT64)) if high is None else (least, Le(int(high)))


def _whole(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """JSON has no integers: 3.0 is 3. A float from 2**53 on has lost digits and is refused."""
    exact = isinstance(value, float) and value.is_integer() and abs(value) < EXACT_FLOAT
    return int(value) if exact else value


def _closed(name: str, fields: dict[str, Any], **schema: Any) -> Any:  # noqa: ANN401 - a type
    """A typed dict that refuses every other field; `schema` adds to its JSON schema."""
    made = _typed_dict(name, fields)
    made.__pydantic_config__ = ConfigDict(extra="forbid", title=name, json_schema_extra=schema)
    return made
