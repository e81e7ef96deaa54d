"""What makes a simulated entity churn: the old relation, the new one, and the features that move with it.

Belongs here: weights, standardisation and the true probability. Does not: the people and the calendar
(`core/simulate.py`), how a column is distributed (`core/simulate_tables.py`).
"""

from dataclasses import dataclass

import numpy as np

from churn_platform.core.contract import Contract
from churn_platform.core.simulate_tables import Floats, Key, Look, Numbers, looks_of
from churn_platform.errors import ContractError

BEST_AUC = 0.83
STEEPEST = 6.0
RATE_BEFORE, RATE_AFTER = 0.22, 0.25
# Few and strong: 120 small trees fitted on 3,750 rows come within 0.02 of the best AUC (seeds 1 to 25).
STRENGTHS = (1.0, 0.85, 0.7, 0.55)
SATURATION = 2.5
# Leaves the old model at an AUC of about 0.53 (0.49 to 0.56 over seeds 1 to 25).
REMAINING_CORRELATION = 0.1
# In standard deviations: a normed Wasserstein distance of about 0.5, five times the usual drift threshold.
MOVE = 0.5
MOVED_FEATURES = 2
# The truth is fixed on people of its own, so it is the same business at 300 and at 300,000 entities.
REFERENCE_ROWS = 10_000


@dataclass(frozen=True)
class Relation:
    """One relation of features to churn; arrays have one number a feature, in the contract's order."""

    weights: Floats
    centre: Floats
    spread: Floats
    slope: float
    intercept: float

    def probability(self, encoded: Floats) -> Floats:
        """The true churn probability of `encoded` features, (n, features) -> (n,); a null has no effect."""
        return _sigmoid(self.intercept + self.slope * (_standard(encoded, self.centre, self.spread) @ self.weights))


@dataclass(frozen=True)
class World:
    """Everything about a simulated business that does not depend on its people."""

    looks: dict[Key, Look]
    features: tuple[Key, ...]
    before: Relation
    after: Relation
    move: dict[Key, float]

    def probability(self, encoded: Floats, relation: float) -> Floats:
        """The true probability, the share `relation` of it by the new one; (n, features) -> (n,)."""
        return (1 - relation) * self.before.probability(encoded) + relation * self.after.probability(encoded)

    def drivers(self, relation: Relation) -> tuple[str, ...]:
        """The features that carry `relation`, strongest first, those that hardly count left out."""
        order = np.argsort(-np.abs(relation.weights), kind="stable")
        strong = 0.4 * np.abs(relation.weights).max()
        return tuple(self.features[place][1] for place in order if abs(relation.weights[place]) >= strong)


def build_world(contract: Contract, rng: np.random.Generator) -> World:
    """A seeded world for `contract`: looks, both relations and what moves.

    Raises:
        ContractError: a column that no value can satisfy, or no feature that can vary.
    """
    looks = looks_of(contract, rng)
    features = tuple((view.table, name) for view in contract.feature_views.values() for name in view.features)
    latent = rng.standard_normal((REFERENCE_ROWS, len(features)))
    encoded = _encode(looks, features, latent)
    varied = np.flatnonzero(encoded.std(axis=0) > 0)
    if varied.size == 0:
        raise ContractError("feature_views: no feature can take two values, so nothing can explain churn; add one.")
    old, new, fresh = _weights(len(features), rng.permutation(varied), rng)
    moved = sorted(fresh, key=lambda place: not isinstance(looks[features[place]], Numbers))[:MOVED_FEATURES]
    latent[:, moved] += MOVE
    return World(
        looks=looks,
        features=features,
        before=_relation(old, encoded, RATE_BEFORE),
        after=_relation(new, _encode(looks, features, latent), RATE_AFTER),
        move={features[place]: MOVE for place in moved},
    )


def _encode(looks: dict[Key, Look], features: tuple[Key, ...], latent: Floats) -> Floats:
    return np.column_stack([looks[key].encoded(latent[:, place]) for place, key in enumerate(features)])


def _weights(count: int, order: np.ndarray, rng: np.random.Generator) -> tuple[Floats, Floats, list[int]]:
    """Old and new weights over `count` features, each of length 1, and the places that only the new ones use.

    The strongest old feature changes its sign. What the new score would still share with the old one is then
    taken out (Gram-Schmidt; the features are independent, so the scores correlate as the weights do) but for
    a rest, so the old model falls to an AUC just above 0.5.
    """
    carriers = min(len(STRENGTHS), max(1, order.size // 2))
    first, fresh = order[:carriers], order[carriers : 2 * carriers]
    strengths = np.array(STRENGTHS[:carriers])
    old, new = np.zeros(count), np.zeros(count)
    signs = rng.choice((-1.0, 1.0)) * (-1.0) ** np.arange(carriers)
    old[first] = signs * strengths
    old /= np.linalg.norm(old)
    if fresh.size == 0:
        return old, -old, [int(first[0])]
    new[fresh] = rng.choice((-1.0, 1.0)) * (signs * strengths)[: fresh.size]
    new[first[0]] = -0.5 * signs[0]
    new -= (new @ old) * old
    new /= np.linalg.norm(new)
    mixed = REMAINING_CORRELATION * old + np.sqrt(1 - REMAINING_CORRELATION**2) * new
    return old, mixed, [int(place) for place in fresh]


def _relation(weights: Floats, encoded: Floats, rate: float) -> Relation:
    centre, spread = encoded.mean(axis=0), encoded.std(axis=0)
    score = _standard(encoded, centre, spread) @ weights
    slope = _slope(np.sort(score), rate)
    return Relation(weights, centre, spread, slope, _intercept(slope * score, rate))


def _slope(score: Floats, rate: float) -> float:
    """The slope on the sorted `score` at which the best AUC is `BEST_AUC`, or the steepest if none is enough."""
    from scipy.optimize import brentq

    def above(slope: float) -> float:
        return _expected_auc(_sigmoid(_intercept(slope * score, rate) + slope * score)) - BEST_AUC

    return STEEPEST if above(STEEPEST) <= 0 else float(brentq(above, 0.0, STEEPEST, xtol=1e-3))


def _expected_auc(chance: Floats) -> float:
    """The AUC of ascending `chance` against labels drawn by it: P(a churner is above one who stays), ties half."""
    staying = np.cumsum(1 - chance)
    return float((chance * staying).sum() / (chance.sum() * staying[-1]))


def _standard(encoded: Floats, centre: Floats, spread: Floats) -> Floats:
    """Standardised features; nulls and constants have no effect, and the effect of an outlier saturates."""
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = (encoded - centre) / spread
    return np.clip(np.nan_to_num(scaled, nan=0.0), -SATURATION, SATURATION)


def _intercept(score: Floats, rate: float) -> float:
    """The intercept at which the mean probability is `rate`."""
    from scipy.optimize import brentq

    far = float(np.abs(score).max()) + 20.0
    return float(brentq(lambda intercept: _sigmoid(intercept + score).mean() - rate, -far, far, xtol=1e-4))


def _sigmoid(logit: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-logit))
    return result
