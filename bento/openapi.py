"""The OpenAPI document, made from the contract: every path, every status, examples, the error envelope.

Belongs here: the description. Does not: what is described (`bento/schema.py`, `bento/answers.py`).
"""

from collections.abc import Mapping
from typing import Any

from bento.schema import KEY_LENGTH, MAX_TOP, Schemas
from churn_platform import __version__
from churn_platform.core.contract import Column, Contract

Json = dict[str, Any]
STRING: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
BOOLEAN: Json = {"type": "boolean"}
PROBABILITY: Json = {"type": "number", "minimum": 0, "maximum": 1}
DATE: Json = {"type": "string", "format": "date"}
MOMENT: Json = {"type": "string", "format": "date-time"}
IDENTIFIED: Json = {"request_id": STRING}
REASONS: Json = {"type": "array", "items": STRING, "description": "Strongest first, in words."}
REFUSALS = {
    400: "The Host header names another server, or the body was cut off.",
    401: "The API key is missing or wrong.",
    403: "The server asks no keys and was asked from elsewhere.",
    404: "There is no such customer.",
    405: "The path does not answer this method.",
    408: "The body did not come in time.",
    409: "Features are missing or older than the newest month: `missing_features` names them.",
    413: "The body is longer than 1,000,000 bytes.",
    415: "The body is not JSON.",
    422: "The request is malformed.",
    429: "Too many requests are being answered.",
    500: "The server made a mistake.",
    503: "No verified model, or the online store does not answer.",
}
EVERYWHERE = (400, 401, 403, 405, 429, 500)
BODIES = (408, 413, 415, 422)


