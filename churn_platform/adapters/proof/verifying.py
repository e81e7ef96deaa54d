"""Whether the ledger holds, and whether ledger, MLflow, release pointer and a running server say the same.

Belongs here: the chain, its anchors, the agreement on production. Does not: digests of files
(`adapters/proof/deep_checks.py`), the rules of a chain (`core/ledger.py`). Reads only.
"""

import datetime as dt
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from churn_platform.adapters.home import Home
from churn_platform.adapters.models.registry import PRODUCTION
from churn_platform.adapters.proof.findings import Finding, broken, holds, said
from churn_platform.core import ledger
from churn_platform.core.ledger import GENESIS, Receipt
from churn_platform.core.moves import DONE, named, open_intent, version_of
from churn_platform.errors import ChurnError

ANSWER_SECONDS = 3.0
SETTLED = dt.timedelta(seconds=1)
"""How long after its activation a version may take to be everywhere."""
LEAST_DIGITS = 12


@dataclass
class Chain:
    """The ledger as it was read once, for every check."""

    receipts: list[Receipt] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    sound: bool = False


def verify_home(home: Home, anchor: str | None = None, *, deep: bool = False) -> list[Finding]:
    """Every finding, in the order of the checks; one that cannot run is a break of its own, and the others still run.

    Args:
        home: the home.
        anchor: digest of a head (or at least its first 12 digits) that a person kept elsewhere.
        deep: also compute every digest of every file again.
    """
    chain, found = Chain(), []
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("chain", lambda: _chain(home, chain)),
        ("anchors", lambda: _anchors(home, chain, anchor)),
        ("production", lambda: _production(home, chain)),
        ("server", lambda: _server(home, chain)),
    ]
    if deep:
        from churn_platform.adapters.proof.deep_checks import deep_checks

        checks += [(name, lambda check=check: check(home, chain.receipts)) for name, check in deep_checks()]  # type: ignore[misc]
    for name, check in checks:
        try:
            found += list(check())
        except (ChurnError, OSError, ValueError, KeyError, TypeError) as error:  # what a changed file may lead to
            text = (
                str(error) if isinstance(error, ChurnError | OSError) else f"a file cannot be read as it was: {error!r}"
            )
            found.append(broken(name, text))
    return found


def summary(home: Home, found: Sequence[Finding]) -> dict[str, Any]:
    """The findings as plain JSON values, with the head that a person may keep elsewhere."""
    faults = [finding.detail for finding in found if finding.state == "broken"]
    try:
        head = home.ledger.head()
    except ChurnError:
        head = None
    return {
        "verified": not faults,
        "first_break": faults[0] if faults else None,
        "breaks": faults,
        "findings": [finding.as_dict() for finding in found],
        "checked": sum(finding.count for finding in found if finding.state == "holds"),
        "head": None if head is None else {"sequence": head.sequence, "digest": head.digest},
    }


def _chain(home: Home, chain: Chain) -> Iterator[Finding]:
    lines, _ = home.ledger.snapshot()
    fault = ledger.verify_lines(lines)
    if fault is not None:
        yield broken("chain", f"{home.ledger.file}, line {fault.sequence}: {fault.detail}")
        return
    chain.receipts = [ledger.parse(line) for line in lines]
    chain.digests, chain.sound = [receipt.digest for receipt in chain.receipts], True
    yield holds("chain", f"{len(lines):,} receipts, each follows the one before", len(lines))


def _anchors(home: Home, chain: Chain, kept: str | None) -> Iterator[Finding]:
    """Each head that was recorded outside must be in the chain: a chain whose tail was cut holds in itself."""
    if not chain.sound:
        yield said("anchors", "not compared: the chain itself does not hold")
        return
    anchor = home.ledger.anchor()
    if anchor is None and len(chain.digests) > 1:
        yield broken(
            "anchors", f"{home.ledger.anchor_file} is gone: it holds the head of the ledger after every receipt"
        )
    if anchor is not None:
        at = chain.digests[anchor.sequence - 1] if anchor.sequence <= len(chain.digests) else None
        if at != anchor.digest:
            yield broken(
                "anchors", _cut(f"{home.ledger.anchor_file} says receipt {anchor.sequence} was", anchor.digest, chain)
            )
        else:
            behind = len(chain.digests) - anchor.sequence
            yield holds("anchors", f"anchor.json{f', {behind} behind' if behind else ''}: receipt {anchor.sequence}")
    for where, digest in _recorded_heads(home, kept):
        if digest != GENESIS and not any(known.startswith(digest) for known in chain.digests):
            yield broken("anchors", _cut(f"{where} says", digest, chain))
        else:
            yield holds("anchors", f"{where}: {digest[:LEAST_DIGITS]} is in the chain")


