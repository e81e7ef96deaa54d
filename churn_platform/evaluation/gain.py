"""The gain of one version over another in several months, on rows that neither trained on.

A month's AUC ranks its own customers alone, so months with other churn rates do not mix; the
months are averaged, each weighted by its churners. The same customers come every month, so
their rows are not independent: the variance is that of sums over a customer's rows (Obuchowski
1997, Biometrics 53). On one month it is DeLong's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from churn_platform.base.errors import DataError
from churn_platform.evaluation.comparison import FEWEST, influence
from churn_platform.evaluation.statistics import (
    FloatArray,
    Interval,
    KeyArray,
    LabelArray,
    auc,
    checked_labels,
    checked_scores,
    normal_interval,
)
from churn_platform.evaluation.weights import (
    checked_weights,
    effective_count,
    rows_with_weight,
)

CHANCE = 0.5


@dataclass(frozen=True, eq=False)
class AucParts:
    """An AUC on one month's rows, and each row's part of its error, shape (rows,).

    Where the rows have weights, `churners` is their effective number, rounded down, and
    `left_out` is the number of rows of weight 0, whose parts are 0.
    """

    auc: float
    parts: FloatArray
    churners: int
    left_out: int = 0

    def interval(self, level: float) -> Interval:
        """Two-sided interval of the AUC at `level`, within [0, 1]."""
        error = math.sqrt(float(self.parts @ self.parts))
        return normal_interval(self.auc, error, level, least=0.0)

    @property
    def rows(self) -> int:
        """How many customers were ranked."""
        return int(self.parts.size) - self.left_out

    @classmethod
    def of(
        cls, labels: LabelArray, scores: FloatArray, weights: FloatArray | None = None
    ) -> "AucParts | None":
        """Rank one month's customers; None where fewer than two churned or fewer than two
        stayed.

        Args:
            labels: shape (rows,), 0 or 1.
            scores: shape (rows,), finite; only their order matters.
            weights: shape (rows,), finite and >= 0; rows of weight 0 are left out. None: all
                alike. With weights the effective numbers must be two at least.

        Raises:
            NotANumber: a label, a score or a weight is NaN.
            DataError: no rows, unlike shapes, an infinite score, or a weight that is negative
                or infinite.
        """
        if weights is not None:
            return cls._weighted(labels, scores, weights)
        churned = checked_labels(labels, two_classes=False)
        values = checked_scores("scores", scores, churned.size)
        churners = int(churned.sum())
        if min(churners, churned.size - churners) < FEWEST:
            return None
        area = auc(churned, values)
        return cls(area, influence(churned, values, area), churners)

    @classmethod
    def _weighted(
        cls, labels: LabelArray, scores: FloatArray, weights: FloatArray
    ) -> "AucParts | None":
        kept = checked_weights(weights, np.shape(labels)) > 0
        if not kept.any():
            return None
        labels, scores, own = rows_with_weight(weights, labels, scores)
        churned = checked_labels(labels, two_classes=False)
        values = checked_scores("scores", scores, churned.size)
        churners = effective_count(own[churned])
        if min(churners, effective_count(own[~churned])) < FEWEST:
            return None
        area = auc(churned, values, own)
        parts = np.zeros(kept.size)
        parts[kept] = influence(churned, values, area, own)
        return cls(area, parts, churners, int((~kept).sum()))

    def of_chance(self) -> "AucParts":
        """A model without information on the same rows: the state before the first version."""
        return replace(self, auc=CHANCE, parts=np.zeros_like(self.parts))


@dataclass(frozen=True, eq=False)
class MonthPair:
    """Both versions on the same rows of one month; `entities` are the rows' customers, shape
    (rows,).
    """

    as_of: str
    entities: KeyArray
    candidate: AucParts
    incumbent: AucParts

    def __post_init__(self) -> None:
        sizes = {len(self.entities), self.candidate.parts.size, self.incumbent.parts.size}
        if len(sizes) > 1:
            raise DataError(
                f"The rows of {self.as_of} do not line up ({sorted(sizes)}): pass the same rows"
                " twice."
            )


@dataclass(frozen=True)
class Gain:
    """Candidate minus incumbent over `months`, oldest first; AUCs are means over months,
    weighted by churners. Where rows have weights, `churners` are effective numbers, rounded
    down.
    """

    months: tuple[str, ...]
    candidate_auc: float
    incumbent_auc: float
    standard_error: float
    churners: int
    rows: int

    @property
    def difference(self) -> float:
        """Gain in AUC."""
        return self.candidate_auc - self.incumbent_auc

    def interval(self, level: float) -> Interval:
        """Two-sided interval of the difference at `level`, within [-1, 1]."""
        return normal_interval(self.difference, self.standard_error, level)


def gain_over(pairs: Sequence[MonthPair]) -> Gain | None:
    """The gain over these months; None without a month."""
    if not pairs:
        return None
    ordered = sorted(pairs, key=lambda pair: pair.as_of)
    churners = np.array([pair.candidate.churners for pair in ordered], dtype=np.float64)
    weights = churners / churners.sum()
    moved = [
        w * (p.candidate.parts - p.incumbent.parts) for w, p in zip(weights, ordered, strict=True)
    ]
    customers = pd.factorize(
        np.concatenate([np.asarray(pair.entities, dtype=object) for pair in ordered])
    )[0]
    sums = np.bincount(customers, weights=np.concatenate(moved))
    return Gain(
        months=tuple(pair.as_of for pair in ordered),
        candidate_auc=float(weights @ [pair.candidate.auc for pair in ordered]),
        incumbent_auc=float(weights @ [pair.incumbent.auc for pair in ordered]),
        standard_error=math.sqrt(float(sums @ sums)),
        churners=int(churners.sum()),
        rows=sum(pair.candidate.rows for pair in ordered),
    )
