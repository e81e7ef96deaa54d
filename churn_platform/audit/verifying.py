"""Verifies that the ledger is complete and agrees with MLflow, the release pointer and a running
server.
"""

import datetime as dt
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from churn_platform.audit.checks import (
    Chain,
    CheckResult,
    answering,
    broken,
    check_decisions,
    check_records,
    check_registry,
    check_releases,
    holds,
    said,
    unseen,
)
from churn_platform.audit.contact_plans import CHECK as CONTACT_PLANS
from churn_platform.audit.contact_plans import PlanChecks
from churn_platform.audit.contracts import check_contracts
from churn_platform.audit.event_tables import EVENT_TABLES, check_event_tables
from churn_platform.audit.experiments import (
    EXPERIMENTS,
    check_experiments,
    check_shadow_log,
)
from churn_platform.audit.lake_checks import LAKE, check_lake, check_place
from churn_platform.base.errors import ChurnError, StoreDown
from churn_platform.base.home import Home
from churn_platform.base.library_errors import sentence_of
from churn_platform.base.stored import Stored
from churn_platform.experiments.files import RUNNING_FILE
from churn_platform.experiments.shadow_monitor import ShadowMonitor
from churn_platform.lake.contract_history import ContractHistory
from churn_platform.lake.lake import Lake
from churn_platform.lake.records import Records
from churn_platform.ledger.receipts import GENESIS, Anchor, Receipt, model_named, named
from churn_platform.ledger.state import ProductionState
from churn_platform.ledger.store import LedgerStore
from churn_platform.scoring.contact_planning import ContactPlanning
from churn_platform.training.registry import PRODUCTION, ModelRegistry
from churn_platform.training.release import Pointer
from churn_platform.training.releases import Releases

ANSWER_SECONDS = 3.0
SETTLED = dt.timedelta(seconds=1)
"""How long after its activation a version may take to be everywhere."""
LEAST_DIGITS = 12
LOOKS = 5
"""How often a check with a break is repeated while receipts are added."""

Check = Callable[[], Iterator[CheckResult]]


class Verified(Stored):
    """The results of a verification, with the head of the ledger, which a person may keep."""

    verified: bool
    first_break: str | None
    breaks: list[str]
    not_verified: list[str]
    findings: list[CheckResult]
    checked: int
    head: Anchor | None


@dataclass(frozen=True)
class ServerAnswer:
    """What answers at the API's address: HTTP status, version, and the receipt it names.

    The status is None if nothing answers.
    """

    status: int | None = None
    version: int | None = None
    receipt: str | None = None


