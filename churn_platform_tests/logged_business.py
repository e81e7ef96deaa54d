"""A shop that has logs instead of monthly tables: orders by day, visits by the second in local time, in Vienna.

`SHOP` has nothing but logs: its customers are the buyers of the last 90 days, and who orders nothing for 30 days
churned. `SHOP_WITH_MEMBERS` has a table with one row a customer next to the logs. Each buyer orders in a rhythm of their
own until the day on which they stop, so days since the last order tell who is gone. All events are drawn once;
`drop_of` cuts out what a drop holds.
"""

import datetime as dt
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.services import Services
from churn_platform_tests.small_business import deliver, make_home, open_home

MONTHS = [
    dt.date.fromisoformat(day)
    for day in ("2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31", "2024-06-30")
]
FIRST_DAY = dt.date(2023, 10, 1)
LAST_DAY = dt.date(2024, 7, 31)
CUSTOMERS = 300
ORDERS: dict[str, Any] = {
    "kind": "events",
    "time": "ordered_on",
    "id": "order_no",
    "columns": {
        "ordered_on": {"dtype": "date"},
        "order_no": {"dtype": "string"},
        "amount": {"dtype": "float"},
        "kind": {"dtype": "category", "values": ["order", "refund"]},
    },
    "windows": {
        "orders_60d": {"aggregate": "count", "where": "kind = 'order'", "window": "60d"},
        "spent_90d": {
            "aggregate": "sum",
            "of": "amount",
            "window": "90d",
            "phrase": "{value} spent in 90 days",
        },
        "days_since_order": {
            "aggregate": "days_since_last",
            "where": "kind = 'order'",
            "window": "all",
        },
        "refunded_share": {"aggregate": "share", "where": "kind = 'refund'", "window": "3m"},
    },
}
VISITS: dict[str, Any] = {
    "kind": "events",
    "time": "seen_at",
    "time_zone": "Europe/Vienna",
    "columns": {
        "seen_at": {"dtype": "timestamp"},
        "page": {"dtype": "category"},
        "seconds": {"dtype": "integer", "nullable": True, "min": 0},
    },
    "windows": {
        "visits_30d": {"aggregate": "count", "window": "30d"},
        "seconds_4w": {"aggregate": "mean", "of": "seconds", "window": "4w"},
        "last_page": {"aggregate": "last", "of": "page", "window": "1m"},
    },
}
VIEWS = {
    "orders_fv": {"table": "orders", "features": list(ORDERS["windows"])},
    "visits_fv": {"table": "visits", "features": list(VISITS["windows"])},
}
NO_EVENT: dict[str, Any] = {"table": "orders", "where": "kind = 'order'", "within": "30d"}
SHOP: dict[str, Any] = {
    "name": "shop",
    "model_name": "shop_churn",
    "entity": {"column": "buyer"},
    "delivery_days": 5,
    "tables": {"orders": ORDERS, "visits": VISITS},
    "label": {"no_event": {**NO_EVENT, "population": {"table": "orders", "window": "90d"}}},
    "feature_views": VIEWS,
    "policy": {
        "training": {"algorithm": "logistic_regression"},
        "promotion": {"min_holdout_churners": 5},
        "scoring": {"listed": 20},
    },
}
MEMBERS: dict[str, Any] = {
    "columns": {
        "plan": {"dtype": "category", "values": ["basic", "plus"]},
        "no_ads": {"dtype": "boolean"},
    }
}
SHOP_WITH_MEMBERS: dict[str, Any] = {
    **SHOP,
    "tables": {"members": MEMBERS, "orders": ORDERS, "visits": VISITS},
    "label": {"no_event": NO_EVENT},
    "feature_views": {"members_fv": {"table": "members", "features": ["plan"]}, **VIEWS},
    "slices": ["plan"],
}


