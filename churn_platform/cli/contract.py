"""The commands init, contract check and contract schema."""

import datetime as dt
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from churn_platform.base.errors import ContractError, UsageError
from churn_platform.base.settings import load_settings
from churn_platform.base.text import counted, parse_as_of
from churn_platform.cli.base import (
    HomeOption,
    JsonOption,
    make_console,
    open_home,
    print_json,
    table,
)
from churn_platform.cli.contract_changes import diff, update

if TYPE_CHECKING:
    from rich.console import Console

    from churn_platform.drafting.check import CheckLine
    from churn_platform.services import Services

app = typer.Typer(
    help="Check the contract or files against it, or print its schema.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
SHOWN = 12
"""Rows of left-out columns that are shown; the contract has all."""


@dataclass(frozen=True)
class HomeReady:
    """What `init` answers without files."""

    contract: Path
    home: Path
    says: str


@dataclass(frozen=True)
class DraftedTable:
    """The size of a table of a draft."""

    table: str
    rows: int
    features: int


@dataclass(frozen=True)
class LeftOutColumn:
    """A column, or a complete table if `column` is empty, and why it is left out."""

    table: str
    column: str
    reason: str


@dataclass(frozen=True)
class Doubt:
    """A place in the contract to confirm, and why."""

    where: str
    reason: str


@dataclass(frozen=True)
class Drafted:
    """What `init` guessed from files, and the commands to type next."""

    contract: Path
    drop: Path
    entity: str
    label: str
    churn_rate: float
    as_of: dt.date | None
    cadence: str
    tables: list[DraftedTable]
    features: list[str]
    left_out: list[LeftOutColumn]
    doubts: list[Doubt]
    confirm: int
    next: list[str]


@app.callback()
def contract() -> None:
    """Check the contract or files against it, or print its schema."""


@app.command()
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Check these files: a drop, a folder of drops, files or .zip."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--contract", help="Check this contract (default: the home's).")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the contract, or FILES against it; one line per problem."""
    from churn_platform.contract.reading import read_contract
    from churn_platform.drafting.check import CheckLine, check_contract, check_files
    from churn_platform.services import Services
    from churn_platform.training.recipe_check import check_recipes

    path = file or Services(load_settings(home)).contract_path
    try:
        found = read_contract(path)
        if files:
            lines = check_files(found, files)
        else:
            lines = [*check_contract(found), *check_recipes(found, path)]
    except ContractError as error:
        lines = [CheckLine("fail", None, "contract", said) for said in str(error).splitlines()]
    faults = sum(line.state == "fail" for line in lines)
    if as_json:
        rows = [asdict(line) for line in lines]
        for row in rows:
            if row["code"] is None:
                del row["code"]
        answer = {"contract": path, "ok": not faults, "lines": rows}
        print_json(answer)
    else:
        _show_check(path, lines, faults)
    raise typer.Exit(int(faults > 0))


app.command()(diff)
app.command()(update)


@app.command()
def schema() -> None:
    """Print the JSON schema of the contract."""
    from churn_platform.contract.reading import shipped_schema

    typer.echo(shipped_schema(), nl=False)


def init(
    from_drop: Annotated[
        Path | None,
        typer.Option(
            "--from-drop", help="Draft the contract from a file, a folder, or its newest drop."
        ),
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Add files of the same month (with --from-drop)."),
    ] = None,
    entity: Annotated[
        str | None, typer.Option(help="Use this column as the customer's key (with --from-drop).")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Use TABLE.COLUMN as the churn label (with --from-drop).")
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="Date the files when no folder does (with --from-drop)."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a home with the contract to edit, or with a draft of it from your files."""
    opened = open_home(home, must_exist=False)
    found: Drafted | HomeReady
    if from_drop is not None:
        date = parse_as_of(as_of) if as_of else None
        found = make_draft(opened, [from_drop, *(files or [])], entity, label, date)
    elif entity or label or as_of or files:
        raise UsageError(
            "--entity, --label, --as-of and FILES work only with --from-drop.",
            code="OPTIONS_CONFLICT",
        )
    else:
        found = make_home(opened)
    if as_json:
        print_json(asdict(found))
    elif isinstance(found, Drafted):
        show_draft(make_console(), found)
    else:
        typer.echo(found.says)


