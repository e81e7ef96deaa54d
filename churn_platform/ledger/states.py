"""What changed since the last receipt about it: fields of the policy, and whether production
stands down.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from churn_platform.base.digests import canonical_json
from churn_platform.ledger.receipts import Receipt

StandDown = Literal["stand-down began", "stand-down ended"]


@dataclass(frozen=True)
class Change:
    """One field of the policy, by its path in the contract; a value that is not there is None."""

    field: str
    old: JsonValue
    new: JsonValue

    def sentence(self) -> str:
        """The change as a person reads it."""
        return f"{self.field}: {canonical_json(self.old)} -> {canonical_json(self.new)}"


def changes(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> list[Change]:
    """Every field that differs between two policies, by path; a field that only one of them has
    differs too.
    """
    before = dict(_fields(old))
    after = dict(_fields(new))
    paths = sorted({*before, *after})
    return [
        Change(path, before.get(path), after.get(path))
        for path in paths
        if (path in before, before.get(path)) != (path in after, after.get(path))
    ]


def stand_down_act(
    last: Receipt | None, version: int | None, reason: str | None
) -> StandDown | None:
    """What is to be recorded about standing down; None while nothing changed.

    Args:
        last: the newest receipt that one began or ended; None before the first.
        version: the version in production; None before the first.
        reason: why that version must stand down; None when it need not.
    """
    if last is None or last.act == "stand-down ended":
        stands = None
    else:
        stands = last.subject
    if reason is not None and version is not None:
        if stands == f"version {version}":
            return None
        return "stand-down began"
    if stands is not None:
        return "stand-down ended"
    return None


def _fields(
    value: JsonValue | Mapping[str, JsonValue], path: str = ""
) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, Mapping) and (value or not path):
        for name, part in value.items():
            yield from _fields(part, f"{path}.{name}" if path else str(name))
    else:
        yield path, value  # type: ignore[misc] # an empty mapping within is a value
