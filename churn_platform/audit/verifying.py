"""Verifies that the ledger is complete, and that ledger, MLflow, release pointer and a running
server agree.
"""

import datetime as dt
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from churn_platform.audit.checks import (
    Chain,
    CheckResult,
    answering,
    broken,
    check_decisions,
    check_production_release,
    check_releases,
    holds,
    said,
    unseen,
)
from churn_platform.base.errors import ChurnError, StoreDown
from churn_platform.base.home import Home
from churn_platform.base.library_errors import sentence_of
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Records
from churn_platform.ledger.receipts import GENESIS, Receipt, model_named, named
from churn_platform.ledger.state import ProductionState
from churn_platform.ledger.store import LedgerStore
from churn_platform.training.registry import PRODUCTION, ModelRegistry
from churn_platform.training.releases import Releases

ANSWER_SECONDS = 3.0
SETTLED = dt.timedelta(seconds=1)
"""How long after its activation a version may take to be everywhere."""
LEAST_DIGITS = 12
LOOKS = 5
"""How often a check that found a break is made while each time receipts were added meanwhile.
"""

Check = Callable[[], Iterator[CheckResult]]


class Verification:
    """Verifies one home."""

    def __init__(
        self,
        home: Home,
        ledger: LedgerStore,
        releases: Releases,
        registry: ModelRegistry,
        records: Records,
        lake: Lake,
    ) -> None:
        self._home = home
        self._ledger = ledger
        self._releases = releases
        self._registry = registry
        self._records = records
        self._lake = lake

    def verify(self, anchor: str | None = None, *, deep: bool = False) -> list[CheckResult]:
        """Every result, in the order of the checks; one that cannot run is a result of its own,
        and the others still run.

        Args:
            anchor: digest of a head (or at least its first 12 digits) that a person kept
                elsewhere.
            deep: compute every digest of every file again, not only those of the decisions and
                of production's release.
        """
        chain = Chain()
        checks: dict[str, Check] = {
            "chain": lambda: self._chain(chain),
            "anchors": lambda: self._anchors(chain, anchor),
            "production": lambda: self._production(chain),
            "server": lambda: self._server(chain),
        }
        checks |= self._deep_checks(chain) if deep else self._file_checks(chain)
        found: list[CheckResult] = []
        for name, check in checks.items():
            found += self._settled(chain, name, check)
        return found

    def summary(self, found: Sequence[CheckResult]) -> dict[str, Any]:
        """The results as plain JSON values, with the head that a person may keep elsewhere."""
        faults = [result.detail for result in found if result.state == "broken"]
        missed = [result.detail for result in found if result.state == "unseen"]
        try:
            head = self._ledger.head()
        except ChurnError:
            head = None
        return {
            "verified": not faults and not missed,
            "first_break": faults[0] if faults else None,
            "breaks": faults,
            "not_verified": missed,
            "findings": [result.as_dict() for result in found],
            "checked": sum(result.count for result in found if result.state == "holds"),
            "head": None if head is None else {"sequence": head.sequence, "digest": head.digest},
        }

    def _file_checks(self, chain: Chain) -> dict[str, Check]:
        """The checks of the files that every verification reads; they are small."""

        def decisions() -> Iterator[CheckResult]:
            return check_decisions(self._home, self._records, chain.receipts)

        def releases() -> Iterator[CheckResult]:
            return check_production_release(self._releases, chain.receipts)

        return {
            "decisions": lambda: _if_sound(chain, "decisions", decisions),
            "releases": lambda: _if_sound(chain, "releases", releases),
        }

    def _deep_checks(self, chain: Chain) -> dict[str, Check]:
        """The checks of all files, in the order in which their breaks are reported: what decides
        first, what it was made from last.
        """
        from churn_platform.audit.deep_checks import check_lake, check_records, check_registry

        return {
            "decisions": lambda: check_decisions(self._home, self._records, chain.receipts),
            "releases": lambda: check_releases(self._releases, chain.receipts),
            "MLflow": lambda: check_registry(self._registry, self._releases, chain.receipts),
            "lake": lambda: check_lake(self._lake, self._home.folder, chain.receipts),
            "records": lambda: check_records(self._records, self._home.reports, chain.receipts),
        }

    def _settled(self, chain: Chain, name: str, check: Check) -> list[CheckResult]:
        """What a check finds; a break counts once no receipt was added between the reading of
        the ledger and its end.
        """

        def again() -> Iterator[CheckResult]:
            yield from (result for result in self._chain(chain) if result.state == "broken")
            yield from check()

        found = _made(name, check)
        for look in range(LOOKS):
            held = all(result.state in ("holds", "said") for result in found)
            if held or not chain.moved(self._ledger):
                return found
            if look < LOOKS - 1:
                found = _made(name, again)
        return [
            *(result for result in found if result.state != "broken"),
            unseen(
                name,
                f"receipts were added at each of {LOOKS} looks, so nothing is of one moment; run"
                " this again",
            ),
        ]

    def _chain(self, chain: Chain) -> Iterator[CheckResult]:
        fault = chain.read(self._ledger)
        if fault is not None:
            yield broken("chain", f"{self._ledger.file}, line {fault.sequence}: {fault.detail}")
            return
        count = len(chain.receipts)
        yield holds("chain", f"{count:,} receipts, each follows the one before", count)

    def _anchors(self, chain: Chain, kept: str | None) -> Iterator[CheckResult]:
        """Each head that was recorded outside must be in the chain: a chain whose tail was cut
        is still consistent in itself.
        """
        if not chain.sound:
            yield said("anchors", "not compared: the chain itself does not hold")
            return
        yield from self._anchor_file(chain)
        for where, digest in self._recorded_heads(kept):
            if digest != GENESIS and not any(known.startswith(digest) for known in chain.digests):
                yield broken("anchors", _cut(f"{where} says", digest, chain))
            else:
                yield holds("anchors", f"{where}: {digest[:LEAST_DIGITS]} is in the chain")

    def _anchor_file(self, chain: Chain) -> Iterator[CheckResult]:
        file = self._ledger.anchor_file
        anchor = chain.anchor
        if anchor is None:
            if len(chain.digests) > 1:
                yield broken(
                    "anchors",
                    f"{file} is gone: it holds the head of the ledger after every receipt",
                )
            return
        behind = len(chain.digests) - anchor.sequence
        if behind < 0 or chain.digests[anchor.sequence - 1] != anchor.digest:
            who = f"{file} says receipt {anchor.sequence} was"
            yield broken("anchors", _cut(who, anchor.digest, chain))
        else:
            late = f", {behind} behind" if behind else ""
            yield holds("anchors", f"anchor.json{late}: receipt {anchor.sequence}")

    def _recorded_heads(self, kept: str | None) -> Iterator[tuple[str, str]]:
        if kept is not None:
            yield "the anchor you kept", kept
        pointer = self._releases.pointer()
        if pointer is not None:
            yield str(self._releases.pointer_file), pointer.ledger_head
        for version, tags in sorted(answering(self._registry).tags().items()):
            if "ledger_head" in tags:
                yield f"MLflow's version {version}", tags["ledger_head"]

    def _production(self, chain: Chain) -> Iterator[CheckResult]:
        """The ledger and MLflow's alias must name the version of the pointer, which must be what
        the last change wrote.
        """
        pointer = self._releases.pointer()
        named_by = {"the release pointer": None if pointer is None else pointer.version}
        try:
            named_by["MLflow's alias"] = answering(self._registry).alias(PRODUCTION)
        except StoreDown as error:
            yield unseen("production", str(error))
        if not chain.sound:
            yield said("production", "the ledger is not asked: its chain does not hold")
            if len(set(named_by.values())) > 1:
                names = ", ".join(f"{who} names {model_named(v)}" for who, v in named_by.items())
                yield broken("production", names)
            return
        state = ProductionState.from_receipts(chain.receipts)
        if state.open_intent is not None:
            yield self._cut_off(state.open_intent)
            return
        recorded = state.production
        if set(named_by.values()) != {recorded}:
            others = ", ".join(f"{who} {model_named(v)}" for who, v in named_by.items())
            yield broken(
                "production", f"the ledger says {model_named(recorded)} is in production, {others}"
            )
            return
        if pointer is not None:
            faults = list(_pointer_faults(pointer.model_dump(), state.changes[-1]))
            for fault in faults:
                yield broken("production", f"{self._releases.pointer_file} {fault}")
            if faults:
                return
        agreeing = ["ledger"]
        if "MLflow's alias" in named_by:
            agreeing.append("MLflow's alias")
        yield holds(
            "production",
            f"{', '.join(agreeing)} and release pointer name {model_named(recorded)}",
            len(agreeing) + 1,
        )

    def _cut_off(self, intent: Receipt) -> CheckResult:
        announced = f"receipt {intent.sequence} announces it, none says that it is done"
        move = f"the move to {intent.subject}"
        if self._home.is_free():
            return broken(
                "production", f"{move} was cut off ({announced}): `churn run` completes it"
            )
        return unseen("production", f"{move} is under way, or was cut off ({announced})")

    def _server(self, chain: Chain) -> Iterator[CheckResult]:
        """Ask the API at the address of the settings. No answer is not a fault."""
        settings = self._home.settings
        place = settings.api_address or f"127.0.0.1:{settings.api_port}"
        pointer = self._releases.pointer()
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
        pointed = None if pointer is None else pointer.version
        answers = f"{place} answers with version {version}"
        if version == pointed:
            yield holds("server", answers)
        elif pointer is None or self._is_settled(pointer.activate_at):
            yield broken("server", f"{answers}, in production is {model_named(pointed)}")
        else:
            yield said("server", f"{answers} until version {pointed} is activated")

    def _is_settled(self, activate_at: str) -> bool:
        return self._home.now() >= dt.datetime.fromisoformat(activate_at) + SETTLED


