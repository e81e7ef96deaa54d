"""The reference of the contract: nothing without a meaning and an example, and the page and the schema are up to date."""

import importlib.util
import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import BaseModel, Field, TypeAdapter

from churn_platform.base.digests import ADDED, hashed_values
from churn_platform.base.errors import ContractError
from churn_platform.contract.model import Contract
from churn_platform.contract.outcome import Costs
from churn_platform.contract.reading import (
    default_contract_path,
    read_contract,
    shipped_schema,
    write_schema,
)
from churn_platform_tests.small_business import DECLARED

WRITE = "write it with: uv run python docs/contract_reference.py"
DOCS = Path(__file__).parents[2] / "docs"
SPEC = importlib.util.spec_from_file_location("contract_reference", DOCS / "contract_reference.py")
reference = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(reference)
ENTRIES = reference.entries()


def faults(entry) -> list[str]:
    """What a field lacks: a meaning, and an example that it accepts or a section that shows it."""
    field, missing = entry.field, []
    if not entry.meaning.endswith("."):
        missing += [
            f"{entry.place} has no meaning: write a sentence as a docstring below the field"
        ]
    if not entry.example and not entry.parts:
        missing += [f"{entry.place} has no example: end its docstring with: Example: `VALUE`"]
    if entry.example:
        value = yaml.safe_load(entry.example)
        TypeAdapter(field.rebuild_annotation()).validate_python(value)
        if not field.is_required() and value == field.get_default(call_default_factory=True):
            missing += [f"{entry.place}: the example is the default"]
    return missing


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(shipped_schema())
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def test_every_field_has_a_meaning_and_an_example_that_it_accepts():
    assert [fault for entry in ENTRIES for fault in faults(entry)] == []


def test_every_model_of_the_contract_has_its_section():
    models = {model for entry in ENTRIES for model in entry.parts} | {Contract}
    assert {model.__name__ for model in models} == {
        *Contract.model_json_schema()["$defs"],
        "Contract",
    }
    listed = [(entry.section, entry.name) for entry in ENTRIES]
    assert len(listed) == len(set(listed)) == sum(len(model.model_fields) for model in models)


def test_the_page_is_what_the_models_say():
    assert (DOCS / "contract.md").read_text(encoding="utf-8") == reference.page(), WRITE


def test_the_shipped_schema_is_what_the_models_say():
    assert shipped_schema() == reference.schema_text(), WRITE


def test_the_page_shows_type_default_meaning_and_example():
    rows = [
        line.split(" | ") for line in reference.page().splitlines() if line.startswith("| `delta`")
    ]
    [[_, kind, default, meaning, example]] = rows
    assert (kind, default, example) == ("number at least 0 and below 1", "`0.01`", "`0.02` |")
    assert "AUC" in meaning


@pytest.mark.parametrize(
    "declared", [DECLARED, yaml.safe_load(default_contract_path().read_text(encoding="utf-8"))]
)
def test_the_schema_accepts_a_contract(validator, declared):
    assert list(validator.iter_errors(json.loads(json.dumps(declared)))) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"polcy": {}},
        {"cadence": "year"},
        {"policy": {"promotion": {"delta": 2}}},
        {"policy": {"promotion": {"detla": 0.1}}},
        {"costs": {"missed_churner": 0}},
        {"entity": {"column": "two words"}},
    ],
)
def test_the_schema_refuses_what_the_contract_refuses(validator, changed):
    assert list(validator.iter_errors({**DECLARED, **changed})) != []
    with pytest.raises(ValueError, match=next(iter(changed))):
        Contract.model_validate({**DECLARED, **changed})


def test_the_schema_shows_meanings_and_examples_and_none_of_our_marks(validator, monkeypatch):
    delta = validator.schema["$defs"]["PromotionPolicy"]["properties"]["delta"]
    assert (delta["default"], delta["examples"]) == (0.01, [0.02])
    assert "Example" not in delta["description"]

    class Part(BaseModel):
        added: bool = Field(default=True, json_schema_extra=ADDED)

    monkeypatch.setattr(reference, "Contract", Part)
    assert json.loads(reference.schema_text())["properties"] == {
        "added": {"default": True, "type": "boolean"}
    }


def test_a_meaning_is_in_no_digest():
    contract = Contract.model_validate(DECLARED)
    assert hashed_values(contract.costs) == Costs().model_dump(mode="json")
    assert "Example" not in json.dumps([contract.as_mapping(), contract.decided_by])


def test_an_older_schema_next_to_a_contract_is_replaced_and_this_versions_stays(tmp_path):
    (tmp_path / "contract.schema.json").write_text("{}")
    write_schema(tmp_path)
    written = tmp_path / "contract.schema.json"
    assert written.read_text(encoding="utf-8") == shipped_schema()
    before = written.stat()
    write_schema(tmp_path)
    assert (written.stat().st_ino, written.stat().st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"delivery_days": "soon"}, "delivery_days"),
        ({"policy": {"promotion": {"delta": 2}}}, "policy.promotion.delta"),
        (
            {"tables": {"source": {"columns": {"file": {"dtype": 3}}}}},
            "tables.NAME.columns.NAME.dtype",
        ),
        ({"costs": {"missed_churner": {"column": "x", "times": -1}}}, "costs.missed_churner.times"),
        (
            {"label": {"table": "t", "column": "c", "horizon": {"months": -1}}},
            "label.horizon.months",
        ),
        ({"slices": [3]}, "slices"),
    ],
)
def test_an_error_of_a_contract_has_the_meaning_of_its_field(tmp_path, change, place):
    wrong = {**DECLARED, "policy": {"promotion": {"detla": 0.1}}, **change}
    (tmp_path / "contract.yaml").write_text(yaml.safe_dump(wrong, sort_keys=False))
    with pytest.raises(ContractError) as refused:
        read_contract(tmp_path / "contract.yaml")
    [meaning] = [entry.meaning for entry in ENTRIES if entry.place == place]
    assert f". Meaning: {meaning}" in str(refused.value)
    for line in str(refused.value).splitlines():
        assert ("Meaning" in line) != ("detla" in line)
