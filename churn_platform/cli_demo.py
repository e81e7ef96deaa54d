"""`churn demo`: the whole loop on a simulated business or on real drops, told as a table at the end.

Belongs here: preparing the drops and telling the story. Does not: the loop (`defs/runner.py`) or the simulator
(`core/simulate`).
"""

import datetime as dt
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from churn_platform.adapters.drop_reader import Drop, find_drops
from churn_platform.adapters.files import read_json, write_json
from churn_platform.adapters.home import Home
from churn_platform.adapters.ingestion import take_in
from churn_platform.adapters.status import status
from churn_platform.cli_progress import RunProgress
from churn_platform.cli_show import show_story
from churn_platform.errors import UsageError

SEED = 1
MARKER = "demo.json"


def run_demo(home: Home, console: Console, *, months: int, users: int, data: Path | None, as_json: bool) -> None:
    """Take the drops in, run the loop, tell the story."""
    drops = _real_drops(home, data) if data else []
    _claim(home, {"months": months, "users": users, "data": str(data.resolve()) if data else None})
    with RunProgress(quiet=as_json) as progress:
        truth = _taken_in(home, drops, progress) if data else _simulated_drops(home, months, users, progress)
        progress.note("Starting Dagster, Feast, MLflow and Evidently (the first time takes a little longer) ...")
        from churn_platform.defs.runner import run_due

        for _ in run_due(home, progress.step, progress.asset):
            pass
    found = status(home)
    rows = story(home, found, truth)
    if as_json:
        sys.stdout.write(json.dumps({**found, "story": rows}, indent=2, default=str) + "\n")
        return
    show_story(console, rows)
    _what_next(console, home, found)


def story(home: Home, found: dict[str, Any], truth: dict[str, float]) -> list[dict[str, Any]]:
    """One row a month: drift, realised AUC of the model then in production, decision and why."""
    decisions = {decision["as_of"]: decision for decision in found["decisions"]}
    rows = []
    for month in found["months"]:
        decision = decisions.get(month, {})
        drift = (home.records.read("drift_report", dt.date.fromisoformat(month)) or {}).get("result") or {}
        realised = _realised(home, month)
        quiet = "no retraining asked for" if realised is not None else "not judged"
        rows.append(
            {
                "month": month,
                "drift_share": drift.get("share"),
                "realised_auc": realised,
                "candidate_auc": decision.get("candidate_auc"),
                "production_auc": decision.get("production_auc"),
                "forward_auc": decision.get("forward_auc"),
                "best_auc": truth.get(month),
                "decision": decision.get("decision", "kept"),
                "why": decision.get("reason", quiet),
            }
        )
    return rows


def _realised(home: Home, month: str) -> float | None:
    """Realised AUC on the month of the newest version that was in production when it was processed."""
    record = home.records.read("performance", dt.date.fromisoformat(month)) or {"evaluated": []}
    measured = [e for e in record["evaluated"] if e["metrics"] is not None and e["as_of"] == month]
    return measured[-1]["metrics"]["auc"] if measured else None


def _claim(home: Home, wanted: dict[str, Any]) -> None:
    """Never mix a demo with months that are somebody's own."""
    marker = home.folder / MARKER
    known = read_json(marker) if marker.exists() else None
    if known == wanted:
        return
    if known is not None or home.lake.months() or find_drops(home.drops, home.contract):
        raise UsageError(
            f"{home.folder} already holds {'another demo' if known else 'months of its own'}: name an empty folder "
            "with --home, or delete this one."
        )
    home.create()
    write_json(marker, wanted)


def _real_drops(home: Home, data: Path) -> list[Drop]:
    drops = find_drops(data, home.contract)
    if not drops:
        raise UsageError(f"{data} holds no drops: expected sub-folders named by their as_of, such as 2024-01-31.")
    return drops


def _taken_in(home: Home, drops: list[Drop], progress: RunProgress) -> dict[str, float]:
    """Nobody knows the best AUC of real months: no truth."""
    for drop in drops:
        take_in(home, drop.folder, drop.as_of)
        progress.note(f"{drop.as_of}: drop taken in ({len(drop.files)} tables)")
    return {}


def _simulated_drops(home: Home, months: int, users: int, progress: RunProgress) -> dict[str, float]:
    from churn_platform.core.simulate import SUDDEN_SHIFT, simulate

    truth = {}
    for month in simulate(home.contract, users, months, SEED, scenario=SUDDEN_SHIFT):
        with tempfile.TemporaryDirectory() as folder:
            for name, table in month.tables.items():
                table.to_csv(Path(folder) / f"{name}.csv", index=False)
            take_in(home, Path(folder), month.as_of)
        truth[month.as_of.isoformat()] = month.truth.best_auc
        progress.note(f"{month.as_of}: {users:,} customers simulated, {month.truth.what_changed}")
    write_json(home.folder / "demo_truth.json", truth)
    return truth


def _what_next(console: Console, home: Home, found: dict[str, Any]) -> None:
    shown = f" --home {home.folder}" if home.folder != Path("churn_home").resolve() else ""
    production = found["production"]
    if production:
        state = "STANDS DOWN" if production["stand_down"] else f"AUC {production['auc']:.3f} at its decision"
        console.print(f"\nIn production: version {production['version']}, {state}.")
    newest = found["months"][-1] if found["months"] else ""
    console.print(f"Reports: {home.reports / newest} (drift.html, at_risk.csv)")
    console.print(f"Why:     churn decision{shown}")
    console.print(f"Who:     churn scores{shown}")
    console.print(f"Look:    churn ui{shown}")
