"""What contacting was worth: by hand on small tables, by simulation over many seeds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import DataError
from churn_platform.contacts.assigned import AssignedMonth, rows_of, sample_ratio
from churn_platform.contacts.effect import (
    EffectState,
    WithheldBecause,
    comparison_of,
    effect_of,
    shared_critical,
)
from churn_platform.evaluation.sequential import boundaries

CRITICAL = 1.959963984540054
SEEDS = st.integers(0, 10_000)


def month(as_of="2024-01-31", rows=400, share=0.5, seed=0, saved=0.0, **changed):
    """A month with a churn of 40% among the untouched and exactly `share` of them untouched."""
    draw = np.random.default_rng(seed)
    assigned = draw.permutation(np.arange(rows) >= round(rows * share))
    stratum = np.arange(rows) * 4 // rows
    risk = 0.55 - 0.1 * stratum
    churned = draw.random(rows) < np.where(assigned, risk - saved, risk)
    parts = {
        "as_of": as_of,
        "entities": np.array([f"c{number}" for number in range(rows)], dtype=object),
        "assigned": assigned,
        "probability": np.full(rows, 1 - share),
        "stratum": stratum,
        "churned": churned,
        "contacted": assigned,
        "action": np.where(assigned, "call", None),
        "value": np.full(rows, 10.0),
        "cost": np.where(assigned, 2.0, 0.0),
    }
    return AssignedMonth(**(parts | changed))


def neyman(one):
    """The notes' formula, stratum by stratum."""
    effect, variance = 0.0, 0.0
    for stratum in np.unique(one.stratum):
        inside = one.stratum == stratum
        untouched = one.churned[inside & ~one.assigned].astype(float)
        assigned = one.churned[inside & one.assigned].astype(float)
        weight = inside.mean()
        effect += weight * (untouched.mean() - assigned.mean())
        variance += weight**2 * (
            untouched.var(ddof=1) / untouched.size + assigned.var(ddof=1) / assigned.size
        )
    return effect, variance**0.5


@given(SEEDS)
@settings(deadline=None, max_examples=30)
def test_on_one_month_it_is_neymans_formula_to_the_last_digit(seed):
    one = month(seed=seed, saved=0.1)
    found = effect_of([one], CRITICAL)
    effect, error = neyman(one)
    assert found.effect.value == pytest.approx(effect, abs=1e-12)
    assert found.effect.standard_error == pytest.approx(error, rel=1e-9)
    assert found.effect.interval.low == pytest.approx(effect - CRITICAL * error, abs=1e-12)
    assert found.untouched_churn - found.assigned_churn == pytest.approx(effect, abs=1e-12)


def test_strata_take_out_the_difference_of_risk():
    """All untouched at low risk but two in each stratum: without strata the sign would turn."""
    stratum = np.repeat([0, 1], 200)
    assigned = np.ones(400, dtype=bool)
    assigned[:20] = assigned[200:380] = False
    churned = np.zeros(400, dtype=bool)
    churned[:16] = churned[20:110] = True  # 80% of the untouched, 50% of the assigned
    churned[200:254] = churned[380:382] = True  # 30% and 10%
    one = month(stratum=stratum, assigned=assigned, churned=churned, contacted=assigned)
    found = effect_of([one], CRITICAL)
    assert found.effect.value == pytest.approx(0.5 * 0.3 + 0.5 * 0.2)
    assert churned[~assigned].mean() - churned[assigned].mean() < 0


def test_the_rows_of_a_customer_move_the_interval_together():
    """Three months with the same rows: three times the rows and the saved, the same certainty."""
    one = month(saved=0.2)
    again = [replace(one, as_of=f"2024-0{n}-28") for n in (2, 3)]
    single, triple = effect_of([one], CRITICAL), effect_of([one, *again], CRITICAL)
    assert triple.rows == 3 * single.rows
    assert triple.effect.value == pytest.approx(single.effect.value)
    assert triple.effect.standard_error == pytest.approx(single.effect.standard_error)
    assert triple.saved.value == pytest.approx(3 * single.saved.value)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_every_month_is_compared_within_itself(share):
    first = month(saved=0.2)
    later = month("2024-03-31", rows=800, share=share, seed=1)
    found = effect_of([later, first], CRITICAL)
    own = [effect_of([one], CRITICAL).effect for one in (first, later)]
    assert found.effect.value == pytest.approx((own[0].value + 2 * own[1].value) / 3)
    assert found.months == ("2024-01-31", "2024-03-31")


