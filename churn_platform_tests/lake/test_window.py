"""Which months train and which are the holdout's: the newest matured ones, and older ones where churners are few."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from churn_platform.contract.policy import Policy, TrainingPolicy
from churn_platform.lake.window import Classes, Window, choose_window, matured_months

JANUARY, FEBRUARY, MARCH, APRIL = (
    dt.date(2024, m, d) for m, d in ((1, 31), (2, 29), (3, 31), (4, 30))
)
MANY = dict.fromkeys((MARCH, JANUARY, FEBRUARY), Classes(1000, 9000))


def policy(**training):
    return Policy(training=TrainingPolicy(**training))


def test_the_window_ends_with_the_newest_matured_month():
    two = policy(trailing_months=2, holdout_months=1)
    assert choose_window(MANY, two) == Window((FEBRUARY, MARCH), (MARCH,), (JANUARY, FEBRUARY))
    assert choose_window(MANY, Policy()) == Window((MARCH,), (MARCH,), (FEBRUARY,))
    assert choose_window(MANY, policy(holdout_months=2)) == Window(
        (MARCH,), (FEBRUARY, MARCH), (FEBRUARY,)
    )


def test_the_first_month_has_no_forward_months_and_short_histories_take_what_there_is():
    long = policy(trailing_months=6, holdout_months=6)
    assert choose_window({JANUARY: Classes(1000, 9000)}, long) == Window((JANUARY,), (JANUARY,), ())
    both = (JANUARY, FEBRUARY)
    assert choose_window(dict.fromkeys(both, Classes(1000, 9000)), long) == Window(
        both, both, (JANUARY,)
    )


def test_months_are_pooled_until_training_and_holdout_have_churners_enough():
    # Of 140 churners a quarter, 35, is held out: two months for the 64 wanted; 105 are left to learn from.
    few = choose_window(
        dict.fromkeys((JANUARY, FEBRUARY, MARCH, APRIL), Classes(140, 9000)), Policy()
    )
    assert few == Window((APRIL,), (MARCH, APRIL), (MARCH,))
    fewer = choose_window(
        dict.fromkeys((JANUARY, FEBRUARY, MARCH, APRIL), Classes(70, 9000)), Policy()
    )
    assert fewer == Window((MARCH, APRIL), (JANUARY, FEBRUARY, MARCH, APRIL), (FEBRUARY, MARCH))


def test_pooling_ends_at_its_limit_and_never_takes_fewer_months_than_asked_for():
    rare = dict.fromkeys((JANUARY, FEBRUARY, MARCH, APRIL), Classes(1, 9000))
    assert choose_window(rare, policy(pooled_months=2)).holdout == (MARCH, APRIL)
    assert choose_window(rare, policy(pooled_months=2, holdout_months=3)).holdout == (
        FEBRUARY,
        MARCH,
        APRIL,
    )
    assert choose_window(rare, policy(pooled_months=1)) == Window((APRIL,), (APRIL,), (MARCH,))


COUNTS = st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 2000)), min_size=1, max_size=30)


@given(COUNTS, st.integers(1, 12), st.integers(1, 12))
def test_the_holdout_is_the_shortest_run_of_newest_months_with_enough_of_both_classes(
    counts, least, most
):
    months = [JANUARY + dt.timedelta(weeks=n) for n in range(len(counts))]
    classes = {month: Classes(*found) for month, found in zip(months, counts, strict=True)}
    chosen = choose_window(classes, policy(holdout_months=least, pooled_months=most)).holdout

    def scarcer(number):
        newest = counts[len(counts) - number :]
        return min(sum(churners for churners, _ in newest), sum(stayers for _, stayers in newest))

    assert list(chosen) == months[len(months) - len(chosen) :]
    assert min(least, len(months)) <= len(chosen) <= max(least, most)
    enough = 256.57  # (50 + 2 * sqrt(50)) / 0.25
    if len(chosen) > least:
        assert scarcer(len(chosen) - 1) < enough
    if len(chosen) < min(len(months), max(least, most)):
        assert scarcer(len(chosen)) >= enough


def test_a_month_of_churners_only_is_left_out_with_a_sentence_and_one_of_stayers_only_is_pooled():
    with_cancellations = MANY | {APRIL: Classes(300, 0)}
    assert choose_window(with_cancellations, Policy()) == choose_window(MANY, Policy())
    assert "All 300 labels of 2024-04-30 are churners" in Classes(300, 0).why_not_trained(APRIL)
    assert "no outcome" in Classes(0, 0).why_not_trained(APRIL)
    assert Classes(0, 300).why_not_trained(APRIL) is None
    quiet = choose_window(MANY | {APRIL: Classes(0, 300)}, Policy())
    assert quiet == Window((MARCH, APRIL), (MARCH, APRIL), (MARCH,))
    assert quiet.months == (MARCH, APRIL)


def test_without_a_month_to_train_on_there_is_no_window():
    assert choose_window({}, Policy()) is None
    assert choose_window({JANUARY: Classes(300, 0)}, Policy()) is None


def test_a_month_has_matured_when_its_labels_are_there_and_its_horizon_is_over(gym, declare):
    months = [JANUARY, FEBRUARY, MARCH, APRIL]
    assert matured_months(months, {JANUARY, MARCH, APRIL}, gym, MARCH) == [JANUARY, MARCH]
    late = declare(label={"table": "leavers", "column": "has_left", "horizon": {"months": 1}})
    assert matured_months(months, set(months), late, MARCH) == [JANUARY, FEBRUARY]
    assert matured_months(months, set(months), late, dt.date(2024, 2, 28)) == []
    assert matured_months(months, set(months), late, FEBRUARY) == [JANUARY]
