"""Performance of a version on customers whose labels are not known yet, and what changed once
they are.

The estimate is blind to a change of what drives churn: it assumes that customers with the same
features leave as often as before.
"""

from dataclasses import dataclass

import numpy as np

from churn_platform.contacts.value import ContactTerms
from churn_platform.evaluation.calibration import Calibration
from churn_platform.evaluation.density_ratio import density_ratio
from churn_platform.evaluation.gain import AucParts
from churn_platform.evaluation.statistics import (
    BoolArray,
    FloatArray,
    Interval,
    KeyArray,
    auc,
)
from churn_platform.evaluation.weights import effective_count, effective_size, weight_below

LEVEL = 0.95
LEAST_EFFECTIVE_SHARE = 0.2
"""Below this effective share of the reference the month's customers are too different."""


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """Customers as a version sees them.

    Attributes:
        columns: (rows, columns) the features as the version's preprocessing gives them.
        probability: (rows,) of churn, by the version.
    """

    columns: FloatArray
    probability: FloatArray

    @property
    def table(self) -> FloatArray:
        """Everything that can tell these customers from others, shape (rows, columns + 1)."""
        return np.column_stack([self.columns, self.probability])


@dataclass(frozen=True, eq=False)
class ReferenceRows:
    """Rows with labels that the version did not learn from; arrays are (rows,).

    Attributes:
        scored: the rows.
        churned: the labels.
        weights: how many customers each row stands for, above 0. Customers who were contacted
            are not among the rows.
        entities: the customer of each row; one may come in several months.
    """

    scored: ScoredRows
    churned: BoolArray
    weights: FloatArray
    entities: KeyArray

    @property
    def classes(self) -> tuple[int, int]:
        """Effective churners, and effective others."""
        churners = effective_count(self.weights[self.churned])
        return churners, effective_count(self.weights[~self.churned])

    @property
    def auc(self) -> float:
        """The AUC of the version on these rows."""
        return auc(self.churned, self.scored.probability, self.weights)


@dataclass(frozen=True, eq=False)
class Spending:
    """How the contacts of a month are spent.

    Attributes:
        contacts: the budget, customers a month.
        value: (rows,) what each customer is worth if saved; None: no value is estimated.
        terms: what a contact costs and achieves, where there is a value.
    """

    contacts: int
    value: FloatArray | None = None
    terms: ContactTerms | None = None


