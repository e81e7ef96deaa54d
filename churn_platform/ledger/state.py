"""The state of production: the only fold over the receipts."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from churn_platform.base.text import ended
from churn_platform.ledger.acts import version_of
from churn_platform.ledger.approvals import ANSWERS, Request, Signature, moment
from churn_platform.ledger.receipts import Receipt
from churn_platform.ledger.version_acts import (
    ApprovalRequested,
    Bound,
    Intent,
    PromotionDone,
    PromotionIntent,
    RollbackDone,
    RollbackIntent,
)

DONE = ("promotion done", "rollback done")
OUTCOMES = ("promotion done", "production kept", "approval requested")
"""What ends the loop's work on a decision; after `approval requested` a person answers."""


StandDown = Literal["stand-down began", "stand-down ended"]


def intent_of(receipt: Receipt) -> Intent:
    """The production change that an intent announces."""
    if receipt.act == "promotion intent":
        return PromotionIntent.of(receipt)
    return RollbackIntent.of(receipt)


def done_of(receipt: Receipt) -> PromotionDone | RollbackDone:
    """The production change that a receipt records as done."""
    if receipt.act == "promotion done":
        return PromotionDone.of(receipt)
    return RollbackDone.of(receipt)


@dataclass(frozen=True)
class InProduction:
    """What was in production at an instant."""

    version: int
    since: datetime
    """When it was activated."""
    before: int | None
    """The version that it replaced; None for the first."""
    receipt: Receipt
    """The promotion or rollback that put it there."""
    until: datetime | None
    """When the next one was activated; None while none was."""


