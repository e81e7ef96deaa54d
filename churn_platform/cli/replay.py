"""The commands replay and scoreboard."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from churn_platform.cli.base import (
    HomeOption,
    JsonOption,
    figure,
    make_console,
    open_home,
    print_json,
    table,
)

if TYPE_CHECKING:
    from rich.console import Console

    from churn_platform.replay.home_replay import JudgedDecisions
    from churn_platform.replay.result import Replay

PolicyOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--policy", help="Also replay the `policy:` section of this YAML file; repeatable."
    ),
]


def replay(
    policy: PolicyOption = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write a plot to this .png, or to .html with the table.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare what several policies would have decided in every past month."""
    from churn_platform.replay.home_replay import replay_home
    from churn_platform.replay.replay_plot import check_target, write_plot

    if plot is not None:
        check_target(plot)
    opened = open_home(home)
    from rich.console import Console

    with Console(stderr=True, quiet=as_json).status("Reading the months ...") as shown:

        def on_month(name: str, month: dt.date) -> None:
            shown.update(f"{name}: {month}")

        replays = replay_home(opened.contract, opened.labels, opened.now(), policy or [], on_month)
    if plot is not None:
        write_plot(replays, plot)
    if as_json:
        print_json(
            [
                {
                    "policy": one.name,
                    "mean_auc": one.mean_auc,
                    "promotions": one.promotions,
                    **asdict(one.totals),
                    "months": [asdict(month) for month in one.months],
                    "judged": [asdict(decision) for decision in one.judged],
                }
                for one in replays
            ]
        )
        return
    console = make_console()
    show_replay(console, replays)
    if plot is not None:
        console.print(f"Plot: {plot}", soft_wrap=True)


def show_replay(console: "Console", replays: Sequence["Replay"]) -> None:
    """One row per policy, then one row per month."""
    numbers = (
        "mean AUC",
        "candidates",
        "promotions",
        "false promotions",
        "missed promotions",
        "right",
        "wrong",
        "open",
    )
    made = table("The same months under each policy", "policy", *numbers, numbers=numbers)
    for one in replays:
        counts = one.totals
        cells = (
            counts.decisions,
            one.promotions,
            counts.needless,
            counts.missed,
            counts.right,
            counts.wrong,
        )
        made.add_row(one.name, figure(one.mean_auc), *map(str, cells), str(counts.open))
    console.print(made)
    names = [one.name for one in replays]
    months = table(
        "AUC of the model in production on each month's customers",
        "month",
        *names,
        numbers=names,
    )
    for row in zip(*(one.months for one in replays), strict=True):
        months.add_row(
            row[0].as_of, *(f"{figure(month.auc)} {_did(month.decision)}" for month in row)
        )
    console.print(months)
    console.print(
        "[dim]+ a candidate was promoted, - one was refused. Judged by later labels: a false"
        " promotion was not better, a missed one was. Open: too early to judge.[/]",
        soft_wrap=True,
    )


def _did(decision: str | None) -> str:
    return {"promoted": "[green]+[/]", "refused": "[yellow]-[/]"}.get(decision or "", " ")


def scoreboard(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Judge every past decision by the labels that matured later."""
    found = open_home(home).scoreboard().judge()
    if as_json:
        print_json(asdict(found))
    else:
        show_scoreboard(make_console(), found)


def show_scoreboard(console: "Console", found: "JudgedDecisions") -> None:
    """One row per decision, then totals."""
    from churn_platform.cli.status import STATES

    numbers = ("candidate", "incumbent", "difference", "gained")
    made = table(
        "Was the gate right?",
        "month",
        "decision",
        "gate",
        *numbers,
        "later months",
        numbers=numbers,
    )
    says = {"right": "[green]right[/]", "wrong": "[red]wrong[/]", "open": "[dim]open[/]"}
    for one in found.decisions:
        made.add_row(
            one.as_of,
            f"[{STATES[one.decision]}]{one.decision}[/] version {one.candidate}",
            says[one.judgement],
            figure(one.candidate_auc),
            figure(one.incumbent_auc),
            figure(one.difference, "+.3f"),
            figure(one.gained, "+,.4g"),
            one.sentence,
        )
    console.print(made)
    sums = found.totals
    console.print(
        f"{sums.decisions} decisions: {sums.right} right, {sums.wrong} wrong"
        f" ({sums.needless} false promotions, {sums.missed} missed promotions),"
        f" {sums.open} open. Following them gained {sums.gained:+,.4g} {found.gained},"
        " compared with the opposite of each.",
        soft_wrap=True,
    )
