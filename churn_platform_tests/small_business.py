"""A gym: the smallest business that goes through the whole loop, and the steps of the loop without Dagster.

Three tables, four features (a nullable boolean, an integer, a float and a category), two slices of which one is no
feature. In January the new members leave, in February those who come often, so February's candidate beats January's.
"""

import contextlib
import datetime as dt
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from churn_platform.base.settings import Settings
from churn_platform.contract.model import Contract
from churn_platform.promotion.decision import Trigger
from churn_platform.services import Services
from churn_platform.training.mlflow_server import relocate

JANUARY = dt.date(2024, 1, 31)
FEBRUARY = dt.date(2024, 2, 29)
MARCH = dt.date(2024, 3, 31)
APRIL = dt.date(2024, 4, 30)
CUSTOMERS = 1500
DECLARED: dict[str, Any] = {
    "name": "gym",
    "model_name": "gym_churn",
    "entity": {"column": "member"},
    "delivery_days": 5,
    "tables": {
        "members": {
            "columns": {
                "months": {"dtype": "integer", "min": 0, "phrase": "{value} months as a member"},
                "plan": {"dtype": "category", "values": ["basic", "plus", "family"]},
                "has_app": {"dtype": "boolean", "nullable": True},
                "town": {"dtype": "category", "values": ["north", "south"]},
            }
        },
        "visits": {"columns": {"hours": {"dtype": "float", "nullable": True, "min": 0}}},
        "leavers": {"columns": {"has_left": {"dtype": "boolean"}}},
    },
    "label": {"table": "leavers", "column": "has_left"},
    "feature_views": {
        "members_fv": {"table": "members", "features": ["months", "plan", "has_app"]},
        "visits_fv": {"table": "visits", "features": ["hours"]},
    },
    "slices": ["plan", "town"],
    "policy": {
        "training": {"algorithm": "logistic_regression"},
        "promotion": {"min_holdout_churners": 30},
        "scoring": {"listed": 20},
    },
}


def declared(**changes: Any) -> Contract:
    """The gym's contract with some of its top-level parts replaced."""
    return Contract.model_validate({**DECLARED, **changes})


def month_tables(as_of: dt.date, customers: int = CUSTOMERS) -> dict[str, pd.DataFrame]:
    """The tables of one month, typed; every fifth `has_app` and every ninth `hours` is null."""
    random = np.random.default_rng(as_of.toordinal())
    number = np.arange(customers)
    months = random.integers(0, 60, customers)
    hours = np.round(random.gamma(2, 4, customers), 2)
    longing = (30 - months) / 12 if as_of == JANUARY else (hours - 8) / 4
    leaves = random.random(customers) < 1 / (1 + np.exp(1 - longing))
    key = pd.Series([f"m{n:05d}" for n in number], name="member")
    has_app = pd.Series(random.random(customers) < 0.5, dtype="boolean").mask(number % 5 == 0)
    members = {
        "months": months,
        "plan": random.choice(["basic", "plus", "family"], customers),
        "has_app": has_app,
    }
    return {
        "members": pd.DataFrame(
            {"member": key, **members, "town": np.where(number % 3 == 0, "north", "south")}
        ),
        "visits": pd.DataFrame({"member": key, "hours": pd.Series(hours).mask(number % 9 == 0)}),
        "leavers": pd.DataFrame({"member": key, "has_left": leaves}),
    }


def deliver(
    home: Services, as_of: dt.date, tables: Mapping[str, pd.DataFrame] | None = None
) -> Path:
    """Write a month's tables as the CSV files of a complete drop."""
    folder = home.drops / as_of.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (month_tables(as_of) if tables is None else tables).items():
        table.to_csv(folder / f"{name}.csv", index=False)
    (folder / "_SUCCESS").touch()
    return folder


