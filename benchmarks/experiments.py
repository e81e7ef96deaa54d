"""What do a canary and a shadow cost an answer of the API?

`python -m benchmarks.experiments [--rounds N]`. One server with one worker on
SQLite follows the experiments of its home: nothing, one shadow, and a canary at 50% with a
shadow. Every round measures each of them in turn in that same process, so a busy minute hits all
of them, and a ratio is that of one round. Single customers with reasons: p50 on one connection
without pause, p99 at half of the top rate over 16 connections, and the CPU of a request, which
says more than times on a busy machine. The canary's version also scores as a shadow, as it does
for its guardrails.
"""

import argparse
import asyncio
import datetime as dt
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.pool import Pool
from pathlib import Path

import psutil
from pydantic_core import to_json

from benchmarks.serving import _cpu, _load, client, started
from churn_platform.alerting.dagster_ui import free_port
from churn_platform.base.files import write_json
from churn_platform.base.settings import Settings, prepare_environment
from churn_platform.experiments.files import RUNNING_FILE
from churn_platform.experiments.state import Running
from churn_platform.services import Services

CONNECTIONS = 16
FOLLOWED_SECONDS = 1.5
"""By then every worker follows a changed file."""
NOTHING, SHADOW, CANARY = "nothing", "one shadow", "canary and shadow"
WHO = ("benchmark", "To measure it.")


@dataclass
class Measured:
    """One case of one round: the median on one connection, the paced times and the CPU of a
    request, all in ms.
    """

    p50: float
    paced: list[float]
    cpu: float


def experiments_of(home: Services) -> dict[str, Running]:
    """What the server follows in each case."""
    production = home.releases.production()
    if production is None:
        raise SystemExit("nothing is in production")
    other = 3 - production.version
    running = home.experiments.state().running
    if not running.shadows:
        home.experiments.start_shadow(other, None, *WHO)
    if running.canary is None:
        home.experiments.start_canary(other, (0.5,), dt.timedelta(days=365), *WHO)
    both = home.experiments.state().running
    return {NOTHING: Running(), SHADOW: Running(shadows=both.shadows), CANARY: both}


async def _paced(port: int, requests: list[bytes], rate: float, seconds: float) -> list[float]:
    """The time of each request of a steady rate over kept connections."""
    times: list[float] = []
    begun = time.perf_counter()
    step = CONNECTIONS / rate

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        due = begun + number * step / CONNECTIONS
        while due < begun + seconds:
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            asked = time.perf_counter()
            writer.write(requests[number % len(requests)])
            number += 17
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            times.append(time.perf_counter() - asked)
            due += step
        writer.close()

    await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))
    return times


def paced(port: int, bodies: list[bytes], rate: float, seconds: float) -> list[float]:
    """As `_paced`, in a process of its own."""
    head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    requests = [head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]
    return asyncio.run(_paced(port, requests, rate, seconds))


def measure(
    pool: Pool, server: psutil.Process, port: int, bodies: list[bytes], rate: float, seconds: float
) -> Measured:
    """One case of one round."""
    _, alone = pool.apply(_load, (port, bodies, "/predict", 1, seconds))
    before = _cpu(server)
    times = pool.apply(paced, (port, bodies, rate, seconds))
    used = _cpu(server) - before
    in_ms = [1e3 * one for one in times]
    return Measured(1e3 * statistics.median(alone), in_ms, 1e3 * used / len(times))


