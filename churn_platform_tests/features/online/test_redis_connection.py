"""The connection to Redis: many requests on one wire, quick to say that Redis is away, whole again by itself."""

import asyncio
import time

import hiredis
import pytest

from churn_platform.base.errors import StoreDown
from churn_platform.features.online import redis as redis_connection
from churn_platform.features.online.address import online_address
from churn_platform.features.online.redis import RedisConnection
from churn_platform_tests.stores import RedisServer


def command(*parts):
    return hiredis.pack_command(parts)


@pytest.fixture
def own_redis(tmp_path):
    """A Redis of this test's own, to stop, with a password."""
    server = RedisServer(tmp_path, "--save", "")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def listener():
    """Starts servers that answer in ways that Redis does not."""

    async def start(handler):
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        return server, online_address(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")

    return start


def test_the_loop_that_servers_run_on_is_as_good(redis_server):
    uvloop = pytest.importorskip("uvloop")

    async def ask():
        return await RedisConnection(online_address(redis_server.new())).ask(command("PING"), 1)

    assert uvloop.run(ask()) == [b"PONG"]


def test_requests_that_are_under_way_together_get_their_own_replies_over_one_connection(
    redis_server,
):
    address = online_address(redis_server.new())
    client = redis_server.client(int(address.database))

    async def ask():
        connection = RedisConnection(address)
        before = client.info("stats")["total_connections_received"]
        answers = await asyncio.gather(
            *(
                connection.ask(command("ECHO", f"{n}a") + command("ECHO", f"{n}b" * n * 100), 2)
                for n in range(60)
            )
        )
        return answers, client.info("stats")["total_connections_received"] - before

    answers, connections = asyncio.run(ask())
    assert answers == [[f"{n}a".encode(), f"{n}b".encode() * n * 100] for n in range(60)]
    assert connections == 1


def test_a_redis_that_is_away_is_told_at_once_and_used_again_when_it_is_back(own_redis):
    address = online_address(own_redis.new())

    async def through_an_outage():
        connection = RedisConnection(address)
        assert await connection.ask(command("PING"), 1) == [b"PONG"]
        own_redis.stop()
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(
                StoreDown, match=rf"Redis at 127.0.0.1:{own_redis.port} does not answer"
            ):
                await connection.ask(command("PING"), 1)
            assert time.monotonic() - started < 0.5
        own_redis.start()
        await asyncio.sleep(redis_connection.PAUSE_SECONDS)
        return await connection.ask(command("PING"), 1)

    assert asyncio.run(through_an_outage()) == [b"PONG"]


def test_a_redis_that_accepts_and_never_answers_is_down_after_the_time_limit(listener, monkeypatch):
    monkeypatch.setattr(redis_connection, "READ_SECONDS", 0.1)

    async def silent(reader, writer):
        await reader.read()

    async def ask():
        server, address = await listener(silent)
        connection = RedisConnection(address)
        started = time.monotonic()
        with pytest.raises(StoreDown, match="no answer"):
            await connection.ask(command("PING"), 1)
        assert time.monotonic() - started < 1
        server.close()

    asyncio.run(ask())


def test_one_request_that_stays_unanswered_ends_the_connection_for_replies_have_no_number(
    listener, monkeypatch
):
    monkeypatch.setattr(redis_connection, "READ_SECONDS", 0.2)

    async def one_answer(reader, writer):
        await reader.read(100)
        writer.write(b"+OK\r\n")
        await reader.read(100)
        writer.write(b"+FIRST\r\n")
        await reader.read()

    async def ask():
        server, address = await listener(one_answer)
        connection = RedisConnection(address)
        answered = await asyncio.gather(
            *(connection.ask(command("PING"), 1) for _ in range(3)), return_exceptions=True
        )
        server.close()
        return answered

    first, *rest = asyncio.run(ask())
    assert first == [b"FIRST"]
    assert [type(one) for one in rest] == [StoreDown, StoreDown]


def test_what_is_no_redis_is_down(listener):
    async def web(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async def ask():
        server, address = await listener(web)
        with pytest.raises(StoreDown, match="no Redis"):
            await RedisConnection(address).ask(command("PING"), 1)
        server.close()

    asyncio.run(ask())


def test_a_password_is_given_and_its_absence_is_told(own_redis):
    own_redis.client(0).config_set("requirepass", "a,b geheim")
    text = own_redis.new()

    async def ask(password):
        return await RedisConnection(online_address(text, password)).ask(command("PING"), 1)

    assert asyncio.run(ask("a,b geheim")) == [b"PONG"]
    for wrong in ("", "other"):
        with pytest.raises(StoreDown, match="refuses") as caught:
            asyncio.run(ask(wrong))
        assert "other" not in str(caught.value)


def test_a_refusal_is_of_its_own_request_only(redis_server):
    async def ask():
        connection = RedisConnection(online_address(redis_server.new()))
        asked = (connection.ask(command(name), 1) for name in ("PING", "NONSENSE", "PING"))
        return await asyncio.gather(*asked, return_exceptions=True)

    first, refused, last = asyncio.run(ask())
    assert first == last == [b"PONG"]
    assert isinstance(refused, StoreDown)


def test_a_request_that_was_given_up_leaves_the_others_their_replies(redis_server):
    async def ask():
        connection = RedisConnection(online_address(redis_server.new()))
        await connection.ask(command("PING"), 1)
        given_up = asyncio.ensure_future(connection.ask(command("ECHO", "first"), 1))
        second = asyncio.ensure_future(connection.ask(command("ECHO", "second"), 1))
        await asyncio.sleep(0)
        given_up.cancel()
        return await second

    assert asyncio.run(ask()) == [b"second"]


def test_closing_lets_what_is_under_way_be_answered(redis_server):
    async def ask():
        connection = RedisConnection(online_address(redis_server.new()))
        await connection.ask(command("PING"), 1)
        last = asyncio.ensure_future(connection.ask(command("ECHO", "last"), 1))
        await asyncio.sleep(0)
        connection.close()
        return await last

    assert asyncio.run(ask()) == [b"last"]
