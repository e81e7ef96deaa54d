"""The commands on a complete home: backup, restore, move, forget and doctor."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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

    from churn_platform.maintenance.backup import Archive
    from churn_platform.services import Services


def backup(
    file: Annotated[Path, typer.Argument(help="Write this archive; it must not exist.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the complete home to one file, with a digest of every file."""
    from churn_platform.cli.progress import BytesProgress
    from churn_platform.lake.place_files import published_files
    from churn_platform.maintenance.backup import contents

    opened = open_home(home)
    begun = time.monotonic()
    opened.backup.check_target(file)
    total = sum(path.stat().st_size for path in contents(opened.folder).values())
    with BytesProgress(f"Backing up {opened.folder}", total, quiet=as_json) as told:
        made = opened.backup.write(file, told)
    place = opened.lake_uri
    away = sum(not one.file.local.exists() for one in published_files(opened.lake)) if place else 0
    if as_json:
        at_place = {"lake": place, "only_at_lake": away} if place else {}
        print_json({"file": str(file), **_figures(made), **at_place})
        return
    size = made.size / 1e6
    packed = file.expanduser().stat().st_size / 1e6
    typer.echo(
        f"{len(made.files):,} files ({size:,.1f} MB) of {opened.folder} are in {file}"
        f" ({packed:,.1f} MB) and read back, {made.receipts:,} receipts;"
        f" {time.monotonic() - begun:.1f} s."
    )
    if outside := _contract_outside(opened):
        typer.echo(f"The contract in use is outside the home and not in the backup: {outside}")
    if place:
        typer.echo(
            f"{counted(away, 'file')} of the lake are only at {place} and not in the backup. The"
            " backup needs that place: protect it with the tools of its store."
        )
    typer.echo(f"Restore it: churn restore {file} --home NEW")


def restore(
    file: Annotated[Path, typer.Argument(help="Restore this archive of `churn backup`.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a home from a backup to a new folder, and verify it first."""
    from churn_platform.cli.progress import BytesProgress
    from churn_platform.maintenance.backup import free_place
    from churn_platform.maintenance.backup import opened as opened_archive

    new = open_home(home, must_exist=False)
    begun = time.monotonic()
    free_place(new.folder)
    with opened_archive(file) as (_, said):
        total = said.size
    with BytesProgress(f"Restoring {new.folder}", total, quiet=as_json) as told:
        made = new.backup.restore(file, told)
    place = new.lake_uri
    if as_json:
        at_place = {"lake": place} if place else {}
        print_json({"home": str(new.folder), **_figures(made), **at_place})
        return
    typer.echo(
        f"{new.folder} is the home of {made.made_at[:19]} again: {len(made.files):,} files, the"
        f" ledger's {made.receipts:,} receipts and every release as recorded;"
        f" {time.monotonic() - begun:.1f} s."
    )
    if place:
        typer.echo(
            f"Its lake is at {place}. If the first home still exists, give one of the two a place"
            " of its own: churn lake --move PLACE"
        )
    typer.echo("Next: `churn status`, `churn run`.")


def move(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Move a home's MLflow history and online rows to the servers of the settings."""
    from dataclasses import asdict

    from rich.console import Console

    opened = open_home(home)
    begun = time.monotonic()
    with Console(stderr=True).status(f"Moving {opened.folder} ...") as shown:
        moved = opened.mlflow_move.move(
            lambda done, total: shown.update(f"{done} of {total} runs and models copied")
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
        typer.echo(f"Left in it, because they are not the loop's: {', '.join(moved.left)}.")
    typer.echo("Next, with the same settings: `churn verify`, `churn run`.")


def forget(
    user: Annotated[str, typer.Argument(help="Erase the customer with this key.")],
    by: Annotated[str, typer.Option("--by", help="Record who asks.")],
    reason: Annotated[
        str, typer.Option(help="Record why, without naming the customer.")
    ] = "On request.",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a customer's rows from every file and store of the home."""
    from dataclasses import asdict

    opened = open_home(home)
    found = opened.erasure.erase(user, by, reason)
    place = opened.lake_uri
    if as_json:
        print_json(asdict(found) | ({"lake": place} if place else {}))
        return
    where = ", ".join(f"{place} {count:,}" for place, count in found.rows.items())
    typer.echo(f"Erased ({found.subject} in the ledger). Rows deleted: {where or 'none'}.")
    for what, listed in (
        ("Trained on the customer", [f"version {version}" for version in found.versions]),
        (
            "Unknown whether trained on the customer",
            [f"version {version}" for version in found.unknown],
        ),
        ("Unreadable, so not searched", found.unread),
        ("Changed by another process and not edited, run this again", found.changed),
    ):
        if listed:
            typer.echo(f"{what}: {', '.join(listed)}.")
    typer.echo("Earlier backups still contain the customer. So does the source of the drops.")
    if place:
        typer.echo(
            f"The objects with the customer are deleted at {place}. A bucket with versioning or"
            " replication keeps old versions until its own rules delete them. Earlier backups name"
            " the deleted objects: make a new backup now."
        )


def fixed(home: "Services", *, quiet: bool) -> list[dict[str, object]]:
    """Repair a home; what was done, one sentence per repair."""
    from dataclasses import asdict

    from churn_platform.defs.runner import close_runs_of_killed_commands
    from churn_platform.maintenance.repair import Repair

    found = home.repairs.run()
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
    """The contract in use if it is a file outside the home."""
    path = home.settings.contract
    if path is None or path.resolve().is_relative_to(home.folder):
        return None
    return str(path)


def doctor(
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Repair what the home's own records prove, then check."),
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check versions, ports, write access and the state of the home; show remedies."""
    repairs = fixed(open_home(home), quiet=as_json) if fix else []
    checks = open_home(home, must_exist=False).checkup.run()
    if as_json:
        print_json({"repairs": repairs, "checks": checks} if fix else checks)
    else:
        show_checkup(make_console(), checks)
    if any(check["state"] == "error" for check in checks) or not all(
        repair["done"] for repair in repairs
    ):
        raise typer.Exit(1)


def show_checkup(console: "Console", checks: Iterable[Mapping[str, Any]]) -> None:
    """What `churn doctor` found."""
    made = table("", "check", "state", "found", "remedy")
    colours = {"ok": "green", "warn": "yellow", "error": "red"}
    for check in checks:
        made.add_row(
            check["check"],
            f"[{colours[check['state']]}]{check['state']}[/]",
            check["found"],
            check["remedy"],
        )
    console.print(made)
