"""What makes a simulated entity churn: the old relation, the new one, and the features that
move with it.
"""

from dataclasses import dataclass

import numpy as np

from churn_platform.base.errors import ContractError
from churn_platform.contract.model import Contract
from churn_platform.simulator.tables import Flags, Floats, Key, Look, Numbers, looks_of

BEST_AUC = 0.83
STEEPEST = 6.0
RATE_BEFORE = 0.22
RATE_AFTER = 0.25
# Few and strong: 120 small trees fitted on 3,750 rows come within 0.02 of the best AUC (seeds 1
# to 25).
STRENGTHS = (1.0, 0.85, 0.7, 0.55)
SATURATION = 2.5
# Leaves the old model at an AUC of about 0.53 (0.49 to 0.56 over seeds 1 to 25).
REMAINING_CORRELATION = 0.1
# In standard deviations: a normed Wasserstein distance of about 0.5, five times the usual drift
# threshold.
MOVE = 0.5
MOVED_FEATURES = 2
# Of the strongest weight: what is weaker hardly counts.
STRONG = 0.4
HALF = 0.5
# In standard deviations, above everyone who stays.
LEAK = 4.0
# The truth is fixed on people of its own, so it is the same business at 300 and at 300,000
# entities.
REFERENCE_ROWS = 10_000


@dataclass(frozen=True)
class Relation:
    """One relation of features to churn; arrays have one number a feature, in the contract's
    order.
    """

    weights: Floats
    centre: Floats
    spread: Floats
    slope: float
    intercept: float

    def probability(self, encoded: Floats) -> Floats:
        """The true churn probability of `encoded` features, (n, features) -> (n,); a null has
        no effect.
        """
        return _sigmoid(
            self.intercept
            + self.slope * (_standard(encoded, self.centre, self.spread) @ self.weights)
        )


@dataclass(frozen=True)
class World:
    """Everything about a simulated business that does not depend on its people."""

    looks: dict[Key, Look]
    features: tuple[Key, ...]
    before: Relation
    after: Relation
    move: dict[Key, float]
    """How far each feature of the new relation that moves goes, in standard deviations."""
    harmless: dict[Key, float]
    """The same of features that move while the old relation stays: a weak part of it, and one
    without a part in it.
    """
    leak: Key
    """The feature that is filled in after churning, where one is."""

    def probability(self, encoded: Floats, relation: float) -> Floats:
        """The true probability, the share `relation` of it by the new one; (n, features) ->
        (n,).
        """
        return (1 - relation) * self.before.probability(
            encoded
        ) + relation * self.after.probability(encoded)

    def drivers(self, relation: float) -> tuple[str, ...]:
        """The features that most of churn follows, strongest first, those that hardly count
        left out.
        """
        weights = (self.after if relation > HALF else self.before).weights
        return tuple(self.features[place][1] for place in _strong(weights))

    def distances(self, features: float, covariates: float) -> dict[Key, float]:
        """How far each feature has moved, in standard deviations, at these shares of the whole
        way.
        """
        parts = [(key, features * far) for key, far in self.move.items()]
        parts += [(key, covariates * far) for key, far in self.harmless.items()]
        moved: dict[Key, float] = {}
        for key, far in parts:
            moved[key] = moved.get(key, 0.0) + far
        return {key: far for key, far in moved.items() if far}


def build_world(contract: Contract, rng: np.random.Generator) -> World:
    """A seeded world for `contract`: looks, both relations and what moves.

    Raises:
        ContractError: a column that no value can satisfy, or no feature that can vary.
    """
    looks = looks_of(contract, rng)
    features = tuple(
        (view.table, name) for view in contract.feature_views.values() for name in view.features
    )
    latent = rng.standard_normal((REFERENCE_ROWS, len(features)))
    encoded = _encode(looks, features, latent)
    varied = np.flatnonzero(encoded.std(axis=0) > 0)
    if varied.size == 0:
        raise ContractError(
            "feature_views: no feature can take two values, so nothing can explain churn; add one."
        )
    old, new, fresh = _weights(len(features), rng.permutation(varied), rng)
    moved = sorted(fresh, key=lambda place: not isinstance(looks[features[place]], Numbers))[
        :MOVED_FEATURES
    ]
    latent[:, moved] += MOVE
    return World(
        looks=looks,
        features=features,
        before=_relation(old, encoded, RATE_BEFORE),
        after=_relation(new, _encode(looks, features, latent), RATE_AFTER),
        move={features[place]: MOVE for place in moved},
        harmless={features[place]: MOVE for place in _harmless(looks, features, old, varied)},
        leak=_leak(contract, looks, features, old, varied),
    )


