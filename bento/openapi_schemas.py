"""What every answer of the API looks like, as JSON schemas made from the contract."""

from collections.abc import Mapping
from typing import Any

from churn_platform.contract.model import Column, Contract

from .schema import KEY_LENGTH

Json = dict[str, Any]
STRING: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
BOOLEAN: Json = {"type": "boolean"}
PROBABILITY: Json = {"type": "number", "minimum": 0, "maximum": 1}
DATE: Json = {"type": "string", "format": "date"}
MOMENT: Json = {"type": "string", "format": "date-time"}
IDENTIFIED: Json = {"request_id": STRING}
TRAINED_ON: Json = {"type": "boolean", "description": "Whether the model was trained on this row."}
REASONS: Json = {"type": "array", "items": STRING, "description": "Strongest first, in words."}


def answer_schemas(contract: Contract) -> Json:
    """Every answer by its name."""
    key, example = key_schema(contract), example_key(contract)
    ready: Json = {
        "version": INTEGER, "features_as_of": _or_null(DATE), "missing": {"type": "array", "items": STRING},
        "published_as_of": _or_null(DATE), "stale": BOOLEAN,
        "baked_at": _or_null({"type": "string", "format": "date-time"}),
    }  # fmt: skip
    return {
        **_predictions(contract, key), **_lists(contract.entity.column, key), **_models(),
        "Status": _object(
            {"status": STRING, **ready, **IDENTIFIED}, optional=tuple(ready)
        ),
        "Document": {"type": "object"},
        "Error": _error(contract.entity.column, example),
    }  # fmt: skip


def _predictions(contract: Contract, key: Json) -> Json:
    """One customer's answer, and many."""
    name = contract.entity.column
    scored: Json = {
        name: key,
        "prediction": {
            "type": "integer",
            "enum": [0, 1],
            "description": "1 from the release's threshold on.",
        },
        "probability": PROBABILITY,
        "decile": _or_null(
            {
                "type": "integer",
                "minimum": 1,
                "maximum": 10,
                "description": "1 is the highest risk.",
            }
        ),
        "already_left": _or_null(
            {
                "type": "boolean",
                "description": "Known to have left in the newest scored month; null: not known here.",
            }
        ),
    }
    fresh: Json = {"features_as_of": DATE, "stale": BOOLEAN}
    used = _object({f: _value_schema(column) for f, column in contract.features.items()})
    pushes = _object(dict.fromkeys(contract.features, NUMBER)) | {
        "description": "How far each feature moves the log-odds: above 0 it raises the risk."
    }
    answer: Json = {
        **scored, "reasons": REASONS, "contributions": pushes, "features_used": used,
        "features_as_of": _or_null(DATE | {"description": "Null where the request gave every feature."}),
        "stale": BOOLEAN,
        "what_if": {"type": "array", "items": STRING, "description": "Features that the request gave."},
        "model": ref("ModelOfAnswer"), **IDENTIFIED,
    }  # fmt: skip
    item = _object({**scored, **fresh, "reasons": REASONS}, optional=("reasons",))
    failed = _object({name: key, "error": _refusal()})
    results: Json = {"type": "array", "items": {"anyOf": [item, failed]}}
    counts: Json = {"answered": INTEGER, "failed": INTEGER}
    return {
        "Answer": _object(answer, optional=("reasons", "contributions")),
        "BatchAnswer": _object(
            {"results": results, **counts, "model": ref("ModelOfAnswer"), **IDENTIFIED}
        ),
    }


