"""Whether the ledger holds, and whether ledger, MLflow, release pointer and a running server
say the same.
"""

import datetime as dt
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from churn_platform.audit.findings import Chain, Finding, broken, holds, said, unseen
from churn_platform.audit.recorded_files import check_decisions, check_production_release
from churn_platform.base.errors import ChurnError, StoreDown
from churn_platform.base.library_errors import sentence_of
from churn_platform.ledger.acts import model_named, named
from churn_platform.ledger.receipts import GENESIS, Receipt
from churn_platform.ledger.state import ProductionState
from churn_platform.services import Services
from churn_platform.training.registry import PRODUCTION, ModelRegistry

ANSWER_SECONDS = 3.0
SETTLED = dt.timedelta(seconds=1)
"""How long after its activation a version may take to be everywhere."""


def check_server(home: Services, chain: Chain) -> Iterator[Finding]:
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
    active = (
        pointer is None or home.now() >= dt.datetime.fromisoformat(pointer.activate_at) + SETTLED
    )
    pointed = None if pointer is None else pointer.version
    if version == pointed:
        yield holds("server", f"{place} answers with version {version}")
    elif active:
        yield broken(
            "server",
            f"{place} answers with version {version}, in production is {model_named(pointed)}",
        )
    else:
        yield said(
            "server",
            f"{place} answers with version {version} until version {pointed} is activated",
        )