def tilted(chance: Floats, log_odds: float) -> Floats:
    """The probabilities with so much added to everyone's log-odds; (n,) -> (n,)."""
    odds = chance / (1 - chance) * np.exp(log_odds)
    if log_odds == 0:
        return chance
    return np.asarray(odds / (1 + odds))


def leaking(latent: Floats, churned: Flags) -> Floats:
    """The latent numbers of a feature as they are after churning: churners at the top, no one
    else there; (n,).
    """
    return np.where(churned, LEAK + np.abs(latent), np.minimum(latent, 0.0))


def _encode(looks: dict[Key, Look], features: tuple[Key, ...], latent: Floats) -> Floats:
    return np.column_stack(
        [looks[key].encoded(latent[:, place]) for place, key in enumerate(features)]
    )


def _strong(weights: Floats) -> list[int]:
    order = np.argsort(-np.abs(weights), kind="stable")
    return [int(place) for place in order if abs(weights[place]) >= STRONG * np.abs(weights).max()]


def _harmless(
    looks: dict[Key, Look], features: tuple[Key, ...], old: Floats, varied: np.ndarray
) -> list[int]:
    """The weakest driver and a feature without a part in the relation, numbers before others."""
    by_kind = sorted(
        varied.tolist(), key=lambda place: not isinstance(looks[features[place]], Numbers)
    )
    strong = _strong(old)
    weak = [place for place in by_kind if place in strong[1:]] or strong
    return [weak[-1], *[place for place in by_kind if old[place] == 0][:1]]


def _leak(
    contract: Contract,
    looks: dict[Key, Look],
    features: tuple[Key, ...],
    old: Floats,
    varied: np.ndarray,
) -> Key:
    """A number that is never null and has no part in the relation, as far as there is one."""

    def unlikely(place: int) -> tuple[bool, bool, bool]:
        table, name = features[place]
        return (
            not isinstance(looks[table, name], Numbers),
            contract.features[name].nullable,
            old[place] != 0,
        )

    return features[min(varied.tolist(), key=unlikely)]


def _weights(
    count: int, order: np.ndarray, rng: np.random.Generator
) -> tuple[Floats, Floats, list[int]]:
    """Old and new weights over `count` features, each of length 1, and the places that only the
    new ones use.

    The strongest old feature changes its sign. What the new score would still share with the
    old one is then taken out (Gram-Schmidt; the features are independent, so the scores
    correlate as the weights do) but for a rest, so the old model falls to an AUC just above
    0.5.
    """
    carriers = min(len(STRENGTHS), max(1, order.size // 2))
    first = order[:carriers]
    fresh = order[carriers : 2 * carriers]
    strengths = np.array(STRENGTHS[:carriers])
    old = np.zeros(count)
    new = np.zeros(count)
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
    centre = encoded.mean(axis=0)
    spread = encoded.std(axis=0)
    score = _standard(encoded, centre, spread) @ weights
    slope = _slope(np.sort(score), rate)
    return Relation(weights, centre, spread, slope, _intercept(slope * score, rate))


def _slope(score: Floats, rate: float) -> float:
    """The slope on the sorted `score` at which the best AUC is `BEST_AUC`, or the steepest if
    none is enough.
    """
    from scipy.optimize import brentq

    def above(slope: float) -> float:
        return _expected_auc(_sigmoid(_intercept(slope * score, rate) + slope * score)) - BEST_AUC

    if above(STEEPEST) <= 0:
        return STEEPEST
    return float(brentq(above, 0.0, STEEPEST, xtol=1e-3))


def _expected_auc(chance: Floats) -> float:
    """The AUC of ascending `chance` against labels drawn by it: P(a churner is above one who
    stays), ties half.
    """
    staying = np.cumsum(1 - chance)
    return float((chance * staying).sum() / (chance.sum() * staying[-1]))


def _standard(encoded: Floats, centre: Floats, spread: Floats) -> Floats:
    """Standardised features; nulls and constants have no effect, and the effect of an outlier
    saturates.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = (encoded - centre) / spread
    return np.clip(np.nan_to_num(scaled, nan=0.0), -SATURATION, SATURATION)


def _intercept(score: Floats, rate: float) -> float:
    """The intercept at which the mean probability is `rate`."""
    from scipy.optimize import brentq

    far = float(np.abs(score).max()) + 20.0
    return float(
        brentq(lambda intercept: _sigmoid(intercept + score).mean() - rate, -far, far, xtol=1e-4)
    )


def _sigmoid(logit: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-logit))
    return result
