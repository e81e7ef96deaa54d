"""A test of two lists: what it can show, its estimate, and the verdict of each look."""

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.model_test import (
    QUIET,
    Business,
    figures,
    simulated,
    with_planned_difference,
)
from churn_platform.base.errors import DataError
from churn_platform.contacts.assigned import AssignedMonth
from churn_platform.contacts.tested_plan import STRATUM_A, STRATUM_B
from churn_platform.evaluation.sequential import boundaries
from churn_platform.experiments.model_test import (
    DisagreementDesign,
    ListDifference,
    ModelTestPlan,
    OneList,
    Outcome,
    equal_looks,
    list_difference,
    outlook_of,
    take_look,
)

PLAN = ModelTestPlan(looks=12, level=0.95, customers=3600, difference=14.7, last_boundary=2.093)


def one_list(prefix, stratum, contacted, untouched, only):
    """The rows of one list alone: of each half so many leave."""
    half = only // 2
    leaves = np.zeros(only, dtype=bool)
    leaves[:contacted] = True
    leaves[half : half + untouched] = True
    return {
        "entities": np.array([f"{prefix}{number}" for number in range(only)], dtype=object),
        "assigned": np.arange(only) < half,
        "stratum": np.full(only, stratum),
        "churned": leaves,
    }


def month(number, a, b, only=150, *, on_both=0, again=False):
    """A month of a test.

    Args:
        number: of the month.
        a: leavers of the contacted and of the untouched half of list A alone.
        b: the same of list B.
        only: customers on each list alone.
        on_both: customers on both lists, of whom all leave.
        again: whether the customers are those of every other month.
    """
    named = "" if again else f"{number}-"
    sides = [
        one_list(f"{named}a", STRATUM_A, *a, only),
        one_list(f"{named}b", STRATUM_B, *b, only),
    ]
    if on_both:
        shared = one_list(f"{named}s", 0, on_both // 2, on_both // 2, on_both)
        shared["assigned"] = np.arange(on_both) % 10 > 0
        sides.append(shared)
    joined = {name: np.concatenate([side[name] for side in sides]) for name in sides[0]}
    rows = len(joined["entities"])
    chance = np.where(joined["stratum"] >= STRATUM_A, 0.5, 0.9)
    return AssignedMonth(
        as_of=f"2024-{number:02}-28",
        probability=chance,
        contacted=joined["assigned"],
        action=np.full(rows, None),
        value=np.full(rows, 100.0),
        cost=np.zeros(rows),
        **joined,
    )


def by_hand(only, a, b):
    """The difference and its error in one month."""
    half = only // 2
    saved = [only * (untouched - contacted) / half for contacted, untouched in (a, b)]
    spread = 0.0
    for leavers in (*a, *b):
        share = leavers / half
        spread += only**2 * share * (1 - share) * half / (half - 1) / half
    return saved[0] - saved[1], math.sqrt(spread)


def test_one_month_is_the_formula_by_hand():
    a, b = (20, 45), (30, 40)
    found = list_difference([month(1, a, b, on_both=300)])
    value, error = by_hand(150, a, b)
    assert found.value == pytest.approx(value)
    assert found.standard_error == pytest.approx(error)
    assert (found.a.saved, found.b.saved) == pytest.approx((50, 20))
    assert (found.a.contacted_churn, found.a.untouched_churn) == pytest.approx((20 / 75, 45 / 75))
    assert found.customers == 300
    assert found.sample_ratio == 1


def test_months_are_averaged_and_their_errors_shrink():
    months = [month(number, (20, 45), (30, 40)) for number in range(1, 5)]
    one, four = list_difference(months[:1]), list_difference(months)
    assert four.value == pytest.approx(one.value)
    assert four.standard_error == pytest.approx(one.standard_error / 2)
    assert four.months == tuple(one.as_of for one in months)


def test_the_rows_of_a_customer_move_the_interval_together():
    months = [month(number, (20, 45), (30, 40), again=True) for number in range(1, 5)]
    one, four = list_difference(months[:1]), list_difference(months)
    assert four.standard_error == pytest.approx(one.standard_error)


def test_a_customer_on_both_lists_alone_in_turn_moves_the_interval_together():
    """Who is on list A alone in one month and on list B alone in the next counts once."""
    first = month(1, (20, 45), (30, 40), again=True)
    turned = np.where(first.stratum == STRATUM_A, STRATUM_B, STRATUM_A)
    second = replace(first, as_of="2024-02-28", stratum=turned)
    found = list_difference([first, second])
    assert found.value == pytest.approx(0)
    assert found.standard_error == pytest.approx(0, abs=1e-9)


def test_the_estimate_is_that_of_the_simulated_tests():
    """The benchmark's counts, as rows, at every third look of ten tests."""
    business = Business(months=12)
    run = simulated(business, 10)
    for test in range(10):
        months = [
            month(number + 1, *run.churners[:, [1, 0], test, number].tolist())
            for number in range(12)
        ]
        for look in (3, 6, 9, 12):
            found = list_difference(months[:look])
            assert found.value == pytest.approx(run.value[test, look - 1])
            assert found.standard_error == pytest.approx(run.error[test, look - 1])
            taken = take_look(
                replace(PLAN, difference=outlook_of(business.design, 12, 0.3).planned),
                equal_looks(12)[: look - 1],
                found,
            )
            if look < 12:
                assert (taken.outcome is Outcome.FUTILE) == (
                    run.futile[test, look - 1] and run.shown[test, look - 1] == 0
                )
            better = {1: Outcome.A_BETTER, -1: Outcome.B_BETTER}
            assert better.get(run.shown[test, look - 1]) in (None, taken.outcome)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((45, 75), (12, 15)),  # list B churns less, and saves 6 customers, list A saves 60
        ((15, 45), (70, 75)),  # list B churns more, and saves 10
    ],
    ids=["the worse list churns less", "the worse list churns more"],
)
def test_the_churn_of_the_lists_decides_nothing(a, b):
    """Trap: by the churn of its list, the worse version wins one of the two."""
    only = 180
    months = [month(number, a, b, only=only) for number in range(1, 13)]
    found = list_difference(months)
    assert found.value == pytest.approx(2 * ((a[1] - a[0]) - (b[1] - b[0])))
    taken = take_look(replace(PLAN, customers=12 * 2 * only), equal_looks(12)[:11], found)
    assert taken.outcome is Outcome.A_BETTER


