"""People's word on candidates: approving one, with or against its decision, and rejecting one.

Belongs here: what is checked before, the receipts, holding the home meanwhile. Does not: the rules
(`core/approval.py`), asking (`adapters/promotion/approval_requests.py`), moving production
(`adapters/promotion/promoting.py`).
"""

from typing import Any

from churn_platform.adapters.home import Home
from churn_platform.adapters.promotion.approval_requests import acting, bound_now, record_lapse, signed
from churn_platform.adapters.promotion.promoting import move
from churn_platform.adapters.promotion.publishing import judged_version
from churn_platform.core.approval import moment, objection, pending
from churn_platform.core.candidate import candidate_of
from churn_platform.core.ledger import Receipt
from churn_platform.core.moves import DONE, Move, named
from churn_platform.core.promotion import Decision
from churn_platform.core.sentences import ended
from churn_platform.core.standing import blocked, blocked_sentence
from churn_platform.errors import ContractError, IntegrityError, UsageError


def approve(home: Home, version: int, by: str, reason: str, *, override: bool = False) -> str:
    """Promote a candidate on a person's word; the sentence what was done.

    Args:
        home: the home.
        version: the version that passed and waits; with `override` also one that was refused.
        by: the name of the person.
        reason: why, for the ledger.
        override: promote against the decision.

    Raises:
        UsageError: it is in production already, unknown, rejected, lapsed, blocked, or refused without `override`.
        ContractError: it was trained under another contract: it could not serve.
        IntegrityError: the model is no longer what was decided on.
        HomeBusy: a run holds the home.
    """
    by, reason = signed(by, reason)
    with acting(home, f"the approval of version {version} by {by}"):
        record_lapse(home, deep=True)
        receipts = home.ledger.receipts()
        decision = _decision_on(home, version, receipts)
        _check_servable(home, decision, receipts)
        against = _against(decision, receipts)
        if against is not None and not override:
            raise UsageError(f"{against} With --override and a reason it is promoted all the same.")
        move(home, Move.approved(_approval(home, decision, by, reason, against)))
        record_lapse(home)
    overridden = "" if against is None else f", overriding the decision ({against})"
    return f"Version {version} is in production, approved by {by}{overridden}: {ended(reason)}"


def reject(home: Home, version: int, by: str, reason: str) -> str:
    """Answer a request with no; production stays, and the version is never promoted by itself.

    Raises:
        UsageError: the version does not wait for an approval.
        HomeBusy: a run holds the home.
    """
    by, reason = signed(by, reason)
    with acting(home, f"the rejection of version {version} by {by}"):
        record_lapse(home, deep=True)
        receipts = home.ledger.receipts()
        decision = _decision_on(home, version, receipts)
        against = objection(receipts, version)
        if against is not None:
            raise UsageError(against)
        home.ledger.append(act="rejection", **_answer(home, decision, by, reason))
    return f"Version {version} is rejected by {by}, production stays as it is: {ended(reason)}"


def _decision_on(home: Home, version: int, receipts: list[Receipt]) -> Decision:
    """The newest decision on a version that is not in production.

    Raises:
        UsageError: it is in production, or there is no decision on it.
    """
    pointer = home.releases.read_pointer()
    if pointer is not None and pointer.version == version:
        done = [r for r in receipts if r.act in DONE and r.subject == f"version {version}"]
        who = f": {done[-1].actor} {_did(done[-1])} at {moment(done[-1].time)} ({done[-1].reason})" if done else ""
        raise UsageError(f"Version {version} is already in production{who}.")
    decisions = [Decision.model_validate(record) for record in home.records.decisions()]
    found = [decision for decision in decisions if decision.candidate_version == version]
    if not found:
        known = ", ".join(str(known) for known in sorted({d.candidate_version for d in decisions})) or "none yet"
        raise UsageError(f"There is no decision on version {version}; versions decided on: {known}.")
    return found[-1]


def _check_servable(home: Home, decision: Decision, receipts: list[Receipt]) -> None:
    """What no person can override.

    Raises:
        UsageError: the version is blocked.
        ContractError: it was trained under another contract.
        IntegrityError: its files are not what was decided on.
    """
    version = decision.candidate_version
    if version in blocked(receipts):
        raise UsageError(blocked_sentence(version, blocked(receipts)[version]))
    if decision.evidence.get("contract") != home.contract.model_hash:
        raise ContractError(
            f"Version {version} was trained under another contract (entity, features or label): it could not serve. "
            "Put the contract back, or train another candidate."
        )
    digest = candidate_of(judged_version(home, version), version).digest
    changed = decision.holds(version, digest, decision.policy_hash)
    if changed is not None:
        raise IntegrityError(changed)


def _against(decision: Decision, receipts: list[Receipt]) -> str | None:
    """Why the version must not be promoted on a person's approval alone; None if it may."""
    if not decision.passed:
        return f"Version {decision.candidate_version} was refused: {decision.reason}"
    return objection(receipts, decision.candidate_version)


def _approval(home: Home, decision: Decision, by: str, reason: str, against: str | None) -> Receipt:
    answer = _answer(home, decision, by, reason)
    answer["after"] = f"version {decision.candidate_version}"
    answer["evidence"] |= {"override": against is not None, "against": against}
    return home.ledger.append(act="approval", **answer)


def _answer(home: Home, decision: Decision, by: str, reason: str) -> dict[str, Any]:
    """The fields of the receipt of an answer; `login` is who was logged in, whatever name was given."""
    bound, request = bound_now(home, decision), pending(home.ledger.receipts())
    mine = request is not None and request.version == decision.candidate_version
    return {
        "actor": by,
        "subject": f"version {decision.candidate_version}",
        "before": named(bound.production),
        "after": named(bound.production),
        "reason": reason,
        "evidence": {
            **bound.evidence(),
            "as_of": decision.as_of,
            "request": request.receipt if mine and request is not None else None,
            "login": home.settings.who,
        },
    }


def _did(done: Receipt) -> str:
    if done.act == "rollback done":
        return "rolled back to it"
    return "approved it" if "approval" in done.evidence else "promoted it"
