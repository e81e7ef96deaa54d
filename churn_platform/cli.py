"""The `churn` command. Exit code 0 also for a refused candidate, 1 for an error, 2 for wrong use.

Belongs here: arguments, options, exit codes. Does not: facts (`adapters/status.py`) and layout (`cli_show.py`).
Heavy imports live inside the commands, so that `--help` answers at once.
"""

import errno
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from churn_platform.errors import ChurnError, UsageError
from churn_platform.settings import load_settings, prepare_environment

if TYPE_CHECKING:
    from rich.console import Console

    from churn_platform.adapters.home import Home

app = typer.Typer(
    help="A churn model that keeps itself honest: monthly drops in, an honestly promoted production model out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
CTRL_C = 130
DISK = {
    errno.ENOSPC: "The disk is full, nothing was half published: make room and run the same command again.",
    errno.EROFS: "The home is on a read-only file system, nothing was published: mount it writable or choose another.",
}
HomeOption = Annotated[Path | None, typer.Option("--home", help="Folder that holds everything (else CHURN_HOME).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON, for a program.")]


def main() -> None:
    """Run the command; an error of ours is one sentence, never a traceback."""
    warnings.simplefilter("ignore")
    code = 0
    try:
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if code == CTRL_C:
            _say("Stopped. What was finished stays; run the same command again to go on.", code)
    except UsageError as error:
        code = _say(error, 2)
    except ChurnError as error:
        code = _say(error, 1)
    except PermissionError as error:
        code = _say(f"{error.filename} cannot be written: {error.strerror}; check its owner and mode.", 1)
    except OSError as error:
        named = f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}."
        code = _say(DISK.get(error.errno or 0, named), 1)
    sys.exit(code)


def _say(sentence: object, code: int) -> int:
    sys.stderr.write(f"churn: {sentence}\n")
    return code


def _home(folder: Path | None, *, must_exist: bool = True) -> "Home":
    from churn_platform.adapters.home import Home

    settings = load_settings(folder)
    if must_exist and not (settings.home_folder / "lake").is_dir():
        raise UsageError(f"There is no home at {settings.home_folder}: `churn init` or `churn demo` makes one.")
    prepare_environment(settings)
    return Home(settings)


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def _print_json(value: Any) -> None:  # noqa: ANN401 - whatever json can hold
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


