"""`churn serve`: the API on one home, run by BentoML; and what `churn bento` prints about the
build.
"""

import ipaddress
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from churn_platform.alerting.dagster_ui import HOST, port_is_free
from churn_platform.base.errors import UsageError
from churn_platform.base.settings import prepare_serving
from churn_platform.services import Services

if TYPE_CHECKING:
    from churn_platform.serving.bento_build import Built

SERVICE = "churn_platform._bento.service:ChurnService"


def serve(home: Services, host: str, port: int, workers: int, say: Callable[[str], None]) -> None:
    """Become the server; does not come back.

    Raises:
        UsageError: the host is open to others and no key is set, or the port is taken.
    """
    if not _is_loopback(host) and not home.settings.api_keys:
        raise UsageError(
            f"{host} can be reached from elsewhere, and no API key is set: set CHURN_API_KEYS"
            f" to the sha256 of a key, or stay on {HOST}.",
            code="API_KEY_MISSING",
        )
    if _is_loopback(host) and not port_is_free(port):
        raise UsageError(
            f"Port {port} on {HOST} is taken: stop what listens there or name another with --port.",
            code="PORT_TAKEN",
        )
    _ = home.contract
    prepare_serving(home.settings, port, workers)
    say(
        f"API: http://{host}:{port} (home {home.folder}); it answers in a few seconds. Ctrl-C"
        " stops it."
    )
    sys.stdout.flush()
    command = [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        SERVICE,
        "--host",
        host,
        "--port",
        str(port),
        "--quiet",
    ]
    # Not the caller's folder: one of its own called `bento` would be imported instead.
    os.execv(sys.executable, [*command, "--working-dir", str(home.folder)])  # noqa: S606 - our own interpreter


def built_facts(built: "Built") -> dict[str, Any]:
    """What was built, for a program."""
    output = None if built.output is None else str(built.output)
    inside = built.bundle.model_dump(mode="json")
    return {
        "tag": built.tag,
        "path": str(built.path),
        "size_bytes": built.size,
        "output": output,
        **inside,
    }


def built_sentences(built: "Built") -> list[str]:
    """What was built, for a person: what is inside, and how it is run."""
    baked = built.bundle
    if baked.customers:
        inside = f"{baked.customers:,} customers' features of {baked.features_as_of}"
    else:
        inside = "no customers"
    lines = [
        (
            f"Built {built.tag}: version {baked.version} and {inside}, {built.size / 1e6:.1f} MB,"
            f" in {built.path}."
        )
    ]
    if not baked.store:
        lines += [
            (
                "It answers what-ifs that give every feature; with CHURN_HOME set, what that home"
                " holds."
            )
        ]
    elif baked.store != "sqlite":
        lines += [
            (
                f"It reads features from {baked.store}; give it CHURN_ONLINE_PASSWORD where that"
                " asks for one."
            )
        ]
    if built.output is not None:
        lines += [f"Archive: {built.output} (elsewhere: `bentoml import {built.output.name}`)."]
    return [
        *lines,
        f"Run:   BENTOML_DO_NOT_TRACK=true bentoml serve {built.tag}",
        f"Image: bentoml containerize {built.tag}",
    ]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
