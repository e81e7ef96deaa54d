"""The guardrails of a canary: who counts, what stops, and with which figures."""

import math

import numpy as np
import pytest

from churn_platform.experiments.guardrails import (
    SIGHTING,
    Judge,
    Measure,
    slow_limit,
    valid,
)

STEPS = (0.01, 0.05, 0.25, 0.5)


def sightings(measure, customers, *, canary, step=4, value=0.0):
    """One sighting of each customer; `value` and `canary` for all of them or of each."""
    found = np.zeros(len(customers), SIGHTING)
    found["customer"] = customers
    found["value"] = value
    found["step"] = step
    found["measure"] = measure
    found["canary"] = canary
    return found


def judge():
    return Judge(STEPS, 0.5, 3)


def test_the_error_is_shared_by_four_guardrails_and_the_steps():
    assert judge().needed == pytest.approx(math.log(1 / (0.01 / 4 / 4)))


@pytest.mark.parametrize("measure", [Measure.ERROR, Measure.SLOW, Measure.INVALID])
def test_events_in_the_canary_alone_stop_it(measure):
    watched = judge()
    watched.add(sightings(measure, range(8), canary=True))
    assert watched.crossed is None
    watched.add(sightings(measure, range(8, 30), canary=True))
    assert watched.crossed.figures == {
        "step": 4, "share": 0.5, "customers_canary": 30, "customers_production": 0,
    }  # fmt: skip


def test_events_in_both_arms_stop_nothing():
    watched = judge()
    customers = np.arange(5_000)
    watched.add(sightings(Measure.ERROR, customers, canary=customers % 2))
    assert watched.crossed is None
    assert watched.events(4, Measure.ERROR) == (2_500, 2_500)


def test_a_customer_counts_once_per_step_whoever_reports_it():
    watched = judge()
    for _ in range(50):
        watched.add(sightings(Measure.ERROR, [7], canary=True))
    watched.add(sightings(Measure.ERROR, [7, 7, 7], canary=True))
    assert watched.events(4, Measure.ERROR) == (0, 1)
    watched.add(sightings(Measure.ERROR, [7], canary=True, step=3))
    watched.add(sightings(Measure.SLOW, [7], canary=True))
    assert watched.events(3, Measure.ERROR) == (0, 1)
    assert watched.events(4, Measure.SLOW) == (0, 1)
    assert watched.crossed is None


@pytest.mark.parametrize("step", [0, 5])
def test_a_step_that_the_canary_does_not_have_is_left_out(step):
    watched = judge()
    watched.add(sightings(Measure.ERROR, range(100), canary=True, step=step))
    assert watched.crossed is None


def test_trouble_at_a_later_step_is_not_weighed_against_a_quiet_past():
    watched = judge()
    quiet = np.arange(20_000)
    watched.add(sightings(Measure.ERROR, quiet, canary=quiet % 100 == 0, step=1))
    watched.add(sightings(Measure.ERROR, range(30), canary=True, step=2))
    assert watched.crossed.figures["step"] == 2


@pytest.mark.parametrize("shift", [-0.2, 0.0, 0.2])
def test_scores_that_differ_from_the_shadow_stop_it(shift):
    rng = np.random.default_rng(1)
    canary = rng.random(1_000) < 0.5
    scores = rng.uniform(0.3, 0.7, 1_000) + shift * canary
    watched = judge()
    watched.add(sightings(Measure.SCORE, range(1_000), canary=canary, value=scores))
    if shift == 0:
        assert watched.crossed is None
        return
    figures = watched.crossed.figures
    assert figures["mean_canary"] - figures["mean_shadow"] == pytest.approx(shift, abs=0.03)
    assert figures["customers_canary"] + figures["customers_shadow"] == 1_000


def test_the_share_above_the_threshold_is_compared_too():
    """The same mean, and no score of the canary above the threshold."""
    rng = np.random.default_rng(1)
    canary = rng.random(1_000) < 0.5
    scores = np.where(canary, 0.45, np.where(rng.random(1_000) < 0.5, 0.51, 0.39))
    watched = judge()
    watched.add(sightings(Measure.SCORE, range(1_000), canary=canary, value=scores))
    assert watched.crossed.figures["above_canary"] == 0
    assert watched.crossed.figures["above_shadow"] == pytest.approx(0.5, abs=0.05)


def test_an_answer_is_only_counted():
    watched = judge()
    watched.add(sightings(Measure.ANSWER, range(500), canary=True))
    assert watched.crossed is None


def test_what_a_slow_answer_and_a_valid_score_are():
    assert slow_limit(([0.001] * 98 + [0.002] * 2) * 10) == pytest.approx(0.003)
    stall = [0.001] * 800 + [5.0] * 100 + [0.001] * 100
    assert slow_limit(stall) == pytest.approx(0.0015)
    assert [valid(score) for score in (0, 1, 0.5, -0.1, 1.1, math.nan, math.inf)] == [
        True, True, True, False, False, False, False,
    ]  # fmt: skip
