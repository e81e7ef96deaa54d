"""What became of a replay: the AUC of each month, and each decision judged by what matured
since, side by side.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from churn_platform.base.errors import DataError
from churn_platform.contract.policy import Policy
from churn_platform.replay.history import History
from churn_platform.replay.memory import Memory
from churn_platform.replay.policies import Alternative, Lived, Loop
from churn_platform.replay.scoreboard import (
    DECIDED,
    Event,
    Judged,
    Takeover,
    Totals,
    judge,
    judging_months,
    takeovers,
    totals,
)
from churn_platform.replay.version_scores import Scores

OnMonth = Callable[[str, dt.date], None]


@dataclass(frozen=True)
class ReplayedMonth:
    """One month under one policy; `auc` is that of the version in production when the month
    came.
    """

    as_of: str
    version: int | None
    auc: float | None
    trigger: str | None
    candidate: int | None
    decision: str | None
    reason: str


@dataclass(frozen=True)
class Replay:
    """One policy's past."""

    name: str
    months: tuple[ReplayedMonth, ...]
    judged: tuple[Judged, ...]
    mean_auc: float | None
    """Over the months that every policy of the replay was measured on."""

    @property
    def promotions(self) -> int:
        """How often a model came into production, the first included."""
        return sum(month.decision == "promoted" for month in self.months)

    @property
    def totals(self) -> Totals:
        """Right, wrong, needless and missed decisions."""
        return totals(self.judged)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "policy": self.name,
            "mean_auc": self.mean_auc,
            "promotions": self.promotions,
            **self.totals.as_dict(),
            "months": [asdict(month) for month in self.months],
            "judged": [one.as_dict() for one in self.judged],
        }


def replay(
    alternatives: Sequence[Alternative],
    history: History,
    code_digest: str,
    measure: Policy,
    on_month: OnMonth = lambda _, __: None,
) -> list[Replay]:
    """Live through all months under each policy and judge every decision by the same measure.

    Args:
        alternatives: the policies, at least one, of one business.
        history: its months.
        code_digest: of the code that fits.
        measure: the policy by whose thresholds decisions are judged afterwards, whichever made
            them.
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
    scores = Scores(alternatives[0].contract, memory)
    lives = []
    for alternative in alternatives:
        loop = Loop(alternative, memory)
        lived = list[Lived]()
        for month in history.months:
            on_month(alternative.name, month)
            lived.append(loop.live(month))
        lives.append((loop, [_month(one, scores) for one in lived], takeovers(lived_events(lived))))
    measured = [{m.as_of: m.auc for m in months if m.auc is not None} for _, months, _ in lives]
    common = set.intersection(*(set(aucs) for aucs in measured))
    return [
        Replay(
            loop.alternative.name,
            tuple(months),
            tuple(_judged(loop, later, history, scores, measure)),
            float(np.mean([aucs[month] for month in sorted(common)])) if common else None,
        )
        for (loop, months, later), aucs in zip(lives, measured, strict=True)
    ]


def lived_events(lived: Iterable[Lived]) -> Iterator[Event]:
    """What happened in a replayed life, as a ledger would say it."""
    for one in lived:
        yield Event(month=one.as_of.isoformat())
        if one.decision is not None:
            yield DECIDED
            if one.decision.approved:
                yield Event(version=one.decision.candidate_version)


def _month(lived: Lived, scores: Scores) -> ReplayedMonth:
    decision = lived.decision
    production = lived.production
    later = production is not None and production.card.as_of < lived.as_of.isoformat()
    return ReplayedMonth(
        as_of=lived.as_of.isoformat(),
        version=None if production is None else production.version,
        auc=scores.auc(production, lived.as_of) if later else None,
        trigger=lived.verdict.trigger,
        candidate=None if decision is None else decision.candidate_version,
        decision=None if decision is None else decision.decision,
        reason=lived.verdict.reason if decision is None else decision.reason,
    )


def _judged(
    loop: Loop, later: list[list[Takeover]], history: History, scores: Scores, measure: Policy
) -> list[Judged]:
    newest = max(history.months)
    matured = [month.isoformat() for month in history.matured(loop.contract, newest)]
    found = []
    for decision, after in zip(loop.decisions, later, strict=True):
        months, final = judging_months(decision, after, matured, measure.verdict.judged_months)
        if decision.production_version is None:
            incumbent = None
        else:
            incumbent = loop.versions[decision.production_version]
        gain = scores.gain(loop.versions[decision.candidate_version], incumbent, months)
        found.append(judge(decision, gain, measure.promotion, final=final))
    return found
