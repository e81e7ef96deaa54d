"""Days without events are named if chance does not explain them, and no others."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from churn_platform.ingestion.comparing import compared
from churn_platform.ingestion.drop import open_drop
from churn_platform.ingestion.log_days import Gap, customers_a_day, gaps
from churn_platform.ingestion.validation import validate
from churn_platform.lake.lake import Lake
from churn_platform.lake.tables import lake_tables
from churn_platform_tests.ingestion.test_logs import contract

JANUARY = dt.date(2024, 1, 31)
FEBRUARY = dt.date(2024, 2, 29)
MARCH = dt.date(2024, 3, 31)
SPRING = pd.date_range("2024-01-01", "2024-05-31")


def found(counts, first=dt.date(2024, 5, 1), last=dt.date(2024, 5, 31)):
    return gaps(counts[counts > 0], first, last)


def daily(customers, seed=1):
    chance = np.random.default_rng(seed)
    return pd.Series(chance.poisson(customers, len(SPRING)), index=SPRING)


def without(counts, first, last):
    changed = counts.copy()
    changed[first:last] = 0
    return changed


@pytest.mark.parametrize("customers", [3, 20, 1000])
def test_a_week_without_events_is_a_gap(customers):
    counts = without(daily(customers), "2024-05-03", "2024-05-09")
    [gap] = found(counts)
    assert (gap.first <= dt.date(2024, 5, 3), gap.last >= dt.date(2024, 5, 9)) == (True, True)


def test_one_day_is_a_gap_of_a_large_log_alone():
    day = dt.date(2024, 5, 14)
    assert found(without(daily(50), day, day)) == [Gap(day, day)]
    assert found(without(daily(4), day, day)) == []


def test_a_gap_is_named_once():
    counts = without(daily(50), "2024-04-03", "2024-04-09")
    assert found(counts) == []
    assert found(counts, dt.date(2024, 4, 1), dt.date(2024, 4, 30)) != []


def test_quiet_days_of_a_sparse_log_are_no_gap():
    named = sum(bool(found(daily(rate, seed))) for seed in range(100) for rate in (0.1, 0.5, 1, 2))
    assert named <= 8


def test_a_log_that_is_closed_on_sundays_or_monthly_has_no_gap():
    closed = daily(40).where(SPRING.dayofweek < 6, 0)
    assert found(closed) == []
    assert [gap.last for gap in found(without(closed, "2024-05-03", "2024-05-09"))] == [
        dt.date(2024, 5, 9)
    ]
    monthly = pd.Series(np.where(SPRING.day == 1, 500, 0), index=SPRING)
    assert found(monthly) == []
    assert found(monthly[:"2024-02"], dt.date(2024, 1, 1), dt.date(2024, 2, 29)) == []


def test_a_customer_counts_once_a_day():
    day = pd.Series(pd.to_datetime(["2024-05-01", "2024-05-01", "2024-05-01", "2024-05-02"]))
    counts = customers_a_day(day.astype("datetime64[s]"), pd.Series(["a", "a", "b", "a"]))
    assert counts.tolist() == [2, 1]


def log(first, last, customers=30):
    """A line for each customer and day."""
    days = pd.date_range(first, last)
    rows = [f"c{number:02d},{day:%Y-%m-%d} 12:00,1" for day in days for number in range(customers)]
    return "customer,paid_at,amount\n" + "\n".join(rows) + "\n"


def judged(folder, lake, month, text, customers=30):
    place = folder / str(month)
    place.mkdir()
    lines = [f"c{number:02d},{number + month.month}" for number in range(customers)]
    (place / "members.csv").write_text("customer,age\n" + "\n".join(lines) + "\n")
    (place / "payments.csv").write_text(text)
    drop = open_drop(place, month, lake.contract)
    known = lake.keys(month) if month in lake.months() else None
    validated = validate(lake.contract, drop, today=MARCH, known=known, published=lake.months())
    made = compared(lake, drop, validated)
    tables = {name: table.valid for name, table in made.tables.items()}
    now = dt.datetime(2024, 4, 1, tzinfo=dt.UTC)
    assert made.faults == ()
    lake.publish(
        month, lake_tables(lake.contract, tables, month), now, "", compared=made.comparison
    )
    return made


def test_a_drop_is_judged_with_the_drops_before_it(tmp_path):
    lake = Lake(tmp_path / "lake", contract())
    first = judged(tmp_path, lake, JANUARY, log("2024-01-01", "2024-01-31"))
    assert first.warnings == ()
    assert first.comparison.logs["payments"].events == 31 * 30
    cut = judged(tmp_path, lake, FEBRUARY, log("2024-02-06", "2024-02-20"))
    assert [(one.code, one.about) for one in cut.warnings] == [
        ("DAYS_WITHOUT_EVENTS", "payments"), ("EVENTS_END_EARLY", "payments"),
    ]  # fmt: skip
    assert "between 2024-02-01 and 2024-02-05" in cut.warnings[0].sentence
    assert "2024-02-20" in cut.warnings[1].sentence
    kept = lake.compared(FEBRUARY).logs["payments"]
    assert (kept.gaps, kept.ends) == (("between 2024-02-01 and 2024-02-05",), dt.date(2024, 2, 20))
    quiet = judged(tmp_path, lake, MARCH, "customer,paid_at,amount\n")
    assert [one.code for one in quiet.warnings] == ["EVENTS_END_EARLY"]


def test_customers_with_events_whom_no_table_has_are_counted(tmp_path):
    lake = Lake(tmp_path / "lake", contract())
    made = judged(tmp_path, lake, JANUARY, log("2024-01-01", "2024-01-31"), customers=20)
    count = made.comparison.logs["payments"]
    assert (count.customers, count.unknown) == (30, 10)
    assert [one.code for one in made.warnings] == ["EVENTS_OF_UNKNOWN_CUSTOMERS"]
    left = judged(tmp_path, lake, FEBRUARY, log("2024-02-01", "2024-02-29", 20), customers=19)
    assert left.comparison.logs["payments"].unknown == 0
