"""The commands history, verify and reproduce."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from churn_platform.base.errors import UsageError
from churn_platform.base.text import counted
from churn_platform.cli.base import (
    HomeOption,
    JsonOption,
    make_console,
    open_home,
    print_json,
    table,
)

if TYPE_CHECKING:
    from rich.console import Console

INDENT = 6
DIGITS = 12


def history(
    at: Annotated[
        str | None,
        typer.Option(
            "--at", help="Show what was in production at this date (its end) or time, in UTC."
        ),
    ] = None,
    act: Annotated[
        str | None,
        typer.Option("--act", help="Show acts that contain these words, such as promotion."),
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Show this version.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Start at this date or time.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="End with this date or time.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Show what this person or process did.")
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Show the latest N receipts.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the ledger, oldest first, or what was in production with --at."""
    from churn_platform.ledger.receipts import Filters, instant

    filters = Filters(
        act=act,
        version=version,
        since=instant(since, end=False) if since else None,
        until=instant(until, end=True) if until else None,
        by=by,
        last=last,
    )
    if at is not None:
        if filters != Filters():
            raise UsageError(
                "--at cannot be combined with filters.",
                code="OPTIONS_CONFLICT",
            )
        from churn_platform.audit.past import was_in_production

        opened = open_home(home)
        found = was_in_production(opened.ledger, opened.records, opened.now(), at).as_json()
        if as_json:
            print_json(found)
        else:
            _show_production_then(make_console(), found)
        return
    chosen = filters.chosen(open_home(home).ledger.receipts())
    receipts = [receipt.model_dump(mode="json") for receipt in chosen]
    if as_json:
        print_json(receipts)
    else:
        _show_receipts(make_console(), receipts, filtered=filters != Filters())


def verify(
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor",
            help="Require this digest of a receipt in the ledger.",
        ),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Compute the digest of every file again.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify the ledger, MLflow, the releases and the server; exit 1 on a fault."""
    import tempfile
    from pathlib import Path

    from churn_platform.audit.verifying import LEAST_DIGITS

    if anchor is not None and not re.fullmatch(f"[0-9a-f]{{{LEAST_DIGITS},64}}", anchor):
        raise UsageError(
            f"--anchor needs at least the first {LEAST_DIGITS} digits of a receipt's digest."
        )
    opened = open_home(home)
    with tempfile.TemporaryDirectory() as folder:  # what is read leaves no copy in the home
        opened.lake_copies = Path(folder)
        verification = opened.verification
        found = verification.summary(verification.verify(anchor, deep=deep)).as_json()
    if as_json:
        print_json(found)
    else:
        _show_verified(make_console(), found)
    if not found["verified"]:
        raise typer.Exit(1)


def reproduce(
    version: Annotated[int, typer.Argument(min=1, help="Reproduce this version.")],
    deep: Annotated[
        bool, typer.Option("--deep", help="Choose its recipe again if several competed.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a version again from the data known then; exit 1 if it differs."""
    found = open_home(home).reproduction.reproduce(version, deep=deep).as_json()
    if as_json:
        print_json(found)
    else:
        _show_reproduced(make_console(), found)
    if not found["reproduced"]:
        raise typer.Exit(1)


def _show_reproduced(console: "Console", found: Mapping[str, Any]) -> None:
    console.print(found["sentence"], style="green" if found["reproduced"] else "red")
    if found["compared"]:
        made = table("", "compared", "recorded", "made again", "")
        for one in found["compared"]:
            made.add_row(
                one["what"],
                one["recorded"][:20],
                one["found"][:20],
                "same" if one["same"] else "[red]differs[/]",
            )
        console.print(made)
    for sentence in found["noted"]:
        console.print(f"Noted     {sentence}", markup=False)


