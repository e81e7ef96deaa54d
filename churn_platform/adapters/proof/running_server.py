"""Whether the server that runs answers with the version in production.

Belongs here: asking it, and what its answer means. Does not: the rest of the agreement on production
(`adapters/proof/verifying.py`).
"""

import datetime as dt
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from churn_platform.adapters.home import Home
from churn_platform.adapters.proof.chain import Chain
from churn_platform.adapters.proof.findings import Finding, broken, holds, said
from churn_platform.core.moves import model_named

ANSWER_SECONDS = 3.0
SETTLED = dt.timedelta(seconds=1)
"""How long after its activation a version may take to be everywhere."""


def check_server(home: Home, chain: Chain) -> Iterator[Finding]:
    """Ask the API at the address of the settings. No answer is not a fault."""
    place = home.settings.api_address or f"127.0.0.1:{home.settings.api_port}"
    pointer = home.releases.pointer()
    status, answer = _asked(place, "/model")
    if status in (401, 403):
        status, answer = _asked(place, "/readyz")
    version = answer.get("version")
    if status is None:
        yield said("server", f"no server answers on {place}")
        return
    if not isinstance(version, int):
        yield said("server", f"what answers on {place} names no model (status {status})")
        return
    own = (answer.get("receipt") or {}).get("digest")
    if own is not None and chain.sound and own not in chain.digests:
        yield said("server", f"what answers on {place} serves another home")
        return
    active = pointer is None or home.now() >= dt.datetime.fromisoformat(pointer.activate_at) + SETTLED
    pointed = None if pointer is None else pointer.version
    if version == pointed:
        yield holds("server", f"{place} answers with version {version}")
    elif active:
        yield broken("server", f"{place} answers with version {version}, in production is {model_named(pointed)}")
    else:
        yield said("server", f"{place} answers with version {version} until version {pointed} is activated")


def _asked(place: str, path: str) -> tuple[int | None, dict[str, Any]]:
    """Status and answer of a GET; no status where no one answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{place}{path}", timeout=ANSWER_SECONDS) as response:
            status, content = int(response.status), response.read()
    except urllib.error.HTTPError as error:
        status, content = error.code, b""
    except (OSError, urllib.error.URLError):
        return None, {}
    except Exception as error:  # noqa: BLE001 - whatever else listens there may say anything
        return 0, {"error": repr(error)}
    try:
        answer = json.loads(content)
    except ValueError:
        return status, {}
    return status, answer if isinstance(answer, dict) else {}