@dataclass(frozen=True)
class Verification:
    """Verifies one home."""

    home: Home
    ledger: LedgerStore
    releases: Releases
    registry: ModelRegistry
    records: Records
    lake: Lake
    contracts: ContractHistory
    contact_planning: Callable[[], ContactPlanning]
    shadow_monitor: Callable[[], ShadowMonitor]
    monthly_reports: Callable[[Sequence[Receipt], bool], Iterator[CheckResult]]
    """The results of the monthly reports against these receipts; with `True` those of `deep`."""

    def verify(self, anchor: str | None = None, *, deep: bool = False) -> list[CheckResult]:
        """Every result, in the order of the checks; one that cannot run is a result of its own,
        and the others still run.

        Args:
            anchor: digest of a head (or at least its first 12 digits) that a person kept
                elsewhere.
            deep: compute every digest of every file again, not only those of decisions and
                releases.
        """
        chain = Chain()

        def decisions() -> Iterator[CheckResult]:
            return check_decisions(self.home, self.records, chain.receipts)

        def releases() -> Iterator[CheckResult]:
            return check_releases(self.releases, chain.receipts)

        def contact_plans() -> Iterator[CheckResult]:
            if not chain.valid:
                if self.records.months("contact_plan"):
                    yield said(CONTACT_PLANS, "not compared: the chain itself does not hold")
                return
            checks = PlanChecks(self.contact_planning(), chain.receipts, self.home.is_free)
            yield from checks.registered()
            if deep:
                yield from checks.drawn_again()

        def experiments() -> Iterator[CheckResult]:
            if chain.valid:
                yield from self._experiments(chain, deep=deep)

        checks: dict[str, Check] = {
            "chain": lambda: self._chain(chain),
            "anchors": lambda: self._anchors(chain, anchor),
            "production": lambda: self._production(chain),
            "server": lambda: self._server(chain),
        }
        if deep:  # what decides first, what it was made from last
            checks |= {
                "decisions": decisions,
                "releases": releases,
                "MLflow": lambda: check_registry(self.registry, self.releases, chain.receipts),
                "contract": lambda: check_contracts(
                    self.contracts, self.registry, self.releases, chain.receipts
                ),
                LAKE: lambda: check_lake(self.lake, self.home.folder, chain.receipts),
                EVENT_TABLES: lambda: check_event_tables(self.lake, chain.receipts),
                "records": lambda: check_records(self.records, self.home.reports, chain.receipts),
            }
        else:
            checks |= {
                "decisions": lambda: _if_valid(chain, "decisions", decisions),
                "releases": lambda: _if_valid(chain, "releases", releases),
                LAKE: lambda: check_place(self.lake),
            }
        checks[CONTACT_PLANS] = contact_plans
        checks[EXPERIMENTS] = experiments
        checks["monthly reports"] = lambda: self._reports(chain, deep=deep)
        return [one for name, check in checks.items() for one in self._settled(chain, name, check)]

    def _experiments(self, chain: Chain, *, deep: bool) -> Iterator[CheckResult]:
        yield from check_experiments(self.releases, chain.receipts)
        if deep and (self.releases.folder / RUNNING_FILE).exists():
            yield from check_shadow_log(self.shadow_monitor().replays())

    def _reports(self, chain: Chain, *, deep: bool) -> Iterator[CheckResult]:
        if chain.valid:
            yield from self.monthly_reports(chain.receipts, deep)

    def summary(self, found: Sequence[CheckResult]) -> Verified:
        """The results of a verification in one answer."""
        faults = [result.detail for result in found if result.state == "broken"]
        missed = [result.detail for result in found if result.state == "unseen"]
        try:
            head = self.ledger.head()
        except ChurnError:
            head = None
        return Verified(
            verified=not faults and not missed,
            first_break=next(iter(faults), None),
            breaks=faults,
            not_verified=missed,
            findings=list(found),
            checked=sum(result.count for result in found if result.state == "holds"),
            head=head and Anchor(sequence=head.sequence, digest=head.digest),
        )

    def _settled(self, chain: Chain, name: str, check: Check) -> list[CheckResult]:
        """The results of a check. A break counts only if no receipt was added meanwhile."""

        def again() -> Iterator[CheckResult]:
            yield from (result for result in self._chain(chain) if result.state == "broken")
            yield from check()

        found = _made(name, check)
        for look in range(LOOKS):
            held = all(result.state in ("holds", "said") for result in found)
            if held or not chain.moved(self.ledger):
                return found
            if look < LOOKS - 1:
                found = _made(name, again)
        return [
            *(result for result in found if result.state != "broken"),
            unseen(
                name,
                f"receipts were added during each of {LOOKS} attempts; run this again",
            ),
        ]

    def _chain(self, chain: Chain) -> Iterator[CheckResult]:
        fault = chain.read(self.ledger)
        if fault is not None:
            yield broken("chain", f"{self.ledger.file}, line {fault.sequence}: {fault.detail}")
            return
        count = len(chain.receipts)
        yield holds("chain", f"{count:,} receipts, each follows the one before", count)

    def _anchors(self, chain: Chain, kept: str | None) -> Iterator[CheckResult]:
        """Each head that was recorded elsewhere must be in the chain: a chain whose tail was cut
        off is still consistent.
        """
        if not chain.valid:
            yield said("anchors", "not compared: the chain itself does not hold")
            return
        yield from self._anchor_file(chain)
        for where, digest in self._recorded_heads(kept):
            if digest != GENESIS and not any(known.startswith(digest) for known in chain.digests):
                yield broken("anchors", _cut(where, digest, chain))
            else:
                yield holds("anchors", f"{where}: {digest[:LEAST_DIGITS]} is in the chain")

    def _anchor_file(self, chain: Chain) -> Iterator[CheckResult]:
        file = self.ledger.anchor_file
        anchor = chain.anchor
        if anchor is None:
            if len(chain.receipts) > 1:
                yield broken(
                    "anchors",
                    f"{file} is gone: it holds the head of the ledger after every receipt",
                )
            return
        behind = len(chain.receipts) - anchor.sequence
        if behind < 0 or chain.receipts[anchor.sequence - 1].digest != anchor.digest:
            yield broken(
                "anchors", _cut(f"{file}, receipt {anchor.sequence}", anchor.digest, chain)
            )
        else:
            late = f", {behind} behind" if behind else ""
            yield holds("anchors", f"anchor.json{late}: receipt {anchor.sequence}")

    def _recorded_heads(self, kept: str | None) -> Iterator[tuple[str, str]]:
        if kept is not None:
            yield "the anchor you kept", kept
        pointer = self.releases.pointer()
        if pointer is not None:
            yield str(self.releases.pointer_file), pointer.ledger_head
        for version, tags in sorted(answering(self.registry).tags().items()):
            if "ledger_head" in tags:
                yield f"MLflow's version {version}", tags["ledger_head"]

    def _production(self, chain: Chain) -> Iterator[CheckResult]:
        """The ledger and MLflow's alias must name the version of the pointer, which must be what
        the last change wrote.
        """
        pointer = self.releases.pointer()
        named_by = {"the release pointer": None if pointer is None else pointer.version}
        try:
            named_by["MLflow's alias"] = answering(self.registry).alias(PRODUCTION)
        except StoreDown as error:
            yield unseen("production", str(error))
        others = ", ".join(f"{who} names {model_named(v)}" for who, v in named_by.items())
        if not chain.valid:
            yield said("production", "not compared with the ledger: its chain does not hold")
            if len(set(named_by.values())) > 1:
                yield broken("production", others)
            return
        state = ProductionState.from_receipts(chain.receipts)
        if state.open_intent is not None:
            yield self._cut_off(state.open_intent)
            return
        recorded = state.production
        if set(named_by.values()) != {recorded}:
            yield broken(
                "production",
                f"the ledger records {model_named(recorded)} in production, {others}",
            )
            return
        if pointer is not None:
            faults = list(_pointer_faults(pointer, state.changes[-1]))
            for fault in faults:
                yield broken("production", f"{self.releases.pointer_file} {fault}")
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
        announced = f"receipt {intent.sequence} announces it, no receipt completes it"
        move = f"the move to {intent.subject}"
        if self.home.is_free():
            return broken(
                "production", f"{move} was cut off ({announced}): `churn run` completes it"
            )
        return unseen("production", f"{move} is under way, or was cut off ({announced})")

    def _server(self, chain: Chain) -> Iterator[CheckResult]:
        """Ask the API at the address of the settings. No answer is not a fault."""
        settings = self.home.settings
        place = settings.api_address or f"127.0.0.1:{settings.api_port}"
        pointer = self.releases.pointer()
        answer = _ask(place, "/model")
        if answer.status in (401, 403):
            answer = _ask(place, "/readyz")
        if answer.status is None:
            yield said("server", f"no server answers on {place}")
            return
        if answer.version is None:
            yield said("server", f"{place} answers with status {answer.status} and no model")
            return
        if answer.receipt is not None and chain.valid and answer.receipt not in chain.digests:
            yield said("server", f"what answers on {place} serves another home")
            return
        pointed = None if pointer is None else pointer.version
        answers = f"{place} answers with version {answer.version}"
        if answer.version == pointed:
            yield holds("server", answers)
        elif pointer is None or self._is_settled(pointer.activate_at):
            yield broken("server", f"{answers}, in production is {model_named(pointed)}")
        else:
            yield said("server", f"{answers} until version {pointed} is activated")

    def _is_settled(self, activate_at: str) -> bool:
        return self.home.now() >= dt.datetime.fromisoformat(activate_at) + SETTLED


