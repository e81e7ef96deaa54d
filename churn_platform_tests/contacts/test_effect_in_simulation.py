"""What the effect claims, over many seeds of campaigns of which the truth is known."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from churn_platform.contacts.effect import EffectState, effect_of
from churn_platform.contacts.planning import CampaignDesign
from churn_platform.evaluation.sequential import level_at
from churn_platform.evaluation.statistics import auc, quantile_of_normal
from churn_platform_tests.contacts.campaigns import Campaign, drawn

CRITICAL = NormalDist().inv_cdf(0.975)
UNSEEN = Campaign(unseen=1.0, level=-1.82, slope=1.68)
"""A lasting risk that the score does not know: who is still there depends on the arm."""
BUDGET_OF_500 = replace(UNSEEN, listed=550)


def errors(campaign, seeds):
    """Estimate less truth and standard error of every seed, each shape (seeds,)."""
    found = []
    for seed in range(seeds):
        run = drawn(campaign, seed)
        effect = effect_of(run.months, CRITICAL).effect
        found.append((effect.value - run.true_effect, effect.standard_error))
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
    ("campaign", "cooldown"), [(UNSEEN, 0), (BUDGET_OF_500, 1)], ids=["1400", "550"]
)
def test_the_interval_holds_the_truth_and_is_not_biased(campaign, cooldown):
    """600 seeds, as the share of 200 is only known to within 3 points."""
    missed, error = errors(replace(campaign, cooldown=cooldown), 600)
    assert 0.93 <= covered(missed, error) <= 0.97
    assert abs(missed.mean()) < 0.2 * error.mean()


@pytest.mark.slow
def test_arms_that_last_compare_survivors():
    """Why a plan draws anew: with the same arms every month the effect is understated."""
    missed, error = errors(replace(UNSEEN, cooldown=0, lasting=True), 60)
    assert missed.mean() < -0.7 * error.mean()
    assert covered(missed, error) < 0.9


@pytest.mark.slow
def test_no_effect_is_claimed_by_chance_over_twelve_monthly_looks():
    """5%, and 4.5 points for the chance of 200 seeds (three standard errors)."""
    seeds = 200
    claims = peeked = withheld = 0
    levels = [quantile_of_normal(level_at(look, 12)) for look in range(1, 13)]
    for seed in range(seeds):
        run = drawn(replace(BUDGET_OF_500, works=False), seed)
        looks = [effect_of(run.months[:look], critical) for look, critical in enumerate(levels, 1)]
        states = {look.state for look in looks}
        claims += bool(states & {EffectState.SHOWN, EffectState.HARMFUL})
        withheld += EffectState.WITHHELD in states
        peeked += any(
            look.effect and abs(look.effect.value) > CRITICAL * look.effect.standard_error
            for look in looks
        )
    assert claims <= 0.095 * seeds
    assert peeked >= 0.1 * seeds
    assert withheld <= 0.02 * seeds


@pytest.mark.slow
@pytest.mark.parametrize("months", [3, 12])
def test_the_plan_foresees_the_error_of_the_campaign(months):
    campaign = replace(BUDGET_OF_500, months=months)
    _, error = errors(campaign, 40)
    effect = effect_of(drawn(campaign, 0).months, CRITICAL)
    design = CampaignDesign(550, effect.untouched_churn, 0.1)
    assert design.error(months, effect.effect.value) == pytest.approx(error.mean(), rel=0.1)
