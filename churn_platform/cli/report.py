"""The command that shows the monthly report."""

from typing import TYPE_CHECKING, Annotated

import typer

from churn_platform.base.text import parse_as_of
from churn_platform.cli.base import HomeOption, JsonOption, make_console, open_home, print_json
from churn_platform.contract.policy import Audience

if TYPE_CHECKING:
    from rich.console import Console

    from churn_platform.reports.monthly.figures import Answer, Trend


def report(
    as_of: Annotated[
        str | None, typer.Argument(help="Show this month (default: the newest).")
    ] = None,
    audience: Annotated[
        Audience, typer.Option("--for", help="Show the page for these readers.")
    ] = "manager",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the monthly report and where its page is."""
    opened = open_home(home)
    reports = opened.monthly_reports
    month, found = reports.of(parse_as_of(as_of) if as_of else None)
    page = reports.file(month, audience)
    answers = found.answers(audience)
    if as_json:
        print_json(
            {
                "as_of": found.as_of,
                "for": audience,
                "page": str(page),
                "answers": [answer.as_json() for answer in answers],
            }
        )
        return
    console = make_console()
    console.print(f"[bold]{found.business}, {found.as_of}[/]", soft_wrap=True)
    for answer in answers:
        _show(console, answer)
    console.print(f"\nPage  {page}", soft_wrap=True)


def _show(console: "Console", answer: "Answer") -> None:
    console.print(f"\n[bold]{answer.question}[/]")
    for sentence in answer.sentences:
        console.print(sentence.plain, soft_wrap=True, markup=False)
    if answer.trend is not None and answer.trend.known:
        console.print(_line(answer.trend), soft_wrap=True, markup=False)


def _line(trend: "Trend") -> str:
    """The months of a trend in one line."""
    months = [f"{point.as_of} {trend.written(point)}" for point in trend.known]
    return f"{trend.title}: {', '.join(months)}"
