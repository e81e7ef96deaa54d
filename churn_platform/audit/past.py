"""What was in production at an instant, who put it there and why."""

import datetime as dt

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import UsageError
from churn_platform.base.stored import Stored
from churn_platform.lake.records import Records
from churn_platform.ledger.receipts import Receipt, instant
from churn_platform.ledger.state import InProduction, ProductionState, activation
from churn_platform.ledger.store import LedgerStore


class DecisionBehind(Stored):
    """The decision behind a change; only its digest if its record is gone or was changed."""

    digest: str
    as_of: str | None = None
    candidate_version: int | None = None
    decision: str | None = None
    trigger: str | None = None
    reason: str | None = None
    candidate_auc: float | None = None
    production_auc: float | None = None


class ApprovalBehind(Stored):
    """Who approved a change."""

    by: str
    reason: str
    time: str
    override: bool


class ChangeReceipt(Stored):
    """The receipt of a change."""

    sequence: int
    act: str
    time: str
    digest: str


class ProductionThen(Stored):
    """What was in production at an instant; without a version, nothing was."""

    at: str
    version: int | None
    sentence: str
    since: str = ""
    until: str | None = None
    before: int | None = None
    by: str = ""
    reason: str = ""
    decision: DecisionBehind | None = None
    approval: ApprovalBehind | None = None
    receipt: ChangeReceipt | None = None


def was_in_production(
    ledger: LedgerStore, records: Records, now: dt.datetime, text: str
) -> ProductionThen:
    """The answer for a date (its end, or now on the day itself) or an instant.

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
    if found is None:
        return ProductionThen(at=at.isoformat(), version=None, sentence=_nothing(state, at))
    change = found.receipt
    return ProductionThen(
        at=at.isoformat(),
        version=found.version,
        sentence=_sentence(found),
        since=found.since.isoformat(),
        until=None if found.until is None else found.until.isoformat(),
        before=found.before,
        by=change.actor,
        reason=change.reason,
        decision=_decision(records, change),
        approval=_approval(state, change),
        receipt=ChangeReceipt(
            sequence=change.sequence, act=change.act, time=change.time, digest=change.digest
        ),
    )


def _sentence(found: InProduction) -> str:
    change = found.receipt
    if found.before is None:
        replaced = "as the first model"
    else:
        replaced = f"in place of version {found.before}"
    if found.until is None:
        until = "It is in production to this day."
    else:
        until = f"It was replaced on {_shown(found.until)}."
    return (
        f"Version {found.version} was in production: {change.actor} put it there by a"
        f" {change.act.split()[0]}, active since {_shown(found.since)}, {replaced}. {until}"
    )


def _decision(records: Records, change: Receipt) -> DecisionBehind | None:
    if "decision" not in change.evidence or "imported" in change.evidence:
        return None
    digest = str(change.evidence["decision"])
    for record in records.decisions():
        if digest_of(record) == digest:
            own = DecisionBehind.model_fields.keys() - {"digest"}
            return DecisionBehind(digest=digest, **{name: record[name] for name in own})
    return DecisionBehind(digest=digest)


def _approval(state: ProductionState, change: Receipt) -> ApprovalBehind | None:
    """The newest approval of the change's decision before it, if there is one."""
    wanted = change.evidence.get("decision")
    for receipt in reversed(state.approvals):
        earlier = receipt.sequence < change.sequence
        if earlier and wanted is not None and receipt.evidence.get("decision") == wanted:
            return ApprovalBehind(
                by=receipt.actor,
                reason=receipt.reason,
                time=receipt.time,
                override=receipt.evidence.get("override") is True,
            )
    return None


def _nothing(state: ProductionState, at: dt.datetime) -> str:
    nothing = f"Nothing was in production on {_shown(at)}"
    if not state.changes:
        return f"{nothing}: no model has ever been promoted in this home."
    first = state.changes[0]
    return f"{nothing}: the first was {first.after}, on {_shown(activation(first))}."


def _shown(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
