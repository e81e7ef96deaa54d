"""The Redis store by itself: what it lost, what it is asked for."""

import asyncio

import pytest
import uvloop

from churn_platform.base.errors import StoreDown
from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.online.address import online_address
from churn_platform.features.online.reader import open_online_reader
from churn_platform_tests.small_business import JANUARY, declared


@pytest.fixture
def stored(january, tmp_path, redis_server):
    """January in a Redis database of its own: the folder and a client."""
    address = online_address(redis_server.new())
    store = FeatureStore(tmp_path / "feast", january.contract, address)
    store.materialize(january.lake.view(january.now(), as_at_scoring=False), JANUARY)
    return store.folder, redis_server.client(int(address.database))


def test_a_redis_that_lost_everything_is_down_and_not_without_customers(january, stored):
    folder, client = stored
    reader = open_online_reader(folder, january.contract)
    assert asyncio.run(reader.read(["nobody"])) == [None]
    client.flushdb()
    for keys in (["m00001"], ["nobody"]):
        with pytest.raises(
            StoreDown, match=r"has lost the rows of 2024-01-31: the daemon brings them back"
        ):
            asyncio.run(reader.read(keys))
    with pytest.raises(StoreDown, match="has lost the rows"):
        asyncio.run(reader.newest())


def test_it_answers_on_the_loop_that_the_server_uses(january, stored):
    folder, _ = stored
    reader = open_online_reader(folder, january.contract)
    [row] = uvloop.run(reader.read(["m00001"]))
    assert row.as_of == JANUARY


def test_a_thousand_customers_are_one_round_trip(january, stored):
    folder, client = stored
    reader = open_online_reader(folder, january.contract)

    async def read():
        await reader.read(["m00001"])
        before = client.info("commandstats")["cmdstat_hmget"]["calls"]
        reads = client.info("stats")["total_reads_processed"]
        rows = await reader.read([f"m{n:05d}" for n in range(1000)])
        stats = client.info("stats")["total_reads_processed"] - reads
        return rows, client.info("commandstats")["cmdstat_hmget"]["calls"] - before, stats

    rows, calls, reads = asyncio.run(read())
    assert len(rows) == calls == 1000
    assert reads < 50  # of the socket, 16 kB each
    assert None not in rows


def test_features_of_views_that_take_turns_come_in_the_contracts_order(january, stored):
    """The contract orders features by view; a reader must not rely on how Redis is asked."""
    folder, _ = stored
    views = declared().feature_views
    turned = declared(feature_views={name: views[name].model_dump() for name in reversed(views)})
    [row] = asyncio.run(open_online_reader(folder, turned).read(["m00001"]))
    [known] = asyncio.run(open_online_reader(folder, january.contract).read(["m00001"]))
    assert list(row.values) == list(turned.features)
    assert row.values == known.values
