"""The commands demo and simulate: a business with a known truth, and the complete loop on it."""

import contextlib
import datetime as dt
import gc
import shutil
import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.base.files import fsync_file, read_json, write_json, write_text
from churn_platform.cli.base import (
    HomeOption,
    JsonOption,
    make_console,
    open_home,
    print_json,
)

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from churn_platform.cli.progress import RunProgress
    from churn_platform.contract.model import Contract
    from churn_platform.services import Services
    from churn_platform.simulator import Delivery, Scenario, Truth

SEED = 1
MARKER = "demo.json"
SIMULATED = "simulated"
TRUTH = "truth.json"
CONTRACT = "contract.yaml"
LATER = ("labels", "corrections", "repairs")


@dataclass(frozen=True)
class Arrival:
    """One delivery: a folder with the files of one as_of."""

    folder: Path
    as_of: dt.date
    note: str = ""


@dataclass
class DemoMarker:
    """demo.json of a home: what was asked for, the deliveries ingested, and those refused."""

    asked: dict[str, object] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class ListsScenarios(TyperCommand):
    """A command whose help ends with the scenarios; the simulator is imported only for that."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002 - the types are typer's own
        """Write one line per scenario."""
        from churn_platform.simulator import SCENARIOS

        with formatter.section("Scenarios"):
            formatter.write_dl([(name, scenario.summary) for name, scenario in SCENARIOS.items()])


def demo(
    months: Annotated[int, typer.Option(min=1, max=60, help="Simulate this many months.")] = 4,
    users: Annotated[int, typer.Option(min=500, help="Simulate this many customers.")] = 5000,
    scenario: Annotated[
        str, typer.Option(help="Simulate this scenario (`churn simulate --help` lists them).")
    ] = "sudden-shift",
    data: Annotated[
        Path | None, typer.Option(help="Use the drops of this folder, one sub-folder per as_of.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the complete loop on a simulated business, or on drops with --data."""
    from churn_platform.simulator import find_scenario

    chosen = find_scenario(scenario)
    opened = open_home(home, must_exist=False)
    run_demo(
        opened,
        make_console(),
        months=months,
        users=users,
        scenario=chosen,
        data=data,
        as_json=as_json,
    )


def simulate(
    out: Annotated[
        Path, typer.Argument(help="Write here: a new folder, or that of an earlier simulation.")
    ],
    scenario: Annotated[
        str, typer.Option(help="Simulate this scenario of the list below.")
    ] = "sudden-shift",
    users: Annotated[int, typer.Option(help="Simulate this many customers, at least 50.")] = 5000,
    months: Annotated[int, typer.Option(help="Simulate this many steps of the cadence.")] = 6,
    seed: Annotated[int, typer.Option(help="Seed the random numbers.")] = 1,
    contract: Annotated[
        Path | None, typer.Option(help="Write the tables of this contract (default: StreamFlow).")
    ] = None,
) -> None:
    """Write the drops of a simulated business whose best possible model is known."""
    from churn_platform.contract.reading import default_contract_path
    from churn_platform.simulator import find_scenario

    chosen = find_scenario(scenario)
    source = contract or default_contract_path()
    truth = write_simulation(out, chosen, source, users=users, months=months, seed=seed)
    typer.echo("\n".join(sentences(truth, out)))


def run_demo(
    home: "Services",
    console: "Console",
    *,
    months: int,
    users: int,
    scenario: "Scenario",
    data: Path | None,
    as_json: bool,
) -> None:
    """Ingest the deliveries, run the loop and tell the story."""
    from churn_platform.cli.progress import RunProgress
    from churn_platform.cli.story import show_story, story

    gc.set_threshold(500_000, 20, 20)  # it collected 3,900 times: 3 s of 32
    if data:
        _arrivals(data, home)  # before a home is created
    asked = {"months": months, "users": users, "scenario": scenario.name}
    _claim(home, {"data": str(data.resolve())} if data else asked)
    source = data or home.folder / SIMULATED
    with RunProgress(quiet=as_json) as progress:
        simulated = read_truth(source)
        if not data and (simulated is None or not simulated.deliveries):
            progress.note(
                f"Simulating {users:,} customers over {months} months: {scenario.summary}."
            )
            if scenario.contacts is None:
                write_simulation(
                    source, scenario, home.contract_path, users=users, months=months, seed=SEED
                )
            else:
                begin_simulation(source, scenario, home.contract_path, users=users, seed=SEED)
        home = _with_contract_of(home, source)
        arrivals: Iterable[Arrival] = _arrivals(source, home)
        if not data and scenario.contacts is not None:
            arrivals = _worked_campaign(home, source, scenario, users, months)
        _live(home, source, arrivals, progress)
    found = home.status.now().as_json()
    truth = read_truth(source)
    months_told = story(home, found, truth, _marker(home).refused)
    if as_json:
        about = {}
        if truth is not None:
            about = {
                "scenario": truth.scenario,
                "summary": truth.summary,
                "loop_should": truth.loop_should,
            }
        print_json({**found, **about, "story": [asdict(month) for month in months_told]})
        return
    show_story(console, months_told, truth)
    _what_next(console, home, found)


