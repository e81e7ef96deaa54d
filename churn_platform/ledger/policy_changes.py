"""Which fields of a policy changed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from churn_platform.base.digests import canonical_json


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


def _fields(
    value: JsonValue | Mapping[str, JsonValue], path: str = ""
) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, Mapping) and (value or not path):
        for name, part in value.items():
            yield from _fields(part, f"{path}.{name}" if path else str(name))
    else:
        yield path, value  # type: ignore[misc] # an empty mapping within is a value