def _asked(place: str, path: str) -> tuple[int | None, dict[str, Any]]:
    """Status and answer of a GET; no status if nothing answers."""
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


def _if_sound(chain: Chain, name: str, check: Check) -> Iterator[CheckResult]:
    """The check, unless the chain of receipts it compares with is broken."""
    if chain.sound:
        yield from check()
    else:
        yield said(name, "not compared: the chain itself does not hold")


def _made(name: str, check: Check) -> list[CheckResult]:
    """The results of a check up to where it could not continue, and why not."""
    found: list[CheckResult] = []
    try:
        for result in check():
            found.append(result)  # noqa: PERF402 - what was found before a fault stays found
    except StoreDown as error:
        found.append(unseen(name, str(error)))
    except Exception as error:  # noqa: BLE001 - what a changed file may lead a library to raise
        found.append(broken(name, sentence_of(error)))
    return found


def _cut(who: str, digest: str, chain: Chain) -> str:
    if chain.digests:
        ends = f"ends with receipt {len(chain.digests)}"
    else:
        ends = "is empty"
    return (
        f"{who} written with digest {digest[:LEAST_DIGITS]}, but it is not in the ledger, which"
        f" {ends}: its tail was cut or rewritten"
    )


def _pointer_faults(pointer: Mapping[str, Any], change: Receipt) -> Iterator[str]:
    expected = {
        "activate_at": change.evidence.get("activate_at"),
        "ledger_head": change.evidence.get("intent"),
        "as_of": change.evidence.get("as_of"),
    }
    for name, value in expected.items():
        if value is not None and pointer[name] != value:
            yield f"has {name} {pointer[name]}, receipt {change.sequence} says {value}"
    before = pointer["previous_version"]
    if named(before) != change.before:
        yield (
            f"says that {model_named(before)} came before, receipt {change.sequence}"
            f" {change.before}"
        )
