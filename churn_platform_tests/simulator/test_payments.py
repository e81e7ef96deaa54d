"""The business that has nothing but a log: its truth, its customers and its deliveries."""

import datetime as dt
import itertools
import math
from itertools import islice

import numpy as np
import pandas as pd
import pytest

from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.evaluation.statistics import auc
from churn_platform.simulator import SCENARIOS, as_of_at, deliver, simulate
from churn_platform.simulator.log_contract import PURCHASE, REFUND, TABLE
from churn_platform.simulator.payments import (
    GONE,
    LATE_DAYS,
    PAUSED_SHARE,
    REPEATED_DAYS,
    STATES,
    WEEKDAYS,
    PaymentLog,
    daily_moves,
)

EVENTS = SCENARIOS["events"]
STREAMFLOW = read_contract(default_contract_path())
CONTRACT = EVENTS.contract(STREAMFLOW)
JANUARY = dt.date(2024, 1, 31)


@pytest.fixture(scope="module")
def months():
    return list(simulate(CONTRACT, 1_500, 4, 1, scenario=EVENTS))


@pytest.fixture(scope="module")
def log(months):
    """Every event once, with its day."""
    rows = pd.concat([month.tables[TABLE] for month in months]).drop_duplicates()
    return rows.assign(day=pd.to_datetime(rows["paid_at"]).dt.date)


def test_the_contract_has_nothing_but_a_log_and_keeps_what_names_no_column():
    assert list(CONTRACT.tables) == list(CONTRACT.logs) == [TABLE]
    assert (CONTRACT.entity, CONTRACT.cadence) == (STREAMFLOW.entity, STREAMFLOW.cadence)
    assert CONTRACT.policy.training == STREAMFLOW.policy.training
    assert EVENTS.contract(CONTRACT) == CONTRACT
    campaign = SCENARIOS["campaign"].contract(STREAMFLOW)
    assert EVENTS.contract(campaign).contacts is None


def test_a_month_without_a_purchase_follows_from_the_log_of_the_drops(months, log):
    bought = log[log["kind"] == PURCHASE]
    for month, following in itertools.pairwise(months):
        later = bought[(bought["day"] > month.as_of) & (bought["day"] <= following.as_of)]
        churned = ~month.chances.index.isin(later["user_id"])
        # Some purchases of the last days are not delivered yet.
        assert month.truth.churn_rate == pytest.approx(churned.mean(), abs=0.006)
        assert month.truth.best_auc == pytest.approx(auc(churned, month.chances), abs=0.006)
        start = month.as_of - dt.timedelta(days=90)
        window = bought[(bought["day"] > start) & (bought["day"] <= month.as_of)]
        assert set(month.chances.index) == set(window["user_id"])
        assert len(month.chances) == pytest.approx(1_500, rel=0.1)


def test_the_true_chances_are_calibrated_and_nothing_simple_ranks_better(months, log):
    churned = []
    for month, following in itertools.pairwise(months):
        bought = log[log["kind"] == PURCHASE]
        later = bought[(bought["day"] > month.as_of) & (bought["day"] <= following.as_of)]
        left = ~month.chances.index.isin(later["user_id"])
        churned.append(pd.DataFrame({"chance": month.chances, "left": left}))
        last = bought[bought["day"] <= month.as_of].groupby("user_id")["day"].max()
        recency = [month.as_of - last[key] for key in month.chances.index]
        assert auc(left, np.array([days.days for days in recency])) < month.truth.best_auc - 0.005
    together = pd.concat(churned)
    tenth = pd.qcut(together["chance"], 10, labels=False, duplicates="drop")
    told = together.groupby(tenth)["chance"].mean()
    seen = together.groupby(tenth)["left"].mean()
    size = together.groupby(tenth).size()
    error = np.sqrt(told * (1 - told) / size)
    assert (abs(told - seen) < 4 * error + 0.005).all()


