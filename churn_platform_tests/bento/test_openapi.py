"""The OpenAPI document: valid, complete, and true of what the API answers."""

from pathlib import Path
from typing import NamedTuple

import jsonschema
import pytest
import yaml

from churn_platform_tests.other_businesses import NEWSPAPER

PATHS = {
    "/", "/predict", "/predict/batch", "/customers/at-risk", "/customers/{key}", "/model", "/health", "/livez",
    "/readyz", "/metrics", "/openapi.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def described(api):
    return api.get("/openapi.json").json()


def check(described, schema, found):
    """Validate an answer by a schema of the document."""
    resolvable = {"components": described["components"], **schema}
    jsonschema.Draft202012Validator(resolvable).validate(found)


def schema_of(described, method, path, status):
    content = described["paths"][path][method]["responses"][str(status)]["content"]
    return content["application/json"]["schema"]


@pytest.mark.parametrize(
    ("method", "path", "asked", "more", "status"),
    [
        ("post", "/predict", "/predict", {"json": {"member": "m00001"}}, 200),
        ("post", "/predict", "/predict", {"json": {"member": "m00000", "reasons": False, "features": {"months": 1}}}, 200),
        ("post", "/predict", "/predict", {"json": {"member": "x"}}, 404),
        ("post", "/predict", "/predict", {"json": {}}, 422),
        ("post", "/predict", "/predict", {"content": b"x"}, 415),
        ("post", "/predict/batch", "/predict/batch", {"json": {"keys": ["m00001", "x"], "reasons": True}}, 200),
        ("get", "/customers/at-risk", "/customers/at-risk", {}, 200),
        ("get", "/customers/at-risk", "/customers/at-risk?top=0", {}, 422),
        ("get", "/customers/{key}", "/customers/m00001", {}, 200),
        ("get", "/customers/{key}", "/customers/x", {}, 404),
        ("get", "/model", "/model", {}, 200),
        ("get", "/model", "/model", {"headers": {"host": "evil"}}, 400),
        ("get", "/health", "/health", {}, 200), ("get", "/livez", "/livez", {}, 200), ("get", "/readyz", "/readyz", {}, 200),
        ("get", "/openapi.json", "/openapi.json", {}, 200),
    ],
)  # fmt: skip
def test_what_is_answered_is_what_is_described(api, described, method, path, asked, more, status):
    response = api.request(method.upper(), asked, **more)
    assert response.status_code == status
    check(described, schema_of(described, method, path, status), response.json())


def test_every_route_is_described_with_every_refusal_it_can_make(api, described):
    assert set(described["paths"]) == PATHS
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            statuses = set(operation["responses"])
            assert {"200", "400", "401", "403", "405", "429", "500"} <= statuses, path
            if method == "post":
                assert {"408", "413", "415", "422", "503"} <= statuses
                assert operation["requestBody"]["required"]
            assert operation["summary"]
            errors = [operation["responses"][status] for status in statuses - {"200"}]
            assert all(list(error["content"]) == ["application/json"] for error in errors), path


def test_the_examples_are_valid_by_their_own_schemas(described):
    schemas = described["components"]["schemas"]
    for name in ("PredictRequest", "BatchRequest", "Error"):
        assert schemas[name]["examples"]
        for example in schemas[name]["examples"]:
            check(described, {"$ref": f"#/components/schemas/{name}"}, example)


def test_the_document_names_the_key_and_the_features_of_the_contract(
    api, described, tmp_path, api_on
):
    home = tmp_path / "newspaper"
    home.mkdir()
    (home / "contract.yaml").write_text(yaml.safe_dump(NEWSPAPER))
    newspaper = api_on(Folder(home))
    for server, document in ((api, described), (newspaper, newspaper.get("/openapi.json").json())):
        contract = server.server.active.backend.predictor.contract
        schemas = document["components"]["schemas"]
        features = list(contract.features)
        assert contract.entity.column in schemas["PredictRequest"]["required"]
        assert list(schemas["Features"]["properties"]) == features
        assert list(schemas["FeaturesUsed"]["properties"]) == features
        refs = set(_refs(document))
        assert refs
        assert {ref.removeprefix("#/components/schemas/") for ref in refs} <= set(schemas)


class Folder(NamedTuple):
    """A home as far as a server needs it."""

    folder: Path


def _refs(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        for part in value.values():
            yield from _refs(part)
    elif isinstance(value, list):
        for part in value:
            yield from _refs(part)
