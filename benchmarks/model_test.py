"""How often is a test of two lists wrong, how often does it see a difference, and how well is
its figure known?

    uv run python -m benchmarks.model_test [--quick]

Tests of twelve months are simulated by their counts: of the customers on one list alone half are
contacted, exactly. `peeked` is the same data looked at every month at 95%, `fixed` is looked at
once, at the end.
"""

import argparse
import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from churn_platform.contacts.planning import LONGEST
from churn_platform.evaluation.sequential import planned_boundaries
from churn_platform.evaluation.statistics import FloatArray
from churn_platform.experiments.model_test import (
    FUTILE_BELOW,
    DisagreementDesign,
    equal_looks,
    outlook_of,
)

CRITICAL = NormalDist().inv_cdf(0.975)
TESTS = 2000
ASSUMED_SAVED = 0.3


@dataclass(frozen=True)
class Business:
    """The customers on each list alone: how many, who of them leaves, and who of these is saved
    by being assigned to contact.
    """

    only: int = 150
    churn_a: float = 0.5
    churn_b: float = 0.5
    saved_a: float = 0.3
    saved_b: float = 0.3
    months: int = 12

    @property
    def difference(self) -> float:
        """The true difference in saved customers a month."""
        return self.only * (self.churn_a * self.saved_a - self.churn_b * self.saved_b)

    @property
    def design(self) -> DisagreementDesign:
        """What is known before the test."""
        return DisagreementDesign(self.only, self.churn_a, self.churn_b)


@dataclass(frozen=True)
class SimulatedTests:
    """Tests by their looks; arrays are (tests, looks).

    Attributes:
        churners: of each list and half (list, contacted, tests, months).
        value: the difference over the months up to a look.
        error: its standard error.
        shown: |z| is at or beyond the boundary, with the sign of z.
        futile: the conditional power under the planned difference is below 10%.
    """

    churners: npt.NDArray[np.int64]
    value: FloatArray
    error: FloatArray
    shown: npt.NDArray[np.int64]
    futile: npt.NDArray[np.bool_]

    def verdicts(self, *, heed_futility: bool = True) -> npt.NDArray[np.int64]:
        """1 where A is better, -1 where B is, 0 without a difference; shape (tests,)."""
        stops = self.stops(heed_futility=heed_futility)
        return self.shown[np.arange(stops.size), stops]

    def stops(self, *, heed_futility: bool = True) -> npt.NDArray[np.intp]:
        """The look, from 0, with which each test ends; shape (tests,)."""
        ends = self.shown != 0
        if heed_futility:
            ends = ends | self.futile
        ends[:, -1] = True
        return np.argmax(ends, axis=1)


def simulated(business: Business, tests: int, seed: int = 0) -> SimulatedTests:
    """Tests of a business, as `experiments/model_test.py` judges them."""
    draw = np.random.default_rng(seed)
    half = business.only // 2
    rates = np.array(
        [
            [business.churn_a, business.churn_a * (1 - business.saved_a)],
            [business.churn_b, business.churn_b * (1 - business.saved_b)],
        ]
    )
    size = (2, 2, tests, business.months)
    churners = draw.binomial(half, rates[:, :, None, None], size=size)
    share = churners / half
    saved = business.only * (share[:, 0] - share[:, 1])
    spread = business.only**2 * (share * (1 - share) / (half - 1)).sum(axis=1)
    months = np.arange(1, business.months + 1)
    value = np.cumsum(saved[0] - saved[1], axis=1) / months
    error = np.sqrt(np.cumsum(spread.sum(axis=0), axis=1)) / months
    looks = business.months
    information = np.array(equal_looks(looks))
    bounds = np.array(planned_boundaries(equal_looks(looks), looks))
    planned = outlook_of(business.design, looks, ASSUMED_SAVED).planned
    z = np.divide(value, error, out=np.zeros_like(value), where=error > 0)
    power = _conditional_power(z, information, planned / (error * np.sqrt(information)), bounds[-1])
    return SimulatedTests(
        churners=churners,
        value=value,
        error=error,
        shown=(np.sign(z) * (np.abs(z) >= bounds)).astype(np.int64),
        futile=power < FUTILE_BELOW,
    )


def _conditional_power(
    z: FloatArray, information: FloatArray, drift: FloatArray, boundary: float
) -> FloatArray:
    """As `evaluation/sequential.py:conditional_power`; 1 at the last look, which is no stop."""
    from scipy.special import ndtr

    rest = 1 - information[:-1]
    reached = np.abs(z[:, :-1]) * np.sqrt(information[:-1])
    power = np.ones_like(z)
    power[:, :-1] = ndtr((reached + drift[:, :-1] * rest - boundary) / np.sqrt(rest))
    return power


