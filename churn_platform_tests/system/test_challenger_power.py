"""Why challenger evaluation keeps Bonferroni on recent months (ADR 45), at a tenth of the size.

`benchmarks/challengers.py` measures the errors of a month and draws 10,000 repeats.
"""

import math

import numpy as np
import pytest

from benchmarks.challengers import (
    GOAL,
    MONTHS,
    POLICY,
    correlations,
    drawn_rounds,
    false_by,
    first_right,
    measured,
    rules,
)
from churn_platform.contract.policy import PromotionPolicy
from churn_platform.evaluation.gain import Gain
from churn_platform.evaluation.statistics import detectable_difference
from churn_platform.monitoring.challengers import Challenger, propose

FIGURES = (0.0088, 0.0, 0.5)
"""1,700 customers: one month's standard error, the correlation of months and of versions."""
REPEATS = 2_000


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def steady(gain, versions, months=POLICY.looks):
    gains = np.zeros((months, versions))
    gains[:, 0] = gain
    return gains


def rounds(name, gains, rng, start=0, delta=0.01, figures=FIGURES):
    """The rounds in which the first version is found."""
    drawn = drawn_rounds(rng, REPEATS, gains, figures)
    parts = rules(gains.shape[1], gains.shape[0])[name]
    return first_right(parts, *drawn, delta, start)


def test_the_measured_rule_is_the_products(rng):
    """Every month's proposal, by `propose` and by the simulation."""
    gate = PromotionPolicy()
    drawn, covariance = drawn_rounds(rng, 60, steady(0.02, 3), FIGURES)
    (rule,) = rules(3, POLICY.looks)["recent 3"]
    lows = rule.proposed(drawn, covariance, gate.delta)
    proposed = 0
    for month in range(POLICY.looks):
        seen = slice(max(month + 1 - POLICY.months, 0), month + 1)
        error = math.sqrt(covariance[seen, seen].mean())
        for repeat in range(len(drawn)):
            gains = drawn[repeat, seen].mean(axis=0)
            challengers = [
                Challenger(number, False, False, Gain(("2024-01-31",), 0.7 + gain, 0.7, error, 400, 1_700))
                for number, gain in enumerate(gains)
            ]  # fmt: skip
            found = propose(POLICY, gate, 9, challengers)
            low = lows[repeat, month]
            if found is None:
                assert np.isnan(low).all()
            else:
                proposed += 1
                assert found.version == np.nanargmax(low)
                assert found.interval[0] == pytest.approx(np.nanmax(low))
    assert proposed > 300


@pytest.mark.parametrize("versions", [1, POLICY.followed_versions])
def test_all_rounds_together_propose_falsely_as_rarely_as_stated(rng, versions):
    drawn = drawn_rounds(rng, 3 * REPEATS, steady(0, versions, MONTHS), FIGURES)
    tried = rules(versions, MONTHS)
    today = false_by(tried["recent 3"], *drawn, 0.0)
    spending = false_by(tried["spending"], *drawn, 0.0)
    three_errors = 3 * math.sqrt(GOAL / (3 * REPEATS))
    assert 0.01 < today[POLICY.looks - 1] < GOAL + three_errors
    assert 0.01 < spending[POLICY.looks - 1] < GOAL + three_errors
    # After the planned looks, spending at the last boundary has no error left to spend.
    assert today[-1] < 3 * GOAL
    assert spending[-1] > 4 * GOAL


def test_alpha_spending_finds_a_gain_of_the_size_of_the_noise_more_often(rng):
    planned = detectable_difference(FIGURES[0] / math.sqrt(POLICY.looks))
    gains = steady(planned, 1)
    power = {
        name: np.isfinite(rounds(name, gains, rng, delta=0.0)).mean()
        for name in ("recent 3", "recent 12", "spending")
    }
    assert power["spending"] == pytest.approx(0.785, abs=0.03)
    assert power["recent 12"] == pytest.approx(0.56, abs=0.03)
    assert power["recent 3"] == pytest.approx(0.41, abs=0.03)


def test_recent_months_find_a_gain_worth_having_sooner(rng):
    gains = steady(0.03, POLICY.followed_versions)
    assert rounds("recent 3", gains, rng).mean() + 1 < rounds("spending", gains, rng).mean()


def test_recent_months_find_a_version_months_earlier_after_a_sudden_shift(rng):
    gains = steady(0.05, POLICY.followed_versions, 12 + POLICY.looks)
    gains[:12, 0] = -0.05
    today = np.minimum(rounds("recent 3", gains, rng, start=12), 13).mean()
    spending = np.minimum(rounds("spending", gains, rng, start=12), 13).mean()
    assert today < 3.5
    assert spending > today + 3


def test_the_figures_are_those_of_a_month_of_customers():
    covariance, twelve, one = measured(300, 2, 60)
    error, months, versions = correlations(covariance, 2)
    assert error == pytest.approx(0.0216, abs=0.0015)
    assert months < 0.03
    assert versions == pytest.approx(0.5, abs=0.05)
    assert 0.6 < one < 1.5
    assert 0.6 < twelve < 1.5
