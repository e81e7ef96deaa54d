"""Sets values in the text of a contract; comments, order and the layout of other lines stay."""

import difflib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import yaml

from churn_platform.contract.columns import Column
from churn_platform.contract.parts import KeySpelling

OTHER_TYPE = re.compile(
    r"y|n|yes|no|on|off|true|false|null|~|[-+0-9.][-+0-9a-f_.:]*", re.IGNORECASE
)
"""Texts that YAML 1.1, by which the contract is read, may take for another type. ruamel.yaml
writes by YAML 1.2, where `No` is a text.
"""

LIST = re.compile(r"^( *)[^\s-].*:[ ]*(?:#.*)?\n(?:\s*#.*\n)*( *)- ", re.MULTILINE)
"""A key and the first line of its list; the indentation of both."""


@dataclass(frozen=True)
class Edit:
    """One value to set in the contract, by its path; `doubt` is why to confirm it."""

    path: tuple[str, ...]
    value: Any
    doubt: str = ""

    @property
    def where(self) -> str:
        """The path with dots."""
        return ".".join(self.path)


def with_edits(text: str, edits: Sequence[Edit]) -> str:
    """The text with every edit, and a comment where one should be confirmed."""
    from ruamel.yaml import YAML

    tool = YAML()
    tool.preserve_quotes = True
    tool.width = 4096
    tool.representer.ignore_aliases = lambda *_: True
    listed = LIST.search(text)
    offset = len(listed.group(2)) - len(listed.group(1)) if listed else 0
    tool.indent(mapping=2, sequence=offset + 2, offset=offset)
    document = tool.load(text)
    before = _dumped(tool, document)
    doubts: dict[tuple[int, str], list[str]] = {}
    for edit in edits:
        holder, key = _set(document, edit)
        if edit.doubt:
            found_doubts = doubts.setdefault((id(holder), key), [])
            found_doubts.append(edit.doubt)
            holder.yaml_add_eol_comment(f"# confirm: {'; '.join(found_doubts)}", key)
    after = _dumped(tool, document)
    found = "".join(_in_layout_of(text, before, after))
    try:
        same = parsed(found) == parsed(after)
    except yaml.YAMLError:
        same = False
    return found if same else after


def parsed(text: str) -> Any:  # noqa: ANN401 - YAML
    """The values of a text, as the contract is read."""
    return yaml.safe_load(text)


def _dumped(tool: Any, document: Any) -> str:  # noqa: ANN401 - ruamel's
    out = io.StringIO()
    tool.dump(document, out)
    return out.getvalue()


def _set(document: Any, edit: Edit) -> tuple[Any, str]:  # noqa: ANN401 - ruamel's
    """Set one value, and add to a list that the value begins with.

    Returns:
        Where a comment goes: the end of the value's line, not within a mapping on that line.
    """
    from ruamel.yaml.comments import CommentedMap

    place = document
    line = (document, edit.path[0])
    inline = False
    for name, below in pairwise(edit.path):
        if place.get(name) is None:
            place[name] = CommentedMap()
        place = place[name]
        inline = inline or bool(place.fa.flow_style())
        if not inline:
            line = (place, below)
    last = _scalar(edit.path[-1])
    known = place.get(last)
    if isinstance(known, list) and known and list(edit.value)[: len(known)] == list(known):
        known.extend(map(_in_flow, list(edit.value)[len(known) :]))
    else:
        place[last] = _in_flow(edit.value)
    return line


def _in_flow(value: Any) -> Any:  # noqa: ANN401 - YAML
    """A value on one line; a mapping of mappings has one line for each."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, Column):  # the dtype first
        return _in_flow({"dtype": value.dtype} | value.model_dump(exclude_defaults=True))
    if isinstance(value, KeySpelling):
        return _in_flow(value.model_dump(exclude_defaults=True))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        made = CommentedMap({_scalar(name): _in_flow(part) for name, part in value.items()})
        if not any(isinstance(part, dict | Column) for part in value.values()):
            made.fa.set_flow_style()
        return made
    if isinstance(value, list | tuple):
        listed = CommentedSeq(map(_in_flow, value))
        listed.fa.set_flow_style()
        return listed
    return _scalar(value)


def _scalar(value: Any) -> Any:  # noqa: ANN401 - YAML
    """A value, in quotes if it is a text that YAML 1.1 reads as a boolean or a number."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, str) and OTHER_TYPE.fullmatch(value):
        return DoubleQuotedScalarString(value)
    return value


def _in_layout_of(text: str, before: str, after: str) -> list[str]:
    """The lines of `after`; those that `before` has too are laid out as in `text`.

    Args:
        text: as a person wrote it.
        before: the same content as `after` was made from, laid out as `after` is.
        after: the content to write.
    """
    source = text.splitlines(keepends=True)
    common = before.splitlines(keepends=True)
    target = after.splitlines(keepends=True)
    to_source = _boundaries(common, source)
    to_target = _boundaries(common, target)
    lines = []
    for start, end in pairwise(sorted(to_source.keys() & to_target.keys())):
        new = target[to_target[start] : to_target[end]]
        if new == common[start:end]:
            new = source[to_source[start] : to_source[end]]
        lines += new
    return lines


def _boundaries(one: list[str], other: list[str]) -> dict[int, int]:
    """Places between the lines of one text -> the same place in another text."""
    found: dict[int, int] = {}
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    for _, start, end, start_other, end_other in matcher.get_opcodes():
        places = _beginnings(other[start_other:end_other])
        for step, beginning in enumerate(_beginnings(one[start:end])):
            if beginning in places:
                found.setdefault(start + step, start_other + places.index(beginning))
        found.setdefault(end, end_other)
    return found | {len(one): len(other)}


def _beginnings(lines: list[str]) -> list[str]:
    """The text before each line and after the last, without spaces and line ends."""
    return list(accumulate(("".join(line.split()) for line in lines), initial=""))
