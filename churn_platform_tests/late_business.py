"""The gym with labels that come a month late: each month is scored before anybody knows who leaves."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.base.text import parse_as_of
from churn_platform.lake.lake import instant
from churn_platform.services import Services
from churn_platform_tests.small_business import (
    DECLARED,
    FEBRUARY,
    JANUARY,
    candidate,
    deliver,
    make_home,
    month_tables,
    monthly,
    open_home,
)

MARCH, APRIL, MAY = (parse_as_of(f"2024-{day}") for day in ("03-31", "04-30", "05-31"))
CUSTOMERS = 3_000
DECLARED_LATE: dict[str, Any] = {
    **DECLARED,
    "label": {**DECLARED["label"], "horizon": {"months": 1}, "period": "after"},
}
Longing = Callable[[pd.DataFrame, pd.Series], np.ndarray]


def as_before(members: pd.DataFrame, hours: pd.Series) -> np.ndarray:
    """New members leave."""
    return ((30 - members["months"]) / 12).to_numpy()


def otherwise(members: pd.DataFrame, hours: pd.Series) -> np.ndarray:
    """Those who come often leave."""
    return ((hours.fillna(8) - 8) / 4).to_numpy()


def month(
    as_of: dt.date, longing: Longing = as_before, *, oldest: int = 60
) -> dict[str, pd.DataFrame]:
    """The tables of a month; members are younger than `oldest` months."""
    tables = month_tables(as_of, CUSTOMERS)
    members = tables["members"]
    members["months"] = members["months"] * oldest // 60
    chance = 1 / (1 + np.exp(1 - longing(members, tables["visits"]["hours"])))
    draw = np.random.default_rng(as_of.toordinal() + 1).random(CUSTOMERS)
    tables["leavers"]["has_left"] = draw < chance
    return tables


def publish(
    home: Services, as_of: dt.date, tables: dict[str, pd.DataFrame], *, labels: bool
) -> Services:
    """Publish a month, with its labels or without."""
    own = {name: table for name, table in tables.items() if labels or name != "leavers"}
    home.lake.publish(as_of, own, instant(as_of), f"{as_of} {labels}")
    return open_home(home.folder)


def late_home(folder: Path) -> Services:
    """Version 1 in production, trained on January; February's labels have not arrived."""
    home = make_home(folder, DECLARED_LATE)
    deliver(home, JANUARY, month(JANUARY))
    monthly(home, JANUARY)
    home = publish(home, FEBRUARY, month(FEBRUARY), labels=False)
    home.training_datasets.build(FEBRUARY)
    candidate(home, FEBRUARY)
    home.decision_maker.decide(FEBRUARY, "first")
    home.decision_maker.carry_out()
    return open_home(folder)


def next_month(
    home: Services,
    matured: tuple[dt.date, dict[str, pd.DataFrame]],
    opened: tuple[dt.date, dict[str, pd.DataFrame]],
) -> Services:
    """The labels of a month arrive, with the next month's features; its run measures."""
    home = publish(home, *matured, labels=True)
    home = publish(home, *opened, labels=False)
    home.performance_monitor.measure(opened[0])
    return open_home(home.folder)
