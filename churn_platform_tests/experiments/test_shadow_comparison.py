"""A shadow and production compared: lists against plain sets, outcomes against sums by hand and simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from churn_platform.evaluation.gain import AucParts, MonthPair, gain_over
from churn_platform.evaluation.statistics import quantile_of_normal
from churn_platform.experiments.shadow_comparison import (
    MeasuredMonth,
    ScoredCustomers,
    changed_customers,
    compare_lists,
    compare_outcomes,
    on_list,
    rank_correlation,
)

LEVEL = 0.95


def scored(production, shadow, keys=None):
    names = [f"m{n}" for n in range(len(production))] if keys is None else keys
    return ScoredCustomers.of(
        pd.Series(names, name="member"), np.array(production, float), np.array(shadow, float)
    )


def test_lists_overlap_and_of_equal_scores_the_first_key_is_listed():
    both = scored([0.9, 0.8, 0.8, 0.1], [0.1, 0.5, 0.5, 0.9], ["b", "d", "a", "c"])
    assert both.keys.tolist() == ["a", "b", "c", "d"]
    assert on_list(both.production, 2).tolist() == [True, True, False, False]
    found = compare_lists("2024-03-31", both, 2)
    assert (found.customers, found.budget) == (4, 2)
    assert (found.overlap, found.enter, found.leave, found.share) == (1, 1, 1, 0.5)
    changed = changed_customers(both, 2)
    assert changed.to_dict("list") == {
        "member": ["c", "b"],
        "change": ["enters", "leaves"],
        "production_rank": [4, 1],
        "shadow_rank": [1, 4],
    }


def test_who_has_no_score_ranks_last():
    both = scored([0.1, 0.2, 0.3], [np.nan, -5.0, 7.0])
    assert on_list(both.shadow, 2).tolist() == [False, True, True]
    assert compare_lists("2024-03-31", scored([1, 2], [np.nan, np.nan]), 1).correlation is None


def test_a_list_longer_than_the_month_holds_everybody():
    found = compare_lists("2024-03-31", scored([1, 2, 3], [3, 2, 1]), 500)
    assert (found.overlap, found.enter, found.leave, found.correlation) == (3, 0, 0, -1)


def test_the_rank_correlation_is_spearmans():
    random = np.random.default_rng(5)
    first = random.integers(0, 20, 300).astype(float)
    second = first + random.integers(0, 15, 300)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert rank_correlation(first, np.ones(300)) is None
    assert rank_correlation(np.empty(0), np.empty(0)) is None


def test_changed_reasons_are_counted_and_the_most_common_named():
    reasons = (["fee", "fee", "visits", "fee"], ["visits", "visits", "visits", "tier"])
    found = compare_lists("2024-03-31", scored([1, 2, 3], [3, 2, 1]), 2, reasons)
    assert found.reasons_changed == 0.75
    assert found.changes == (("fee", "visits", 2), ("fee", "tier", 1))
    assert compare_lists("2024-03-31", scored([1], [1]), 2, ([], [])).reasons_changed is None


def measured(as_of, customers, churned, budget, weights=None):
    return MeasuredMonth(
        as_of,
        customers,
        np.array(churned, bool),
        weights,
        on_list(customers.production, budget),
        on_list(customers.shadow, budget),
        budget,
    )


def simulated(seed, customers=2000, months=3, extra=0.0):
    """Months of the same customers, whose risk stays; the shadow knows it `extra` better."""
    random = np.random.default_rng(seed)
    risk = random.normal(0, 1, customers)
    chance = 1 / (1 + np.exp(1.5 - risk))
    found = []
    for month in range(months):
        noise = random.normal(0, 1, (2, customers))
        both = scored(risk + noise[0], risk + (1 - extra) * noise[1], np.arange(customers))
        churned = random.random(customers) < chance
        found.append(measured(f"2024-0{month + 1}-28", both, churned, 200))
    return found


def test_the_difference_of_aucs_is_the_gates_and_hits_are_summed_by_customer():
    months = simulated(1, extra=0.5)
    found = compare_outcomes(months, LEVEL, 50)
    gain = gain_over(
        [
            MonthPair(
                one.as_of,
                one.scored.keys.to_numpy(),
                AucParts.of(one.churned, one.scored.shadow),
                AucParts.of(one.churned, one.scored.production),
            )
            for one in months
        ]
    )
    assert found.difference == gain.difference > 0
    assert found.interval == tuple(gain.interval(LEVEL).as_list())
    assert (found.months, found.churners, found.customers) == (gain.months, gain.churners, 6000)
    hits = [sum(one.churned[on].sum() for one, on in zip(months, lists, strict=True))
            for lists in ([m.on_shadow for m in months], [m.on_production for m in months])]  # fmt: skip
    assert (found.hits, found.production_hits) == pytest.approx(hits)
    parts = np.zeros(2000)
    for one in months:
        for on, sign in ((one.on_shadow, 1), (one.on_production, -1)):
            parts[on] += sign * (one.churned[on] - one.churned[on].mean())
    half = quantile_of_normal(LEVEL) * np.sqrt((parts**2).sum())
    change = hits[0] - hits[1]
    assert found.hits_interval == pytest.approx((change - half, change + half))


def test_the_interval_of_the_hits_covers_no_difference_as_often_as_it_says():
    covered = []
    for seed in range(150):
        low, high = compare_outcomes(simulated(seed, 800, months=2), LEVEL, 50).hits_interval
        covered.append(low <= 0 <= high)
    assert 0.91 <= np.mean(covered) <= 0.99


def some_of(month, kept, weights=None):
    """The month with some of its customers measured."""
    return MeasuredMonth(
        month.as_of, month.scored.kept(kept), month.churned[kept], weights,
        month.on_production[kept], month.on_shadow[kept], month.listed,
    )  # fmt: skip


def test_a_list_of_whom_nobody_is_measured_has_no_hits():
    customers = scored([4, 3, 2, 1] * 30, [1, 4, 3, 2] * 30, np.arange(120))
    month = measured("2024-01-31", customers, np.tile([True, False, True, False], 30), 30)
    complete = compare_outcomes([month], LEVEL, 2)
    assert (complete.production_hits, complete.hits) == (30, 0)
    assert compare_outcomes([some_of(month, ~month.on_shadow)], LEVEL, 2).note


def test_untouched_customers_stand_for_those_who_were_contacted():
    """Half of production's list was contacted; the untouched ones count twice."""
    covered = []
    for seed in range(150):
        (month,) = simulated(seed, 1500, months=1)
        random = np.random.default_rng(seed + 10_000)
        kept = ~month.on_production | (random.random(1500) < 0.5)
        weights = np.where(month.on_production, 2.0, 1.0)[kept]
        found = compare_outcomes([some_of(month, kept, weights)], LEVEL, 50)
        low, high = found.hits_interval
        covered.append(low <= 0 <= high)
        truth = month.churned[month.on_production].sum()
        assert abs(found.production_hits - truth) < 40
    assert 0.91 <= np.mean(covered) <= 0.99


def test_too_few_churners_are_not_measurable():
    months = simulated(1)
    assert compare_outcomes(months, LEVEL, 10**6).note is not None
    assert compare_outcomes(months, LEVEL, 10**6).difference is None
    nothing = compare_outcomes([], LEVEL, 1)
    assert (nothing.months, nothing.churners, nothing.auc) == ((), 0, None)
    nobody = measured("2024-01-31", scored([1, 2], [1, 2]), [False, False], 1)
    assert compare_outcomes([nobody], LEVEL, 1).interval is None
