"""Uplift may rank only where it beats risk x value on a later month: AUTOC and simulated truths."""

import dataclasses

import numpy as np
import pytest

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.contacts.uplift import (
    EffectModel,
    RandomisedRows,
    TooFew,
    WhyNot,
    _folds,
    autoc,
    fit_effect_model,
    judge_uplift,
    why_not_rank,
)

EARLIER, LATER = ("2026-01-31", "2026-02-28"), ("2026-03-31",)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def no_effect(features, risk):
    return np.zeros(risk.size)


def same_effect(features, risk):
    return np.full(risk.size, 0.1)


def share_of_risk(features, risk):
    return 0.3 * risk


def sleeping_dogs(features, risk):
    """The highest risks leave because of the contact; others are saved by a second feature."""
    dogs = features[:, 0] > 0.8
    return np.where(dogs, -0.5 * (1 - risk), 0.5 * risk * (features[:, 1] > 0))


def campaign(seed, customers, months, effect, probability=0.8):
    """Randomised rows, the churn probability that a production model would give, the effect."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(customers, 5))
    risk = sigmoid(-0.6 + 1.2 * features[:, 0])
    true = effect(features, risk)
    e = np.broadcast_to(probability, customers).astype(float)
    assigned = rng.random(customers) < e
    churned = rng.random(customers) < np.clip(risk - assigned * true, 0, 1)
    value = 50 * np.exp(rng.normal(0, 0.4, customers))
    seen = sigmoid(-0.6 + 1.2 * features[:, 0] + rng.normal(0, 0.3, customers))
    rows = RandomisedRows(
        rng.choice(months, customers), np.arange(customers), features, assigned, e, churned, value
    )
    return rows, seen, true


def judged(seed, effect, customers=6_000, probability=0.8, **limits):
    """The test on a later month of a model fitted on two earlier ones."""
    earlier, _, _ = campaign(seed, customers, EARLIER, effect, probability)
    later, risk, _ = campaign(seed + 10_000, customers, LATER, effect, probability)
    model = fit_effect_model(earlier, **limits)
    return model if isinstance(model, TooFew) else judge_uplift(model, later, risk)


def known(effect, months=EARLIER, churn=0.3):
    """A model that was not fitted."""
    return EffectModel(
        tuple(months), 5_000, 500, lambda features: np.full(len(features), churn), effect
    )


# the switch


@pytest.mark.parametrize("effect", [no_effect, share_of_risk])
def test_without_heterogeneity_beyond_risk_the_switch_stays_off(effect):
    assert not any(
        why_not_rank(judged(seed, effect, 3_000, least_assigned=500)) is None for seed in range(8)
    )


def test_with_sleeping_dogs_among_the_highest_risks_it_turns_on():
    test = judged(0, sleeping_dogs)
    assert why_not_rank(test) is None
    assert test.risk.estimate < 0 < test.uplift.interval.low
    assert test.difference == pytest.approx(test.uplift.estimate - test.risk.estimate)
    assert test.interval.low <= test.difference <= test.interval.high
    assert (test.trained_on, test.tested_on) == (EARLIER, LATER)
    assert test.assigned_churners > 1_000 > test.untouched_churners > 200


@pytest.mark.slow
@pytest.mark.parametrize("probability", [0.8, 0.9])
@pytest.mark.parametrize("effect", [no_effect, same_effect, share_of_risk])
def test_it_stays_off_in_95_of_100_worlds_without_heterogeneity(effect, probability):
    on = sum(
        why_not_rank(judged(seed, effect, probability=probability)) is None for seed in range(100)
    )
    assert on <= 5, on


@pytest.mark.slow
def test_it_turns_on_in_most_worlds_with_sleeping_dogs():
    on = sum(why_not_rank(judged(seed, sleeping_dogs)) is None for seed in range(30))
    assert on >= 27, on
    few_untouched = sum(
        why_not_rank(judged(seed, sleeping_dogs, 20_000, probability=0.9)) is None
        for seed in range(15)
    )
    assert few_untouched >= 14, few_untouched


def test_only_later_months_count():
    test = judged(0, sleeping_dogs)
    for tested_on in (EARLIER, (EARLIER[-1],), (EARLIER[-1], *LATER), ("2025-12-31",)):
        early = dataclasses.replace(test, tested_on=tested_on)
        assert why_not_rank(early) == WhyNot.NOT_LATER


def test_both_lower_bounds_must_lie_above_zero():
    test = judged(0, sleeping_dogs)
    touching = dataclasses.replace(test.interval, low=0.0)
    unclear = dataclasses.replace(test, interval=touching)
    assert why_not_rank(unclear) == WhyNot.NOT_ABOVE_RISK
    weak = dataclasses.replace(test, uplift=dataclasses.replace(test.uplift, interval=touching))
    assert why_not_rank(weak) == WhyNot.NOT_ABOVE_RANDOM


def test_too_few_churners_in_either_arm_fit_nothing():
    rows, _, _ = campaign(1, 2_000, EARLIER, no_effect)
    assigned, untouched = rows.churners(assigned=True), rows.churners(assigned=False)
    assert assigned + untouched == rows.churned.sum()
    found = fit_effect_model(rows)
    assert found == TooFew(assigned, untouched, 1_000, 100)
    assert why_not_rank(found) == WhyNot.TOO_FEW
    assert isinstance(
        fit_effect_model(rows, least_assigned=assigned, least_untouched=untouched + 1), TooFew
    )
    fitted = fit_effect_model(rows, least_assigned=assigned, least_untouched=untouched)
    assert (fitted.assigned_churners, fitted.untouched_churners) == (assigned, untouched)
    assert fitted.months == EARLIER


def test_rows_that_could_be_in_one_arm_only_tell_nothing():
    rows, risk, _ = campaign(1, 4_000, LATER, no_effect, np.repeat([0.8, 0.0, 1.0, 0.019], 1_000))
    test = judge_uplift(known(lambda features: features[:, 1]), rows, risk)
    assert test.uplift.rows == 1_000
    alone, _, _ = campaign(1, 4_000, EARLIER, no_effect, np.repeat([0.0, 1.0], 2_000))
    assert fit_effect_model(alone) == TooFew(0, 0, 1_000, 100)


# the model


def test_the_model_finds_the_effect_and_is_the_same_again():
    rows, _, _ = campaign(3, 6_000, EARLIER, sleeping_dogs)
    later, _, true = campaign(4, 6_000, LATER, sleeping_dogs)
    found = fit_effect_model(rows).effect(later.features)
    assert np.corrcoef(found, true)[0, 1] > 0.6
    assert np.array_equal(found, fit_effect_model(rows).effect(later.features))


def test_the_rows_of_a_customer_are_in_one_fold():
    folds = _folds(np.repeat(np.arange(200), 4), 0).reshape(200, 4)
    assert (folds == folds[:, :1]).all()
    assert set(folds[:, 0]) == set(range(5))


def test_doubly_robust_scores_average_to_the_effect_however_wrong_the_model():
    """Customers are assigned by risk, so one observed share for all would be wrong."""
    probability = np.where(np.arange(200_000) % 2, 0.9, 0.3)
    rows, _, true = campaign(5, 200_000, LATER, share_of_risk, probability)
    wrong = known(lambda features: np.full(len(features), -0.2), churn=0.7)
    scores = wrong.doubly_robust_scores(rows)
    for group in (rows.features[:, 0] > 1, rows.features[:, 0] < 0, probability > 0.5):
        error = scores[group].std() / np.sqrt(group.sum())
        assert scores[group].mean() == pytest.approx(true[group].mean(), abs=3 * error)


# AUTOC


def naive(priority, scores):
    ordered = scores[np.argsort(-priority)]
    best = np.cumsum(ordered) / np.arange(1, ordered.size + 1)
    return (best - ordered.mean()).mean()


def test_autoc_is_the_mean_gap_between_the_best_and_all():
    rng = np.random.default_rng(2)
    priority, scores = rng.normal(size=(2, 50))
    assert autoc(priority, scores).estimate == pytest.approx(naive(priority, scores))
    assert autoc(scores, scores).estimate > 0 > autoc(-scores, scores).estimate
    assert autoc(np.zeros(50), scores).estimate == pytest.approx(0, abs=1e-12)


def test_tied_rows_share_their_places():
    rng = np.random.default_rng(3)
    priority, scores = np.repeat([3.0, 2, 1], 4), rng.normal(size=12)
    shuffled = [naive(priority + 1e-6 * rng.random(12), scores) for _ in range(20_000)]
    assert autoc(priority, scores).estimate == pytest.approx(np.mean(shuffled), abs=0.005)
    order = rng.permutation(12)
    again = autoc(priority[order], scores[order])
    assert again.estimate == pytest.approx(autoc(priority, scores).estimate)
    assert again.standard_error == pytest.approx(autoc(priority, scores).standard_error)


def test_the_interval_of_autoc_covers_the_truth():
    places = (np.arange(1_000_000) + 0.5) / 1_000_000
    true = np.mean(benefit(places) * (-np.log(places) - 1))
    hits = 0
    for seed in range(1_000):
        rng = np.random.default_rng(seed)
        place = rng.random(1_500)
        assigned = rng.random(1_500) < 0.9
        churned = rng.random(1_500) < 0.35 + 0.3 * (1 - place) - assigned * benefit(place)
        surprise = assigned - 0.9
        scores = 0.1 + surprise / 0.09 * (0.5 - 0.1 * surprise - churned)
        interval = autoc(-place, scores).interval
        hits += interval.low <= true <= interval.high
    assert 930 <= hits <= 970, hits


def benefit(place):
    return 0.3 * (1 - place) ** 2 - 0.05


def test_where_everyone_gains_the_same_autoc_is_certain():
    """Other customers would take other places, and gain as much there."""
    found = autoc(np.arange(1_000.0), np.ones(1_000))
    assert found.estimate == pytest.approx(0, abs=1e-12)
    assert found.standard_error < 0.1 / np.sqrt(1_000)


def test_a_customer_who_comes_twice_counts_once():
    rng = np.random.default_rng(4)
    priority, scores = rng.normal(size=(2, 2_000))
    one = autoc(priority, scores)
    twice = autoc(np.tile(priority, 2), np.tile(scores, 2), np.tile(np.arange(2_000), 2))
    assert twice.estimate == pytest.approx(one.estimate, abs=0.01)
    assert twice.standard_error == pytest.approx(one.standard_error, rel=0.02)


def test_what_a_customer_is_worth_counts_in_both_rankings_and_in_the_gain():
    rows, risk, _ = campaign(6, 3_000, LATER, no_effect)
    model = known(lambda features: features[:, 1])
    test = judge_uplift(model, rows, risk)
    money = model.doubly_robust_scores(rows) * rows.value
    effect = model.effect(rows.features) * rows.value
    assert test.uplift == autoc(effect, money, rows.entities)
    assert test.risk == autoc(risk * rows.value, money, rows.entities)


def test_the_difference_is_paired():
    rows, risk, _ = campaign(7, 3_000, LATER, no_effect)
    rows = dataclasses.replace(rows, features=np.column_stack([risk] * 5))
    same = judge_uplift(known(lambda features: features[:, 0]), rows, risk)
    assert (same.difference, same.interval.as_list()) == (0.0, [0.0, 0.0])
    assert why_not_rank(same) in (WhyNot.NOT_ABOVE_RANDOM, WhyNot.NOT_ABOVE_RISK)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"probability": np.full(50, np.nan)}, NotANumber),
        ({"probability": np.full(50, 1.1)}, DataError),
        ({"value": np.full(50, -1.0)}, DataError),
        ({"features": np.zeros((49, 5))}, DataError),
        ({"features": np.zeros(50)}, DataError),
        ({"assigned": np.zeros(49, dtype=bool)}, DataError),
        ({"churned": np.zeros(0, dtype=bool)}, DataError),
    ],
)
def test_rows_that_do_not_fit_together_are_errors(change, error):
    rows, _, _ = campaign(8, 50, LATER, no_effect)
    with pytest.raises(error):
        dataclasses.replace(rows, **change)


def test_scores_that_cannot_be_ranked_are_errors():
    with pytest.raises(NotANumber):
        autoc(np.array([1.0, np.nan]), np.zeros(2))
    with pytest.raises(DataError):
        autoc(np.zeros(1), np.zeros(1))
    with pytest.raises(DataError):
        autoc(np.arange(3.0), np.zeros(3), np.zeros(3))
