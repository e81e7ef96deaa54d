"""The value at a budget, and its interval against a known truth."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.contacts.profit import expected_maximum_profit
from churn_platform.contacts.value import ContactTerms, value_at_budget, value_difference

LABELS = np.array([0, 1, 0, 1, 0, 1, 0, 1])
SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9])
TERMS = ContactTerms(save_rate=0.3, contact_cost=2.0, incentive=5.0)
SEEDS = st.integers(0, 10_000)


def test_averaging_ignores_who_is_worth_what_and_the_value_at_budget_does_not():
    values = np.array([1.0, 1, 1, 1, 1, 1, 1, 400])
    swapped = values[::-1].copy()
    ours = expected_maximum_profit(LABELS, SCORES, value=values, incentive=1.0)
    theirs = expected_maximum_profit(LABELS, SCORES, value=swapped, incentive=1.0)
    assert ours.averaged
    assert ours == theirs
    assert not expected_maximum_profit(LABELS, SCORES).averaged
    best = [
        value_at_budget(LABELS, SCORES, budget=2, value=v, terms=TERMS, least_contacts=2)
        for v in (values, swapped)
    ]
    assert best[0].value == pytest.approx(0.3 * 400 - 2 * 7)
    assert best[1].value == pytest.approx(0.3 * 1 - 2 * 7)


def by_hand(labels, ranking, budget, value):
    best = np.argsort(-ranking)[:budget]
    return sum(0.3 * labels[i] * value[i] - 2.0 - 5.0 for i in best)


@given(SEEDS, st.integers(1, 80))
@settings(deadline=None, max_examples=40)
def test_it_is_the_sum_over_the_best_and_everyone_gets_the_incentive(seed, budget):
    rng = np.random.default_rng(seed)
    labels, value = rng.random(80) < 0.3, rng.uniform(0, 100, 80)
    ours, theirs = rng.normal(size=(2, 80))
    found = value_difference(
        labels, ours, theirs, budget=budget, value=value, terms=TERMS, least_contacts=2
    )
    if budget == 1:
        assert found is None
        return
    assert found.candidate.value == pytest.approx(by_hand(labels, ours, budget, value))
    assert found.production.value == pytest.approx(by_hand(labels, theirs, budget, value))
    assert found.difference == pytest.approx(found.candidate.value - found.production.value)
    alone = value_at_budget(labels, ours, budget=budget, value=value, terms=TERMS, least_contacts=2)
    assert alone == found.candidate
    best = np.argsort(-ours)[:budget]
    assert alone.churners == pytest.approx(labels[best].sum())
    assert alone.at_stake == pytest.approx(value[best][labels[best]].sum())
    assert alone.value == pytest.approx(0.3 * alone.at_stake - 7 * budget)


@given(SEEDS)
@settings(deadline=None, max_examples=30)
def test_weighted_rows_stand_for_their_month_and_the_budget_scales_with_them(seed):
    """Each row of weight w is w customers, so the budget buys fewer rows."""
    rng = np.random.default_rng(seed)
    labels, ranking = (rng.random(60) < 0.3).astype(float), rng.normal(size=60)
    copies = rng.permutation(np.repeat([0, 1, 2, 1], 15))
    found = value_at_budget(
        labels, ranking, budget=16, value=50.0, terms=TERMS, least_contacts=2, weights=copies
    )
    copied = value_at_budget(
        np.repeat(labels, copies),
        np.repeat(ranking, copies),
        budget=16,
        value=50.0,
        terms=TERMS,
        least_contacts=2,
    )
    assert found.value == pytest.approx(copied.value)
    assert found.churners == pytest.approx(copied.churners)
    scaled = value_at_budget(
        labels, ranking, budget=16, value=50.0, terms=TERMS, least_contacts=2, weights=copies * 3.0
    )
    assert scaled.value == pytest.approx(found.value)
    assert scaled.interval.as_list() == pytest.approx(found.interval.as_list())
    unknown = np.where(copies == 0, np.nan, labels)
    assert value_at_budget(
        unknown, ranking, budget=16, value=50.0, terms=TERMS, least_contacts=2, weights=copies
    ) == pytest.approx(found)


def test_ties_at_the_end_of_the_budget_share_it():
    labels = np.array([1, 1, 0, 0, 0])
    ranking = np.array([9.0, 5, 5, 5, 1])
    found = value_at_budget(labels, ranking, budget=2.5, value=100.0, terms=TERMS, least_contacts=2)
    assert found.churners == pytest.approx(1 + 0.5)
    assert found.value == pytest.approx(30 * 1.5 - 7 * 2.5)
    order = [3, 1, 4, 0, 2]
    again = value_at_budget(
        labels[order], ranking[order], budget=2.5, value=100.0, terms=TERMS, least_contacts=2
    )
    assert again.value == pytest.approx(found.value)
    assert again.interval.as_list() == pytest.approx(found.interval.as_list())


def test_each_month_has_its_own_budget_and_the_figures_are_means_a_month():
    labels = np.array([1, 1, 1, 0, 0, 0])
    ranking = np.array([9.0, 8, 7, 3, 2, 1])
    months = np.array(["a", "a", "a", "b", "b", "b"])
    found = value_at_budget(
        labels, ranking, budget=2, value=100.0, terms=TERMS, least_contacts=2, months=months
    )
    assert found.months == 2
    assert found.churners == 1.0
    assert found.value == pytest.approx((60 + 0) / 2 - 14)


def test_a_budget_above_the_customers_contacts_everyone():
    found = value_at_budget(LABELS, SCORES, budget=500, value=100.0, terms=TERMS, least_contacts=2)
    assert found.value == pytest.approx(0.3 * 400 - 7 * 8)


def test_the_same_ranking_twice_differs_by_nothing():
    found = value_difference(
        LABELS, SCORES, SCORES, budget=3, value=100.0, terms=TERMS, least_contacts=2
    )
    assert (found.difference, found.interval.as_list()) == (0.0, [0.0, 0.0])


def test_too_few_rows_are_not_measurable():
    labels, ranking = np.tile(LABELS, 8), np.arange(64.0)
    for budget, least, measurable in ((30, 30, True), (29, 30, False), (29, 29, True)):
        found = value_at_budget(
            labels, ranking, budget=budget, value=1.0, terms=TERMS, least_contacts=least
        )
        assert (found is not None) == measurable
    assert value_at_budget(labels, ranking, budget=29, value=1.0, terms=TERMS) is None
    weights = np.array([1.0, 1, 1, 1, 1, 1, 1, 40])
    assert (
        value_at_budget(
            LABELS, SCORES, budget=5, value=1.0, terms=TERMS, least_contacts=2, weights=weights
        )
        is None
    )
    one = np.zeros(8)
    assert (
        value_at_budget(
            LABELS, SCORES, budget=5, value=1.0, terms=TERMS, least_contacts=2, entities=one
        )
        is None
    )


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"labels": [0, 1, 2, 0, 0, 0, 0, 1]}, DataError),
        ({"labels": [0, 1, np.nan, 0, 0, 0, 0, 1]}, NotANumber),
        ({"ranking": [np.nan] * 8}, NotANumber),
        ({"ranking": [1.0] * 7}, DataError),
        ({"budget": 0}, DataError),
        ({"budget": np.nan}, DataError),
        ({"value": -1.0}, DataError),
        ({"value": np.nan}, NotANumber),
        ({"weights": [1.0] * 7}, DataError),
        ({"weights": [-1.0] * 8}, DataError),
        ({"weights": [0.0] * 8}, DataError),
        ({"months": list("aaaabbbb"), "weights": [1.0] * 4 + [0.0] * 4}, DataError),
    ],
)
def test_what_cannot_be_valued_is_an_error(change, error):
    arguments = {"labels": LABELS, "ranking": SCORES, "budget": 2, "value": 1.0, **change}
    arguments = {k: np.asarray(v) if isinstance(v, list) else v for k, v in arguments.items()}
    with pytest.raises(error):
        value_at_budget(**arguments, terms=TERMS, least_contacts=2)


def test_terms_out_of_range_are_errors():
    for wrong in ((1.1, 0, 0), (0.3, -1, 0), (0.3, 0, np.inf), (0.3, 0, np.nan)):
        with pytest.raises(DataError):
            ContactTerms(*wrong)


# coverage against a known truth


def churn_probability(risk):
    return 1 / (1 + np.exp(1.6 - 1.3 * risk))


def world(rng, customers, months, untouched, budget):
    """Rows of customers who keep part of their risk, and the labels of the plan's untouched."""
    stable = np.tile(rng.normal(size=customers), months)
    noise = rng.normal(size=(3, customers * months))
    risk = 0.9 * stable + np.sqrt(1 - 0.9**2) * noise[0]
    value = np.tile(np.exp(rng.normal(4, 0.5, customers)), months)
    churned = rng.random(risk.size) < churn_probability(risk)
    candidate = churn_probability(risk + 0.5 * noise[1]) * value
    production = churn_probability(risk + 0.8 * noise[2]) * value
    weights = None
    if untouched is not None:
        by_month = production.reshape(months, customers)
        cut = np.sort(by_month)[:, -round(budget / (1 - untouched))]
        above = (by_month >= cut[:, None]).ravel()
        assigned = above & (rng.random(risk.size) >= untouched)
        weights = np.where(assigned, 0.0, np.where(above, 1 / untouched, 1.0))
    return churned, candidate, production, value, weights, risk


