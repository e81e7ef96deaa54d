"""What happens to every request around its route: limits, request id, metrics, log line."""

import asyncio
import json
import re
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .access import OPEN_PATHS
from .errors import ApiError
from .metrics import ApiMetrics

MAX_BODY = 1_000_000
BODY_SECONDS = 5.0
MAX_IN_FLIGHT = 256
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
NO_ROUTE = "(none)"
CLOSE = {"Connection": "close"}
"""For a body that is not read: the rest of it must not be taken for the next request."""


def unique_fields(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """The pairs as a dict.

    Raises:
        ApiError: 422 where a name is given twice; a JSON reader would keep the last value.
    """
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        message = f"The request gives {twice[:256]!r} twice."
        raise ApiError(422, "malformed", message, "Give each field once.")
    return fields


DECODER = json.JSONDecoder(object_pairs_hook=unique_fields)


class JsonRequest(Request):
    """A request whose body is JSON, limited in size and time, with each field given once."""

    async def body(self) -> bytes:
        """The complete body.

        Raises:
            ApiError: 400, 408, 413 or 415.
        """
        if not hasattr(self, "_body"):
            self._check_head()
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    self._body = await self._read()
            except TimeoutError:
                message = f"Request body timed out after {BODY_SECONDS:.0f} s."
                raise ApiError(408, "too_slow", message, "Send it faster.", headers=CLOSE) from None
            except ClientDisconnect:
                message = "The body was cut off."
                raise ApiError(400, "cut_off", message, "Send the complete body.") from None
        return self._body

    async def json(self) -> Any:  # noqa: ANN401 - whatever the client sends
        """The body's value.

        Raises:
            ApiError: 422 where it is not JSON, or gives a field twice.
        """
        try:
            return DECODER.decode((await self.body()).decode())
        except (ValueError, RecursionError):  # a number of 5,000 digits is a ValueError too
            message = "The body is not valid JSON."
            raise ApiError(422, "malformed", message, "Send one JSON object.") from None

    def _check_head(self) -> None:
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        encoding = self.headers.get("content-encoding", "identity").lower()
        if media_type != "application/json" or encoding != "identity":
            message = f"The body has content type {media_type or '(none)'}, encoding {encoding}."
            hint = "Send plain JSON with Content-Type: application/json."
            raise ApiError(415, "not_json", message, hint, headers=CLOSE)
        length = self.headers.get("content-length", "0")
        if not length.isdigit() or int(length[:20]) > MAX_BODY:
            raise _too_long()

    async def _read(self) -> bytes:
        body = bytearray()
        async for part in self.stream():
            body += part
            if len(body) > MAX_BODY:
                raise _too_long()
        return bytes(body)


class ApiRoute(APIRoute):
    """A route that checks access and load before FastAPI reads the body."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check access, also for a method that the route does not support."""
        scope["app"].state.access.check(self.path_format, Request(scope))
        await super().handle(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, for a limited number of requests at a time."""
        handle = super().get_route_handler()
        path = self.path_format

        async def limited(request: Request) -> Response:
            state = request.app.state
            if state.in_flight >= MAX_IN_FLIGHT and path not in OPEN_PATHS:
                message = f"{MAX_IN_FLIGHT} requests are being answered."
                raise ApiError(
                    429,
                    "overload",
                    message,
                    "Try again in a second.",
                    headers={"Retry-After": "1"},
                )
            state.in_flight += 1
            try:
                return await handle(JsonRequest(request.scope, request.receive))
            finally:
                state.in_flight -= 1

        return limited


class RequestLog:
    """ASGI middleware that gives each request an id, counts it and writes one log line.

    An unexpected exception becomes a 500 here: Starlette's own handler is further out,
    where the response would have no id and would not be counted.
    """

    def __init__(
        self, app: ASGIApp, metrics: ApiMetrics, write: Callable[[dict[str, Any]], None]
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        method = scope["method"]
        request_id = _request_id(Headers(scope=scope).get("x-request-id", ""))
        fields: dict[str, Any] = {}
        # A HEAD is answered like a GET; the server leaves the body out.
        routed_method = "GET" if method == "HEAD" else method
        state = {"request_id": request_id, "log_fields": fields}
        scope = {**scope, "method": routed_method, "state": state}
        extra = [
            (b"x-request-id", request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            sys.stderr.write(f"request {request_id} failed\n{traceback.format_exc()}")
            if status:
                raise
            hint = "The server's log has the request id."
            error = ApiError(500, "internal", "The server failed.", hint)
            await error.response(request_id)(scope, receive, send_with_headers)
        seconds = time.perf_counter() - started
        route = scope.get("route")
        name = NO_ROUTE if route is None else route.path_format
        self._metrics.request(name, status, seconds)
        line = {
            "time": time.time(),
            "request_id": request_id,
            "method": method,
            "route": name,
            "status": status,
            "ms": round(seconds * 1000, 3),
        }
        self._write(line | fields)


def _request_id(given: str) -> str:
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _too_long() -> ApiError:
    message = f"The body is longer than {MAX_BODY:,} bytes."
    return ApiError(413, "too_long", message, "Send fewer keys per request.", headers=CLOSE)