@cache
def events() -> dict[str, pd.DataFrame]:
    """Log -> every event from `FIRST_DAY` to `LAST_DAY` in the order of time, with its day as `day`."""
    random = np.random.default_rng(19)
    span = (LAST_DAY - FIRST_DAY).days + 1
    orders = []
    visits = []
    for number in range(CUSTOMERS):
        buyer = f"b{number:04d}"
        every = random.uniform(5, 20)
        stops = random.exponential(220) if number % 3 else span + 1
        day = random.uniform(0, every)
        while day < min(stops, span):
            orders.append((int(day), buyer, round(float(random.gamma(2, 15)), 2), "order"))
            if random.random() < 0.1:
                back = min(int(day) + 3, span - 1)
                orders.append((back, buyer, -round(float(random.gamma(2, 5)), 2), "refund"))
            for _ in range(random.integers(1, 4)):
                minute = int(random.integers(6 * 60, 24 * 60))
                page = ["home", "sale", "help"][random.integers(3)]
                seconds = int(random.integers(5, 600))
                visits.append((int(day) * 1440 + minute, buyer, page, seconds))
            day += random.exponential(every)
    orders.sort()
    visits.sort()
    bought = pd.DataFrame(orders, columns=["number", "buyer", "amount", "kind"])
    seen = pd.DataFrame(visits, columns=["minute", "buyer", "page", "seconds"])
    start = pd.Timestamp(FIRST_DAY)
    bought["ordered_on"] = (start + pd.to_timedelta(bought["number"], unit="D")).dt.date
    bought["order_no"] = [f"o{number:06d}" for number in range(len(bought))]
    seen["seen_at"] = start + pd.to_timedelta(seen["minute"], unit="min")
    seen["seconds"] = seen["seconds"].astype("Int64").mask(seen["minute"] % 11 == 0)
    seen["day"] = seen["seen_at"].dt.date
    bought["day"] = bought["ordered_on"]
    return {
        "orders": bought[["buyer", "ordered_on", "order_no", "amount", "kind", "day"]],
        "visits": seen[["buyer", "seen_at", "page", "seconds", "day"]],
    }


def drop_of(
    as_of: dt.date, months: Sequence[dt.date] = MONTHS, *, whole: bool = False
) -> dict[str, pd.DataFrame]:
    """The logs of a month's drop: the events since the month before, or `whole`: all up to the as_of."""
    before = [month for month in months if month < as_of]
    first = FIRST_DAY
    if before and not whole:
        first = before[-1] + dt.timedelta(days=1)
    found = {}
    for name, log in events().items():
        own = log[(log["day"] >= first) & (log["day"] <= as_of)]
        found[name] = own.drop(columns="day").reset_index(drop=True)
    return found


def members(as_of: dt.date) -> pd.DataFrame:
    """One row a customer: everyone who has ordered by the month."""
    log = events()["orders"]
    buyers = sorted(log.loc[log["day"] <= as_of, "buyer"].unique())
    number = np.array([int(buyer[1:]) for buyer in buyers])
    plan = np.where(number % 2 == 0, "basic", "plus")
    return pd.DataFrame({"buyer": buyers, "plan": plan, "no_ads": number % 25 == 0})


def order(buyer: str, day: str, number: str, amount: float = 20.0) -> dict[str, Any]:
    """One row of the log of orders."""
    return {
        "buyer": buyer,
        "ordered_on": dt.date.fromisoformat(day),
        "order_no": number,
        "amount": amount,
        "kind": "order",
    }


def with_rows(
    drop: Mapping[str, pd.DataFrame], log: str, *rows: Mapping[str, Any]
) -> dict[str, pd.DataFrame]:
    """A drop with more events at the end of a log: late ones, or another version of known ones."""
    added = pd.DataFrame([dict(row) for row in rows], columns=drop[log].columns)
    return {**drop, log: pd.concat([drop[log].astype(object), added], ignore_index=True)}


def shop_home(folder: Path, contract: Mapping[str, Any] = SHOP, **options: Any) -> Services:
    """A home of the shop without a month; `now` among the options sets its clock."""
    return make_home(folder, contract, **options)


def deliver_shop(
    home: Services, as_of: dt.date, tables: Mapping[str, pd.DataFrame] | None = None
) -> Path:
    """Write a month's drop; by default the new events, and the members where the contract has them."""
    drop = dict(drop_of(as_of) if tables is None else tables)
    if "members" in home.contract.tables and tables is None:
        drop["members"] = members(as_of)
    return deliver(home, as_of, drop)


NOW = dt.datetime(2024, 8, 1, 9, tzinfo=dt.UTC)
LATE = (order("b0001", "2024-01-20", "late 1"), order("b0005", "2024-02-25", "late 2", 500.0))
"""They come with the drop of March; the first is in every window, the second in none of January's."""


def published_shop(folder: Path, contract: Mapping[str, Any] = SHOP) -> Services:
    """Four months, published and not processed: `LATE` orders corrected the first two."""
    home = shop_home(folder, contract, now=lambda: NOW)
    for as_of in MONTHS[:4]:
        drop = drop_of(as_of)
        if as_of == MONTHS[2]:
            drop = with_rows(drop, "orders", *LATE)
        if "members" in home.contract.tables:
            drop["members"] = members(as_of)
        deliver_shop(home, as_of, drop)
        home.ingestion.publish(as_of)
    return open_home(folder, lambda: NOW)


def copied_shop(home: Services, folder: Path) -> Services:
    """A copy of a published shop that a test may change."""
    shutil.copytree(home.folder, folder)
    return open_home(folder, lambda: NOW)
