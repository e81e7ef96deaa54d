"""The scoreboard of a home: every decision judged on the labels that matured since. Reads only."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.base.provenance import code_digest
from churn_platform.contract.model import Contract
from churn_platform.evaluation.costs import RowCosts
from churn_platform.evaluation.statistics import BoolArray
from churn_platform.lake.lake import Lake
from churn_platform.ledger.store import LedgerStore
from churn_platform.monitoring.versions import Versions
from churn_platform.promotion.decision import Decision
from churn_platform.replay.memory import Memory
from churn_platform.replay.replaying import history_of
from churn_platform.replay.scoreboard import (
    JudgedDecision,
    Takeover,
    Totals,
    events,
    judge,
    judging_months,
    takeovers,
    totals,
)
from churn_platform.training.candidate import Candidate

IN_COSTS = "in the contract's costs"
IN_AUC = "in AUC times months"


@dataclass(frozen=True)
class JudgedDecisions:
    """Every decision judged, and the unit of what was gained."""

    gained: str
    totals: Totals
    decisions: tuple[JudgedDecision, ...]


class Scoreboard:
    """Judges the decisions of one home."""

    def __init__(
        self,
        contract: Contract,
        lake: Lake,
        ledger: LedgerStore,
        versions: Versions,
        decisions: Sequence[Decision],
        *,
        now: Callable[[], dt.datetime],
    ) -> None:
        self._contract = contract
        self._ledger = ledger
        self._versions = versions
        self._decisions = decisions
        self._memory = Memory(history_of(contract, lake, now()), code_digest())
        self._later = self._memory.later_months(contract)

    def judge(self) -> JudgedDecisions:
        """Judge every decision.

        Raises:
            IntegrityError: the ledger is broken.
            StoreDown: MLflow's server does not answer.
        """
        history = self._memory.history
        newest = max(history.months)
        matured = [month.isoformat() for month in history.matured(self._contract, newest)]
        # The newest decision may have been cut off before its receipt.
        after = [*takeovers(events(self._ledger.receipts())), []]
        judged = [
            self._judged(decision, later, matured)
            for decision, later in zip(self._decisions, after, strict=False)
        ]
        unit = IN_COSTS if self._contract.costs_given else IN_AUC
        return JudgedDecisions(unit, totals(judged), tuple(judged))

    def _judged(
        self, decision: Decision, later: Sequence[Takeover], matured: list[str]
    ) -> JudgedDecision:
        policy = self._contract.policy
        most = policy.verdict.judged_months
        months, final = judging_months(decision, later, matured, most)
        unjudged = judge(decision, None, policy.promotion, final=final)
        if not months:
            return unjudged
        numbers = [decision.candidate_version]
        if decision.production_version is not None:
            numbers.append(decision.production_version)
        for number in numbers:
            why = self._why_not_scored(number)
            if why is not None:
                return replace(unjudged, sentence=f"Not judged: {why}")
        candidate = self._versions.load(numbers[0])
        incumbent = self._versions.load(numbers[1]) if len(numbers) > 1 else None
        gain = self._later.gain(candidate, incumbent, months)
        gained = None
        if gain is not None and self._contract.costs_given:
            gained = self._saved(candidate, incumbent, gain.months)
            if decision.decision == "refused":
                gained = -gained
        return judge(decision, gain, policy.promotion, gained=gained, final=final)

    def _why_not_scored(self, version: int) -> str | None:
        """Why a version cannot be scored, which leaves its own decisions open; None when it can."""
        try:
            if self._versions.fits_contract(version):
                return None
        except (UsageError, IntegrityError) as error:
            return str(error)
        return f"version {version} was trained under another contract."

    def _saved(
        self, candidate: Candidate, incumbent: Candidate | None, months: Sequence[str]
    ) -> float:
        """What contacting by the candidate would have saved compared with the incumbent, in the
        contract's costs.

        Before the first version no customer is contacted.
        """
        total = 0.0
        for month in months:
            day = dt.date.fromisoformat(month)
            total += self._spent(incumbent, day) - self._spent(candidate, day)
        return total

    def _spent(self, version: Candidate | None, month: dt.date) -> float:
        """The costs of a month when its customers are contacted by a version."""
        found = self._memory.labelled(self._contract, month)
        if found is None:
            return 0.0
        rows = self._memory.history.rows(month)[found.known]
        contacted: BoolArray = np.zeros(len(rows), dtype=bool)
        if version is not None:
            probability = self._memory.probability(version, month)[found.known]
            contacted = np.asarray(probability >= version.model.threshold)
        costs = RowCosts.of(self._contract.costs, rows)
        return costs.total(found.labelled.churned, contacted)