@cache
def truth(share):
    """Value per customer of the best `share` of each ranking, over 2,000,000 customers."""
    _, candidate, production, value, _, risk = world(
        np.random.default_rng(99), 2_000_000, 1, None, 0
    )
    profit = 0.3 * churn_probability(risk) * value - 7
    cuts = [np.quantile(scores, 1 - share) for scores in (candidate, production)]
    ours, theirs = (
        float(profit[scores >= cut].sum()) / risk.size
        for scores, cut in zip((candidate, production), cuts, strict=True)
    )
    return ours, theirs


@pytest.mark.parametrize(("months", "untouched"), [(1, None), (1, 0.2), (4, 0.2)])
def test_the_interval_covers_the_truth_and_customers_come_again(months, untouched):
    ours, theirs = truth(0.15)
    seeds = 400
    hits = np.zeros((seeds, 2))
    errors = np.zeros((seeds, 2))
    for seed in range(seeds):
        churned, candidate, production, value, weights, _ = world(
            np.random.default_rng(seed), 2_000, months, untouched, 300
        )
        found = value_difference(
            churned, candidate, production, budget=300, value=value, terms=TERMS, weights=weights,
            entities=np.tile(np.arange(2_000), months), months=np.repeat(np.arange(months), 2_000),
        )  # fmt: skip
        known = (2_000 * ours, 2_000 * (ours - theirs))
        results = (found.candidate, found)
        for place, (result, true) in enumerate(zip(results, known, strict=True)):
            interval = result.interval
            hits[seed, place] = interval.low <= true <= interval.high
        errors[seed] = found.candidate.value - known[0], found.difference - known[1]
    assert ((hits.mean(axis=0) >= 0.93) & (hits.mean(axis=0) <= 0.97)).all(), hits.mean(axis=0)
    assert (np.abs(errors.mean(axis=0)) < 0.2 * errors.std(axis=0)).all()


