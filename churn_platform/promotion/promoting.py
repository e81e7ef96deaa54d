"""Moves production: release, alias, pointer and receipts, in an order that any kill leaves
repairable.
"""

import datetime as dt

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import DataError, IntegrityError, UsageError
from churn_platform.ledger.acts import Recovered, model_named, named
from churn_platform.ledger.receipts import Receipt
from churn_platform.ledger.state import intent_of
from churn_platform.ledger.version_acts import (
    ApprovalLapsed,
    Intent,
    ProductionKept,
    PromotionIntent,
    RollbackIntent,
    VersionBlocked,
    VersionUnblocked,
)
from churn_platform.promotion.decision import Decision
from churn_platform.promotion.publishing import publish
from churn_platform.services import Services
from churn_platform.training.candidate import FILES, Candidate, candidate_of
from churn_platform.training.registry import PRODUCTION

ACTIVATION_DELAY = dt.timedelta(seconds=2)
"""All serving workers load the release first and change over at one instant."""


def production_candidate(home: Services) -> Candidate | None:
    """The model in production, from its release, every file verified; None before the first
    promotion.
    """
    pointer = home.releases.pointer()
    if pointer is None:
        return None
    return released(home, pointer.version)


def released(home: Services, version: int) -> Candidate:
    """A released version, every file verified. MLflow is not asked.

    Raises:
        IntegrityError: a file of the release was changed.
    """
    home.releases.verify(version)
    return candidate_of(
        {name: home.releases.path(version, name).read_bytes() for name in FILES}, version
    )


def decision_digest(decision: Decision) -> str:
    """The digest by which receipts name a decision."""
    return digest_of(decision.model_dump(mode="json"))


def find_decision(home: Services, digest: str) -> Decision | None:
    """The decision of this digest, as stored in the home; None if absent, or it was changed."""
    known = (Decision.model_validate(record) for record in reversed(home.records.decisions()))
    return next((decision for decision in known if decision_digest(decision) == digest), None)


def promote(home: Services, decision: Decision) -> Receipt:
    """Put an approved decision's version into production; doing it again completes what is
    missing.
    """
    planned = PromotionIntent(
        version=decision.candidate_version,
        before=decision.production_version,
        after=decision.candidate_version,
        actor=home.settings.who,
        reason=decision.reason,
        decision=decision_digest(decision),
        candidate=decision.candidate_digest,
        as_of=decision.as_of,
    )
    return move(home, planned)


def move(home: Services, planned: Intent) -> Receipt:
    """Move production; every step is idempotent, so the same move again completes what a kill
    left.

    Returns:
        The receipt that it is done.

    Raises:
        IntegrityError: the model or its release was changed; nothing has moved.
    """
    intent = home.ledger.state().open_intent
    if intent is None or intent_of(intent) != planned:
        intent = home.ledger.append(planned)
    publish(home, planned)
    return _finish(home, planned, intent)


def recover(home: Services) -> str | None:
    """Complete the move that a kill cut off; void it when it cannot be completed and the
    pointer has not moved.

    An approval after which nothing was begun is carried out, or lapses, in the same way.

    Returns:
        What was done, in a sentence; None when nothing had been cut off.

    Raises:
        IntegrityError: a store cannot be read; nothing was changed.
    """
    state = home.ledger.state()
    intent = state.open_intent
    approval = state.unused_approval
    if intent is None and approval is not None:
        return _take_up(home, approval)
    if intent is None:
        return None
    planned = intent_of(intent)
    production = _production(home)
    moved = production == planned.version
    why_not = None if moved else _why_not(home, planned, production)
    what = f"The {planned.kind} of version {planned.version} was cut off"
    if why_not is None:
        _finish(home, planned, intent)
        said = f"{what} {'after' if moved else 'before'} the pointer moved: it was completed."
    else:
        _void(home, planned, intent, why_not)
        said = f"{what} before the pointer moved, and cannot be completed: {why_not}"
    return _recovered(home, planned, said, intent=intent.digest)


def _take_up(home: Services, approval: Receipt) -> str:
    """Carry out an approval that was cut off before anything moved, or let it lapse."""
    planned = PromotionIntent.approved_by(approval)
    why_not = _why_not(home, planned, _production(home))
    what = (
        f"The promotion of version {planned.version}, approved by {planned.actor}, was cut off"
        " before it began"
    )
    if why_not is None:
        move(home, planned)
        said = f"{what}: it was completed."
    else:
        said = f"{what}, and cannot be completed: {why_not}"
        plan = planned.model_dump() | {"actor": "", "reason": said}
        home.ledger.append(ApprovalLapsed(**plan))
    return _recovered(home, planned, said, approval=approval.digest)


