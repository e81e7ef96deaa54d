"""How fast is the API? Beside a floor (FastAPI doing nothing) and a peer (the API as a course
builds it).

`python -m benchmarks.serving [--home HOME]`. One worker each; medians of 3 rounds in which
every server has its turn; features are read from the online store (SQLite, Redis, Postgres:
real ones, on this machine) on every request; the client is a process of its own. CPU a request
is the server's alone, without the store's, and says more than requests a second on a busy
machine. The ratio to the floor is that of each round, with its range. `--pairs N` measures
single customers on SQLite alone, 16 connections, in N short rounds.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.pool import Pool
from pathlib import Path

import psutil
from pydantic_core import to_json

from churn_platform.alerting.dagster_ui import free_port
from churn_platform.base.settings import Settings, prepare_environment
from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.online.address import online_address
from churn_platform.services import Services
from churn_platform_tests.stores import PostgresServer, RedisServer

ROUNDS = 3
CONNECTIONS = (1, 16)
CUSTOMERS = 1000
WARM_UP = 0.5
"""Seconds of load before a measurement counts."""
STORES = ("SQLite", "Redis", "Postgres")
FLOOR = """
import sys, uvicorn
from fastapi import Body, FastAPI
app = FastAPI()
@app.post("/predict")
def noop(asked: dict = Body()) -> dict:
    return {"ok": True}
@app.get("/readyz")
def ready() -> dict:
    return {}
uvicorn.run(app, port=int(sys.argv[1]), log_level="critical", access_log=False)
"""
BARE = """
import bentoml
@bentoml.service(workers=1, tracing={"excluded_urls": ".*"}, metrics={"enabled": False})
class Bare:
    @bentoml.api
    async def predict(self, user_id: str) -> str:
        return "ok"
"""


@dataclass
class Measured:
    """One case: requests a second, median and 99th percentile in ms, CPU a request in ms."""

    rate: float
    p50: float
    p99: float
    cpu: float


async def _one(
    port: int, requests: list[bytes], end: float, times: list[float], number: int
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < end:
        started = time.perf_counter()
        writer.write(requests[number % len(requests)])
        number += 17
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        times.append(time.perf_counter() - started)
    writer.close()


def _load(
    port: int, bodies: list[bytes], path: str, connections: int, seconds: float
) -> tuple[float, list[float]]:
    """Requests without pause over kept connections; the seconds it took and the time of each."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    requests = [head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]
    times: list[float] = []

    async def run() -> float:
        started = time.perf_counter()
        await asyncio.gather(
            *(_one(port, requests, started + seconds, times, n) for n in range(connections))
        )
        return time.perf_counter() - started

    return asyncio.run(run()), times


@contextmanager
def client() -> Iterator[Pool]:
    """The process that sends the requests; its imports take seconds, so one serves all cases."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool


def measure(
    pool: Pool,
    server: psutil.Process,
    port: int,
    bodies: list[bytes],
    path: str,
    connections: int,
    seconds: float,
) -> Measured:
    """One case on one server."""
    pool.apply(_load, (port, bodies, path, connections, min(WARM_UP, seconds)))
    before = _cpu(server)
    took, times = pool.apply(_load, (port, bodies, path, connections, seconds))
    used = _cpu(server) - before
    times.sort()
    return Measured(
        len(times) / took,
        1e3 * statistics.median(times),
        1e3 * times[int(len(times) * 0.99)],
        1e3 * used / len(times),
    )


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _cpu(process: psutil.Process) -> float:
    return sum(one.cpu_times().user + one.cpu_times().system for one in _family(process))


@contextmanager
def started(
    command: list[str], port: int, path: str = "/readyz", folder: Path | None = None
) -> Iterator[tuple[psutil.Process, float]]:
    """A server that answers, and how long that took."""
    import httpx

    begun = time.perf_counter()
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
    )
    try:
        while child.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{port}{path}").status_code in (200, 404, 405):
                    break
                time.sleep(0.05)
            except httpx.HTTPError:
                time.sleep(0.05)
        yield psutil.Process(child.pid), time.perf_counter() - begun
    finally:
        child.terminate()
        child.wait()


def on_store(home: Services, address: str, folder: Path) -> Path:
    """The same home with its newest month in another online store: all but `feast` is the
    original's.
    """
    folder.mkdir()
    for path in home.folder.iterdir():
        if path.name not in ("feast", "predictions", "serving"):
            (folder / path.name).symlink_to(path)
    as_of = home.records.months("scores")[-1]
    store = FeatureStore(folder / "feast", home.contract, online_address(address))
    store.materialize(home.lake.view(home.now(), as_at_scoring=False), as_of)
    return folder


@contextmanager
def stores() -> Iterator[dict[str, str]]:
    """A Redis and a Postgres; their addresses."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "redis").mkdir()
        redis = RedisServer(Path(folder) / "redis", "--save", "")
        postgres = PostgresServer(Path(folder) / "postgres")
        redis.start()
        try:
            yield {"redis": redis.new(), "postgres": postgres.new()}
        finally:
            redis.stop()
            postgres.stop()


