"""People's word on candidates: approving one, with or against its decision, and rejecting one."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from churn_platform.base.digests import readable
from churn_platform.base.errors import ContractError, HomeBusy, IntegrityError, UsageError
from churn_platform.base.text import ended
from churn_platform.ledger.approvals import (
    Request,
    lapse,
    moment,
    until,
)
from churn_platform.ledger.receipts import Receipt
from churn_platform.ledger.state import ProductionState
from churn_platform.ledger.version_acts import (
    ApprovalLapsed,
    ApprovalRequested,
    Approved,
    Bound,
    PromotionIntent,
    Rejected,
)
from churn_platform.promotion.decision import Decision
from churn_platform.promotion.promoting import decision_digest, move, recover
from churn_platform.promotion.publishing import judged_version
from churn_platform.services import Services
from churn_platform.training.candidate import candidate_of
from churn_platform.training.registry import CANDIDATE

PATIENCE = 5.0
"""Seconds that a person's command waits for another one; a run takes longer, and is named
instead.
"""


def signed(by: str, reason: str) -> tuple[str, str]:
    """A name and a reason, without blanks around them.

    Raises:
        UsageError: one of them is empty, or no text that can be written.
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


@contextlib.contextmanager
def acting(home: Services, act: str) -> Iterator[None]:
    """Hold the home for a person's act, named as who finds it held will read it; completes a
    cut-off move first.

    Raises:
        HomeBusy: a run holds the home.
    """
    with home.exclusive(f"{act}, a process", PATIENCE):
        recover(home)
        yield


def bound_now(home: Services, decision: Decision, candidate: str | None = None) -> Bound:
    """What an approval of this decision is bound to, as it is now.

    Args:
        home: the home.
        decision: the decision.
        candidate: digest of the model as it is now; None takes the decision's word, without
            asking MLflow.
    """
    pointer = home.releases.read_pointer()
    dataset = decision.evidence["dataset"]
    return Bound(
        version=decision.candidate_version,
        candidate=candidate or decision.candidate_digest,
        decision=decision_digest(decision),
        dataset="gone" if home.training_datasets.month_of(dataset) is None else dataset,
        policy=home.contract.policy_hash,
        production=None if pointer is None else pointer.version,
    )


def waiting(home: Services, *, deep: bool = False) -> tuple[Request, str | None] | None:
    """The request without an answer, and why it has lapsed by now (None: it holds); None when
    nothing waits.

    Args:
        home: the home.
        deep: ask MLflow too, whether the candidate is still the same; it takes seconds.
    """
    request = home.ledger.state().pending
    if request is None:
        return None
    newest = Decision.model_validate(home.records.decisions()[-1])
    if not deep:
        return request, lapse(request, bound_now(home, newest), home.now())
    candidate = home.registry.alias(CANDIDATE) or newest.candidate_version
    bound = bound_now(home, newest, _digest_now(home, newest.candidate_version))
    return request, lapse(request, replace(bound, version=candidate), home.now())


def _digest_now(home: Services, version: int) -> str:
    """The candidate's digest, by files that are those that were judged; else that it is not
    what it was.
    """
    try:
        return candidate_of(judged_version(home, version), version).digest
    except (
        IntegrityError,
        UsageError,
    ):  # damaged, exchanged or gone: no answer could carry it out
        return "changed"


def record_lapse(home: Services, *, deep: bool = False) -> str | None:
    """Write the receipt of a request that has lapsed, once; the sentence why, None when none
    has.
    """
    found = waiting(home, deep=deep)
    if found is None or found[1] is None:
        return None
    request, why = found
    home.ledger.append(
        ApprovalLapsed(**request.bound.act_fields(), reason=why, request=request.receipt)
    )
    return why


def record_lapse_if_free(home: Services) -> None:
    """`record_lapse` for who does not hold the home; while someone does, it is left to them."""
    found = waiting(home)
    if found is not None and found[1] is not None:
        with contextlib.suppress(HomeBusy), home.exclusive("a sensor", 0):
            record_lapse(home)


def ask(home: Services, decision: Decision) -> str:
    """Ask people for the approval of a pending decision, once; describes what is to be done."""
    now = home.now()
    bound = bound_now(home, decision)
    already = home.ledger.state().standing_request(bound)
    if already is not None:
        return f"{already.sentence()} {how_to_answer(decision.candidate_version)}"
    lapses = until(now, home.contract.policy.promotion.approval_days)
    receipt = home.ledger.append(
        ApprovalRequested(
            **bound.act_fields(),
            after=decision.candidate_version,
            reason=decision.reason,
            as_of=decision.as_of,
            until=lapses,
        )
    )
    return (
        f"{Request(bound, receipt.time, lapses, receipt.digest).sentence()}"
        f" {how_to_answer(decision.candidate_version)}"
    )


def how_to_answer(version: int) -> str:
    """The commands, as people type them."""
    return (
        f"`churn approve {version} --by NAME --reason TEXT` promotes it, `churn reject"
        f" {version} ...` does not."
    )


def kept_by_people(home: Services, decision: Decision) -> str | None:
    """None if no person has blocked promoting the version, or asking for it; else the sentence
    who did.

    A version that was rejected is never promoted by itself, but asked for again when it was
    judged anew.
    """
    state = home.ledger.state()
    version = decision.candidate_version
    if decision.decision != "pending" or version in state.blocked:
        return state.barred().get(version)
    request = state.standing_request(bound_now(home, decision))
    if request is None or request.state == "pending":
        return None
    return request.sentence()


