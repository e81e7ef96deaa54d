"""A new month against the length of the history: 24 simulated months of 7,000 customers, a
changed business at month 3.

One home is grown month by month and kept aside before the months compared. Each of these is
then processed again from there, three times in turns, in a fresh process and through Dagster as
`churn run` does it: snapshot, Feast, training dataset, drift, performance, scores, checks.
Counted is what comes after the imports (a constant that would only flatter the ratio); the peak
is that of the whole process. Floor: the median of the middle months.
"""

import argparse
import contextlib
import datetime as dt
import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import harness
from churn_platform.base.settings import Settings, prepare_environment
from churn_platform.services import Services
from churn_platform.simulator import simulate

GOAL = 1.3
MONTHS = 24
CUSTOMERS = 7_000
MIDDLE = (11, 12, 13)
QUICK_MONTHS = 4
QUICK_CUSTOMERS = 1_500
QUICK_MIDDLE = (3,)


def _open(folder: Path) -> Services:
    settings = Settings(home=folder, quiet_seconds=0, actor="benchmark")
    prepare_environment(settings)
    return Services(settings)


def _run(home: Services) -> list[str]:
    from churn_platform.defs.runner import run_due

    with contextlib.redirect_stderr(io.StringIO()):
        return [ran.step.kind for ran in run_due(home, lambda _: None, lambda *_: None)]


def _month(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
    """Process the drop that is due in a home."""
    home = _open(options.folder)
    from evidently import presets  # noqa: F401 - imported before the clock runs
    from sklearn import pipeline  # noqa: F401

    from churn_platform.definitions import defs
    from churn_platform.features.feast_repository import import_feast

    import_feast()
    defs()
    with clock.running():
        ran = _run(home)
    return {"ran": ran}


CONTENDERS = {"month": _month}


def _grown(
    folder: Path, aside: Path, months: int, customers: int, compared: tuple[int, ...]
) -> list[list[str]]:
    """Grow a home; keep it aside as it is before each compared month is processed.

    The jobs that ran, by month.
    """
    home = _open(folder)
    ran = []
    home.create()
    for number, month in enumerate(simulate(home.contract, customers, months, 1), start=1):
        _drop(home, month.as_of, month.tables)
        if number in compared:
            shutil.copytree(folder, aside / str(number), symlinks=True)
        ran.append(_run(home) if number < months else [])
    return ran


def _drop(home: Services, as_of: dt.date, tables: dict[str, Any]) -> None:
    folder = home.drops / as_of.isoformat()
    folder.mkdir(parents=True)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)


def _again(folder: Path, kept: Path) -> harness.Measured:
    shutil.rmtree(folder)
    shutil.copytree(kept, folder, symlinks=True)
    return harness.run("month", folder=folder)


def _report(options: argparse.Namespace) -> None:
    months, customers, middle = (
        (QUICK_MONTHS, QUICK_CUSTOMERS, QUICK_MIDDLE)
        if options.quick
        else (MONTHS, CUSTOMERS, MIDDLE)
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "home"
        aside = Path(name) / "aside"
        ran = _grown(folder, aside, months, customers, (*middle, months))
        retrained = [number for number, kinds in enumerate(ran, start=1) if "retraining" in kinds]
        print(
            f"{months} months of {customers:,} customers; retrained in months {retrained}",
            flush=True,
        )
        measures = {
            f"month {number}": lambda number=number: _again(folder, aside / str(number))
            for number in (*middle, months)
        }
        found = harness.in_turns(measures, 1 if options.quick else harness.ROUNDS)
    jobs = {name: runs[0].told["ran"] for name, runs in found.items()}
    print(f"jobs of the compared months: {jobs}")
    floor = "floor: median of the middle months"
    last = found.pop(f"month {months}")
    found |= {
        f"ours: month {months}": last,
        floor: [one for runs in found.values() for one in runs],
    }
    harness.table(found, floor)
    for what, field in (("time", "seconds"), ("CPU", "cpu"), ("peak memory", "megabytes")):
        ratio = harness.median(last, field) / harness.median(found[floor], field)
        harness.verdict(f"last / median of the middle, {what}", ratio, GOAL)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)


if __name__ == "__main__":
    harness.main(CONTENDERS, _arguments, _report)