def test_lists_that_save_alike_differ_in_nothing_whatever_their_churn():
    months = [month(number, (40, 60), (5, 25)) for number in range(1, 13)]
    assert list_difference(months).value == pytest.approx(0)


def test_too_few_customers_have_no_difference():
    found = list_difference([month(1, (1, 3), (2, 2), only=20)])
    assert (found.value, found.z) == (None, None)
    assert found.customers == 40
    taken = take_look(PLAN, [], found)
    assert (taken.interval, taken.outcome) == (None, None)
    last = take_look(replace(PLAN, looks=1), [], found)
    assert last.outcome is Outcome.NO_DIFFERENCE


def test_without_a_customer_on_one_list_alone_there_is_no_difference():
    whole = month(1, (20, 45), (30, 40), on_both=100)
    kept = whole.stratum < STRATUM_A
    names = ("entities", "assigned", "stratum", "churned", "probability", "contacted", "action")
    shared = replace(
        whole,
        **{name: getattr(whole, name)[kept] for name in (*names, "value", "cost")},
    )
    found = list_difference([shared])
    assert (found.customers, found.value, found.sample_ratio) == (0, None, 1)
    assert take_look(PLAN, [], found).outcome is None
    with pytest.raises(DataError):
        list_difference([])


def test_a_month_in_which_the_lists_agree_counts_as_a_month():
    one = list_difference([month(1, (20, 45), (30, 40))])
    two = list_difference([month(1, (20, 45), (30, 40))], ["2024-02-28"])
    assert two.value == pytest.approx(one.value / 2)
    assert two.z == pytest.approx(one.z)
    assert two.months == ("2024-01-28", "2024-02-28")
    assert list_difference([], ["2024-02-28"]).customers == 0


