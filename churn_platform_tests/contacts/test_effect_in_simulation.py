"""What the effect claims, over many seeds of campaigns of which the truth is known."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from churn_platform.contacts.assigned import rows_of, sample_ratio
from churn_platform.contacts.effect import Doubt, EffectState, effect_of
from churn_platform.contacts.planning import CampaignDesign
from churn_platform.evaluation.sequential import level_at
from churn_platform.evaluation.statistics import auc, quantile_of_normal
from churn_platform_tests.contacts.campaigns import Campaign, drawn, each_month_an_experiment

CRITICAL = NormalDist().inv_cdf(0.975)
UNSEEN = Campaign(unseen=1.0, level=-1.82, slope=1.68)
"""A lasting risk that the score does not know: who is still there depends on the arm."""
SEEDS = 200


def errors(campaign, seeds=SEEDS, months=lambda run: run.months, rows="first"):
    """Estimate less truth and standard error of every seed, each shape (seeds,)."""
    found = []
    for seed in range(seeds):
        run = drawn(campaign, seed)
        effect = effect_of(months(run), CRITICAL).effect
        found.append((effect.value - run.true_effect(rows), effect.standard_error))
    missed, error = np.array(found).T
    return missed, error


def covered(missed, error):
    """Share of the intervals that hold the truth."""
    return float(np.mean(np.abs(missed) < CRITICAL * error))


@pytest.mark.parametrize("campaign", [Campaign(), UNSEEN], ids=["score", "unseen risk"])
def test_the_campaign_is_the_documented_one(campaign):
    churned, scores = drawn(replace(campaign, customers=100_000, months=1), 0).first_month[::-1]
    assert churned.mean() == pytest.approx(0.24, abs=0.005)
    assert auc(churned, scores) == pytest.approx(0.81, abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize(
    "campaign",
    [Campaign(), replace(UNSEEN, listed=550, rest=3), UNSEEN],
    ids=["score", "budget of 500 with rest", "unseen risk"],
)
def test_the_interval_holds_the_truth_and_is_not_biased(campaign):
    missed, error = errors(campaign)
    assert 0.93 <= covered(missed, error) <= 0.97
    assert abs(missed.mean()) < 0.2 * error.mean()


@pytest.mark.slow
def test_later_months_of_an_experiment_compare_survivors():
    """Why a customer counts once: all rows understate the effect by a standard error."""
    missed, error = errors(UNSEEN, 60, each_month_an_experiment, "all")
    assert missed.mean() < -0.7 * error.mean()
    assert covered(missed, error) < 0.9


@pytest.mark.slow
def test_no_effect_is_claimed_by_chance_over_twelve_monthly_looks():
    claims = peeked = 0
    levels = [quantile_of_normal(level_at(look, 12)) for look in range(1, 13)]
    for seed in range(SEEDS):
        run = drawn(replace(UNSEEN, works=False, listed=550), seed)
        months = [replace(month, slices={}) for month in run.months]
        looks = [effect_of(months[:look], critical) for look, critical in enumerate(levels, 1)]
        states = {look.state for look in looks}
        claims += bool(states & {EffectState.SHOWN, EffectState.HARMFUL})
        peeked += any(
            look.effect and abs(look.effect.value) > CRITICAL * look.effect.standard_error
            for look in looks
        )
    assert claims <= 0.05 * SEEDS
    assert peeked >= 0.1 * SEEDS


@pytest.mark.slow
def test_the_plan_foresees_the_error_of_the_campaign():
    campaign = replace(UNSEEN, listed=550, rest=3)
    _, error = errors(campaign, 20)
    run = drawn(campaign, 0)
    effect = effect_of(run.months, CRITICAL)
    total = effect.rows + effect.repeated
    design = CampaignDesign(
        550, effect.untouched_churn, 0.1, new_share=(effect.rows - 550) / (total - 550)
    )
    assert design.error(12, effect.effect.value) == pytest.approx(error.mean(), rel=0.1)


def swapped(months, share, seed):
    """People move `share` of every month's untouched rows to the contacts."""
    draw = np.random.default_rng(seed)
    for month in months:
        moved = ~month.assigned & (draw.random(month.assigned.size) < share)
        yield replace(month, assigned=month.assigned | moved)


def test_rows_that_people_swap_are_found():
    """5% of the untouched, every month: their customers are in two arms."""
    for seed in range(20):
        found = effect_of(list(swapped(drawn(Campaign(), seed).months, 0.05, seed)), CRITICAL)
        assert Doubt.MULTIPLE_EXPOSURE in found.doubts
        assert found.state == EffectState.WITHHELD


@pytest.mark.slow
def test_the_sample_ratio_seldom_alarms_on_arms_as_drawn():
    draw = np.random.default_rng(0)
    month = drawn(Campaign(months=1), 0).months[0]
    overall = in_strata = 0
    for _ in range(4000):
        assigned = draw.random(1400) < 0.9
        ratio = sample_ratio(rows_of([replace(month, assigned=assigned)]))
        overall += ratio.p_value < 0.001
        in_strata += ratio.p_value_in_strata < 0.001
    assert overall <= 10
    assert in_strata <= 10
