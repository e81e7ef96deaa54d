"""Two versions compared on the labels of months later than both were trained on.

Challenger evaluation, the scoreboard and the backtest all compare with this module.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from churn_platform.base.errors import DataError
from churn_platform.contract.policy import PromotionPolicy
from churn_platform.evaluation.gain import AucParts, Gain, MonthPair, gain_over
from churn_platform.evaluation.statistics import BoolArray, FloatArray, KeyArray
from churn_platform.promotion.criteria.beats_production import should_promote
from churn_platform.training.candidate import Candidate

Shown = Literal["better", "not better", "open"]


@dataclass(frozen=True, eq=False)
class LabelledMonth:
    """The customers of a month that have a label, and who of them churned, shape (rows,).

    `weights` are how many customers each represents, 0 where a contact may have changed the
    label; None: all alike.
    """

    entities: KeyArray
    churned: BoolArray
    weights: FloatArray | None = None


class LaterMonths:
    """How versions ranked the customers of later months; each version ranks a month once.

    Args:
        labelled: the labelled customers of a month; None while there are none.
        probability: a version's probabilities for these customers, in their order.
    """

    def __init__(
        self,
        labelled: Callable[[dt.date], LabelledMonth | None],
        probability: Callable[[Candidate, dt.date], FloatArray],
    ) -> None:
        self._labelled = labelled
        self._probability = probability
        self._known: dict[tuple[str, dt.date], AucParts | None] = {}

    def ranking(self, version: Candidate, month: dt.date) -> AucParts | None:
        """How a version ranked a month; None where that cannot be measured.

        Raises:
            DataError: the month is not later than the version's training: its rows may have
                trained it.
        """
        if month.isoformat() <= version.card.as_of:
            raise DataError(
                f"Version {version.version} may have seen rows of {month}: name a later month."
            )
        place = (version.digest, month)
        if place not in self._known:
            self._known[place] = self._ranked(version, month)
        return self._known[place]

    def auc(self, version: Candidate, month: dt.date) -> float | None:
        """The version's AUC on a later month; None where it cannot be measured."""
        ranked = self.ranking(version, month)
        return None if ranked is None else ranked.auc

    def gain(
        self, candidate: Candidate, incumbent: Candidate | None, months: Sequence[str]
    ) -> Gain | None:
        """Candidate over incumbent on the months later than both were trained on.

        Without an incumbent the candidate is compared with chance. None without a month.
        """
        pairs = []
        for month in later_than_both(candidate, incumbent, months):
            day = dt.date.fromisoformat(month)
            ours = self.ranking(candidate, day)
            if ours is None:
                continue
            theirs = ours.of_chance() if incumbent is None else self.ranking(incumbent, day)
            labelled = self._labelled(day)
            if theirs is not None and labelled is not None:
                pairs.append(MonthPair(month, labelled.entities, ours, theirs))
        return gain_over(pairs)

    def _ranked(self, version: Candidate, month: dt.date) -> AucParts | None:
        labelled = self._labelled(month)
        if labelled is None or not labelled.churned.size:
            return None
        return AucParts.of(labelled.churned, self._probability(version, month), labelled.weights)


def later_than_both(
    candidate: Candidate, incumbent: Candidate | None, months: Sequence[str]
) -> list[str]:
    """The months that neither version may have been trained on."""
    versions = (candidate, incumbent)
    trained = max(version.card.as_of for version in versions if version is not None)
    return [month for month in months if month > trained]


def shown(
    gain: Gain | None,
    policy: PromotionPolicy,
    *,
    first: bool = False,
    level: float | None = None,
) -> Shown:
    """What later months show of the candidate, by the measure of the promotion gate.

    Better: it gains more than delta, and the interval lies above 0. Not better: the interval
    reaches delta at most. Open: too few churners, or the interval contains both.

    Args:
        gain: candidate over incumbent; None without a month.
        policy: the gate's thresholds.
        first: the candidate is compared with chance, so without delta.
        level: of the interval; the gate's by default.
    """
    if gain is None or gain.churners < policy.min_holdout_churners:
        return "open"
    delta = 0.0 if first else policy.delta
    interval = gain.interval(policy.level if level is None else level)
    if interval.above(0) and should_promote(gain.candidate_auc, gain.incumbent_auc, delta):
        return "better"
    if interval.high <= delta:
        return "not better"
    return "open"


def span(months: Sequence[str]) -> str:
    """The months as text: one of them, or first to last."""
    return months[0] if len(months) == 1 else f"{months[0]} to {months[-1]}"
