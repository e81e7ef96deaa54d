"""`churn demo`: the complete loop on a simulated business or on real drops, with a story at the
end.
"""

import datetime as dt
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from churn_platform.base.errors import DropRefused, UsageError
from churn_platform.base.files import read_json, write_json, write_text
from churn_platform.cli.progress import RunProgress
from churn_platform.cli.show import show_story
from churn_platform.cli.simulate import CONTRACT, read_truth, write_simulation
from churn_platform.cli.story import story
from churn_platform.contract.reading import read_contract
from churn_platform.ingestion.drop import find_drops
from churn_platform.reports.status import status
from churn_platform.services import Services
from churn_platform.simulator import Scenario

SEED = 1
MARKER = "demo.json"
SIMULATED = "simulated"


@dataclass(frozen=True)
class Arrival:
    """One delivery: a folder with files of one as_of."""

    folder: Path
    as_of: dt.date
    note: str = ""


def run_demo(
    home: Services,
    console: Console,
    *,
    months: int,
    users: int,
    scenario: Scenario,
    data: Path | None,
    as_json: bool,
) -> None:
    """Take the deliveries in, run the loop, tell the story."""
    if data:
        _arrivals(data, home)  # asked before a home is made
    asked = {"months": months, "users": users, "scenario": scenario.name}
    _claim(home, {"data": str(data.resolve())} if data else asked)
    source = data or home.folder / SIMULATED
    with RunProgress(quiet=as_json) as progress:
        if not data and not (read_truth(source) or {}).get("deliveries"):
            progress.note(
                f"Simulating {users:,} customers over {months} months: {scenario.summary}."
            )
            write_simulation(
                source, scenario, home.contract_path, users=users, months=months, seed=SEED
            )
        home = _with_contract_of(home, source)
        _live(home, source, progress)
    found = status(home)
    truth = read_truth(source)
    rows = story(home, found, truth, _marker(home).get("refused", {}))
    if as_json:
        if truth is None:
            told = {}
        else:
            told = {name: truth[name] for name in ("scenario", "summary", "loop_should")}
        sys.stdout.write(json.dumps({**found, **told, "story": rows}, indent=2, default=str) + "\n")
        return
    show_story(console, rows, truth)
    _what_next(console, home, found)


def _live(home: Services, source: Path, progress: RunProgress) -> None:
    """Take in what has not been taken in, and run what is due: after each delivery where a
    simulation has an order.
    """
    in_order = read_truth(source) is not None
    marker = _marker(home)
    taken = marker.setdefault("taken", [])
    refused = marker.setdefault("refused", {})
    done = {*taken, *refused} if in_order else set()
    progress.note(
        "Starting Dagster, Feast, MLflow and Evidently (the first time takes a little longer) ..."
    )
    from churn_platform.defs.runner import run_due

    for arrival in _arrivals(source, home):
        name = str(arrival.folder.relative_to(source))
        if name in done:
            continue
        try:
            home.ingestion.accept(arrival.folder, arrival.as_of)
        except DropRefused as refusal:
            if not in_order:
                raise
            refused[name] = " ".join(refusal.faults)
            progress.note(f"{name}: {refusal}")
        else:
            taken += [] if name in taken else [name]
            progress.note(f"{name}: ingested{': ' if arrival.note else ''}{arrival.note}")
        write_json(home.folder / MARKER, marker)
        if in_order:
            for _ in run_due(home, progress.step, progress.asset):
                pass
    for _ in run_due(home, progress.step, progress.asset):
        pass


def _arrivals(source: Path, home: Services) -> list[Arrival]:
    """The deliveries in the order in which they arrive: a simulation's own, else the drops by
    date.
    """
    truth = read_truth(source)
    if truth is not None:
        return [
            Arrival(source / one["folder"], dt.date.fromisoformat(one["as_of"]), one["note"])
            for one in truth["deliveries"]
        ]
    drops = find_drops(source, home.contract)
    if not drops:
        raise UsageError(
            f"{source} holds no drops: expected sub-folders named by their as_of, such as"
            " 2024-01-31.",
            code="DROP_MISSING",
        )
    return [Arrival(drop.folder, drop.as_of) for drop in drops]


def _claim(home: Services, wanted: dict[str, Any]) -> None:
    """Never mix a demo with real months."""
    known = _marker(home)
    if known.get("asked") == wanted:
        return
    if known or home.lake.months() or find_drops(home.drops, home.contract):
        raise UsageError(
            f"{home.folder} already holds {'another demo' if known else 'months of its own'}:"
            " name an empty folder with --home, or delete this one.",
            code="HOME_NOT_EMPTY",
        )
    home.create()
    write_json(home.folder / MARKER, {"asked": wanted})


def _marker(home: Services) -> dict[str, Any]:
    marker = home.folder / MARKER
    known: dict[str, Any] = read_json(marker) if marker.exists() else {}
    return known


def _with_contract_of(home: Services, source: Path) -> Services:
    """The home under the contract next to the simulated drops, if it differs from the home's."""
    path = source / CONTRACT
    own = home.folder / CONTRACT
    named = home.settings.contract is not None or own.exists()
    if named or read_truth(source) is None or read_contract(path) == home.contract:
        return home
    write_text(own, path.read_text(encoding="utf-8"))
    return Services(home.settings, home.now)


def _what_next(console: Console, home: Services, found: dict[str, Any]) -> None:
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
    console.print(f"Reports: {home.reports / newest} (drift.html, at_risk.csv)")
    console.print(f"Why:     churn decision{shown}")
    console.print(f"Who:     churn scores{shown}")
    console.print(f"Look:    churn ui{shown}")