def _asked(place: str, path: str) -> tuple[int | None, dict[str, Any]]:
    """Status and answer of a GET; no status where no one answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{place}{path}", timeout=ANSWER_SECONDS) as response:
            status = int(response.status)
            content = response.read()
    except urllib.error.HTTPError as error:
        status = error.code
        content = b""
    except (OSError, urllib.error.URLError):
        return None, {}
    except Exception as error:  # noqa: BLE001 - whatever else listens there may say anything
        return 0, {"error": repr(error)}
    try:
        answer = json.loads(content)
    except ValueError:
        return status, {}
    return status, answer if isinstance(answer, dict) else {}


LEAST_DIGITS = 12
LOOKS = 5
"""How often a check that found a break is made while each time receipts were added meanwhile.
"""

Check = Callable[[], Iterator[Finding]]
FilesCheck = Callable[[Services, Sequence[Receipt]], Iterator[Finding]]


def verify_home(home: Services, anchor: str | None = None, *, deep: bool = False) -> list[Finding]:
    """Every finding, in the order of the checks; one that cannot run is a finding of its own,
    and the others still run.

    Args:
        home: the home.
        anchor: digest of a head (or at least its first 12 digits) that a person kept elsewhere.
        deep: compute every digest of every file again, not only those of the decisions and of
            production's release.
    """
    chain = Chain()
    found = []
    checks: list[tuple[str, Check]] = [
        ("chain", lambda: _chain(home, chain)),
        ("anchors", lambda: _anchors(home, chain, anchor)),
        ("production", lambda: _production(home, chain)),
        ("server", lambda: check_server(home, chain)),
    ]
    if deep:
        from churn_platform.audit.deep_checks import deep_checks

        # The chain is read by the first check, so the receipts are asked for when a check runs.
        def deferred(check: FilesCheck) -> Check:
            return lambda: check(home, chain.receipts)

        checks += [(name, deferred(deep_check)) for name, deep_check in deep_checks()]
    else:
        checks += [
            ("decisions", lambda: _recorded(home, chain, "decisions", check_decisions)),
            ("releases", lambda: _recorded(home, chain, "releases", check_production_release)),
        ]
    for name, check in checks:
        found += _settled(home, chain, name, check)
    return found


def _settled(home: Services, chain: Chain, name: str, check: Check) -> list[Finding]:
    """What a check finds; a break counts once no receipt was added between the reading of the
    ledger and its end.
    """

    def again() -> Iterator[Finding]:
        yield from (finding for finding in _chain(home, chain) if finding.state == "broken")
        yield from check()

    found = _made(name, check)
    for look in range(LOOKS):
        if all(finding.state in ("holds", "said") for finding in found) or not chain.moved(
            home.ledger
        ):
            return found
        if look < LOOKS - 1:
            found = _made(name, again)
    return [
        *(finding for finding in found if finding.state != "broken"),
        unseen(
            name,
            f"receipts were added at each of {LOOKS} looks, so nothing is of one moment; run"
            " this again",
        ),
    ]


def _made(name: str, check: Check) -> list[Finding]:
    """The findings of a check up to where it could not continue, and why not."""
    found: list[Finding] = []
    try:
        for finding in check():
            found.append(finding)  # noqa: PERF402 - what was found before a fault stays found
    except StoreDown as error:
        found.append(unseen(name, str(error)))
    except Exception as error:  # noqa: BLE001 - what a changed file may lead a library to raise
        found.append(broken(name, sentence_of(error)))
    return found


def summary(home: Services, found: Sequence[Finding]) -> dict[str, Any]:
    """The findings as plain JSON values, with the head that a person may keep elsewhere."""
    faults, missed = (
        [f.detail for f in found if f.state == state] for state in ("broken", "unseen")
    )
    try:
        head = home.ledger.head()
    except ChurnError:
        head = None
    return {
        "verified": not faults and not missed,
        "first_break": faults[0] if faults else None,
        "breaks": faults,
        "not_verified": missed,
        "findings": [finding.as_dict() for finding in found],
        "checked": sum(finding.count for finding in found if finding.state == "holds"),
        "head": None if head is None else {"sequence": head.sequence, "digest": head.digest},
    }


def _chain(home: Services, chain: Chain) -> Iterator[Finding]:
    fault = chain.read(home.ledger)
    if fault is not None:
        yield broken("chain", f"{home.ledger.file}, line {fault.sequence}: {fault.detail}")
        return
    count = len(chain.receipts)
    yield holds("chain", f"{count:,} receipts, each follows the one before", count)


def _anchors(home: Services, chain: Chain, kept: str | None) -> Iterator[Finding]:
    """Each head that was recorded outside must be in the chain: a chain whose tail was cut
    holds in itself.
    """
    if not chain.sound:
        yield said("anchors", "not compared: the chain itself does not hold")
        return
    anchor = chain.anchor
    if anchor is None and len(chain.digests) > 1:
        yield broken(
            "anchors",
            f"{home.ledger.anchor_file} is gone: it holds the head of the ledger after every"
            " receipt",
        )
    if anchor is not None:
        if anchor.sequence <= len(chain.digests):
            at = chain.digests[anchor.sequence - 1]
        else:
            at = None
        if at != anchor.digest:
            yield broken(
                "anchors",
                _cut(
                    f"{home.ledger.anchor_file} says receipt {anchor.sequence} was",
                    anchor.digest,
                    chain,
                ),
            )
        else:
            behind = len(chain.digests) - anchor.sequence
            yield holds(
                "anchors",
                f"anchor.json{f', {behind} behind' if behind else ''}: receipt {anchor.sequence}",
            )
    for where, digest in _recorded_heads(home, kept):
        if digest != GENESIS and not any(known.startswith(digest) for known in chain.digests):
            yield broken("anchors", _cut(f"{where} says", digest, chain))
        else:
            yield holds("anchors", f"{where}: {digest[:LEAST_DIGITS]} is in the chain")


def _recorded_heads(home: Services, kept: str | None) -> Iterator[tuple[str, str]]:
    if kept is not None:
        yield "the anchor you kept", kept
    pointer = home.releases.pointer()
    if pointer is not None:
        yield str(home.releases.pointer_file), pointer.ledger_head
    for version, tags in sorted(answering(home).tags().items()):
        if "ledger_head" in tags:
            yield f"MLflow's version {version}", tags["ledger_head"]


def _cut(who: str, digest: str, chain: Chain) -> str:
    if chain.digests:
        ends = f"ends with receipt {len(chain.digests)}"
    else:
        ends = "is empty"
    return (
        f"{who} written with digest {digest[:LEAST_DIGITS]}, but it is not in the ledger, which"
        f" {ends}: its tail was cut or rewritten"
    )


def _production(home: Services, chain: Chain) -> Iterator[Finding]:
    """Ledger, pointer and alias must name one version; the pointer must be what the last move
    wrote.
    """
    pointer = home.releases.pointer()
    pointed = None if pointer is None else pointer.version
    try:
        aliases = [("MLflow's alias", answering(home).alias(PRODUCTION))]
    except StoreDown as error:
        aliases = []
        yield unseen("production", str(error))
    elsewhere = [("the release pointer", pointed), *aliases]
    if not chain.sound:
        yield said("production", "the ledger is not asked: its chain does not hold")
        if len({version for _, version in elsewhere}) > 1:
            yield broken(
                "production",
                ", ".join(f"{who} names {model_named(version)}" for who, version in elsewhere),
            )
        return
    state = ProductionState.from_receipts(chain.receipts)
    intent = state.open_intent
    if intent is not None:
        announced = f"receipt {intent.sequence} announces it, none says that it is done"
        if home.is_free():
            yield broken(
                "production",
                f"the move to {intent.subject} was cut off ({announced}): `churn run` completes it",
            )
        else:
            yield unseen(
                "production",
                f"the move to {intent.subject} is under way, or was cut off ({announced})",
            )
        return
    recorded = state.production
    if {version for _, version in elsewhere} != {recorded}:
        others = ", ".join(f"{who} {model_named(version)}" for who, version in elsewhere)
        yield broken(
            "production", f"the ledger says {model_named(recorded)} is in production, {others}"
        )
        return
    if pointer is not None:
        faults = list(_pointer_faults(pointer.model_dump(), state.changes[-1]))
        yield from (
            broken("production", f"{home.releases.pointer_file} {fault}") for fault in faults
        )
        if faults:
            return
    agreeing = ["ledger", *(["MLflow's alias"] if aliases else [])]
    yield holds(
        "production",
        f"{', '.join(agreeing)} and release pointer name {model_named(recorded)}",
        len(agreeing) + 1,
    )


def _recorded(home: Services, chain: Chain, name: str, check: FilesCheck) -> Iterator[Finding]:
    if not chain.sound:
        yield said(name, "not compared: the chain itself does not hold")
        return
    yield from check(home, chain.receipts)


def answering(home: Services) -> ModelRegistry:
    """MLflow, asked first whether it answers: its own client keeps trying for minutes.

    Raises:
        StoreDown: it does not.
    """
    if (away := home.registry.away()) is not None:
        raise StoreDown(away)
    return home.registry


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
        yield (
            f"says that {model_named(pointer['previous_version'])} came before, receipt"
            f" {move.sequence} {move.before}"
        )