def _recorded_heads(home: Home, kept: str | None) -> Iterator[tuple[str, str]]:
    if kept is not None:
        yield "the anchor you kept", kept
    pointer = home.releases.pointer()
    if pointer is not None:
        yield str(home.releases.pointer_file), pointer.ledger_head
    for version, tags in sorted(home.registry.tags().items()):
        if "ledger_head" in tags:
            yield f"MLflow's version {version}", tags["ledger_head"]


def _cut(who: str, digest: str, chain: Chain) -> str:
    ends = f"ends with receipt {len(chain.digests)}" if chain.digests else "is empty"
    return (
        f"{who} written with digest {digest[:LEAST_DIGITS]}, but it is not in the ledger, which {ends}: its tail was "
        "cut or rewritten"
    )


def _production(home: Home, chain: Chain) -> Iterator[Finding]:
    """Ledger, pointer and alias must name one version; the pointer must be what the last move wrote."""
    pointer, alias = home.releases.pointer(), home.registry.alias(PRODUCTION)
    pointed = None if pointer is None else pointer.version
    if not chain.sound:
        yield said("production", "the ledger is not asked: its chain does not hold")
        if alias != pointed:
            yield broken("production", f"the release pointer names {_model(pointed)}, MLflow's alias {_model(alias)}")
        return
    intent = open_intent(chain.receipts)
    if intent is not None:
        yield broken(
            "production",
            f"the move to {intent.subject} was cut off (receipt {intent.sequence} announces it, none says that it is "
            "done): `churn run` completes it",
        )
        return
    moves = [receipt for receipt in chain.receipts if receipt.act in DONE]
    recorded = version_of(moves[-1].after) if moves else None
    if not recorded == pointed == alias:
        yield broken(
            "production",
            f"the ledger says {_model(recorded)} is in production, the release pointer {_model(pointed)}, MLflow's "
            f"alias {_model(alias)}",
        )
        return
    if pointer is not None:
        faults = list(_pointer_faults(pointer.model_dump(), moves[-1]))
        yield from (broken("production", f"{home.releases.pointer_file} {fault}") for fault in faults)
        if faults:
            return
    yield holds("production", f"ledger, MLflow's alias and release pointer name {_model(recorded)}", 3)


def _pointer_faults(pointer: Mapping[str, Any], move: Receipt) -> Iterator[str]:
    expected = {
        "activate_at": move.evidence.get("activate_at"),
        "ledger_head": move.evidence.get("intent"),
        "as_of": move.evidence.get("as_of"),
    }
    for name, value in expected.items():
        if value is not None and pointer[name] != value:
            yield f"has {name} {pointer[name]}, receipt {move.sequence} says {value}"
    if named(pointer["previous_version"]) != move.before:
        yield f"says that {_model(pointer['previous_version'])} came before, receipt {move.sequence} {move.before}"


def _server(home: Home, chain: Chain) -> Iterator[Finding]:
    """Ask whoever listens on the port of the settings; that nobody does is no fault."""
    port, pointer = home.settings.api_port, home.releases.pointer()
    status, answer = _asked(port, "/model")
    if status in (401, 403):
        status, answer = _asked(port, "/readyz")
    version = answer.get("version")
    if status is None:
        yield said("server", f"nobody answers on 127.0.0.1:{port}")
        return
    if not isinstance(version, int):
        yield said("server", f"what answers on 127.0.0.1:{port} names no model (status {status})")
        return
    own = (answer.get("receipt") or {}).get("digest")
    if own is not None and chain.sound and own not in chain.digests:
        yield said("server", f"what answers on 127.0.0.1:{port} serves another home")
        return
    active = pointer is None or home.now() >= dt.datetime.fromisoformat(pointer.activate_at) + SETTLED
    pointed = None if pointer is None else pointer.version
    if version == pointed:
        yield holds("server", f"127.0.0.1:{port} answers with version {version}")
    elif active:
        yield broken("server", f"127.0.0.1:{port} answers with version {version}, in production is {_model(pointed)}")
    else:
        yield said("server", f"127.0.0.1:{port} answers with version {version} until version {pointed} is activated")


def _asked(port: int, path: str) -> tuple[int | None, dict[str, Any]]:
    """Status and answer of a GET; no status where nobody answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=ANSWER_SECONDS) as response:
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


def _model(version: int | None) -> str:
    return "no model" if version is None else f"version {version}"
