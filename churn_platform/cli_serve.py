"""`churn serve`: the API on one home, run by BentoML.

Belongs here: where it may listen, and the command line of BentoML. Does not: the API (`bento/`).
"""

import ipaddress
import os
import sys
from collections.abc import Callable

from churn_platform.adapters.dagster_ui import HOST, port_is_free
from churn_platform.adapters.home import Home
from churn_platform.errors import UsageError
from churn_platform.settings import prepare_serving

SERVICE = "bento.service:ChurnService"


def serve(home: Home, host: str, port: int, workers: int, say: Callable[[str], None]) -> None:
    """Become the server; does not come back.

    Raises:
        UsageError: the host is open to others and no key is set, or the port is taken.
    """
    if not _is_loopback(host) and not home.settings.api_keys:
        raise UsageError(
            f"{host} can be reached from elsewhere, and no API key is set: set CHURN_API_KEYS to the sha256 of a key, "
            f"or stay on {HOST}."
        )
    if _is_loopback(host) and not port_is_free(port):
        raise UsageError(f"Port {port} on {HOST} is taken: stop what listens there or name another with --port.")
    _ = home.contract
    prepare_serving(home.settings, port, workers)
    say(f"API: http://{host}:{port} (home {home.folder}); it answers in a few seconds. Ctrl-C stops it.")
    sys.stdout.flush()
    command = [sys.executable, "-m", "bentoml", "serve", SERVICE, "--host", host, "--port", str(port), "--quiet"]
    # Not the caller's folder: one of its own called `bento` would be imported instead.
    os.execv(sys.executable, [*command, "--working-dir", str(home.folder)])  # noqa: S606 - our own interpreter


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
