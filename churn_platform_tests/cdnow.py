"""A real log through the complete loop: the CDNOW purchases, compared with simple rules.

uv run python -m churn_platform_tests.cdnow [HOME]

The package `lifetimes` holds the file; none of its code is imported. Without HOME the loop runs
in a temporary folder.
"""

import datetime as dt
import importlib.metadata
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from churn_platform.base.settings import Settings, prepare_environment
from churn_platform.evaluation.statistics import auc
from churn_platform.services import Services

FILE = "lifetimes/datasets/CDNOW_master.txt"
CONTRACT: dict[str, Any] = {
    "name": "cdnow",
    "model_name": "cdnow_churn",
    "description": "A shop for CDs; who buys nothing for 90 days is lost.",
    "entity": {"column": "customer_id"},
    "files": {"delimiter": " "},
    "tables": {
        "purchases": {
            "kind": "events",
            "time": "date",
            "delivery": "replace",
            "columns": {
                "date": {"dtype": "date", "date_format": "%Y%m%d"},
                "number_of_cds": {"dtype": "integer", "min": 0, "max": 1000},
                "dollar_value": {"dtype": "float", "min": 0, "max": 10000},
            },
            "windows": {
                "days_since_purchase": {"aggregate": "days_since_last", "window": "all"},
                "purchases_30d": {"aggregate": "count", "window": "30d"},
                "purchases_90d": {"aggregate": "count", "window": "90d"},
                "purchases": {"aggregate": "count", "window": "all"},
                "purchase_trend": {"aggregate": "trend", "window": "60d"},
                "spent_90d": {"aggregate": "sum", "of": "dollar_value", "window": "90d"},
                "mean_value": {"aggregate": "mean", "of": "dollar_value", "window": "all"},
                "largest_order": {"aggregate": "max", "of": "number_of_cds", "window": "90d"},
            },
        }
    },
    "feature_views": {
        "buying": {
            "table": "purchases",
            "features": [
                "days_since_purchase",
                "purchases_30d",
                "purchases_90d",
                "purchases",
                "purchase_trend",
                "spent_90d",
                "mean_value",
                "largest_order",
            ],
        }
    },
    "label": {
        "no_event": {
            "table": "purchases",
            "within": "90d",
            "population": {"table": "purchases", "window": "90d"},
        }
    },
}
POPULATION_DAYS = 90
LOST_DAYS = 90
MONTHS = tuple(
    dt.date.fromisoformat(day)
    for day in ("1997-09-30", "1997-10-31", "1997-11-30", "1997-12-31", "1998-01-31", "1998-02-28")
)
KEY = "customer_id"
# Fader, Hardie and Lee, "Counting your customers the easy way" (2005): BG/NBD on a tenth of these
# customers, in weeks.
R, ALPHA, A, B = 0.243, 4.414, 0.793, 2.426


def log_file() -> Path | None:
    """The raw file; None where the package `lifetimes` is not installed."""
    try:
        installed = importlib.metadata.distribution("lifetimes")
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(installed.locate_file(FILE)))
    return path if path.is_file() else None


def read_log(path: Path) -> pd.DataFrame:
    """The purchases with their `day`, read without the platform."""
    log = pd.read_csv(path, sep=r"\s+", dtype={KEY: str, "date": str})
    return log.assign(day=pd.to_datetime(log["date"], format="%Y%m%d"))


def customers(log: pd.DataFrame, as_of: dt.date) -> pd.Index:
    """Who bought in the 90 days up to an as_of, in order."""
    return pd.Index(sorted(_reaching(log, as_of, POPULATION_DAYS)[KEY].unique()), name=KEY)


def lost(log: pd.DataFrame, as_of: dt.date, keys: pd.Index) -> "np.ndarray[Any, Any]":
    """Which of the customers buy nothing in the 90 days after an as_of."""
    end = as_of + dt.timedelta(days=LOST_DAYS)
    later = log[(log["day"] > pd.Timestamp(as_of)) & (log["day"] <= pd.Timestamp(end))]
    return ~keys.isin(later[KEY].unique())


