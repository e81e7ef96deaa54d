"""What a campaign can show before it starts: the notes' table, and what simulation says."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from churn_platform.base.errors import DataError
from churn_platform.contacts.effect import FEWEST_OF_A_KIND
from churn_platform.contacts.planning import (
    CampaignDesign,
    months_to_answer,
    outlook,
    price_of_untouched,
    smallest_effect,
)
from churn_platform.evaluation.statistics import detectable_difference

CRITICAL = NormalDist().inv_cdf(0.975)
MONTHS = (1, 6, 12)
TABLE = {
    (200, 0.3): ((30.3, 12.4, 8.7), (22.7, 9.3, 6.6), (18.2, 7.4, 5.2)),
    (500, 0.3): ((19.1, 7.8, 5.5), (14.4, 5.9, 4.1), (11.5, 4.7, 3.3)),
    (500, 0.1): ((12.5, 5.1, 3.6), (9.4, 3.8, 2.7), (7.5, 3.1, 2.2)),
    (1000, 0.3): ((13.5, 5.5, 3.9), (10.1, 4.1, 2.9), (8.1, 3.3, 2.3)),
    (2000, 0.5): ((10.4, 4.3, 3.0), (7.8, 3.2, 2.3), (6.3, 2.6, 1.8)),
}
"""List and churn on it -> smallest effect in percentage points after 1, 6 and 12 months, for
10%, 20% and 50% untouched (the notes round the first to 30); the churn of the untouched taken for both arms.
"""


@pytest.mark.parametrize(("listed", "churn"), TABLE)
def test_the_published_table_is_reproduced(listed, churn):
    for share, points in zip((0.1, 0.2, 0.5), TABLE[listed, churn], strict=True):
        design = CampaignDesign(listed, churn, share)
        found = [100 * detectable_difference(design.error(months)) for months in MONTHS]
        assert found == pytest.approx(points, abs=0.051)


@pytest.mark.parametrize("listed", [200, 500, 2000])
@pytest.mark.parametrize("churn", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("months", MONTHS)
def test_the_smallest_effect_agrees_with_simulation(listed, churn, share, months):
    """Power of 80% within the band that an effect 10% larger or smaller would have."""
    design = CampaignDesign(listed, churn, share)
    effect = smallest_effect(design, months)
    if effect is None:
        assert listed * months * share * min(churn, 1 - churn) < 15
        return
    draw = np.random.default_rng(0)
    n0 = draw.binomial(listed * months, share, 20_000)
    n1 = listed * months - n0
    x0 = draw.binomial(n0, churn)
    p0, p1 = x0 / n0, draw.binomial(n1, churn - effect) / n1
    error = np.sqrt(p0 * (1 - p0) / (n0 - 1) + p1 * (1 - p1) / (n1 - 1))
    measurable = np.minimum(x0, n0 - x0) >= FEWEST_OF_A_KIND
    power = float(np.mean(measurable & (p0 - p1 > CRITICAL * error)))
    assert power_of(0.9) < power < power_of(1.1)


def power_of(times):
    """Power of a two-sided test at 5% for an effect `times` the one with a power of 80%."""
    normal = NormalDist()
    return normal.cdf((normal.inv_cdf(0.975) + normal.inv_cdf(0.8)) * times - CRITICAL)


def test_months_to_an_answer_are_the_first_in_which_the_effect_is_shown():
    design = CampaignDesign(500, 0.3, 0.1)
    for effect in (0.06, 0.08, 0.15, 0.25):
        months = months_to_answer(design, effect)
        assert smallest_effect(design, months) <= effect + 1e-12
        assert months == 1 or smallest_effect(design, months - 1) > effect


def test_enough_untouched_churners_take_their_time():
    """40 untouched a month, 4 of them churn: 15 after four months, whatever the effect."""
    design = CampaignDesign(400, 0.1, 0.1)
    assert months_to_answer(design, 0.1) == 4
    assert smallest_effect(design, 3) is None
    assert smallest_effect(design, 4) < 0.1


def test_a_budget_contacts_all_but_the_untouched_above_the_cut():
    design = CampaignDesign.of_budget(500, 0.05, churn=0.3, untouched_share=0.1)
    assert design.listed * 0.9 + 500 * 0.05 == pytest.approx(500)


def test_the_price_of_knowing_is_what_the_untouched_would_have_kept():
    design = CampaignDesign(500, 0.3, 0.1, value=40)
    assert price_of_untouched(design, 0.2) == pytest.approx(0.1 * 500 * 0.2 * 40)


def test_an_answer_in_time_needs_no_help():
    found = outlook(CampaignDesign(500, 0.3, 0.1), 0.1)
    assert (found.months, found.hopeless) == (4, False)
    assert (found.share_that_helps, found.listed_that_helps) == (None, None)
    assert len(found.smallest_effects) == 24


def test_more_than_24_months_are_hopeless_and_what_helps_would_help():
    design = CampaignDesign(200, 0.3, 0.1)
    found = outlook(design, 0.055)
    assert (found.months, found.hopeless) == (None, True)
    share = found.share_that_helps
    larger = CampaignDesign(200 * 0.9 / (1 - share), 0.3, share)
    smaller = CampaignDesign(200 * 0.9 / (1.05 - share), 0.3, share - 0.05)
    assert months_to_answer(larger, 0.055) <= 24
    assert months_to_answer(smaller, 0.055) is None
    needed = CampaignDesign(found.listed_that_helps, 0.3, 0.1)
    assert months_to_answer(needed, 0.055) == 24


def test_where_no_share_helps_only_a_longer_list_does():
    found = outlook(CampaignDesign(50, 0.1, 0.1), 0.01)
    assert found.share_that_helps is None
    assert found.listed_that_helps > 1000


@pytest.mark.parametrize("effect", [0, -0.1, 0.31, math.nan])
def test_an_effect_beyond_the_churn_is_refused(effect):
    with pytest.raises(DataError):
        outlook(CampaignDesign(500, 0.3, 0.1), effect)


@pytest.mark.parametrize(
    "changed",
    [{"listed": 0}, {"churn": 0}, {"churn": 1}, {"untouched_share": 0}],
)
def test_a_design_without_an_answer_is_refused(changed):
    with pytest.raises(DataError):
        CampaignDesign(**({"listed": 500, "churn": 0.3, "untouched_share": 0.1} | changed))
