"""The reference of the contract, made from its models: a page for people and a JSON schema for
editors.

The meaning of a field is the docstring below it. It ends with an example, as YAML.
"""

import json
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from churn_platform.base.digests import ADDED
from churn_platform.base.files import write_text
from churn_platform.contract.model import Contract

SCHEMA_FILE = "contract.schema.json"
"""Next to the contract of a home, and next to the contract that ships."""
HEAD = """# The contract

Every field of `contract.yaml`, section by section. `NAME` is a name that you choose.
`churn contract check` shows every error with its line. Editors complete and check the file
with `contract.schema.json` next to it, which the first line of a contract names:
`# yaml-language-server: $schema=contract.schema.json`. `churn contract schema` prints that
schema.
"""
WORDS: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "`true` or `false`",
}
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
TABLE = ["| field | type | default | meaning | example |", "| --- | --- | --- | --- | --- |"]
TOP = "Top level"
EXAMPLE = " Example: `"


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
        return _split(self.field.description or "")[0]

    @property
    def example(self) -> str:
        """One value as YAML; empty where a section of its own shows it."""
        return _split(self.field.description or "")[1]


def entries() -> list[ContractField]:
    """Every field of the contract, section by section; a part used twice has one section."""
    return list(_entries(Contract, TOP, set()))


def meaning_at(where: Iterable[int | str]) -> str:
    """What the field at a pydantic error's path means; the path also contains names of the
    contract and positions.
    """
    model: type[BaseModel] | None = Contract
    meaning = ""
    named = False
    for part in where:
        field = None
        if model is not None and not named:
            field = model.model_fields.get(str(part))
        named = False
        if field is not None:
            entry = ContractField(TOP, str(part), field, _models(field.annotation))
            meaning = entry.meaning
            model = entry.parts[0] if entry.parts else None
            named = bool(_named(entry))
    return meaning


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
    return json.dumps(schema | head, indent=2) + "\n"


def shipped_schema() -> str:
    """The JSON schema in the package."""
    return (resources.files("churn_platform") / "contract" / SCHEMA_FILE).read_text(
        encoding="utf-8"
    )


def write_schema(folder: Path) -> None:
    """Write the schema of this version next to a contract, whose first line names it."""
    path = folder / SCHEMA_FILE
    text = shipped_schema()
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def _entries(
    model: type[BaseModel], section: str, seen: set[type[BaseModel]]
) -> Iterator[ContractField]:
    seen.add(model)
    below: list[tuple[type[BaseModel], str]] = []
    for name, field in model.model_fields.items():
        parts = _models(field.annotation)
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


def _models(annotation: Any) -> tuple[type[BaseModel], ...]:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,)
    return tuple(model for part in get_args(annotation) for model in _models(part))


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


def inline_yaml(value: object) -> str:
    """A value on one line, as YAML that is safe within another."""
    text: str = yaml.safe_dump(
        [value], default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False
    )
    return text.strip()[1:-1]


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
        meaning, example = _split(cleaned.pop("description"))
        if "properties" not in cleaned:
            cleaned["description"] = meaning
        if example:
            cleaned["examples"] = [yaml.safe_load(example)]
    return cleaned


def _split(description: str) -> tuple[str, str]:
    """The meaning and the example of a description."""
    meaning, _, example = " ".join(description.split()).partition(EXAMPLE)
    return meaning, example.removesuffix("`").strip()
