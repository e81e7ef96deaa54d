"""The sample of customers: which hash decides, that samples are nested, and that they are never too large."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from churn_platform.contacts.correction import Correction
from churn_platform.contacts.labels import MonthLabels
from churn_platform.contract.policy import TrainingPolicy
from churn_platform.features.customer_draw import draw
from churn_platform.features.training_dataset import in_holdout
from churn_platform.lake.window import Window

JANUARY, FEBRUARY, MARCH = (dt.date(2024, 1, 31), dt.date(2024, 2, 29), dt.date(2024, 3, 31))
WINDOW = Window((FEBRUARY, MARCH), (MARCH,), (JANUARY, FEBRUARY))
KEYS = st.lists(st.integers(0, 60), unique=True, max_size=40)
MONTHS = st.fixed_dictionaries(dict.fromkeys(WINDOW.months, KEYS))
LIMIT = st.integers(1, 40)


def policy(max_rows, **changes):
    """A policy whose limit may be smaller than a contract allows."""
    return TrainingPolicy(**changes).model_copy(update={"max_rows": max_rows})


def labels_of(months):
    """Labels of the customers of each month; those with an even number churned."""
    return {
        month: MonthLabels(
            pd.Series(
                [key % 2 == 0 for key in keys], index=pd.Index(keys, dtype="int64"), dtype=bool
            )
        )
        for month, keys in months.items()
    }


def sampled(months, max_rows, window=WINDOW):
    """Month -> the keys that are drawn, in their order."""
    found = draw(policy(max_rows), window, labels_of(months).__getitem__)
    return {month: found.labels_of(month).churned.index.tolist() for month in window.months}


def held(keys):
    keys = list(keys)
    return {
        key
        for key, inside in zip(keys, in_holdout(keys, "churn-platform", 0.25), strict=True)
        if inside
    }


def drawn_of(months, max_rows):
    """Every customer that is drawn."""
    return set().union(*sampled(months, max_rows).values())


@given(MONTHS, LIMIT)
@settings(deadline=None, max_examples=40)
def test_no_part_has_more_rows_than_the_limit_and_one_more_customer_would_be_too_many(
    months, limit
):
    found = sampled(months, limit)
    everyone = set().union(*months.values())
    holdout = held(everyone)

    def rows(customers, part):
        return sum(key in customers for month in part for key in months[month])

    kept = set().union(*found.values())
    train, test = kept - holdout, kept & holdout
    assert rows(train, WINDOW.training) <= limit
    assert rows(train, WINDOW.forward) <= limit
    assert rows(test, WINDOW.holdout) <= limit
    if everyone - holdout - train:
        larger = min(n for n in range(limit + 1, 100) if drawn_of(months, n) - holdout > train)
        grown = drawn_of(months, larger) - holdout
        assert max(rows(grown, WINDOW.training), rows(grown, WINDOW.forward)) > limit


@given(MONTHS, LIMIT, LIMIT)
@settings(deadline=None)
def test_a_larger_limit_only_adds_customers(months, one, other):
    assert drawn_of(months, min(one, other)) <= drawn_of(months, max(one, other))


@given(MONTHS, LIMIT)
@settings(deadline=None)
def test_all_months_of_a_customer_come_or_go_together(months, limit):
    found = sampled(months, limit)
    kept = set().union(*found.values())
    assert found == {month: [key for key in keys if key in kept] for month, keys in months.items()}


@given(MONTHS, LIMIT, st.randoms())
@settings(deadline=None)
def test_neither_the_order_of_rows_nor_their_labels_matter(months, limit, random):
    mixed = {month: random.sample(keys, len(keys)) for month, keys in months.items()}
    found = sampled(mixed, limit)
    assert {month: set(keys) for month, keys in found.items()} == {
        month: set(keys) for month, keys in sampled(months, limit).items()
    }


@given(MONTHS, LIMIT, st.lists(st.integers(61, 90), unique=True, max_size=20))
@settings(deadline=None)
def test_who_joins_takes_places_and_changes_no_order(months, limit, joining):
    before = drawn_of(months, limit)
    joined = {month: [*keys, *joining] for month, keys in months.items()}
    after = drawn_of(joined, limit)
    assert after - set(joining) <= before


@given(MONTHS, LIMIT, KEYS)
@settings(deadline=None)
def test_the_holdout_is_drawn_by_its_own_months_alone(months, limit, others):
    """February trains and is no holdout month: how many customers it has changes no holdout row."""
    changed = months | {FEBRUARY: others}
    test = held(months[MARCH])
    assert set(sampled(months, limit)[MARCH]) & test == set(sampled(changed, limit)[MARCH]) & test


@given(MONTHS, LIMIT)
@settings(deadline=None)
def test_the_record_counts_the_rows_in_the_sample_and_all_rows(months, limit):
    found = draw(policy(limit), WINDOW, labels_of(months).__getitem__)
    holdout = held(set().union(*months.values()))
    parts = {
        "training": (WINDOW.training, lambda key: key not in holdout),
        "holdout": (WINDOW.holdout, lambda key: key in holdout),
    }
    kept = sampled(months, limit)
    for name, (part, belongs) in parts.items():
        counts = getattr(found.sample, name)
        assert counts.rows == sum(belongs(key) for month in part for key in kept[month])
        assert counts.of == sum(belongs(key) for month in part for key in months[month])
    assert found.sample.labelled == {
        month.isoformat(): len(months[month]) for month in WINDOW.months
    }


def test_without_a_limit_nothing_is_hashed_and_no_sample_is_recorded():
    labels = labels_of({month: [1, 2, 3] for month in WINDOW.months})
    found = draw(TrainingPolicy(), WINDOW, labels.__getitem__)
    assert found.sample is None
    assert all(found.labels_of(month) is labels[month] for month in WINDOW.months)


def test_a_limit_that_all_rows_fit_into_changes_no_labels():
    labels = labels_of({month: list(range(50)) for month in WINDOW.months})
    found = draw(policy(1000), WINDOW, labels.__getitem__)
    assert all(found.labels_of(month) is labels[month] for month in WINDOW.months)
    assert found.sample.training.rows == found.sample.training.of


@given(st.text(min_size=1, max_size=8), st.integers(1000, 10_000))
@settings(deadline=None, max_examples=20, derandomize=True)
def test_the_churn_rate_of_the_sample_is_that_of_all_within_chance(salt, limit):
    keys = np.arange(40_000)
    churned = pd.Series(keys % 5 == 0, index=pd.Index(keys))
    found = draw(
        policy(limit, salt=salt), Window((MARCH,), (MARCH,), ()), lambda _: MonthLabels(churned)
    )
    rows = found.labels_of(MARCH).churned
    assert len(rows) == limit + min(limit, int(in_holdout(keys, salt, 0.25).sum()))
    assert abs(rows.mean() - 0.2) < 4.5 * np.sqrt(0.2 * 0.8 / len(rows))


@given(KEYS, LIMIT, st.data())
@settings(deadline=None)
def test_weights_stay_with_their_customers_and_rows_that_do_not_count_are_not_counted(
    keys, limit, data
):
    assume(keys)
    size = len(keys)
    flags = st.lists(st.booleans(), min_size=size, max_size=size).map(np.array)
    assigned, outside = data.draw(flags), data.draw(flags)
    weights = np.where(assigned, 0.0, 1.0 + np.array(keys))
    correction = Correction(weights, assigned, ~assigned, outside)
    churned = pd.Series(False, index=pd.Index(keys, dtype="int64"))
    found = draw(
        policy(limit), Window((MARCH,), (MARCH,), ()), lambda _: MonthLabels(churned, correction)
    )
    labels = found.labels_of(MARCH)
    kept = labels.churned.index.tolist()
    assert labels.correction.weights.tolist() == [weights[keys.index(key)] for key in kept]
    assert labels.correction.outside.tolist() == [outside[keys.index(key)] for key in kept]
    holdout = held(keys)
    counts = dict(zip(keys, weights > 0, strict=True))
    trains = {
        key for key in keys if counts[key] and key not in holdout and not outside[keys.index(key)]
    }
    tests = {key for key in keys if counts[key] and key in holdout}
    sample = found.sample
    assert (sample.training.rows, sample.training.of) == (len(trains & set(kept)), len(trains))
    assert (sample.holdout.rows, sample.holdout.of) == (len(tests & set(kept)), len(tests))


@pytest.mark.parametrize("max_rows", [0, -5, 999, 2.5, "many"])
def test_a_limit_is_an_integer_of_at_least_1000(max_rows):
    with pytest.raises(ValidationError, match="max_rows"):
        TrainingPolicy(max_rows=max_rows)
    assert TrainingPolicy(max_rows=1000).max_rows == 1000
