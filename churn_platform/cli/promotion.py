"""The commands by which people decide: approve, reject, rollback, unblock and retrain."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from churn_platform.base.errors import HomeBusy
from churn_platform.base.library_errors import sentence_of
from churn_platform.cli.base import HomeOption, JsonOption, open_home, print_json

if TYPE_CHECKING:
    from churn_platform.services import Services

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
    opened = open_home(home)
    said = opened.approvals.approve(version, by, reason, override=override)
    say_and_score(opened, version, said, as_json=as_json)


def reject(
    version: VersionArgument,
    by: ByOption,
    reason: ReasonOption,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reject a candidate that waits for approval."""
    opened = open_home(home)
    said = opened.approvals.reject(version, by, reason)
    _say(version, " ".join([said, *_settle(opened)]), as_json=as_json)


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
    version = None if pointer is None else pointer.version
    say_and_score(opened, version, said, as_json=as_json)


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


def say_and_score(home: "Services", version: int | None, said: str, *, as_json: bool) -> None:
    """Describe the change of production, then settle the experiments that it ends, and make the
    newest list again.
    """
    said = " ".join([said, *_settle(home)])
    if not as_json:
        typer.echo(said)
    scored, sentence = score_newest_list(home, quiet=as_json)
    if as_json:
        says = f"{said} {sentence}".rstrip()
        print_json({"version": version, "says": says, "scored": scored})
    elif sentence:
        typer.echo(sentence)


def _settle(home: "Services") -> list[str]:
    """What the change of production ended."""
    try:
        return home.experiments.settle()
    except Exception as error:  # noqa: BLE001 - production has changed, whatever this meets
        return [f"The experiments were not settled; `churn run` tries again. {sentence_of(error)}"]


def score_newest_list(home: "Services", *, quiet: bool) -> tuple[dt.date | None, str]:
    """Score the newest month where no run is active; the month, and what was done."""
    from churn_platform.cli.progress import RunProgress
    from churn_platform.defs.runner import score_newest

    try:
        with RunProgress(quiet=quiet) as progress:
            scored = score_newest(home, progress.step, progress.asset)
    except HomeBusy:
        return None, "Another run is active: the next run makes the list of the newest month."
    except Exception as error:  # noqa: BLE001 - production has changed, whatever scoring meets
        said = "The newest month was not scored; `churn run` tries again."
        return None, f"{said} {sentence_of(error)}"
    newest = home.status.newest_list()
    if scored is not None:
        return scored, f"The list of {scored} is made again."
    if newest is not None and newest.outdated:
        return None, f"{newest.outdated} `churn run` makes a new list."
    return None, ""


def _say(version: int | None, said: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"version": version, "says": said})
    else:
        typer.echo(said)
