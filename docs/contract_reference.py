"""Writes docs/contract.md and the JSON schema of the contract from its models: uv run python
docs/contract_reference.py.

The meaning of a field is the docstring below it. It ends with an example, as YAML.
"""

import datetime as dt
import json
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from churn_platform.base.digests import ADDED
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import SCHEMA_FILE, meaning_and_example, models_in
from churn_platform.drafting.contract_file import inline_yaml

ROOT = Path(__file__).parents[1]
HEAD = """# The contract

Every field of `contract.yaml`, section by section. `NAME` is a name that you choose.
`churn contract check` shows every error with its line. Editors complete and check the file
with `contract.schema.json` next to it, which the first line of a contract names:
`# yaml-language-server: $schema=contract.schema.json`. `churn contract schema` prints that
schema. [Change the contract](changing-the-contract.md) explains the fields with dates.
"""
WORDS: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "`true` or `false`",
    dt.date: "date",
}
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
TABLE = ["| field | type | default | meaning | example |", "| --- | --- | --- | --- | --- |"]
TOP = "Top level"


@dataclass(frozen=True)
class ContractField:
    """One field of the contract: where it is, what it may be, and what it means."""

    section: str
    name: str
    field: FieldInfo
    parts: tuple[type[BaseModel], ...]
    """The models of its value; each has a section of its own."""

    @property
    def place(self) -> str:
        """The path of the field, as an error shows it."""
        if self.section == TOP:
            return self.name
        return f"{self.section}.{self.name}"

    @property
    def meaning(self) -> str:
        """What the field means, without the example."""
        return meaning_and_example(self.field)[0]

    @property
    def example(self) -> str:
        """One value as YAML; empty where a section of its own shows it."""
        return meaning_and_example(self.field)[1]


def entries() -> list[ContractField]:
    """Every field of the contract, section by section; a part used twice has one section."""
    return list(_entries(Contract, TOP, set()))


def page() -> str:
    """The reference as Markdown."""
    found = entries()
    places = dict.fromkeys(entry.section for entry in found)
    named = {model: place for model, place in _sections(found).items() if place in places}
    lines = [HEAD]
    meanings = {f"{entry.place}{_named(entry)}": entry.meaning for entry in found}
    for place in places:
        intro = [meanings[place], ""] if place in meanings else []
        lines += [f"## {place}", "", *intro, *TABLE]
        lines += [_row(entry, named) for entry in found if entry.section == place]
        lines += [""]
    return "\n".join(lines)


def schema_text() -> str:
    """The JSON schema of the contract, made from its models."""
    schema = _cleaned(Contract.model_json_schema())
    # Editors know this draft best, and every keyword here is in it.
    head = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Contract of Churn Platform",
    }
    return json.dumps(schema | head, indent=2, default=str) + "\n"


def _entries(
    model: type[BaseModel], section: str, seen: set[type[BaseModel]]
) -> Iterator[ContractField]:
    seen.add(model)
    below: list[tuple[type[BaseModel], str]] = []
    for name, field in model.model_fields.items():
        parts = models_in(field.annotation)
        entry = ContractField(section, name, field, parts)
        yield entry
        below += [(part, f"{entry.place}{_named(entry)}") for part in parts]
    for part, place in below:
        if part not in seen:
            yield from _entries(part, place, seen)


def _sections(found: list[ContractField]) -> dict[type[BaseModel], str]:
    """Each model with the section that shows its fields."""
    sections: dict[type[BaseModel], str] = {}
    for entry in found:
        for part in entry.parts:
            sections.setdefault(part, f"{entry.place}{_named(entry)}")
    return sections


def _named(entry: ContractField) -> str:
    if get_origin(entry.field.annotation) is dict:
        return ".NAME"
    return ""


def _row(entry: ContractField, sections: dict[type[BaseModel], str]) -> str:
    example = f"`{entry.example}`" if entry.example else ""
    kind = _type(entry.field.annotation, entry.field.metadata, sections)
    cells = (f"`{entry.name}`", kind, _default(entry), entry.meaning, example)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(annotation: Any, rules: list[Any], sections: dict[type[BaseModel], str]) -> str:  # noqa: ANN401
    if any(isinstance(rule, StringConstraints) for rule in rules):
        return "name"
    pairs = [(rule, name) for rule in rules for name in BOUNDS if hasattr(rule, name)]
    limits = [f"{BOUNDS[name]} {getattr(rule, name):g}" for rule, name in pairs]
    full = "non-empty " if any(getattr(rule, "min_length", None) for rule in rules) else ""
    return f"{full}{_kind(annotation, sections)} {' and '.join(limits)}".strip()


def _kind(annotation: Any, sections: dict[type[BaseModel], str]) -> str:  # noqa: ANN401
    origin = get_origin(annotation)
    parts = get_args(annotation)
    if origin is None:
        if annotation in sections:
            return _link(sections[annotation])
        return WORDS[annotation]
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in parts)
    if origin is Annotated:
        inner = [rule for given in parts[1:] for rule in getattr(given, "metadata", [given])]
        return _type(parts[0], inner, sections)
    if origin is tuple:
        return f"list of {_type(parts[0], [], sections)}"
    if origin is dict:
        return f"mapping of names to {_type(parts[1], [], sections)}"
    return " or ".join(_type(part, [], sections) for part in parts if part is not types.NoneType)


def _link(section: str) -> str:
    return f"[{section}](#{section.lower().replace('.', '')})"


def _default(entry: ContractField) -> str:
    if entry.field.is_required():
        return "required"
    value = entry.field.get_default(call_default_factory=True)
    if value is None or value in ("", (), {}) or isinstance(value, BaseModel):
        return ""
    return f"`{inline_yaml(value)}`"


def _cleaned(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """A schema without our own marks, titles and the descriptions of models, and with examples
    as a list.
    """
    if isinstance(schema, list):
        return [_cleaned(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    cleaned = {
        name: _cleaned(value)
        for name, value in schema.items()
        if (name, value) not in ADDED.items()
    }
    if isinstance(cleaned.get("title"), str):
        del cleaned["title"]
    if isinstance(cleaned.get("description"), str):
        meaning, example = meaning_and_example(FieldInfo(description=cleaned.pop("description")))
        if "properties" not in cleaned:
            cleaned["description"] = meaning
        if example:
            cleaned["examples"] = [yaml.safe_load(example)]
    return cleaned


if __name__ == "__main__":
    (ROOT / "docs" / "contract.md").write_text(page(), encoding="utf-8")
    (ROOT / "churn_platform" / "contract" / SCHEMA_FILE).write_text(schema_text(), encoding="utf-8")
