"""Manual approval of candidates: requests, approvals and rejections."""

import contextlib
import datetime as dt
from dataclasses import dataclass, replace

from pydantic import JsonValue

from churn_platform.base.errors import ContractError, HomeBusy, IntegrityError, UsageError
from churn_platform.base.home import Home
from churn_platform.base.text import ended
from churn_platform.contract.model import Contract
from churn_platform.features.training_datasets import TrainingDatasets
from churn_platform.ledger.receipts import Receipt, model_named
from churn_platform.ledger.state import ProductionState, Request, moment
from churn_platform.ledger.store import LedgerStore
from churn_platform.ledger.version_acts import (
    AnyVersionAct,
    ApprovalLapsed,
    ApprovalRequested,
    Approved,
    Bound,
    PromotionIntent,
    Rejected,
)
from churn_platform.promotion.decision import Decision
from churn_platform.promotion.promotions import Decisions, Promotions, signed
from churn_platform.promotion.publishing import ReleasePublisher
from churn_platform.promotion.shadow_evidence import shadow_sentence
from churn_platform.training.candidate import candidate_of
from churn_platform.training.registry import CANDIDATE, ModelRegistry
from churn_platform.training.version_contracts import VersionContracts


def how_to_answer(version: int) -> str:
    """The commands, as people type them."""
    return (
        f"`churn approve {version} --by NAME --reason TEXT` promotes it, `churn reject"
        f" {version} ...` does not."
    )