@app.command()
def demo(
    months: Annotated[int, typer.Option(min=1, max=60, help="Months to simulate.")] = 4,
    users: Annotated[int, typer.Option(min=500, help="Customers to simulate.")] = 5000,
    data: Annotated[Path | None, typer.Option(help="Folder with real drops (one sub-folder an as_of) instead.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole loop on a simulated business, or on real drops with --data."""
    from churn_platform.cli_demo import run_demo

    run_demo(_home(home, must_exist=False), _console(), months=months, users=users, data=data, as_json=as_json)


@app.command()
def init(home: HomeOption = None) -> None:
    """Make a home: folders, the contract to edit, Dagster's configuration, MLflow's store."""
    from churn_platform.adapters.contract_file import default_contract_path
    from churn_platform.adapters.files import write_text

    opened = _home(home, must_exist=False)
    opened.create()
    own = opened.folder / "contract.yaml"
    source = own if own.exists() else opened.contract_path
    _ = opened.contract
    if source != own:
        write_text(own, source.read_text(encoding="utf-8"))
    opened.registry.prepare()
    names = {own: "your contract", default_contract_path(): "the StreamFlow contract"}
    typer.echo(
        f"Home ready at {opened.folder}, with {names.get(source, source)} in contract.yaml: edit it for your tables."
    )
    typer.echo("Next: put a month's files into drops/<as_of>/, or `churn ingest DIR --as-of DATE`, then `churn run`.")


@app.command()
def ingest(
    folder: Annotated[Path, typer.Argument(help="Folder with the month's files.")],
    as_of: Annotated[str, typer.Option("--as-of", help="The date at which the tables were true, as 2024-01-31.")],
    home: HomeOption = None,
) -> None:
    """Validate a month's files and take them in as a drop; `churn run` processes it."""
    from churn_platform.adapters.ingestion import take_in
    from churn_platform.adapters.status import parse_as_of

    month = parse_as_of(as_of)
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: name the folder with the month's files.")
    opened = _home(home, must_exist=False)
    target, found = take_in(opened, folder, month)
    opened.create()
    said = found.quarantined_sentence
    typer.echo(f"The drop of {month} is {'usable' if said else 'sound'} and in {target}. Next: `churn run`.")
    if said:
        typer.echo(f"{said} Reasons: {opened.reports / month.isoformat() / 'drop.html'}")


@app.command()
def run(
    as_of: Annotated[str | None, typer.Option("--as-of", help="Process the months up to this one.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Process all due months (the default).")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Process what is due, oldest month first, and retrain where the policy asks. Every run is in the UI."""
    from churn_platform.adapters.status import parse_as_of, status
    from churn_platform.cli_progress import RunProgress
    from churn_platform.cli_show import show_status

    if as_of is not None and every:
        raise UsageError("--as-of and --all exclude each other: name a month or take all.")
    through = parse_as_of(as_of) if as_of else None
    opened = _home(home)
    with RunProgress(quiet=as_json) as progress:
        progress.note("Looking at what is due ...")
        from churn_platform.defs.runner import run_due

        ran = list(run_due(opened, progress.step, progress.asset, through))
    found = status(opened)
    if as_json:
        _print_json({"ran": [{"job": r.step.kind, "as_of": r.step.as_of, "run_id": r.run_id} for r in ran], **found})
        return
    typer.echo(f"{len(ran)} run{'s' if len(ran) != 1 else ''} done." if ran else "Nothing to do.")
    show_status(_console(), found)


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Months, the model in production, every decision, and what is due."""
    from churn_platform.adapters import status as answers
    from churn_platform.cli_show import show_status

    found = answers.status(_home(home))
    _print_json(found) if as_json else show_status(_console(), found)


@app.command()
def history(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """The ledger: every receipt, oldest first; a broken chain is an error."""
    from churn_platform.cli_show import show_history

    receipts = [receipt.model_dump(mode="json") for receipt in _home(home).ledger.receipts()]
    _print_json(receipts) if as_json else show_history(_console(), receipts)


@app.command()
def decision(
    as_of: Annotated[str | None, typer.Argument(help="The month; the newest decision by default.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Why a candidate was promoted or refused: every finding with its sentence."""
    from churn_platform.adapters.status import find_decision, parse_as_of
    from churn_platform.cli_show import show_decision

    wanted = parse_as_of(as_of).isoformat() if as_of else None
    found = find_decision(_home(home), wanted)
    _print_json(found) if as_json else show_decision(_console(), found)


@app.command()
def scores(
    top: Annotated[int, typer.Option(min=1, help="How many of the listed customers.")] = 20,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Who is most likely to leave, and why."""
    from churn_platform.adapters.status import listed_scores
    from churn_platform.cli_show import show_scores

    opened = _home(home)
    month, record, rows = listed_scores(opened, top)
    if as_json:
        _print_json({"as_of": month, **record, "listed": rows})
        return
    show_scores(_console(), month.isoformat(), record, list(rows), opened.contract.entity.column)


@app.command()
def explain(
    user: Annotated[str, typer.Argument(help="The customer's key.")],
    as_of: Annotated[str | None, typer.Option("--as-of", help="The month; the newest scored one by default.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """One customer: probability, reasons, features as known then, model version."""
    from churn_platform.adapters import status as answers
    from churn_platform.cli_show import show_explanation

    opened = _home(home)
    found = answers.explain(opened, user, as_of)
    _print_json(found) if as_json else show_explanation(_console(), found, opened.contract.entity.column)


@app.command()
def ui(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port on 127.0.0.1 (else CHURN_UI_PORT).")] = None,
    home: HomeOption = None,
) -> None:
    """The Dagster UI on 127.0.0.1 with the daemon; sensors and schedule are on."""
    from churn_platform.adapters.dagster_ui import serve_ui

    opened = _home(home, must_exist=False)
    opened.create()
    _ = opened.contract
    raise typer.Exit(serve_ui(opened, port or opened.settings.ui_port, typer.echo))


@app.command()
def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Versions, ports, write access, broken state, each with its remedy."""
    from churn_platform.adapters.checkup import check_up
    from churn_platform.cli_show import show_checkup

    checks = check_up(_home(home, must_exist=False))
    _print_json(checks) if as_json else show_checkup(_console(), checks)
    if any(check["state"] == "error" for check in checks):
        raise typer.Exit(1)
