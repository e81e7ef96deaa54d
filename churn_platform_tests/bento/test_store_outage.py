"""A running API whose Redis goes away and comes back: honest refusals at once, then answers again without a restart."""

import asyncio

import httpx
import pytest

from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.online.address import online_address
from churn_platform_tests.servers import Running, load
from churn_platform_tests.small_business import JANUARY, copied
from churn_platform_tests.stores import RedisServer

pytestmark = pytest.mark.slow
PASSWORD = "geheim, und mit Komma"


@pytest.fixture
def redis(tmp_path):
    """A Redis of this test's own: with a password, and a disk that keeps what it held over a restart."""
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    yield server
    server.stop()


async def until(holds):
    """Wait for what the answers must show, however busy the machine is."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.05)


def test_while_redis_is_away_requests_are_refused_at_once_and_answered_again_when_it_is_back(
    served, redis, tmp_path
):
    home, address = copied(served, tmp_path / "home"), redis.new()
    redis.client(0).config_set("requirepass", PASSWORD)
    store = FeatureStore(home.folder / "feast", home.contract, online_address(address, PASSWORD))
    assert store.materialize(home.lake.view(home.now(), as_at_scoring=False), JANUARY)
    server = Running(home, "--workers", "2", CHURN_ONLINE_PASSWORD=PASSWORD)
    found = []
    try:
        server.wait()

        async def through_an_outage():
            loading = asyncio.create_task(load(server.url, 180, found, connections=8, pause=0.01))
            await until(lambda: statuses().count(200) > 100)
            await asyncio.to_thread(redis.stop)
            await until(lambda: statuses().count(503) > 100)
            away = await asyncio.to_thread(httpx.get, f"{server.url}/readyz")
            alive = await asyncio.to_thread(httpx.get, f"{server.url}/livez")
            # as it comes back it asks for the same password
            redis.options += ("--requirepass", PASSWORD)
            await asyncio.to_thread(redis.start, PASSWORD)
            await until(lambda: statuses()[-100:] == [200] * 100)
            loading.cancel()
            return away, alive

        def statuses():
            return [answer.status for answer in sorted(found)]

        away, alive = asyncio.run(through_an_outage())
        # each over a connection of its own: either worker
        ready = {httpx.get(f"{server.url}/readyz").status_code for _ in range(20)}
    finally:
        server.end()
    assert (away.status_code, away.json()["error"]["code"], alive.status_code) == (
        503,
        "store_down",
        200,
    )
    assert ready == {200}
    assert set(statuses()) == {200, 503}
    assert statuses()[:100] == [200] * 100
    assert max(answer.seconds for answer in found if answer.status == 503) < 1.5
    assert PASSWORD not in server.log.read_text()
    for path in home.folder.rglob("*"):
        assert path.is_dir() or PASSWORD.encode() not in path.read_bytes(), path