def _ask(place: str, path: str) -> ServerAnswer:
    """The answer to a GET."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{place}{path}", timeout=ANSWER_SECONDS) as response:
            status = int(response.status)
            content = response.read()
    except urllib.error.HTTPError as error:
        return ServerAnswer(error.code)
    except OSError:
        return ServerAnswer()
    except Exception:  # noqa: BLE001 - another kind of server may answer anything
        return ServerAnswer(0)
    try:
        found = json.loads(content)
        version = found["version"]
        receipt = (found.get("receipt") or {}).get("digest")
    except (ValueError, TypeError, LookupError, AttributeError):
        return ServerAnswer(status)
    return ServerAnswer(status, version if isinstance(version, int) else None, receipt)


def _if_valid(chain: Chain, name: str, check: Check) -> Iterator[CheckResult]:
    """The check, if the chain of receipts that it compares with is valid."""
    if chain.valid:
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
    if chain.receipts:
        ends = f"ends with receipt {len(chain.receipts)}"
    else:
        ends = "is empty"
    return (
        f"{who} was written with digest {digest[:LEAST_DIGITS]}, but it is not in the ledger,"
        f" which {ends}: its tail was cut or rewritten"
    )


def _pointer_faults(pointer: Pointer, change: Receipt) -> Iterator[str]:
    expected = {
        "activate_at": change.evidence.get("activate_at"),
        "ledger_head": change.evidence.get("intent"),
        "as_of": change.evidence.get("as_of"),
    }
    for name, value in expected.items():
        found = getattr(pointer, name)
        if value is not None and found != value:
            yield f"has {name} {found}, receipt {change.sequence} has {value}"
    if named(pointer.previous_version) != change.before:
        yield (
            f"names {model_named(pointer.previous_version)} as the one before, receipt"
            f" {change.sequence} {change.before}"
        )