def _live(
    home: "Services", source: Path, arrivals: Iterable[Arrival], progress: "RunProgress"
) -> None:
    """Ingest each delivery that is new and run what is due.

    A simulation's deliveries arrive in order, and the loop runs after each of them: that of a
    campaign may depend on what the loop did with the one before.
    """
    progress.note("Starting Dagster, Feast, MLflow and Evidently (slower the first time) ...")
    from churn_platform.defs.runner import run_steps, started
    from churn_platform.ingestion.validation import DropRefused

    in_order = read_truth(source) is not None
    marker = _marker(home)
    done = {*marker.taken, *marker.refused} if in_order else set()
    with _without_syncing(home), started(home) as instance:
        for arrival in arrivals:
            name = str(arrival.folder.relative_to(source))
            if name in done:
                # An interrupted demo may have ingested it and not processed it.
                deque(run_steps(home, instance, progress.step, progress.asset), maxlen=0)
                continue
            try:
                home.ingestion.accept(arrival.folder, arrival.as_of)
            except DropRefused as refusal:
                if not in_order:
                    raise
                marker.refused[name] = " ".join(fault.sentence() for fault in refusal.faults)
                progress.note(f"{name}: {refusal}")
            else:
                if name not in marker.taken:
                    marker.taken.append(name)
                note = f": {arrival.note}" if arrival.note else ""
                progress.note(f"{name}: ingested{note}")
            write_json(home.folder / MARKER, asdict(marker))
            if in_order:
                deque(run_steps(home, instance, progress.step, progress.asset), maxlen=0)
        deque(run_steps(home, instance, progress.step, progress.asset), maxlen=0)


def _worked_campaign(
    home: "Services", source: Path, scenario: "Scenario", users: int, months: int
) -> Iterator[Arrival]:
    """The deliveries of a business that works the home's own plans."""
    from churn_platform.cli.campaign import WorkedCampaign

    plans = home.contact_plans

    def rows(as_of: dt.date) -> "pd.DataFrame | None":
        record = plans.record(as_of)
        if record is None or record.digest is None:
            return None
        return plans.rows(as_of)

    campaign = WorkedCampaign(home.contract, source, scenario, users, months, SEED, rows)
    return campaign.arrivals()


@contextlib.contextmanager
def _without_syncing(home: "Services") -> Iterator[None]:
    """Dagster and MLflow commit thousands of times; let SQLite sync once, at the end.

    A power failure in between can cost the demo, which can be run again.
    """
    from sqlalchemy import Engine, event

    def relax(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", relax)
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)
        for database in home.folder.rglob("*.db"):
            fsync_file(database)


def _arrivals(source: Path, home: "Services") -> list[Arrival]:
    """The deliveries in the order in which they arrive; drops without a truth by date."""
    from churn_platform.ingestion.drop import find_drops

    truth = read_truth(source)
    if truth is not None:
        return [Arrival(source / one.folder, one.as_of, one.note) for one in truth.deliveries]
    drops = find_drops(source, home.contract)
    if not drops:
        raise UsageError(
            f"{source} contains no drops. Expected sub-folders named by date, such as 2024-01-31.",
            code="DROP_MISSING",
        )
    return [Arrival(drop.folder, drop.as_of) for drop in drops]


def _claim(home: "Services", wanted: dict[str, Any]) -> None:
    """Refuse to mix a demo with real months or with another demo."""
    from churn_platform.ingestion.drop import find_drops

    known = _marker(home)
    if known.asked == wanted:
        return
    if known.asked or home.lake.months() or find_drops(home.drops, home.contract):
        there = "another demo" if known.asked else "months of its own"
        raise UsageError(
            f"{home.folder} already contains {there}. Name an empty folder with --home, or"
            " delete this one.",
            code="HOME_NOT_EMPTY",
        )
    home.create()
    write_json(home.folder / MARKER, {"asked": wanted})


def _marker(home: "Services") -> DemoMarker:
    marker = home.folder / MARKER
    return DemoMarker(**read_json(marker)) if marker.exists() else DemoMarker()


def _with_contract_of(home: "Services", source: Path) -> "Services":
    """The home under the contract next to the simulated drops, if it differs from the home's."""
    from churn_platform.contract.reading import read_contract
    from churn_platform.services import Services

    path = source / CONTRACT
    own = home.folder / CONTRACT
    named = home.settings.contract is not None or own.exists()
    if named or read_truth(source) is None or read_contract(path) == home.contract:
        return home
    write_text(own, path.read_text(encoding="utf-8"))
    return Services(home.settings, home.now)