def test_customers_with_both_arms_are_counted_and_compared():
    first, later = month(), month("2024-02-29", seed=1)
    found = effect_of([first, later], CRITICAL)
    assert found.in_two_arms == (first.assigned != later.assigned).sum()
    assert (found.rows, found.doubts) == (800, ())


def test_saved_customers_are_counted_where_they_were_assigned():
    """A month with a large effect and few untouched, and one without effect and half untouched."""
    works = month(saved=0.3, share=0.2, rows=4000)
    idle = month("2024-02-29", share=0.5, rows=4000, seed=1)
    found = effect_of([works, idle], CRITICAL)
    own = [effect_of([one], CRITICAL).saved.value for one in (works, idle)]
    assert found.saved.value == pytest.approx(sum(own), rel=0.001)
    assert found.assigned * found.effect.value < 0.9 * found.saved.value


def test_saved_customers_and_money_are_those_of_the_assigned():
    one = month(saved=0.2, share=0.25)
    found = effect_of([one], CRITICAL)
    assert (found.assigned, found.untouched) == (300, 100)
    assert found.saved.value == pytest.approx(300 * found.effect.value)
    assert found.saved.interval.low == pytest.approx(300 * found.effect.interval.low)
    assert found.spent == 600
    assert found.money.value == pytest.approx(3000 * found.effect.value - 600)
    assert found.money.interval.low == pytest.approx(3000 * found.effect.interval.low - 600)


def test_money_weighs_a_customer_by_value():
    """Saving happens in stratum 0 alone, where a customer is worth 100 and not 1."""
    one = month(saved=0.0, rows=2000)
    churned = one.churned & ~(one.assigned & (one.stratum == 0))
    value = np.where(one.stratum == 0, 100.0, 1.0)
    found = effect_of([replace(one, churned=churned, value=value)], CRITICAL)
    untouched = one.churned[~one.assigned & (one.stratum == 0)].mean()
    assert found.money.value == pytest.approx(0.25 * 1000 * 100 * untouched - 2000, rel=0.05)


def test_customers_are_compared_as_assigned_and_reach_only_scales():
    one = month(saved=0.2, rows=2000, seed=3)
    reached = one.assigned & (np.arange(2000) % 2 == 0)
    mailed = ~one.assigned & (np.arange(2000) % 10 == 0)
    half = replace(one, contacted=reached | mailed)
    full, found = effect_of([one], CRITICAL), effect_of([half], CRITICAL)
    assert found.effect == full.effect
    assert found.contaminated == mailed.sum()
    assert found.reached == pytest.approx(reached.sum() / one.assigned.sum())
    assert full.complier_effect.value == pytest.approx(full.effect.value)
    reach = np.mean(
        [
            half.contacted[(one.stratum == s) & one.assigned].mean()
            - half.contacted[(one.stratum == s) & ~one.assigned].mean()
            for s in range(4)
        ]
    )
    assert found.complier_effect.value == pytest.approx(found.effect.value / reach)
    assert found.complier_effect.standard_error > 1.9 * full.effect.standard_error


def test_the_error_of_the_complier_effect_is_that_of_walds_ratio():
    """By hand in one stratum: the variance of y - effect x contacted in both arms."""
    one = month(saved=0.2, rows=2000, seed=3, stratum=np.zeros(2000, dtype=int))
    contacted = np.random.default_rng(1).random(2000) < np.where(one.assigned, 0.5, 0.05)
    found = effect_of([replace(one, contacted=contacted)], CRITICAL).complier_effect
    rest = one.churned + found.value * contacted
    arms = (rest[one.assigned], rest[~one.assigned])
    variance = sum(arm.var(ddof=1) / arm.size for arm in arms)
    reach = contacted[one.assigned].mean() - contacted[~one.assigned].mean()
    assert found.standard_error == pytest.approx(variance**0.5 / reach, rel=1e-9)


def test_no_complier_effect_while_the_arms_do_not_differ_in_who_was_contacted():
    one = month(contacted=np.arange(400) % 2 == 0)
    assert effect_of([one], CRITICAL).complier_effect is None


