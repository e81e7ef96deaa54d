"""The command canary: lets a version answer a share of the customers."""

from typing import TYPE_CHECKING, Annotated

import typer

from churn_platform.base.errors import UsageError
from churn_platform.base.text import counted, duration_text, parse_duration, percent
from churn_platform.cli.base import (
    HomeOption,
    JsonOption,
    make_console,
    open_home,
    print_json,
    table,
)
from churn_platform.cli.promotion import score_newest_list
from churn_platform.experiments.canary_status import EVERY, STEPS, parse_steps

if TYPE_CHECKING:
    from rich.console import Console

    from churn_platform.experiments.canary_status import CanaryReport, CanaryStatus
    from churn_platform.services import Services


def canary(
    version: Annotated[
        int | None, typer.Argument(min=1, help="Start a canary of this version.")
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option("--steps", help=f"Answer this percentage at each step (default: {STEPS})."),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option("--every", help=f"Raise it after 30m, 12h, 1d or 1w (default: {EVERY})."),
    ] = None,
    raises: Annotated[
        bool, typer.Option("--raise", help="Raise the canary to its next step now.")
    ] = False,
    end: Annotated[
        bool, typer.Option("--end", help="Let production answer every customer again.")
    ] = False,
    by: Annotated[str | None, typer.Option("--by", help="Record who decides.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Record why.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version answer a share of the customers, raise it, end it, or show it."""
    acts = [version is not None, raises, end]
    signs = by is not None or reason is not None
    if (
        sum(acts) > 1
        or (version is None and (steps is not None or every is not None))
        or (signs and not any(acts))
    ):
        raise UsageError(
            "Name one act: VERSION starts a canary (with --steps and --every), --raise raises it,"
            " --end ends it; each takes --by and --reason.",
            code="OPTIONS_CONFLICT",
        )
    opened = open_home(home)
    experiments = opened.experiments
    if version is not None:
        shares = parse_steps(STEPS if steps is None else steps)
        lasting = parse_duration(EVERY if every is None else every)
        said = experiments.start_canary(version, shares, lasting, by or "", reason or "")
    elif raises:
        said = experiments.raise_canary(by or "", reason or "")
    elif end:
        said = experiments.end_canary(by or "", reason or "")
    else:
        experiments.settle()
        found = experiments.canary_report()
        if as_json:
            print_json(found.as_json())
        else:
            show_canary(make_console(), found)
        return
    _say_and_score(opened, said, as_json=as_json)


def _say_and_score(home: "Services", said: str, *, as_json: bool) -> None:
    """Describe the act, then make the newest list again, whose arms it changed."""
    if not as_json:
        typer.echo(said)
    scored, sentence = score_newest_list(home, quiet=as_json)
    if as_json:
        says = f"{said} {sentence}".rstrip()
        print_json({"says": says, "scored": scored, **home.experiments.canary_report().as_json()})
    elif sentence:
        typer.echo(sentence)


def show_canary(console: "Console", found: "CanaryReport") -> None:
    """Print the canary that runs, or how the last one ended."""
    if found.running is not None:
        console.print(found.running.sentence, soft_wrap=True)
        show_steps(console, found.running)
        show_arms(console, found.running)
        return
    console.print("There is no canary. `churn canary VERSION` starts one.")
    if found.ended is not None:
        console.print(found.ended.sentence, soft_wrap=True)


def show_steps(console: "Console", running: "CanaryStatus") -> None:
    """Print the steps of a canary."""
    lasting = duration_text(running.lasting)
    shown = table("Steps", "step", "share", "", numbers=("step", "share"))
    for number, share in enumerate(running.steps, start=1):
        if number < running.step or (running.completed and number == running.step):
            state = "passed"
        elif number == running.step:
            state = f"since {running.raised[:16].replace('T', ' ')} UTC"
        else:
            state = f"after at least {lasting}"
        shown.add_row(str(number), percent(share), state)
    console.print(shown)


def show_arms(console: "Console", running: "CanaryStatus") -> None:
    """Print what the servers counted in each arm, by which the guardrails judge."""
    kinds = ("answers", "errors", "slow", "invalid")
    shown = table("Answers since the start", "arm", *kinds, numbers=kinds)
    for arm, counts in running.arms.items():
        shown.add_row(arm, *(f"{counts.get(kind, 0):,}" for kind in kinds))
    console.print(shown)
    console.print(
        f"Version {running.version} has answered {counted(running.customers, 'customer')} in this"
        f" step; a raise needs {running.least_customers}.",
        soft_wrap=True,
    )
    console.print(f"Guardrails: {', '.join(running.guardrails)}.", soft_wrap=True)
