"""The commands that only answer: status, decision, scores, explain."""

from typing import Annotated

import typer

from churn_platform.cli.base import HomeOption, JsonOption, make_console, open_home, print_json


def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Months, the model in production, every decision, and what is due."""
    from churn_platform.cli.show import show_status
    from churn_platform.reports import status as answers

    found = answers.status(open_home(home))
    print_json(found) if as_json else show_status(make_console(), found)


def decision(
    as_of: Annotated[
        str | None, typer.Argument(help="The month; the newest decision by default.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Why a candidate was promoted or refused: every finding with its sentence."""
    from churn_platform.cli.show import show_decision
    from churn_platform.reports.status import find_decision, parse_as_of

    wanted = parse_as_of(as_of).isoformat() if as_of else None
    found = find_decision(open_home(home), wanted)
    print_json(found) if as_json else show_decision(make_console(), found)


def scores(
    top: Annotated[int, typer.Option(min=1, help="How many of the listed customers.")] = 20,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Who is most likely to leave, and why."""
    from churn_platform.cli.show import show_scores, show_warnings
    from churn_platform.reports.month_warnings import listed, warnings_of
    from churn_platform.reports.status import listed_scores

    opened = open_home(home)
    month, record, rows = listed_scores(opened, top)
    warnings = listed(month, warnings_of(opened, month))
    if as_json:
        print_json({"as_of": month, **record, "listed": rows, "warnings": warnings})
        return
    show_warnings(
        make_console(), [one for one in warnings if one["code"] != "LIST_OF_THE_PAST"]
    )  # the list has it
    show_scores(
        make_console(), month.isoformat(), record, list(rows), opened.contract.entity.column
    )


def explain(
    user: Annotated[str, typer.Argument(help="The customer's key.")],
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="The month; the newest scored one by default.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """One customer: probability, reasons, features as known then, model version."""
    from churn_platform.cli.show import show_explanation
    from churn_platform.reports import status as answers

    opened = open_home(home)
    found = answers.explain(opened, user, as_of)
    (
        print_json(found)
        if as_json
        else show_explanation(make_console(), found, opened.contract.entity.column)
    )
