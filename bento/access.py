"""Who may call the API: the names it answers to, and the API keys."""

import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

from fastapi import Request

from .errors import ApiError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
HEALTH_PATHS = frozenset({"/health", "/livez", "/readyz"})
"""Orchestrators ask for these by address and without a key."""
OPEN_PATHS = HEALTH_PATHS | {"/", "/page/{name}"}


@dataclass(frozen=True)
class AccessPolicy:
    """The sha256 of the API keys in hex, and the host names besides localhost."""

    keys: tuple[str, ...] = ()
    metrics_keys: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()

    def check(self, path: str, request: Request) -> None:
        """Refuse a foreign host name, and a missing or wrong key.

        A foreign name is that of a page whose DNS entry was pointed at this server.

        Raises:
            ApiError: 400, 401 or 403.
        """
        if path in HEALTH_PATHS:
            return
        address, _ = request.scope.get("server") or ("", 0)
        local = _is_loopback(address)
        self._check_host(request, local=local)
        if path not in OPEN_PATHS:
            self._check_key(path, request, local=local)

    def _check_host(self, request: Request, *, local: bool) -> None:
        name = re.sub(r":[0-9]*$", "", request.headers.get("host", "")).lower()
        checked = local or self.hosts
        if checked and name not in LOOPBACK_NAMES | self.hosts:
            message = "The Host header names another server."
            hint = "Set CHURN_API_HOSTS to this name."
            raise ApiError(400, "wrong_host", message, hint)

    def _check_key(self, path: str, request: Request, *, local: bool) -> None:
        keys = self.metrics_keys if path == "/metrics" and self.metrics_keys else self.keys
        if not keys and local:
            return
        if not keys:
            message = "No API keys are configured, so only localhost may connect."
            raise ApiError(403, "key_required", message, "Set CHURN_API_KEYS and restart it.")
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        given = request.headers.get("x-api-key") or bearer
        digest = hashlib.sha256(given.encode("latin-1", "replace")).hexdigest()
        # Every key is compared: the time must not show which one matches.
        if not sum(hmac.compare_digest(digest, key) for key in keys):
            message = "The API key is missing or wrong."
            hint = "Send it as `Authorization: Bearer KEY`."
            headers = {"WWW-Authenticate": "Bearer"}
            raise ApiError(401, "wrong_key", message, hint, headers=headers)


@lru_cache
def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
