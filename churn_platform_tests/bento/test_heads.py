"""Half heads and endless heads are refused by the connection itself, on a real uvicorn."""

import asyncio
import contextlib

import pytest
import uvicorn
from uvicorn.config import HTTP_PROTOCOLS

import bento.heads as heads_module
from bento.heads import MAX_HEAD, GuardedHeads

ASKED = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def app(scope, receive, send):
    """Answers before the body has come, as a refusal does."""
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


@contextlib.asynccontextmanager
async def listening():
    config = uvicorn.Config(app, port=0, lifespan="off", http=GuardedHeads, log_level="critical")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1], server.server_state
    finally:
        server.should_exit = True
        await running


def talk(*parts, pause=0.0, quiet=0.3):
    """What the server sends, when the client sends parts with pauses, until it closes or is quiet; and what is left."""

    async def once():
        async with listening() as (port, state):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            got, closed = bytearray(), asyncio.Event()

            async def read():
                with contextlib.suppress(ConnectionError):
                    while data := await reader.read(100_000):
                        got.extend(data)
                closed.set()

            reading = asyncio.create_task(read())
            for part in parts:
                with contextlib.suppress(ConnectionError):
                    writer.write(part)
                    await writer.drain()
                await asyncio.sleep(pause)
                if closed.is_set():
                    break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closed.wait(), quiet)
            left = len(state.connections)
            reading.cancel()
            writer.close()
            return bytes(got), left

    return asyncio.run(once())


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(heads_module, "HEAD_SECONDS", 0.2)


def test_a_whole_head_is_answered_although_it_comes_in_pieces(hurried):
    got, _ = talk(ASKED[:10], ASKED[10:], pause=0.05)
    assert got.startswith(b"HTTP/1.1 200")


def test_a_head_that_drips_is_408_in_time_and_the_connection_is_gone(hurried):
    got, left = talk(ASKED[:20], *(b"X: y\r\n" for _ in range(9)), pause=0.04)
    assert got.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b'"code":"too_slow"' in got
    assert left == 0


@pytest.mark.parametrize("parts", [(), (b"\r\n", b"\r\n", b"\r\n")])
def test_a_connection_that_asks_nothing_is_closed_in_silence(hurried, parts):
    assert talk(*parts, pause=0.05) == (b"", 0)


def test_the_second_head_of_a_connection_is_limited_too(hurried):
    got, left = talk(ASKED, ASKED[:20], *(b"x" for _ in range(9)), pause=0.05)
    assert got.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 408 " in got
    assert left == 0


@pytest.mark.parametrize("start", [b"GET /", ASKED[:20] + b"X: "])
def test_an_endless_head_is_431_when_it_has_64_kilobytes(start):
    got, left = talk(start, *(b"x" * 10_000 for _ in range(100)))
    assert got.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b'"code":"head_too_long"' in got
    assert left == 0


def test_a_head_below_the_limit_is_answered():
    got, _ = talk(ASKED[:-2] + b"X: " + b"x" * (MAX_HEAD - 100) + b"\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200")


def test_a_body_that_comes_after_its_answer_is_no_head():
    asked = ASKED.replace(b"GET", b"POST")[:-2] + b"Content-Length: 200000\r\n\r\n"
    got, _ = talk(asked, *(b"x" * 10_000 for _ in range(20)), ASKED, pause=0.01)
    assert got.count(b"HTTP/1.1 200") == 2


def test_requests_in_a_row_keep_no_timer(hurried):
    got, _ = talk(*(ASKED for _ in range(10)), pause=0.05)
    assert got.count(b"HTTP/1.1 200") == 10


def test_every_uvicorn_of_the_process_uses_it_once_it_was_asked_to(monkeypatch):
    monkeypatch.setitem(HTTP_PROTOCOLS, "auto", HTTP_PROTOCOLS["auto"])
    heads_module.guard_heads()
    config = uvicorn.Config(app)
    config.load()
    assert config.http_protocol_class is GuardedHeads
