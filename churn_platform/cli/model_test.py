"""The command test: two versions on the customers that their lists save."""

from typing import TYPE_CHECKING, Annotated

import typer

from churn_platform.base.errors import UsageError
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

    from churn_platform.experiments.model_test_forecast import ModelTestForecast
    from churn_platform.experiments.model_test_status import ModelTestStatus
    from churn_platform.ledger.experiment_acts import ModelTestLooked


def model_test(
    version_a: Annotated[
        int | None, typer.Argument(min=1, help="Name version A; without versions, show the tests.")
    ] = None,
    version_b: Annotated[int | None, typer.Argument(min=1, help="Name version B.")] = None,
    budget: Annotated[
        int | None,
        typer.Option("--budget", min=1, help="Contact so many a month (default: the policy's)."),
    ] = None,
    months: Annotated[int, typer.Option("--months", help="Plan so many months.")] = 12,
    difference: Annotated[
        float | None,
        typer.Option("--difference", help="Plan for this difference in customers saved a month."),
    ] = None,
    what_if: Annotated[
        bool, typer.Option("--what-if", help="Show what the test could show; start nothing.")
    ] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Start even a hopeless test.")] = False,
    end: Annotated[bool, typer.Option("--end", help="End the test that runs.")] = False,
    by: Annotated[str, typer.Option("--by", help="Record who decides.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Record why.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Test which of two versions saves more customers, where their lists disagree."""
    tests = open_home(home).model_tests
    if end:
        if version_a is not None or what_if:
            raise UsageError(
                "--end ends the test that runs: name no versions.", code="OPTIONS_CONFLICT"
            )
        said = tests.end(by, reason)
        if as_json:
            print_json({"says": said})
        else:
            typer.echo(said)
        return
    if version_a is None:
        statuses = tests.statuses()
        if as_json:
            print_json({"tests": [one.as_json() for one in statuses]})
        else:
            show_tests(make_console(), statuses)
        return
    if version_b is None:
        raise UsageError("Name two versions, A and B.", code="OPTIONS_CONFLICT")
    if what_if:
        found = tests.forecasts.forecast(version_a, version_b, budget, months, difference)
    else:
        found = tests.start(
            version_a, version_b, by, reason,
            budget=budget, months=months, difference=difference, anyway=anyway,
        )  # fmt: skip
    if as_json:
        print_json({"started": not what_if, **found.as_json()})
        return
    show_forecast(make_console(), found)
    if not what_if:
        typer.echo("The test is registered: the contacts of the next months are drawn by it.")


def show_tests(console: "Console", statuses: "list[ModelTestStatus]") -> None:
    """Print every test, and the looks of the newest."""
    if not statuses:
        console.print("No test was started yet: `churn test A B` starts one.")
        return
    for status in statuses:
        console.print(status.sentence, soft_wrap=True)
    newest = statuses[-1]
    registered = newest.test.registered
    console.print(
        f"Months      {len(newest.planned)} of {registered.months} planned with"
        f" {registered.budget:,} contacts each; started by {newest.test.by}",
        soft_wrap=True,
    )
    if newest.command:
        console.print(f"Next        {newest.command}", soft_wrap=True)
    if newest.test.looks:
        show_looks(console, newest.test.looks)


def show_looks(console: "Console", looks: "tuple[ModelTestLooked, ...]") -> None:
    """Print the looks of a test, and the two lists at the newest."""
    numbers = ("look", "information", "A less B", "low", "high", "z", "boundary", "still possible")
    shown = table("", "month", *numbers, numbers=numbers)
    for look in looks:
        low, high = look.interval or (None, None)
        shown.add_row(
            look.months[-1],
            str(look.look),
            f"{look.information:.0%}",
            figure(look.difference, "+.1f"),
            figure(low, "+.1f"),
            figure(high, "+.1f"),
            figure(look.z, "+.2f"),
            f"{look.boundary:.2f}",
            figure(look.conditional_power, ".0%"),
        )
    console.print(shown)
    console.print(
        "A less B is in customers saved a month. `still possible` is the probability that the"
        " test still shows a difference if the planned one is true.",
        soft_wrap=True,
    )


def show_forecast(console: "Console", found: "ModelTestForecast") -> None:
    """Print what a test can show, the sentence first."""
    console.print(found.sentence, soft_wrap=True)
    numbers = ("month", "smallest difference", "boundary")
    shown = table("", *numbers, numbers=numbers)
    rows = zip(found.outlook.smallest_differences, found.outlook.boundaries, strict=True)
    for month, (smallest, boundary) in enumerate(rows, start=1):
        text = "too few" if smallest is None else f"{smallest:.1f}"
        shown.add_row(str(month), text, f"{boundary:.2f}")
    console.print(shown)
    console.print(
        "The smallest difference in customers saved a month that each look shows with"
        " probability 80%.",
        soft_wrap=True,
    )
    if found.why_hopeless:
        console.print(f"[yellow]{found.why_hopeless}[/]", soft_wrap=True)
