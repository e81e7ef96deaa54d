"""What one version is worth beside another over several months: DeLong's on one, honest where customers come again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import DataError, NotANumber
from churn_platform.evaluation.comparison import paired_auc_difference
from churn_platform.evaluation.gain import AucParts, MonthPair, gain_over
from churn_platform_tests.promotion.evidence_builder import build

SEEDS = st.integers(0, 10_000)


def pair(as_of="2024-03-31", **drawn):
    """Both versions of a synthetic month."""
    evidence = build(**drawn)
    ours = AucParts.of(evidence.y, evidence.ours)
    theirs = AucParts.of(evidence.y, evidence.theirs)
    return MonthPair(as_of, evidence.keys, ours, theirs), evidence


@given(SEEDS, st.floats(0.1, 3), st.floats(0.1, 3))
@settings(deadline=None, max_examples=30)
def test_on_one_month_it_is_delongs_to_the_last_digit(seed, ours, theirs):
    one, evidence = pair(seed=seed, customers=200, candidate=ours, production=theirs)
    expected = paired_auc_difference(evidence.y, evidence.ours, evidence.theirs, 0.95)
    found = gain_over([one])
    assert found.candidate_auc == expected.candidate_auc
    assert found.incumbent_auc == expected.production_auc
    assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-9)
    assert found.interval(0.95).as_list() == pytest.approx(expected.interval.as_list(), rel=1e-9)
    assert (found.rows, found.churners, found.months) == (200, evidence.y.sum(), ("2024-03-31",))


@given(SEEDS)
@settings(deadline=None, max_examples=15)
def test_the_order_of_months_and_rows_does_not_matter_and_swapping_the_versions_mirrors(seed):
    months = [pair(f"2024-0{n}-28", seed=seed + n, customers=150)[0] for n in (1, 2, 3)]
    found = gain_over(months)
    order = np.random.default_rng(seed).permutation(150)
    shuffled = [
        MonthPair(m.as_of, m.entities[order], moved(m.candidate, order), moved(m.incumbent, order))
        for m in reversed(months)
    ]
    again = gain_over(shuffled)
    assert again.months == found.months == ("2024-01-28", "2024-02-28", "2024-03-28")
    assert again.difference == pytest.approx(found.difference, abs=1e-12)
    assert again.standard_error == pytest.approx(found.standard_error, rel=1e-9)
    swapped = gain_over([MonthPair(m.as_of, m.entities, m.incumbent, m.candidate) for m in months])
    assert swapped.difference == pytest.approx(-found.difference, abs=1e-12)
    assert swapped.standard_error == pytest.approx(found.standard_error, rel=1e-12)


def moved(parts, order):
    return AucParts(parts.auc, parts.parts[order], parts.churners)


def test_the_mean_over_months_is_weighted_by_churners():
    few = pair("2024-01-31", seed=1, customers=100)[0]
    many = pair("2024-02-29", seed=2, customers=900)[0]
    found = gain_over([few, many])
    weights = np.array([few.candidate.churners, many.candidate.churners])
    assert found.candidate_auc == pytest.approx(
        np.average([few.candidate.auc, many.candidate.auc], weights=weights)
    )
    assert found.churners == weights.sum()
    assert found.rows == 1000


def test_the_error_is_right_where_the_same_customers_come_every_month():
    """Customers keep each model's opinion of them and their inclination, so months are far from independent."""
    found = []
    for seed in range(150):
        evidence = build(seed=seed, customers=300, months=4, candidate=0.8, production=0.8)
        pairs = []
        for n in range(4):
            rows = slice(300 * n, 300 * (n + 1))
            ours, theirs = (
                AucParts.of(evidence.y[rows], scores[rows])
                for scores in (evidence.ours, evidence.theirs)
            )
            pairs.append(MonthPair(f"2024-0{n + 1}-28", evidence.keys[rows], ours, theirs))
        found.append(gain_over(pairs))
    spread = np.std([one.difference for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.15)
    assert (
        np.mean([one.interval(0.95).above(0) or one.interval(0.95).below(0) for one in found]) < 0.1
    )


def test_a_month_that_repeats_itself_adds_no_certainty_and_one_of_strangers_does():
    one, _ = pair(customers=300)
    again = [
        MonthPair(f"2024-0{n}-28", one.entities, one.candidate, one.incumbent) for n in (1, 2, 3, 4)
    ]
    strangers = [
        MonthPair(m.as_of, np.arange(300) + 300 * n, m.candidate, m.incumbent)
        for n, m in enumerate(again)
    ]
    alone = gain_over([one]).standard_error
    assert gain_over(again).standard_error == pytest.approx(alone, rel=1e-9)
    assert gain_over(strangers).standard_error == pytest.approx(alone / 2, rel=1e-9)


def test_beside_chance_the_error_is_that_of_the_auc_alone():
    one, evidence = pair(customers=400)
    alone = gain_over(
        [MonthPair(one.as_of, one.entities, one.candidate, one.candidate.of_chance())]
    )
    assert alone.incumbent_auc == 0.5
    assert alone.difference == one.candidate.auc - 0.5
    assert alone.standard_error == pytest.approx(
        (evidence.candidate_interval.high - evidence.candidate_interval.low) / 2 / 1.959964,
        rel=1e-5,
    )


@pytest.mark.parametrize("churners", [0, 1, 19, 20])
def test_fewer_than_two_of_a_kind_say_nothing(churners):
    labels = np.arange(20) < churners
    assert AucParts.of(labels, np.linspace(0, 1, 20)) is None


def test_no_month_gives_no_gain_and_rows_that_do_not_line_up_are_an_error():
    assert gain_over([]) is None
    one = pair(customers=50)[0]
    other = pair(customers=60)[0]
    with pytest.raises(DataError, match="do not line up"):
        MonthPair("2024-03-31", one.entities, one.candidate, other.incumbent)


def test_nan_is_an_error_not_a_rank():
    with pytest.raises(NotANumber):
        AucParts.of(np.arange(4) < 2, np.array([0.1, np.nan, 0.2, 0.3]))
