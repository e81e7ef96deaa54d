"""Two businesses that have nothing in common with the one that ships, and no code of their own.

The newspaper: three tables with names of their own, integer keys, weekly drops, labels that mature a calendar month
later, no slices, a category of many values, a date that becomes an age. The phone company: one wide Parquet table with
a label of 0.0 and 1.0 and a cost for each customer.
"""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

WEEKS = [dt.date(2024, 1, 7) + dt.timedelta(weeks=week) for week in range(8)]
READERS = 1200
NEWSPAPER: dict[str, Any] = {
    "name": "newspaper",
    "model_name": "newspaper_churn",
    "entity": {"column": "reader_no", "dtype": "integer", "source": "Reader No"},
    "cadence": "week",
    "delivery_days": 2,
    "tables": {
        "readers": {
            "file": "Readers",
            "columns": {
                "since": {"dtype": "date", "source": "Subscribed Since"},
                "city": {"dtype": "category", "nullable": True},
            },
            "ages": {"weeks_subscribed": {"of": "since", "unit": "weeks"}},
        },
        "complaints": {
            "columns": {
                "late_papers": {"dtype": "integer", "min": 0, "phrase": "{value} late paper{s}"}
            }
        },
        "cancellations": {"columns": {"cancelled": {"dtype": "integer", "min": 0, "max": 1}}},
    },
    "label": {"table": "cancellations", "column": "cancelled", "horizon": {"months": 1}},
    "feature_views": {
        "readers_fv": {"table": "readers", "features": ["weeks_subscribed", "city"]},
        "complaints_fv": {"table": "complaints", "features": ["late_papers"]},
    },
    "policy": {"promotion": {"min_holdout_churners": 40}},
}
MONTHS = [dt.date(2024, 1, 31), dt.date(2024, 2, 29)]
LINES = 2000
PHONE: dict[str, Any] = {
    "name": "phone",
    "model_name": "phone_churn",
    "entity": {"column": "line"},
    "tables": {
        "lines": {
            "columns": {
                "minutes": {"dtype": "float", "min": 0},
                "roaming": {"dtype": "boolean", "nullable": True},
                "yearly_value": {"dtype": "float", "min": 0},
                "churn": {"dtype": "float", "nullable": True},
            }
        }
    },
    "label": {"table": "lines", "column": "churn"},
    "feature_views": {"lines_fv": {"table": "lines", "features": ["minutes", "roaming"]}},
    "costs": {"missed_churner": {"column": "yearly_value", "times": 0.5}, "needless_contact": 10},
    "policy": {"training": {"algorithm": "logistic_regression"}},
}


def readers(week: dt.date) -> dict[str, pd.DataFrame]:
    """The newspaper's tables of a week, the labels of that week among them; late papers drive readers away."""
    random = np.random.default_rng(week.toordinal())
    numbers = 10_000_000_000 + np.arange(READERS)
    late = random.poisson(1.5, READERS)
    weeks = random.integers(0, 300, READERS)
    chance = 1 / (1 + np.exp(3.2 - 0.8 * late + 0.004 * weeks))
    city = pd.Series(np.char.add("city ", random.integers(0, 200, READERS).astype(str))).mask(
        numbers % 50 == 0
    )
    since = [week - dt.timedelta(days=int(7 * n + 3)) for n in weeks]
    return {
        "Readers": pd.DataFrame({"Reader No": numbers, "Subscribed Since": since, "city": city}),
        "complaints": pd.DataFrame({"Reader No": numbers, "late_papers": late}),
        "cancellations": pd.DataFrame(
            {"Reader No": numbers, "cancelled": (random.random(READERS) < chance).astype(int)}
        ),
    }


def deliver_week(drops: Path, week: dt.date, *, labels: bool) -> None:
    """Deliver a week without its labels, or its labels alone."""
    folder = drops / week.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in readers(week).items():
        if (name == "cancellations") == labels:
            table.to_csv(folder / f"{name}.csv", index=False)
    (folder / "_SUCCESS").touch()


def lines(month: dt.date) -> pd.DataFrame:
    """The phone company's only table; who talks little leaves, and the next month who calls from abroad."""
    random = np.random.default_rng(month.toordinal())
    minutes = random.gamma(2, 100, LINES)
    roams = random.random(LINES) < 0.3
    push = (200 - minutes) / 100 if month == MONTHS[0] else np.where(roams, 3.0, -2.0)
    churn = (random.random(LINES) < 1 / (1 + np.exp(1.2 - push))).astype(float)
    number = np.arange(LINES)
    return pd.DataFrame(
        {
            "line": np.char.add("0", (49_000_000 + number).astype(str)),
            "minutes": minutes,
            "roaming": pd.Series(roams, dtype="boolean").mask(number % 7 == 0),
            "yearly_value": np.round(random.gamma(3, 100, LINES), 2),
            "churn": pd.Series(churn).mask(number % 100 == 0),
        }
    )


def deliver_lines(drops: Path, month: dt.date) -> None:
    """Deliver a month of the phone company as Parquet."""
    folder = drops / month.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    lines(month).to_parquet(folder / "lines.parquet", index=False)
    (folder / "_SUCCESS").touch()
