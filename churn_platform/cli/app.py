"""The `churn` command.

Exit codes: 0 is success, also when a candidate was refused; 1 is an error; 2 is wrong use.
"""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from churn_platform.base.errors import ChurnError, UsageError
from churn_platform.base.text import counted, parse_as_of
from churn_platform.cli import (
    canary,
    contacts,
    contract,
    effect,
    imports,
    lake,
    ledger,
    maintenance,
    model_test,
    promotion,
    replay,
    report,
    scores,
    serving,
    shadow,
    status,
)
from churn_platform.cli import demo as demonstration
from churn_platform.cli.base import (
    HomeOption,
    JsonOption,
    make_console,
    open_home,
    options,
    print_json,
    run_command,
)

if TYPE_CHECKING:
    from churn_platform.ingestion.validation import ValidatedDrop

app = typer.Typer(
    help="Turn monthly drops of customer tables into an honestly promoted churn model.",
    callback=options,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line."""
    run_command(app)


def ingest(
    as_of: Annotated[str, typer.Option("--as-of", help="Date the tables, such as 2024-01-31.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Ingest a folder, files or .zip; omit it for database tables."),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Validate a month's files and database tables and accept them as a drop."""
    month = parse_as_of(as_of)
    opened = open_home(home, must_exist=False)
    with opened.ingestion.gathered(files or (), month) as folder:
        target, found = opened.ingestion.accept(folder, month, files or ())
    opened.create()
    page = opened.reports / month.isoformat() / "drop.html"
    typer.echo("\n".join(ingest_sentences(found, target, page)))


def ingest_sentences(found: "ValidatedDrop", target: Path, page: Path) -> list[str]:
    """The folder of an accepted drop, its quarantined rows, its comparison and its warnings."""
    aside = found.quarantined_sentence
    state = "usable" if aside else "valid"
    said = [f"The drop of {found.as_of} is {state}. Its files are in {target}. Next: `churn run`."]
    if aside:
        said.append(f"{aside} Reasons: {page}")
    if found.comparison is not None and (change := found.comparison.change_sentence):
        said.append(change)
    if found.comparison is not None and found.comparison.contacts is not None:
        said.append(found.comparison.contacts.sentence)
    return said + [f"Warning {warning.code}: {warning.sentence}" for warning in found.warnings]


def run(
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Process the months up to this one.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Process all due months (the default).")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Process what is due, oldest month first; retrain if the policy asks for it."""
    from churn_platform.cli.progress import RunProgress

    if as_of is not None and every:
        raise UsageError(
            "--as-of and --all exclude each other: name a month or take all.",
            code="OPTIONS_CONFLICT",
        )
    through = parse_as_of(as_of) if as_of else None
    opened = open_home(home)
    with RunProgress(quiet=as_json) as progress:
        progress.note("Checking what is due ...")
        from churn_platform.defs.runner import StepFailed, run_due

        try:
            ran = list(run_due(opened, progress.step, progress.asset, through))
        except StepFailed:
            with contextlib.suppress(ChurnError):  # the step's own error is shown
                found = opened.month_warnings.of_months(progress.months)
                status.show_warnings(progress.console, found)
            raise
    state = opened.status.now().as_json()
    state["warnings"] = opened.month_warnings.of_months({one.step.as_of for one in ran})
    if as_json:
        steps = [
            {"job": one.step.kind, "as_of": one.step.as_of, "run_id": one.run_id} for one in ran
        ]
        print_json({"ran": steps, **state})
        return
    if ran:
        typer.echo(f"{counted(len(ran), 'run')} done.")
    else:
        typer.echo("Nothing to do.")
    status.show_status(make_console(), state)


app.command()(demonstration.demo)
app.command(cls=demonstration.ListsScenarios)(demonstration.simulate)
for command in (
    contract.init,
    ingest,
    run,
    status.status,
    ledger.history,
    ledger.verify,
    ledger.reproduce,
    status.decision,
    scores.scores,
    scores.explain,
    contacts.plan,
    effect.campaign,
    report.report,
    replay.replay,
    replay.scoreboard,
    imports.import_model,
    promotion.approve,
    promotion.reject,
    promotion.rollback,
    promotion.unblock,
    promotion.retrain,
    shadow.shadow,
    canary.canary,
    maintenance.backup,
    maintenance.restore,
    maintenance.move,
    lake.lake,
    maintenance.forget,
    serving.ui,
    serving.serve,
    serving.alert,
    serving.exporter,
    serving.bento,
    maintenance.doctor,
):
    app.command()(command)
app.command("test")(model_test.model_test)
app.add_typer(contract.app, name="contract")
app.add_typer(contacts.app, name="contacts")
