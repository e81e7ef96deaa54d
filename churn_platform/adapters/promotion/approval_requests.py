"""Requests for an approval: what they are bound to, asking once, letting them lapse.

Belongs here: reading what the home shows now, the receipts of asking and lapsing. Does not: the rules
(`core/approval.py`), answers (`adapters/promotion/approving.py`).
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from churn_platform.adapters.features.training_data import dataset_month
from churn_platform.adapters.home import Home
from churn_platform.adapters.models.registry import CANDIDATE
from churn_platform.adapters.promotion.promoting import decision_digest, recover
from churn_platform.adapters.promotion.publishing import judged_version
from churn_platform.core.approval import (
    Bound,
    Request,
    lapse,
    pending,
    until,
)
from churn_platform.core.candidate import candidate_of
from churn_platform.core.digest import readable
from churn_platform.core.moves import named
from churn_platform.core.promotion import Decision
from churn_platform.core.standing import barred, blocked, standing_request
from churn_platform.errors import HomeBusy, IntegrityError, UsageError

PATIENCE = 5.0
"""Seconds that a person's command waits for another one; a run takes longer, and is named instead."""


def signed(by: str, reason: str) -> tuple[str, str]:
    """A name and a reason, without blanks around them.

    Raises:
        UsageError: one of them is empty, or no text that can be written.
    """
    by, reason = " ".join(by.split()), " ".join(reason.split())
    if not by or not reason:
        raise UsageError("--by and --reason must not be empty: the ledger keeps who did it and why.")
    for option, text in (("--by", by), ("--reason", reason)):
        if readable(text) != text:
            raise UsageError(f"{option} {readable(text)} is not UTF-8: use a UTF-8 terminal, or ASCII.")
    return by, reason


@contextlib.contextmanager
def acting(home: Home, act: str) -> Iterator[None]:
    """Hold the home for a person's act, named as who finds it held will read it; completes a cut-off move first.

    Raises:
        HomeBusy: a run holds the home.
    """
    with home.exclusive(f"{act}, a process", PATIENCE):
        recover(home)
        yield


def bound_now(home: Home, decision: Decision, candidate: str | None = None) -> Bound:
    """What an approval of this decision is bound to, as it is now.

    Args:
        home: the home.
        decision: the decision.
        candidate: digest of the model as it is now; None takes the decision's word, without asking MLflow.
    """
    pointer = home.releases.read_pointer()
    dataset = decision.evidence["dataset"]
    return Bound(
        version=decision.candidate_version,
        candidate=candidate or decision.candidate_digest,
        decision=decision_digest(decision),
        dataset="gone" if dataset_month(home, dataset) is None else dataset,
        policy=home.contract.policy_hash,
        production=None if pointer is None else pointer.version,
    )


def waiting(home: Home, *, deep: bool = False) -> tuple[Request, str | None] | None:
    """The request without an answer, and why it has lapsed by now (None: it holds); None when nothing waits.

    Args:
        home: the home.
        deep: ask MLflow too, whether the candidate is still the same; it takes seconds.
    """
    request = pending(home.ledger.receipts())
    if request is None:
        return None
    newest = Decision.model_validate(home.records.decisions()[-1])
    if not deep:
        return request, lapse(request, bound_now(home, newest), home.now())
    candidate = home.registry.alias(CANDIDATE) or newest.candidate_version
    bound = bound_now(home, newest, _digest_now(home, newest.candidate_version))
    return request, lapse(request, replace(bound, version=candidate), home.now())


def _digest_now(home: Home, version: int) -> str:
    """The candidate's digest, by files that are those that were judged; else that it is not what it was."""
    try:
        return candidate_of(judged_version(home, version), version).digest
    except (IntegrityError, UsageError):  # damaged, exchanged or gone: no answer could carry it out
        return "changed"


def record_lapse(home: Home, *, deep: bool = False) -> str | None:
    """Write the receipt of a request that has lapsed, once; the sentence why, None when none has."""
    found = waiting(home, deep=deep)
    if found is None or found[1] is None:
        return None
    request, why = found
    home.ledger.append(
        actor=home.settings.who,
        act="approval lapsed",
        subject=f"version {request.version}",
        before=named(request.bound.production),
        reason=str(why),
        evidence={**request.bound.evidence(), "request": request.receipt},
    )
    return why


def record_lapse_if_free(home: Home) -> None:
    """`record_lapse` for who does not hold the home; while someone does, it is left to them."""
    found = waiting(home)
    if found is not None and found[1] is not None:
        with contextlib.suppress(HomeBusy), home.exclusive("a sensor", 0):
            record_lapse(home)


def ask(home: Home, decision: Decision) -> str:
    """Ask people for the approval of a pending decision, once; describes what is to be done."""
    receipts, now = home.ledger.receipts(), home.now()
    bound = bound_now(home, decision)
    already = standing_request(receipts, bound)
    if already is not None:
        return f"{already.sentence()} {how_to_answer(decision.candidate_version)}"
    lapses = until(now, home.contract.policy.promotion.approval_days)
    receipt = home.ledger.append(
        actor=home.settings.who,
        act="approval requested",
        subject=f"version {decision.candidate_version}",
        before=named(bound.production),
        after=f"version {decision.candidate_version}",
        reason=decision.reason,
        evidence={**bound.evidence(), "as_of": decision.as_of, "until": lapses},
    )
    return (
        f"{Request(bound, receipt.time, lapses, receipt.digest).sentence()} {how_to_answer(decision.candidate_version)}"
    )


def how_to_answer(version: int) -> str:
    """The commands, as people type them."""
    return f"`churn approve {version} --by NAME --reason TEXT` promotes it, `churn reject {version} ...` does not."


def kept_by_people(home: Home, decision: Decision) -> str | None:
    """None if no person has blocked promoting the version, or asking for it; else the sentence who did.

    A version that was rejected is never promoted by itself, but asked for again when it was judged anew.
    """
    receipts, version = home.ledger.receipts(), decision.candidate_version
    if decision.decision != "pending" or version in blocked(receipts):
        return barred(receipts).get(version)
    request = standing_request(receipts, bound_now(home, decision))
    return None if request is None or request.state == "pending" else request.sentence()
