"""Alert messages: a receipt of the ledger as a message, or None."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from churn_platform.ledger.receipts import Receipt

Severity = Literal["info", "success", "warning", "failure"]

LONGEST_WAIT = dt.timedelta(hours=6)
FIRST_WAIT = dt.timedelta(minutes=1)
MOST_TRIES = 12
"""A message that one receiver would not take for so many tries (about a day) makes way for the
next one.
"""
OLDEST = dt.timedelta(days=7)
"""Older events send no alert."""

PLAIN: dict[str, tuple[str, Severity, str]] = {
    "promotion done": ("promoted {subject}", "success", ""),
    "approval requested": (
        "{subject} waits for approval",
        "warning",
        "Next: `churn approve` or `churn reject`; until then production stays as it is.",
    ),
    "approval lapsed": ("the approval of {subject} lapsed", "warning", ""),
    "rejection": ("{subject} was rejected", "info", ""),
    "drop refused": (
        "the drop of {subject} is refused",
        "failure",
        "Nothing was published. Fix the files and deliver them again.",
    ),
    "training refused": (
        "no candidate of {subject} can be trained",
        "warning",
        "Nothing was decided. The training is tried again with the next labels.",
    ),
    "rollback done": ("rolled back to {after}", "warning", ""),
    "promotion proposed": ("a promotion is proposed: {subject}", "info", ""),
    "rollback proposed": ("a rollback is proposed: {subject}", "warning", ""),
    "stand-down began": (
        "{subject} stands down",
        "failure",
        "Scores, status and API show it until it ends.",
    ),
    "stand-down ended": ("{subject} no longer stands down", "success", ""),
    "warnings raised": (
        "warnings of {subject}",
        "warning",
        "Nothing was stopped. `churn status` shows them again.",
    ),
    "recovery": ("recovered: {subject}", "warning", ""),
}
"""Acts with one message each: title, severity, what else to say."""
SHOWN = {"pass": "pass", "fail": "FAIL", "warn": "warn"}


@dataclass(frozen=True)
class Message:
    """What is sent to people; `body` is plain text."""

    title: str
    body: str
    severity: Severity


def message_of(
    receipt: Receipt, business: str, decision: Mapping[str, Any] | None
) -> Message | None:
    """The message of one receipt; None if it needs no alert.

    Args:
        receipt: the receipt.
        business: the contract's name, for those who hear from several.
        decision: the record of the decision that the receipt's evidence names; None when it
            names none.
    """
    found = _words(receipt, decision)
    if found is None:
        return None
    title, severity, more = found
    findings = [] if decision is None else finding_lines(decision)
    # A blank line between findings: each is several lines in a mail, and Teams joins what only
    # a line break parts.
    signed = (
        f"Receipt {receipt.sequence}, {receipt.time[:19].replace('T', ' ')} UTC, by"
        f" {receipt.actor}."
    )
    body = "\n\n".join(part for part in [receipt.reason, more, *findings, signed] if part)
    return Message(f"{business}: {title}", body, severity)


def finding_lines(decision: Mapping[str, Any]) -> list[str]:
    """One line a finding that was applicable, those that refused first."""
    order = {outcome: place for place, outcome in enumerate(("fail", "warn", "pass"))}
    found = [finding for finding in decision["findings"] if finding["outcome"] in order]
    found.sort(key=lambda finding: order[finding["outcome"]])
    return [f"{f['code']} {f['title']}: {SHOWN[f['outcome']]}. {f['detail']}" for f in found]


def repeats(receipt: Receipt, earlier: Receipt) -> bool:
    """Whether `earlier` has the same content: the same files refused again by the next try."""
    same = ("act", "subject", "evidence")
    return receipt.act == "drop refused" and all(
        getattr(receipt, n) == getattr(earlier, n) for n in same
    )


def next_try(failures: int, last: dt.datetime) -> dt.datetime:
    """When a receiver that failed `failures` times in a row is asked again: twice as late after
    every failure.
    """
    doublings = min(max(failures - 1, 0), 20)
    return last + min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


def _words(
    receipt: Receipt, decision: Mapping[str, Any] | None
) -> tuple[str, Severity, str] | None:
    """Title, severity and what else to say; None for no news."""
    if receipt.act == "decision" and receipt.after == "refused":
        return (
            f"{receipt.subject} is refused",
            "warning",
            f"{_kept(receipt)} `churn decision` shows it again.",
        )
    if (
        receipt.act == "production kept"
        and decision is not None
        and decision["decision"] == "promoted"
    ):
        # A refusal was told with its decision; this one was approved and still not carried out.
        return (
            f"version {decision['candidate_version']} was not promoted after all",
            "warning",
            "",
        )
    if receipt.act == "retraining requested" and receipt.evidence.get("trigger") == "performance":
        return (
            "performance fell",
            "failure",
            "A candidate is trained and compared with production.",
        )
    if receipt.act == "retraining skipped" and receipt.evidence.get("fallen"):
        return (
            "performance fell",
            "failure",
            "No candidate can be trained yet; production stays as it is.",
        )
    if receipt.act not in PLAIN:
        return None
    title, severity, more = PLAIN[receipt.act]
    return (
        title.format(subject=receipt.subject, after=receipt.after or receipt.subject),
        severity,
        more,
    )


def _kept(receipt: Receipt) -> str:
    if receipt.before is None:
        return "There is still no model in production."
    return f"{receipt.before.capitalize()} stays in production."