def windows(log: pd.DataFrame, as_of: dt.date, keys: pd.Index) -> pd.DataFrame:
    """The features of the contract, made with pandas."""
    so_far = log[log["day"] <= pd.Timestamp(as_of)].groupby(KEY)
    quarter = _reaching(log, as_of, 90).groupby(KEY)
    newer = _count(_reaching(log, as_of, 30), keys)
    older = _count(_reaching(log, as_of, 60), keys) - newer
    last = so_far["day"].max().reindex(keys)
    found = {
        "days_since_purchase": (pd.Timestamp(as_of) - last).dt.days,
        "purchases_30d": newer,
        "purchases_90d": _count(_reaching(log, as_of, 90), keys),
        "purchases": so_far.size().reindex(keys),
        "purchase_trend": (newer - older) / (newer + older),
        "spent_90d": quarter["dollar_value"].sum().reindex(keys, fill_value=0.0),
        "mean_value": so_far["dollar_value"].mean().reindex(keys),
        "largest_order": quarter["number_of_cds"].max().reindex(keys),
    }
    return pd.DataFrame(found)


def chance_lost(log: pd.DataFrame, as_of: dt.date, keys: pd.Index) -> pd.Series:
    """The chance of no purchase in the 90 days after an as_of by BG/NBD with the published
    parameters: gone already, or alive without a purchase.
    """
    days = log[log["day"] <= pd.Timestamp(as_of)].drop_duplicates([KEY, "day"])
    seen = days.groupby(KEY)["day"].agg(["min", "max", "size"]).reindex(keys)
    repeats = seen["size"] - 1
    active = (seen["max"] - seen["min"]).dt.days / 7
    age = (pd.Timestamp(as_of) - seen["min"]).dt.days / 7
    odds = A / (B + repeats.clip(lower=1) - 1) * ((ALPHA + age) / (ALPHA + active)) ** (R + repeats)
    alive = 1 / (1 + odds.where(repeats > 0, 0.0))
    none_if_alive = ((ALPHA + age) / (ALPHA + age + LOST_DAYS / 7)) ** (R + repeats)
    return 1 - alive * (1 - none_if_alive)


def make_drops(folder: Path, path: Path, months: Iterable[dt.date] = MONTHS) -> None:
    """A drop per month with the raw file as it is, under the name of its table."""
    for as_of in months:
        drop = folder / as_of.isoformat()
        drop.mkdir(parents=True)
        shutil.copyfile(path, drop / "purchases.csv")


def make_home(folder: Path) -> Services:
    """A home with the contract."""
    home = Services(Settings(home=folder))
    home.create()
    (folder / "contract.yaml").write_text(yaml.safe_dump(CONTRACT, sort_keys=False))
    return Services(Settings(home=folder))


def _reaching(log: pd.DataFrame, as_of: dt.date, days: int) -> pd.DataFrame:
    start = pd.Timestamp(as_of - dt.timedelta(days=days))
    return log[(log["day"] > start) & (log["day"] <= pd.Timestamp(as_of))]


def _count(rows: pd.DataFrame, keys: pd.Index) -> pd.Series:
    return rows.groupby(KEY).size().reindex(keys, fill_value=0)


def run(home: Services, path: Path) -> None:
    """All months through the complete loop."""
    from rich.console import Console

    from churn_platform.cli.demo import run_demo
    from churn_platform.simulator import QUIET

    with tempfile.TemporaryDirectory() as drops:
        make_drops(Path(drops), path)
        run_demo(
            home, Console(), months=1, users=500, scenario=QUIET, data=Path(drops), as_json=False
        )


def show(home: Services, log: pd.DataFrame) -> None:
    """AUC of each way to rank the customers, by month; the platform's is of the model that was in
    production when the month came.
    """
    print(f"{'as_of':12}{'customers':>10}{'lost':>7}{'recency':>9}{'BG/NBD':>8}{'platform':>10}")
    found = home.status.now().as_json()
    realised = {
        one["as_of"]: one["metrics"]["auc"] for one in found["performance"] if one["metrics"]
    }
    for as_of in MONTHS:
        keys = customers(log, as_of)
        left = lost(log, as_of, keys)
        recency = windows(log, as_of, keys)["days_since_purchase"].to_numpy(dtype=float)
        bought = auc(left, chance_lost(log, as_of, keys).to_numpy())
        platform = realised.get(as_of.isoformat())
        shown = "-" if platform is None else f"{platform:.3f}"
        print(
            f"{as_of!s:12}{len(keys):10,}{left.mean():7.1%}{auc(left, recency):9.3f}"
            f"{bought:8.3f}{shown:>10}"
        )


def main() -> None:
    """Run the loop and show the figures."""
    path = log_file()
    if path is None:
        sys.exit("The package lifetimes, which holds the file, is not installed.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary) / "home"
        home = make_home(folder.resolve())
        prepare_environment(home.settings)
        run(home, path)
        show(Services(Settings(home=folder)), read_log(path))


if __name__ == "__main__":
    main()
