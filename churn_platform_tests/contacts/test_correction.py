"""Which labels count, and for how many customers they stand."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.contacts.correction import Correction, RegisteredPlan, correct
from churn_platform.contacts.plan import ARM, BELOW, CONTACT, EXPLORE, PROBABILITY, UNTOUCHED

ARMS = {
    "a": (CONTACT, 0.9),
    "b": (UNTOUCHED, 0.9),
    "c": (EXPLORE, 0.02),
    "d": (BELOW, 0.02),
}


def registered(arms: dict[str, tuple[str, float]], as_of: str = "2026-01-31") -> RegisteredPlan:
    rows = pd.DataFrame.from_dict(arms, orient="index", columns=[ARM, PROBABILITY])
    return RegisteredPlan(as_of, rows)


def corrected(plans: list[RegisteredPlan], contacted: tuple[str, ...] = ()) -> Correction:
    return correct(pd.Series(list("abcdef")), plans, contacted)


def test_assigned_customers_do_not_count_and_others_stand_for_them() -> None:
    found = corrected([registered(ARMS)])
    assert found.weights == pytest.approx([0, 10, 0, 1 / 0.98, 1, 1])
    assert found.assigned.tolist() == [True, False, True, False, False, False]
    assert found.untouched.tolist() == [False, True, False, False, False, False]
    assert found.measurable


def test_it_goes_by_assignment_not_by_who_was_contacted() -> None:
    assigned_not_reached = corrected([registered(ARMS)])
    untouched_but_contacted = corrected([registered(ARMS)], ("a", "b"))
    assert untouched_but_contacted.weights == pytest.approx(assigned_not_reached.weights)
    assert not untouched_but_contacted.outside.any()


def test_contacts_that_no_plan_knew_are_marked_and_not_weighed() -> None:
    found = corrected([registered(ARMS)], ("a", "d", "f", "stranger"))
    assert found.outside.tolist() == [False, False, False, True, False, True]
    assert found.weights[5] == 1


def test_a_customer_assigned_in_either_of_two_plans_does_not_count() -> None:
    later = registered({"b": (CONTACT, 0.9), "e": (UNTOUCHED, 0.9)}, as_of="2026-02-28")
    found = corrected([registered(ARMS), later])
    assert found.weights == pytest.approx([0, 0, 0, 1 / 0.98, 10, 1])


def test_two_plans_are_drawn_independently() -> None:
    later = registered({"b": (UNTOUCHED, 0.5)}, as_of="2026-02-28")
    assert corrected([registered(ARMS), later]).weights[1] == pytest.approx(20)


def test_a_plan_that_leaves_nobody_untouched_cannot_be_corrected() -> None:
    everyone = registered({"a": (CONTACT, 1.0), "b": (CONTACT, 1.0), "c": (BELOW, 0.0)})
    found = corrected([everyone])
    assert not found.measurable
    assert found.weights[:3] == pytest.approx([0, 0, 1])


def test_without_plans_and_contacts_every_customer_counts_once() -> None:
    found = corrected([])
    assert found.weights == pytest.approx(np.ones(6))


def test_the_weighted_churn_rate_is_that_without_contacts() -> None:
    """5,000 customers, a list of 500, half of its churners saved: 200 draws."""
    random = np.random.default_rng(3)
    keys = pd.Series(range(5000))
    chance = np.sort(random.beta(1, 3, 5000))[::-1]
    naive = []
    weighed = []
    truth = []
    for _ in range(200):
        untouched = random.random(500) < 0.1
        arms = {i: (UNTOUCHED if untouched[i] else CONTACT, 0.9) for i in range(500)}
        stays_anyway = random.random(5000) >= chance
        saved = np.zeros(5000, dtype=bool)
        saved[:500] = ~untouched & (random.random(500) < 0.5)
        churned = ~stays_anyway & ~saved
        weights = correct(keys, [registered(arms)], ()).weights  # type: ignore[arg-type]
        truth.append((~stays_anyway).mean())
        naive.append(churned.mean())
        weighed.append(np.average(churned, weights=weights))
    error = np.std(np.subtract(weighed, truth)) / np.sqrt(200)
    assert np.mean(weighed) == pytest.approx(np.mean(truth), abs=4 * error)
    assert np.mean(truth) - np.mean(naive) > 0.02