@pytest.mark.parametrize(
    ("saved", "state"),
    [(0.3, EffectState.SHOWN), (0.0, EffectState.NOT_YET_SHOWN), (-0.3, EffectState.HARMFUL)],
)
def test_the_verdict_is_where_the_interval_lies(saved, state):
    found = effect_of([month(saved=saved, rows=1000)], CRITICAL)
    assert found.state == state
    assert found.doubts == ()


def test_an_early_look_asks_for_more():
    early, *_, late = boundaries([n / 12 for n in range(1, 13)])
    one = month(saved=0.2, rows=1000)
    assert effect_of([one], late).state == EffectState.SHOWN
    assert effect_of([one], early).state == EffectState.NOT_YET_SHOWN


@pytest.mark.parametrize("kind", [True, False])
def test_ten_untouched_churners_and_ten_stayers_give_an_interval(kind):
    one = month()
    others = np.flatnonzero((one.churned == kind) & ~one.assigned)
    churned = one.churned.copy()
    churned[others[10:]] = not kind
    found = effect_of([replace(one, churned=churned)], CRITICAL)
    assert found.effect is not None
    churned[others[9:]] = not kind
    found = effect_of([replace(one, churned=churned)], CRITICAL)
    assert (found.effect, found.saved, found.money, found.complier_effect) == (None,) * 4
    assert found.state == EffectState.NOT_YET_SHOWN
    assert found.untouched_churn > 0


def test_saving_every_churner_is_shown():
    one = month()
    assert (
        effect_of([replace(one, churned=one.churned & ~one.assigned)], CRITICAL).state
        == EffectState.SHOWN
    )


def test_strata_are_joined_by_what_was_expected_and_the_rest_is_counted():
    """40 rows in 4 strata at 10% expect one untouched row each: the month is one stratum."""
    one = month(rows=40, share=0.1)
    crude = one.churned[~one.assigned].mean() - one.churned[one.assigned].mean()
    found = effect_of([one], CRITICAL)
    assert found.untouched_churn - found.assigned_churn == pytest.approx(crude)
    lonely = np.arange(40) > 0
    assert effect_of([replace(one, assigned=lonely)], CRITICAL) is None
    others = month("2024-02-29", rows=400, share=0.5)
    mixed = effect_of([replace(one, assigned=lonely), others], CRITICAL)
    assert (mixed.rows, mixed.left_out) == (400, 40)


def test_small_months_of_one_probability_are_joined():
    names = np.array([f"n{number}" for number in range(40)], dtype=object)
    months = [
        month(f"2024-0{n}-28", rows=40, share=0.1, seed=n, entities=names + f"-{n}")
        for n in range(1, 9)
    ]
    found = effect_of(months, CRITICAL)
    assert (found.rows, found.untouched, found.left_out) == (320, 32, 0)


def test_slices_hold_together_at_the_level_of_one():
    plan = np.array(["a", "b"] * 200, dtype=object)
    plan[:30] = "rare"
    one = month(saved=0.2, slices={"plan": plan})
    found = effect_of([one], CRITICAL).by_slice
    assert [(part.name, part.value) for part in found] == [
        ("plan", "a"),
        ("plan", "b"),
        ("plan", "rare"),
    ]
    assert [part.assigned + part.untouched for part in found] == [185, 185, 30]
    assert found[2].effect is None
    inside = plan == "a"
    alone = comparison_of(rows_of([one]).only(inside)).estimate(one.churned[inside], 2.393980)
    assert found[0].effect.value == pytest.approx(alone.value)
    assert found[0].effect.interval.low == pytest.approx(alone.interval.low, abs=1e-6)
    assert all(part.randomised for part in found)


def test_a_shared_critical_value_is_bonferronis_also_at_the_first_look():
    assert shared_critical(CRITICAL, 1) == CRITICAL
    assert shared_critical(CRITICAL, 3) == pytest.approx(2.393980, abs=1e-6)
    assert 8.0 < shared_critical(8.0, 20) < 9.0


