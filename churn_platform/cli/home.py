"""Commands on a complete home: backup, restore, move, forget, and the output of `churn doctor
--fix`.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from churn_platform.cli.base import HomeOption, JsonOption, open_home, print_json

if TYPE_CHECKING:
    from churn_platform.maintenance.backup import Archive, OnFile
    from churn_platform.services import Services


def backup(
    file: Annotated[Path, typer.Argument(help="The archive to write; it must not exist.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the complete home to one file between runs, with a digest of every file."""
    from churn_platform.maintenance.backup import back_up, contents, free_target

    opened = open_home(home)
    begun = time.monotonic()
    free_target(opened, file)
    total = sum(path.stat().st_size for path in contents(opened.folder).values())
    with _bar(f"Backing up {opened.folder}", total, quiet=as_json) as told:
        made = back_up(opened, file, told)
    if as_json:
        print_json({"file": str(file), **_figures(made)})
        return
    size = made.size / 1e6
    packed = file.expanduser().stat().st_size / 1e6
    typer.echo(
        f"{len(made.files):,} files ({size:,.1f} MB) of {opened.folder} are in {file}"
        f" ({packed:,.1f} MB) and read back, {made.receipts:,} receipts;"
        f" {time.monotonic() - begun:.1f} s."
    )
    if outside := _contract_outside(opened):
        typer.echo(f"The contract in use lies outside the home and is not in it: {outside}")
    typer.echo(f"Back again: churn restore {file} --home NEW")


def restore(
    file: Annotated[Path, typer.Argument(help="An archive that `churn backup` wrote.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a home from its backup to a new place, verified first."""
    from churn_platform.maintenance.backup import free_place
    from churn_platform.maintenance.backup import opened as opened_archive
    from churn_platform.maintenance.backup import restore as put_back

    new = open_home(home, must_exist=False)
    begun = time.monotonic()
    free_place(new.folder)
    with opened_archive(file) as (_, said):
        total = said.size
    with _bar(f"Restoring {new.folder}", total, quiet=as_json) as told:
        made = put_back(file, new, told)
    if as_json:
        print_json({"home": str(new.folder), **_figures(made)})
        return
    typer.echo(
        f"{new.folder} is the home of {made.made_at[:19]} again: {len(made.files):,} files, the"
        f" ledger's {made.receipts:,} receipts and every release as recorded;"
        f" {time.monotonic() - begun:.1f} s."
    )
    typer.echo("Next: `churn status`, `churn run`.")


def move(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """A home's MLflow history and online rows to the servers of the settings; compared before
    anything is switched.
    """
    from dataclasses import asdict

    from rich.console import Console

    from churn_platform.maintenance.mlflow_move import move as move_to_server

    opened = open_home(home)
    begun = time.monotonic()
    with Console(stderr=True).status(f"Moving {opened.folder} ...") as shown:
        moved = move_to_server(
            opened, lambda done, all_: shown.update(f"{done} of {all_} runs and models copied")
        )
    if as_json:
        print_json(asdict(moved))
        return
    typer.echo(
        f"{len(moved.versions):,} versions, {moved.runs:,} runs and {moved.files:,} files of"
        f" {opened.folder} are at {moved.server}, compared one by one;"
        f" {time.monotonic() - begun:.1f} s. The old store is kept: {moved.kept}."
    )
    if moved.left:
        typer.echo(f"Not the loop's, so left in it: {', '.join(moved.left)}.")
    typer.echo("Next, with the same settings: `churn verify`, `churn run`.")


def forget(
    user: Annotated[str, typer.Argument(help="The customer's key.")],
    by: Annotated[str, typer.Option("--by", help="Who asks for it, for the ledger.")],
    reason: Annotated[
        str, typer.Option(help="Why, for the ledger; it must not name the customer.")
    ] = "On request.",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a customer's rows from every file and store of the home; the ledger keeps only
    that it happened.
    """
    from dataclasses import asdict

    from churn_platform.maintenance.erasing import forget as forget_customer

    opened = open_home(home)
    found = forget_customer(opened, user, by, reason)
    if as_json:
        print_json(asdict(found))
        return
    where = ", ".join(f"{place} {count:,}" for place, count in found.rows.items())
    typer.echo(f"Forgotten ({found.subject} in the ledger). Rows left out: {where or 'none'}.")
    for what, listed in (
        ("Trained on the customer", [f"version {version}" for version in found.versions]),
        (
            "Nobody knows whether trained on the customer",
            [f"version {version}" for version in found.unknown],
        ),
        ("Not read, so not searched", found.unread),
        ("Changed meanwhile and left as they are: run this again", found.changed),
    ):
        if listed:
            typer.echo(f"{what}: {', '.join(listed)}.")
    typer.echo(
        "Backups made before still hold the customer, and so does whoever delivers the drops."
    )


def fixed(home: "Services", *, quiet: bool) -> list[dict[str, object]]:
    """Repair a home and report what was done, one sentence per repair: what, done, says."""
    from dataclasses import asdict

    from churn_platform.defs.runner import close_runs_of_killed_commands
    from churn_platform.maintenance.repair import Repair, repair

    found = repair(home)
    if dead := close_runs_of_killed_commands(home):
        found.append(
            Repair(
                "runs",
                done=True,
                says=f"{dead} run(s) of a killed process marked as canceled in Dagster.",
            )
        )
    if not quiet:
        for one in found:
            typer.echo(f"{'Repaired' if one.done else 'NOT repaired'}: {one.says}")
        typer.echo("" if found else "Nothing to repair.\n", nl=bool(found))
    return [asdict(one) for one in found]


def _figures(made: "Archive") -> dict[str, object]:
    return {
        "files": len(made.files),
        "bytes": made.size,
        "made_at": made.made_at,
        "receipts": made.receipts,
    }


def _contract_outside(home: "Services") -> str | None:
    """The contract, where it is a file of the user's own that is not in the home."""
    path = home.settings.contract
    if path is None or path.resolve().is_relative_to(home.folder):
        return None
    return str(path)


class _bar:  # noqa: N801 - used as a statement
    """A bar of bytes on stderr in a terminal, one line elsewhere; yields the function to call
    for each file.
    """

    def __init__(self, label: str, total: int, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True, quiet=quiet)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, disable=quiet or not console.is_terminal)
        self._task = self._bar.add_task(label, total=total)
        if self._bar.disable:
            console.print(f"{label}: {total / 1e6:,.1f} MB ...", highlight=False, soft_wrap=True)

    def __enter__(self) -> "OnFile":
        self._bar.start()
        return lambda _name, size: self._bar.advance(self._task, size)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
