"""Backtests and the scoreboard of a home: its past months under other policies, and its decisions
judged on the labels that matured since. Reads only.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from churn_platform.base.errors import ContractError, IntegrityError, UsageError
from churn_platform.base.provenance import code_digest
from churn_platform.contacts.labels import CorrectedLabels, MonthLabels
from churn_platform.contract.model import Contract
from churn_platform.contract.reading import read_policy
from churn_platform.evaluation.costs import RowCosts
from churn_platform.evaluation.statistics import BoolArray
from churn_platform.lake.contract_history import lacking_columns
from churn_platform.lake.lake import instant
from churn_platform.lake.tables import feature_frame
from churn_platform.ledger.store import LedgerStore
from churn_platform.monitoring.versions import Versions
from churn_platform.promotion.decision import Decision
from churn_platform.replay.backtest import Alternative, with_policy
from churn_platform.replay.history import Memory, PastMonth, PastMonths, comparable
from churn_platform.replay.result import OnMonth, Replay, replay
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

THIS = "this policy"
OTHER_CHURN = "the labels of the later months define churn in another way"
IN_COSTS = "in the contract's costs"
IN_AUC = "in AUC times months"


def replay_home(
    contract: Contract,
    labels: CorrectedLabels,
    known_at: dt.datetime,
    files: Sequence[Path],
    on_month: OnMonth = lambda _, __: None,
) -> list[Replay]:
    """The home's months under its own policy, never retraining, always retraining, and the
    policies in `files`.

    Raises:
        UsageError: a file's name is taken, or there is no month.
        ContractError: a file holds no valid policy, or the lake was written under another
            contract.
    """
    alternatives = [
        Alternative(THIS, contract),
        Alternative.never(contract),
        Alternative.always(contract),
    ]
    for file in files:
        policy = read_policy(file, contract)
        if file.stem in {one.name for one in alternatives}:
            raise UsageError(
                f"Two policies are called {file.stem!r}: a policy is named after its file,"
                " rename one."
            )
        alternatives.append(Alternative(file.stem, with_policy(contract, policy)))
    history = history_of(labels, known_at)
    return replay(alternatives, history, code_digest(), contract.policy, on_month)


def history_of(labels: CorrectedLabels, known_at: dt.datetime) -> PastMonths:
    """Every published month as it was known.

    A month's tables are those of its scoring: what came up to `delivery_days` after it. Labels
    are known in a month when they were there as many days after its as_of.

    Raises:
        UsageError: no month was published.
        ContractError: the lake lacks columns of the contract.
    """
    lake = labels.lake
    contract = lake.contract
    months = lake.months()
    if not months:
        raise UsageError(
            "There is no month to replay yet: `churn run` publishes the months of the drops.",
            code="MONTH_UNKNOWN",
        )
    if behind := lacking_columns(lake):
        raise ContractError(
            f"The lake lacks {behind[0]}, which the contract names: the months were published"
            " under another contract. Give the column `since:` with the first month that has it.",
            code="CONTRACT_CHANGED",
        )
    view = lake.view(known_at, as_at_scoring=True)
    found = {}
    for month in months:
        known = {name: files[month] for name, files in view.items() if month in files}
        wanted = contract.at(month).feature_tables
        tables = {name: lake.read_table(name, known[name].path) for name in wanted if name in known}
        if len(tables) == len(wanted):
            delivered = _labels(labels, month, months, known_at)
            found[month] = PastMonth(feature_frame(contract, tables), delivered)
    return PastMonths(found)


def _labels(
    labels: CorrectedLabels, month: dt.date, months: Sequence[dt.date], known_at: dt.datetime
) -> tuple[tuple[dt.date, MonthLabels], ...]:
    """Each delivery of the month's labels with the first month in which it was known; today's
    is known at the last. Contacts are those known today.
    """
    lake = labels.lake
    contract = lake.contract
    found = []
    for delivery in lake.deliveries(month):
        entry = delivery.tables.get(contract.label_table)
        if entry is not None:
            wait = dt.timedelta(days=contract.delivery_days)
            since = next((m for m in months if entry.created <= instant(m) + wait), dt.date.max)
            churned = lake.read_labels(lake.path(entry), month)
            found.append((since, labels.correct(month, churned, known_at)))
    return tuple(found)


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
        labels: CorrectedLabels,
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
        self._memory = Memory(history_of(labels, now()), code_digest())
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
        compared = (decision.candidate_version, decision.production_version)
        for number in (version for version in compared if version is not None):
            why = self._why_not_scored(number)
            if why is not None:
                return replace(unjudged, sentence=f"Not judged: {why}")
        candidate = self._versions.load(decision.candidate_version)
        incumbent = None
        if decision.production_version is not None:
            incumbent = self._versions.load(decision.production_version)
        alike = comparable(self._contract, [candidate, incumbent], matured)
        months, final = judging_months(decision, later, alike, most)
        if not months:
            return replace(unjudged, sentence=f"Not judged: {OTHER_CHURN}")
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
            why_not = self._versions.why_not_scored(version)
        except (UsageError, IntegrityError) as error:
            return str(error)
        return f"version {version}: {why_not}" if why_not else None

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
        return costs.total(found.labelled.churned, contacted, found.labelled.weights)
