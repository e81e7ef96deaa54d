"""What a request may hold, made from the contract: the entity's name, the features, their types and ranges."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, Required, cast

from annotated_types import Ge, Le
from pydantic import BeforeValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from churn_platform.contract.model import Column, Contract
from churn_platform.ledger.receipts import first_fault

from .errors import Refusal

MAX_KEYS, MAX_TOP, KEY_LENGTH = 1000, 1000, 256
LARGEST = 2**63 - 1
EXACT_FLOAT = 2**53
REMEDY = "GET /openapi.json describes every field."
# Typed dicts, not models: a feature may be called `copy` or `json`, which are attributes of a model.
_typed_dict = cast("Any", TypedDict)


@dataclass(frozen=True)
class Schemas:
    """The validators of one contract."""

    key: str
    single: TypeAdapter[dict[str, Any]]
    batch: TypeAdapter[dict[str, Any]]
    path_key: TypeAdapter[str | int]
    listing: TypeAdapter[dict[str, Any]]


def schemas_of(contract: Contract) -> Schemas:
    """The validators that a contract asks for."""
    name, key = contract.entity.column, _key_type(contract)
    reasons = Annotated[bool, Strict(), Field(description="Whether to say why, in words.")]
    features: Any = _features_type(contract)
    what_if: Any = Annotated[
        features, Field(description="A what-if: these values in place of the customer's own.")
    ]
    single = {
        name: Required[key],
        "reasons": NotRequired[reasons],
        "features": NotRequired[what_if],
    }
    keys = Annotated[list[key], Field(min_length=1, max_length=MAX_KEYS)]  # type: ignore[valid-type]
    batch = {"keys": Required[keys], "reasons": NotRequired[reasons]}
    listing = {
        "top": NotRequired[Annotated[int, Ge(1), Le(MAX_TOP)]],
        "offset": NotRequired[Annotated[int, Ge(0), Le(LARGEST)]],
    }
    path_key: Any = (
        Annotated[int, Ge(-LARGEST - 1), Le(LARGEST)] if contract.entity.dtype == "integer" else key
    )
    return Schemas(
        key=name,
        single=TypeAdapter(_closed("PredictRequest", single)),
        batch=TypeAdapter(_closed("BatchRequest", batch)),
        path_key=TypeAdapter(path_key),
        listing=TypeAdapter(_closed("Listing", listing)),
    )


def body(adapter: TypeAdapter[dict[str, Any]], content: bytes) -> dict[str, Any]:
    """A body as its schema has it.

    Raises:
        Refusal: 422 with the first fault.
    """
    try:
        found = adapter.validate_json(content)
    except ValidationError as error:
        raise malformed(error) from None
    fields = len(found) + sum(len(part) for part in found.values() if isinstance(part, dict))
    if (
        content.count(b":") > fields
    ):  # a name that comes twice, or a colon in a text; reading again costs time
        # A number's length is no matter here: Python refuses to read one of over 4,300 digits.
        json.loads(content, object_pairs_hook=named_once, parse_int=str, parse_float=str)
    return found


def named_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a dict.

    Raises:
        Refusal: 422 where a name comes twice; a JSON reader would keep the last value.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Refusal(
            422,
            "malformed",
            f"The request gives {twice[:KEY_LENGTH]!r} twice.",
            "Give each field once.",
        )
    return found


def value(adapter: TypeAdapter[Any], given: Any) -> Any:  # noqa: ANN401 - whatever the adapter makes
    """A parameter as its schema has it.

    Raises:
        Refusal: 422 with the first fault.
    """
    try:
        return adapter.validate_python(given)
    except ValidationError as error:
        raise malformed(error) from None


def malformed(error: ValidationError) -> Refusal:
    """The refusal that a validation error becomes."""
    return Refusal(422, "malformed", f"The request has {first_fault(error)}", REMEDY)


def _key_type(contract: Contract) -> Any:  # noqa: ANN401 - a type
    if contract.entity.dtype == "integer":
        key = Annotated[
            int, Strict(), Ge(-LARGEST - 1), Le(LARGEST), Field(description="The customer's key.")
        ]
        return Annotated[key, BeforeValidator(_whole)]
    return Annotated[
        str, Strict(), Field(min_length=1, max_length=KEY_LENGTH, description="The customer's key.")
    ]


def _features_type(contract: Contract) -> Any:  # noqa: ANN401 - a type
    return _closed(
        "Features", {name: NotRequired[_column_type(c)] for name, c in contract.features.items()}
    )


def _column_type(column: Column) -> Any:  # noqa: ANN401 - a type
    said = Field(description=column.description)
    kind: Any
    if column.dtype == "category":
        kind = (
            Literal[column.values]
            if column.values
            else Annotated[str, Strict(), Field(max_length=KEY_LENGTH)]
        )
    elif column.dtype == "boolean":
        kind = Annotated[bool, Strict()]
    else:
        whole = column.dtype == "integer"
        low: float | None = column.min
        high: float | None = column.max
        if whole:  # without these a number of 400 digits would reach the model, which reads floats
            low = -LARGEST - 1 if low is None else int(low)
            high = LARGEST if high is None else int(high)
        bounds = [*([] if low is None else [Ge(low)]), *([] if high is None else [Le(high)])]
        kind = Annotated[
            (
                int if whole else float,
                Strict(),
                Field(allow_inf_nan=False) if not whole else Strict(),
                *bounds,
            )
        ]
    if column.dtype == "integer":
        kind = Annotated[kind, BeforeValidator(_whole)]
    return Annotated[kind | None if column.nullable else kind, said]


def _whole(given: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """JSON knows no integers: 3.0 is 3. From 2**53 on such a number has lost digits: it stays one and is refused."""
    exact = isinstance(given, float) and given.is_integer() and abs(given) < EXACT_FLOAT
    return int(given) if exact else given


def _closed(name: str, fields: dict[str, Any]) -> Any:  # noqa: ANN401 - a type
    """A typed dict that refuses every other field."""
    made = _typed_dict(name, fields)
    made.__pydantic_config__ = ConfigDict(extra="forbid", title=name)
    return made
