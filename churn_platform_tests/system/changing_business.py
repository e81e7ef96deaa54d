"""A broadband provider whose files change from month to month, and whose churn follows known columns."""

import datetime as dt
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

MONTHS = [
    dt.date(2024, 1, 31), dt.date(2024, 2, 29), dt.date(2024, 3, 31), dt.date(2024, 4, 30),
    dt.date(2024, 5, 31), dt.date(2024, 6, 30), dt.date(2024, 7, 31), dt.date(2024, 8, 31),
    dt.date(2024, 9, 30), dt.date(2024, 10, 31), dt.date(2024, 11, 30), dt.date(2024, 12, 31),
]  # fmt: skip
NEW_COLUMN, RENAMED, ENDED, NEW_TABLE, MOVED, PREFIXED, NEW_VALUE, RELABELLED, SALTED = MONTHS[2:11]
CUSTOMERS = 900
PLANS = ["Month-to-month", "One year", "Two year"]
PREFIX = "CUST-"
CONTRACT: dict[str, Any] = {
    "name": "broadband",
    "model_name": "broadband_churn",
    "entity": {"column": "customer"},
    "delivery_days": 5,
    "tables": {
        "customers": {
            "columns": {
                "tenure": {"dtype": "integer", "min": 0},
                "plan": {"dtype": "category", "values": PLANS},
                "fee": {"dtype": "float", "min": 0},
                "town": {"dtype": "category", "values": ["north", "south"]},
            }
        },
        "usage": {
            "columns": {
                "hours": {"dtype": "float", "min": 0},
                "calls": {"dtype": "integer", "min": 0},
            }
        },
        "outcomes": {"columns": {"has_left": {"dtype": "boolean"}}},
    },
    "label": {"table": "outcomes", "column": "has_left", "horizon": {"months": 1}},
    "feature_views": {
        "customers_fv": {"table": "customers", "features": ["tenure", "plan", "fee"]},
        "usage_fv": {"table": "usage", "features": ["hours", "calls"]},
    },
    "slices": ["plan", "town"],
    "policy": {
        "training": {"algorithm": "logistic_regression", "holdout_fraction": 0.4},
        "promotion": {"min_holdout_churners": 30},
        "scoring": {"listed": 20},
    },
}


def features_in(as_of: dt.date) -> set[str]:
    """The columns that the files of a month have to learn from."""
    features = {"tenure", "plan", "fee", "hours"}
    if as_of < ENDED:
        features.add("calls")
    if as_of >= NEW_COLUMN:
        features.add("logins")
    if as_of >= NEW_TABLE:
        features.add("tickets")
    return features


@cache
def _month(as_of: dt.date) -> pd.DataFrame:
    """The customers of a month with all that is true of them; those who leave are replaced."""
    random = np.random.default_rng(as_of.toordinal())
    number = np.arange(CUSTOMERS)
    if as_of != MONTHS[0]:
        before = _month(MONTHS[MONTHS.index(as_of) - 1])
        number = before["number"].to_numpy().copy()
        left = before["leaves"].to_numpy()
        number[left] = number.max() + 1 + np.arange(left.sum())
    found = pd.DataFrame(
        {
            "number": number,
            "tenure": random.integers(0, 60, CUSTOMERS),
            "plan": random.choice(PLANS, CUSTOMERS, p=[0.5, 0.3, 0.2]),
            "fee": np.round(20 + random.gamma(3, 5, CUSTOMERS), 2),
            "town": np.where(number % 3 == 0, "north", "south"),
            "hours": np.round(random.gamma(2, 4, CUSTOMERS), 2),
            "calls": random.poisson(2, CUSTOMERS),
            "logins": random.poisson(6, CUSTOMERS),
            "tickets": random.poisson(1, CUSTOMERS),
        }
    )
    push = 0.7 * (found["plan"] == PLANS[0]) - (found["tenure"] - 30) / 30
    push -= (found["hours"] - 8) / 8
    if as_of < ENDED:
        push += 0.6 * (found["calls"] - 2)
    if as_of >= NEW_COLUMN:
        push -= 0.8 * (found["logins"] - 6)
    if as_of >= NEW_TABLE:
        push += 1.2 * (found["tickets"] - 1)
    found["leaves"] = random.random(CUSTOMERS) < 1 / (1 + np.exp(1.9 - push))
    return found


def key_of(number: int, as_of: dt.date) -> str:
    """A customer's key as the files of a month write it."""
    return f"{PREFIX if as_of >= PREFIXED else ''}{number:05d}"


def forgettable(as_of: dt.date) -> int:
    """A customer of every month up to this one."""
    months = [set(_month(month)["number"]) for month in MONTHS if month <= as_of]
    return int(min(set.intersection(*months)))


def month_files(as_of: dt.date) -> dict[str, pd.DataFrame]:
    """The files of a month by stem; the labels are known a month later."""
    month = _month(as_of)
    plan = month["plan"]
    if as_of >= RENAMED:
        plan = plan.replace({PLANS[0]: "Monthly"})
    if as_of >= NEW_VALUE:
        plan = plan.mask((plan == PLANS[2]) & (month["number"] % 4 == 0), "Three year")
    month = month.assign(customer=[key_of(n, as_of) for n in month["number"]], plan=plan)
    if as_of >= MOVED:
        parts = {"customers": ["tenure", "town"], "plans": ["plan", "fee"]}
    else:
        parts = {"customers": ["tenure", "plan", "fee", "town"]}
    usage = ["hours"]
    if as_of < ENDED:
        usage.append("calls")
    if as_of >= NEW_COLUMN:
        usage.append("logins")
    parts["usage"] = usage
    if as_of >= NEW_TABLE:
        parts["support"] = ["tickets"]
    return {stem: month[["customer", *columns]] for stem, columns in parts.items()}


def label_files(as_of: dt.date) -> dict[str, pd.DataFrame]:
    """The file with the labels of a month, as it is written at the end of the next one."""
    month = _month(as_of)
    written = MONTHS[MONTHS.index(as_of) + 1]
    column = "cancelled" if as_of >= RELABELLED else "has_left"
    keys = [key_of(n, written) for n in month["number"]]
    return {"outcomes": pd.DataFrame({"customer": keys, column: month["leaves"]})}


def write_files(files: Mapping[str, pd.DataFrame], folder: Path) -> Path:
    """Write the files of a month as CSV into a folder of their own."""
    folder.mkdir(parents=True)
    for stem, frame in files.items():
        frame.to_csv(folder / f"{stem}.csv", index=False)
    return folder
