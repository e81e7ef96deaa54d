"""100,000 answers while shadows raise, hang, answer NaN, are damaged, and the disk is full: none changes."""

import asyncio
import errno
import itertools
import threading

import pytest

from churn_platform.serving import shadow_scoring
from churn_platform_tests.api_client import client, running
from churn_platform_tests.trying import KEYS, run

pytestmark = pytest.mark.slow
BATCHES, SIZE = 245, 400
SINGLES = 2000


def raises(rows):
    raise RuntimeError("broken")


def nothing(rows):
    return [float("nan")] * len(rows)


async def asked(server, between=lambda _: None):
    """The rows of every batch and every single answer, without what differs by request."""
    found = []
    async with client(server) as made:
        for number in range(BATCHES):
            between(number)
            answer = await made.post("/predict/batch", json={"keys": KEYS, "reasons": number == 0})
            assert answer.status_code == 200, answer.text
            assert answer.json()["failed"] == 0
            found.append(answer.json()["results"])
        for key in itertools.islice(itertools.cycle(KEYS), SINGLES):
            answer = await made.post("/predict", json={"member": key, "reasons": False})
            assert answer.status_code == 200, answer.text
            found.append(answer.json() | {"request_id": ""})
    return found


def test_broken_shadows_and_a_full_disk_change_no_answer(served_copy, monkeypatch):
    with running(served_copy) as server:
        expected = asyncio.run(asked(server))
    assert sum(len(one) if isinstance(one, list) else 1 for one in expected) == 100_000
    monkeypatch.setattr(shadow_scoring, "HANG_SECONDS", 0.5)
    monkeypatch.setattr(shadow_scoring, "PAUSE_SECONDS", 0.01)
    gate = threading.Event()
    run(served_copy, shadows=[3, "months", "60 - months"])
    damaged = served_copy.releases.folder / "3" / "booster.txt"

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with running(served_copy) as server:
        threads = dict(
            zip(("nan", "raises", "hangs"), server.experiments.followed.shadows, strict=True)
        )
        threads["nan"]._scorer.score = nothing
        threads["raises"]._scorer.score = raises
        threads["hangs"]._scorer.score = lambda _: gate.wait()

        def faults(number):
            if number == BATCHES // 3:
                damaged.write_bytes(b"changed")
                (damaged.parent / "manifest.json").touch()
            if number == BATCHES // 2:
                monkeypatch.setattr("pyarrow.parquet.write_table", full)

        found = asyncio.run(asked(server, faults))
        off = {
            name: server.experiments.followed.why_off(name) for name in ("version 3", "60 - months")
        }
        text = server._metrics.text().decode()
    gate.set()
    assert found == expected
    assert "booster.txt" in off["version 3"]
    assert "0.5" in off["60 - months"] or "seconds" in off["60 - months"]
    values = {
        line.split()[0]: float(line.split()[1]) for line in text.splitlines() if line[0] != "#"
    }
    assert values["churn_shadow_failures_total"] > 0
    assert values["churn_shadow_dropped_total"] > 0
    assert values['churn_requests_total{route="/predict",status="200"}'] == SINGLES