def document(contract: Contract, schemas: Schemas) -> Json:
    """The OpenAPI 3.1 document of the API on this contract."""
    key, example = contract.entity.column, _example_key(contract)
    requests = {
        name: adapter.json_schema(ref_template="#/components/schemas/{model}")
        for name, adapter in (("PredictRequest", schemas.single), ("BatchRequest", schemas.batch))
    }
    nested = {name: part for schema in requests.values() for name, part in schema.pop("$defs", {}).items()}
    requests["PredictRequest"]["examples"] = [{key: example}, {key: example, "reasons": False}]
    requests["BatchRequest"]["examples"] = [{"keys": [example]}]
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{contract.model_name} API", "version": __version__, "description": contract.description},
        "paths": _paths(_key_schema(contract)),
        "components": {
            "schemas": {**nested, **requests, **_answers(contract, _key_schema(contract), example)},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _paths(key: Json) -> Json:
    listing = [
        _parameter("top", {"type": "integer", "minimum": 1, "maximum": MAX_TOP, "default": 50}),
        _parameter("offset", {"type": "integer", "minimum": 0, "maximum": 2**63 - 1, "default": 0}),
    ]
    customer = [{"name": "key", "in": "path", "required": True, "schema": key}]
    return {
        "/predict": {
            "post": _post("Churn probability of one customer, and why", "PredictRequest", "Answer", 404, 409, 503)
        },
        "/predict/batch": {"post": _post("Churn probability of many customers", "BatchRequest", "BatchAnswer", 503)},
        "/customers/at-risk": {"get": _get("Who is most likely to leave", "AtRisk", 422, parameters=listing)},
        "/customers/{key}": {
            "get": _get(
                "One customer: now and in every scored month", "Customer", 404, 409, 422, 503, parameters=customer
            )
        },
        "/model": {"get": _get("The model in production", "Model", 503)},
        "/health": {"get": _get("Whether the process lives", "Status")},
        "/livez": {"get": _get("Whether the process lives", "Status")},
        "/readyz": {"get": _get("Whether it can answer: a verified model, and features", "Status", 503)},
        "/metrics": {"get": _text("Prometheus metrics", "text/plain")},
        "/openapi.json": {"get": _get("This document", "Document")},
        "/": {"get": _text("The page for people", "text/html")},
    }


def _post(summary: str, request: str, answered: str, *refusals: int) -> Json:
    content = {"required": True, "content": {"application/json": {"schema": _ref(request)}}}
    return {"summary": summary, "requestBody": content, "responses": _responses(answered, *refusals, *BODIES)}


def _get(summary: str, answered: str, *refusals: int, parameters: list[Json] | None = None) -> Json:
    described = {"summary": summary, "responses": _responses(answered, *refusals)}
    return described | ({"parameters": parameters} if parameters else {})


def _text(summary: str, kind: str) -> Json:
    found = _responses("Status")
    return {
        "summary": summary,
        "responses": found | {"200": {"description": "Text", "content": {kind: {"schema": STRING}}}},
    }


def _responses(answered: str, *refusals: int) -> Json:
    refused = {
        str(status): {"description": REFUSALS[status], "content": {"application/json": {"schema": _ref("Error")}}}
        for status in sorted({*EVERYWHERE, *refusals})
    }
    return {"200": {"description": "Answered", "content": {"application/json": {"schema": _ref(answered)}}}} | refused


def _answers(contract: Contract, key: Json, example: str | int) -> Json:
    """Every answer by its name."""
    ready: Json = {
        "version": INTEGER, "features_as_of": _or_null(DATE), "missing": {"type": "array", "items": STRING},
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
        "prediction": {"type": "integer", "enum": [0, 1], "description": "1 from the release's threshold on."},
        "probability": PROBABILITY,
        "decile": _or_null({"type": "integer", "minimum": 1, "maximum": 10, "description": "1 is the highest risk."}),
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
        "model": _ref("ModelOfAnswer"), **IDENTIFIED,
    }  # fmt: skip
    item = _object({**scored, **fresh, "reasons": REASONS}, optional=("reasons",))
    failed = _object({name: key, "error": _refusal()})
    results: Json = {"type": "array", "items": {"anyOf": [item, failed]}}
    counts: Json = {"answered": INTEGER, "failed": INTEGER}
    return {
        "Answer": _object(answer, optional=("reasons", "contributions")),
        "BatchAnswer": _object({"results": results, **counts, "model": _ref("ModelOfAnswer"), **IDENTIFIED}),
    }


def _lists(name: str, key: Json) -> Json:
    """The ranked list, and one customer in every month."""
    month: Json = {"as_of": DATE, "probability": PROBABILITY, "rank": INTEGER, "decile": INTEGER, "version": INTEGER}
    listed: Json = {
        name: key, "rank": INTEGER, "probability": PROBABILITY, "decile": INTEGER, "expected_loss": NUMBER,
        "reasons": REASONS,
    }  # fmt: skip
    return {
        "AtRisk": _object({
            "as_of": _or_null(DATE), "version": _or_null(INTEGER), "stand_down": BOOLEAN, "customers_scored": INTEGER,
            "listed": INTEGER, "offset": INTEGER,
            "customers": {"type": "array", "items": _object(listed, optional=("expected_loss",))}, **IDENTIFIED,
        }),
        "Customer": _object({
            name: key, "history": {"type": "array", "items": _object(month)}, "current": _or_null(_ref("Answer")),
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
            "threshold": PROBABILITY, "metrics": {"type": "object"}, "receipt": _or_null({"type": "object"}),
            "overridden": _or_null(_object({"by": STRING, "reason": STRING, "at": MOMENT})),
            "pending": _or_null(_object({"version": INTEGER, "since": MOMENT, "lapses": MOMENT})),
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
    """What a refusal says."""
    some: Json = {"missing_features": {"type": "array", "items": STRING}, "features_as_of": DATE}
    return _object({"code": STRING, "message": STRING, "hint": STRING, **some, **more}, optional=tuple(some))


def _object(fields: Mapping[str, Json], optional: tuple[str, ...] = ()) -> Json:
    required = [name for name in fields if name not in optional]
    return {"type": "object", "properties": dict(fields), "required": required, "additionalProperties": False}


def _value_schema(column: Column) -> Json:
    """A value as the model saw it: any feature may be null there, a legal null or a missing one."""
    kinds = {"category": "string", "boolean": "boolean", "integer": "integer"}
    return {"type": [kinds.get(column.dtype, "number"), "null"], "description": column.description}


def _key_schema(contract: Contract) -> Json:
    if contract.entity.dtype == "integer":
        return {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
    return {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH}


def _example_key(contract: Contract) -> str | int:
    return 1001 if contract.entity.dtype == "integer" else "C-1001"


def _parameter(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
