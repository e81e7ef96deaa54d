"""Production changes: intent, release, pointer, done. Any kill leaves them repairable."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from churn_platform.base.digests import readable
from churn_platform.base.errors import DataError, IntegrityError, UsageError
from churn_platform.base.home import Home
from churn_platform.contract.model import Contract
from churn_platform.lake.records import Records
from churn_platform.ledger.acts import Recovered
from churn_platform.ledger.receipts import Receipt, model_named, named
from churn_platform.ledger.store import LedgerStore
from churn_platform.ledger.version_acts import (
    ApprovalLapsed,
    Intent,
    ProductionKept,
    PromotionIntent,
    RollbackIntent,
    VersionBlocked,
    VersionUnblocked,
    intent_of,
)
from churn_platform.promotion.decision import Decision, Trigger
from churn_platform.promotion.publishing import ReleasePublisher
from churn_platform.training.candidate import FILES, Candidate, candidate_of
from churn_platform.training.registry import PRODUCTION, ModelRegistry
from churn_platform.training.releases import Releases

ACTIVATION_DELAY = dt.timedelta(seconds=2)
"""All serving workers load the release first and change over at one instant."""
PATIENCE = 5.0
"""Seconds that a person's command waits for another one. A run takes longer: it is named
instead.
"""


def released(releases: Releases, version: int) -> Candidate:
    """A released version, every file verified. MLflow is not asked.

    Raises:
        IntegrityError: a file of the release was changed.
    """
    releases.verify(version)
    files = {name: releases.path(version, name).read_bytes() for name in FILES}
    return candidate_of(files, version)


def production_candidate(releases: Releases) -> Candidate | None:
    """The model in production, from its release; None before the first promotion."""
    pointer = releases.pointer()
    if pointer is None:
        return None
    return released(releases, pointer.version)


def signed(by: str, reason: str) -> tuple[str, str]:
    """A name and a reason, without surrounding blanks.

    Raises:
        UsageError: one of them is empty, or not text that can be written.
    """
    by = " ".join(by.split())
    reason = " ".join(reason.split())
    if not by or not reason:
        raise UsageError(
            "--by and --reason must not be empty: the ledger keeps who did it and why.",
            code="TEXT_INVALID",
        )
    for option, text in (("--by", by), ("--reason", reason)):
        if readable(text) != text:
            raise UsageError(
                f"{option} {readable(text)} is not UTF-8: use a UTF-8 terminal, or ASCII.",
                code="TEXT_INVALID",
            )
    return by, reason


def lost_version(version: int) -> str:
    """What it means that the version in production was deleted in MLflow, and what to do."""
    return (
        f"Version {version} is in production but was deleted in MLflow. MLflow cannot recreate"
        " it under the same number. Its release still serves. Put another version into"
        " production with `churn rollback`, or wait for the next promotion."
    )


@dataclass(frozen=True)
class Decisions:
    """The decisions of a home, in the order in which they were made."""

    records: Records
    ledger: LedgerStore

    def all(self) -> list[Decision]:
        """Every decision, oldest first."""
        return [Decision.model_validate(record) for record in self.records.decisions()]

    def newest(self) -> Decision:
        """The newest decision.

        Raises:
            DataError: there is none.
        """
        decisions = self.records.decisions()
        if not decisions:
            raise DataError(
                "There is no decision yet: materialize promotion_decision first.",
                code="DECISION_MISSING",
            )
        return Decision.model_validate(decisions[-1])

    def find(self, digest: str) -> Decision | None:
        """The decision of this digest; None if it is not in the home, or was changed."""
        return next((found for found in reversed(self.all()) if found.digest == digest), None)

    def unfinished(self) -> Trigger | None:
        """The newest decision's trigger, if no receipt shows that it was carried out."""
        decisions = self.all()
        if not decisions or decisions[-1].digest in self.ledger.state().settled:
            return None
        return decisions[-1].trigger


