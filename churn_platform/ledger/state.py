"""The state of production: the only fold over the receipts. With the requests for approval and
their answers.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from churn_platform.base.text import ended
from churn_platform.ledger.receipts import DELIVERED, Act, Receipt, version_of
from churn_platform.ledger.version_acts import ApprovalRequested, Bound, Proposal

DONE = ("promotion done", "rollback done")
OUTCOMES = ("promotion done", "production kept", "approval requested")
"""What ends the loop's work on a decision; after `approval requested` a person answers."""
StandDownAct = Literal["stand-down began", "stand-down ended"]
STAND_DOWN: tuple[Act, ...] = ("stand-down began", "stand-down ended")
MONTH_WARNINGS: tuple[Act, ...] = ("warnings raised", "warnings cleared")

State = Literal["pending", "approved", "rejected", "lapsed"]
ANSWERS: dict[str, State] = {
    "approval": "approved",
    "rejection": "rejected",
    "approval lapsed": "lapsed",
}


@dataclass(frozen=True)
class Signature:
    """Who did something, why, and when (an instant in UTC)."""

    by: str
    reason: str
    at: str

    @classmethod
    def of(cls, receipt: Receipt) -> "Signature":
        """The signature under a receipt."""
        return cls(receipt.actor, receipt.reason, receipt.time)


@dataclass(frozen=True)
class RequestRecord:
    """A request for an approval and its answer, as status and decisions show it."""

    version: int
    state: State
    since: str
    until: str
    by: str | None
    reason: str | None
    at: str | None
    sentence: str


@dataclass(frozen=True)
class Request:
    """A candidate that passed and waits, or waited, for an answer until an instant; `receipt`
    is its digest.
    """

    bound: Bound
    asked: str
    until: str
    receipt: str
    state: State = "pending"
    answer: Signature | None = None

    @property
    def version(self) -> int:
        """The version that is to be approved."""
        return self.bound.version

    def record(self) -> RequestRecord:
        """Its public fields."""
        answer = self.answer
        return RequestRecord(
            version=self.version,
            state=self.state,
            since=self.asked,
            until=self.until,
            by=None if answer is None else answer.by,
            reason=None if answer is None else answer.reason,
            at=None if answer is None else answer.at,
            sentence=self.sentence(),
        )

    def sentence(self) -> str:
        """What has become of it, for people."""
        who = self.answer
        what = f"version {self.version}"
        if who is None:
            return (
                f"Version {self.version} passed and waits for an approval until"
                f" {moment(self.until)}."
            )
        if self.state == "lapsed":
            return f"The request to approve {what} lapsed at {moment(who.at)}: {ended(who.reason)}"
        return (
            f"Version {self.version} was {self.state} by {who.by} at {moment(who.at)}:"
            f" {ended(who.reason)}"
        )


def moment(instant: str) -> str:
    """An instant as people read it, to the minute."""
    return f"{datetime.fromisoformat(instant):%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True)
