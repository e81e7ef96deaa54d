"""Cadence and horizon from the dates of drops."""

import datetime as dt

import pytest

from churn_platform.contract.model import Span
from churn_platform.drafting.draft import DAYS, guess_times
from churn_platform_tests.drafted_businesses import LABELLED, SUNDAYS

MONTH_ENDS = [
    dt.date(2024, 1, 31),
    dt.date(2024, 2, 29),
    dt.date(2024, 3, 31),
    dt.date(2024, 4, 30),
]
DAILY = [dt.date(2024, 1, 1) + dt.timedelta(days=n) for n in range(40)]


@pytest.mark.parametrize(
    ("as_ofs", "cadence"), [(MONTH_ENDS, "month"), (SUNDAYS, "week"), (DAILY, "day")]
)
def test_the_cadence_is_the_usual_gap_between_drops(as_ofs, cadence):
    found = guess_times(as_ofs, as_ofs[-1])
    assert (found.cadence, found.cadence_doubt, found.horizon) == (cadence, "", Span())
    assert found.period == "before", "who leaves later cannot be known at once"
    assert found.delivery_days == DAYS[cadence]


def test_an_odd_gap_is_to_be_confirmed():
    found = guess_times([dt.date(2024, 1, 1), dt.date(2024, 1, 11)], dt.date(2024, 1, 11))
    assert (found.cadence, found.cadence_doubt) == ("week", "10 days lie between the drops")
    assert (
        guess_times([dt.date(2024, 1, 1), dt.date(2024, 3, 1)], dt.date(2024, 3, 1)).cadence_doubt
        != ""
    )


def test_one_drop_says_nothing_about_time():
    found = guess_times(MONTH_ENDS[:1], MONTH_ENDS[0])
    assert (found.cadence, found.cadence_doubt) == ("month", "only one drop was seen")


@pytest.mark.parametrize(
    ("as_ofs", "labelled", "horizon"),
    [
        (MONTH_ENDS, MONTH_ENDS[2], Span(months=1)),
        (MONTH_ENDS, MONTH_ENDS[0], Span(months=3)),
        (SUNDAYS, LABELLED, Span(months=1)),
        (SUNDAYS, SUNDAYS[4], Span(weeks=2)),
        (DAILY, DAILY[-31], Span(months=1)),
        (DAILY, DAILY[-15], Span(weeks=2)),
        (DAILY, DAILY[-4], Span(days=3)),
    ],
)
def test_the_horizon_is_how_long_the_newest_drops_wait_for_their_labels(as_ofs, labelled, horizon):
    found = guess_times(as_ofs, labelled)
    assert found.horizon == horizon
    assert "no labels yet" in found.horizon_doubt
    assert found.period == "after"
    assert "`period`" in found.horizon_doubt
