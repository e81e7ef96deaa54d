"""The commands about the ledger and what rests on it: history, verify, reproduce."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from churn_platform.base.errors import UsageError
from churn_platform.cli.base import HomeOption, JsonOption, make_console, open_home, print_json

if TYPE_CHECKING:
    from rich.console import Console

INDENT = 6
DIGITS = 12


def history(
    at: Annotated[
        str | None,
        typer.Option(
            "--at", help="What was in production then: a date (its end) or an instant, in UTC."
        ),
    ] = None,
    act: Annotated[
        str | None,
        typer.Option("--act", help="Only acts with these words, as promotion or drop."),
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Only what is about this version.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="From this date or instant on.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="Up to this date (its end) or instant.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Only what this person or process did.")
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest so many.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The ledger, oldest first; with --at what was in production then, and why."""
    from churn_platform.ledger.history import Filters, instant

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
                "--at asks what was in production then: it goes without the filters.",
                code="OPTIONS_CONFLICT",
            )
        from churn_platform.audit.past import was_in_production

        found = was_in_production(open_home(home), at)
        print_json(found) if as_json else _show_standing(make_console(), found)
        return
    receipts = [
        receipt.model_dump(mode="json")
        for receipt in filters.chosen(open_home(home).ledger.receipts())
    ]
    (
        print_json(receipts)
        if as_json
        else _show_receipts(make_console(), receipts, filtered=filters != Filters())
    )


def verify(
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor",
            help="Digest of a head that you kept elsewhere; the ledger must hold it.",
        ),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also compute every digest of every file again.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify the ledger, MLflow, the releases and the server.

    Exits 1 on a mismatch or a failed check.
    """
    import re

    from churn_platform.audit.verifying import LEAST_DIGITS, summary, verify_home

    if anchor is not None and not re.fullmatch(f"[0-9a-f]{{{LEAST_DIGITS},64}}", anchor):
        raise UsageError(
            f"--anchor takes the digest of a receipt, at least its first {LEAST_DIGITS} digits."
        )
    opened = open_home(home)
    found = summary(opened, verify_home(opened, anchor, deep=deep))
    print_json(found) if as_json else _show_verified(make_console(), found)
    if not found["verified"]:
        raise typer.Exit(1)


def reproduce(
    version: Annotated[int, typer.Argument(min=1, help="The version to make again.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a version again from the lake as known then; exit code 1 when anything differs, and
    what changed.
    """
    from churn_platform.audit.reproducing import reproduce as make_again

    found = make_again(open_home(home), version)
    print_json(found) if as_json else _show_reproduced(make_console(), found)
    if not found["reproduced"]:
        raise typer.Exit(1)


def _show_reproduced(console: "Console", found: Mapping[str, Any]) -> None:
    from churn_platform.cli.show import table

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
    for name in ("changed", "noted"):
        for sentence in found[name]:
            console.print(f"{name.capitalize():9} {sentence}", markup=False)


def _show_verified(console: "Console", found: Mapping[str, Any]) -> None:
    from rich.text import Text

    words = {
        "holds": ("holds", "green"), "broken": ("BROKEN", "red"), "unseen": ("unseen", "yellow"), "said": ("-", "dim"),
    }  # fmt: skip
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
        console.print(
            f"{many} break{'s' if many > 1 else ''} found. Put what is broken back from a backup."
        )
    else:
        console.print(
            "What could be looked at holds; what could not is not verified: run this again when"
            " it answers."
        )
    if found["head"] is not None:
        console.print(
            f"Head: receipt {found['head']['sequence']}, {found['head']['digest']}",
            soft_wrap=True,
        )


def _show_receipts(
    console: "Console", receipts: Iterable[Mapping[str, Any]], *, filtered: bool
) -> None:
    """Two lines a receipt, the second its reason: a table of seven columns would leave a reason
    no room.
    """
    from rich.padding import Padding
    from rich.text import Text

    from churn_platform.cli.show import table

    shown = list(receipts)
    if not shown:
        console.print(
            "No receipt matches." if filtered else "The ledger is empty: nothing has been done yet."
        )
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
        console.print(Padding(Text(r["reason"], style="dim"), (0, 0, 0, INDENT), expand=False))


def _moved(receipt: Mapping[str, Any]) -> str:
    """What a receipt moved, digests by their beginning; what a decision came to."""
    before, after = (
        "-" if end is None else end[:DIGITS] for end in (receipt["before"], receipt["after"])
    )
    if before == after:
        return ""
    if receipt["act"] == "decision":
        return after
    return f"{before} -> {after}"


def _show_standing(console: "Console", found: Mapping[str, Any]) -> None:
    console.print(found["sentence"])
    if found["version"] is None:
        return
    console.print(f"Why         {found['reason']}")
    decision = found["decision"]
    approval = found["approval"]
    if decision is not None and "as_of" in decision:
        console.print(
            f"Decision    of {decision['as_of']} (trigger: {decision['trigger']}), digest"
            f" {decision['digest'][:12]}; `churn decision {decision['as_of']}` shows its"
            " findings."
        )
    elif decision is not None:
        console.print(
            f"Decision    {decision['digest'][:12]}, whose record is not in the home any more."
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
