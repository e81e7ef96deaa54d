"""What was in production at an instant, who put it there and why: the ledger's answer with the
decision behind it.
"""

import datetime as dt
from typing import Any

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import UsageError
from churn_platform.lake.records import Records
from churn_platform.ledger.receipts import Receipt, instant
from churn_platform.ledger.state import InProduction, ProductionState, activation
from churn_platform.ledger.store import LedgerStore


def was_in_production(
    ledger: LedgerStore, records: Records, now: dt.datetime, text: str
) -> dict[str, Any]:
    """The answer for a date (its end, or now on the day itself) or an instant, as plain JSON
    values.

    Raises:
        UsageError: it is neither, or lies in the future.
        IntegrityError: the ledger's chain is broken.
    """
    at = instant(text, end=True)
    if instant(text, end=False) > now:
        raise UsageError(f"{text} is in the future. Give a date in the past.", code="DATE_INVALID")
    at = min(at, now)
    state = ledger.state()
    found = state.in_production(at)
    answer: dict[str, Any] = {"at": at.isoformat(), "version": None, "sentence": ""}
    if found is None:
        return answer | {"sentence": _nothing(state, at)}
    return answer | _described(records, state, found)


def _described(records: Records, state: ProductionState, found: InProduction) -> dict[str, Any]:
    move = found.receipt
    kind = found.receipt.act.split(" ")[0]
    digest = move.evidence.get("decision")
    if found.before is None:
        replaced = "as the first model"
    else:
        replaced = f"in place of version {found.before}"
    if found.until is None:
        until = "It is in production to this day."
    else:
        until = f"It was replaced on {_said(found.until)}."
    return {
        "version": found.version,
        "since": found.since.isoformat(),
        "until": None if found.until is None else found.until.isoformat(),
        "before": found.before,
        "by": move.actor,
        "reason": move.reason,
        "decision": _decision(records, None if digest is None else str(digest)),
        "approval": _approval(state, move),
        "receipt": {
            "sequence": move.sequence,
            "act": move.act,
            "time": move.time,
            "digest": move.digest,
        },
        "sentence": (
            f"Version {found.version} was in production: {move.actor} put it there by a {kind},"
            f" active since {_said(found.since)}, {replaced}. {until}"
        ),
    }


def _decision(records: Records, digest: str | None) -> dict[str, Any] | None:
    """The decision behind a move, in a few fields; only its digest where its record is gone or
    was changed.
    """
    if digest is None:
        return None
    for record in records.decisions():
        if digest_of(record) == digest:
            names = (
                "as_of",
                "candidate_version",
                "decision",
                "trigger",
                "reason",
                "candidate_auc",
                "production_auc",
            )
            return {"digest": digest, **{name: record[name] for name in names}}
    return {"digest": digest}


def _approval(state: ProductionState, move: Receipt) -> dict[str, Any] | None:
    """Who approved the move's decision, where someone had to."""
    wanted = move.evidence.get("decision")
    approvals = [r for r in state.approvals if r.sequence < move.sequence]
    own = [r for r in approvals if wanted is not None and r.evidence.get("decision") == wanted]
    if not own:
        return None
    newest = own[-1]
    return {
        "by": newest.actor,
        "reason": newest.reason,
        "time": newest.time,
        "override": newest.evidence.get("override") is True,
    }


def _nothing(state: ProductionState, at: dt.datetime) -> str:
    nothing = f"Nothing was in production on {_said(at)}"
    if not state.changes:
        return f"{nothing}: no model has ever been promoted in this home."
    first = state.changes[0]
    return f"{nothing}: the first was {first.after}, on {_said(activation(first))}."


def _said(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
