"""A canary that is no different is not stopped, one that fails is; on simulated days."""

import numpy as np
import pytest

from benchmarks.guardrails import (
    GOAL,
    HARMS,
    STEPS,
    false_stops,
    requests_until_stop,
    stopped_by,
)

pytestmark = pytest.mark.slow


def test_in_a_thousand_days_at_most_15_in_a_thousand_canaries_are_stopped_by_chance():
    share, by_guardrail = false_stops(1_000 // len(STEPS), stopped_by)
    assert share <= GOAL, by_guardrail


def test_a_customer_who_counts_every_hour_would_stop_too_many():
    share, _ = false_stops(40, lambda rng: stopped_by(rng, hourly=True))
    assert share > 3 * GOAL


@pytest.mark.parametrize(("step", "repeats"), [(1, 20), (2, 40), (3, 100), (4, 100)])
def test_2_percent_errors_stop_it_within_2000_requests(step, repeats):
    harm = HARMS["2% errors against 0.1%"]
    found = [
        requests_until_stop(np.random.default_rng((3, step, number)), step, harm)[0]
        for number in range(repeats)
    ]
    assert np.isfinite(found).mean() >= 0.95
