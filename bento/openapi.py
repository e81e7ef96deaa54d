"""The OpenAPI document, made from the contract: every path, every status, examples."""

from churn_platform import __version__
from churn_platform.contract.model import Contract

from .openapi_schemas import STRING, Json, answer_schemas, example_key, key_schema, ref
from .schema import MAX_TOP, Schemas

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
    key, example = contract.entity.column, example_key(contract)
    requests = {
        name: adapter.json_schema(ref_template="#/components/schemas/{model}")
        for name, adapter in (("PredictRequest", schemas.single), ("BatchRequest", schemas.batch))
    }
    nested = {
        name: part for schema in requests.values() for name, part in schema.pop("$defs", {}).items()
    }
    requests["PredictRequest"]["examples"] = [{key: example}, {key: example, "reasons": False}]
    requests["BatchRequest"]["examples"] = [{"keys": [example]}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{contract.model_name} API",
            "version": __version__,
            "description": contract.description,
        },
        "paths": _paths(key_schema(contract)),
        "components": {
            "schemas": {**nested, **requests, **answer_schemas(contract)},
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
            "post": _post(
                "Churn probability of one customer, and why",
                "PredictRequest",
                "Answer",
                404,
                409,
                503,
            )
        },
        "/predict/batch": {
            "post": _post("Churn probability of many customers", "BatchRequest", "BatchAnswer", 503)
        },
        "/customers/at-risk": {
            "get": _get("Who is most likely to leave", "AtRisk", 422, parameters=listing)
        },
        "/customers/{key}": {
            "get": _get(
                "One customer: now and in every scored month",
                "Customer",
                404,
                409,
                422,
                503,
                parameters=customer,
            )
        },
        "/model": {"get": _get("The model in production", "Model", 503)},
        "/health": {"get": _get("Whether the process lives", "Status")},
        "/livez": {"get": _get("Whether the process lives", "Status")},
        "/readyz": {
            "get": _get("Whether it can answer: a verified model, and features", "Status", 503)
        },
        "/metrics": {"get": _text("Prometheus metrics", "text/plain")},
        "/openapi.json": {"get": _get("This document", "Document")},
        "/": {"get": _text("The page for people", "text/html")},
    }


def _post(summary: str, request: str, answered: str, *refusals: int) -> Json:
    content = {"required": True, "content": {"application/json": {"schema": ref(request)}}}
    return {
        "summary": summary,
        "requestBody": content,
        "responses": _responses(answered, *refusals, *BODIES),
    }


def _get(summary: str, answered: str, *refusals: int, parameters: list[Json] | None = None) -> Json:
    described = {"summary": summary, "responses": _responses(answered, *refusals)}
    return described | ({"parameters": parameters} if parameters else {})


def _text(summary: str, kind: str) -> Json:
    found = _responses("Status")
    return {
        "summary": summary,
        "responses": found
        | {"200": {"description": "Text", "content": {kind: {"schema": STRING}}}},
    }


def _responses(answered: str, *refusals: int) -> Json:
    refused = {
        str(status): {
            "description": REFUSALS[status],
            "content": {"application/json": {"schema": ref("Error")}},
        }
        for status in sorted({*EVERYWHERE, *refusals})
    }
    return {
        "200": {
            "description": "Answered",
            "content": {"application/json": {"schema": ref(answered)}},
        }
    } | refused


def _parameter(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema}