def commands(homes: dict[str, Path]) -> dict[str, tuple[list[str], int]]:
    """Every server's command line and port."""
    python = sys.executable
    here = Path(__file__).parent
    ports = {name: free_port() for name in ("floor", *homes, "peer")}
    found = {"floor": ([python, "-c", FLOOR, str(ports["floor"])], ports["floor"])}
    for name, home in homes.items():
        serve = [str(Path(python).parent / "churn"), "serve", "--home", str(home), "--workers", "1"]
        found[name] = ([*serve, "--port", str(ports[name])], ports[name])
    peer = [python, str(here / "course_api.py"), str(homes["SQLite"]), str(ports["peer"])]
    return found | {"peer": (peer, ports["peer"])}


def cases(home: Services) -> list[tuple[str, str, str, list[bytes]]]:
    """(name, server, path, bodies) over the customers of the newest month."""
    key = home.contract.entity.column
    keys = home.records.frame("scores", home.records.months("scores")[-1])[key].tolist()
    single = [to_json({key: one}) for one in keys]
    short = [to_json({key: one, "reasons": False}) for one in keys]
    lots = [
        to_json({"keys": keys[n : n + CUSTOMERS]})
        for n in range(0, len(keys) - CUSTOMERS, CUSTOMERS)
    ]
    found = [("floor: FastAPI, no-op", "floor", "/predict", single)]
    for store in STORES:
        found += [
            (f"{store}: /predict without reasons", store, "/predict", short),
            (f"{store}: /predict with reasons", store, "/predict", single),
            (f"{store}: /predict/batch without reasons, rows", store, "/predict/batch", lots),
        ]
    return [*found, ("peer: the course's API", "peer", "/predict", single)]


def pairs(home: Services, rounds: int) -> None:
    """Single customers on SQLite and the floor by turns, 1 s each at 16 connections."""
    names = (
        "floor: FastAPI, no-op",
        "SQLite: /predict without reasons",
        "SQLite: /predict with reasons",
    )
    found: dict[tuple[str, int], list[Measured]] = {(name, CONNECTIONS[-1]): [] for name in names}
    asked = [case for case in cases(home) if case[0] in names]
    servers = commands({"SQLite": home.folder})
    with ExitStack() as stack:
        pool = stack.enter_context(client())
        running = {}
        for name in ("floor", "SQLite"):
            command, port = servers[name]
            running[name], _ = stack.enter_context(started(command, port))
        for _ in range(rounds):
            for name, server, path, bodies in asked:
                port = servers[server][1]
                found[name, CONNECTIONS[-1]].append(
                    measure(pool, running[server], port, bodies, path, CONNECTIONS[-1], 1.0)
                )
    _show_table(found)


