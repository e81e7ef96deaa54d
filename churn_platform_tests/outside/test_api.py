"""The HTTP API: paths, statuses, fields, error codes, metric names."""

import asyncio
import hashlib
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from churn_platform_tests.api_client import client, running
from churn_platform_tests.outside.frozen import check, metric_names, shape
from churn_platform_tests.small_business import copied, open_home

KEY = "secret"
ASKED = {
    "predict": ("POST", "/predict", {"json": {"member": "m00001"}}),
    "a what-if": (
        "POST",
        "/predict",
        {"json": {"member": "m00001", "features": {"months": 1}}},
    ),
    "without reasons": (
        "POST",
        "/predict",
        {"json": {"member": "m00001", "reasons": False}},
    ),
    "a batch": (
        "POST",
        "/predict/batch",
        {"json": {"keys": ["m00001", "nobody"], "reasons": True}},
    ),
    "the list": ("GET", "/customers/at-risk?top=2&offset=1", {}),
    "a customer": ("GET", "/customers/m00001", {}),
    "the model": ("GET", "/model", {}),
    "health": ("GET", "/health", {}),
    "livez": ("GET", "/livez", {}),
    "readyz": ("GET", "/readyz", {}),
    "the head of a path": ("HEAD", "/model", {}),
    "unknown path": ("GET", "/nothing", {}),
    "another method": ("GET", "/predict", {}),
    "unknown customer": ("POST", "/predict", {"json": {"member": "nobody"}}),
    "an empty request": ("POST", "/predict", {"json": {}}),
    "an extra field": ("POST", "/predict", {"json": {"member": "m00001", "age": 3}}),
    "no keys": ("POST", "/predict/batch", {"json": {"keys": []}}),
    "a parameter out of range": ("GET", "/customers/at-risk?top=0", {}),
    "not JSON": ("POST", "/predict", {"content": b"member"}),
    "a long body": ("POST", "/predict", {"json": {"member": "m" * 1_000_001}}),
    "another host": ("GET", "/model", {"headers": {"host": "evil"}}),
    "the page": ("GET", "/", {}),
    "the metrics": ("GET", "/metrics", {}),
}
ORDINARY = {"connection", "content-length", "date", "server"}


def ask(front: Any, *requests: tuple[str, str, dict[str, Any]]) -> list[Any]:
    async def all_of_them() -> list[Any]:
        async with client(front) as made:
            return [await made.request(method, path, **more) for method, path, more in requests]

    return asyncio.run(all_of_them())


@pytest.fixture(scope="module")
def answers(served, tmp_path_factory):
    """Each answer by what was asked."""
    home = copied(served, tmp_path_factory.mktemp("asked") / "home")
    with running(home) as front:
        return dict(zip(ASKED, ask(front, *ASKED.values()), strict=True))


def test_answers_and_refusals(answers, served, tmp_path):
    found = {case: _answer(response) for case, response in answers.items()}
    with running(served, api_keys=hashlib.sha256(KEY.encode()).hexdigest()) as front:
        wrong, right = ask(
            front,
            ("GET", "/model", {}),
            ("GET", "/model", {"headers": {"authorization": f"Bearer {KEY}"}}),
        )
        found |= {"no API key": _answer(wrong), "an API key": _answer(right)}
    with running(empty(tmp_path)) as front:
        cases = {"no model": ("GET", "/model", {}), "not ready": ("GET", "/readyz", {})}
        found |= {
            case: _answer(response)
            for case, response in zip(cases, ask(front, *cases.values()), strict=True)
        }
    check("api_answers", found)


def empty(folder):
    """A home of the shipped contract in which nothing has happened."""
    home = open_home(folder / "home")
    home.create()
    return home


def _answer(response: Any) -> dict[str, Any]:
    found = {
        "status": response.status_code,
        "headers": sorted(set(response.headers) - ORDINARY),
        "type": response.headers.get("content-type"),
    }
    if response.content and found["type"] == "application/json":
        found["body"] = shape(response.json())
    if response.status_code != 200 and response.content:
        found["code"] = response.json()["error"]["code"]
    return found


def test_openapi_of_the_shipped_contract(tmp_path):
    with running(empty(tmp_path)) as front:
        [response] = ask(front, ("GET", "/openapi.json", {}))
    document = response.json()
    refusals: list[Any] = []
    paths = {
        path: {method: _operation(document, found, refusals) for method, found in methods.items()}
        for path, methods in document["paths"].items()
    }
    assert all(refusal == refusals[0] for refusal in refusals), "every refusal is one envelope"
    head = {"version": document["openapi"], "security": document["security"]}
    check("openapi", {"head": head, "paths": paths, "refusal": refusals[0]})


def _operation(document: Any, operation: Any, refusals: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in operation.get("parameters", []):
        required = ", required" if one["required"] else ""
        found[f"{one['name']} ({one['in']}{required})"] = _fields(document, one["schema"])
    if "requestBody" in operation:
        found["request"] = _bodies(document, operation["requestBody"])
    answers = {status: _bodies(document, body) for status, body in operation["responses"].items()}
    found["answer"] = answers.pop("200")
    refusals.extend(answers.values())
    return found | {"refused": " ".join(sorted(answers))}


def _bodies(document: Any, holder: Any) -> Any:
    contents = holder.get("content", {})
    return {kind: _fields(document, content["schema"]) for kind, content in contents.items()}


def _fields(document: Any, schema: Any) -> Any:
    """A schema as its fields and types, without texts; `*` ends a required field."""
    if "$ref" in schema:
        return _fields(
            document, document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        )
    for joined in ("anyOf", "oneOf"):
        if joined in schema:
            return _any(*(_fields(document, part) for part in schema[joined]))
    if "properties" in schema:
        required = schema.get("required", [])
        found = {
            f"{name}*" if name in required else name: _fields(document, part)
            for name, part in schema["properties"].items()
        }
        closed = schema.get("additionalProperties") is False
        return found | ({"(other fields)": "refused"} if closed else {})
    left_out = ("title", "description", "examples", "items", "additionalProperties")
    kept = {name: part for name, part in schema.items() if name not in left_out}
    if isinstance(kept.get("type"), list):
        kept["type"] = _any(*kept["type"])
    if "items" in schema:
        kept["items"] = _fields(document, schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        kept["values"] = _fields(document, schema["additionalProperties"])
    return kept["type"] if set(kept) == {"type"} else kept


def _any(*parts: Any) -> Any:
    if all(isinstance(part, str) for part in parts):
        return " or ".join(parts)
    return {"any of": list(parts)}


def test_metrics_of_the_api(answers):
    families = text_string_to_metric_families(answers["the metrics"].text)
    check("metrics_of_the_api", metric_names(families))
