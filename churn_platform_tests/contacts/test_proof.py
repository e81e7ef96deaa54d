"""What the loop claims in a business that works its lists, at a fraction of `benchmarks/contacts.py`."""

import dataclasses

import numpy as np
import pytest

from benchmarks.contacts import (
    AS_THEY_COME,
    CORRECTED,
    CUSTOMERS,
    DROPPED,
    MONTHS,
    RESPONSES,
    WITHOUT,
    naive_and_corrected,
    plan_times,
    trained,
    watched,
)
from churn_platform.simulator import CAMPAIGN


@pytest.mark.slow
def test_the_naive_auc_falls_and_the_corrected_one_is_true_on_average():
    half_saved = dataclasses.replace(CAMPAIGN, contacts=RESPONSES["all reached, half saved"])
    found = [naive_and_corrected(seed, CUSTOMERS, half_saved) for seed in range(1, 41)]
    naive, corrected, truth = np.array(found).T
    assert (naive - truth).mean() < -0.06
    assert abs((corrected - truth).mean()) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_quiet_year_raises_nothing_and_a_real_change_is_seen_in_its_first_month(seed):
    watchers, seen = watched(seed, MONTHS, CUSTOMERS)
    assert not watchers[CORRECTED].found
    assert watchers[AS_THEY_COME].found["performance"]
    assert seen


@pytest.mark.slow
def test_a_model_trained_without_the_assigned_customers_is_nearly_as_good_as_without_contacts():
    found = [trained(seed, 4, CUSTOMERS) for seed in (1, 2, 3)]

    def mean(way, figure):
        return np.mean([getattr(one[way], figure) for one in found])

    assert mean(DROPPED, "auc") > mean(WITHOUT, "auc") - 0.006
    assert mean(DROPPED, "error") < mean(AS_THEY_COME, "error")
    assert mean(AS_THEY_COME, "bias") < -0.1 < mean(DROPPED, "bias")


def test_a_plan_costs_at_most_twice_as_much_as_sorting_and_writing_its_rows():
    times = plan_times(200_000)
    assert times["ours"] < 2 * times["floor"]