def _lists(name: str, key: Json) -> Json:
    """The ranked list, and one customer in every month."""
    month: Json = {
        "as_of": DATE, "probability": PROBABILITY, "rank": _or_null(INTEGER), "decile": _or_null(INTEGER),
        "version": INTEGER, "already_left": _or_null(BOOLEAN), "trained_on": _or_null(TRAINED_ON),
    }  # fmt: skip
    listed: Json = {
        name: key, "rank": INTEGER, "probability": PROBABILITY, "decile": INTEGER, "expected_loss": NUMBER,
        "trained_on": TRAINED_ON, "reasons": REASONS,
    }  # fmt: skip
    return {
        "AtRisk": _object({
            "as_of": _or_null(DATE), "version": _or_null(INTEGER), "stand_down": BOOLEAN,
            "list_note": _or_null(STRING), "customers_scored": INTEGER, "already_left": INTEGER,
            "listed": INTEGER, "offset": INTEGER,
            "customers": {"type": "array", "items": _object(listed, optional=("expected_loss", "trained_on"))},
            **IDENTIFIED,
        }),
        "Customer": _object({
            name: key, "history": {"type": "array", "items": _object(month)}, "current": _or_null(ref("Answer")),
            "no_current": _or_null(_refusal()), **IDENTIFIED,
        }),
    }  # fmt: skip


def _models() -> Json:
    """The model, as an answer names it and as it is asked for."""
    model: Json = {
        "name": STRING, "version": INTEGER, "sha256": STRING, "stand_down": BOOLEAN,
        "stand_down_reason": _or_null(STRING),
    }  # fmt: skip
    return {
        "ModelOfAnswer": _object(model),
        "Model": _object({
            **model, "entity": _object({"name": STRING, "dtype": {"type": "string", "enum": ["string", "integer"]}}),
            "since": MOMENT, "previous_version": _or_null(INTEGER),
            "algorithm": STRING, "training_as_of": DATE, "training_months": {"type": "array", "items": DATE},
            "threshold": PROBABILITY, "costs_given": BOOLEAN,
            "metrics": {"type": "object"}, "receipt": _or_null({"type": "object"}),
            "overridden": _or_null(_object({"by": STRING, "reason": STRING, "at": MOMENT})),
            "pending": _or_null(_object({"version": INTEGER, "since": MOMENT, "lapses": MOMENT})),
            "proposal": _or_null(_object({"version": INTEGER, "sentence": STRING, "command": STRING})),
            "warnings": {"type": "array", "items": _object(
                {"as_of": DATE, "code": STRING, "about": STRING, "sentence": STRING}
            )},
            "refused_release": _or_null(STRING), **IDENTIFIED,
        }),
    }  # fmt: skip


def _error(name: str, example: str | int) -> Json:
    """The envelope of every refusal, with an example."""
    shown = {
        "code": "unknown_customer", "message": f"The online store has no customer {example!r}.",
        "hint": f"Check the {name}.", "request_id": "6f1c0a93d2b84e57",
    }  # fmt: skip
    return _object({"error": _refusal(**IDENTIFIED)}) | {"examples": [{"error": shown}]}


def _refusal(**more: Json) -> Json:
    """The fields of a refusal."""
    some: Json = {"missing_features": {"type": "array", "items": STRING}, "features_as_of": DATE}
    return _object(
        {"code": STRING, "message": STRING, "hint": STRING, **some, **more}, optional=tuple(some)
    )


def _object(fields: Mapping[str, Json], optional: tuple[str, ...] = ()) -> Json:
    required = [name for name in fields if name not in optional]
    return {
        "type": "object",
        "properties": dict(fields),
        "required": required,
        "additionalProperties": False,
    }


def _value_schema(column: Column) -> Json:
    """A value as the model saw it: any feature may be null there, a legal null or a missing one."""
    kinds = {"category": "string", "boolean": "boolean", "integer": "integer"}
    return {"type": [kinds.get(column.dtype, "number"), "null"], "description": column.description}


def key_schema(contract: Contract) -> Json:
    """A customer's key."""
    if contract.entity.dtype == "integer":
        return {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
    return {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH}


def example_key(contract: Contract) -> str | int:
    """A key as an example shows it."""
    return 1001 if contract.entity.dtype == "integer" else "C-1001"


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> Json:
    """The schema of a name in this document."""
    return {"$ref": f"#/components/schemas/{name}"}
