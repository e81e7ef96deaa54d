"""A soak: two workers for a long time at half of their top rate, with a promotion every 20 seconds,
between releases of different features.

`uv run pytest -m soak --soak-seconds=600`. The rate is paced, whatever the answers take; the figures are printed.
"""

import asyncio
import collections
import datetime as dt
import itertools
import json
import re
import statistics
import time

import httpx
import psutil
import pytest

from churn_platform_tests.api_client import FEWER, boosted, point, publish, with_contract
from churn_platform_tests.servers import Running
from churn_platform_tests.small_business import copied

pytestmark = pytest.mark.soak
CONNECTIONS, PROMOTION_SECONDS, TOP_SECONDS = 16, 20, 8
REQUESTS_A_CONNECTION = 2000
"""Then it is opened anew, so that both workers get their share."""
FEWER_VERSION = 4
"""The version without the feature `hours`."""
VERSION = re.compile(rb'"version":(\d+),"sha256"')
HEAD = "{} {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"


def written(method, path, body=b""):
    return HEAD.format(method, path, len(body)).encode() + body


def asked_for():
    """What is asked, again and again: mostly one customer without reasons, as a shop would ask."""
    made = []
    for number in range(1500):
        body = {"member": f"m{number:05d}", "reasons": number % 5 == 0}
        made.append(written("POST", "/predict", json.dumps(body).encode()))
        if number % 100 == 0:
            keys = [f"m{other:05d}" for other in range(number, number + 50)]
            made.append(written("POST", "/predict/batch", json.dumps({"keys": keys}).encode()))
        if number % 300 == 0:
            made += [
                written("GET", "/model"),
                written("GET", "/metrics"),
                written("GET", f"/customers/m{number:05d}"),
            ]
    return made


class Load:
    """Sends requests over kept connections, without pause or at a rate; counts statuses and keeps the times."""

    def __init__(self, port):
        self.port, self.requests = port, itertools.cycle(asked_for())
        self.statuses, self.versions, self.times = collections.Counter(), collections.Counter(), []

    async def run(self, seconds, rate=None):
        """Requests a second that were answered."""
        before, started = sum(self.statuses.values()), time.perf_counter()
        await asyncio.gather(
            *(self._connection(number, started, seconds, rate) for number in range(CONNECTIONS))
        )
        return (sum(self.statuses.values()) - before) / (time.perf_counter() - started)

    async def _connection(self, number, started, seconds, rate):
        step, sent, wires = (CONNECTIONS / rate if rate else 0.0), 0, None
        while (now := time.perf_counter() - started) < seconds:
            due = (sent + number / CONNECTIONS) * step
            if due > now:
                await asyncio.sleep(due - now)
            try:
                if wires is None or sent % REQUESTS_A_CONNECTION == 0:
                    if wires is not None:
                        wires[1].close()
                    wires = await asyncio.open_connection("127.0.0.1", self.port)
                await self._one(*wires)
            except (OSError, EOFError) as error:
                self.statuses[type(error).__name__] += 1
                wires = None
            sent += 1
        if wires is not None:
            wires[1].close()

    async def _one(self, reader, writer):
        started = time.perf_counter()
        writer.write(next(self.requests))
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(
            int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        )
        self.statuses[int(head[9:12])] += 1
        self.times.append(time.perf_counter() - started)
        if named := VERSION.search(body):
            self.versions[int(named[1])] += 1
            if b'"features_used"' in body:
                mixed = (b'"hours":' in body) == (int(named[1]) == FEWER_VERSION)
                self.statuses["mixed"] += mixed


async def promoting(server, seconds, instants):
    end = time.monotonic() + seconds
    for version in itertools.cycle((4, 2)):
        await asyncio.sleep(PROMOTION_SECONDS)
        if time.monotonic() > end - 4:
            return
        instant = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
        await asyncio.to_thread(point, server.home, version, instant)
        instants.append(instant.timestamp())


async def weighing(workers, seconds, weights):
    """The memory that is each worker's own, in MB, every second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for worker in workers:
            weights[worker.pid].append(worker.memory_full_info().uss / 1e6)
        await asyncio.sleep(1)


@pytest.fixture
def server(served, tmp_path):
    home = copied(served, tmp_path / "home")
    fewer = with_contract(home, feature_views=FEWER)
    publish(fewer, FEWER_VERSION, boosted(fewer))
    made = Running(home, "--workers", "2")
    yield made.wait()
    made.end()


def test_at_half_of_the_top_rate_with_promotions_nothing_fails_and_memory_is_flat(
    server, pytestconfig, capsys
):
    seconds = pytestconfig.getoption("--soak-seconds")
    top, soaked, instants, weights = (
        Load(server.port),
        Load(server.port),
        [],
        collections.defaultdict(list),
    )
    workers = server.workers()

    async def soak():
        rate = await top.run(TOP_SECONDS)
        reached, *_ = await asyncio.gather(
            soaked.run(seconds, rate / 2),
            promoting(server, seconds, instants),
            weighing(workers, seconds, weights),
        )
        return rate, reached

    cpu = sum(sum(worker.cpu_times()[:2]) for worker in workers)
    rate, reached = asyncio.run(soak())
    cpu = sum(sum(worker.cpu_times()[:2]) for worker in workers) - cpu
    quarter = max(len(weights[workers[0].pid]) // 4, 1)
    grown = {
        pid: statistics.median(own[-quarter:]) / statistics.median(own[quarter : 2 * quarter])
        for pid, own in weights.items()
    }
    times = sorted(soaked.times)
    active = [
        line
        for line in server.lines()
        if line.get("event") == "release active" and line["time"] > instants[0] - 1
    ]
    windows = [
        max(at) - min(at)
        for instant in instants
        if len(at := [line["time"] for line in active if instant <= line["time"] < instant + 3])
        == len(workers)
    ]
    with capsys.disabled():
        print(
            f"\nsoak of {seconds:.0f} s: {len(times):,} requests at {reached:,.0f}/s (top {rate:,.0f}/s), "
            f"statuses {dict(soaked.statuses)}, versions {dict(soaked.versions)}, {len(instants)} promotions, "
            f"p50 {1e3 * times[len(times) // 2]:.1f} ms, p99 {1e3 * times[int(len(times) * 0.99)]:.1f} ms, "
            f"slowest {1e3 * times[-1]:.0f} ms, CPU {1e3 * cpu / (len(times) + len(top.times)):.2f} ms a request; "
            f"mixed window at most {1e3 * max(windows, default=0):.2f} ms (median {1e3 * statistics.median(windows):.2f}); memory of the workers at "
            f"most {max(max(own) for own in weights.values()):.0f} MB, last quarter / second quarter "
            f"{', '.join(f'{ratio:.3f}' for ratio in grown.values())}"
        )
    assert soaked.statuses.pop("mixed") == 0
    assert set(soaked.statuses) == {200}
    assert reached > 0.4 * rate
    assert len(windows) == len(instants) >= 1  # every promotion in every worker
    assert set(soaked.versions) == {2, FEWER_VERSION}
    assert [worker.pid for worker in server.workers()] == [worker.pid for worker in workers]
    assert max(max(own) for own in weights.values()) < 350
    if (
        seconds >= 300
    ):  # a minute is still warming up: the log's buffers and the caches of the store
        assert all(ratio < 1.1 for ratio in grown.values())
    text = httpx.get(f"{server.url}/metrics").text
    assert len(text) < 100_000
    assert "churn_log_dropped_total 0.0" in text
    assert psutil.pid_exists(server.process.pid)
