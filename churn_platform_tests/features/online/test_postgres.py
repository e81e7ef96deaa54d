"""The Postgres store by itself: an outage, and requests that share a query."""

import asyncio
import time

import pytest

from churn_platform.base.errors import StoreDown
from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.online import postgres as online_postgres
from churn_platform.features.online.address import online_address
from churn_platform.features.online.reader import open_online_reader
from churn_platform_tests.small_business import JANUARY


@pytest.fixture
def stored(january, tmp_path, postgres_server):
    """January in a database of its own: its reader's folder and the database's name."""
    address = online_address(postgres_server.new())
    store = FeatureStore(tmp_path / "feast", january.contract, address)
    store.materialize(january.lake.view(january.now(), as_at_scoring=False), JANUARY)
    return store.folder, address.database


def test_a_database_that_is_away_is_told_quickly_and_used_again_when_it_is_back(
    january, stored, postgres_server
):
    folder, database = stored

    async def through_an_outage():
        reader = open_online_reader(folder, january.contract)
        [before] = await reader.read(["m00001"])
        postgres_server.ask(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        postgres_server.ask(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        )
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(StoreDown, match="does not answer"):
                await reader.read(["m00001"])
            assert time.monotonic() - started < 1
        postgres_server.ask(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        await asyncio.sleep(online_postgres.PAUSE_SECONDS)
        return before, await reader.read(["m00001"])

    before, after = asyncio.run(through_an_outage())
    assert after == [before]


def test_a_query_that_waits_for_a_lock_is_given_up(january, stored, postgres_server, monkeypatch):
    folder, database = stored
    monkeypatch.setattr(online_postgres, "READ_SECONDS", 1.0)

    async def read():
        with pytest.raises(StoreDown, match=r"statement timeout|no answer in time"):
            await open_online_reader(folder, january.contract).read(["m00001"])

    with postgres_server.connect(database) as other, other.transaction():
        other.execute("LOCK TABLE gym_visits_fv")
        asyncio.run(read())


def test_requests_that_wait_share_a_query(january, stored, postgres_server):
    folder, _ = stored

    async def read():
        reader = open_online_reader(folder, january.contract)
        await reader.read(["m00001"])
        found = reader.reader
        asked, ask = [], found._found

        async def counted(keys):
            asked.append(len(keys))
            return await ask(keys)

        found._found = counted
        rows = await asyncio.gather(*(reader.read([f"m{n:05d}", "m00000"]) for n in range(1, 51)))
        return rows, asked

    rows, asked = asyncio.run(read())
    assert sum(asked) < 60
    assert len(asked) <= 2
    assert all(row is not None for pair in rows for row in pair)
