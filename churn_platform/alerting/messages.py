"""Which receipts send an alert, its text, and how often a failed one is tried."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from churn_platform.ledger.receipts import Receipt
from churn_platform.promotion.contact_value import ContactValue

Severity = Literal["info", "success", "warning", "failure"]

LONGEST_WAIT = dt.timedelta(hours=6)
FIRST_WAIT = dt.timedelta(minutes=1)
MOST_TRIES = 12
"""After so many tries (about a day) a channel gives a message up and takes the next one."""
OLDEST = dt.timedelta(days=7)
"""Older events send no alert."""

PRODUCTION_STAYS = "Production stays as it is."


class Rule(NamedTuple):
    """The alert of one act: its title, its severity and what to do."""

    title: str
    severity: Severity
    action: str


RULES = {
    "promotion done": Rule(
        "promoted {subject}", "success", "Nothing to do. `churn rollback` takes it back."
    ),
    "approval requested": Rule(
        "{subject} waits for approval",
        "warning",
        f"Answer with `churn approve` or `churn reject`. {PRODUCTION_STAYS}",
    ),
    "approval lapsed": Rule(
        "the approval request for {subject} lapsed",
        "warning",
        f"{PRODUCTION_STAYS} `churn retrain` requests a new candidate.",
    ),
    "rejection": Rule("{subject} was rejected", "info", PRODUCTION_STAYS),
    "drop refused": Rule(
        "the drop of {subject} is refused",
        "failure",
        "Nothing was published. Fix the files and deliver them again.",
    ),
    "training refused": Rule(
        "no candidate can be trained for {subject}",
        "warning",
        f"{PRODUCTION_STAYS} The training is tried again when more labels arrive.",
    ),
    "rollback done": Rule(
        "rolled back to {after}", "warning", "`churn unblock` allows the other version again."
    ),
    "promotion proposed": Rule(
        "a promotion is proposed: {subject}",
        "info",
        "`churn status` shows the command that promotes it.",
    ),
    "rollback proposed": Rule(
        "a rollback is proposed: {subject}",
        "warning",
        "`churn status` shows the command that carries it out.",
    ),
    "stand-down began": Rule(
        "{subject} stands down",
        "failure",
        "Do not act on its scores. Scores, status and API show this until it ends.",
    ),
    "stand-down ended": Rule(
        "{subject} no longer stands down", "success", "Its scores can be used again."
    ),
    "canary completed": Rule(
        "the canary {subject} passed its last step",
        "info",
        "Promote it or end it: `churn canary` shows its figures.",
    ),
    "warnings raised": Rule(
        "warnings about {subject}",
        "warning",
        "Nothing was stopped. `churn status` shows the warnings.",
    ),
    "test ended": Rule(
        "{subject} of two versions is over", "info", "`churn test` shows its looks."
    ),
    "recovery": Rule("recovered: {subject}", "warning", "Nothing to do."),
}
"""The acts that always send an alert."""
OF_CAMPAIGNS = {
    ("effect", "shown"): Rule(
        "contacting works, as of {subject}", "success", "`churn campaign` shows the figures."
    ),
    ("effect", "harmful"): Rule(
        "contacting makes customers leave, as of {subject}",
        "failure",
        "Stop contacting. `churn campaign` shows the figures.",
    ),
    ("effect", "withheld"): Rule(
        "the effect of contacting is withheld as of {subject}",
        "warning",
        "Find out who changed the list of a month. `churn campaign` shows the figures.",
    ),
    ("contamination", "high"): Rule(
        "untouched customers are contacted, as of {subject}",
        "warning",
        "Contact nobody who is not on the list, or the effect cannot be measured.",
    ),
}
"""What of an act `campaign effect changed` sends an alert: what it is about, and its state."""
OF_CANARIES = {
    "stopped": Rule(
        "the canary {subject} was stopped",
        "failure",
        "Production answers every customer. `churn canary` shows the figures.",
    ),
    "production changed": Rule(
        "the canary {subject} ended with the change of production",
        "warning",
        "Production answers every customer. `churn canary` starts another one.",
    ),
    "release changed": Rule(
        "the canary {subject} ended, its release was changed",
        "failure",
        "Production answers every customer. Find out who changed the release: `churn verify`.",
    ),
}
"""The ends of a canary that send an alert; those that a person decided do not."""
SHOWN = {"pass": "pass", "fail": "FAIL", "warn": "warn"}


@dataclass(frozen=True)
class Message:
    """An alert; `body` is plain text."""

    title: str
    body: str
    severity: Severity


def message_of(
    receipt: Receipt, business: str, decision: Mapping[str, Any] | None, explained: str = ""
) -> Message | None:
    """The message of one receipt; None if it needs no alert.

    Args:
        receipt: the receipt.
        business: the contract's name.
        decision: the record of the decision that the receipt's evidence names, if any.
        explained: why the realised performance of the month fell, if it did.
    """
    found = _rule(receipt, decision)
    if found is None:
        return None
    code, rule = found
    title = rule.title.format(subject=receipt.subject, after=receipt.after or receipt.subject)
    results = [] if decision is None else result_lines(decision)
    if decision is not None and decision.get("contact_value"):
        results.append(ContactValue.model_validate(decision["contact_value"]).sentence)
    when = receipt.time[:19].replace("T", " ")
    signed = f"Alert {code}, receipt {receipt.sequence}, {when} UTC, by {receipt.actor}."
    # A blank line between paragraphs: Teams joins lines that only a line break separates.
    reasons = [receipt.reason]
    if explained and code == "PERFORMANCE_FELL":
        reasons.append(explained)
    body = "\n\n".join([*reasons, rule.action, *results, signed])
    return Message(f"{business}: {title}", body, rule.severity)


def result_lines(decision: Mapping[str, Any]) -> list[str]:
    """One line per applicable criterion, those that refused first."""
    order = {outcome: place for place, outcome in enumerate(("fail", "warn", "pass"))}
    found = [finding for finding in decision["findings"] if finding["outcome"] in order]
    found.sort(key=lambda finding: order[finding["outcome"]])
    return [f"{f['code']} {f['title']}: {SHOWN[f['outcome']]}. {f['detail']}" for f in found]


def repeats(receipt: Receipt, earlier: Receipt) -> bool:
    """Whether the receipts report the same refused files."""
    same = ("act", "subject", "evidence")
    return receipt.act == "drop refused" and all(
        getattr(receipt, n) == getattr(earlier, n) for n in same
    )


def next_try(failures: int, last: dt.datetime) -> dt.datetime:
    """When a channel that failed `failures` times in a row is tried again; the wait doubles."""
    doublings = min(max(failures - 1, 0), 20)
    return last + min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


def _rule(receipt: Receipt, decision: Mapping[str, Any] | None) -> tuple[str, Rule] | None:
    """The code and the rule of a receipt's alert; None if it needs none."""
    act = receipt.act
    evidence = receipt.evidence
    if act == "decision" and receipt.after == "refused":
        action = f"{_kept(receipt)} `churn decision` explains why."
        return "CANDIDATE_REFUSED", Rule("{subject} is refused", "warning", action)
    # A refused candidate was already reported with its decision.
    approved = decision is not None and decision["decision"] == "promoted"
    if act == "production kept" and approved and decision is not None:
        title = f"version {decision['candidate_version']} was not promoted"
        return "PROMOTION_NOT_DONE", Rule(title, "warning", PRODUCTION_STAYS)
    if act == "retraining requested" and evidence.get("trigger") == "performance":
        action = "Nothing to do. A candidate is trained and compared with production."
        return "PERFORMANCE_FELL", Rule("performance fell", "failure", action)
    if act == "retraining skipped" and evidence.get("fallen"):
        action = f"No candidate can be trained yet. {PRODUCTION_STAYS}"
        return "PERFORMANCE_FELL", Rule("performance fell", "failure", action)
    if act in ("campaign effect changed", "canary ended"):
        return _rule_of_state(act, evidence)
    if act in ("promotion proposed", "rollback proposed") and evidence.get("test"):
        title = RULES[act].title
        return _code(act), Rule(title, "info", "`churn test` shows the figures and the command.")
    if act not in RULES:
        return None
    return _code(act), RULES[act]


def _code(act: str) -> str:
    return re.sub("[ -]", "_", act).upper()


def _rule_of_state(act: str, evidence: Mapping[str, Any]) -> tuple[str, Rule] | None:
    """The code and the rule of an act that some of its states alone make an alert."""
    if act == "canary ended":
        outcome = str(evidence.get("outcome"))
        code = f"CANARY_{outcome.replace(' ', '_')}"
        rule = OF_CANARIES.get(outcome)
    else:
        about = (str(evidence.get("about")), str(evidence.get("state")))
        code = f"CAMPAIGN_{'_'.join(about)}"
        rule = OF_CAMPAIGNS.get(about)
    if rule is None:
        return None
    return code.upper(), rule


def _kept(receipt: Receipt) -> str:
    if receipt.before is None:
        return "There is still no model in production."
    return f"{receipt.before.capitalize()} stays in production."
