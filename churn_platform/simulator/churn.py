"""Why a simulated entity churns: the old relation, the new one, and the features that move with
it.
"""

from dataclasses import dataclass

import numpy as np

from churn_platform.base.errors import ContractError
from churn_platform.contract.model import Contract
from churn_platform.simulator.tables import ColumnShape, Flags, Floats, Key, Numbers, shapes_of

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
# Share of the strongest weight below which a feature is not a driver.
STRONG = 0.4
HALF = 0.5
# In standard deviations, above everyone who stays.
LEAK = 4.0
# The truth is fixed on separate entities, so it is the same business at 300 and at 300,000.
REFERENCE_ROWS = 10_000


@dataclass(frozen=True)
class Relation:
    """How features drive churn; arrays have one number per feature, in the contract's order."""

    weights: Floats
    centre: Floats
    spread: Floats
    slope: float
    intercept: float

    def probability(self, encoded: Floats) -> Floats:
        """The true churn probability, (n, features) -> (n,); a null has no effect."""
        return _sigmoid(
            self.intercept
            + self.slope * (_standard(encoded, self.centre, self.spread) @ self.weights)
        )


@dataclass(frozen=True)
class World:
    """A simulated business without its customers: distributions, relations and moves."""

    shapes: dict[Key, ColumnShape]
    features: tuple[Key, ...]
    before: Relation
    after: Relation
    relation_moves: dict[Key, float]
    """Features of the new relation that move with it -> how far, in standard deviations."""
    covariate_moves: dict[Key, float]
    """The same for features that move while the old relation stays: a weak driver, and a feature
    that does not drive churn.
    """
    leak: Key
    """The feature that is filled in after churning in scenarios with a leak."""

    def probability(self, encoded: Floats, relation: float) -> Floats:
        """The true probability, (n, features) -> (n,); a share `relation` follows the new
        relation.
        """
        old = self.before.probability(encoded)
        new = self.after.probability(encoded)
        return (1 - relation) * old + relation * new

    def drivers(self, relation: float) -> tuple[str, ...]:
        """The features that drive churn, strongest first, without the weak ones."""
        now = self.after if relation > HALF else self.before
        return tuple(self.features[place][1] for place in _strong(now.weights))

    def distances(self, features: float, covariates: float) -> dict[Key, float]:
        """Feature -> how far it has moved, in standard deviations, at these shares of the complete
        move.
        """
        parts = [(key, features * far) for key, far in self.relation_moves.items()]
        parts += [(key, covariates * far) for key, far in self.covariate_moves.items()]
        moved: dict[Key, float] = {}
        for key, far in parts:
            moved[key] = moved.get(key, 0.0) + far
        return {key: far for key, far in moved.items() if far}


def build_world(contract: Contract, rng: np.random.Generator) -> World:
    """A random world for `contract`: distributions, both relations and what moves.

    Raises:
        ContractError: a column that no value can satisfy, or no feature that can vary.
    """
    shapes = shapes_of(contract, rng)
    # An age follows from its date, so it has no shape and does not drive churn.
    features = tuple(
        (view.table, name)
        for view in contract.feature_views.values()
        for name in view.features
        if (view.table, name) in shapes
    )
    latent = rng.standard_normal((REFERENCE_ROWS, len(features)))
    encoded = _encode(shapes, features, latent)
    varied = np.flatnonzero(encoded.std(axis=0) > 0)
    if varied.size == 0:
        raise ContractError(
            "feature_views: no feature can take two values, so nothing can explain churn; add one."
        )
    old, new, fresh = _weights(len(features), rng.permutation(varied), rng)

    def other_than_a_number(place: int) -> bool:
        return not isinstance(shapes[features[place]], Numbers)

    def unfit_to_leak(place: int) -> tuple[bool, bool, bool]:
        nullable = contract.features[features[place][1]].nullable
        return other_than_a_number(place), nullable, old[place] != 0

    moved = sorted(fresh, key=other_than_a_number)[:MOVED_FEATURES]
    latent[:, moved] += MOVE
    candidates = sorted(varied.tolist(), key=other_than_a_number)
    strong = _strong(old)
    weak = [place for place in candidates if place in strong[1:]] or strong
    idle = [place for place in candidates if old[place] == 0]
    return World(
        shapes=shapes,
        features=features,
        before=_relation(old, encoded, RATE_BEFORE),
        after=_relation(new, _encode(shapes, features, latent), RATE_AFTER),
        relation_moves={features[place]: MOVE for place in moved},
        covariate_moves={features[place]: MOVE for place in (weak[-1], *idle[:1])},
        # A number that is never null and does not drive churn, or the nearest to that.
        leak=features[min(varied.tolist(), key=unfit_to_leak)],
    )


def with_log_odds(chance: Floats, log_odds: float) -> Floats:
    """The probabilities with `log_odds` added to everyone's log-odds; (n,) -> (n,)."""
    if log_odds == 0:
        return chance
    odds = chance / (1 - chance) * np.exp(log_odds)
    return np.asarray(odds / (1 + odds))


def leaked_feature(latent: Floats, churned: Flags) -> Floats:
    """The latent numbers of a feature that reveals the label: churners above all others; (n,)."""
    return np.where(churned, LEAK + np.abs(latent), np.minimum(latent, 0.0))


def _encode(shapes: dict[Key, ColumnShape], features: tuple[Key, ...], latent: Floats) -> Floats:
    encoded = np.empty(latent.shape)
    for place, key in enumerate(features):
        encoded[:, place] = shapes[key].encoded(latent[:, place])
    return encoded


def _strong(weights: Floats) -> list[int]:
    order = np.argsort(-np.abs(weights), kind="stable")
    return [int(place) for place in order if abs(weights[place]) >= STRONG * np.abs(weights).max()]


def _weights(
    count: int, order: np.ndarray, rng: np.random.Generator
) -> tuple[Floats, Floats, list[int]]:
    """Old and new weights over `count` features, each of length 1, and the places that only the
    new ones use.

    The strongest old feature changes its sign. The new score is then made nearly uncorrelated
    with the old one (Gram-Schmidt; the features are independent, so scores correlate as the
    weights do), so the old model falls to an AUC just above 0.5.
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
    """The slope on the sorted `score` at which the best AUC is `BEST_AUC`, at most `STEEPEST`."""
    from scipy.optimize import brentq

    def above(slope: float) -> float:
        return _expected_auc(_sigmoid(_intercept(slope * score, rate) + slope * score)) - BEST_AUC

    if above(STEEPEST) <= 0:
        return STEEPEST
    return float(brentq(above, 0.0, STEEPEST, xtol=1e-3))


def _expected_auc(chance: Floats) -> float:
    """The expected AUC of ascending `chance` against labels drawn by it."""
    staying = np.cumsum(1 - chance)
    return float((chance * staying).sum() / (chance.sum() * staying[-1]))


def _standard(encoded: Floats, centre: Floats, spread: Floats) -> Floats:
    """Standardised features; nulls and constants are 0, and outliers are clipped."""
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
