"""What every command shares: the options for home and JSON, opening the home, the console."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from churn_platform.base.errors import UsageError
from churn_platform.base.settings import load_settings, prepare_environment

if TYPE_CHECKING:
    from rich.console import Console

    from churn_platform.services import Services

OPENED: list["Services"] = []
"""The homes that the command has opened: their events are reported when it ends."""
HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Folder that holds everything (else CHURN_HOME).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON, for a program.")]


def open_home(folder: Path | None, *, must_exist: bool = True) -> "Services":
    """The home of the command line or the environment, with the libraries' environment
    prepared.

    Raises:
        UsageError: it must exist and does not.
        WrongLayout: it is a home of another version.
    """
    from churn_platform.services import Services

    settings = load_settings(folder)
    if must_exist and not (settings.home_folder / "lake").is_dir():
        raise UsageError(
            f"There is no home at {settings.home_folder}: `churn init` or `churn demo` makes one.",
            code="HOME_MISSING",
        )
    home = Services(settings)
    home.check_layout()
    prepare_environment(settings)
    if settings.alerts_wanted and settings.home_folder.is_dir():
        from churn_platform.alerting.alerting import Alerter

        Alerter(home).begin()
    OPENED.append(home)
    return home


def tell_people() -> list[str]:
    """Send the alerts of what the command did; a sentence for each receiver that it did not
    reach.
    """
    problems: list[str] = []
    while OPENED:
        opened = OPENED.pop()
        if opened.settings.alerts_wanted and (opened.folder / "ledger").is_dir():
            from churn_platform.alerting.alerting import Alerter

            problems += Alerter(opened).send().problems
    return problems


def make_console() -> "Console":
    """A console as wide as the terminal, or 160 columns without a terminal."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def print_json(value: Any) -> None:  # noqa: ANN401 - whatever json can hold
    """Write a value for a program to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
