"""Boundaries for a question that is asked again every month.

Lan and DeMets (1983, Biometrika 70) spend the error over the looks as information arrives; the
spending function here is of O'Brien-Fleming type. Convention: a level of 0.95 is an error of
0.025 on each side, and each side has spent 2 - 2 Phi(z / sqrt(t)) at information t, where z is
the normal quantile of 1 - 0.025 / 2. (Another convention spends the two-sided 0.05 that way.)
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from churn_platform.base.errors import DataError
from churn_platform.evaluation.statistics import FloatArray

Spending = Callable[[float, float], float]
"""The error of one side that is spent at information t, 0 to 1: `spending(t, error)`."""

HIGHEST = 8.0
"""Highest boundary, in standard errors. Beyond it a level rounds to 1."""
SMALLEST_STEP = 0.001
"""Share of the planned information that a look must add. A look that adds less has the highest
boundary and spends nothing.
"""
STEPS_PER_ERROR = 6
"""Grid points per standard error of the information between two looks."""


def obrien_fleming(information: float, error: float) -> float:
    """Error of one side spent at `information` (Lan and DeMets 1983, alpha 1)."""
    if information <= 0:
        return 0.0
    quantile = NormalDist().inv_cdf(1 - error / 2)
    return math.erfc(quantile / math.sqrt(2 * information))


def boundaries(
    information: Sequence[float], level: float = 0.95, spending: Spending = obrien_fleming
) -> tuple[float, ...]:
    """The boundary of |z| at each look. Without an effect, |z| crosses one of them with
    probability 1 - `level` up to information 1.

    A look's boundary depends on the looks before it alone, so the looks to come need not be
    known. Later boundaries account for what earlier ones have really spent. The boundaries of
    equal steps fall; after a small step a boundary can be higher than the one before.

    Args:
        information: share of the planned information at each look, ascending and positive. From
            1 on all of the error is spent.
        level: two-sided confidence level of all looks together.
        spending: how the error is spread over the looks.

    Raises:
        DataError: there is no look, or the information is not positive or falls.
    """
    shares = tuple(float(share) for share in information)
    if not shares or not shares[0] > 0 or any(b < a for a, b in itertools.pairwise(shares)):
        raise DataError(f"the looks have the information {shares}: pass ascending shares above 0")
    return _boundaries(shares, level, spending)


def level_at(look: int, looks: int, level: float = 0.95) -> float:
    """The two-sided level of an interval at look `look` of `looks` equal ones.

    A look after the planned ones has the level of the last. Those are then no longer covered by
    `level`: every further look adds to the error.

    Args:
        look: number of the look, from 1.
        looks: number of planned looks.
        level: two-sided confidence level of all planned looks together.

    Raises:
        DataError: `look` or `looks` is less than 1.
    """
    if min(look, looks) < 1:
        raise DataError(f"look {look} of {looks} does not exist: the first look is 1")
    planned = boundaries([number / looks for number in range(1, looks + 1)], level)
    return math.erf(planned[min(look, looks) - 1] / math.sqrt(2))


@dataclass(frozen=True)
class _AllSpentFrom:
    """O'Brien-Fleming spending that spends what is left at `information`."""

    information: float

    def __call__(self, information: float, error: float) -> float:
        if information >= self.information:
            return error
        return obrien_fleming(information, error)


def planned_boundaries(
    information: Sequence[float], looks: int, level: float = 0.95
) -> tuple[float, ...]:
    """The boundaries of a test with a planned number of looks: the last one spends all of the
    error that is left, even if less information came than was planned.

    Args:
        information: share of the planned information at each look up to the newest.
        looks: planned number of looks.
        level: two-sided confidence level of all looks together.

    Raises:
        DataError: there is no look, there are more than planned, or the information is not
            positive or falls.
    """
    if len(information) > looks:
        raise DataError(f"look {len(information)} of {looks} does not exist")
    if len(information) < looks or information[-1] >= 1:
        return boundaries(information, level)
    return boundaries(information, level, _AllSpentFrom(float(information[-1])))


def conditional_power(z: float, information: float, drift: float, boundary: float) -> float:
    """Probability that a two-sided test ends beyond `boundary` on the side of its planned
    effect, given what was seen. It is the higher of both sides: the effect may have either sign.

    With B = z sqrt(t), the rest of the way is normal with mean drift (1 - t) and variance 1 - t
    (Lan, Simon and Halperin 1982, Sequential Analysis 1; Lan and Wittes 1988, Biometrics 44).
    Crossings before the last look are not counted.

    Args:
        z: the statistic of the newest look.
        information: its share of the planned information.
        drift: the expected statistic at information 1 under the planned effect, above 0.
        boundary: the boundary of the last look.
    """
    if information >= 1:
        return float(abs(z) >= boundary)
    rest = 1 - information
    reached = abs(z) * math.sqrt(information)
    return NormalDist().cdf((reached + drift * rest - boundary) / math.sqrt(rest))


@lru_cache(maxsize=512)
def _boundaries(shares: tuple[float, ...], level: float, spending: Spending) -> tuple[float, ...]:
    """Recursive integration (Armitage, McPherson and Rowe 1969, JRSS A 132): `mass` is the
    probability that the sum is at each of `sums` and no boundary was crossed so far.
    """
    error = (1 - level) / 2
    width = math.sqrt(_smallest_step(shares)) / STEPS_PER_ERROR
    sums = np.zeros(1)
    mass = np.ones(1)
    before = 0.0
    spent = 0.0
    found = []
    for share in shares:
        if share - before < SMALLEST_STEP:
            found.append(HIGHEST)
            continue
        step = math.sqrt(share - before)
        scale = math.sqrt(share)
        due = spending(min(share, 1.0), error) - spent
        boundary = _boundary(sums, mass, step, scale, due)
        found.append(boundary)
        spent += _crossing(boundary, sums, mass, step, scale)
        grid, weights = _simpson(boundary * scale, width)
        distances = (grid[:, None] - sums) / step
        density = np.exp(-(distances**2) / 2) @ mass / (step * math.sqrt(2 * math.pi))
        sums = grid
        mass = density * weights
        before = share
    return tuple(found)


def _smallest_step(shares: Sequence[float]) -> float:
    """The least information between two looks that count."""
    smallest = 1.0
    before = 0.0
    for share in shares:
        if share - before >= SMALLEST_STEP:
            smallest = min(smallest, share - before)
            before = share
    return smallest


def _boundary(sums: FloatArray, mass: FloatArray, step: float, scale: float, due: float) -> float:
    """The boundary that is crossed for the first time with probability `due`."""
    low = 0.0
    high = HIGHEST
    for _ in range(45):
        middle = (low + high) / 2
        if _crossing(middle, sums, mass, step, scale) > due:
            low = middle
        else:
            high = middle
    return high


def _crossing(
    boundary: float, sums: FloatArray, mass: FloatArray, step: float, scale: float
) -> float:
    """Probability that the sum passes the upper boundary at this look."""
    from scipy.special import ndtr

    return float(mass @ ndtr((sums - boundary * scale) / step))


def _simpson(edge: float, width: float) -> tuple[FloatArray, FloatArray]:
    """Points from -`edge` to `edge`, at most `width` apart, and Simpson's weights."""
    points = 2 * math.ceil(edge / width) + 1
    weights = np.ones(points)
    weights[1:-1:2] = 4
    weights[2:-1:2] = 2
    return np.linspace(-edge, edge, points), weights * (2 * edge / (points - 1) / 3)
