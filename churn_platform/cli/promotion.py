"""The commands by which people decide: approve, reject, rollback, unblock and retrain."""

from typing import Annotated

import typer

from churn_platform.cli.base import HomeOption, JsonOption, open_home, print_json

VersionArgument = Annotated[
    int, typer.Argument(min=1, help="Name the version (`churn status` lists them).")
]
ByOption = Annotated[str, typer.Option("--by", help="Record who decides.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Record why.")]


def approve(
    version: VersionArgument,
    by: ByOption,
    reason: ReasonOption,
    override: Annotated[
        bool,
        typer.Option(
            "--override",
            help="Promote a refused version; the ledger records this permanently.",
        ),
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Promote a candidate that waits for approval, or a refused one with --override."""
    _say(
        version,
        open_home(home).approvals.approve(version, by, reason, override=override),
        as_json=as_json,
    )


def reject(
    version: VersionArgument,
    by: ByOption,
    reason: ReasonOption,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reject a candidate that waits for approval."""
    _say(version, open_home(home).approvals.reject(version, by, reason), as_json=as_json)


def rollback(
    by: ByOption,
    reason: ReasonOption,
    to: Annotated[
        int | None,
        typer.Option("--to", min=1, help="Go back to this version (default: the previous one)."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put an earlier version back into production and block the current one."""
    opened = open_home(home)
    said = opened.rollbacks.roll_back(by, reason, to)
    pointer = opened.releases.pointer()
    _say(None if pointer is None else pointer.version, said, as_json=as_json)


def unblock(
    version: VersionArgument,
    by: ByOption,
    reason: ReasonOption,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Allow a version that was rolled back to be promoted again."""
    _say(version, open_home(home).rollbacks.unblock(version, by, reason), as_json=as_json)


def retrain(
    by: ByOption,
    reason: ReasonOption,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Request a new candidate now; `churn run` trains it."""
    said = open_home(home).retraining_requests.request(by, reason)
    if as_json:
        print_json({"says": said})
    else:
        typer.echo(said)


def _say(version: int | None, said: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"version": version, "says": said})
    else:
        typer.echo(said)
