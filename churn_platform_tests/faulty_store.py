"""A proxy before an object store that answers wrongly when a test asks it to."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>"
)
ALWAYS = 1_000_000


@dataclass
class Fault:
    """What happens to the next requests of a method.

    Kinds: `slow_down` answers 503; `cut_request` hangs up within the body of a request; `cut_answer` within that of an
    answer; `silent` never answers.
    """

    kind: str
    method: str
    times: int = ALWAYS


@dataclass
class FaultyStore:
    """The proxy: its address, what it does wrong, and what was asked."""

    port: int
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def endpoint(self) -> str:
        """Its address, as AWS_ENDPOINT_URL names it."""
        return f"http://127.0.0.1:{self.port}"

    def fault_of(self, method: str) -> str | None:
        """What is wrong with this request."""
        for fault in self.faults:
            if fault.method in (method, "any") and fault.times > 0:
                fault.times -= 1
                return fault.kind
        return None


class Handler(BaseHTTPRequestHandler):
    """Passes one request on to the store, unless something is wrong with it."""

    protocol_version = "HTTP/1.1"
    timeout = 10
    proxy: FaultyStore
    store_port: int

    def __getattr__(self, name: str) -> object:
        if name.startswith("do_"):
            return self.forward
        raise AttributeError(name)

    def forward(self) -> None:
        """Answer as the store does, or wrongly."""
        self.proxy.asked.append(self.command)
        kind = self.proxy.fault_of(self.command)
        if kind in ("silent", "cut_request"):
            if kind == "silent":
                self.proxy.released.wait(10)
            else:
                self.rfile.read(100)
            self.close_connection = True
            return
        body = self._body()
        if kind == "slow_down":
            self._answer(503, {"Content-Type": "application/xml"}, SLOW_DOWN)
            return
        status, headers, content = self._asked_of_store(body)
        if kind == "cut_answer" and content:
            self._answer(status, headers, content, send=len(content) // 2)
            self.close_connection = True
        else:
            self._answer(status, headers, content)

    def _body(self) -> bytes:
        """The bytes after the headers, as they came."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while True:
            line = self.rfile.readline()
            size = int(line.partition(b";")[0], 16)
            found += line
            if size == 0:
                break
            found += self.rfile.read(size + 2)
        while line := self.rfile.readline().strip():
            found += line + b"\r\n"
        return found + b"\r\n"

    def _asked_of_store(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.store_port, timeout=10)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def _answer(
        self, status: int, headers: dict[str, str], content: bytes, send: int | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = str(len(content))
        if self.command == "HEAD":
            length = headers.get("Content-Length", "0")
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:send])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def faulty_store(store_port: int) -> Iterator[FaultyStore]:
    """Start the proxy before the store on a port of 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    proxy = FaultyStore(server.server_address[1])
    Handler.proxy = proxy
    Handler.store_port = store_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
