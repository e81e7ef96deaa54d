"""Which receipts may be written at all: each is read with the state before it, and raises where it must never be.

A small referee beside the product's own fold of the ledger, and by other code.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from churn_platform_tests.system.trust_model import Asked, Begun, Facts, Trust

Receipt = Mapping[str, Any]

ONCE = {
    "approval", "rejection", "promotion done", "rollback done", "version blocked", "version unblocked",
    "customer forgotten", "drop accepted", "drop corrected", "home restored",
}  # fmt: skip
"""Acts that are counted: each is done exactly once, whatever died meanwhile."""
COMPLETING = {
    "promotion intent", "promotion done", "promotion void", "rollback done", "rollback void", "recovery",
    "version blocked", "version unblocked", "approval lapsed", "release published",
}  # fmt: skip
SETTLING = {"canary ended", "shadow ended"}
LOOP = COMPLETING | {
    "drop accepted", "drop corrected", "drop repeated", "drop refused", "decision", "production kept", "approval requested",
    "promotion proposed", "rollback proposed", "stand-down began", "stand-down ended", "customer forgotten",
    "warnings raised", "warnings cleared", "policy changed",
}  # fmt: skip
MAY = {
    "run": LOOP | SETTLING | {"contract changed"},
    "retrain": LOOP | SETTLING,
    "approve": COMPLETING | {"approval"},
    "reject": COMPLETING | {"rejection"},
    "roll back": COMPLETING | {"rollback intent"},
    "unblock": COMPLETING,
    "repair": COMPLETING | SETTLING | {"customer forgotten"},
    "forget": {"customer forgotten"},
    "restore": {"home restored", "canary ended"},
    "ingest": set(),
    "back up": set(),
    "contract": {"contract changed"},
    "start a canary": COMPLETING | {"canary started"},
    "end a canary": {"canary ended"},
    "start a shadow": COMPLETING | {"shadow started"},
    "end a shadow": {"shadow ended"},
}
"""Which receipts a command may lead to."""


def read_all(receipts: Iterable[Receipt], trust: Trust, command: str, facts: Facts) -> Trust:
    """The state after these receipts of one command."""
    for receipt in receipts:
        trust = read(trust, receipt, command, facts)
    return trust


def read(trust: Trust, receipt: Receipt, command: str, facts: Facts) -> Trust:
    """The state after the next receipt of a command."""
    act = receipt["act"]
    own = act == "version unblocked" and command == "unblock"
    assert act in MAY[command], f"{command} wrote {act!r} on {receipt['subject']}"
    if act == "shadow ended" and command != "end a shadow":
        assert _version(receipt["subject"]) == trust.production, "nobody ended this shadow"
    after = RULES[act](trust, receipt, facts) if act in RULES else trust
    if act == "version unblocked" and not own:
        assert trust.intent is not None, "a version was unblocked and nobody said so"
        assert trust.intent.unblocks == _version(receipt["subject"]), (
            "another version was unblocked"
        )
    return after.counted(act) if act in ONCE else after


def _version(name: str | None) -> int:
    return int((name or "version 0").removeprefix("version "))


def _begun(receipt: Receipt, kind: str) -> Begun:
    evidence = receipt["evidence"]
    before = None if receipt["before"] is None else _version(receipt["before"])
    return Begun(
        kind, _version(receipt["subject"]), before, evidence["decision"], evidence.get("override") is True,
        receipt["digest"], evidence.get("blocks"), evidence.get("unblocks"),
    )  # fmt: skip


def _promotion_intent(trust: Trust, receipt: Receipt, facts: Facts) -> Trust:
    move = _begun(receipt, "promotion")
    assert trust.intent is None, f"a second move began before {trust.intent} was done"
    assert move.before == trust.production != move.version, (
        f"from {move.before}, while {trust.production} serves"
    )
    if "approval" in receipt["evidence"]:
        assert trust.approval is not None, (
            "a promotion names an approval that was used or never given"
        )
        assert receipt["evidence"]["approval"] == trust.approval.digest, (
            "a promotion names another approval"
        )
        assert move.version == trust.approval.version, (
            "another version than the one that was approved"
        )
        return replace(trust, intent=move, approval=None)
    decision = facts.decisions[move.decision]
    assert trust.approval is None, "an approval was passed over"
    assert move.decision in trust.decided, "promoted by a decision without a receipt"
    assert (decision.version, decision.outcome) == (move.version, "promoted"), (
        f"promoted by {decision}"
    )
    assert decision.policy == facts.policy, (
        "promoted by itself under another policy than it was decided by"
    )
    assert decision.production == trust.production, (
        "promoted by a comparison with another production"
    )
    assert move.version not in trust.barred, (
        f"version {move.version} was kept out by people and came up by itself"
    )
    return replace(trust, intent=move)


def _rollback_intent(trust: Trust, receipt: Receipt, _facts: Facts) -> Trust:
    move = _begun(receipt, "rollback")
    assert not trust.begun(), (
        f"a second move began before {trust.intent or trust.approval} was done"
    )
    assert move.before == trust.production != move.version, (
        f"from {move.before}, while {trust.production} serves"
    )
    assert move.version in dict(trust.promoted), (
        "rolled back to a version that never was in production"
    )
    return replace(trust, intent=move)


def _done(trust: Trust, receipt: Receipt, _facts: Facts) -> Trust:
    move = trust.intent
    assert move is not None, "a move is done that nobody announced"
    assert receipt["evidence"]["intent"] == move.digest, (
        "another move is done than the one that was announced"
    )
    if move.kind == "rollback":
        assert move.blocks is None or move.blocks in trust.blocked, (
            "rolled back, and what was left is not blocked"
        )
        assert move.unblocks not in trust.blocked, "rolled back to a version that is still blocked"
    after = trust.moved(move)
    return replace(after, intent=None, counts=trust.counts)


def _void(trust: Trust, receipt: Receipt, facts: Facts) -> Trust:
    assert trust.intent is not None, "a move is void that nobody announced"
    assert trust.settled(facts).production == trust.production, (
        f"given up without need: {receipt['reason']}"
    )
    return replace(trust, intent=None)


def _approval(trust: Trust, receipt: Receipt, facts: Facts) -> Trust:
    version, request = _version(receipt["subject"]), trust.request
    assert not trust.begun(), "approved while another move was cut off"
    assert version not in trust.blocked, f"version {version} is blocked and was approved"
    waits = request is not None and request.version == version
    assert waits or receipt["evidence"]["override"], (
        f"version {version} did not wait and was approved"
    )
    after = replace(trust.wanted(version), approval=_begun(receipt, "promotion"))
    return replace(after, request=None) if waits else after


def _rejection(trust: Trust, receipt: Receipt, _facts: Facts) -> Trust:
    version = _version(receipt["subject"])
    assert trust.request is not None, f"version {version} did not wait and was rejected"
    assert trust.request.version == version, f"version {version} did not wait and was rejected"
    return trust.unwanted()


def _asked(trust: Trust, receipt: Receipt, facts: Facts) -> Trust:
    version, evidence = _version(receipt["subject"]), receipt["evidence"]
    decision = facts.decisions[evidence["decision"]]
    assert (decision.version, decision.outcome) == (version, "pending"), f"asked for by {decision}"
    assert version not in trust.blocked, f"version {version} is blocked and was asked for by itself"
    before = None if receipt["before"] is None else _version(receipt["before"])
    names = ("policy", "decision", "dataset", "until")
    request = Asked(
        version, before, receipt=receipt["digest"], **{name: evidence[name] for name in names}
    )
    assert request.question not in trust.refused, (
        f"version {version} was rejected and is asked for again"
    )
    return replace(trust, request=request)


def _lapsed(trust: Trust, receipt: Receipt, facts: Facts) -> Trust:
    if "request" not in receipt["evidence"]:  # an approval that was cut off
        assert trust.settled(facts).production == trust.production, (
            f"given up without need: {receipt['reason']}"
        )
        return replace(trust, approval=None)
    assert trust.request is not None, "a request lapsed that nobody made"
    assert receipt["evidence"]["request"] == trust.request.receipt, "another request lapsed"
    return replace(trust, request=None)


def _blocked(trust: Trust, receipt: Receipt, _facts: Facts) -> Trust:
    version = _version(receipt["subject"])
    assert trust.intent is not None, "a version was blocked without a rollback"
    assert trust.intent.blocks == version, "another version was blocked"
    assert version not in trust.blocked, f"version {version} was blocked twice"
    return replace(trust, blocked=trust.blocked | {version})


def _unblocked(trust: Trust, receipt: Receipt, _facts: Facts) -> Trust:
    version = _version(receipt["subject"])
    assert version in trust.blocked, f"version {version} was not blocked and was unblocked"
    return replace(trust, blocked=trust.blocked - {version})


def _decision(trust: Trust, receipt: Receipt, facts: Facts) -> Trust:
    digest = receipt["evidence"]["decision"]
    assert digest in facts.decisions, "a receipt of a decision that is not in the home"
    promotions = [version for version, _ in trust.promoted].count(_version(receipt["subject"]))
    assert trust.decided.count(digest) <= promotions, (
        "one decision, two receipts, and no promotion between them"
    )
    return replace(trust, decided=(*trust.decided, digest))


def _accepted(trust: Trust, receipt: Receipt, _facts: Facts) -> Trust:
    month = receipt["subject"]
    known = trust.months.get(month, 0)
    assert (known > 0) == (receipt["act"] == "drop corrected"), (
        f"{receipt['act']} after {known} deliveries of {month}"
    )
    return replace(trust, months={**trust.months, month: known + 1})


def _canary_started(trust: Trust, receipt: Receipt, _facts: Facts) -> Trust:
    version = _version(receipt["subject"])
    assert trust.canary is None, "a second canary began"
    assert version != trust.production, f"version {version} serves and became a canary"
    assert version not in trust.barred, f"version {version} was kept out and became a canary"
    return replace(trust, canary=(version, trust.production))


def _canary_ended(trust: Trust, receipt: Receipt, _facts: Facts) -> Trust:
    assert trust.canary is not None, "a canary ended that did not run"
    version, _ = trust.canary
    assert version == _version(receipt["subject"]), "another canary ended"
    outcome = receipt["evidence"]["outcome"]
    if outcome == "promoted":
        assert trust.production == version
    elif outcome == "production changed":
        assert trust.production not in trust.canary
    elif outcome == "ended":
        assert receipt["actor"] == "ann" or version in trust.barred
    else:
        assert outcome == "home restored", f"a canary ended: {outcome}"
    return replace(trust, canary=None)


def _shadow_started(trust: Trust, receipt: Receipt, _facts: Facts) -> Trust:
    assert receipt["subject"] not in trust.shadows, "a shadow began twice"
    assert len(trust.shadows) < 3, "a fourth shadow began"
    return replace(trust, shadows=trust.shadows | {receipt["subject"]})


def _shadow_ended(trust: Trust, receipt: Receipt, _facts: Facts) -> Trust:
    assert receipt["subject"] in trust.shadows, "a shadow ended that did not run"
    return replace(trust, shadows=trust.shadows - {receipt["subject"]})


def _contract(trust: Trust, receipt: Receipt, _facts: Facts) -> Trust:
    assert receipt["before"] == trust.contract != receipt["after"], (
        "a contract follows another one than the one that was recorded last"
    )
    recorded = json.dumps(
        receipt["evidence"]["contract"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert hashlib.sha256(recorded.encode()).hexdigest() == receipt["after"], (
        "a receipt with another contract than its digest names"
    )
    return replace(trust, contract=receipt["after"])


def _repeated(trust: Trust, receipt: Receipt, _facts: Facts) -> Trust:
    assert receipt["subject"] in trust.months, f"{receipt['subject']} came again, and never before"
    return trust


RULES: Mapping[str, Callable[[Trust, Receipt, Facts], Trust]] = {
    "contract changed": _contract,
    "promotion intent": _promotion_intent,
    "rollback intent": _rollback_intent,
    "promotion done": _done,
    "rollback done": _done,
    "promotion void": _void,
    "rollback void": _void,
    "approval": _approval,
    "rejection": _rejection,
    "approval requested": _asked,
    "approval lapsed": _lapsed,
    "version blocked": _blocked,
    "version unblocked": _unblocked,
    "decision": _decision,
    "drop accepted": _accepted,
    "drop corrected": _accepted,
    "drop repeated": _repeated,
    "canary started": _canary_started,
    "canary ended": _canary_ended,
    "shadow started": _shadow_started,
    "shadow ended": _shadow_ended,
}