@dataclass(frozen=True)
class Promotions:
    """Changes what is in production, and completes a change that was cut off.

    The pointer of the releases is the truth. MLflow's alias mirrors it.
    """

    home: Home
    contract: Contract
    ledger: LedgerStore
    releases: Releases
    registry: ModelRegistry
    decisions: Decisions
    publisher: ReleasePublisher

    @property
    def production(self) -> int | None:
        """The version in production; None before the first promotion."""
        pointer = self.releases.read_pointer()
        if pointer is None:
            return None
        return pointer.version

    @contextlib.contextmanager
    def acting(self, act: str) -> Iterator[None]:
        """Hold the home for a person's act, and complete a cut-off change first.

        Raises:
            HomeBusy: a run holds the home.
        """
        with self.home.exclusive(f"{act}, a process", PATIENCE):
            self.recover()
            yield

    def promote(self, decision: Decision) -> Receipt:
        """Put an approved decision's version into production; again, it completes what is
        missing.
        """
        return self.carry_out(
            PromotionIntent(
                version=decision.candidate_version,
                before=decision.production_version,
                after=decision.candidate_version,
                actor=self.home.settings.who,
                reason=decision.reason,
                decision=decision.digest,
                candidate=decision.candidate_digest,
                as_of=decision.as_of,
            )
        )

    def carry_out(self, planned: Intent) -> Receipt:
        """Carry out a planned change: intent, release, pointer, done. Every step is idempotent,
        so the same plan again completes what a kill left.

        Returns:
            The receipt that it is done.

        Raises:
            IntegrityError: the model or its release was changed; production has not changed.
        """
        intent = self.ledger.state().open_intent
        if intent is None or intent_of(intent) != planned:
            intent = self.ledger.append(planned)
        pointer = self.releases.read_pointer()
        if pointer is None or pointer.version != planned.version:
            self.publisher.publish(planned)
            pointer = self.releases.point(
                planned.version,
                ledger_head=intent.digest,
                activate_at=(self.home.now() + ACTIVATION_DELAY).isoformat(),
                as_of=planned.as_of,
            )
        self.restore_alias()
        if isinstance(planned, RollbackIntent):
            self._block(planned)
        done = self.ledger.append(planned.done(intent.digest, pointer.activate_at))
        self.registry.anchor(planned.version, done.digest)
        return done

    def recover(self) -> str | None:
        """Complete the change that a kill cut off. If it cannot be completed and production has
        not changed, cancel it, or let its approval lapse.

        Returns:
            What was done, in a sentence; None if nothing had been cut off.

        Raises:
            IntegrityError: a store cannot be read; nothing was changed.
        """
        state = self.ledger.state()
        if state.open_intent is not None:
            return self._recover_change(state.open_intent)
        if state.unused_approval is not None:
            return self._recover_approval(state.unused_approval)
        return None

    def _recover_change(self, intent: Receipt) -> str:
        planned = intent_of(intent)
        moved = self.production == planned.version
        why_not = None if moved else self._why_not(planned)
        what = f"The {planned.kind} of version {planned.version} was cut off"
        if why_not is None:
            self.carry_out(planned)
            said = f"{what} {'after' if moved else 'before'} the pointer moved: it was completed."
        else:
            self.restore_alias()  # until 0.2 the alias moved first
            self.ledger.append(planned.void(intent.digest, self.production, why_not))
            said = f"{what} before the pointer moved, and cannot be completed: {why_not}"
        return self._recovered(planned, said, intent=intent.digest)

    def _recover_approval(self, approval: Receipt) -> str:
        planned = PromotionIntent.approved_by(approval)
        why_not = self._why_not(planned)
        what = (
            f"The promotion of version {planned.version}, approved by {planned.actor}, was cut"
            " off before it began"
        )
        if why_not is None:
            self.carry_out(planned)
            said = f"{what}: it was completed."
        else:
            said = f"{what}, and cannot be completed: {why_not}"
            plan = planned.model_dump() | {"actor": "", "reason": said}
            self.ledger.append(ApprovalLapsed(**plan))
        return self._recovered(planned, said, approval=approval.digest)

    def _recovered(self, planned: Intent, said: str, **evidence: str) -> str:
        self.ledger.append(
            Recovered(
                subject=f"version {planned.version}",
                before=named(planned.before),
                after=named(self.production),
                reason=said,
                **evidence,
            )
        )
        return said

    def restore_alias(self) -> None:
        """Set MLflow's alias to what the pointer names.

        A person may have moved the alias by hand, and deleting a version deletes its alias
        silently. A deleted version cannot have one: its release keeps serving, and `churn
        verify` reports it.
        """
        pointer = self.releases.pointer()
        if pointer is None:
            self.registry.remove_alias(PRODUCTION)
            return
        stale = self.registry.alias(PRODUCTION) != pointer.version
        if stale and self.registry.has(pointer.version):
            self.registry.set_alias(PRODUCTION, pointer.version)

    def keep(self, decision: Decision, why: str) -> None:
        """Record that production stays as it is."""
        pointer = self.releases.pointer()
        kept = None if pointer is None else pointer.version
        self.ledger.append(
            ProductionKept(
                production=kept,
                before=kept,
                after=kept,
                reason=why,
                decision=decision.digest,
                candidate=decision.candidate_digest,
            )
        )

    def _block(self, planned: RollbackIntent) -> None:
        """Block the version that a rollback leaves and unblock the one that it brings back, each
        recorded once.
        """
        blocked = self.ledger.state().blocked
        signature = {"actor": planned.actor, "reason": planned.reason}
        if planned.blocks is not None and planned.blocks not in blocked:
            self.ledger.append(VersionBlocked(version=planned.blocks, **signature))
        if planned.unblocks is not None and planned.unblocks in blocked:
            self.ledger.append(VersionUnblocked(version=planned.unblocks, **signature))

    def _why_not(self, planned: Intent) -> str | None:
        """Why a change that was cut off cannot be completed; None if it can, and its release is
        complete now.
        """
        # A store that cannot be read is no reason to cancel the change: this raises.
        self.registry.alias(PRODUCTION)
        try:
            if isinstance(planned, PromotionIntent):
                why_not = self._why_lapsed(planned)
                if why_not is not None:
                    return why_not
            self.publisher.publish(planned)
        except (DataError, IntegrityError, UsageError) as error:
            return str(error)
        return None

    def _why_lapsed(self, planned: PromotionIntent) -> str | None:
        """Why a promotion no longer is what was decided, approved or imported; None if it is."""
        production = self.production
        if production != planned.before:
            return (
                f"Production is {model_named(production)} now, it was"
                f" {model_named(planned.before)}."
            )
        digest = self.registry.load(planned.version).digest
        if planned.imported is not None:
            return None if digest == planned.candidate else "The model is not what was imported."
        decision = self.decisions.find(planned.decision)
        if decision is None:
            return "Its decision is not in the home any more: decide again."
        policy = self.contract.policy_hash
        if planned.approval is None:
            return decision.allows(planned.version, digest, policy)
        if planned.override:
            policy = decision.policy_hash
        return decision.holds(planned.version, digest, policy)
