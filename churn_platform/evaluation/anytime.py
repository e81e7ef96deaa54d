"""Anytime-valid tests of randomised customers: the same error however often one looks.

Every test here asks one question: does the arm of a customer depend on what happened to the
customer? If not, each customer is in the canary's arm with the registered share, independently
of everything that was observed. The likelihood ratio of a world in which it depends against
that one is a martingale of mean 1, so it exceeds 1/error at any time with probability of at most
`error` (Ville 1939; Shafer, Shen, Vereshchagin and Vovk 2011, Statistical Science 26). A mixture
of such ratios is one, too. Nothing is asymptotic: five errors are judged as exactly as 5,000.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from churn_platform.evaluation.statistics import BoolArray, FloatArray

RATIOS: Final[FloatArray] = 2.0 ** np.arange(0.5, 10.5, 0.5)
"""The ratios of the rates in the two arms that the mixture of `event_evidence` holds. The
smallest is 1.4: a rate that is higher by less than a fifth is not evidence.
"""
TILTS: Final[FloatArray] = np.concatenate([side * 2.0 ** np.arange(-2, 6) for side in (1, -1)])
"""By how much a score that is higher by 1 moves the log-odds of the canary's arm, in the mixture
of `ScoreEvidence`; both directions.
"""
LEAST_CUSTOMERS: Final = 10
"""Scores are compared from so many customers in each arm on."""


def event_evidence(canary: npt.ArrayLike, both: npt.ArrayLike, share: float) -> FloatArray:
    """Log evidence that an event is more frequent in the canary's arm.

    Without a difference the customer of each event is in the canary's arm with probability
    `share`. With rates in the ratio r it is s r / (1 - s + s r) (Turner, Ly and Gruenwald 2021,
    arXiv 2106.02693, conditional on the event). Mixed over `RATIOS`, each above 1.

    Args:
        canary: customers with the event in the canary's arm (any shape).
        both: customers with the event in both arms; same shape.
        share: the registered share of the canary's arm.
    """
    inside = np.asarray(canary, dtype=float)[..., None]
    total = np.asarray(both, dtype=float)[..., None]
    return _log_mean(inside * np.log(RATIOS) - total * np.log1p(share * (RATIOS - 1)))


class ScoreEvidence:
    """Evidence that a score is higher or lower in the canary's arm, customer by customer.

    The tilted probability of the canary's arm is s e^(t g) / (1 - s + s e^(t g)), where g is the
    score less the mean of the customers before. Without a difference it is s. Mixed over `TILTS`,
    so it is two-sided. A customer may be left out for a reason that does not depend on the arm.
    """

    def __init__(self, share: float) -> None:
        """No customer has been seen.

        Args:
            share: the registered share of the canary's arm.
        """
        self._share = share
        self._customers = np.zeros(2)
        self._sums = np.zeros(2)
        self._log_ratios = np.zeros(len(TILTS))
        self.highest = 0.0
        """The most evidence there ever was."""

    def add(self, scores: FloatArray, in_canary: BoolArray) -> None:
        """Take in customers in the order in which they came; each one counts once.

        Args:
            scores: between 0 and 1 (n,).
            in_canary: whether the customer is in the canary's arm (n,).
        """
        if not len(scores):
            return
        before = np.arange(len(scores)) + self._customers.sum()
        sums = np.cumsum(scores) - scores + self._sums.sum()
        means = np.where(before > 0, sums / np.maximum(before, 1), 0.5)
        tilted = (scores - means)[:, None] * TILTS
        grown = np.log1p(self._share * np.expm1(tilted))
        steps = np.cumsum(np.where(in_canary[:, None], tilted, 0.0) - grown, axis=0)
        paths = self._log_ratios + steps
        inside = np.cumsum(in_canary) + self._customers[1]
        enough = np.minimum(inside, before + 1 - inside) >= LEAST_CUSTOMERS
        self.highest = max(self.highest, float(_log_mean(paths).max(where=enough, initial=0.0)))
        self._log_ratios = paths[-1]
        for arm in (0, 1):
            own = scores[in_canary == bool(arm)]
            self._customers[arm] += len(own)
            self._sums[arm] += own.sum()

    @property
    def log_evidence(self) -> float:
        """The log evidence after the last customer."""
        return float(_log_mean(self._log_ratios))

    @property
    def customers(self) -> tuple[int, int]:
        """Customers in production's arm and in the canary's."""
        return int(self._customers[0]), int(self._customers[1])

    @property
    def means(self) -> tuple[float, float]:
        """Mean score in production's arm and in the canary's; NaN without customers."""
        with np.errstate(invalid="ignore"):
            outside, inside = self._sums / self._customers
        return float(outside), float(inside)


def _log_mean(logs: FloatArray) -> FloatArray:
    """Log of the mean of exp(logs) over the last axis."""
    highest = logs.max(axis=-1, keepdims=True)
    found: FloatArray = np.log(np.exp(logs - highest).mean(axis=-1)) + highest[..., 0]
    return found