def run(home: Services, seconds: float, rounds: int) -> None:
    """Measure everything and print the tables."""
    found: dict[tuple[str, int], list[Measured]] = {}
    asked = cases(home)
    with ExitStack() as stack:
        addresses = stack.enter_context(stores())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        homes = {"SQLite": home.folder}
        homes |= {
            name: on_store(home, addresses[name.lower()], folder / name) for name in STORES[1:]
        }
        servers = commands(homes)
        pool = stack.enter_context(client())
        running = {}
        boot = {}
        for name, (command, port) in servers.items():
            path = "/docs" if name == "peer" else "/readyz"
            running[name], boot[name] = stack.enter_context(started(command, port, path=path))
        for _ in range(rounds):
            for name, server, path, bodies in asked:
                for connections in CONNECTIONS:
                    port = servers[server][1]
                    made = measure(pool, running[server], port, bodies, path, connections, seconds)
                    found.setdefault((name, connections), []).append(made)
        memory = max(one.memory_full_info().pss for one in _family(running["SQLite"])) / 1e6
    _show(found)
    print(f"memory of a worker {memory:.0f} MB (goal < 350)")
    churn = [
        str(Path(sys.executable).parent / "churn"),
        "serve",
        "--home",
        str(home.folder),
        "--workers",
        "1",
    ]
    ours = []
    bare = []
    for _ in range(rounds):
        port = free_port()
        with started([*churn, "--port", str(port)], port) as (_, took):
            ours.append(took)
        bare.append(bare_boot())
    print(
        f"boot to ready {statistics.median(ours):.2f} s; a bare BentoML service {statistics.median(bare):.2f} s: "
        f"{statistics.median(ours) / statistics.median(bare):.2f} x (goal <= 1.6 x)"
    )


def bare_boot() -> float:
    """How long a BentoML service that does nothing takes to answer."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bare.py").write_text(BARE, encoding="utf-8")
        port = free_port()
        command = [
            sys.executable,
            "-m",
            "bentoml",
            "serve",
            "bare:Bare",
            "--port",
            str(port),
            "--host",
            "127.0.0.1",
        ]
        with started(command, port, folder=Path(folder)) as (_, took):
            return took


def _middle(found: dict[tuple[str, int], list[Measured]]) -> dict[tuple[str, int], Measured]:
    return {
        case: Measured(
            *(
                statistics.median(getattr(one, f) for one in rounds)
                for f in ("rate", "p50", "p99", "cpu")
            )
        )
        for case, rounds in found.items()
    }


def _show_table(found: dict[tuple[str, int], list[Measured]]) -> None:
    print(
        "| case | connections | requests/s | p50 ms | p99 ms | p99 / p50 | CPU ms a request | x floor |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (name, connections), one in _middle(found).items():
        times = CUSTOMERS if name.endswith("rows") else 1
        floors = found["floor: FastAPI, no-op", connections]
        ratios = [
            times * a.rate / b.rate for a, b in zip(found[name, connections], floors, strict=True)
        ]
        print(
            f"| {name} | {connections} | {times * one.rate:,.0f} | {one.p50:.2f} | {one.p99:.2f} | "
            f"{one.p99 / one.p50:.1f} | {one.cpu / times:.4f} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) |"
        )


def _show(found: dict[tuple[str, int], list[Measured]]) -> None:
    _show_table(found)
    middle = _middle(found)
    for store in STORES:
        for connections in CONNECTIONS:
            rows = middle[f"{store}: /predict/batch without reasons, rows", connections]
            for kind in ("without", "with"):
                single = middle[f"{store}: /predict {kind} reasons", connections]
                ratio = CUSTOMERS * rows.rate / single.rate
                cpu = CUSTOMERS * single.cpu / rows.cpu
                print(
                    f"{store}, {connections} connections: rows of a batch / single calls {kind} reasons {ratio:.1f} x "
                    f"(by CPU {cpu:.1f} x; goal 20 x)"
                )


def main() -> None:
    """Serve the home that is named, or a simulated one of 7,000 customers."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--home", type=Path, help="a home with a model in production (else a simulated one)"
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="one short round, to try the script")
    parser.add_argument(
        "--pairs", type=int, help="so many short rounds of single customers on SQLite, nothing else"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = asked.home or Path(folder) / "home"
        if asked.home is None:
            churn = str(Path(sys.executable).parent / "churn")
            users = "2500" if asked.quick else "7000"
            subprocess.run(
                [churn, "demo", "--home", home, "--users", users, "--months", "2", "--json"],
                check=True,
                capture_output=True,
            )
        prepare_environment(Settings(home=home))
        opened = Services(Settings(home=home))
        if asked.pairs:
            pairs(opened, asked.pairs)
        else:
            run(opened, 0.1 if asked.quick else asked.seconds, 1 if asked.quick else ROUNDS)


if __name__ == "__main__":
    main()
