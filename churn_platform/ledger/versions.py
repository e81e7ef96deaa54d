"""The standing of versions: blocked, rejected, overridden by people, proposed by time."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from churn_platform.base.text import ended
from churn_platform.ledger.acts import Bound, version_of
from churn_platform.ledger.approvals import Request, Signature, moment, requests
from churn_platform.ledger.receipts import Act, Receipt


def barred(receipts: Iterable[Receipt]) -> dict[int, str]:
    """The versions that are never promoted by themselves, with the sentence why: blocked or
    rejected ones.
    """
    receipts = list(receipts)
    said = {
        version: (
            f"Version {version} was rejected by {who.by} at {moment(who.at)}: {ended(who.reason)}"
        )
        for version, who in rejected(receipts).items()
    }
    return said | {
        version: blocked_sentence(version, who) for version, who in blocked(receipts).items()
    }


def blocked_sentence(version: int, who: Signature) -> str:
    """Why a version is blocked, and the way out."""
    return (
        f"Version {version} is blocked since {who.by} rolled it back at {moment(who.at)}"
        f" ({who.reason}): `churn unblock {version}` allows it again."
    )


def blocked(receipts: Iterable[Receipt]) -> dict[int, Signature]:
    """The versions that were rolled back and not unblocked since, with who blocked them."""
    return _standing(receipts, "version blocked", "version unblocked")


def rejected(receipts: Iterable[Receipt]) -> dict[int, Signature]:
    """The versions whose last answer was a rejection, with who gave it."""
    return _standing(receipts, "rejection", "approval")


def standing_request(receipts: Iterable[Receipt], present: Bound) -> Request | None:
    """The request for the same candidate on the same evidence that waits or was rejected; None
    when it may be made.

    Another trigger makes another decision of it, but no other question. What lapsed may be
    asked again, for no one said no; and what was approved since, for an approval is used once:
    the version has left production again.
    """
    receipts = list(receipts)
    asked = [
        r for r in requests(receipts) if replace(r.bound, decision=present.decision) == present
    ]
    if not asked or asked[-1].state == "pending":
        if asked:
            return asked[-1]
        return None
    if asked[-1].state == "rejected" and present.version in rejected(receipts):
        return asked[-1]
    return None


def overrides(receipts: Iterable[Receipt]) -> dict[int, Signature]:
    """The versions that were promoted against the decision, with who did it; shown permanently."""
    found: dict[int, Signature] = {}
    for receipt in receipts:
        version = version_of(receipt.subject)
        if (
            version is not None
            and receipt.act == "approval"
            and receipt.evidence.get("override") is True
        ):
            found[version] = Signature.of(receipt)
    return found


def word(receipts: Iterable[Receipt], decision: str) -> dict[str, Any]:
    """What people said of a decision, as plain JSON: `approval` (its request) and `overridden`,
    each None or a record.

    Args:
        receipts: the ledger.
        decision: the decision's digest.
    """
    receipts = list(receipts)
    asked = [request for request in requests(receipts) if request.bound.decision == decision]
    against = [
        r for r in receipts if r.act == "approval" and r.evidence.get("decision") == decision
    ]
    forced = [Signature.of(r) for r in against if r.evidence.get("override") is True]
    return {
        "approval": asked[-1].as_dict() if asked else None,
        "overridden": asdict(forced[-1]) if forced else None,
    }


def standing_proposal(
    look: Mapping[str, Any] | None, production: int | None, receipts: Iterable[Receipt]
) -> dict[str, Any] | None:
    """The newest look's proposal while it stands, with the command that carries it out; None if
    absent.

    It lapses when production changes or the version is blocked or rejected, and with the next
    look.

    Args:
        look: the newest performance record; None before the first.
        production: the version in production; None before the first.
        receipts: the ledger.
    """
    proposal: dict[str, Any] | None = (look or {}).get("verdict", {}).get("proposal")
    if (
        proposal is None
        or production != proposal["production"]
        or proposal["version"] in barred(receipts)
    ):
        return None
    version = proposal["version"]
    rollback = proposal["act"] == "rollback proposed"
    if rollback:
        command = f"churn rollback --to {version}"
    else:
        command = f"churn approve {version} --override"
    return {**proposal, "command": f"{command} --by NAME --reason TEXT"}


def _standing(receipts: Iterable[Receipt], given: Act, taken_back: Act) -> dict[int, Signature]:
    """The versions on which the one act was not followed by the other, with who did it last."""
    found: dict[int, Signature] = {}
    for receipt in receipts:
        version = version_of(receipt.subject)
        if version is not None and receipt.act == given:
            found[version] = Signature.of(receipt)
        elif version is not None and receipt.act == taken_back:
            found.pop(version, None)
    return found
