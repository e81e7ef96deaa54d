"""The command shadow: compares a version or a rule with production without answering anybody."""

from typing import TYPE_CHECKING, Annotated

import typer

from churn_platform.base.errors import UsageError
from churn_platform.cli.base import (
    HomeOption,
    JsonOption,
    make_console,
    open_home,
    print_json,
)

if TYPE_CHECKING:
    from rich.console import Console

    from churn_platform.experiments.shadow_acts import ShadowReport


def shadow(
    subject: Annotated[
        str | None,
        typer.Argument(metavar="[VERSION|RULE]", help="Start a shadow: 3, or 'visits < 2'."),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End this shadow.")] = False,
    by: Annotated[str | None, typer.Option("--by", help="Record who decides.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Record why.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version or a rule score what production answers; show or end shadows."""
    if subject is None and (end or by is not None or reason is not None):
        raise UsageError(
            "Name a version or a rule: `churn shadow 3` starts a shadow, `churn shadow 3 --end`"
            " ends it; each takes --by and --reason.",
            code="OPTIONS_CONFLICT",
        )
    acts = open_home(home).shadow_acts
    if subject is None:
        if as_json:
            print_json(acts.report().as_json())
        else:
            show_shadows(make_console(), acts.report())
        return
    act = acts.end if end else acts.start
    said = act(subject, by or "", reason or "")
    if as_json:
        print_json({"says": said, **acts.report().as_json()})
        return
    typer.echo(said)
    if not end:
        show_shadows(make_console(), acts.report())


def show_shadows(console: "Console", report: "ShadowReport") -> None:
    """Print the shadows with their figures."""
    if not report.shadows:
        console.print(
            "There is no shadow. `churn shadow VERSION` or `churn shadow 'RULE'` starts one."
        )
        return
    for one in report.shadows:
        console.print(f"{one.title}, since {one.since[:10]}", style="bold", markup=False)
        for line in one.lines:
            console.print(f"  {line}", soft_wrap=True, markup=False)
