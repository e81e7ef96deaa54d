"""Challenger evaluation: whether another version than production is better on later labels.

Several versions are compared every month, and some would look better by chance. The error of
the gate's level is therefore divided (Bonferroni) by the versions of an evaluation round and
by `policy.verdict.looks` rounds. In so many rounds together, a false proposal is made at most
that often, however many versions are evaluated.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from churn_platform.base.stored import Stored
from churn_platform.contacts.labels import MonthLabels
from churn_platform.contract.model import Contract
from churn_platform.contract.policy import PromotionPolicy, VerdictPolicy
from churn_platform.evaluation.gain import Gain
from churn_platform.evaluation.statistics import FloatArray
from churn_platform.features.labels import turned_over
from churn_platform.ledger.version_acts import Proposal
from churn_platform.monitoring.comparison import (
    LabelledMonth,
    LaterMonths,
    later_than_both,
    shown,
    span,
)
from churn_platform.training.candidate import Candidate

LabelledRows = tuple[pd.DataFrame, MonthLabels]
"""The rows of a month that have a label, and their labels in the same order."""


class ComparedVersion(Stored):
    """One version compared with production."""

    version: int
    blocked: bool
    level: float
    months: tuple[str, ...]
    difference: float | None
    interval: tuple[float, float] | None


class ChallengerEvaluation(Stored):
    """One evaluation round: every version compared, and the version it proposes, if any."""

    compared: tuple[ComparedVersion, ...] = ()
    proposal: Proposal | None = None


@dataclass(frozen=True)
class Challenger:
    """A version that is not in production; `gain` is over production, None without a month."""

    version: int
    was_in_production: bool
    blocked: bool
    gain: Gain | None


def evaluated_versions(versions: Collection[int], production: int | None, newest: int) -> list[int]:
    """The versions of an evaluation round: production and the `newest` others, ascending.

    Args:
        versions: every version that was ever released or decided on.
        production: the version in production.
        newest: how many others.
    """
    others = sorted(version for version in versions if version != production)
    kept = set(others[max(len(others) - newest, 0) :])
    if production is not None:
        kept.add(production)
    return sorted(kept)


def adjusted_level(level: float, versions: int, rounds: int) -> float:
    """The Bonferroni-adjusted level of one comparison out of `versions` times `rounds`."""
    return 1 - (1 - level) / (versions * rounds)


def propose(
    policy: VerdictPolicy,
    gate: PromotionPolicy,
    production: int,
    challengers: Sequence[Challenger],
) -> Proposal | None:
    """The one proposal of an evaluation round: of the better challengers, the one whose
    interval begins highest; None if no challenger is better.

    A challenger that people blocked or rejected is compared, and counted, but never proposed.
    """
    measured = [
        one
        for one in challengers
        if one.gain is not None and one.gain.churners >= gate.min_holdout_churners
    ]
    level = adjusted_level(gate.level, max(len(measured), 1), policy.looks)
    found = [
        _proposal(challenger, challenger.gain, production, level)
        for challenger in measured
        if challenger.gain is not None
        and not challenger.blocked
        and shown(challenger.gain, gate, level=level) == "better"
    ]
    return max(found, key=lambda one: (one.interval[0], one.version), default=None)


def evaluate_challengers(
    contract: Contract,
    versions: Mapping[int, Candidate],
    production: int,
    months: Mapping[dt.date, LabelledRows],
    *,
    served: Collection[int],
    barred: Collection[int],
    comparable: Callable[[int, dt.date], bool] = lambda _version, _month: True,
) -> ChallengerEvaluation:
    """Compare every version with production on these months.

    Args:
        contract: the contract.
        versions: the versions of the round, production included.
        production: the version in production.
        months: the labelled rows of the newest matured months.
        served: the versions that were ever in production.
        barred: the versions that people blocked or rejected.
        comparable: whether a month's labels define churn as those that trained a version.
    """
    policy = contract.policy
    months = {
        month: (rows, labels)
        for month, (rows, labels) in months.items()
        if comparable(production, month) and labels.measurable
    }
    later = _later_months(contract, months)
    incumbent = versions[production]
    usable = _not_inverted(later, incumbent, months, policy.promotion.level)
    challengers = []
    for number, one in versions.items():
        if number != production:
            own = [day for day in usable if comparable(number, dt.date.fromisoformat(day))]
            gain = later.gain(one, incumbent, own)
            challengers.append(Challenger(number, number in served, number in barred, gain))
    measured = sum(one.gain is not None for one in challengers)
    level = adjusted_level(policy.promotion.level, max(measured, 1), policy.verdict.looks)
    return ChallengerEvaluation(
        compared=tuple(_compared(one, level) for one in challengers),
        proposal=propose(policy.verdict, policy.promotion, production, challengers),
    )


def _later_months(contract: Contract, months: Mapping[dt.date, LabelledRows]) -> LaterMonths:
    def labelled(month: dt.date) -> LabelledMonth:
        rows, labels = months[month]
        keys = rows[contract.entity.column].to_numpy(dtype=object)
        correction = labels.correction
        weights = None if correction is None else correction.weights
        return LabelledMonth(keys, labels.churned.to_numpy(dtype=bool), weights)

    def probability(version: Candidate, month: dt.date) -> FloatArray:
        return version.model.probability(months[month][0])

    return LaterMonths(labelled, probability)


def _not_inverted(
    later: LaterMonths, production: Candidate, months: Mapping[dt.date, LabelledRows], level: float
) -> list[str]:
    """The months whose labels do not look inverted: production does not rank them the wrong
    way round.
    """
    found = []
    for month in later_than_both(production, None, [month.isoformat() for month in months]):
        ranked = later.ranking(production, dt.date.fromisoformat(month))
        if ranked is None:
            continue
        interval = ranked.interval(level)
        if not turned_over(interval.low, interval.high):
            found.append(month)
    return found


def _proposal(challenger: Challenger, gain: Gain, production: int, level: float) -> Proposal:
    interval = gain.interval(level)
    act: Literal["rollback proposed", "promotion proposed"] = "promotion proposed"
    what = "promotion of"
    if challenger.was_in_production:
        act = "rollback proposed"
        what = "rollback to"
    return Proposal(
        act=act,
        version=challenger.version,
        production=production,
        months=gain.months,
        auc=gain.candidate_auc,
        production_auc=gain.incumbent_auc,
        difference=gain.difference,
        interval=(interval.low, interval.high),
        level=level,
        sentence=(
            f"A {what} version {challenger.version} is proposed: on {gain.rows:,} rows of"
            f" {span(gain.months)}, which neither trained on, its AUC is"
            f" {gain.candidate_auc:.3f} and that of version {production}, in production,"
            f" {gain.incumbent_auc:.3f} ({gain.difference:+.3f}, {level:.2%} interval"
            f" [{interval.low:+.3f}, {interval.high:+.3f}])."
        ),
    )


def _compared(challenger: Challenger, level: float) -> ComparedVersion:
    compared = ComparedVersion(
        version=challenger.version, blocked=challenger.blocked, level=level,
        months=(), difference=None, interval=None,
    )  # fmt: skip
    gain = challenger.gain
    if gain is None:
        return compared
    interval = gain.interval(level)
    figures = {
        "months": gain.months,
        "difference": gain.difference,
        "interval": (interval.low, interval.high),
    }
    return compared.model_copy(update=figures)