def make_draft(
    home: "Services",
    named: Sequence[Path],
    entity: str | None,
    label: str | None,
    as_of: dt.date | None,
) -> Drafted:
    """Draft the home's contract from a folder or files.

    Raises:
        UsageError: the home has a contract, `CHURN_CONTRACT` names one, or no draft can be
            made.
    """
    from churn_platform.base.files import write_text
    from churn_platform.contract.reading import read_contract
    from churn_platform.drafting.contract_file import (
        CONFIRM,
        as_yaml,
        draft_from,
        drops_to_ingest,
    )
    from churn_platform.drafting.words import valid_name
    from churn_platform.ingestion.drop import source_folder

    own = home.folder / "contract.yaml"
    if own.exists():
        raise UsageError(
            f"{own} exists and is not overwritten. Move it away, or draft into another --home.",
            code="CONTRACT_EXISTS",
        )
    if home.settings.contract is not None:
        raise UsageError(
            f"CHURN_CONTRACT names {home.settings.contract}, so the draft would not be used."
            " Unset it.",
            code="CONTRACT_EXISTS",
        )
    with source_folder(named) as given:
        drop, drafted = draft_from(
            given.folder,
            name=valid_name(home.folder.name, "churn"),
            as_of=as_of,
            entity=entity,
            label=label,
        )
        files = given.named_as(drop)
        drops = drops_to_ingest(given.folder, drop, drafted)
        named_drops = [(given.named_as(path), day) for path, day in drops]
    text = as_yaml(drafted)
    home.create()
    write_text(own, text)
    read_contract(own)
    home.registry.prepare()
    contract = drafted.contract
    features = {view.table: len(view.features) for view in contract.feature_views.values()}
    return Drafted(
        contract=own,
        drop=files[0],
        entity=contract.entity.column,
        label=contract.label.in_words,
        churn_rate=drafted.churn_rate,
        as_of=drafted.as_of,
        cadence=contract.cadence,
        tables=[DraftedTable(n, rows, features.get(n, 0)) for n, rows in drafted.rows.items()],
        features=list(contract.features),
        left_out=[LeftOutColumn(o.table, o.column, o.reason) for o in drafted.left_out],
        doubts=[Doubt(".".join(place), doubt) for place, doubt in drafted.doubts.items()],
        confirm=text.count(f"{CONFIRM}:"),
        next=_next(home, files, named_drops),
    )


def make_home(home: "Services") -> HomeReady:
    """Create a home with a copy of the contract in use; an existing contract stays."""
    from churn_platform.base.files import write_text
    from churn_platform.contract.reading import default_contract_path

    home.create()
    own = home.folder / "contract.yaml"
    source = own if own.exists() else home.contract_path
    _ = home.contract
    if source != own:
        write_text(own, source.read_text(encoding="utf-8"))
    away = home.registry.away()
    if away is None:
        home.registry.prepare()
    names = {own: "your contract", default_contract_path(): "the StreamFlow contract"}
    says = (
        f"Home ready at {home.folder}, with {names.get(source, source)} in contract.yaml. Edit"
        " it for your tables.\nNext: put a month's files into drops/<as_of>/, or `churn ingest"
        " DIR --as-of DATE`, then `churn run`."
    )
    if away is not None:
        says += f"\n{away} The first run creates the home's experiment and registered model there."
    return HomeReady(own, home.folder, says)


def show_draft(console: "Console", found: Drafted) -> None:
    """What was guessed, on one screen, and what to type next."""
    console.print(f"Drafted {found.contract}")
    console.print(f"Entity   {found.entity}")
    console.print(f"Label    {found.label}, {found.churn_rate:.1%} churn")
    console.print()
    tables = table("Tables", "table", "rows", "features", numbers=("rows", "features"))
    for one in found.tables:
        tables.add_row(one.table, f"{one.rows:,}", str(one.features))
    console.print(tables)
    if found.left_out:
        console.print()
        left = table("Left out", "column", "why")
        for out in found.left_out[:SHOWN]:
            left.add_row(".".join(filter(None, [out.table, out.column])), out.reason)
        console.print(left)
        if len(found.left_out) > SHOWN:
            console.print(f"and {len(found.left_out) - SHOWN} more, in the contract")
    console.print()
    places = counted(found.confirm, "place")
    console.print(f'Check the {places} marked "# confirm" in the contract. Then:')
    for command in found.next:
        console.print(f"  {command}", soft_wrap=True)


def _next(
    home: "Services",
    named: Sequence[Path],
    drops: Sequence[tuple[Sequence[Path], dt.date | None]],
) -> list[str]:
    """The commands to type next, ready to paste into a shell."""
    ingests = [
        f"churn ingest {shlex.join(map(str, files))} --as-of {day or 'DATE'}{home.option}"
        for files, day in drops
    ]
    check = f"churn contract check {shlex.join(map(str, named))}{home.option}"
    return [check, *ingests, f"churn run{home.option}"]


def _show_check(path: Path, lines: list["CheckLine"], faults: int) -> None:
    typer.echo(str(path))
    width = max((len(line.where) for line in lines), default=0)
    drop = None
    for line in lines:
        if line.drop != drop:
            drop = line.drop
            typer.echo(f"\n{drop}")
        typer.echo(f"{line.state:<4}  {line.where:<{width}}  {line.says}")
    if faults:
        verdict = f"{counted(faults, 'fault')}: the drop would be refused."
    else:
        verdict = "Nothing would fail."
    typer.echo(f"\n{verdict}")
