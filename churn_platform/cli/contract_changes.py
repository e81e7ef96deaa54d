"""The commands contract diff and contract update."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from churn_platform.base.errors import UsageError
from churn_platform.cli.base import HomeOption, JsonOption, open_home, print_json

if TYPE_CHECKING:
    from churn_platform.contract.changes import ContractChange
    from churn_platform.drafting.home_update import ContractProposal
    from churn_platform.services import Services


def diff(
    as_of: Annotated[
        str | None,
        typer.Argument(help="Compare with the contract of this month (default: the last run's)."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the contract differs from the recorded one, or from that of AS_OF."""
    from churn_platform.base.text import parse_as_of
    from churn_platform.contract.changes import changes_between

    opened = open_home(home)
    history = opened.contract_history
    month = parse_as_of(as_of) if as_of else None
    if month is not None:
        opened.lake.require_published(month)
    before = history.recorded() if month is None else history.when_published(month)
    changes = [] if before is None else changes_between(before, opened.contract)
    refused = history.refused()
    if as_json:
        print_json(
            {
                "contract": opened.contract_path,
                "as_of": month,
                "recorded": before is not None,
                "changes": [_change(one) for one in changes],
                "refused": [_change(one) for one in refused],
            }
        )
    elif before is None:
        typer.echo("No contract is recorded yet; the next run records this one.")
    else:
        _show_changes(changes, refused, ())


def update(
    from_drop: Annotated[
        Path | None,
        typer.Option("--from-drop", help="Propose the changes that these files show."),
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Add files of the same month (with --from-drop)."),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="Date the files when no folder does (with --from-drop)."),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option("--skip", help="Leave out the proposals at this place of the contract."),
    ] = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Go back to the contract before the last update.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write without a question.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the changes of the contract, write them, and record them in the ledger."""
    from churn_platform.base.text import parse_as_of

    opened = open_home(home)
    month = parse_as_of(as_of) if as_of else None
    drafts = from_drop is not None or (as_of is not None and bool(opened.contract.pulled))
    if undo and (drafts or files or as_of or skip):
        raise UsageError("--undo takes no other option.", code="OPTIONS_CONFLICT")
    if undo:
        proposal = opened.contract_updates.undone()
    elif drafts:
        named = [path for path in (from_drop, *(files or [])) if path is not None]
        proposal = opened.contract_updates.propose(named, month, skip or ())
    elif files or as_of or skip:
        raise UsageError(
            "--as-of, --skip and FILES work only with --from-drop.", code="OPTIONS_CONFLICT"
        )
    else:
        proposal = opened.contract_updates.edited()
    if not as_json:
        # With --yes the refusals are the error that ends the command.
        _show_changes(proposal.changes, () if yes else proposal.refused, proposal.confirm)
        _show_rest(proposal, drafts=drafts)
    write = bool(proposal.changes) and (
        yes or (not proposal.refused and _confirmed(as_json=as_json))
    )
    if write:
        opened.contract_updates.write(proposal)
    _show_outcome(opened, proposal, written=write, as_json=as_json)
    if proposal.refused:
        raise typer.Exit(1)


def _show_outcome(
    opened: "Services", proposal: "ContractProposal", *, written: bool, as_json: bool
) -> None:
    """Whether the changes were written, and what to type next."""
    if as_json:
        print_json(
            {
                "contract": opened.contract_path,
                "changes": [_change(one) for one in proposal.changes],
                "refused": [_change(one) for one in proposal.refused],
                "confirm": list(proposal.confirm),
                "left_out": list(proposal.left_out),
                "remaining": list(proposal.remaining),
                "written": written,
            }
        )
    elif written:
        typer.echo(
            f"Written to {opened.contract_path} and recorded in the ledger. Undo it with:"
            f" churn contract update --undo{opened.option}"
        )
    elif proposal.changes:
        how = "" if proposal.refused else " Add --yes to write it."
        typer.echo(f"Nothing was written.{how}")


def _show_rest(proposal: "ContractProposal", *, drafts: bool) -> None:
    """What the changes leave out, and why the drop would still be refused."""
    if proposal.confirm:
        place = proposal.confirm[0].partition(":")[0]
        typer.echo(f"To leave one out: --skip, such as --skip {shlex.quote(place)}")
    if proposal.left_out:
        typer.echo("Left out:")
    for one in proposal.left_out:
        typer.echo(f"  {one}")
    if proposal.remaining:
        typer.echo("These faults remain:")
    elif drafts:
        typer.echo("The drop has no other fault that refuses it.")
    for one in proposal.remaining:
        typer.echo(f"  {one}")


def _confirmed(*, as_json: bool) -> bool:
    """Whether a person at a terminal agrees."""
    if as_json or not sys.stdin.isatty():
        return False
    return typer.confirm("Write these changes?")


def _change(one: "ContractChange") -> dict[str, str]:
    return {"where": one.where, "change": one.sentence, "refused": one.refused}


def _show_changes(
    changes: Sequence["ContractChange"],
    refused: Sequence["ContractChange"],
    confirm: Sequence[str],
) -> None:
    if not changes:
        typer.echo("The contract has not changed.")
    for one in changes:
        typer.echo(f"  {one.sentence}")
    for one in refused:
        typer.echo(f"Refused: {one.refusal}")
    if confirm:
        typer.echo("Confirm:")
    for doubt in confirm:
        typer.echo(f"  {doubt}")