def _what_next(console: "Console", home: "Services", found: dict[str, Any]) -> None:
    if home.folder != Path("churn_home").resolve():
        shown = f" --home {home.folder}"
    else:
        shown = ""
    production = found["production"]
    if production:
        if production["stand_down"]:
            state = "STANDS DOWN"
        else:
            state = f"AUC {production['auc']:.3f} at its decision"
        console.print(f"\nIn production: version {production['version']}, {state}.")
    newest = found["months"][-1] if found["months"] else ""
    console.print(
        f"Reports: {home.reports / newest} (report_manager.html, drift.html, at_risk.csv)"
    )
    console.print(f"Read:    churn report{shown}")
    console.print(f"Why:     churn decision{shown}")
    console.print(f"Who:     churn scores{shown}")
    console.print(f"Browse:  churn ui{shown}")


def write_simulation(
    out: Path, scenario: "Scenario", contract: Path, *, users: int, months: int, seed: int
) -> "Truth":
    """Write the drops of a scenario, its contract and its truth into `out`.

    Returns:
        The truth.

    Raises:
        UsageError: `out` contains other files, or a number is below its minimum.
        ContractError: the contract is wrong, or no table can satisfy it.
    """
    from churn_platform.contract.reading import read_contract
    from churn_platform.simulator import Truth, deliver

    fitting = scenario.contract(read_contract(contract))
    # Before anything is deleted: a wrong number must not cost an earlier simulation.
    arriving = deliver(fitting, users, months, seed, scenario=scenario)
    begin_simulation(out, scenario, contract, users=users, seed=seed)
    delivered = [write_delivery(out, delivery) for delivery in arriving]
    truth = Truth.of(scenario, users, seed, delivered)
    write_json(out / TRUTH, truth.as_json())
    return truth


def begin_simulation(
    out: Path, scenario: "Scenario", contract: Path, *, users: int, seed: int
) -> None:
    """Make `out` the folder of a simulation without deliveries: its contract and its truth.

    Raises:
        UsageError: `out` contains other files.
        ContractError: the contract is wrong.
    """
    from churn_platform.contract.reading import read_contract
    from churn_platform.simulator import Truth

    given = read_contract(contract)
    fitting = scenario.contract(given)
    _clear(out)
    # The truth first: if the rest is interrupted, the folder is still known as a simulation.
    write_json(out / TRUTH, Truth.of(scenario, users, seed, ()).as_json())
    if fitting == given:
        text = contract.read_text(encoding="utf-8")
    else:
        text = _as_yaml(fitting)
    write_text(out / CONTRACT, text)


def read_truth(folder: Path) -> "Truth | None":
    """The truth next to simulated drops; None if `folder` is not a simulation's.

    Raises:
        IntegrityError: the file is not valid JSON.
    """
    path = folder / TRUTH
    found = read_json(path) if path.is_file() else None
    if isinstance(found, dict) and {"scenario", "deliveries"} <= found.keys():
        from churn_platform.simulator import Truth

        return Truth.read(found, str(path))
    return None


def sentences(truth: "Truth", out: Path) -> list[str]:
    """What was written, what the loop should do with it, and what to type next."""
    listed = []
    for one in truth.deliveries:
        note = f": {one.note}" if one.note else ""
        listed.append(f"  {one.folder}{note}")
    return [
        f"{truth.scenario}: {truth.summary}.",
        *listed,
        f"The loop should {truth.loop_should}.",
        f"The truth is in {out / TRUTH}. Next: `churn demo --data {out}`.",
    ]


def write_delivery(out: Path, delivery: "Delivery") -> "Delivery":
    """Write one delivery; return it without its tables, which would fill the memory."""
    from churn_platform.ingestion.drop import SUCCESS

    folder = out.joinpath(*delivery.folder.split("/"))
    folder.mkdir(parents=True)
    for name, table in delivery.tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    (folder / SUCCESS).touch()
    return replace(delivery, tables={})


def _clear(out: Path) -> None:
    """Delete an earlier simulation in `out`; anything else there is an error."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file. Name a new or an empty folder.", code="TARGET_EXISTS")
    if out.is_dir() and any(out.iterdir()):
        try:
            ours = read_truth(out) is not None
        except IntegrityError:
            ours = False
        if not ours:
            raise UsageError(
                f"{out} contains files that no simulation wrote. Name an empty folder, or"
                " delete this one.",
                code="TARGET_EXISTS",
            )
        for entry in out.iterdir():
            if entry.is_dir() and (entry.name in LATER or _is_date(entry.name)):
                shutil.rmtree(entry)
    out.mkdir(parents=True, exist_ok=True)


def _is_date(name: str) -> bool:
    try:
        dt.date.fromisoformat(name)
    except ValueError:
        return False
    return True


def _as_yaml(contract: "Contract") -> str:
    import yaml

    declared = contract.model_dump(mode="json", exclude_unset=True)
    return yaml.safe_dump(declared, sort_keys=False, allow_unicode=True)
