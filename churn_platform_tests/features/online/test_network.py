"""The readers of Redis and Postgres: shared reads, outages, and a store that lost its rows."""

import asyncio
import time

import pytest
import uvloop

from churn_platform.base.errors import StoreDown, StoreEmpty
from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.online import network
from churn_platform.features.online.address import online_address
from churn_platform.features.online.network import RedisReader
from churn_platform.features.online.reader import open_online_reader
from churn_platform.features.online.rows import Month
from churn_platform_tests.small_business import JANUARY
from churn_platform_tests.stores import RedisServer

MONTH = Month(JANUARY, "")


def store_january(january, folder, address):
    store = FeatureStore(folder, january.contract, address)
    store.materialize(january.lake.view(january.now(), as_at_scoring=False), JANUARY)
    return store.folder


def on_server(january, tmp_path, server):
    """January in a database of its own: the folder and the database's name."""
    address = online_address(server.new())
    return store_january(january, tmp_path / "feast", address), address.database


@pytest.fixture
def on_redis(january, tmp_path, redis_server):
    folder, database = on_server(january, tmp_path, redis_server)
    return folder, redis_server.client(int(database))


@pytest.fixture
def on_postgres(january, tmp_path, postgres_server):
    return on_server(january, tmp_path, postgres_server)


@pytest.fixture(params=["redis_server", "postgres_server"])
def folder(request, january, tmp_path):
    """January's Feast folder on each kind of store."""
    return on_server(january, tmp_path, request.getfixturevalue(request.param))[0]


@pytest.fixture
def own_redis(tmp_path):
    """A Redis of this test's own, to stop."""
    server = RedisServer(tmp_path, "--save", "")
    server.start()
    yield server
    server.stop()


def counted(reader):
    """Count the keys of each read that reaches the store."""
    found, asked = reader.found, []

    async def count(connection, keys):
        asked.append(len(keys))
        return await found(connection, keys)

    reader.found = count
    return asked


def test_waiting_requests_share_a_read_and_one_that_is_given_up_harms_no_other(january, folder):
    async def read():
        reader = open_online_reader(folder, january.contract)
        await reader.read(["m00001"])
        asked = counted(reader.reader)
        given_up = asyncio.ensure_future(reader.read(["m00002"]))
        others = asyncio.gather(
            *(reader.read([f"m{n:05d}", "m00000", "nobody"]) for n in range(1, 51))
        )
        await asyncio.sleep(0)
        given_up.cancel()
        rows = await others
        return rows, [*asked], [await reader.read([f"m{n:05d}"]) for n in range(1, 51)]

    rows, asked, alone = uvloop.run(read())
    assert sum(asked) < 60
    assert len(asked) <= 2
    assert [[first] for first, _, _ in rows] == alone
    assert {unknown for _, _, unknown in rows} == {None}


def test_closing_lets_a_read_under_way_be_answered(january, folder):
    reader = open_online_reader(folder, january.contract)

    async def read():
        await reader.read(["m00001"])
        last = asyncio.ensure_future(reader.read(["m00002"]))
        await asyncio.sleep(0)
        reader.reader.close()
        return await last

    # Each event loop has a connection of its own.
    assert asyncio.run(read()) == asyncio.run(read())


def outage(reader, stop, start):
    """Read before, during and after an outage; each failure comes quickly."""

    async def through():
        before = await reader.read(["m00001"])
        stop()
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(StoreDown):
                await reader.read(["m00001"])
            assert time.monotonic() - started < 1
        start()
        await asyncio.sleep(network.PAUSE_SECONDS)
        return before, await reader.read(["m00001"])

    return asyncio.run(through())


def test_a_redis_that_was_away_is_used_again(january, tmp_path, own_redis):
    address = online_address(own_redis.new())
    folder = store_january(january, tmp_path / "feast", address)

    def start():
        own_redis.start()
        FeatureStore(folder, january.contract, address).materialize(
            january.lake.view(january.now(), as_at_scoring=False), JANUARY
        )

    before, after = outage(open_online_reader(folder, january.contract), own_redis.stop, start)
    assert after == before


def test_a_database_that_was_away_is_used_again(january, on_postgres, postgres_server):
    folder, database = on_postgres

    def stop():
        postgres_server.ask(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        postgres_server.ask(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        )

    def start():
        postgres_server.ask(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")

    before, after = outage(open_online_reader(folder, january.contract), stop, start)
    assert after == before


def read_around(reader, loses):
    """The rows before and after the store has ended the connection between two reads."""

    async def read():
        before = await reader.read(["m00001"])
        loses()
        return before, await reader.read(["m00001"])

    before, after = asyncio.run(read())
    assert before == after
    assert before[0] is not None


def test_a_redis_that_restarted_while_nothing_was_read_answers_the_next_read(
    january, tmp_path, own_redis
):
    own_redis.options = ("--appendonly", "yes", "--appendfsync", "always")
    own_redis.stop()
    own_redis.start()
    folder = store_january(january, tmp_path / "feast", online_address(own_redis.new()))

    def restarts():
        own_redis.stop()
        own_redis.start()

    read_around(open_online_reader(folder, january.contract), restarts)


def test_a_database_that_ended_the_connection_answers_the_next_read(
    january, on_postgres, postgres_server
):
    folder, database = on_postgres

    def ends():
        postgres_server.ask(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        )

    read_around(open_online_reader(folder, january.contract), ends)


def test_a_query_that_waits_for_a_lock_is_given_up(
    january, on_postgres, postgres_server, monkeypatch
):
    folder, database = on_postgres
    monkeypatch.setattr(network, "ANSWER_SECONDS", 1.0)
    with postgres_server.connect(database) as other, other.transaction():
        other.execute("LOCK TABLE gym_visits_fv")
        with pytest.raises(StoreDown):
            asyncio.run(open_online_reader(folder, january.contract).read(["m00001"]))


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n"])
def test_a_server_that_is_silent_or_not_redis_is_down(january, answer, monkeypatch):
    monkeypatch.setattr(network, "ANSWER_SECONDS", 0.3)

    async def serve(reader, writer):
        writer.write(answer)
        await reader.read()

    async def ask():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader = RedisReader(january.contract, online_address(f"redis://127.0.0.1:{port}/0"))
        with pytest.raises(StoreDown):
            await asyncio.wait_for(reader.read(["m00001"], MONTH), 2)
        server.close()

    asyncio.run(ask())


def test_a_password_is_given_and_a_wrong_one_is_refused_without_being_shown(january, own_redis):
    own_redis.client(0).config_set("requirepass", "a,b geheim")
    text = own_redis.new()

    def read(password):
        reader = RedisReader(january.contract, online_address(text, password))
        asyncio.run(reader.read(["m00001"], MONTH))

    with pytest.raises(StoreEmpty):
        read("a,b geheim")
    for wrong in ("", "other"):
        with pytest.raises(StoreDown) as caught:
            read(wrong)
        assert not isinstance(caught.value, StoreEmpty)
        assert "other" not in str(caught.value)


def test_a_redis_that_lost_everything_is_down_and_not_without_customers(january, on_redis):
    folder, client = on_redis
    reader = open_online_reader(folder, january.contract)
    assert asyncio.run(reader.read(["nobody"])) == [None]
    client.flushdb()
    for asked in (reader.read(["m00001"]), reader.read(["nobody"]), reader.newest()):
        with pytest.raises(StoreEmpty):
            asyncio.run(asked)


def test_a_thousand_customers_are_one_round_trip(january, on_redis):
    folder, client = on_redis
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