def difference(z, customers, **changed):
    """A difference of `z` standard errors of 5 customers a month."""
    side = OneList(customers // 2, customers // 4, 0.4, 0.5, 10.0, 0)
    found = ListDifference(("2024-01-28",), side, side, 5.0 * z, 5.0, 0.5, 0)
    return replace(found, **changed)


@pytest.mark.parametrize(
    ("look", "z", "outcome"),
    [
        (1, 7.5, None),
        (1, 7.8, Outcome.A_BETTER),
        (6, 2.9, None),
        (6, -3.1, Outcome.B_BETTER),
        (11, 2.0, None),
        (11, 2.3, Outcome.A_BETTER),
        (11, 0.5, Outcome.FUTILE),
        (8, 0.1, Outcome.FUTILE),
        (4, 0.0, None),
        (12, 2.05, Outcome.NO_DIFFERENCE),
        (12, -2.2, Outcome.B_BETTER),
    ],
)
def test_the_published_boundaries_decide(look, z, outcome):
    plan = replace(PLAN, difference=2.93 * 5 * math.sqrt(look / 12))
    taken = take_look(plan, equal_looks(12)[: look - 1], difference(z, 300 * look))
    assert taken.outcome is outcome
    assert taken.boundary == pytest.approx(boundaries(equal_looks(12))[look - 1], abs=0.01)
    half = taken.boundary * 5
    assert taken.interval == pytest.approx((5 * z - half, 5 * z + half))


def test_the_last_look_is_the_planned_one_or_that_with_the_planned_information():
    short = take_look(PLAN, [0.05 * look for look in range(1, 12)], difference(2.0, 2160))
    assert (short.number, short.information) == (12, pytest.approx(0.6))
    assert short.outcome is Outcome.A_BETTER  # what is left of the error is spent
    full = take_look(PLAN, [0.3, 0.7], difference(1.0, 3700))
    assert (full.number, full.outcome) == (3, Outcome.NO_DIFFERENCE)
    with pytest.raises(DataError):
        take_look(PLAN, equal_looks(12), difference(1.0, 3700))


def test_information_never_falls():
    """Labels can be corrected: a customer may lose the label."""
    assert take_look(PLAN, [0.3], difference(1.0, 900)).information == 0.3


def test_no_verdict_where_the_halves_are_not_as_drawn():
    whole = month(1, (20, 60), (30, 30))
    kept = np.ones(300, dtype=bool)
    kept[:45] = False  # of the contacted half of list A
    names = ("entities", "assigned", "stratum", "churned", "probability", "contacted", "action")
    edited = replace(
        whole, **{name: getattr(whole, name)[kept] for name in (*names, "value", "cost")}
    )
    found = list_difference([edited])
    assert found.sample_ratio < 0.001
    beyond = replace(found, value=100.0, standard_error=5.0)
    assert take_look(PLAN, [], beyond).outcome is None
    assert take_look(PLAN, [], beyond).withheld
    assert take_look(replace(PLAN, looks=1), [], beyond).outcome is Outcome.CANCELLED


def test_before_it_starts_a_test_states_what_it_can_show():
    """The notes' business: 500 customers, lists that overlap 70%, churn 50%."""
    design = DisagreementDesign(150, 0.5, 0.5)
    assert design.smallest_difference(1, 1) == pytest.approx(48.5, abs=0.1)
    found = outlook_of(design, 12, 0.4)
    assert found.smallest_differences[-1] == pytest.approx(14.7, abs=0.1)
    assert found.smallest_differences[0] == pytest.approx((7.676 + 0.8416) * 17.32, rel=0.001)
    assert found.planned == found.smallest_differences[-1]
    assert found.possible == pytest.approx(30)
    assert (found.months, found.hopeless) == (3, False)
    assert found.boundaries == pytest.approx(boundaries(equal_looks(12)), abs=0.001)


@pytest.mark.parametrize(
    ("design", "looks", "saved", "wanted"),
    [
        (DisagreementDesign(150, 0.5, 0.5), 1, 0.3, None),  # one month sees 48, 22 are possible
        (DisagreementDesign(4, 0.3, 0.3), 12, 0.3, None),
        (DisagreementDesign(150, 0.5, 0.5), 12, 0.3, 10.0),  # 12 months see 14.7
        (DisagreementDesign(0, 0.5, 0.5), 12, 0.3, None),
        (DisagreementDesign(20, 0.01, 0.02), 6, 0.9, None),  # too few would leave
    ],
)
def test_a_hopeless_test_is_known_before_it_starts(design, looks, saved, wanted):
    found = outlook_of(design, looks, saved, wanted)
    assert found.hopeless
    larger = outlook_of(replace(design, only=100 * design.only), looks, saved)
    assert larger.hopeless == (design.only == 0)


@pytest.mark.parametrize(("looks", "wanted"), [(0, None), (12, 0.0), (12, -3.0)])
def test_a_test_of_nothing_is_refused(looks, wanted):
    with pytest.raises(DataError):
        outlook_of(DisagreementDesign(150, 0.5, 0.5), looks, 0.3, wanted)


def test_the_planned_test_has_the_planned_power():
    """400 tests: three standard errors are 0.06."""
    found = figures(with_planned_difference(Business()), tests=400, seed=3)
    assert found.false_or_shown == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize("name", QUIET)
def test_two_thousand_tests_keep_what_they_claim(name):
    """4-6% false verdicts over all looks; power within 0.03 of a fixed test; no bias and the
    right coverage at the end, and of all looks together.
    """
    quiet = figures(QUIET[name])
    assert 0.04 <= quiet.false_or_shown <= 0.06
    assert 0.04 <= quiet.without_futility <= 0.06
    assert quiet.peeked > 0.12
    power = figures(with_planned_difference(QUIET[name]))
    assert power.false_or_shown == pytest.approx(power.fixed, abs=0.03)
    assert power.false_or_shown >= 0.78
    assert power.wrong_side <= 0.001
    for found in (quiet, power):
        assert abs(found.bias) <= 0.07
        assert 0.93 <= found.coverage <= 0.97
        assert 0.93 <= found.coverage_of_looks <= 0.97
