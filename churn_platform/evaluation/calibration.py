"""The chance to churn behind each probability of a model, and the error of having fitted it to
few customers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from churn_platform.evaluation.statistics import BoolArray, FloatArray, KeyArray

KNOTS = (0.05, 0.35, 0.65, 0.95)
"""Quantiles of the scores (Harrell 2015, table 2.3)."""
FEWEST_KNOTS = 3
PENALTY = 1e3
"""Inverse penalty of the fit: it only matters where scores tell nothing."""
MARGIN = 1e-6
DRAWS = 500
CELLS = 8_000_000
"""Numbers drawn at once: 64 MB."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """P(churn | score): a logistic regression on a restricted cubic spline of the score's
    log-odds (Harrell 2015, 2.4.5), which is linear outside of its knots.

    A straight line (Platt 1999) misses the bend of a linear model: the AUC that it expects was
    0.004 too low in simulation.

    Attributes:
        knots: of the spline.
        parameters: (terms,) of the fit.
        draws: (draws, terms) of bootstrap samples.
    """

    knots: FloatArray
    parameters: FloatArray
    draws: FloatArray

    @classmethod
    def fit(
        cls,
        probability: FloatArray,
        churned: BoolArray,
        weights: FloatArray,
        entities: KeyArray,
        rng: np.random.Generator,
    ) -> "Calibration":
        """Fit to weighted rows, and to bootstrap samples of their customers.

        A sample gives each customer an exponential weight (Rubin 1981) and takes one Newton
        step from the fit on all rows.

        Args:
            probability: (rows,) of the model.
            churned: (rows,) labels, both classes present.
            weights: (rows,) above 0.
            entities: (rows,) the customer of each row.
            rng: draws the samples.
        """
        from sklearn.linear_model import LogisticRegression

        weights = weights / weights.mean()
        scores = _log_odds(probability)
        knots = np.unique(np.quantile(scores, KNOTS))
        terms = _spline(scores, knots)
        width = terms.shape[1]
        fitted = LogisticRegression(
            C=PENALTY, solver="newton-cholesky", tol=1e-8, fit_intercept=False
        ).fit(terms, churned, sample_weight=weights)
        parameters = fitted.coef_[0]
        chance = _sigmoid(terms @ parameters)
        slopes = terms * (weights * (churned - chance))[:, None]
        bends = (terms[:, :, None] * terms[:, None, :]).reshape(len(terms), -1)
        bends = bends * (weights * chance * (1 - chance))[:, None]
        _, customers = np.unique(entities, return_inverse=True)
        columns = np.hstack([slopes, bends]).T
        sums = np.column_stack([np.bincount(customers, weights=one) for one in columns])
        # The penalty leaves a mean slope at the fit.
        sums[:, :width] -= sums[:, :width].mean(axis=0)
        # Single precision halves the time, and a seventh digit does not matter to an interval.
        small = sums.astype(np.float32)
        drawn = np.concatenate(
            [
                rng.standard_exponential((count, len(sums)), dtype=np.float32) @ small
                for count in _batches(len(sums))
            ]
        ).astype(float)
        bend = drawn[:, width:].reshape(-1, width, width) + np.eye(width) / PENALTY
        steps = np.linalg.solve(bend, drawn[:, :width, None])[:, :, 0]
        return cls(knots, parameters, parameters + steps)

    def chance(self, probability: FloatArray) -> FloatArray:
        """The calibrated chance to churn of each probability, shape (rows,)."""
        return _sigmoid(_spline(_log_odds(probability), self.knots) @ self.parameters)

    def drawn_labels(
        self, probability: FloatArray, rng: np.random.Generator
    ) -> Iterator[BoolArray]:
        """Labels drawn by chance, each time by the calibration of another bootstrap sample:
        (draws, rows), some draws at a time.
        """
        terms = _spline(_log_odds(probability), self.knots).T.astype(np.float32)
        draws = self.draws.astype(np.float32)
        done = 0
        for count in _batches(probability.size):
            scores = draws[done : done + count] @ terms
            done += count
            yield rng.random(scores.shape, dtype=np.float32) < 1 / (1 + np.exp(-scores))


def _spline(scores: FloatArray, knots: FloatArray) -> FloatArray:
    """1, the score, and the terms of a restricted cubic spline, shape (rows, terms); with too
    few different knots a straight line.
    """
    columns = [np.ones(scores.size), scores]
    if knots.size < FEWEST_KNOTS:
        return np.column_stack(columns)
    last = knots[-1]
    before = knots[-2]
    for knot in knots[:-2]:
        bent = _cubed(scores - knot)
        bent = bent - _cubed(scores - before) * (last - knot) / (last - before)
        bent = bent + _cubed(scores - last) * (before - knot) / (last - before)
        columns.append(bent / (last - knots[0]) ** 2)
    return np.column_stack(columns)


def _cubed(values: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(values, 0.0) ** 3)


def _batches(width: int) -> list[int]:
    """Numbers of draws that add up to DRAWS and fit into memory."""
    most = max(1, CELLS // max(width, 1))
    full, rest = divmod(DRAWS, most)
    if rest:
        return [most] * full + [rest]
    return [most] * full


def _log_odds(probability: FloatArray) -> FloatArray:
    kept = np.clip(probability, MARGIN, 1 - MARGIN)
    return np.asarray(np.log(kept / (1 - kept)))


def _sigmoid(values: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-values)))
