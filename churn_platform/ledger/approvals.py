"""Approval: the request that a passing candidate makes, the answers people give, and when a
request lapses.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from churn_platform.base.text import ended
from churn_platform.ledger.acts import ApprovalRequested, Bound, model_named, version_of
from churn_platform.ledger.receipts import Receipt

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

    def as_dict(self) -> dict[str, Any]:
        """Its public fields."""
        answer = {} if self.answer is None else asdict(self.answer)
        told = {
            "version": self.version,
            "state": self.state,
            "since": self.asked,
            "until": self.until,
        }
        return {
            **told,
            "by": None,
            "reason": None,
            "at": None,
            **answer,
            "sentence": self.sentence(),
        }

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


def until(asked: datetime, days: int) -> str:
    """When a request lapses for want of an answer."""
    return (asked + timedelta(days=days)).isoformat()


def requests(receipts: Iterable[Receipt]) -> list[Request]:
    """Every request, oldest first; of those without an answer only the newest can be pending."""
    found: list[Request] = []
    for receipt in receipts:
        if receipt.act == "approval requested":
            if found and found[-1].state == "pending":
                found[-1] = replace(found[-1], state="lapsed", answer=_superseded(receipt))
            asked = ApprovalRequested.of(receipt)
            found.append(Request(asked.bound, receipt.time, asked.until, receipt.digest))
        elif receipt.act in ANSWERS and found and _answers(receipt, found[-1]):
            found[-1] = replace(found[-1], state=ANSWERS[receipt.act], answer=Signature.of(receipt))
    return found


def pending(receipts: Iterable[Receipt]) -> Request | None:
    """The request that waits for an answer; never more than one."""
    newest = next(reversed(requests(receipts)), None)
    if newest is not None and newest.state == "pending":
        return newest
    return None


def lapse(request: Request, present: Bound, now: datetime) -> str | None:
    """None while a request holds; else the sentence why it lapses.

    Args:
        request: the request.
        present: the newest candidate and what it stands on, as they are now.
        now: an aware datetime.
    """
    asked = request.bound
    moved = (
        f"Production moved from {model_named(asked.production)} to"
        f" {model_named(present.production)}."
    )
    changes = (
        (present.version != asked.version, f"Version {present.version} is the candidate now."),
        (present.production not in (asked.production, asked.version), moved),
        (present.policy != asked.policy, "The policy has changed since the decision."),
        (
            present.candidate != asked.candidate,
            f"The digest of version {asked.version} is no longer what was judged.",
        ),
        (
            present.dataset != asked.dataset,
            f"The data that version {asked.version} was judged on has changed.",
        ),
        (
            present.decision != asked.decision,
            f"The decision on version {asked.version} has changed.",
        ),
        (
            now > datetime.fromisoformat(request.until),
            f"Nobody answered until {moment(request.until)}.",
        ),
    )
    return next((sentence for changed, sentence in changes if changed), None)


def objection(receipts: Iterable[Receipt], version: int) -> str | None:
    """None when the version waits for an approval; else the sentence why it does not.

    What has lapsed by now must have its receipt already: the writer records it first.
    """
    mine = [request for request in requests(receipts) if request.version == version]
    if not mine:
        return f"Version {version} does not wait for an approval."
    if mine[-1].state == "pending":
        return None
    return mine[-1].sentence()


def unused(receipts: Iterable[Receipt]) -> Receipt | None:
    """The approval after which the process was killed: no move of production names it, and it
    did not lapse.
    """
    found: Receipt | None = None
    for receipt in receipts:
        if receipt.act == "approval":
            found = receipt
        elif found is not None and receipt.evidence.get("approval") == found.digest:
            found = None
    return found


def _answers(receipt: Receipt, request: Request) -> bool:
    return request.state == "pending" and receipt.evidence.get("request") == request.receipt


def _superseded(receipt: Receipt) -> Signature:
    return Signature(
        receipt.actor,
        f"Version {version_of(receipt.subject)} is a newer candidate.",
        receipt.time,
    )
