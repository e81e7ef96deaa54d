"""The boundary of every command: an error becomes one sentence and an exit code; `--debug` adds
the traceback.
"""

import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Annotated

import typer

from churn_platform.base.errors import UsageError
from churn_platform.base.library_errors import sentence_of
from churn_platform.cli.base import tell_people

CTRL_C = 130
_asked = {"debug": False}


def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error, for a bug report.")
    ] = False,
) -> None:
    """Keep the options that stand before the command's name."""
    _asked["debug"] = debug


def run(app: Callable[[], object]) -> None:
    """Run a command and exit."""
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
            _say(
                "Stopped. Completed steps are kept. Run the same command again to continue.",
                code,
            )
    except Exception as error:  # noqa: BLE001 - whatever a library raises is one sentence
        code = _failed(error)
    try:
        problems = tell_people()
    except Exception as error:  # noqa: BLE001 - as above
        problems = []
        failed = _failed(error)
        code = code or failed
    for problem in problems:
        sys.stderr.write(f"churn: {problem}\n")
    sys.exit(code)


def _failed(error: Exception) -> int:
    if _asked["debug"]:
        traceback.print_exception(error)
    return _say(sentence_of(error), 2 if isinstance(error, UsageError) else 1)


def _say(sentence: str, code: int) -> int:
    sys.stderr.write(f"churn: {sentence}\n")
    return code
