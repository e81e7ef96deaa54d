"""The commands scores and explain."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from churn_platform.cli.base import (
    HomeOption,
    JsonOption,
    make_console,
    open_home,
    print_json,
    table,
)
from churn_platform.cli.status import show_warnings

if TYPE_CHECKING:
    from rich.console import Console


def scores(
    top: Annotated[int, typer.Option(min=1, help="Show this many customers.")] = 20,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the customers who are most likely to leave, with reasons."""
    from churn_platform.ingestion.month_warnings import listed

    opened = open_home(home)
    found = opened.status.scores(top)
    month = found.as_of
    record = {
        **found.record.as_json(),
        "production_version": found.production_version,
        "outdated": found.outdated,
        "not_scored": found.not_scored,
    }
    warnings = listed(month.isoformat(), opened.month_warnings.of(month))
    if as_json:
        print_json({"as_of": month, **record, "listed": found.rows, "warnings": warnings})
        return
    console = make_console()
    # The list itself shows that it is of the past.
    show_warnings(console, [one for one in warnings if one["code"] != "LIST_OF_THE_PAST"])
    show_scores(console, month.isoformat(), record, found.rows, found.key)
    if found.record.canary is not None:
        console.print(found.record.canary.sentence, soft_wrap=True)
    if opened.contract.contacts is not None:
        console.print(
            "[yellow]This list holds customers who are left untouched at random.[/] Contact those"
            " of `churn plan`, or the effect cannot be measured.",
            soft_wrap=True,
        )


def explain(
    user: Annotated[str, typer.Argument(help="Explain the customer with this key.")],
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="Explain this month (default: the newest scored month)."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a customer's probability, reasons, features and model version."""
    opened = open_home(home)
    key = opened.contract.entity.column
    found = {key: user, **opened.status.explain(user, as_of).as_json()}
    if as_json:
        print_json(found)
    else:
        show_explanation(make_console(), found, key)


def show_scores(
    console: "Console",
    month: str,
    record: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    key: str,
) -> None:
    """Print the top of the ranked list."""
    if record["stand_down"]:
        console.print(f"[red]Stand down:[/] {record['stand_down']}")
    if note := record.get("list_note"):
        console.print(f"[yellow]{note}[/]", soft_wrap=True)
    if outdated := record.get("outdated"):
        then = record.get("not_scored") or "`churn run` makes a new list."
        console.print(f"[yellow]{outdated} {then}[/]", soft_wrap=True)
    elif not_scored := record.get("not_scored"):
        console.print(f"[yellow]{not_scored}[/]", soft_wrap=True)
    losses = any("expected_loss" in row for row in rows)
    if losses:
        headed = "Highest expected loss"
    else:
        headed = "Most likely to leave"
    title = (
        f"{headed}, {month}, version {record['version']}, {record['customers']:,} customers scored"
    )
    if left := record.get("already_left"):
        title += f", {left:,} of them have already left"
    numbers = ("rank", "probability", *(["expected loss"] if losses else []))
    console.print(
        f"[bold]{title}[/]", soft_wrap=True
    )  # the title of a table is wrapped at the table's width
    made = table("", "rank", "customer", *numbers[1:], "reasons", numbers=numbers)
    for row in rows:
        said = "; ".join(str(value) for name, value in row.items() if name.startswith("reason_"))
        if row.get("trained_on"):
            customer = f"{row[key]} *"
        else:
            customer = str(row[key])
        loss = [f"{row['expected_loss']:,.2f}"] if losses else []
        made.add_row(str(row["rank"]), customer, f"{row['probability']:.3f}", *loss, said)
    console.print(made)
    if any(row.get("trained_on") for row in rows):
        console.print(
            f"[dim]* Version {record['version']} was trained on this row, outcome included. "
            "Its probability is too optimistic.[/]",
            soft_wrap=True,
        )


def show_explanation(console: "Console", found: Mapping[str, Any], key: str) -> None:
    """Print one customer's explanation."""
    model = found["model"]
    console.print(
        f"[bold]{found[key]}[/] on {found['as_of']}: probability"
        f" {found['probability']:.3f}{_place(found)} ({model['name']} version"
        f" {model['version']}, trained on {model['as_of']})"
    )
    if found.get("already_left"):
        console.print(
            "[yellow]Has already left[/]: the label of the month is known, so the customer is"
            " not listed."
        )
    if found.get("trained_on"):
        console.print(
            f"[yellow]Version {model['version']} was trained on this customer's outcome.[/]"
        )
    if model["stand_down"]:
        console.print("[red]The model stands down: do not act on this.[/]")
    for number, reason in enumerate(found["reasons"], start=1):
        console.print(f"  {number}. {reason}")
    if model.get("reasons_by"):
        console.print(f"[dim]Reasons by {model['reasons_by']} of {model['algorithm']}.[/]")
    made = table("Features as known then", "feature", "value")
    for name, value in found["features"].items():
        made.add_row(name, "(none)" if value is None else str(value))
    console.print(made)


def _place(found: Mapping[str, Any]) -> str:
    """Rank and decile; the prediction in words only if the contract gives costs."""
    said = ""
    if found.get("costs_given") and not found.get("already_left"):
        said += f", predicted: {'leaves' if found['prediction'] else 'stays'}"
    if found.get("expected_loss") is not None:
        said += f", expected loss {found['expected_loss']:,.2f}"
    if found.get("rank") is not None:
        said += f", rank {found['rank']:,}, decile {found['decile']}"
    return said
