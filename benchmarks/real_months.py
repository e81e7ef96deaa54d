"""The two real months from an empty home to a promoted model and a ranked list, imports and
all.

Ours: `churn demo --data`, the whole command. Floor: `bare_months.py`, a bare script of the same
library calls in one process (read there what it does and what it leaves out). Whole processes
are measured, from start to exit.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import harness

DATA = Path(__file__).parents[2] / "shared" / "data" / "streamflow"
GOAL = 1.6
GOAL_MEGABYTES = 3_000
OURS = "ours: churn demo --data"
FLOOR = "floor: bare script of the same calls"


def _ours(data: Path) -> harness.Measured:
    with tempfile.TemporaryDirectory() as home:
        command = "from churn_platform.cli.app import main; main()"
        return harness.command(
            sys.executable, "-c", command, "demo", "--data", str(data), "--home", f"{home}/home"
        )


def _bare(data: Path) -> harness.Measured:
    with tempfile.TemporaryDirectory() as home:
        module = ("-W", "ignore", "-m", "benchmarks.bare_months")
        return harness.command(
            sys.executable, *module, "--data", str(data), "--home", f"{home}/home"
        )


def _report(options: argparse.Namespace) -> None:
    if not options.data.is_dir():
        raise SystemExit(
            f"The real months are not at {options.data}: name their folder with --data."
        )
    measures = {OURS: lambda: _ours(options.data), FLOOR: lambda: _bare(options.data)}
    found = harness.in_turns(measures, 1 if options.quick else harness.ROUNDS)
    harness.table(found, FLOOR)
    for what, field in (("time", "seconds"), ("CPU", "cpu")):
        ratio = harness.median(found[OURS], field) / harness.median(found[FLOOR], field)
        harness.verdict(f"ours / floor, {what}", ratio, GOAL)
    harness.verdict("peak memory", harness.median(found[OURS], "megabytes"), GOAL_MEGABYTES, " MB")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the real drops")


if __name__ == "__main__":
    harness.main({}, _arguments, _report)
