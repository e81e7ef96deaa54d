"""A small gym: its contract, its months and a dataset of them, shared by the tests of the core.

Whoever pays much and comes seldom leaves; every tenth `autopay` and every ninth `minutes` is null.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import yaml

# The functions import the package: every run of pytest imports this file, each mutant's too.
if TYPE_CHECKING:
    from churn_platform.contract.model import Contract
    from churn_platform.features.training_dataset import TrainingDataset
    from churn_platform.training.candidate import Candidate

JANUARY, FEBRUARY = dt.date(2024, 1, 31), dt.date(2024, 2, 29)
DECLARED: dict[str, Any] = {
    "name": "gym",
    "model_name": "gym_churn",
    "entity": {"column": "member"},
    "tables": {
        "people": {"columns": {"joined": {"dtype": "date"}, "region": {"dtype": "category"}}},
        "visits": {
            "columns": {
                "visits": {
                    "dtype": "integer",
                    "min": 0,
                    "max": 90,
                    "phrase": "{value} visit{s} in 30 days",
                },
                "minutes": {
                    "dtype": "float",
                    "nullable": True,
                    "min": 0,
                    "description": "Minutes a visit",
                },
            }
        },
        "plans": {
            "columns": {
                "tier": {"dtype": "category", "values": ["basic", "plus"]},
                "autopay": {
                    "dtype": "boolean",
                    "nullable": True,
                    "phrase": "pays by itself: {value}",
                },
                "monthly_fee": {"dtype": "float", "min": 0},
            }
        },
        "leavers": {"columns": {"has_left": {"dtype": "boolean"}}},
    },
    "label": {"table": "leavers", "column": "has_left"},
    "feature_views": {
        "plans_fv": {"table": "plans", "features": ["monthly_fee", "tier", "autopay"]},
        "visits_fv": {"table": "visits", "features": ["visits", "minutes"]},
    },
    "slices": ["region", "tier"],
    "policy": {"training": {"algorithm": "logistic_regression"}},
}


def plain(values) -> list[Any]:
    """The values of a column, None for null."""
    return [None if pd.isna(value) else value for value in values]


@pytest.fixture(scope="session")
def declared() -> dict[str, Any]:
    """The gym's contract as plain values."""
    return DECLARED


@pytest.fixture(scope="session")
def declare() -> Callable[..., Contract]:
    """The gym's contract with some of its top-level parts replaced."""
    from churn_platform.contract.model import Contract

    return lambda **changes: Contract.model_validate({**DECLARED, **changes})


@pytest.fixture(scope="session")
def gym(declare) -> Contract:
    """The gym's contract."""
    return declare()


@pytest.fixture(scope="session")
def streamflow() -> dict[str, Any]:
    """The contract that ships, as plain values."""
    text = (resources.files("churn_platform") / "contract" / "streamflow.yaml").read_text(
        encoding="utf-8"
    )
    return yaml.safe_load(text)


@pytest.fixture(scope="session")
def month() -> Callable[..., pd.DataFrame]:
    """Rows of one month: member, as_of, the features, region and label; `seed` draws another month."""
    return _month


def _month(as_of: dt.date = JANUARY, customers: int = 1000, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    number = np.arange(customers)
    fee, visits = random.normal(20, 5, customers), random.poisson(5, customers)
    tier = random.choice(["basic", "plus"], customers)
    pull = -1.2 + 0.2 * (fee - 20) - 0.4 * (visits - 5) + 0.8 * (tier == "basic")
    return pd.DataFrame(
        {
            "member": [f"m{n:05d}" for n in number],
            "as_of": as_of.isoformat(),
            "monthly_fee": fee,
            "tier": tier.astype(object),
            "autopay": pd.Series(random.random(customers) < 0.5, dtype="boolean").mask(
                number % 10 == 0
            ),
            "visits": pd.Series(visits, dtype="Int64"),
            "minutes": pd.Series(random.gamma(4, 15, customers)).mask(number % 9 == 0),
            "region": random.choice(["north", "south"], customers).astype(object),
            "label": random.random(customers) < 1 / (1 + np.exp(-pull)),
        }
    )


@pytest.fixture(scope="session")
def dataset_of() -> Callable[..., TrainingDataset]:
    """The training dataset of some months, the oldest first, as the platform assembles it."""
    return _dataset_of


def _dataset_of(contract: Contract, *months: pd.DataFrame) -> TrainingDataset:
    from churn_platform.features.training_dataset import assemble
    from churn_platform.lake.window import Classes, choose_window

    rows = pd.concat(months, ignore_index=True)
    window = choose_window(
        {dt.date.fromisoformat(m): Classes(1000, 1000) for m in rows["as_of"].unique()},
        contract.policy,
    )
    spine = rows[["member", "as_of", "label", "region"]]
    return assemble(contract, spine, rows[["member", "as_of", *contract.features]], window)


@pytest.fixture(scope="session")
def two_months(gym) -> TrainingDataset:
    """January and February of the same 1,000 members."""
    return _dataset_of(gym, _month(JANUARY, seed=1), _month(FEBRUARY, seed=2))


@pytest.fixture(scope="session")
def candidate(gym, two_months) -> Candidate:
    """Fitted on February's training rows."""
    from churn_platform.training.candidate import fit_candidate

    return fit_candidate(gym, two_months, "code")


class Written:
    """An act by its fields alone, as an earlier version or another program wrote it."""

    def __init__(self, **fields):
        self.fields = fields

    def receipt(self, head, time, actor="tester", made_by=None):
        from churn_platform.ledger.receipts import append

        evidence = {**(made_by or {}), **self.fields.get("evidence", {})}
        fields = {"actor": actor, "reason": "It is so."} | self.fields | {"evidence": evidence}
        return append(head, time=time, **fields)


def record_act(ledger, **fields):
    """Record an act by its fields, also one whose evidence no act of today has."""
    return ledger.append(Written(**fields))
