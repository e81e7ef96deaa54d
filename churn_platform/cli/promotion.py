"""The commands by which people decide on versions: approve, reject, rollback, unblock, and ask
for a new one: retrain.
"""

from typing import Annotated

import typer

from churn_platform.cli.base import HomeOption, JsonOption, open_home, print_json

VersionArgument = Annotated[
    int, typer.Argument(min=1, help="The version, as `churn status` names it.")
]
ByOption = Annotated[str, typer.Option("--by", help="Who decides; the ledger keeps the name.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; the ledger keeps it.")]


def approve(
    version: VersionArgument,
    by: ByOption,
    reason: ReasonOption,
    override: Annotated[
        bool,
        typer.Option(
            "--override",
            help="Promote it against its decision; the ledger records it permanently.",
        ),
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a candidate that passed and waits into production; with --override also one that was
    refused.
    """
    from churn_platform.promotion.approving import approve as act

    _say(version, act(open_home(home), version, by, reason, override=override), as_json=as_json)


def reject(
    version: VersionArgument,
    by: ByOption,
    reason: ReasonOption,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a candidate that waits for an approval with no; production stays."""
    from churn_platform.promotion.approving import reject as act

    _say(version, act(open_home(home), version, by, reason), as_json=as_json)


def rollback(
    by: ByOption,
    reason: ReasonOption,
    to: Annotated[
        int | None,
        typer.Option("--to", min=1, help="The version; else the one before this one."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put an earlier version back into production; servers follow within seconds, the version
    left is blocked.
    """
    from churn_platform.promotion.rolling_back import roll_back

    opened = open_home(home)
    said = roll_back(opened, by, reason, to)
    pointer = opened.releases.pointer()
    _say(None if pointer is None else pointer.version, said, as_json=as_json)


def unblock(
    version: VersionArgument,
    by: ByOption,
    reason: ReasonOption,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version that was rolled back be promoted again."""
    from churn_platform.promotion.rolling_back import unblock as act

    _say(version, act(open_home(home), version, by, reason), as_json=as_json)


def retrain(
    by: ByOption,
    reason: ReasonOption,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask for a new candidate now, whatever the policy; `churn run` trains it."""
    said = open_home(home).retraining_requests.request(by, reason)
    print_json({"says": said}) if as_json else typer.echo(said)


def _say(version: int | None, said: str, *, as_json: bool) -> None:
    print_json({"version": version, "says": said}) if as_json else typer.echo(said)


COMMANDS = (approve, reject, rollback, unblock, retrain)
