"""The scoreboard of a home: every decision in the light of the labels that matured since. Reads
only.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.base.provenance import code_digest
from churn_platform.contract.model import Contract
from churn_platform.monitoring.versions import Versions
from churn_platform.promotion.decision import Decision
from churn_platform.replay.memory import Memory
from churn_platform.replay.replaying import history_of
from churn_platform.replay.scoreboard import (
    Judged,
    Takeover,
    events,
    judge,
    judging_months,
    takeovers,
    totals,
)
from churn_platform.replay.version_scores import Scores
from churn_platform.services import Services

IN_COSTS = "in the contract's costs"
IN_AUC = "in AUC times months"


def scoreboard(home: Services) -> dict[str, Any]:
    """Every decision judged, totals, and the unit of what was gained, as plain JSON values.

    Raises:
        UsageError: no month was published.
        ContractError: the lake was written under another contract.
        IntegrityError: the ledger is broken.
        StoreDown: MLflow's server does not answer.
    """
    contract = home.contract
    history = history_of(home)
    scores = Scores(contract, Memory(history, code_digest()))
    versions = Versions(home)
    decisions = [Decision.model_validate(record) for record in home.records.decisions()]
    matured = [month.isoformat() for month in history.matured(contract, max(history.months))]
    after = [
        *takeovers(events(home.ledger.receipts())),
        [],
    ]  # the newest may have been cut off before its receipt
    judged = [
        _judged(contract, scores, versions, decision, later, matured)
        for decision, later in zip(decisions, after, strict=False)
    ]
    return {
        "gained": IN_COSTS if contract.costs_given else IN_AUC,
        "totals": totals(judged).as_dict(),
        "decisions": [one.as_dict() for one in judged],
    }


def _judged(
    contract: Contract,
    scores: Scores,
    versions: Versions,
    decision: Decision,
    later: Sequence[Takeover],
    matured: list[str],
) -> Judged:
    policy = contract.policy
    months, final = judging_months(decision, later, matured, policy.verdict.judged_months)
    pair = [v for v in (decision.candidate_version, decision.production_version) if v is not None]
    if not months:
        return judge(decision, None, policy.promotion, final=final)
    if why := next(filter(None, (_unusable(versions, version) for version in pair)), None):
        return replace(
            judge(decision, None, policy.promotion, final=final), sentence=f"Not judged: {why}"
        )
    candidate, *rest = [versions.load(version) for version in pair]
    incumbent = rest[0] if rest else None
    gain = scores.gain(candidate, incumbent, months)
    gained = None
    if gain is not None and contract.costs_given:
        saved = scores.saved(candidate, incumbent, gain.months)
        gained = -saved if decision.decision == "refused" else saved
    return judge(decision, gain, policy.promotion, gained=gained, final=final)


def _unusable(versions: Versions, version: int) -> str | None:
    """Why a version cannot be scored, which leaves its decisions open and no others; None when
    it can.
    """
    try:
        if versions.fits_contract(version):
            return None
    except (UsageError, IntegrityError) as error:
        return str(error)
    return f"version {version} was trained under another contract."
