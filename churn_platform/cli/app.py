"""The `churn` command. Exit code 0 also for a refused candidate, 1 for an error, 2 for wrong
use.
"""

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from churn_platform.base.errors import ChurnError, UsageError
from churn_platform.cli import answers as cli_answers
from churn_platform.cli import contract as cli_contract
from churn_platform.cli import home as cli_home
from churn_platform.cli import ledger as cli_ledger
from churn_platform.cli import promotion as cli_promotion
from churn_platform.cli import verdict as cli_verdict
from churn_platform.cli import watch as cli_watch
from churn_platform.cli.base import HomeOption, JsonOption, make_console, open_home, print_json
from churn_platform.cli.boundary import options
from churn_platform.cli.boundary import run as run_command

app = typer.Typer(
    help=(
        "A churn model that keeps itself honest: monthly drops in, an honestly promoted"
        " production model out."
    ),
    callback=options,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(cli_contract.app, name="contract")


def main() -> None:
    """Run the command; an error is one sentence with an exit code, never a traceback."""
    run_command(app)


@app.command()
def demo(
    months: Annotated[int, typer.Option(min=1, max=60, help="Months to simulate.")] = 4,
    users: Annotated[int, typer.Option(min=500, help="Customers to simulate.")] = 5000,
    scenario: Annotated[
        str, typer.Option(help="What happens; `churn simulate --help` lists them.")
    ] = "sudden-shift",
    data: Annotated[
        Path | None, typer.Option(help="Folder with drops (one sub-folder an as_of) instead.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the complete loop on a simulated business, or on drops with --data."""
    from churn_platform.cli.demo import run_demo
    from churn_platform.simulator import find_scenario

    chosen = find_scenario(scenario)
    opened = open_home(home, must_exist=False)
    run_demo(
        opened,
        make_console(),
        months=months,
        users=users,
        scenario=chosen,
        data=data,
        as_json=as_json,
    )


class _ListsScenarios(TyperCommand):
    """A command whose help ends with the scenarios; they are looked up only when it is asked
    for.
    """

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002 - the types are typer's own
        """Write one line a scenario."""
        from churn_platform.simulator import SCENARIOS

        with formatter.section("Scenarios"):
            formatter.write_dl([(name, scenario.summary) for name, scenario in SCENARIOS.items()])


@app.command(cls=_ListsScenarios)
def simulate(
    out: Annotated[
        Path,
        typer.Argument(
            help="Folder for the drops and truth.json: empty, or an earlier simulation."
        ),
    ],
    scenario: Annotated[
        str, typer.Option(help="What happens; see the list below.")
    ] = "sudden-shift",
    users: Annotated[int, typer.Option(help="Customers in every month, at least 50.")] = 5000,
    months: Annotated[int, typer.Option(help="Months, or other cadences of the contract.")] = 6,
    seed: Annotated[int, typer.Option(help="Chooses the business and its people.")] = 1,
    contract: Annotated[
        Path | None, typer.Option(help="The tables to make (else StreamFlow's).")
    ] = None,
) -> None:
    """Write the drops of a made-up business whose best possible model is known."""
    from churn_platform.cli.simulate import sentences, write_simulation
    from churn_platform.contract.reading import default_contract_path
    from churn_platform.simulator import find_scenario

    chosen = find_scenario(scenario)
    source = contract or default_contract_path()
    truth = write_simulation(out, chosen, source, users=users, months=months, seed=seed)
    typer.echo("\n".join(sentences(truth, out)))


@app.command()
def init(
    from_drop: Annotated[
        Path | None,
        typer.Option(
            "--from-drop",
            help="Draft the contract from a file, a folder, or the newest drop in it.",
        ),
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="With --from-drop: more files of the same month."),
    ] = None,
    entity: Annotated[
        str | None,
        typer.Option(help="With --from-drop: the column that is the customer's key."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="With --from-drop: TABLE.COLUMN that marks who churned.")
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of", help="With --from-drop: the files' date if no folder is named by it."
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a home: folders, the contract to edit (or a draft of it), Dagster's configuration,
    MLflow's store.
    """
    from churn_platform.cli.contract import make_draft, make_home, show_draft
    from churn_platform.reports.status import parse_as_of

    opened = open_home(home, must_exist=False)
    if from_drop is not None:
        found = make_draft(
            opened,
            [from_drop, *(files or [])],
            entity,
            label,
            parse_as_of(as_of) if as_of else None,
        )
    elif entity or label or as_of or files:
        raise UsageError(
            "--entity, --label, --as-of and FILES work only with --from-drop.",
            code="OPTIONS_CONFLICT",
        )
    else:
        found = make_home(opened)
    if as_json:
        print_json(found)
    elif from_drop is not None:
        show_draft(make_console(), found)
    else:
        typer.echo(found["says"])


@app.command()
def ingest(
    as_of: Annotated[
        str,
        typer.Option("--as-of", help="The date at which the tables were true, as 2024-01-31."),
    ],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A folder, files or .zip; not needed where a database has every table."
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Validate a month's files and database tables and accept them as a drop."""
    from churn_platform.cli.show import ingest_sentences
    from churn_platform.reports.status import parse_as_of

    month = parse_as_of(as_of)
    opened = open_home(home, must_exist=False)
    with opened.ingestion.gathered(files or (), month) as folder:
        target, found = opened.ingestion.accept(folder, month)
    opened.create()
    page = opened.reports / month.isoformat() / "drop.html"
    typer.echo("\n".join(ingest_sentences(found, target, page)))


@app.command()
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
    """Process what is due, oldest month first, and retrain where the policy asks.

    Every run is in the UI.
    """
    from churn_platform.cli.progress import RunProgress
    from churn_platform.cli.show import show_status, show_warnings
    from churn_platform.reports.month_warnings import warnings_of_months
    from churn_platform.reports.status import parse_as_of, status

    if as_of is not None and every:
        raise UsageError(
            "--as-of and --all exclude each other: name a month or take all.",
            code="OPTIONS_CONFLICT",
        )
    through = parse_as_of(as_of) if as_of else None
    opened = open_home(home)
    with RunProgress(quiet=as_json) as progress:
        progress.note("Looking at what is due ...")
        from churn_platform.defs.runner import StepFailed, run_due

        try:
            ran = list(run_due(opened, progress.step, progress.asset, through))
        except StepFailed:
            with contextlib.suppress(ChurnError):  # the step's own error is shown
                show_warnings(progress.console, warnings_of_months(opened, progress.months))
            raise
    found = status(opened)
    found["warnings"] = warnings_of_months(opened, {r.step.as_of for r in ran})
    if as_json:
        print_json(
            {
                "ran": [
                    {"job": r.step.kind, "as_of": r.step.as_of, "run_id": r.run_id} for r in ran
                ],
                **found,
            }
        )
        return
    typer.echo(f"{len(ran)} run{'s' if len(ran) != 1 else ''} done." if ran else "Nothing to do.")
    show_status(make_console(), found)


for answer in (
    cli_answers.status,
    cli_ledger.history,
    cli_ledger.verify,
    cli_ledger.reproduce,
    cli_answers.decision,
    cli_answers.scores,
    cli_answers.explain,
):
    app.command()(answer)
for look in (cli_verdict.replay, cli_verdict.scoreboard):
    app.command()(look)

for decided in cli_promotion.COMMANDS:
    app.command()(decided)

for whole in (cli_home.backup, cli_home.restore, cli_home.move, cli_home.forget):
    app.command()(whole)


@app.command()
def ui(
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port on 127.0.0.1 (else CHURN_UI_PORT)."),
    ] = None,
    home: HomeOption = None,
) -> None:
    """The Dagster UI on 127.0.0.1 with the daemon; sensors and schedule are on."""
    from churn_platform.alerting.dagster_ui import serve_ui

    opened = open_home(home, must_exist=False)
    opened.create()
    _ = opened.contract
    raise typer.Exit(serve_ui(opened, port or opened.settings.ui_port, typer.echo))


@app.command()
def serve(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port (else CHURN_API_PORT).")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than 127.0.0.1 needs API keys.")
    ] = "127.0.0.1",
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes (else CHURN_API_WORKERS).")
    ] = None,
    home: HomeOption = None,
) -> None:
    """The HTTP API that answers with the model in production (BentoML)."""
    from churn_platform.cli.serve import serve as become_server

    opened = open_home(home)
    settings = opened.settings
    become_server(
        opened, host, port or settings.api_port, workers or settings.api_workers, typer.echo
    )


app.command()(cli_watch.alert)
app.command()(cli_watch.exporter)


@app.command()
def bento(
    output: Annotated[
        Path | None,
        typer.Option(
            help=("Also write it as an archive: .bento, .tar.gz, .tar.xz, .tar.bz2, .tar or .zip.")
        ),
    ] = None,
    customers: Annotated[
        bool,
        typer.Option(
            "--customers/--no-customers",
            help="With the customers' newest features and scores inside.",
        ),
    ] = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a Bento with the release in production inside; `bentoml serve` runs it from
    anywhere.
    """
    from churn_platform.cli.serve import built_facts, built_sentences

    built = open_home(home).bundles.build(customers=customers, output=output)
    print_json(built_facts(built)) if as_json else typer.echo("\n".join(built_sentences(built)))


@app.command()
def doctor(
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Repair first what the home itself proves; never guess."),
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Versions, ports, write access, broken state, each with its remedy."""
    from churn_platform.cli.home import fixed
    from churn_platform.cli.show import show_checkup
    from churn_platform.maintenance.checkup import check_up

    repairs = fixed(open_home(home), quiet=as_json) if fix else []
    checks = check_up(open_home(home, must_exist=False))
    if as_json:
        print_json({"repairs": repairs, "checks": checks} if fix else checks)
    else:
        show_checkup(make_console(), checks)
    if any(check["state"] == "error" for check in checks) or not all(
        repair["done"] for repair in repairs
    ):
        raise typer.Exit(1)
