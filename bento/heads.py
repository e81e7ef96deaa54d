"""Limits a request's head, before there is a request: how long it may take to come, and how many bytes it may have.

uvicorn waits forever for the rest of a head and keeps all of it: a thousand half heads take every file descriptor, one
endless head the memory.
"""

import asyncio

from pydantic_core import to_json
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .errors import Refusal

HEAD_SECONDS = 5.0
MAX_HEAD = 65_536
REASONS = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class GuardedHeads(HttpToolsProtocol):
    """One connection; between requests a head may take 5 s from its first byte and have 64 KB."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = False
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection without a first byte is as idle as one between two requests."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def on_message_begin(self) -> None:
        """The first byte of a head came."""
        super().on_message_begin()
        self._in_head, self._head = True, 0

    def on_headers_complete(self) -> None:
        """The head is complete: there is a request."""
        super().on_headers_complete()
        self._in_head = False

    def data_received(self, data: bytes) -> None:
        """Feed the parser; while no request is being answered, the time for what comes is limited."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD:
                hint = f"Send at most {MAX_HEAD:,} bytes."
                self._refuse(Refusal(431, "head_too_long", "Path and headers are too long.", hint))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer: it would keep the connection in memory."""
        self._stop()
        super().connection_lost(exc)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        message = f"Path and headers did not come in {HEAD_SECONDS:.0f} s."
        if self._in_head:
            self._refuse(Refusal(408, "too_slow", message, "Send it faster."))
        else:
            self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        content = to_json({"error": {**refusal.item(), "request_id": "-"}})
        start = b"HTTP/1.1 %d %b\r\n" % (refusal.status, REASONS[refusal.status])
        head = (
            b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            % len(content)
        )
        self.transport.write(start + head + content)
        self.transport.close()


def guard_heads() -> None:
    """Have every uvicorn server of this process use it; call it before one is configured."""
    HTTP_PROTOCOLS["auto"] = f"{GuardedHeads.__module__}:{GuardedHeads.__name__}"
