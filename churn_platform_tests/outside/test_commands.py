"""The commands: names, arguments, options, defaults; not the English of their help."""

import enum
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperArgument

from churn_platform.cli.app import app
from churn_platform_tests.outside.frozen import check


def described(command: Any) -> dict[str, Any]:
    """A command's parameters, or its subcommands."""
    found: dict[str, Any] = {}
    for place, parameter in enumerate(p for p in command.params if isinstance(p, TyperArgument)):
        found[f"argument {place + 1}, {parameter.name}"] = _parameter(parameter)
    for parameter in command.params:
        if not isinstance(parameter, TyperArgument):
            found[", ".join([*parameter.opts, *parameter.secondary_opts])] = _parameter(parameter)
    for name, sub in getattr(command, "commands", {}).items():
        found[name] = described(sub)
    return found


def _parameter(parameter: Any) -> dict[str, Any]:
    kind = parameter.type_descriptor.annotation
    default = parameter.default
    plain = default is None or isinstance(default, int | float | str)
    found = {
        "type": getattr(kind, "__name__", str(kind)).lower(),
        "choices": [choice.value for choice in kind] if isinstance(kind, enum.EnumType) else [],
        "default": default if plain else str(default),
        "required": parameter.required,
        "several": parameter.multiple or parameter.nargs != 1,
        "hidden": parameter.hidden,
        "variable": parameter.envvar,
        "from": parameter.min,
        "to": parameter.max,
    }
    return {name: value for name, value in found.items() if value not in (None, False, [])}


@pytest.fixture(scope="module")
def root():
    return typer.main.get_command(app)


def test_commands_arguments_and_options(root):
    check("commands", described(root))


def test_every_command_argument_and_option_has_a_help_text(root):
    silent = [name for name, part in _parts("churn", root) if not part.help]
    assert silent == []


def _parts(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command with its parameters and its subcommands, by name."""
    yield name, command
    yield from ((f"{name} {parameter.name}", parameter) for parameter in command.params)
    for own, sub in getattr(command, "commands", {}).items():
        yield from _parts(f"{name} {own}", sub)
