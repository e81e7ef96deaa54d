"""The front: the ASGI middleware that every request meets first, before BentoML sees it.

Refuses cheaply what is not a request of ours (path, method, host, key, content type, size, slow bodies), gives ids,
counts and logs. Why it also answers: docs/adr/0010.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import re
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import JSON, Refusal
from .metrics import Metrics
from .routes import Asked, Route, Routes

MAX_BODY = 1_000_000
BODY_SECONDS = 5.0
MAX_IN_FLIGHT = 256
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
CLOSE = {"Connection": "close"}
"""What was refused unread is not read after all."""
NOWHERE = "(none)"


@dataclass(frozen=True)
class Doors:
    """Who may ask: sha256 of the keys in hex, and the names under which we may be called."""

    keys: tuple[str, ...] = ()
    metrics_keys: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()


@dataclass
class Server:
    """What one worker answers with."""

    routes: Routes
    doors: Doors
    metrics: Metrics
    log: Callable[[dict[str, Any]], None] = lambda _: None


@dataclass
class Holder:
    """Where the service puts its server once it is initialised: the front exists before."""

    server: Server | None = None
    in_flight: int = field(default=0)


class Front:
    """ASGI middleware round a BentoML service."""

    def __init__(self, app: ASGIApp, holder: Holder) -> None:
        self._app, self._holder = app, holder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; everything else is BentoML's."""
        server = self._holder.server
        if scope["type"] != "http" or server is None:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]
        }
        asked = Asked(_request_id(headers), query=scope["query_string"])
        found = server.routes.find(scope["path"])
        response = await self._answer(server, scope, headers, receive, asked, found)
        response.headers["X-Request-ID"] = asked.request_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        await response(scope, receive, send)
        seconds, name = time.perf_counter() - started, found[0].name if found else NOWHERE
        server.metrics.request(name, response.status_code, seconds)
        line = {
            "time": time.time(),
            "request_id": asked.request_id,
            "method": scope["method"],
            "route": name,
        }
        server.log(
            line | {"status": response.status_code, "ms": round(seconds * 1000, 3), **asked.said}
        )

    async def _answer(
        self, server: Server, scope: Scope, headers: Mapping[str, str], receive: Receive, asked: Asked,
        found: tuple[Route, str] | None,
    ) -> Response:  # fmt: skip
        self._holder.in_flight += 1
        try:
            return await self._handled(server.doors, scope, headers, receive, asked, found)
        except Refusal as refusal:
            return refusal.response(asked.request_id)
        except Exception:  # noqa: BLE001 - the last line of defence: a fault of ours gets the envelope, and is logged
            sys.stderr.write(f"request {asked.request_id} failed\n{traceback.format_exc()}")
            hint = "The server's log has the request id."
            return Refusal(500, "internal", "The server made a mistake.", hint).response(
                asked.request_id
            )
        finally:
            self._holder.in_flight -= 1

    async def _handled(
        self, doors: Doors, scope: Scope, headers: Mapping[str, str], receive: Receive, asked: Asked,
        found: tuple[Route, str] | None,
    ) -> Response:  # fmt: skip
        if found is None:
            raise Refusal(
                404, "unknown_path", "There is no such path.", "GET /openapi.json lists the paths."
            )
        route, asked.rest = found
        _may_ask(doors, route, scope, headers)
        handler = route.handlers.get(scope["method"])
        if handler is None:
            allowed = ", ".join(route.handlers)
            raise Refusal(
                405, "method_not_allowed", f"{route.name} answers {allowed} only.", f"Use {allowed}.",
                headers={"Allow": allowed},
            )  # fmt: skip
        if self._holder.in_flight > MAX_IN_FLIGHT and route.access != "open":
            raise Refusal(
                429, "overload", f"{MAX_IN_FLIGHT} requests are being answered.", "Try again in a second.",
                headers={"Retry-After": "1"},
            )  # fmt: skip
        if scope["method"] == "POST":
            asked.body = await _body(headers, receive)
        return await handler(asked)


def _request_id(headers: Mapping[str, str]) -> str:
    given = headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _may_ask(doors: Doors, route: Route, scope: Scope, headers: Mapping[str, str]) -> None:
    """Refuse a foreign host name (a page in a browser that was led to us) and a missing or wrong key.

    Raises:
        Refusal: 400, 401 or 403.
    """
    if route.access == "open" and route.name in (
        "/health",
        "/livez",
        "/readyz",
    ):  # asked by address by orchestrators
        return
    inside = _is_loopback((scope.get("server") or ("", 0))[0])
    name = re.sub(r":[0-9]*$", "", headers.get("host", "")).lower()
    if (inside or doors.names) and name not in LOOPBACK_NAMES | doors.names:
        raise Refusal(
            400,
            "wrong_host",
            "The Host header names another server.",
            "Set CHURN_API_HOSTS to this name.",
        )
    if route.access == "open":
        return
    keys = doors.metrics_keys if route.access == "metrics" and doors.metrics_keys else doors.keys
    if not keys:
        if not inside:
            raise Refusal(
                403, "key_required", "This server asks no keys, so it answers on the loopback only.",
                "Set CHURN_API_KEYS and restart it.",
            )  # fmt: skip
        return
    given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
    digest = hashlib.sha256(given.encode("latin-1", "replace")).hexdigest()
    # every key is compared, whole, whichever matches
    if not sum(hmac.compare_digest(digest, key) for key in keys):
        raise Refusal(
            401, "wrong_key", "The API key is missing or wrong.", "Send it as `Authorization: Bearer KEY`.",
            headers={"WWW-Authenticate": "Bearer"},
        )  # fmt: skip


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


async def _body(headers: Mapping[str, str], receive: Receive) -> bytes:
    """The body of a POST.

    Raises:
        Refusal: 415 for anything but plain JSON, 413 for one that is too long, 408 for one that does not come.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON or headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(
            415,
            "not_json",
            f"The body is {kind or 'of no type'}.",
            f"Send JSON with Content-Type: {JSON}.",
            headers=CLOSE,
        )
    too_long = Refusal(
        413,
        "too_long",
        f"The body is longer than {MAX_BODY:,} bytes.",
        "Send fewer keys a request.",
        headers=CLOSE,
    )
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length[:20]) > MAX_BODY:
        raise too_long
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(
                        400, "cut_off", "The body was cut off.", "Send the complete body."
                    )
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > MAX_BODY:
                    raise too_long
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        hint = "Send it faster."
        raise Refusal(
            408, "too_slow", f"The body did not come in {BODY_SECONDS:.0f} s.", hint, headers=CLOSE
        ) from None