def _show_verified(console: "Console", found: Mapping[str, Any]) -> None:
    from rich.text import Text

    words = {
        "holds": ("holds", "green"),
        "broken": ("BROKEN", "red"),
        "unseen": ("unseen", "yellow"),
        "said": ("-", "dim"),
    }
    if found["first_break"] is not None:
        console.print(Text(f"First break: {found['first_break']}", style="red"))
    for finding in found["findings"]:
        word, style = words[finding["state"]]
        console.print(
            Text.assemble(f"{finding['check']:11} ", (f"{word:7}", style), finding["detail"])
        )
    if found["verified"]:
        console.print(f"Verified: {found['checked']:,} things checked, nothing is broken.")
    elif many := len(found["breaks"]):
        found_breaks = counted(many, "break")
        console.print(f"{found_breaks} found. Restore what is broken from a backup.")
    else:
        console.print(
            "Not verified: a check could not run. The others found no fault. Run this again"
            " when it answers."
        )
    if found["head"] is not None:
        console.print(
            f"Head: receipt {found['head']['sequence']}, {found['head']['digest']}",
            soft_wrap=True,
        )


def _show_receipts(
    console: "Console", receipts: Iterable[Mapping[str, Any]], *, filtered: bool
) -> None:
    """Two lines per receipt, the second its reason: a seventh column would be too narrow."""
    from rich.padding import Padding
    from rich.text import Text

    shown = list(receipts)
    if not shown:
        console.print("No receipt matches." if filtered else "The ledger is empty.")
        return
    heads = table("", "#", "time (UTC)", "act", "subject", "by", "from -> to", numbers=("#",))
    for r in shown:
        heads.add_row(
            str(r["sequence"]),
            r["time"][:16].replace("T", " "),
            r["act"],
            r["subject"],
            r["actor"],
            _moved(r),
        )
    lines = console.render_lines(heads, console.options.update(overflow="ellipsis", no_wrap=True))
    rows = ["".join(segment.text for segment in line).rstrip() for line in lines]
    title = len(rows) - len(shown)
    console.print(Text("\n".join(rows[:title]), style="bold"))
    for row, r in zip(rows[title:], shown, strict=True):
        console.print(Text(row, overflow="ellipsis", no_wrap=True))
        for line in _reasons(r):
            console.print(Padding(Text(line, style="dim"), (0, 0, 0, INDENT), expand=False))


def _reasons(receipt: Mapping[str, Any]) -> list[str]:
    """The reason; of a changed contract every change on a line of its own."""
    if receipt["act"] == "contract changed" and receipt["evidence"].get("changes"):
        return list(receipt["evidence"]["changes"].values())
    return [receipt["reason"]]


def _shortened(end: str | None) -> str:
    """A digest by its first digits; anything else as it is."""
    if end is None:
        return "-"
    return end[:DIGITS] if re.fullmatch("[0-9a-f]{64}", end) else end


def _moved(receipt: Mapping[str, Any]) -> str:
    """Before and after, shortened; of a decision its outcome."""
    before, after = (_shortened(receipt[end]) for end in ("before", "after"))
    if before == after:
        return ""
    if receipt["act"] == "decision":
        return after
    return f"{before} -> {after}"


def _show_production_then(console: "Console", found: Mapping[str, Any]) -> None:
    console.print(found["sentence"])
    if found["version"] is None:
        return
    console.print(f"Why         {found['reason']}")
    decision = found["decision"]
    approval = found["approval"]
    if decision is not None and "as_of" in decision:
        console.print(
            f"Decision    of {decision['as_of']} (trigger: {decision['trigger']}), digest"
            f" {decision['digest'][:12]}; `churn decision {decision['as_of']}` explains it."
        )
    elif decision is not None:
        console.print(
            f"Decision    {decision['digest'][:12]}. Its record is no longer in the home."
        )
    if approval is not None:
        if approval["override"]:
            over = "[yellow]overrode the refusal[/]"
        else:
            over = "approved it"
        console.print(f"Approval    {approval['by']} {over}: {approval['reason']}")
    receipt = found["receipt"]
    console.print(
        f"Receipt     {receipt['sequence']}, {receipt['act']},"
        f" {receipt['time'][:19].replace('T', ' ')} UTC"
    )