@dataclass
class ProductionState:
    """What the receipts say about production, its versions and their approvals."""

    changes: list[Receipt] = field(default_factory=list)
    """Every promotion and rollback that was done, oldest first."""
    promotions: dict[int, Receipt] = field(default_factory=dict)
    """The last promotion of each version that was ever in production."""
    blocked: dict[int, Signature] = field(default_factory=dict)
    """Versions that were rolled back and not unblocked since."""
    rejected: dict[int, Signature] = field(default_factory=dict)
    """Versions whose last answer was a rejection."""
    overridden: dict[int, Signature] = field(default_factory=dict)
    """Versions that a person promoted against the decision."""
    requests: list[Request] = field(default_factory=list)
    """Every request for an approval, oldest first; at most the last one is pending."""
    approvals: list[Receipt] = field(default_factory=list)
    """Every approval, oldest first."""
    decisions: list[Receipt] = field(default_factory=list)
    """Every decision, oldest first."""
    settled: dict[str, Receipt] = field(default_factory=dict)
    """Digest of a decision -> what it came to since it was last made, one of `OUTCOMES`."""
    carried_out: dict[str, Receipt] = field(default_factory=dict)
    """Digest of a decision -> the promotion by which it was carried out since."""
    published: dict[int, Receipt] = field(default_factory=dict)
    """Version -> the first receipt of its release."""
    open_intent: Receipt | None = None
    """The intent of a change that was neither done nor cancelled: a process was killed."""
    unused_approval: Receipt | None = None
    """The approval that no change has used and that did not lapse: a process was killed."""

    @classmethod
    def from_receipts(cls, receipts: Iterable[Receipt]) -> "ProductionState":
        """The state after these receipts, which are in the order of the ledger."""
        state = cls()
        for receipt in receipts:
            state._take(receipt)
        return state

    @property
    def production(self) -> int | None:
        """The version in production as the ledger records it."""
        if not self.changes:
            return None
        return version_of(self.changes[-1].after)

    @property
    def pending(self) -> Request | None:
        """The request that waits for an answer."""
        if self.requests and self.requests[-1].state == "pending":
            return self.requests[-1]
        return None

    def change_to(self, version: int) -> Receipt | None:
        """The last change that put a version into production."""
        own = [receipt for receipt in self.changes if version_of(receipt.subject) == version]
        return own[-1] if own else None

    def in_production(self, at: datetime) -> InProduction | None:
        """What was in production at an instant, by activation; None before the first promotion.

        Of two changes that were both active the ledger's order decides: a clock that was set
        back changes nothing.
        """
        active = [receipt for receipt in self.changes if activation(receipt) <= at]
        if not active:
            return None
        change = active[-1]
        later = [activation(r) for r in self.changes if r.sequence > change.sequence]
        return InProduction(
            version=version_of(change.after) or 0,
            since=activation(change),
            before=version_of(change.before),
            receipt=change,
            until=min(later, default=None),
        )

    def judged_files(self, version: int) -> dict[str, str]:
        """Name -> sha256 of a version's files, as its newest decision judged them; empty if no
        receipt records them.
        """
        own = [receipt for receipt in self.decisions if version_of(receipt.subject) == version]
        files = own[-1].evidence.get("files") if own else None
        if isinstance(files, dict):
            return {name: str(digest) for name, digest in files.items()}
        return {}

    def barred(self) -> dict[int, str]:
        """Versions that are never promoted automatically, with the reason."""
        reasons = {
            version: (
                f"Version {version} was rejected by {who.by} at {moment(who.at)}:"
                f" {ended(who.reason)}"
            )
            for version, who in self.rejected.items()
        }
        return reasons | {version: self.why_blocked(version) for version in self.blocked}

    def why_blocked(self, version: int) -> str:
        """Why a version is blocked, and the way out."""
        who = self.blocked[version]
        return (
            f"Version {version} is blocked since {who.by} rolled it back at {moment(who.at)}"
            f" ({who.reason}): `churn unblock {version}` allows it again."
        )

    def why_not_waiting(self, version: int) -> str | None:
        """Why a version does not wait for an approval; None if it does.

        What has lapsed by now must have its receipt already: the writer records it first.
        """
        own = [request for request in self.requests if request.version == version]
        if not own:
            return f"Version {version} does not wait for an approval."
        if own[-1].state == "pending":
            return None
        return own[-1].sentence()

    def standing_request(self, present: Bound) -> Request | None:
        """The request for the same candidate on the same evidence that waits or was rejected.

        None if a request may be made: a decision by another trigger asks no new question. What
        lapsed may be asked again, since nobody refused it, and so may what was approved: an
        approval is used once, and the version has left production since.
        """
        own = [r for r in self.requests if replace(r.bound, decision=present.decision) == present]
        if not own:
            return None
        newest = own[-1]
        rejected = newest.state == "rejected" and present.version in self.rejected
        if newest.state == "pending" or rejected:
            return newest
        return None

    def answers(self, decision: str) -> dict[str, Any]:
        """What people answered to a decision, as plain JSON: `approval` (its request) and
        `overridden`, each None or a record.
        """
        asked = [request for request in self.requests if request.bound.decision == decision]
        forced = [
            Signature.of(receipt)
            for receipt in self.approvals
            if receipt.evidence.get("decision") == decision
            and receipt.evidence.get("override") is True
        ]
        return {
            "approval": asked[-1].as_dict() if asked else None,
            "overridden": asdict(forced[-1]) if forced else None,
        }

    def standing_proposal(
        self, performance: Mapping[str, Any] | None, production: int | None
    ) -> dict[str, Any] | None:
        """The proposal of the newest evaluation, with the command that carries it out.

        It lapses when production changes, when the version is blocked or rejected, and with the
        next evaluation.

        Args:
            performance: the newest performance record; None before the first.
            production: the version in production; None before the first.
        """
        evaluation = (performance or {}).get("verdict", {})
        proposal: dict[str, Any] | None = evaluation.get("proposal")
        if proposal is None or production != proposal["production"]:
            return None
        version = proposal["version"]
        if version in self.blocked or version in self.rejected:
            return None
        if proposal["act"] == "rollback proposed":
            command = f"churn rollback --to {version}"
        else:
            command = f"churn approve {version} --override"
        return {**proposal, "command": f"{command} --by NAME --reason TEXT"}

    def _take(self, receipt: Receipt) -> None:
        """Fold one more receipt."""
        self._take_change(receipt)
        self._take_decision(receipt, str(receipt.evidence.get("decision")))
        self._take_approval(receipt)
        version = version_of(receipt.subject)
        if version is not None:
            self._take_version(receipt, version)

    def _take_change(self, receipt: Receipt) -> None:
        """Fold the beginning or the end of a production change."""
        if receipt.act in ("promotion intent", "rollback intent"):
            self.open_intent = receipt
        elif receipt.act in (*DONE, "promotion void", "rollback void"):
            self.open_intent = None
        if receipt.act in DONE:
            self.changes.append(receipt)

    def _take_decision(self, receipt: Receipt, decision: str) -> None:
        """Fold a decision, or what it came to."""
        if receipt.act == "decision":
            self.decisions.append(receipt)
            self.settled.pop(decision, None)
            self.carried_out.pop(decision, None)
        elif receipt.act in OUTCOMES:
            self.settled[decision] = receipt
        if receipt.act == "promotion done":
            self.carried_out[decision] = receipt

    def _take_version(self, receipt: Receipt, version: int) -> None:
        if receipt.act == "promotion done":
            self.promotions[version] = receipt
        elif receipt.act == "version blocked":
            self.blocked[version] = Signature.of(receipt)
        elif receipt.act == "version unblocked":
            self.blocked.pop(version, None)
        elif receipt.act == "rejection":
            self.rejected[version] = Signature.of(receipt)
        elif receipt.act == "approval":
            self.rejected.pop(version, None)
            if receipt.evidence.get("override") is True:
                self.overridden[version] = Signature.of(receipt)
        elif receipt.act == "release published":
            self.published.setdefault(version, receipt)

    def _take_approval(self, receipt: Receipt) -> None:
        """Fold a request for an approval, an answer to it, or the use of an approval."""
        approval = self.unused_approval
        if receipt.act == "approval":
            self.approvals.append(receipt)
            self.unused_approval = receipt
        elif approval is not None and receipt.evidence.get("approval") == approval.digest:
            self.unused_approval = None
        pending = self.pending
        if receipt.act == "approval requested":
            if pending is not None:
                newer = f"Version {version_of(receipt.subject)} is a newer candidate."
                superseded = Signature(receipt.actor, newer, receipt.time)
                self.requests[-1] = replace(pending, state="lapsed", answer=superseded)
            asked = ApprovalRequested.of(receipt)
            self.requests.append(Request(asked.bound, receipt.time, asked.until, receipt.digest))
        elif pending is not None and _answers(receipt, pending):
            answer = Signature.of(receipt)
            self.requests[-1] = replace(pending, state=ANSWERS[receipt.act], answer=answer)


def _answers(receipt: Receipt, request: Request) -> bool:
    return receipt.act in ANSWERS and receipt.evidence.get("request") == request.receipt


def stand_down_act(
    last: Receipt | None, version: int | None, reason: str | None
) -> StandDown | None:
    """What is to be recorded about standing down; None while nothing changed.

    Args:
        last: the newest receipt that one began or ended; None before the first.
        version: the version in production; None before the first.
        reason: why that version must stand down; None when it need not.
    """
    if last is None or last.act == "stand-down ended":
        stands = None
    else:
        stands = last.subject
    if reason is not None and version is not None:
        if stands == f"version {version}":
            return None
        return "stand-down began"
    if stands is not None:
        return "stand-down ended"
    return None


def activation(done: Receipt) -> datetime:
    """When the servers changed over to what a change put into production."""
    return datetime.fromisoformat(str(done.evidence.get("activate_at", done.time)))