def test_an_action_is_compared_with_the_untouched_of_its_strata_and_called_a_comparison():
    """Calls go to stratum 0 and a few of stratum 3, so the untouched there count as much less."""
    one = month(rows=1200, saved=0.1)
    few = np.arange(1200) % 10 == 0
    call = one.assigned & ((one.stratum == 0) | ((one.stratum == 3) & few))
    mail = one.assigned & (one.stratum > 0) & ~few
    action = np.where(call, "call", np.where(mail, "mail", None))
    found = effect_of([replace(one, action=action, contacted=call | mail)], CRITICAL).by_action
    assert [(part.value, part.assigned) for part in found] == [
        ("call", call.sum()),
        ("mail", mail.sum()),
    ]
    untouched = {s: one.churned[~one.assigned & (one.stratum == s)].mean() for s in (0, 3)}
    share = (call & (one.stratum == 0)).sum() / call.sum()
    expected = share * untouched[0] + (1 - share) * untouched[3] - one.churned[call].mean()
    assert found[0].effect.value == pytest.approx(expected)
    assert not any(part.randomised for part in found)


def test_the_sample_ratio_is_pearsons_chi_square():
    from scipy.stats import chisquare

    one = month(rows=1000, share=0.1)
    assigned = np.arange(1000) % 7 != 0
    found = sample_ratio(rows_of([replace(one, assigned=assigned)]))
    expected = chisquare([143, 857], [100, 900]).pvalue
    assert (found.untouched, found.customers) == (143, 1000)
    assert found.expected_untouched == pytest.approx(100)
    assert found.p_value == pytest.approx(expected, rel=1e-9)


def test_small_strata_are_joined_before_the_sample_ratio_is_taken():
    """Four strata of 100 at 10% expect ten untouched each: two pairs, two degrees of freedom."""
    from scipy.stats import chi2

    one = month(rows=400, share=0.1)
    assigned = np.ones(400, dtype=bool)
    assigned[:30] = False
    found = sample_ratio(rows_of([replace(one, assigned=assigned)]))
    expected = (10**2 + 20**2) / (200 * 0.1 * 0.9)
    assert found.p_value_in_strata == pytest.approx(chi2.sf(expected, 2), rel=1e-9)


def test_arms_of_the_wrong_size_withhold_the_verdict():
    one = month(saved=0.3, rows=1000, share=0.5)
    probability = np.full(1000, 0.6)
    found = effect_of([replace(one, probability=probability)], CRITICAL)
    assert WithheldBecause.SAMPLE_RATIO in found.doubts
    assert found.state == EffectState.WITHHELD


@pytest.mark.parametrize(("untouched", "doubted"), [(132, False), (135, True)])
def test_the_two_sample_ratio_tests_share_the_level(untouched, doubted):
    """100 are expected: 132 have a p-value of 0.0007, 135 of 0.0002."""
    one = month(rows=1000, share=untouched / 1000, probability=np.full(1000, 0.9))
    assert (WithheldBecause.SAMPLE_RATIO in effect_of([one], CRITICAL).doubts) == doubted


def test_people_who_swap_the_best_customers_are_seen_within_strata_alone():
    """The sizes stay: the untouched of stratum 0 change places with assigned of stratum 3."""
    one = month(rows=1000, share=0.2)
    assigned = one.assigned.copy()
    best = np.flatnonzero(~assigned & (one.stratum == 0))
    assigned[best] = True
    assigned[np.flatnonzero(one.assigned & (one.stratum == 3))[: best.size]] = False
    found = effect_of([replace(one, assigned=assigned)], CRITICAL)
    assert found.doubts == (WithheldBecause.SAMPLE_RATIO_IN_STRATA,)
    assert found.sample_ratio.p_value == pytest.approx(1.0)


def test_no_months_no_effect():
    assert effect_of([], CRITICAL) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"probability": np.ones(400)},
        {"probability": np.zeros(400)},
        {"probability": np.full(400, np.nan)},
        {"entities": np.zeros(400)},
        {"assigned": np.ones(399, dtype=bool)},
        {"value": np.full(400, np.inf)},
        {"cost": np.full(400, np.nan)},
        {"churned": np.full(400, 2)},
        {"slices": {"plan": np.zeros(3)}},
    ],
)
def test_rows_that_cannot_be_compared_are_refused(changed):
    with pytest.raises(DataError):
        month(**changed)


def test_the_same_month_twice_is_refused():
    with pytest.raises(DataError):
        effect_of([month(), month()], CRITICAL)
