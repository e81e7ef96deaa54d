"""What the calendar explains of an age: quiet months over a year raise no alarm, another mix of customers does."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from churn_platform.drift.measure import Rows, measure
from churn_platform.drift.result import aged_reference, elapsed, judge
from churn_platform.lake.tables import age

START = dt.date(2024, 1, 31)
CUSTOMERS = 1500


@pytest.fixture(scope="module", params=["days", "months", "years"])
def unit(request):
    return request.param


def with_tenure(declare, declared, unit):
    """The gym with the time since joining as a feature."""
    tables = declared["tables"]
    people = tables["people"] | {"ages": {"tenure": {"of": "joined", "unit": unit}}}
    views = declared["feature_views"] | {"people_fv": {"table": "people", "features": ["tenure"]}}
    return declare(tables=tables | {"people": people}, feature_views=views)


@pytest.fixture(scope="module")
def contract(declare, declared, unit):
    return with_tenure(declare, declared, unit)


def month_ends(count):
    return [day.date() for day in pd.date_range(START, periods=count, freq="ME")]


def joined(first, last, customers=CUSTOMERS, seed=0):
    """Joining dates between two days."""
    days = pd.date_range(first, last)
    return pd.Series(np.random.default_rng(seed).choice(days, customers))


def rows(dates, as_of, unit):
    return pd.DataFrame({"tenure": age(dates, as_of, unit).reset_index(drop=True)})


def drifted(contract, reference, of_month, current, as_of):
    """Whether the age has drifted, against the reference as it was and as the calendar has aged it."""
    column = {"tenure": contract.features["tenure"]}
    aged = aged_reference(contract, reference, of_month, current, as_of)
    found = []
    for before in (reference, aged):
        measured = measure(column, contract.policy.drift, Rows(before), Rows(current), seed=7)
        found.append(judge(contract.policy.drift, measured).columns[0].drifted)
    return found


def test_a_closed_base_is_quiet_over_a_year_where_the_plain_comparison_alarms(contract, unit):
    dates = joined("2020-01-05", "2023-07-31")
    reference = rows(dates, START, unit)
    plain, aged = zip(
        *(
            drifted(contract, reference, [START] * CUSTOMERS, rows(dates, month, unit), month)
            for month in month_ends(13)[1:]
        ),
        strict=True,
    )
    assert sum(plain) > 6
    assert not any(aged)


def test_a_base_that_renews_itself_is_quiet_too(contract, unit):
    """Those who leave are replaced: ages stay as they were, whatever time has passed."""
    reference = rows(joined("2021-01-31", "2024-01-31"), START, unit)
    for number, month in enumerate(month_ends(13)[1:], start=1):
        window = pd.Timestamp(month) - pd.DateOffset(years=3), pd.Timestamp(month)
        current = rows(joined(*window, seed=number), month, unit)
        assert not drifted(contract, reference, [START] * CUSTOMERS, current, month)[1]


def test_many_new_customers_and_ages_beyond_the_time_that_has_passed_are_seen(contract, unit):
    month = month_ends(4)[-1]
    old = joined("2020-01-05", "2023-07-31")
    new = joined("2024-02-01", month, customers=CUSTOMERS // 2, seed=1)
    older = joined("2016-01-31", "2019-01-31", seed=1)
    for now in (pd.concat([old, new]), older):
        current = rows(now, month, unit)
        assert drifted(contract, rows(old, START, unit), [START] * CUSTOMERS, current, month)[1]


def test_rows_of_several_months_are_moved_on_by_their_own_time_and_nulls_stay(declare, declared):
    contract = with_tenure(declare, declared, "months")
    january, february, march = month_ends(3)
    reference = pd.DataFrame({"tenure": pd.array([3, None, 10], dtype="Int64")})
    current = pd.DataFrame({"tenure": pd.array([50, 60], dtype="Int64")})
    aged = aged_reference(contract, reference, [january, january, february], current, march)
    assert aged["tenure"].tolist() == [5, pd.NA, 11]
    assert reference["tenure"].tolist()[0] == 3
    assert aged["tenure"].dtype == "Int64"


def test_a_contract_without_ages_has_its_reference_as_it_is(gym):
    reference = pd.DataFrame({"visits": [1, 2]})
    assert aged_reference(gym, reference, [START] * 2, reference, START) is reference


def test_month_ends_are_whole_months_apart_and_nothing_goes_back():
    assert elapsed(dt.date(2024, 1, 31), dt.date(2024, 2, 29), "months") == 1
    assert elapsed(dt.date(2024, 2, 29), dt.date(2025, 2, 28), "years") == 1
    assert elapsed(dt.date(2024, 1, 1), dt.date(2024, 1, 15), "weeks") == 2
    assert elapsed(dt.date(2024, 2, 1), dt.date(2024, 1, 1), "days") == 0