def _recovered(home: Services, planned: Intent, said: str, **evidence: str) -> str:
    home.ledger.append(
        Recovered(
            subject=f"version {planned.version}",
            before=named(planned.before),
            after=named(_production(home)),
            reason=said,
            **evidence,
        )
    )
    return said


def _production(home: Services) -> int | None:
    pointer = home.releases.read_pointer()
    if pointer is None:
        return None
    return pointer.version


def restore_alias(home: Services) -> None:
    """Have MLflow's alias say what the pointer records: the pointer is what is in production.

    Somebody may have moved the alias by hand, and deleting a version deletes its alias in
    silence. A version that was deleted can have none: its release keeps serving, and
    verification names it.
    """
    pointer = home.releases.pointer()
    if pointer is None:
        home.registry.remove_alias(PRODUCTION)
    elif home.registry.alias(PRODUCTION) != pointer.version and home.registry.has(pointer.version):
        home.registry.set_alias(PRODUCTION, pointer.version)


def lost_version(version: int) -> str:
    """What it means that the version in production was deleted in MLflow, and what to do."""
    return (
        f"Version {version} is in production but was deleted in MLflow. MLflow cannot recreate"
        " it under the same number. Its release still serves. Put another version into"
        " production with `churn rollback`, or wait for the next promotion."
    )


def keep(home: Services, decision: Decision, why: str) -> None:
    """Record that production stays as it is."""
    pointer = home.releases.pointer()
    kept = None if pointer is None else pointer.version
    home.ledger.append(
        ProductionKept(
            production=kept,
            before=kept,
            after=kept,
            reason=why,
            decision=decision_digest(decision),
            candidate=decision.candidate_digest,
        )
    )


def _finish(home: Services, planned: Intent, intent: Receipt) -> Receipt:
    """Alias, pointer and the last receipt; the release stands."""
    home.registry.set_alias(PRODUCTION, planned.version)
    pointer = home.releases.read_pointer()
    if pointer is None or pointer.version != planned.version:
        activate_at = (home.now() + ACTIVATION_DELAY).isoformat()
        pointer = home.releases.point(
            planned.version,
            ledger_head=intent.digest,
            activate_at=activate_at,
            as_of=planned.as_of,
        )
    if isinstance(planned, RollbackIntent):
        _block(home, planned)
    done = home.ledger.append(planned.done(intent.digest, pointer.activate_at))
    home.registry.anchor(planned.version, done.digest)
    return done


def _block(home: Services, planned: RollbackIntent) -> None:
    """A version that is rolled back is blocked, one that a rollback brings back is not: each
    recorded once.
    """
    known = home.ledger.state().blocked
    signed = {"actor": planned.actor, "reason": planned.reason}
    if planned.blocks is not None and planned.blocks not in known:
        home.ledger.append(VersionBlocked(version=planned.blocks, **signed))
    if planned.unblocks is not None and planned.unblocks in known:
        home.ledger.append(VersionUnblocked(version=planned.unblocks, **signed))


def _why_not(home: Services, planned: Intent, production: int | None) -> str | None:
    """None when a move that was cut off still holds and its release stands now; else the
    sentence why not.
    """
    home.registry.alias(
        PRODUCTION
    )  # a store that cannot be read is no reason to give the move up: it raises
    try:
        if isinstance(planned, PromotionIntent):
            why_not = _lapsed(home, planned, production)
        else:
            why_not = None
        if why_not is None:
            publish(home, planned)
    except (DataError, IntegrityError, UsageError) as error:
        return str(error)
    return why_not


def _lapsed(home: Services, planned: PromotionIntent, production: int | None) -> str | None:
    """None when the promotion still is what was decided or approved; else the sentence why not."""
    decision = find_decision(home, planned.decision)
    if decision is None:
        return "Its decision is not in the home any more: decide again."
    if production != planned.before:
        return f"Production is {model_named(production)} now, it was {model_named(planned.before)}."
    version, digest, policy = (
        planned.version,
        home.registry.load(planned.version).digest,
        home.contract.policy_hash,
    )
    if planned.approval is None:
        return decision.allows(version, digest, policy)
    return decision.holds(version, digest, decision.policy_hash if planned.override else policy)


def _void(home: Services, planned: Intent, intent: Receipt, why: str) -> None:
    """Take the alias back and record that production did not move."""
    restore_alias(home)
    home.ledger.append(planned.void(intent.digest, _production(home), why))