class Answers:
    """What people answered to a decision."""

    approval: RequestRecord | None
    """The newest request for its approval."""
    overridden: Signature | None
    """Who promoted the version against it."""


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
    """What follows from the receipts about production, its versions and their approvals."""

    receipts: int = 0
    """Number of the newest receipt."""
    counts: Counter[str] = field(default_factory=Counter)
    """Act -> how many receipts."""
    month: str = ""
    """The newest published month."""
    warnings: dict[str, Receipt] = field(default_factory=dict)
    """Month -> the newest receipt about its warnings."""
    stand_down: Receipt | None = None
    """The newest beginning or end of a stand-down."""
    retraining_request: Receipt | None = None
    """The newest request of a person for a retraining, until a decision or a refused training
    answers it.
    """
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
    imports: dict[int, Receipt] = field(default_factory=dict)
    """Version -> the receipt of its import, for models that were trained elsewhere."""
    open_intent: Receipt | None = None
    """The intent of a change that was neither done nor cancelled: a process was killed."""
    unused_approval: Receipt | None = None
    """The approval that no change has used and that did not lapse: a process was killed."""

    @classmethod
    def from_receipts(cls, receipts: Iterable[Receipt]) -> "ProductionState":
        """The state after these receipts, which are in the order of the ledger."""
        state = cls()
        for receipt in receipts:
            state.take(receipt)
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

    @property
    def standing_down(self) -> int | None:
        """The version that stands down."""
        if self.stand_down is None or self.stand_down.act == "stand-down ended":
            return None
        return version_of(self.stand_down.subject)

    def stand_down_act(self, version: int | None, reason: str | None) -> StandDownAct | None:
        """What is to be recorded about standing down; None while nothing changed.

        Args:
            version: the version in production; None before the first.
            reason: why that version must stand down; None when it need not.
        """
        stands = self.standing_down
        if reason is None or version is None:
            return None if stands is None else "stand-down ended"
        return None if stands == version else "stand-down began"

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
        """Name -> sha256 of a version's files, as its newest decision judged them or as it was
        imported; empty if no receipt records them.
        """
        own = [receipt for receipt in self.decisions if version_of(receipt.subject) == version]
        own = own or [receipt for number, receipt in self.imports.items() if number == version]
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
        lapsed may be asked again, since it was not refused, and so may what was approved: an
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

    def answers(self, decision: str) -> Answers:
        """What people answered to a decision, by its digest."""
        asked = [request for request in self.requests if request.bound.decision == decision]
        forced = [
            Signature.of(receipt)
            for receipt in self.approvals
            if receipt.evidence.get("decision") == decision
            and receipt.evidence.get("override") is True
        ]
        return Answers(
            approval=asked[-1].record() if asked else None,
            overridden=forced[-1] if forced else None,
        )

    def standing_proposal(
        self, performance: Mapping[str, Any] | None, production: int | None
    ) -> Proposal | None:
        """The proposal of the newest evaluation.

        It lapses when production changes, when the version is blocked or rejected, and with the
        next evaluation.

        Args:
            performance: the newest performance record; None before the first.
            production: the version in production; None before the first.
        """
        fields = (performance or {}).get("verdict", {}).get("proposal")
        if fields is None:
            return None
        proposal = Proposal.read(fields, "The newest proposal")
        barred = {*self.blocked, *self.rejected}
        if proposal.production != production or proposal.version in barred:
            return None
        return proposal

    def take(self, receipt: Receipt) -> None:
        """Fold one more receipt, in the ledger's order."""
        self.receipts = receipt.sequence
        self.counts[receipt.act] += 1
        self._take_month(receipt)
        self._take_change(receipt)
        self._take_decision(receipt, str(receipt.evidence.get("decision")))
        self._take_approval(receipt)
        version = version_of(receipt.subject)
        if version is not None:
            self._take_version(receipt, version)

    def _take_month(self, receipt: Receipt) -> None:
        """Fold what happened to a month, a request for a candidate, or a stand-down."""
        if receipt.act in DELIVERED:
            self.month = max(self.month, receipt.subject)
        elif receipt.act in MONTH_WARNINGS:
            self.warnings[receipt.subject] = receipt
        elif receipt.act in STAND_DOWN:
            self.stand_down = receipt
        elif receipt.act == "manual retraining requested":
            self.retraining_request = receipt
        elif receipt.act in ("decision", "training refused"):
            self.retraining_request = None

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
            if "imported" in receipt.evidence and receipt.evidence.get("override") is True:
                self.overridden[version] = Signature.of(receipt)
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
        elif receipt.act == "model imported":
            self.imports.setdefault(version, receipt)
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


def activation(done: Receipt) -> datetime:
    """When the servers changed over to what a change put into production."""
    return datetime.fromisoformat(str(done.evidence.get("activate_at", done.time)))
