"""A canary in two real workers: the same arm in both, after kill -9 and restart, and a raise within a second."""

import time
from collections import defaultdict

import httpx
import pyarrow.parquet as pq
import pytest

from churn_platform_tests.servers import PATIENCE, Running
from churn_platform_tests.trying import KEYS, arms, run, start

pytestmark = pytest.mark.slow
WITHIN_SECONDS = 1.5
"""In which a change of the file has reached every worker, with eight batches; twice that on a busy machine."""


def answers(server, times):
    """The arms in so many batches, each on a connection of its own, which either worker answers."""
    found = []
    for _ in range(times):
        answer = httpx.post(f"{server.url}/predict/batch", json={"keys": KEYS}, timeout=30)
        assert answer.status_code == 200, answer.text
        found.append({row["member"]: row["arm"] for row in answer.json()["results"]})
    return found


def settled(server, expected):
    """Wait until eight batches in a row are as expected; the seconds it took."""
    started = time.monotonic()
    while time.monotonic() < started + PATIENCE:
        took = time.monotonic() - started
        if all(found == expected for found in answers(server, 8)):
            return took
    pytest.fail("the workers do not follow")


def test_both_workers_draw_the_same_arms_also_after_a_kill(served_copy):
    canary = start(served_copy, step=1)
    server = Running(served_copy, "--workers", "2").wait()
    try:
        settled(server, arms(canary))
        raised = start(served_copy, step=3)
        assert settled(server, arms(raised)) < 2 * WITHIN_SECONDS
        killed = server.workers()
        assert len(killed) == 2
        for worker in killed:
            worker.kill()
        for worker in killed:
            worker.wait(PATIENCE)
        server.wait()
        settled(server, arms(raised))
        run(served_copy)
        assert settled(server, dict.fromkeys(KEYS, "production")) < 2 * WITHIN_SECONDS
    finally:
        server.end()
    by_process = defaultdict(dict)
    for path in (served_copy.folder / "predictions").rglob("*.parquet"):
        table = pq.ParquetFile(path).read()
        process = int(path.name.split("-")[1])
        for key, version, arm in zip(
            *(table[c].to_pylist() for c in ("member", "version", "arm")), strict=True
        ):
            assert version == (3 if arm == "canary" else 2)
            if arm == "canary":
                by_process[process][key] = arm
    inside = {key for key, arm in arms(raised).items() if arm == "canary"}
    restarted = set(by_process) - {worker.pid for worker in killed}
    assert len(restarted) == 2
    assert all(set(by_process[process]) == inside for process in restarted)
