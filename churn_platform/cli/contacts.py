"""The commands about contacts."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from churn_platform.base.errors import UsageError
from churn_platform.base.text import counted, parse_as_of
from churn_platform.cli.base import (
    HomeOption,
    JsonOption,
    make_console,
    open_home,
    print_json,
    table,
)
from churn_platform.cli.status import planned_sentence

if TYPE_CHECKING:
    from rich.console import Console

    from churn_platform.reports.contact_status import ContactStatus
    from churn_platform.scoring.what_if import WhatIfAnswer

SHOWN_MONTHS = (1, 3, 6, 12, 24)

app = typer.Typer(
    help="Record contacts with customers.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def contacts() -> None:
    """Record contacts with customers."""


@app.command()
def record(
    file: Annotated[
        Path, typer.Argument(help="Record the contacts in this worked list (CSV, Excel, Parquet).")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Record without a question.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add the contacts of a worked list to the newest month, for the next run."""
    opened = open_home(home)
    found = opened.contact_recording.check(file)
    if not as_json:
        typer.echo("\n".join(found.sentences))
    asks = not as_json and sys.stdin.isatty()
    if found.added and (yes or (asks and typer.confirm("Record these contacts?"))):
        found = opened.contact_recording.record(file)
    if as_json:
        print_json(asdict(found))
    elif found.recorded:
        typer.echo(f"Recorded in {found.drop}. Next: `churn run{opened.option}`.")
    elif found.added:
        typer.echo("Nothing was recorded. Add --yes to record.")
    else:
        typer.echo("Nothing to record.")


def plan(
    as_of: Annotated[
        str | None, typer.Argument(help="Show this month (default: the newest plan).")
    ] = None,
    what_if: Annotated[
        bool, typer.Option("--what-if", help="Show what a campaign could measure instead.")
    ] = False,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Contact this many a month (with --what-if).")
    ] = None,
    effect: Annotated[
        float | None,
        typer.Option(help="Expect contacts to prevent this churn rate, as 0.05 (with --what-if)."),
    ] = None,
    untouched_share: Annotated[
        float | None, typer.Option(help="Leave this share untouched (with --what-if).")
    ] = None,
    churn: Annotated[
        float | None, typer.Option(help="Expect this churn rate on the list (with --what-if).")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who is to be contacted, who is excluded and why, and where the list is."""
    assumed = any(one is not None for one in (budget, effect, untouched_share, churn))
    if what_if != (effect is not None) or (assumed and not what_if) or (what_if and as_of):
        raise UsageError(
            "--what-if takes --effect and no month; --budget, --untouched-share and --churn work"
            " only with it.",
            code="OPTIONS_CONFLICT",
        )
    opened = open_home(home)
    if effect is not None:
        answer = opened.what_if.answer(effect, budget, untouched_share, churn)
        if as_json:
            print_json(answer.as_json())
        else:
            show_what_if(make_console(), answer)
        return
    found = opened.contact_statuses.of(parse_as_of(as_of) if as_of else None)
    if as_json:
        print_json(found.as_json())
    else:
        show_plan(make_console(), found)


def show_plan(console: "Console", found: "ContactStatus") -> None:
    """Print the plan of a month."""
    waits = "[yellow]Waits:[/] " if found.waiting else ""
    said = planned_sentence(found.model_dump())
    console.print(f"[bold]{found.as_of}[/]: {waits}{said}", soft_wrap=True)
    if found.list_file is None:
        return
    console.print(
        f"Scored by version {found.version}. The budget is {counted(found.budget, 'customer')};"
        f" {found.explore:,} of the list were drawn at random below the cut."
    )
    if found.test is not None:
        console.print(
            f"The month belongs to {found.test}: half of the customers on the list of one version"
            " alone are left untouched. `churn test` shows it.",
            soft_wrap=True,
        )
    if found.excluded:
        excluded = table("Excluded", "reason", "customers", numbers=("customers",))
        for reason, count in found.excluded.items():
            excluded.add_row(reason, f"{count:,}")
        console.print(excluded)
    console.print(f"List        {found.list_file}", soft_wrap=True)
    console.print(f"As Excel    {found.excel_file}", soft_wrap=True)
    console.print("Worked through it? Type `churn contacts record FILE`.")


def show_what_if(console: "Console", answer: "WhatIfAnswer") -> None:
    """Print what a campaign could show."""
    found = answer.outlook
    design = answer.design
    console.print(
        f"[bold]{counted(answer.budget, 'contact')} a month[/], {design.untouched_share:.0%} of"
        f" the {design.listed:,.0f} customers above the cut left untouched."
    )
    console.print(answer.churn.sentence, soft_wrap=True)
    shown = table(
        "", "months", "smallest effect shown", numbers=("months", "smallest effect shown")
    )
    for month in SHOWN_MONTHS:
        smallest = found.smallest_effects[month - 1]
        points = "not measurable" if smallest is None else f"{100 * smallest:.1f} points"
        shown.add_row(str(month), points)
    console.print(shown)
    effect = f"An effect of {100 * found.effect:.1f} points"
    if found.months is None:
        console.print(f"[red]{effect} is hopeless to show:[/] it needs more than 24 months.")
        if found.share_that_helps is not None:
            share = f"an untouched share of {found.share_that_helps:.0%}"
            console.print(f"It would be shown with {share}.")
        if found.listed_that_helps is not None:
            needed = f"{found.listed_that_helps:,.0f} customers above the cut a month"
            console.print(f"It would be shown with {needed}.")
    else:
        console.print(
            f"{effect} is shown after {counted(found.months, 'month')}, in 8 of 10 cases."
        )
    if design.value:
        console.print(f"Leaving customers untouched costs about {found.price:,.0f} a month.")
