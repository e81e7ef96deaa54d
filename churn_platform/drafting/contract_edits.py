"""Sets values in the file of a contract, and keeps its comments and its order."""

import io
import re
from dataclasses import dataclass
from typing import Any

import yaml

from churn_platform.contract.columns import Column


@dataclass(frozen=True)
class Edit:
    """One value to set in the contract, by its path; `doubt` is why to confirm it.

    A list is added to a list that is there.
    """

    path: tuple[str, ...]
    value: Any
    doubt: str = ""

    @property
    def where(self) -> str:
        """The path with dots."""
        return ".".join(self.path)


def edited(text: str, edits: tuple[Edit, ...]) -> str:
    """The text with every edit, and a comment where one should be confirmed."""
    from ruamel.yaml.comments import CommentedMap

    writer = _yaml(text)
    document = writer.load(text)
    doubts: dict[tuple[str, ...], list[str]] = {}
    for edit in edits:
        place = document
        *above, last = map(_text, edit.path)
        line = edit.path  # a comment needs a line of its own: the innermost block
        for depth, name in enumerate(above):
            if place.fa.flow_style() and len(line) > depth:
                line = edit.path[:depth]
            if place.get(name) is None:
                place[name] = CommentedMap()
            place = place[name]
        if place.fa.flow_style() and line == edit.path:
            line = tuple(above)
        if isinstance(edit.value, list) and place.get(last):
            place[last].extend(map(_in_flow, edit.value))
        else:
            place[last] = _in_flow(edit.value)
        if edit.doubt:
            doubts.setdefault(line, []).append(edit.doubt)
    for path, found in doubts.items():
        place = document
        for name in path[:-1]:
            place = place[name]
        place.yaml_add_eol_comment(f"# confirm: {'; '.join(found)}", path[-1])
    out = io.StringIO()
    writer.dump(document, out)
    return out.getvalue()


def fields_of(column: Column) -> dict[str, Any]:
    """The fields that differ from the defaults, the dtype first, bounds without a fraction."""
    fields = {"dtype": column.dtype} | column.model_dump(mode="python", exclude_defaults=True)
    for name, value in fields.items():
        if isinstance(value, float) and value.is_integer():
            fields[name] = int(value)
        elif isinstance(value, tuple):
            fields[name] = list(value)
    return fields


def _in_flow(value: Any) -> Any:  # noqa: ANN401 - YAML
    """A value on one line; a mapping of mappings has one line for each."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, dict):
        made = CommentedMap({_text(name): _in_flow(part) for name, part in value.items()})
        if not any(isinstance(part, dict) for part in value.values()):
            made.fa.set_flow_style()
        return made
    if isinstance(value, list):
        listed = CommentedSeq(map(_in_flow, value))
        listed.fa.set_flow_style()
        return listed
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    """A text, in quotes where YAML would read it as something else: no, 1, 2024-01-31."""
    from ruamel.yaml.scalarstring import SingleQuotedScalarString

    try:
        plain = yaml.safe_load(value) == value
    except (yaml.YAMLError, ValueError):
        plain = False
    return value if plain else SingleQuotedScalarString(value)


def _yaml(text: str) -> Any:  # noqa: ANN401 - ruamel's
    """The reader and writer that keeps comments, quotes, order and indentation."""
    from ruamel.yaml import YAML

    writer = YAML()
    writer.preserve_quotes = True
    writer.width = 4096
    writer.representer.ignore_aliases = lambda *_: True
    nested = re.search(r"^\S.*:[ ]*(?:#.*)?\n(?:\s*#.*\n)*( +)[^\s#-]", text, re.MULTILINE)
    mapping = len(nested.group(1)) if nested else 2
    listed = re.search(r"^( *)\S.*:[ ]*(?:#.*)?\n(?:\s*#.*\n)*( *)- ", text, re.MULTILINE)
    offset = len(listed.group(2)) - len(listed.group(1)) if listed else 0
    writer.indent(mapping=mapping, sequence=offset + 2, offset=offset)
    return writer
