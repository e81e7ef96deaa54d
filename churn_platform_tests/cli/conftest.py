"""Shared by the tests of the commands: an environment of each test's own, and `churn` as a shell runs it."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from churn_platform.cli.app import main


@pytest.fixture(autouse=True)
def environ(monkeypatch, tmp_path) -> Iterator[pytest.MonkeyPatch]:
    """A folder and an environment of each test's own; a command's changes end with the test."""
    kept = dict(os.environ)
    for name in kept:
        if name.startswith(("CHURN_", "DAGSTER_HOME")):
            del os.environ[name]
    monkeypatch.chdir(tmp_path)
    yield monkeypatch
    monkeypatch.undo()
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture
def churn(monkeypatch, capfd) -> Callable[..., tuple[int, str, str]]:
    """Run `churn`: (exit code, stdout, stderr)."""

    def run(*arguments: object, home: object = None) -> tuple[int, str, str]:
        at = [] if home is None else ["--home", str(getattr(home, "folder", home))]
        monkeypatch.setattr(sys, "argv", ["churn", *map(str, arguments), *at])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err or arguments[0] == "--debug"
        assert ".tmp" not in out + err  # people know what they named, not where it is gathered
        return end.value.code, out, err

    return run


@pytest.fixture
def answer(churn) -> Callable[..., Any]:
    """Run a reporting command with --json: its answer, with nothing else on stdout."""

    def run(*arguments: object, home: object = None, code: int = 0) -> Any:
        found, out, _ = churn(*arguments, "--json", home=home)
        assert found == code
        return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    return run


def wrong(found: tuple[int, str, str], *facts: object) -> str:
    """The error code of a command that was used wrongly; its sentence names the facts."""
    code, out, err = found
    assert (code, out) == (2, "")
    assert err.startswith("churn: ")
    assert err.count("\n") == 1
    return _code_of(err, facts)


def failed(found: tuple[int, str, str], *facts: object) -> str:
    """The error code of a command that failed, perhaps after its progress; as `wrong`."""
    code, out, err = found
    progress, _, said = err.partition("churn: ")
    assert (code, out) == (1, "")
    assert progress == "" or progress.startswith("Checking what is due ...\n")
    return _code_of(said, facts)


def _code_of(err: str, facts: tuple[object, ...]) -> str:
    missing = [fact for fact in facts if str(fact) not in err]
    assert not missing, err
    return re.search(r"\[([A-Z_]+)\]\n$", err)[1]
