"""What every command shares: options, opening the home, printing, and how an error ends it."""

import json
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from churn_platform.base.errors import UsageError
from churn_platform.base.library_errors import sentence_of
from churn_platform.base.settings import load_settings, prepare_environment

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from churn_platform.services import Services

CTRL_C = 130
OPENED: list["Services"] = []
"""The homes that the command has opened; it ends by sending their alerts."""
HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Use this home (default: CHURN_HOME).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_asked = {"debug": False}


def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Keep the options in front of the command's name."""
    _asked["debug"] = debug


def run_command(app: Callable[[], object]) -> None:
    """Run a command, print an error as one sentence with its code, and exit."""
    warnings.simplefilter("ignore")
    code = 0
    try:
        app()
    except SystemExit as end:
        if isinstance(end.code, int):
            code = end.code
        else:
            code = int(end.code is not None)
        if code == CTRL_C:
            _complain("Stopped. Completed steps are kept. Run the same command again to continue.")
    except Exception as error:  # noqa: BLE001 - whatever a library raises is one sentence
        code = _failed(error)
    try:
        problems = send_alerts()
    except Exception as error:  # noqa: BLE001 - as above
        problems = []
        failed = _failed(error)
        code = code or failed
    for problem in problems:
        _complain(problem)
    sys.exit(code)


def _failed(error: Exception) -> int:
    if _asked["debug"]:
        traceback.print_exception(error)
    _complain(sentence_of(error))
    if isinstance(error, UsageError):
        return 2
    return 1


def _complain(sentence: str) -> None:
    sys.stderr.write(f"churn: {sentence}\n")


def open_home(folder: Path | None, *, must_exist: bool = True) -> "Services":
    """The home of `--home` or the environment, with the libraries' environment prepared.

    Raises:
        UsageError: it does not exist but must.
        WrongLayout: it was written by a version with another layout.
    """
    from churn_platform.services import Services

    settings = load_settings(folder)
    if must_exist and not (settings.home_folder / "lake").is_dir():
        raise UsageError(
            f"There is no home at {settings.home_folder}. Create one with `churn init` or"
            " `churn demo`.",
            code="HOME_MISSING",
        )
    home = Services(settings)
    home.check_layout()
    prepare_environment(settings)
    if settings.alerts_wanted and settings.home_folder.is_dir():
        home.alerts.begin()
    OPENED.append(home)
    return home


def send_alerts() -> list[str]:
    """Send the alerts of what the command did; one sentence for each channel that failed."""
    problems: list[str] = []
    while OPENED:
        opened = OPENED.pop()
        if opened.settings.alerts_wanted and (opened.folder / "ledger").is_dir():
            problems += opened.alerts.send().problems
    return problems


def print_json(value: Any) -> None:  # noqa: ANN401 - whatever json can hold
    """Write a value as JSON to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def make_console() -> "Console":
    """A console as wide as the terminal, or 160 columns without a terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 160
    return Console(highlight=False, width=width)


def table(title: str, *columns: str, numbers: Iterable[str] = ()) -> "Table":
    """An empty table; the columns in `numbers` are right-aligned."""
    from rich.table import Table

    made = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
    )
    right = set(numbers)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left")
    return made


def figure(value: float | None, form: str = ".3f") -> str:
    """A number, or a dash if it is missing."""
    if value is None:
        return "-"
    return format(value, form)
