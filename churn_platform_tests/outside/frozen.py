"""Golden files: what users and their scripts depend on, compared with what was committed.

`CHURN_GOLDEN=write uv run pytest -n 0 churn_platform_tests/outside` writes the files again.
A changed file needs a reason that a user would accept, in the commit and in CHANGELOG.md.
"""

import difflib
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

GOLDEN = Path(__file__).parent / "golden"
WRITE = os.environ.get("CHURN_GOLDEN") == "write"
SHORT = 70
SHOWN = 60
"""Lines of a difference that are worth reading."""
NAMES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}


class Dumper(yaml.SafeDumper):
    """One key per line, short ends on one line, no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        """Equal parts are written twice."""
        return True

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> Any:
        """A mapping of a few plain values is one line."""
        node = super().represent_mapping(tag, mapping, flow_style)
        ends = [end for pair in node.value for end in pair]
        return _on_one_line(node, ends)

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> Any:
        """So is a list of them."""
        node = super().represent_sequence(tag, sequence, flow_style)
        return _on_one_line(node, node.value)


def _on_one_line(node: Any, ends: list[Any]) -> Any:
    plain = all(isinstance(end, yaml.ScalarNode) for end in ends)
    node.flow_style = plain and sum(len(end.value) + 2 for end in ends) <= SHORT
    return node


def check(name: str, found: Any) -> None:
    """Compare plain values with `golden/<name>.yaml`, or write that file."""
    file = GOLDEN / f"{name}.yaml"
    text = yaml.dump(found, Dumper=Dumper, sort_keys=True, width=1000)
    if WRITE:
        file.write_text(text, encoding="utf-8")
        return
    known = file.read_text(encoding="utf-8") if file.exists() else ""
    if text != known:
        lines = list(
            difflib.unified_diff(
                known.splitlines(), text.splitlines(), "committed", "found", "", "", n=2
            )
        )
        more = f"\n... {len(lines) - SHOWN} more lines" if len(lines) > SHOWN else ""
        pytest.fail(
            f"Users see something else than {file.name} records. To change it on purpose, "
            "run with CHURN_GOLDEN=write and give the reason.\n" + "\n".join(lines[:SHOWN]) + more,
            pytrace=False,
        )


def shape(*values: Any, depth: int = 2) -> Any:
    """The keys and JSON types of similar values; `?` ends a key that some of them lack.

    Objects are opened `depth` levels deep. Numbers, dates and digests count as one key.
    """
    objects = [value for value in values if isinstance(value, dict)]
    arrays = [value for value in values if isinstance(value, list)]
    kinds = {NAMES[type(value)] for value in values if not isinstance(value, dict | list)}
    if "number" in kinds:
        kinds.discard("integer")
    if objects and depth:
        return _object(objects, depth) | ({"(or)": _words(kinds)} if kinds else {})
    if arrays and depth and not objects:
        items = [item for array in arrays for item in array]
        opened = [shape(*items, depth=depth)] if items else []
        return {"(array)": opened, "(or)": _words(kinds)} if kinds else opened
    kinds |= ({"object"} if objects else set()) | ({"array"} if arrays else set())
    return _words(kinds)


def _object(objects: list[dict[str, Any]], depth: int) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for one in objects:
        for key, value in one.items():
            found.setdefault(_general(key), []).append(value)
    return {
        key if len(values) >= len(objects) else f"{key}?": shape(*values, depth=depth - 1)
        for key, values in found.items()
    }


def _general(key: str) -> str:
    key = re.sub(r"\d{4}-\d\d-\d\d", "DATE", key)
    key = re.sub(r"\b[0-9a-f]{12,64}\b", "DIGEST", key)
    return "(number)" if key.isdecimal() else key


def _words(kinds: set[str]) -> str:
    return " or ".join(sorted(kinds, key=lambda kind: (kind == "null", kind)))


def pattern(text: str) -> str:
    """A name with its dates, digests and numbers replaced by what they are."""
    if text.startswith("/"):
        return "PATH"
    text = re.sub(r"\d{4}-\d\d-\d\d(T[\d:.+]+)?", "DATE", text)
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "ID", text)
    text = re.sub(r"\b[0-9a-f]{12,64}\b", "DIGEST", text)
    return re.sub(r"\d+", "N", text)


def metric_names(families: Iterable[Any]) -> dict[str, str]:
    """The type and labels of each metric that Prometheus reads."""
    kinds: dict[str, str] = {}
    labels = defaultdict(set)
    for family in families:
        for sample in family.samples:
            kinds[sample.name] = family.type
            labels[sample.name] |= set(sample.labels)
    return {
        name: " by ".join([kind, ", ".join(sorted(labels[name]))]) if labels[name] else kind
        for name, kind in kinds.items()
    }