def approve(home: Services, version: int, by: str, reason: str, *, override: bool = False) -> str:
    """Promote a candidate on a person's word; the sentence what was done.

    Args:
        home: the home.
        version: the version that passed and waits; with `override` also one that was refused.
        by: the name of the person.
        reason: why, for the ledger.
        override: promote against the decision.

    Raises:
        UsageError: it is in production already, unknown, rejected, lapsed, blocked, or refused
            without `override`.
        ContractError: it was trained under another contract: it could not serve.
        IntegrityError: the model is no longer what was decided on.
        HomeBusy: a run holds the home.
    """
    by, reason = signed(by, reason)
    with acting(home, f"the approval of version {version} by {by}"):
        record_lapse(home, deep=True)
        state = home.ledger.state()
        decision = _decision_on(home, version, state)
        _check_servable(home, decision, state)
        against = _against(decision, state)
        if against is not None and not override:
            raise UsageError(
                f"{against} With --override and a reason it is promoted all the same.",
                code="APPROVAL_NOT_POSSIBLE",
            )
        answer = _answer(home, decision, by, reason)
        approval = home.ledger.append(
            Approved(
                **answer,
                after=decision.candidate_version,
                override=against is not None,
                against=against,
            )
        )
        move(home, PromotionIntent.approved_by(approval))
        record_lapse(home)
    if against is None:
        overridden = ""
    else:
        overridden = f", overriding the decision ({against})"
    return f"Version {version} is in production, approved by {by}{overridden}: {ended(reason)}"


def reject(home: Services, version: int, by: str, reason: str) -> str:
    """Answer a request with no; production stays, and the version is never promoted by itself.

    Raises:
        UsageError: the version does not wait for an approval.
        HomeBusy: a run holds the home.
    """
    by, reason = signed(by, reason)
    with acting(home, f"the rejection of version {version} by {by}"):
        record_lapse(home, deep=True)
        state = home.ledger.state()
        decision = _decision_on(home, version, state)
        against = state.why_not_waiting(version)
        if against is not None:
            raise UsageError(against, code="APPROVAL_NOT_POSSIBLE")
        answer = _answer(home, decision, by, reason)
        home.ledger.append(Rejected(**answer, after=answer["before"]))
    return f"Version {version} is rejected by {by}, production stays as it is: {ended(reason)}"


def _decision_on(home: Services, version: int, state: ProductionState) -> Decision:
    """The newest decision on a version that is not in production.

    Raises:
        UsageError: it is in production, or there is no decision on it.
    """
    pointer = home.releases.read_pointer()
    if pointer is not None and pointer.version == version:
        done = state.change_to(version)
        if done is None:
            who = ""
        else:
            who = f": {done.actor} {_did(done)} at {moment(done.time)} ({done.reason})"
        raise UsageError(
            f"Version {version} is already in production{who}.", code="VERSION_IN_PRODUCTION"
        )
    decisions = [Decision.model_validate(record) for record in home.records.decisions()]
    found = [decision for decision in decisions if decision.candidate_version == version]
    if not found:
        known = (
            ", ".join(str(known) for known in sorted({d.candidate_version for d in decisions}))
            or "none yet"
        )
        raise UsageError(
            f"There is no decision on version {version}; versions decided on: {known}.",
            code="DECISION_MISSING",
        )
    return found[-1]


def _check_servable(home: Services, decision: Decision, state: ProductionState) -> None:
    """What no person can override.

    Raises:
        UsageError: the version is blocked.
        ContractError: it was trained under another contract.
        IntegrityError: its files are not what was decided on.
    """
    version = decision.candidate_version
    if version in state.blocked:
        raise UsageError(state.why_blocked(version), code="VERSION_BLOCKED")
    if decision.evidence.get("contract") != home.contract.model_hash:
        raise ContractError(
            f"Version {version} was trained under another contract (entity, features or label):"
            " it could not serve. Put the contract back, or train another candidate.",
            code="CONTRACT_CHANGED",
        )
    digest = candidate_of(judged_version(home, version), version).digest
    changed = decision.holds(version, digest, decision.policy_hash)
    if changed is not None:
        raise IntegrityError(changed)


def _against(decision: Decision, state: ProductionState) -> str | None:
    """Why the version must not be promoted on a person's approval alone; None if it may."""
    if not decision.passed:
        return f"Version {decision.candidate_version} was refused: {decision.reason}"
    return state.why_not_waiting(decision.candidate_version)


def _answer(home: Services, decision: Decision, by: str, reason: str) -> dict[str, Any]:
    """The fields of an answer; `login` is who was logged in, whatever name was given."""
    request = home.ledger.state().pending
    mine = request is not None and request.version == decision.candidate_version
    return {
        **bound_now(home, decision).act_fields(),
        "actor": by,
        "reason": reason,
        "as_of": decision.as_of,
        "request": request.receipt if mine and request is not None else None,
        "login": home.settings.who,
    }


def _did(done: Receipt) -> str:
    if done.act == "rollback done":
        return "rolled back to it"
    if "approval" in done.evidence:
        return "approved it"
    return "promoted it"
