"""The results of a backtest: the AUC of each month under each policy, and each decision judged
on the labels that matured later.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from churn_platform.base.errors import DataError
from churn_platform.contract.model import Contract
from churn_platform.contract.policy import Policy
from churn_platform.monitoring.comparison import LaterMonths
from churn_platform.replay.backtest import (
    Alternative,
    BacktestedMonth,
    BacktestSteps,
    run_past_month,
)
from churn_platform.replay.history import Memory, PastMonths, comparable
from churn_platform.replay.scoreboard import (
    DECIDED,
    Event,
    JudgedDecision,
    Takeover,
    Totals,
    judge,
    judging_months,
    takeovers,
    totals,
)

OnMonth = Callable[[str, dt.date], None]


@dataclass(frozen=True, kw_only=True)
class ReplayedMonth:
    """One month under one policy; `auc` is that of the version in production when the month
    came.
    """

    as_of: str
    version: int | None = None
    auc: float | None = None
    trigger: str | None = None
    candidate: int | None = None
    decision: str | None = None
    reason: str


@dataclass(frozen=True)
class Replay:
    """The past under one policy."""

    name: str
    months: tuple[ReplayedMonth, ...]
    judged: tuple[JudgedDecision, ...]
    mean_auc: float | None
    """Over the months that every policy of the replay was measured on."""

    @property
    def promotions(self) -> int:
        """How often a model came into production, the first included."""
        return sum(month.decision == "promoted" for month in self.months)

    @property
    def totals(self) -> Totals:
        """Right and wrong decisions, false and missed promotions."""
        return totals(self.judged)


def replay(
    alternatives: Sequence[Alternative],
    history: PastMonths,
    code_digest: str,
    measure: Policy,
    on_month: OnMonth = lambda _, __: None,
) -> list[Replay]:
    """Run all months under each policy and judge every decision by the same measure.

    Args:
        alternatives: the policies, at least one, of one business.
        history: its months.
        code_digest: of the code that fits.
        measure: the policy whose thresholds judge the decisions afterwards, whichever policy
            made them.
        on_month: called with policy and month before each is replayed.

    Raises:
        DataError: no month to replay.
    """
    if not history.months:
        raise DataError(
            "There is no month to replay yet: `churn run` publishes the months of the drops.",
            code="MONTH_UNKNOWN",
        )
    memory = Memory(history, code_digest)
    later = memory.later_months(alternatives[0].contract)
    runs: list[tuple[BacktestSteps, list[BacktestedMonth], list[ReplayedMonth]]] = []
    for alternative in alternatives:
        steps = BacktestSteps(alternative, memory)
        months = []
        for month in history.months:
            on_month(alternative.name, month)
            months.append(run_past_month(steps, month))
        runs.append((steps, months, [_replayed(steps.contract, month, later) for month in months]))
    aucs = [{m.as_of: m.auc for m in shown if m.auc is not None} for _, _, shown in runs]
    common = sorted(set.intersection(*(set(known) for known in aucs)))
    return [
        Replay(
            name=steps.alternative.name,
            months=tuple(shown),
            judged=tuple(_judged(steps, takeovers(events_of(months)), history, later, measure)),
            mean_auc=float(np.mean([known[month] for month in common])) if common else None,
        )
        for (steps, months, shown), known in zip(runs, aucs, strict=True)
    ]


def events_of(months: Iterable[BacktestedMonth]) -> Iterator[Event]:
    """What happened in the months of a backtest, as a ledger would record it."""
    for month in months:
        yield Event(month=month.run.as_of.isoformat())
        decision = month.run.decision
        if decision is not None:
            yield DECIDED
            if decision.approved:
                yield Event(version=decision.candidate_version)


def _replayed(contract: Contract, month: BacktestedMonth, later: LaterMonths) -> ReplayedMonth:
    run = month.run
    answer = run.answer
    as_of = run.as_of.isoformat()
    shown = ReplayedMonth(as_of=as_of, trigger=answer.trigger, reason=answer.reason)
    production = month.production
    if production is not None:
        shown = replace(shown, version=production.version)
        if production.card.as_of < as_of and comparable(contract, [production], [as_of]):
            shown = replace(shown, auc=later.auc(production, run.as_of))
    if run.refused is not None:
        return replace(shown, trigger=None, reason=run.refused.reason)
    if run.decision is not None:
        return replace(
            shown,
            candidate=run.decision.candidate_version,
            decision=run.decision.decision,
            reason=run.decision.reason,
        )
    return shown


def _judged(
    steps: BacktestSteps,
    taken_over: list[list[Takeover]],
    history: PastMonths,
    later: LaterMonths,
    measure: Policy,
) -> list[JudgedDecision]:
    newest = max(history.months)
    matured = [month.isoformat() for month in history.matured(steps.contract, newest)]
    most = measure.verdict.judged_months
    found = []
    for decision, after in zip(steps.decisions, taken_over, strict=True):
        candidate = steps.versions[decision.candidate_version]
        incumbent = None
        if decision.production_version is not None:
            incumbent = steps.versions[decision.production_version]
        known = comparable(steps.contract, [candidate, incumbent], matured)
        months, final = judging_months(decision, after, known, most)
        gain = later.gain(candidate, incumbent, months)
        found.append(judge(decision, gain, measure.promotion, final=final))
    return found