@dataclass(frozen=True)
class FigureEstimate:
    """An estimated figure and its interval."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class PerformanceEstimate:
    """The estimated performance of a version on a month without labels.

    Attributes:
        auc: of the version's ranking.
        brier: of its probabilities.
        churn_rate: share of the customers who leave if nobody is contacted.
        hits: churners among the `contacts` customers with the highest probability.
        value: what contacting them is worth; None where no value was asked for.
        reference_auc: AUC on the reference rows as they are.
        effective_share: effective share of the reference rows once they are weighted to be
            like the month.
    """

    auc: FigureEstimate
    brier: FigureEstimate
    churn_rate: FigureEstimate
    hits: FigureEstimate
    value: FigureEstimate | None
    reference_auc: float
    effective_share: float


def estimate(
    reference: ReferenceRows, month: ScoredRows, spending: Spending, seed: int
) -> PerformanceEstimate | None:
    """Confidence-based estimates of a month's performance (CBPE; Białek et al. 2024,
    arXiv 2401.08348, with the reference weighted to be like the month).

    Customers are ranked by the version's own probability; only their chance to churn is
    calibrated. Intervals come from labels drawn by chance, each time with a calibration of
    another bootstrap sample of the reference customers.

    Args:
        reference: rows with labels.
        month: all customers of the month.
        spending: of the month's contacts.
        seed: of the draws.

    Returns:
        None where the month's customers are too different from the reference, or so few that
        labels of one class are likely.
    """
    weights, share = _weights_like(reference, month)
    if share < LEAST_EFFECTIVE_SHARE:
        return None
    rng = np.random.default_rng(seed)
    known = reference.scored.probability
    calibration = Calibration.fit(known, reference.churned, weights, reference.entities, rng)
    figures = _Figures.of(month, spending)
    expected = figures.expected(calibration.chance(month.probability))
    drawn = calibration.drawn_labels(month.probability, rng)
    parts = [figures.realised(labels) for labels in drawn]
    tail = (1 - LEVEL) / 2
    ends = np.quantile(np.concatenate(parts), [tail, 1 - tail], axis=0)
    if not np.isfinite(ends).all():
        return None
    found = [
        FigureEstimate(float(value), Interval(float(low), float(high)))
        for value, low, high in zip(expected, *ends, strict=True)
    ]
    return PerformanceEstimate(
        auc=found[0],
        brier=found[1],
        churn_rate=found[2],
        hits=found[3],
        value=None if spending.value is None else found[4],
        reference_auc=reference.auc,
        effective_share=share,
    )


def _weights_like(reference: ReferenceRows, month: ScoredRows) -> tuple[FloatArray, float]:
    """The weights of reference rows that are like the month, and their effective share."""
    own = reference.weights
    weights = own * density_ratio(reference.scored.table, month.table, own)
    return weights, effective_size(weights) / effective_size(own)


@dataclass(frozen=True, eq=False)
class _Figures:
    """Computes the figures of a month from labels or from chances; arrays are (rows,)."""

    probability: FloatArray
    ranks: FloatArray
    """Share of the customers with a lower probability, equal ones counting half."""
    listed: FloatArray
    """How much of each customer is among the contacts by probability."""
    worth: FloatArray
    """What a customer who would churn adds to the value."""
    cost: float

    @classmethod
    def of(cls, month: ScoredRows, spending: Spending) -> "_Figures":
        chance = month.probability
        worth = np.zeros(len(chance))
        cost = 0.0
        if spending.value is not None and spending.terms is not None:
            terms = spending.terms
            chosen = _best(chance * spending.value, spending.contacts)
            worth = chosen * terms.save_rate * spending.value
            cost = float(chosen.sum()) * (terms.contact_cost + terms.incentive)
        return cls(
            probability=chance,
            ranks=weight_below(chance, np.ones(len(chance)), chance),
            listed=_best(chance, spending.contacts),
            worth=worth,
            cost=cost,
        )

    def expected(self, chance: FloatArray) -> FloatArray:
        """The expected figures where each customer leaves with this chance."""
        staying = 1 - chance
        itself = (chance * staying).sum()
        below = weight_below(self.probability, staying, self.probability)
        # A customer and themselves are not a pair.
        pairs = chance.sum() * staying.sum() - itself
        area = ((chance * below).sum() - itself / 2) / pairs
        error = (chance * (1 - self.probability) ** 2 + staying * self.probability**2).mean()
        others = [error, chance.mean(), chance @ self.listed, chance @ self.worth - self.cost]
        return np.array([area, *others])

    def realised(self, labels: BoolArray) -> FloatArray:
        """The figures of drawn labels (draws, rows), shape (draws, 5)."""
        errors = 1 - 2 * self.probability
        columns = [self.ranks, errors, np.ones(len(errors)), self.listed, self.worth]
        sums = labels.astype(np.float32) @ np.column_stack(columns).astype(np.float32)
        ranks, error, churners, listed, worth = sums.astype(float).T
        stayers = labels.shape[1] - churners
        # Of labels of one class the AUC is not defined.
        pairs = np.where(churners * stayers > 0, churners * stayers, np.nan)
        area = (ranks - churners**2 / 2) / pairs
        error = ((self.probability**2).sum() + error) / labels.shape[1]
        rate = churners / labels.shape[1]
        return np.column_stack([area, error, rate, listed, worth - self.cost])


def _best(ranking: FloatArray, contacts: int) -> FloatArray:
    """1 for the `contacts` highest; equal ones at the end share what is left; (rows,)."""
    if contacts >= ranking.size:
        return np.ones(ranking.size)
    cut = np.partition(ranking, -contacts)[-contacts]
    above = ranking > cut
    tied = ranking == cut
    return np.asarray(above + tied * ((contacts - above.sum()) / tied.sum()))


@dataclass(frozen=True)
class FallSplit:
    """Why the AUC of a version changed from the reference to a month: `customers` because the
    customers changed, `drivers` because what drives churn changed.

    The errors are standard errors.
    """

    reference_auc: float
    realised_auc: float
    customers: float
    customers_error: float
    drivers: float
    drivers_error: float

    @property
    def change(self) -> float:
        """Realised less reference."""
        return self.realised_auc - self.reference_auc


def split_fall(
    reference: ReferenceRows, month: ScoredRows, churned: BoolArray, weights: FloatArray
) -> FallSplit | None:
    """Split the change of the AUC since the reference (Cai, Namkoong and Yadlowsky 2023, arXiv
    2303.02011, with the month itself as the shared distribution).

    The reference weighted to be like the month has the month's customers and the earlier
    relation: what it loses is due to the customers, the rest to what drives churn.

    Args:
        reference: rows with labels from before the month.
        month: labelled customers of the month.
        churned: (rows,) their labels.
        weights: (rows,) how many customers each stands for, above 0.

    Returns:
        None where the month's customers are too different from the reference.
    """
    like, share = _weights_like(reference, month)
    if share < LEAST_EFFECTIVE_SHARE:
        return None
    scores = reference.scored.probability
    before = AucParts.of(reference.churned, scores, reference.weights)
    moved = AucParts.of(reference.churned, scores, like)
    after = AucParts.of(churned, month.probability, weights)
    if before is None or moved is None or after is None:
        return None
    _, customers = np.unique(reference.entities, return_inverse=True)
    of_move = np.bincount(customers, weights=moved.parts - before.parts)
    of_moved = np.bincount(customers, weights=moved.parts)
    own = float(after.parts @ after.parts)
    return FallSplit(
        reference_auc=before.auc,
        realised_auc=after.auc,
        customers=moved.auc - before.auc,
        customers_error=float(np.sqrt(of_move @ of_move)),
        drivers=after.auc - moved.auc,
        drivers_error=float(np.sqrt(of_moved @ of_moved + own)),
    )