def test_the_true_chance_is_that_of_every_path_that_a_customer_can_take():
    business = PaymentLog(CONTRACT, 60, 3, scenario=EVENTS)
    customers = business._customers
    start = dt.date(2024, 1, 31)
    end = dt.date(2024, 2, 4)
    chance = business._chance(customers, start, end, 1.1)
    days = [day - 1 for day in range(start.toordinal() + 1, end.toordinal() + 1)]
    share = (1.0, PAUSED_SHARE, 0.0)
    for one in (0, 17, 40):
        total = 0.0
        for path in itertools.product(range(STATES), repeat=len(days) + 1):
            likely = customers.known[one, path[0]]
            for before, state, day in zip(path, path[1:], days, strict=False):
                rate = customers.rate[one] * share[state] * 1.1 * WEEKDAYS[day % 7]
                likely *= business._moves[before, state] * math.exp(-rate)
            total += likely
        assert chance[one] == pytest.approx(total, rel=1e-9)


def test_states_add_up_and_no_one_returns_who_has_left():
    moves = daily_moves(0.01, 30)
    assert moves.sum(axis=1) == pytest.approx([1, 1, 1])
    assert moves[GONE].tolist() == [0, 0, 1]


def test_every_payment_arrives_once_when_it_is_known_apart_from_the_repeated_days(months, log):
    first = {}
    for month in months:
        table = month.tables[TABLE]
        assert table["payment_id"].is_unique
        days = pd.to_datetime(table["paid_at"]).dt.date
        assert days.max() <= month.as_of
        for name, day in zip(table["payment_id"], days, strict=True):
            if name in first:
                assert day > first[name] - dt.timedelta(days=REPEATED_DAYS)
            else:
                first[name] = month.as_of
    assert log["payment_id"].is_unique
    delivered = log["payment_id"].map(first)
    for before, month in itertools.pairwise(months):
        late = log[(delivered == month.as_of) & (log["day"] <= before.as_of)]
        assert 3 < len(late) < 0.02 * len(month.tables[TABLE])
        assert late["day"].min() > before.as_of - dt.timedelta(days=LATE_DAYS)
        assert f"and {len(late):,} late ones" in month.note
    assert months[0].note == ""


def test_payments_lie_within_opening_hours_and_refunds_are_negative(log):
    hours = pd.to_datetime(log["paid_at"]).dt.hour
    assert hours.between(7, 21).all()
    assert set(log["kind"]) == {PURCHASE, REFUND}
    assert (log["amount"][log["kind"] == REFUND] < 0).all()
    assert (log["amount"][log["kind"] == PURCHASE] > 0).all()
    assert (log["kind"] == REFUND).mean() == pytest.approx(0.03, abs=0.005)


def test_a_month_depends_on_the_seed_alone_and_not_on_later_months():
    months = list(simulate(CONTRACT, 300, 2, 1, scenario=EVENTS))
    again = list(islice(simulate(CONTRACT, 300, 50, 1, scenario=EVENTS), 2))
    for one, other in zip(again, months, strict=True):
        pd.testing.assert_frame_equal(one.tables[TABLE], other.tables[TABLE])
        pd.testing.assert_series_equal(one.chances, other.chances)
        assert one.truth == other.truth
    other = next(simulate(CONTRACT, 300, 1, 1, scenario=EVENTS, people=1))
    assert not other.tables[TABLE].equals(months[0].tables[TABLE])


@pytest.mark.parametrize(("cadence", "within"), [("week", "1w"), ("day", "1d")])
def test_another_cadence_and_kind_of_key(cadence, within):
    declared = STREAMFLOW.as_mapping() | {
        "cadence": cadence,
        "entity": {"column": "user_id", "dtype": "integer"},
    }
    contract = EVENTS.contract(type(STREAMFLOW).model_validate(declared))
    found = list(deliver(contract, 500, 3, 1, scenario=EVENTS))
    assert [one.as_of for one in found] == [as_of_at(contract, JANUARY, n) for n in (1, 2, 3)]
    assert contract.label.no_event.within == within
    assert found[1].tables[TABLE]["user_id"].dtype == np.int64
    assert 0.05 < found[1].truth.churn_rate < 0.4
    assert found[1].truth.best_auc > 0.7