def make_home(
    folder: Path,
    contract: Mapping[str, Any] = DECLARED,
    now: Callable[[], dt.datetime] | None = None,
) -> Services:
    """A home with its own contract file and without a month."""
    home = open_home(folder, now)
    home.create()
    (folder / "contract.yaml").write_text(
        yaml.safe_dump(dict(contract), sort_keys=False), encoding="utf-8"
    )
    return home


def open_home(
    folder: Path, now: Callable[[], dt.datetime] | None = None, **settings: Any
) -> Services:
    """The home in `folder` as a new process would see it: nothing is cached."""
    chosen = Settings(home=folder, actor="tester", **settings)
    return Services(chosen) if now is None else Services(chosen, now)


def with_policy(home: Services, **promotion: Any) -> Services:
    """The same home under another promotion policy."""
    policy = {**DECLARED["policy"], "promotion": {**DECLARED["policy"]["promotion"], **promotion}}
    (home.folder / "contract.yaml").write_text(
        yaml.safe_dump({**DECLARED, "policy": policy}, sort_keys=False)
    )
    return open_home(home.folder)


def copied(home: Services, folder: Path) -> Services:
    """A copy of a home that a test may change, and that leads a test which asks MLflow itself to no other home."""
    shutil.copytree(home.folder, folder, symlinks=True)
    relocate(folder / "mlflow.db", folder / "artifacts")
    return open_home(folder)


def with_changes(home: Services, changes: Mapping[str, Any]) -> Services:
    """The same home after a person has edited its contract: values by path with dots, None removes."""
    path = home.folder / "contract.yaml"
    parts = yaml.safe_load(path.read_text(encoding="utf-8"))
    for where, value in changes.items():
        *above, last = where.split(".")
        place = parts
        for name in above:
            place = place.setdefault(name, {})
        if value is None:
            del place[last]
        else:
            place[last] = value
    path.write_text(yaml.safe_dump(parts, sort_keys=False), encoding="utf-8")
    return open_home(home.folder, home.now)


@contextlib.contextmanager
def mlflow_run(home: Services) -> Iterator[str]:
    """An active MLflow run on the home's experiment, as dagster-mlflow starts one; its id."""
    import mlflow

    mlflow.set_tracking_uri(home.registry.tracking_uri)
    mlflow.set_experiment(home.contract.model_name)
    with mlflow.start_run() as run:
        yield run.info.run_id


def monthly(home: Services, as_of: dt.date) -> None:
    """The monthly job: publish, join, report drift, measure, score."""
    home.ingestion.publish(as_of)
    now = home.now()
    home.feature_store.apply(home.lake.view(now, as_at_scoring=True))
    home.feature_store.materialize(home.lake.view(now, as_at_scoring=False), as_of)
    home.training_datasets.build(as_of)
    if home.releases.pointer() is None:
        home.drift_monitor.report(as_of)
    else:  # the real report costs seconds; what the loop reads of it is this record
        record = {
            **home.progress().made_from(as_of),
            "production_version": home.releases.pointer().version,
        }
        home.records.write("drift_report", as_of, record | {"alarms": [], "result": None})
    home.performance_monitor.measure(as_of)
    home.scoring.score(as_of)
    home.month.contact_plan(as_of)
    home.month.campaign_effect(as_of)
    home.month.experiments(as_of)


def candidate(home: Services, as_of: dt.date, code: str | None = None) -> int:
    """Fit the month's candidate and register it; its version. Another `code` makes another version of the same data."""
    with home.registry.run() as run_id:
        return home.candidate_training.train(as_of, run_id, code).version


def up_to_decision(home: Services, as_of: dt.date, trigger: Trigger) -> Services:
    """Deliver and process a month, up to a decision that approves its candidate and is not carried out."""
    deliver(home, as_of)
    monthly(home, as_of)
    candidate(home, as_of)
    home.decision_maker.decide(as_of, trigger)
    return open_home(home.folder)


def up_to_scores(home: Services, as_of: dt.date) -> Services:
    """Carry the month's decision out and score the month again."""
    home.decision_maker.carry_out()
    home.scoring.score(as_of)
    return open_home(home.folder)
