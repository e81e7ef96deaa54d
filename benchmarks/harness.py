"""Runs the contenders of one question, each in a process of its own, in turns, and prints the
table.
"""

import argparse
import datetime as dt
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROUNDS = 3
OFFLINE = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DAGSTER_DISABLE_TELEMETRY": "yes",
}


@dataclass(frozen=True)
class Measured:
    """One run: wall seconds, seconds of all its processors, peak megabytes; `told` is what the
    contender answered.
    """

    seconds: float
    cpu: float
    megabytes: float
    told: dict[str, Any]


class Clock:
    """Measures the part of a contender that counts; the rest is preparation."""

    def __init__(self) -> None:
        self.seconds = self.cpu = 0.0

    @contextmanager
    def running(self) -> Any:  # noqa: ANN401 - a context
        """The block counts."""
        wall = time.perf_counter()
        cpu = time.process_time()
        yield
        self.seconds += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu


Contender = Callable[[argparse.Namespace, Clock], dict[str, Any]]
_in_this_process: list[Callable[[Sequence[str]], Measured]] = []
"""How a contender runs with `--quick`: its figures mean nothing, and imports take longest."""


def main(
    contenders: Mapping[str, Contender],
    arguments: Callable[[argparse.ArgumentParser], None],
    report: Callable[[argparse.Namespace], None],
) -> None:
    """Be one contender (`--contender NAME`), or report on all of them."""
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="a small size and one round, to try the script"
    )
    parser.add_argument("--contender", choices=list(contenders), help=argparse.SUPPRESS)
    arguments(parser)

    def measured(given: Sequence[str] | None = None) -> Measured:
        options = parser.parse_args(given)
        clock = Clock()
        told = contenders[options.contender](options, clock)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return Measured(clock.seconds, clock.cpu, peak, told)

    options = parser.parse_args()
    if options.contender is not None:
        print(json.dumps(asdict(measured())))
        return
    if options.quick:
        _in_this_process.append(measured)
    print(f"{Path(sys.argv[0]).stem}, {dt.date.today()}, {os.cpu_count()} cores", flush=True)
    report(options)


def run(name: str, **values: object) -> Measured:
    """One contender of the script that is running, in a fresh process unless it is quick."""
    given = ["--contender", name]
    given += [part for key, value in values.items() for part in (f"--{key}", str(value))]
    if _in_this_process:
        return _in_this_process[0](given)
    command = [sys.executable, "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *given]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, **OFFLINE, "PYTHONWARNINGS": "ignore"},
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def command(*arguments: str, **environment: str) -> Measured:
    """A whole command from start to end, imports and exit counted, with the peak of its largest
    process.
    """
    wall = time.perf_counter()
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **OFFLINE, **environment},
    )
    error = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{error.decode()[-3000:]}")
    return Measured(
        time.perf_counter() - wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, {}
    )


def in_turns(
    measures: Mapping[str, Callable[[], Measured]], rounds: int
) -> dict[str, list[Measured]]:
    """Every measure once a round, so that a busy minute does not hit one contender alone."""
    found: dict[str, list[Measured]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return found


def median(runs: Sequence[Measured], field: str = "seconds") -> float:
    """The median of one field."""
    return statistics.median(getattr(one, field) for one in runs)


def table(found: Mapping[str, Sequence[Measured]], floor: str) -> None:
    """One line a contender: medians, and how many times the floor they are."""
    print(f"{'':44} {'seconds':>8} {'CPU s':>7} {'peak MB':>8} {'x floor':>8}   all rounds")
    for name, runs in found.items():
        rounds = " ".join(f"{one.seconds:.2f}" for one in runs)
        ratio = median(runs) / median(found[floor])
        print(
            f"{name:44} {median(runs):8.2f} {median(runs, 'cpu'):7.2f}"
            f" {median(runs, 'megabytes'):8.0f} {ratio:8.2f}   {rounds}",
            flush=True,
        )


def verdict(what: str, value: float, goal: float, unit: str = "") -> None:
    """The figure beside its goal."""
    met = "met" if value <= goal else f"MISSED by {100 * (value / goal - 1):.0f}%"
    print(f"{what}: {value:.4g}{unit}, goal <= {goal:g}{unit}: {met}", flush=True)