@dataclass(frozen=True)
class Approvals:
    """Asks for approvals of candidates, and records the answers."""

    home: Home
    contract: Contract
    ledger: LedgerStore
    registry: ModelRegistry
    datasets: TrainingDatasets
    decisions: Decisions
    publisher: ReleasePublisher
    promotions: Promotions
    version_contracts: VersionContracts

    def waiting(self, *, deep: bool = False) -> tuple[Request, str | None] | None:
        """The request without an answer, and why it has lapsed by now (None: it holds); None if
        nothing waits.

        Args:
            deep: ask MLflow too, whether the candidate is still the same; it takes seconds.
        """
        request = self.ledger.state().pending
        if request is None:
            return None
        newest = self.decisions.newest()
        present = self._bound(newest)
        if deep:
            present = replace(
                present,
                version=self.registry.alias(CANDIDATE) or newest.candidate_version,
                candidate=self._digest_now(newest.candidate_version),
            )
        return request, lapse(request, present, self.home.now())

    def record_lapse(self, *, deep: bool = False) -> str | None:
        """Write the receipt of a request that has lapsed, once; the reason, None if none has."""
        found = self.waiting(deep=deep)
        if found is None or found[1] is None:
            return None
        request, why = found
        lapsed = request.bound.act(ApprovalLapsed, reason=why, request=request.receipt)
        self.ledger.append(lapsed)
        return why

    def record_lapse_if_free(self) -> None:
        """`record_lapse` for a caller that does not hold the home; the holder records it, if
        there is one.
        """
        found = self.waiting()
        if found is not None and found[1] is not None:
            with contextlib.suppress(HomeBusy), self.home.exclusive("a sensor", 0):
                self.record_lapse()

    def request(self, decision: Decision) -> str:
        """Ask for the approval of a pending decision, once; describes what is to be done."""
        bound = self._bound(decision)
        how = how_to_answer(decision.candidate_version)
        already = self.ledger.state().standing_request(bound)
        if already is not None:
            return f"{already.sentence()} {how}"
        days = dt.timedelta(days=self.contract.policy.promotion.approval_days)
        lapses = (self.home.now() + days).isoformat()
        receipt = self.ledger.append(
            bound.act(
                ApprovalRequested,
                after=decision.candidate_version,
                reason=decision.reason,
                as_of=decision.as_of,
                until=lapses,
            )
        )
        said = f"{Request(bound, receipt.time, lapses, receipt.digest).sentence()} {how}"
        if decision.contact_value is not None:
            said += f" {decision.contact_value.sentence}"
        shadow = self.shown_as_shadow(decision.candidate_version)
        return said if shadow is None else f"{said} {shadow}"

    def shown_as_shadow(self, version: int) -> str | None:
        """What a version showed as a shadow; None if it was not a shadow."""
        return shadow_sentence(self.decisions.records, version)

    def why_not_allowed(self, decision: Decision) -> str | None:
        """Why a person has blocked promoting the version, or asking for it; None if allowed.

        A version that was rejected is never promoted automatically, but asked for again when it
        was judged anew.
        """
        state = self.ledger.state()
        version = decision.candidate_version
        if decision.decision != "pending" or version in state.blocked:
            return state.barred().get(version)
        request = state.standing_request(self._bound(decision))
        if request is None or request.state == "pending":
            return None
        return request.sentence()

    def approve(self, version: int, by: str, reason: str, *, override: bool = False) -> str:
        """Promote a candidate by a manual approval; describes what was done.

        Args:
            version: the version that passed and waits; with `override` also one that was
                refused.
            by: the name of the person.
            reason: why, for the ledger.
            override: promote against the decision.

        Raises:
            UsageError: it is in production already, unknown, rejected, lapsed, blocked, or
                refused without `override`.
            ContractError: it cannot score under the contract in use.
            IntegrityError: the model is no longer what was decided on.
            HomeBusy: a run holds the home.
        """
        by, reason = signed(by, reason)
        with self.promotions.acting(f"the approval of version {version} by {by}"):
            self.record_lapse(deep=True)
            state = self.ledger.state()
            decision = self._decision_on(version, state)
            self._check_servable(decision, state)
            against = _against(decision, state)
            if against is not None and not override:
                raise UsageError(
                    f"{against} With --override and a reason it is promoted all the same.",
                    code="APPROVAL_NOT_POSSIBLE",
                )
            shadow = self.shown_as_shadow(version)
            evidence: dict[str, JsonValue] = {} if shadow is None else {"shadow": shadow}
            approval = self.ledger.append(
                self._answer(
                    Approved,
                    decision,
                    actor=by,
                    reason=reason,
                    after=version,
                    override=against is not None,
                    against=against,
                    **evidence,
                )
            )
            self.promotions.carry_out(PromotionIntent.approved_by(approval))
            self.record_lapse()
        if against is None:
            overridden = ""
        else:
            overridden = f", overriding the decision ({against})"
        said = f"Version {version} is in production, approved by {by}{overridden}: {ended(reason)}"
        return said if shadow is None else f"{said} {shadow}"

    def reject(self, version: int, by: str, reason: str) -> str:
        """Refuse a candidate that waits: production stays, and the version is never promoted
        automatically.

        Raises:
            UsageError: the version does not wait for an approval.
            HomeBusy: a run holds the home.
        """
        by, reason = signed(by, reason)
        with self.promotions.acting(f"the rejection of version {version} by {by}"):
            self.record_lapse(deep=True)
            state = self.ledger.state()
            decision = self._decision_on(version, state)
            against = state.why_not_waiting(version)
            if against is not None:
                raise UsageError(against, code="APPROVAL_NOT_POSSIBLE")
            production = self.promotions.production
            self.ledger.append(
                self._answer(Rejected, decision, actor=by, reason=reason, after=production)
            )
        return f"Version {version} is rejected by {by}, production stays as it is: {ended(reason)}"

    def _bound(self, decision: Decision) -> Bound:
        """What an approval of this decision is bound to, as it is now."""
        dataset = decision.evidence["dataset"]
        return Bound(
            version=decision.candidate_version,
            candidate=decision.candidate_digest,
            decision=decision.digest,
            dataset="gone" if self.datasets.month_of(dataset) is None else dataset,
            policy=self.contract.policy_hash,
            production=self.promotions.production,
        )

    def _digest_now(self, version: int) -> str:
        """The candidate's digest if its files are those that were judged."""
        try:
            return candidate_of(self.publisher.judged_version(version), version).digest
        except (IntegrityError, UsageError):  # damaged, exchanged or gone: nothing to approve
            return "changed"

    def _decision_on(self, version: int, state: ProductionState) -> Decision:
        """The newest decision on a version that is not in production.

        Raises:
            UsageError: it is in production, or there is no decision on it.
        """
        if self.promotions.production == version:
            done = state.change_to(version)
            if done is None:
                who = ""
            else:
                who = f": {done.actor} {_did(done)} at {moment(done.time)} ({done.reason})"
            raise UsageError(
                f"Version {version} is already in production{who}.", code="VERSION_IN_PRODUCTION"
            )
        decisions = self.decisions.all()
        found = [decision for decision in decisions if decision.candidate_version == version]
        if not found and version in state.imports:
            raise UsageError(
                f"Version {version} was imported, and no decision is made on it: `churn"
                " import-model` with the same file and --serve puts it into production.",
                code="DECISION_MISSING",
            )
        if not found:
            numbers = sorted({decision.candidate_version for decision in decisions})
            known = ", ".join(map(str, numbers)) or "none yet"
            raise UsageError(
                f"There is no decision on version {version}; versions decided on: {known}.",
                code="DECISION_MISSING",
            )
        return found[-1]

    def _check_servable(self, decision: Decision, state: ProductionState) -> None:
        """What no person can override.

        Raises:
            UsageError: the version is blocked.
            ContractError: it cannot score under the contract in use.
            IntegrityError: its files are not what was decided on.
        """
        version = decision.candidate_version
        if version in state.blocked:
            raise UsageError(state.why_blocked(version), code="VERSION_BLOCKED")
        candidate = candidate_of(self.publisher.judged_version(version), version)
        changed = decision.holds(version, candidate.digest, decision.policy_hash)
        if changed is not None:
            raise IntegrityError(changed)
        why_not = self.version_contracts.why_not(candidate.card)
        if why_not:
            raise ContractError(
                f"Version {version} could not serve. {why_not} Put it back, or train another"
                " candidate.",
                code="CONTRACT_CHANGED",
            )

    def _answer(
        self, kind: type[AnyVersionAct], decision: Decision, **fields: JsonValue
    ) -> AnyVersionAct:
        """A person's answer; `login` is who was logged in, whatever name was given."""
        request = self.ledger.state().pending
        if request is not None and request.version != decision.candidate_version:
            request = None
        return self._bound(decision).act(
            kind,
            as_of=decision.as_of,
            request=None if request is None else request.receipt,
            login=self.home.settings.who,
            **fields,
        )


def lapse(request: Request, present: Bound, now: dt.datetime) -> str | None:
    """None while a request holds; else the sentence why it lapses.

    Args:
        request: the request.
        present: the newest candidate and what it depends on, as they are now.
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
            now > dt.datetime.fromisoformat(request.until),
            f"Nobody answered until {moment(request.until)}.",
        ),
    )
    return next((sentence for changed, sentence in changes if changed), None)


def _against(decision: Decision, state: ProductionState) -> str | None:
    """Why the version must not be promoted on a person's approval alone; None if it may."""
    if not decision.passed:
        return f"Version {decision.candidate_version} was refused: {decision.reason}"
    return state.why_not_waiting(decision.candidate_version)


def _did(done: Receipt) -> str:
    if done.act == "rollback done":
        return "rolled back to it"
    if "approval" in done.evidence:
        return "approved it"
    return "promoted it"
