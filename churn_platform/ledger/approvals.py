"""Approval: the request that a passing candidate makes, the answers people give, and when a
request lapses.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from churn_platform.base.text import ended
from churn_platform.ledger.acts import model_named
from churn_platform.ledger.receipts import Receipt
from churn_platform.ledger.version_acts import Bound

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
    """When a request without an answer lapses."""
    return (asked + timedelta(days=days)).isoformat()


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
