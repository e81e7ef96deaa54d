"""The evidence of one promotion: both models' scores on the same holdout rows, and who saw
which row.
"""

import datetime as dt
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd

from churn_platform.base.errors import DataError
from churn_platform.contract.policy import PromotionPolicy
from churn_platform.evaluation.comparison import (
    AucDifference,
    auc_interval,
    paired_auc_difference,
)
from churn_platform.evaluation.leaks import Alone
from churn_platform.evaluation.statistics import Interval, auc
from churn_platform.evaluation.weights import (
    checked_weights,
    effective_count,
    entity_weights,
    weighted_mean,
)

Floats = np.ndarray[Any, np.dtype[np.float64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Evidence:
    """Everything the criteria judge. All arrays have one entry a holdout row.

    Raises:
        NotANumber: a weight is NaN.
        DataError: rows that do not line up, a mask that is not boolean, a month that is not an
            ISO date, half a production model, or a weight that is negative or infinite. Scores
            may be anything: `unsound_scores` describes what is wrong with them.
    """

    policy: PromotionPolicy
    as_of: str
    """Training as_of of the candidate, ISO date."""
    labels: Mask
    entities: np.ndarray[Any, np.dtype[np.object_]]
    slices: pd.DataFrame
    candidate: Floats
    candidate_saw: Mask
    """Rows whose entity the candidate trained on."""
    production_version: int | None = None
    production_as_of: str | None = None
    production: Floats | None = None
    production_saw: Mask | None = None
    """Rows whose entity production trained on; None when it carries no digest of its training
    entities.
    """
    forward: Floats | None = None
    """Scores of the same recipe fitted one month earlier; None for the first month."""
    alone: Alone | None = None
    """How well each feature alone predicts the label of the newest training rows; None if not
    measured.
    """
    label_doubts: tuple[str, ...] = ()
    """Why the labels of the months that train and judge the candidate look wrong, one sentence
    each.
    """
    attempt: int = 1
    """Number of the attempt: the nth candidate that is judged on this holdout."""
    candidate_features: tuple[str, ...] = ()
    production_features: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    """Features of production whose columns have ended: it was scored with missing values."""
    must_replace: bool = False
    """Production stands down because these columns have ended: a candidate need only be no worse.
    """
    not_comparable: str = ""
    """Why production has no scores although it is there: these labels do not judge it."""
    imported: str = ""
    """What is known of the rows that production was trained on, as a sentence, if it was
    imported.
    """
    weights: Floats | None = None
    """How many customers each row represents; 0 where a contact may have changed the label. None:
    all alike.
    """

    def __post_init__(self) -> None:
        for name, mask in (("labels", self.labels), ("candidate_saw", self.candidate_saw)):
            self._check_mask(name, mask)
        if self.production_saw is not None:
            self._check_mask("production_saw", self.production_saw)
        for name, length in (("entities", len(self.entities)), ("slices", len(self.slices))):
            if length != len(self.labels):
                raise DataError(
                    f"{length} {name} came with {len(self.labels)} labels: pass one a holdout row."
                )
        if self.weights is not None:
            checked_weights(self.weights, self.labels.shape)
        self._check_production()
        if self.attempt < 1:
            raise DataError(f"The attempt on this holdout is {self.attempt}: count from 1.")

    def _check_mask(self, name: str, mask: Mask) -> None:
        # An array of 0 and 1 would pick rows by number where a mask picks them by truth.
        if mask.dtype != np.bool_ or mask.shape != (len(self.labels),):
            raise DataError(
                f"{name} is {mask.dtype} of shape {mask.shape}: pass one boolean a holdout row."
            )

    def _check_production(self) -> None:
        # A version without scores would read as "no production model", and the candidate would
        # have no opponent.
        has_version = self.production_version is not None and not self.not_comparable
        if (self.production is not None) != has_version:
            raise DataError(
                f"Production version {self.production_version} needs its scores, and scores a"
                " version."
            )
        for month in (self.as_of, self.production_as_of):
            if month is not None:
                _checked_date(month)

    @property
    def compares(self) -> bool:
        """Whether there is a production model to compare with."""
        return self.production is not None

    @property
    def other_features(self) -> bool:
        """Whether candidate and production read different features."""
        is_there = self.production_version is not None
        return is_there and set(self.candidate_features) != set(self.production_features)

    @cached_property
    def untrained_rows(self) -> Mask:
        """Rows that neither model trained on."""
        kept = ~self.candidate_saw
        if self.compares:
            kept &= (
                ~self.production_saw
                if self.production_saw is not None
                else np.zeros(len(kept), dtype=bool)
            )
        return kept

    @cached_property
    def sound_rows(self) -> Mask:
        """Rows that neither model trained on, and that have weight."""
        if self.weights is None:
            return self.untrained_rows
        return self.untrained_rows & (self.weights > 0)

    def entities_of(self, rows: Mask) -> int:
        """How many entities these of the valid rows have; one that comes in several pooled
        months counts once. With weights their effective number, rounded down.
        """
        keys = self.keys[rows]
        if self.w is None:
            return len(pd.unique(keys))
        return effective_count(entity_weights(pd.factorize(keys)[0], self.w[rows]))

    @property
    def churners(self) -> int:
        """Entities that churned among the valid rows, in at least one of the pooled months."""
        return self.entities_of(self.y)

    @property
    def stayers(self) -> int:
        """Entities that stayed among the valid rows, in at least one of the pooled months."""
        return self.entities_of(~self.y)

    @property
    def effective(self) -> str:
        """What precedes counted entities: "effective " where rows have weights."""
        return "" if self.weights is None else "effective "

    @property
    def churn_rate(self) -> float:
        """The share of churners of the valid rows."""
        return weighted_mean(self.y, self.w)

    @property
    def comparable(self) -> bool:
        """Whether both classes are there, and enough of them where rows that a model trained on
        have left.
        """
        if bool(self.sound_rows.all()):
            least = 1
        else:
            least = self.policy.min_holdout_churners
        return min(self.churners, self.stayers) >= least

    def unsound_scores(self) -> str | None:
        """A sentence when a score is not a number or no probability; None when all are."""
        for name, scores in (
            ("candidate", self.candidate),
            ("production", self.production),
            ("forward", self.forward),
        ):
            if scores is None:
                continue
            if scores.shape != self.labels.shape:
                return (
                    f"The {name} model gave {scores.size:,} scores for {len(self.labels):,}"
                    " holdout rows."
                )
            wrong = int((~((scores >= 0) & (scores <= 1))).sum())
            if wrong:
                return (
                    f"{wrong:,} of the {name} model's {len(scores):,} scores are not"
                    " probabilities (NaN, or outside 0 to 1)."
                )
        return None

    @cached_property
    def y(self) -> Mask:
        """Labels of the valid rows."""
        return np.asarray(self.labels[self.sound_rows])

    @cached_property
    def keys(self) -> np.ndarray[Any, np.dtype[np.object_]]:
        """Entities of the valid rows."""
        return np.asarray(self.entities[self.sound_rows])

    @cached_property
    def w(self) -> Floats | None:
        """Weights of the valid rows; None: all alike."""
        if self.weights is None:
            return None
        return np.asarray(self.weights[self.sound_rows], dtype=np.float64)

    @cached_property
    def ours(self) -> Floats:
        """The candidate's scores on the valid rows."""
        return np.asarray(self.candidate[self.sound_rows])

    @cached_property
    def theirs(self) -> Floats:
        """Production's scores on the valid rows.

        Raises:
            ValueError: there is no production model; ask `compares` first.
        """
        if self.production is None:
            raise ValueError("there is no production model to compare with")
        return np.asarray(self.production[self.sound_rows])

    @cached_property
    def difference(self) -> AucDifference:
        """Paired difference of AUC, candidate minus production, on the valid rows."""
        return paired_auc_difference(
            self.y, self.ours, self.theirs, self.policy.level, self.keys, self.w
        )

    @cached_property
    def candidate_auc(self) -> float:
        """The candidate's AUC on the valid rows."""
        return auc(self.y, self.ours, self.w)

    @cached_property
    def production_auc(self) -> float:
        """Production's AUC on the valid rows; errors as `theirs`."""
        return auc(self.y, self.theirs, self.w)

    @cached_property
    def candidate_interval(self) -> Interval:
        """Interval of the candidate's AUC."""
        return auc_interval(self.y, self.ours, self.policy.level, self.keys, self.w)

    @cached_property
    def production_interval(self) -> Interval:
        """Interval of production's AUC."""
        return auc_interval(self.y, self.theirs, self.policy.level, self.keys, self.w)

    def with_scores(self, candidate: Floats, production: Floats | None = None) -> Self:
        """The same rows with other scores; production's stay unless given."""
        return replace(
            self,
            candidate=candidate,
            production=self.production if production is None else production,
        )


def _checked_date(month: str) -> None:
    try:
        dt.date.fromisoformat(month)
    except ValueError as error:
        raise DataError(
            f"The training month {month!r} is not an ISO date such as 2024-02-29."
        ) from error
