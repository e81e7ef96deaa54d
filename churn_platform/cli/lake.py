"""`churn lake`: where the files of the lake are."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from churn_platform.base.errors import UsageError
from churn_platform.cli.base import HomeOption, JsonOption, open_home, print_json

if TYPE_CHECKING:
    from churn_platform.maintenance.lake_move import LakeSummary


def lake(
    move: Annotated[
        str | None,
        typer.Option(
            help="Move its files to a place such as s3://bucket/prefix, or to `home`.",
            metavar="PLACE",
        ),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete the copies on this disk that the place has.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where the files of the lake are, move them, or free the disk of copies."""
    if move and clear:
        raise UsageError(
            "--move and --clear exclude each other: move first, then clear.",
            code="OPTIONS_CONFLICT",
        )
    opened = open_home(home)
    if move:
        found = opened.lake_move.move(move)
    elif clear:
        found = opened.lake_move.clear()
    else:
        found = opened.lake_move.summary()
    if as_json:
        print_json(asdict(found))
        return
    typer.echo("\n".join(sentences(found)))


def sentences(found: "LakeSummary") -> list[str]:
    """Where the files are, for a person."""
    own = found.place == "home"
    said = [f"The lake is {'in the folder of the home' if own else f'at {found.place}'}."]
    size = found.bytes_here / 1e6
    said.append(f"{found.here:,} of {found.files:,} files are on this disk ({size:,.1f} MB).")
    if found.missing:
        said.append(f"{found.missing:,} files are nowhere: `churn doctor` names them.")
    return said
