"""Who is changed by a contact: an effect model, and the test it must pass before it may rank.

Ranking by risk x value is the rule. Ranking by effect x value is off until a model trained on
earlier months has beaten that rule on a later one.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np

from churn_platform.base.errors import DataError
from churn_platform.evaluation.comparison import entity_codes
from churn_platform.evaluation.statistics import (
    BoolArray,
    FloatArray,
    IntArray,
    Interval,
    KeyArray,
    checked_labels,
    checked_probabilities,
    checked_scores,
    quantile_of_normal,
)

LEAST_ASSIGNED_CHURNERS = 1000
LEAST_UNTOUCHED_CHURNERS = 100
LEAST_OVERLAP = 0.02
FEWEST = 2  # a variance needs two customers
FOLDS = 5
LEAST_WEIGHT_OF_LEAF = 20.0
# Few leaves: at 5,000 rows the effect is a small part of the noise. One thread, as in
# training/estimator.py.
TREES: Final[Mapping[str, Any]] = {
    "n_estimators": 60,
    "num_leaves": 4,
    "learning_rate": 0.1,
    "deterministic": True,
    "force_row_wise": True,
    "n_jobs": 1,
    "verbose": -1,
}


class WhyNot(StrEnum):
    """Why uplift may not rank."""

    TOO_FEW = "TOO_FEW"
    NOT_LATER = "NOT_LATER"
    NOT_ABOVE_RANDOM = "NOT_ABOVE_RANDOM"
    NOT_ABOVE_RISK = "NOT_ABOVE_RISK"


@dataclass(frozen=True, eq=False)
class RandomisedRows:
    """Customers whose contact was left to chance, with matured labels; arrays (rows,).

    Each month draws its arms anew, so a customer may have a row in every month.

    Attributes:
        months: the month of each row, in ISO format.
        entities: the customer of each row.
        features: shape (rows, columns), numbers known at the month; NaN is a missing value.
        assigned: whether the plan assigned the customer to contact, reached or not.
        probability: registered probability of being assigned, in [0, 1].
        churned: the label.
        value: of a saved customer, >= 0.
    """

    months: KeyArray
    entities: KeyArray
    features: FloatArray
    assigned: BoolArray
    probability: FloatArray
    churned: BoolArray
    value: FloatArray

    def __post_init__(self) -> None:
        rows = np.shape(self.churned)[0] if np.ndim(self.churned) else 0
        checked_labels(self.churned, two_classes=False)
        checked_probabilities("assignment probabilities", self.probability, rows)
        if (checked_scores("values", self.value, rows) < 0).any():
            raise DataError("the value of a saved customer is below 0")
        for name in ("months", "entities", "assigned"):
            if np.shape(getattr(self, name)) != (rows,):
                raise DataError(
                    f"{name} have the shape {np.shape(getattr(self, name))}, not {rows}"
                )
        if np.ndim(self.features) != 2 or len(self.features) != rows:  # noqa: PLR2004
            raise DataError(
                f"the features have the shape {np.shape(self.features)}, not {rows} rows"
            )

    def overlapping(self, least: float) -> BoolArray:
        """Where both arms had at least the probability `least`; other rows tell nothing."""
        kept: BoolArray = np.minimum(self.probability, 1 - self.probability) >= least
        return kept

    def only(self, kept: BoolArray) -> "RandomisedRows":
        """The rows that `kept` selects, at least one."""
        return RandomisedRows(
            self.months[kept], self.entities[kept], self.features[kept], self.assigned[kept],
            self.probability[kept], self.churned[kept], self.value[kept],
        )  # fmt: skip

    def churners(self, *, assigned: bool, least_overlap: float = LEAST_OVERLAP) -> int:
        """How many customers of one arm churned, of those who could be in both."""
        in_arm = self.overlapping(least_overlap) & (self.assigned == assigned)
        return int((self.churned & in_arm).sum())


@dataclass(frozen=True)
class TooFew:
    """Nothing was fitted: the arms have fewer churners than an effect model needs."""

    assigned_churners: int
    untouched_churners: int
    least_assigned: int
    least_untouched: int


@dataclass(frozen=True, eq=False)
class EffectModel:
    """An R-learner: the churn probability over both arms, and by how much a contact lowers it."""

    months: tuple[str, ...]
    assigned_churners: int
    untouched_churners: int
    _churn: Callable[[FloatArray], FloatArray]
    _effect: Callable[[FloatArray], FloatArray]

    def effect(self, features: FloatArray) -> FloatArray:
        """How far a contact lowers the churn probability, shape (rows,); below 0 it raises it.

        Args:
            features: shape (rows, columns), the columns of the training rows.
        """
        return self._effect(features)

    def doubly_robust_scores(self, rows: RandomisedRows) -> FloatArray:
        """A score a row, shape (rows,), whose mean over any group is the group's mean effect.

        Robins, Rotnitzky and Zhao (1994): effect + (W - e) / (e (1 - e)) (m_W - Y). It holds
        for any model, since e is the registered probability. Every e lies within (0, 1).
        """
        e = rows.probability
        effect = self._effect(rows.features)
        surprise = rows.assigned - e
        expected = self._churn(rows.features) - surprise * effect
        return effect + surprise / (e * (1 - e)) * (expected - rows.churned)


def fit_effect_model(
    rows: RandomisedRows,
    *,
    least_assigned: int = LEAST_ASSIGNED_CHURNERS,
    least_untouched: int = LEAST_UNTOUCHED_CHURNERS,
    least_overlap: float = LEAST_OVERLAP,
    seed: int = 0,
) -> EffectModel | TooFew:
    """Fit the R-learner of Nie and Wager (2021, Biometrika 108) with small LightGBM trees.

    It regresses what out-of-fold churn probabilities (folds by customer) do not explain on the
    assignment minus its registered probability. The same rows in the same order give the same
    model.

    Args:
        rows: months whose labels have matured.
        least_assigned: churners needed among assigned customers; uplift from fewer ranks noise.
        least_untouched: churners needed among the others.
        least_overlap: rows whose arms were less likely than this are left out.
        seed: of all random draws.
    """
    assigned = rows.churners(assigned=True, least_overlap=least_overlap)
    untouched = rows.churners(assigned=False, least_overlap=least_overlap)
    if assigned < least_assigned or untouched < least_untouched:
        return TooFew(assigned, untouched, least_assigned, least_untouched)
    rows = rows.only(rows.overlapping(least_overlap))
    out_of_fold = np.empty(rows.churned.size)
    folds = _folds(entity_codes(rows.entities, rows.churned.size), seed)
    for fold in range(FOLDS):
        held = folds == fold
        churn = _fit_churn(rows.features[~held], rows.churned[~held], seed)
        out_of_fold[held] = churn(rows.features[held])
    surprise = rows.assigned - rows.probability
    unexplained = out_of_fold - rows.churned
    return EffectModel(
        months=tuple(sorted({str(month) for month in rows.months})),
        assigned_churners=assigned,
        untouched_churners=untouched,
        _churn=_fit_churn(rows.features, rows.churned, seed),
        _effect=_fit_effect(rows.features, unexplained / surprise, surprise**2, seed),
    )


def _folds(customers: IntArray, seed: int) -> IntArray:
    """The fold of each row, shape (rows,); the rows of a customer are in one."""
    of_customer: IntArray = np.random.default_rng(seed).integers(0, FOLDS, customers.max() + 1)
    folds: IntArray = of_customer[customers]
    return folds


def _fit_churn(
    features: FloatArray, churned: BoolArray, seed: int
) -> Callable[[FloatArray], FloatArray]:
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(min_child_samples=40, random_state=seed, **TREES)
    model.fit(features, churned.astype(int))
    return lambda columns: np.asarray(model.predict_proba(columns)[:, 1])


def _fit_effect(
    features: FloatArray, target: FloatArray, weights: FloatArray, seed: int
) -> Callable[[FloatArray], FloatArray]:
    from lightgbm import LGBMRegressor

    # A leaf's weight is about rows x e (1 - e): at e = 0.9 it holds at least 220 rows.
    model = LGBMRegressor(
        min_child_weight=LEAST_WEIGHT_OF_LEAF, reg_lambda=10.0, random_state=seed, **TREES
    )
    model.fit(features, target, sample_weight=weights)
    return lambda columns: np.asarray(model.predict(columns))


@dataclass(frozen=True)
class Autoc:
    """Area under the targeting operator characteristic of a ranking, in money a customer.

    Above 0 the customers ranked first gain more from contact than the average customer.
    """

    estimate: float
    standard_error: float
    interval: Interval
    rows: int


@dataclass(frozen=True)
class UpliftTest:
    """Effect x value against risk x value on later months; `difference` is of their AUTOCs."""

    uplift: Autoc
    risk: Autoc
    difference: float
    interval: Interval
    trained_on: tuple[str, ...]
    tested_on: tuple[str, ...]
    assigned_churners: int
    untouched_churners: int


def autoc(
    priority: FloatArray, scores: FloatArray, entities: KeyArray | None = None, level: float = 0.95
) -> Autoc:
    """Rank-weighted average effect with logarithmic weights (Yadlowsky et al., arXiv 2111.07966).

    TOC(q) is the mean score of the share q ranked first minus the mean of all; AUTOC is its
    mean over q. Rows of equal priority share their places. The interval is normal, from
    influence values summed by customer, which include that other customers would move the ranks.

    Args:
        priority: shape (rows,), finite; the highest first.
        scores: shape (rows,), finite, doubly robust.
        entities: shape (rows,), the customer of each row; None when none repeats.
        level: of the two-sided interval.

    Raises:
        NotANumber: a priority or a score is NaN.
        DataError: unlike shapes, infinite values, or fewer than two customers.
    """
    estimate, influence = _influence(priority, scores)
    error = _standard_error(influence, entities)
    half = quantile_of_normal(level) * error
    return Autoc(estimate, error, Interval(estimate - half, estimate + half), influence.size)


def _influence(priority: FloatArray, scores: FloatArray) -> tuple[float, FloatArray]:
    """AUTOC, and how far each row moves it, shape (rows,)."""
    rows = np.shape(scores)[0] if np.ndim(scores) else 0
    values = checked_scores("scores", scores, rows)
    ranks = checked_scores("priorities", priority, rows)
    if rows < FEWEST:
        raise DataError(f"{rows} rows: an AUTOC needs at least two customers")
    order = np.argsort(-ranks, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(ranks[order]) != 0))
    sizes = np.diff(np.append(first, rows))

    def shared(of_place: FloatArray) -> FloatArray:
        return np.repeat(np.add.reduceat(of_place, first) / sizes, sizes)

    places = np.arange(1.0, rows + 1)
    # The row at place j belongs to the best 1..l for each l >= j.
    weight = shared(np.cumsum((1 / places)[::-1])[::-1] - 1)
    ordered = values[order]
    behind = shared(ordered) / places
    moved = shared(np.cumsum(behind[::-1])[::-1] - behind)
    estimate = float(ordered @ weight) / rows
    influence = np.empty(rows)
    influence[order] = (ordered * weight - moved + values.mean() - estimate) / rows
    return estimate, influence


def _standard_error(influence: FloatArray, entities: KeyArray | None) -> float:
    sums = influence
    if entities is not None:
        codes = entity_codes(entities, influence.size, sort=False)
        sums = np.bincount(codes, weights=influence).astype(np.float64)
    if sums.size < FEWEST:
        raise DataError("all rows are of one customer: a standard error needs two")
    return math.sqrt(float(sums @ sums) * sums.size / (sums.size - 1))


def judge_uplift(
    model: EffectModel,
    rows: RandomisedRows,
    risk: FloatArray,
    *,
    level: float = 0.95,
    least_overlap: float = LEAST_OVERLAP,
) -> UpliftTest:
    """Compare ranking by effect x value with ranking by risk x value on these rows.

    Args:
        model: fitted on other months.
        rows: months with matured labels.
        risk: churn probability from the production model, shape (rows,), in [0, 1].
        level: of the two-sided intervals.
        least_overlap: rows whose arms were less likely than this are left out, as no ranking
            of them can be judged.

    Raises:
        NotANumber: a probability is NaN.
        DataError: unlike shapes, or fewer than two customers.
    """
    kept = rows.overlapping(least_overlap)
    risk = checked_probabilities("churn probabilities", risk, rows.churned.size)[kept]
    rows = rows.only(kept)
    scores = model.doubly_robust_scores(rows) * rows.value
    priority = model.effect(rows.features) * rows.value
    by_risk = risk * rows.value
    uplift, moves_uplift = _influence(priority, scores)
    base, moves_base = _influence(by_risk, scores)
    difference = uplift - base
    half = quantile_of_normal(level) * _standard_error(moves_uplift - moves_base, rows.entities)
    return UpliftTest(
        uplift=autoc(priority, scores, rows.entities, level),
        risk=autoc(by_risk, scores, rows.entities, level),
        difference=difference,
        interval=Interval(difference - half, difference + half),
        trained_on=model.months,
        tested_on=tuple(sorted({str(month) for month in rows.months})),
        assigned_churners=rows.churners(assigned=True, least_overlap=least_overlap),
        untouched_churners=rows.churners(assigned=False, least_overlap=least_overlap),
    )


def why_not_rank(test: UpliftTest | TooFew) -> WhyNot | None:
    """Why ranking stays by risk x value; None when uplift has proven itself.

    The tested months must all be later than those of the training. Both lower bounds must lie
    above 0: of the AUTOC, and of its difference from the AUTOC of risk x value.
    """
    if isinstance(test, TooFew):
        return WhyNot.TOO_FEW
    if min(test.tested_on) <= max(test.trained_on):
        return WhyNot.NOT_LATER
    if not test.uplift.interval.above(0):
        return WhyNot.NOT_ABOVE_RANDOM
    if not test.interval.above(0):
        return WhyNot.NOT_ABOVE_RISK
    return None