@dataclass(frozen=True)
class Figures:
    """What many tests of one business came to, as shares of the tests."""

    false_or_shown: float
    without_futility: float
    wrong_side: float
    fixed: float
    peeked: float
    bias: float
    bias_at_stop: float
    coverage: float
    coverage_of_looks: float
    mean_months: float


def figures(business: Business, tests: int = TESTS, seed: int = 0) -> Figures:
    """The figures of one business. Bias is in standard errors of one test of all months."""
    run = simulated(business, tests, seed)
    truth = business.difference
    verdicts = run.verdicts()
    stops = run.stops()
    last = np.abs(run.value[:, -1] / run.error[:, -1])
    z = np.abs(run.value / np.maximum(run.error, 1e-12))
    bounds = np.array(planned_boundaries(equal_looks(business.months), business.months))
    missed = run.value - truth
    one_error = run.error[:, -1].mean()
    at_stop = missed[np.arange(tests), stops]
    return Figures(
        false_or_shown=float((verdicts != 0).mean()),
        without_futility=float((run.verdicts(heed_futility=False) != 0).mean()),
        wrong_side=float((verdicts * math.copysign(1, truth) < 0).mean()),
        fixed=float((last >= CRITICAL).mean()),
        peeked=float((z >= CRITICAL).any(axis=1).mean()),
        bias=float(missed[:, -1].mean() / one_error),
        bias_at_stop=float(at_stop.mean() / one_error),
        coverage=float((np.abs(missed[:, -1]) <= CRITICAL * run.error[:, -1]).mean()),
        coverage_of_looks=float((np.abs(missed) <= bounds * run.error).all(axis=1).mean()),
        mean_months=float(stops.mean() + 1),
    )


def with_planned_difference(business: Business) -> Business:
    """The business in which list A saves just so many more that the last look shows it."""
    planned = outlook_of(business.design, business.months, ASSUMED_SAVED).planned
    saved = planned / (business.only * business.churn_a)
    return replace(business, saved_a=saved, saved_b=0.0)


QUIET = {
    "both save 30%": Business(),
    "contacts do nothing": Business(saved_a=0, saved_b=0),
    "A churns twice as much, saves as many": Business(
        churn_a=0.6, saved_a=0.2, churn_b=0.3, saved_b=0.4
    ),
    "40 on each list alone, churn 30%": Business(only=40, churn_a=0.3, churn_b=0.3),
    "6 months": Business(months=6),
}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="500 tests")
    parser.add_argument("--tests", type=int, default=TESTS)
    options = parser.parse_args()
    tests = 500 if options.quick else options.tests
    print(f"Share of {tests:,} tests without a difference that end with a verdict, goal <= 6%")
    print(f"{'':40} {'test':>7} {'no stop':>8} {'fixed':>7} {'peeked':>7} {'months':>7}")
    for name, business in QUIET.items():
        found = figures(business, tests)
        print(
            f"{name:40} {found.false_or_shown:7.1%} {found.without_futility:8.1%}"
            f" {found.fixed:7.1%} {found.peeked:7.1%} {found.mean_months:7.1f}"
        )
    print("\nShare that shows the planned difference, goal >= fixed - 3%, and how well it is known")
    print(
        f"{'':40} {'test':>7} {'no stop':>8} {'fixed':>7} {'wrong':>7} {'bias':>7} {'stopped':>8}"
        f" {'covers':>7} {'all':>7} {'months':>7}"
    )
    for name, business in QUIET.items():
        found = figures(with_planned_difference(business), tests)
        print(
            f"{name:40} {found.false_or_shown:7.1%} {found.without_futility:8.1%}"
            f" {found.fixed:7.1%} {found.wrong_side:7.1%} {found.bias:+7.3f}"
            f" {found.bias_at_stop:+8.3f} {found.coverage:7.1%} {found.coverage_of_looks:7.1%}"
            f" {found.mean_months:7.1f}"
        )
    print("\nSmallest difference in saved customers a month, 150 on each list alone, churn 50%")
    for months in (1, 3, 6, 12, LONGEST):
        known = Business().design
        print(f"{months:3} months: {known.smallest_difference(months, months):5.1f}")


if __name__ == "__main__":
    main()
