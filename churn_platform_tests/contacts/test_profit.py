"""Profit by MPC and EMPC against published figures, and the save rate they assume or measure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import DataError
from churn_platform.contacts.profit import (
    SaveRate,
    expected_maximum_profit,
    save_rate_from_effect,
)

LABELS = np.array([0, 1, 0, 1, 0, 1, 0, 1])
SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9])
SEEDS = st.integers(0, 10_000)


def test_empc_of_the_published_example():
    """The example in empulse's documentation, value 200, incentive 10, contact 1, Beta(6, 14)."""
    found = expected_maximum_profit(LABELS, SCORES)
    assert found.profit == pytest.approx(23.875593418348124, abs=1e-9)
    assert found.fraction == pytest.approx(0.8743700763487141, abs=1e-9)
    assert found.save_rate == SaveRate(6, 14, measured=False)


def test_empc_is_the_mean_over_drawn_save_rates_of_the_best_profit():
    rng = np.random.default_rng(3)
    labels = rng.random(300) < 0.3
    scores = np.round(labels + rng.normal(0, 1.5, 300), 1)
    terms = {"value": 80.0, "incentive": 9.0, "contact_cost": 3.0}
    rates = rng.beta(6, 14, 4_000)
    drawn = np.zeros(4_000)
    for threshold in np.unique(scores):
        above = scores >= threshold
        kept = rates * (80 - 9) * (above & labels).mean()
        drawn = np.maximum(drawn, kept - 3 * above.mean() - 9 * (above & ~labels).mean())
    error = np.std(drawn) / np.sqrt(len(drawn))
    found = expected_maximum_profit(labels, scores, **terms)
    assert found.profit == pytest.approx(np.mean(drawn), abs=4 * error)


@given(SEEDS)
@settings(deadline=None, max_examples=30)
def test_weights_count_as_copies_and_rows_of_weight_zero_are_left_out(seed):
    rng = np.random.default_rng(seed)
    labels = np.append(rng.random(60) < 0.4, [True, False])
    scores = np.round(rng.normal(size=62), 1)
    copies = np.append(rng.integers(0, 4, 60), [1, 1])
    values = rng.uniform(10, 200, 62)
    weighted = expected_maximum_profit(labels, scores, value=values, weights=copies * 1.5)
    copied = expected_maximum_profit(
        np.repeat(labels, copies), np.repeat(scores, copies), value=np.repeat(values, copies)
    )
    assert weighted.profit == pytest.approx(copied.profit, rel=1e-9)
    assert weighted.fraction == pytest.approx(copied.fraction, rel=1e-9)
    assert weighted.customer_value == pytest.approx(copied.customer_value)


def test_no_one_is_contacted_where_the_incentive_costs_more_than_a_customer_is_worth():
    found = expected_maximum_profit(LABELS, SCORES, value=5.0, incentive=10.0)
    assert (found.profit, found.fraction) == (0.0, 0.0)


# the save rate


def test_the_measured_save_rate_replaces_the_assumption_from_50_assigned_churners_on():
    assert SaveRate().mean == 0.3
    assert save_rate_from_effect(0.5, 0.05, 49) == SaveRate(6, 14, measured=False)
    assert save_rate_from_effect(0.5, 0.05, 50).measured


def test_an_estimated_save_rate_moves_the_prior_by_what_it_is_worth():
    exact = save_rate_from_effect(0.5, np.sqrt(0.5 * 0.5 / 400), 400)
    assert exact.measured
    # as 200 saves and 200 failures move it: Beta(206, 214)
    assert (exact.alpha, exact.beta) == pytest.approx((206, 214), rel=0.1)
    assert exact.mean == pytest.approx(206 / 420, abs=0.005)
    vague = save_rate_from_effect(0.5, 10.0, 400)
    assert (vague.alpha, vague.beta) == pytest.approx((6, 14), rel=0.01)
    harmful = save_rate_from_effect(-0.3, 0.05, 400)
    assert harmful.mean < 0.05


def test_rates_and_values_out_of_range_are_errors():
    for wrong in ((0, 1), (1, np.nan)):
        with pytest.raises(DataError):
            SaveRate(*wrong)
    with pytest.raises(DataError):
        save_rate_from_effect(0.3, 0.0, 60)
    with pytest.raises(DataError):
        expected_maximum_profit(LABELS, SCORES, value=0.0)