def run(home: Services, seconds: float, rounds: int) -> None:
    """Measure every case in turn and print the ratios, worst first."""
    import httpx

    followed = experiments_of(home)
    file = home.releases.folder / RUNNING_FILE
    write_json(file, followed[NOTHING].as_json())
    key = home.contract.entity.column
    keys = home.records.frame("scores", home.records.months("scores")[-1])[key].tolist()
    bodies = [to_json({key: one}) for one in keys]
    port = free_port()
    serve = [str(Path(sys.executable).parent / "churn"), "serve", "--home", str(home.folder)]
    found: dict[str, list[Measured]] = {case: [] for case in followed}
    command = [*serve, "--workers", "1", "--port", str(port)]
    cores = sorted(os.sched_getaffinity(0))
    # The server has one core and the client another: neither moves the other about.
    os.sched_setaffinity(0, cores[-1:])
    with started(command, port) as (server, _):
        os.sched_setaffinity(0, cores[:1])
        with client() as pool:
            pool.apply(_load, (port, bodies, "/predict", CONNECTIONS, min(1.0, seconds)))
            took, times = pool.apply(_load, (port, bodies, "/predict", CONNECTIONS, seconds))
            top = len(times) / took
            for number in range(rounds):
                # The order turns, so no case is always the first.
                cases = list(followed)
                for case in [*cases[number % 3 :], *cases[: number % 3]]:
                    write_json(file, followed[case].as_json())
                    time.sleep(FOLLOWED_SECONDS)
                    found[case].append(measure(pool, server, port, bodies, top / 2, seconds))
                    model = httpx.get(f"http://127.0.0.1:{port}/model").json()
                    running = (model["canary"] is not None, len(model["shadows"]))
                    expected = (followed[case].canary is not None, len(followed[case].shadows))
                    if running != expected:
                        raise SystemExit(f"{case}: the server follows {running}")
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    show(found, top)
    for line in text.splitlines():
        if line.startswith("churn_shadow"):
            print(line)


def p99(rounds: list[Measured]) -> float:
    """The 99th percentile of the times of all rounds: that of one round hangs on a few of them."""
    times = sorted(time for one in rounds for time in one.paced)
    return times[int(len(times) * 0.99)]


def show(found: dict[str, list[Measured]], top: float) -> None:
    """The table, and the figures beside their goals. p50 and CPU are the median of the ratios
    within a round, p99 is of all rounds together.
    """
    print(f"top rate without experiments {top:,.0f} requests/s; p99 and CPU at half of it")
    print("| follows | p50 ms | p99 ms | CPU ms a request | p50 x | p99 x | CPU x floor |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    middle: dict[tuple[str, str], float] = {}
    floor = found[NOTHING]
    for case, rounds in found.items():
        cells = dict[str, str]()
        for field in ("p50", "cpu"):
            pairs = zip(rounds, floor, strict=True)
            ratios = sorted(getattr(one, field) / getattr(plain, field) for one, plain in pairs)
            middle[case, field] = statistics.median(ratios)
            cells[field] = f"{middle[case, field]:.3f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        middle[case, "p99"] = p99(rounds) / p99(floor)
        p50 = statistics.median(one.p50 for one in rounds)
        cpu = statistics.median(one.cpu for one in rounds)
        print(
            f"| {case} | {p50:.3f} | {p99(rounds):.3f} | {cpu:.3f} | {cells['p50']} "
            f"| {middle[case, 'p99']:.3f} | {cells['cpu']} |"
        )
    for case, field, goal in ((CANARY, "p50", 1.1), (SHADOW, "p99", 1.05)):
        value = middle[case, field]
        met = "met" if value <= goal else "MISSED"
        print(f"{field} with {case}: {value:.3f} x without, goal <= {goal}: {met}")


def main() -> None:
    """Serve a simulated home of 7,000 customers with two versions."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, help="the home of an earlier call (else simulated)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="one short round, to try the script")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = asked.home or Path(folder) / "home"
        if asked.home is None:
            churn = str(Path(sys.executable).parent / "churn")
            users = "1500" if asked.quick else "7000"
            place = ["--home", str(home), "--json"]
            for command in (
                ["demo", "--users", users, "--months", "2"],
                ["retrain", "--by", WHO[0], "--reason", WHO[1]],
                ["run"],
            ):
                subprocess.run([churn, *command, *place], check=True, capture_output=True)
        prepare_environment(Settings(home=home))
        opened = Services(Settings(home=home))
        run(opened, 0.2 if asked.quick else asked.seconds, 1 if asked.quick else asked.rounds)


if __name__ == "__main__":
    main()