def test_the_same_customers_in_two_months_tell_no_more_than_in_one():
    churned, candidate, _, value, _, _ = world(np.random.default_rng(1), 500, 1, None, 0)
    one = value_at_budget(churned, candidate, budget=80, value=value, terms=TERMS)
    twice, other = (
        value_at_budget(
            np.tile(churned, 2), np.tile(candidate, 2), budget=80, value=np.tile(value, 2),
            terms=TERMS, entities=entities, months=np.repeat(["a", "b"], 500),
        )
        for entities in (np.tile(np.arange(500), 2), None)
    )  # fmt: skip
    width, doubled, independent = (
        found.interval.high - found.interval.low for found in (one, twice, other)
    )
    assert doubled == pytest.approx(width, rel=0.01)
    assert independent == pytest.approx(width / np.sqrt(2), rel=0.01)


def test_where_every_contact_is_worth_the_same_the_value_is_certain():
    """Other customers change who is contacted, never how many."""
    found = value_at_budget(np.ones(200), np.arange(200.0), budget=40, value=100.0, terms=TERMS)
    assert found.interval.as_list() == pytest.approx([40 * 23.0, 40 * 23.0])


def test_the_level_sets_the_width():
    churned, candidate, _, value, _, _ = world(np.random.default_rng(1), 500, 1, None, 0)
    wide, narrow = (
        value_at_budget(
            churned, candidate, budget=50, value=value, terms=TERMS, least_contacts=2, level=level
        )
        for level in (0.95, 0.5)
    )
    ratio = student.ppf(0.975, 49) / student.ppf(0.75, 49)
    width = narrow.interval.high - narrow.interval.low
    assert wide.interval.high - wide.interval.low == pytest.approx(ratio * width)
    assert (wide.level, narrow.level) == (0.95, 0.5)
