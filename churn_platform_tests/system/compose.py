"""docker/compose.yaml as Compose reads it: interpolation, and what a service is started with. Used by several tests.

Kept to what the file uses: `${NAME:-default}`, `${NAME:?message}`, `$$`, anchors and merges, lists and mappings.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

DOCKER = Path(__file__).parents[2] / "docker"
VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?:(?P<kind>:-|:\?)(?P<rest>[^}]*))?\})"
)
OWN_PORTS = {
    "postgres": {5432},
    "redis": {6379},
    "prometheus": {9090},
    "grafana": {3000},
    "proxy": {8443, 8080},
}
"""Ports of images that are not ours."""


class Missing(Exception):
    """A variable without default is not set."""


@dataclass(frozen=True)
class Service:
    """One service, interpolated."""

    name: str
    said: Mapping[str, Any]

    @property
    def command(self) -> list[str]:
        return [str(part) for part in self.said.get("command", [])]

    @property
    def environment(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.said.get("environment", {}).items()}

    @property
    def is_ours(self) -> bool:
        return str(self.said["image"]).startswith("churn-platform:")

    @property
    def mounts(self) -> list[tuple[str, str, bool]]:
        """(named volume or path beside compose.yaml, place inside, read only)."""
        found = []
        for mount in self.said.get("volumes", []):
            source, target, *mode = mount.split(":")
            found.append((source, target, mode == ["ro"]))
        return found

    def here(self, word: str) -> str:
        """A word of a command with the path of a mounted file as it is in the project."""
        for source, target, _ in self.mounts:
            if source.startswith("."):
                word = word.replace(target, str((DOCKER / source).resolve()))
        return word

    @property
    def ports(self) -> set[int]:
        """Where it listens."""
        if self.name in OWN_PORTS:
            return OWN_PORTS[self.name]
        words = " ".join(self.command)
        asked = re.search(r"(?:--port[= ]|-p )(\d+)", words)
        if asked:
            return {int(asked[1])}
        setting = {"serve": "CHURN_API_PORT", "exporter": "CHURN_EXPORTER_PORT"}
        return {
            int(self.environment[name]) for word, name in setting.items() if word in self.command
        }


@dataclass(frozen=True)
class Composed:
    """The whole file."""

    services: dict[str, Service]
    said: Mapping[str, Any]


def compose(values: Mapping[str, str]) -> Composed:
    """The file with the variables of `values`.

    Raises:
        Missing: a variable that must be set is not.
    """
    said = interpolated(
        yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8")), values
    )
    return Composed(
        {name: Service(name, service) for name, service in said["services"].items()}, said
    )


def variables() -> set[str]:
    """Every variable that the file names."""
    return {found["name"] for found in VARIABLE.finditer(yaml_text()) if found["name"]}


def yaml_text() -> str:
    return (DOCKER / "compose.yaml").read_text(encoding="utf-8")


def interpolated(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: interpolated(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolated(value, values) for value in node]
    return (
        VARIABLE.sub(lambda found: _value(found, values), node) if isinstance(node, str) else node
    )


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    if found["escaped"]:
        return "$"
    value = values.get(found["name"], "")
    if not value and found["kind"] == ":?":
        raise Missing(f"{found['name']}: {found['rest']}")
    return value or (found["rest"] if found["kind"] == ":-" else "")


def read_env(path: Path) -> dict[str, str]:
    """An .env file as Compose reads it; single quotes keep `$`."""
    return {name: value or "" for name, value in dotenv_values(path, interpolate=False).items()}
