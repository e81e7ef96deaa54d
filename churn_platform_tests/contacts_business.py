"""The gym with contacts: its retention team calls members, and the contract names the table of the calls."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.services import Services
from churn_platform_tests.small_business import (
    DECLARED,
    FEBRUARY,
    JANUARY,
    MARCH,
    candidate,
    deliver,
    make_home,
    month_tables,
    monthly,
    open_home,
)

OUTCOMES = ["stays", "leaves", "no answer"]
CALLS = {
    "columns": {
        "called_on": {"dtype": "date", "source": "Called on"},
        "action": {"dtype": "category", "values": ["call", "letter"]},
        "outcome": {"dtype": "category", "values": OUTCOMES, "nullable": True},
        "cost": {"dtype": "float", "nullable": True, "min": 0},
        "on_list": {"dtype": "boolean", "nullable": True},
        "agent": {"dtype": "string", "nullable": True},
    },
}
CONTACTS = {
    "table": "calls",
    "contacted_on": "called_on",
    "action": "action",
    "outcome": "outcome",
    "not_reached": ["no answer"],
    "cost": "cost",
    "assigned": "on_list",
}
BUDGET = 40
NOW = dt.datetime(2024, 3, 8, 9, tzinfo=dt.UTC)
LATER = dt.datetime(2024, 4, 8, 9, tzinfo=dt.UTC)


def declared(**policy: Any) -> dict[str, Any]:
    """The gym's contract with a table of calls."""
    contacts = {"budget": BUDGET, "untouched_share": 0.2, "value": 100, **policy}
    return {
        **DECLARED,
        "tables": {**DECLARED["tables"], "calls": CALLS},
        "label": {**DECLARED["label"], "horizon": {"months": 1}, "period": "after"},
        "contacts": CONTACTS,
        "policy": {**DECLARED["policy"], "contacts": contacts},
    }


def planned_home(folder: Path, contract: Mapping[str, Any] | None = None) -> Services:
    """A home whose newest month, February, is scored by version 1 and has a contact plan."""
    home = make_home(folder, contract or declared(), now=lambda: NOW)
    deliver(home, JANUARY)
    monthly(home, JANUARY)
    deliver(home, FEBRUARY, without_labels(FEBRUARY))
    monthly(home, FEBRUARY)
    candidate(home, FEBRUARY)
    home.decision_maker.decide(FEBRUARY, "first")
    home.decision_maker.carry_out()
    home.scoring.score(FEBRUARY)
    home = open_home(folder, lambda: NOW)
    home.contact_planning.make(FEBRUARY)
    return home


def home_to_work(folder: Path) -> Services:
    """A home whose plan of February has 400 contacts and leaves many customers untouched."""
    contract = declared(budget=400, untouched_share=0.3, months=1, contact_cost=2, incentive=5)
    return planned_home(folder, contract)


def worked_home(folder: Path, *, saved: float = 0.6) -> Services:
    """The home in March, once its plan of February was worked and has matured labels.

    Args:
        folder: a copy of `home_to_work`.
        saved: share of the assigned leavers who stay; below 0 the share of the assigned stayers
            who leave because of the contact.
    """
    home = open_home(folder, lambda: LATER)
    rows = home.contact_plans.rows(FEBRUARY)
    assigned = set(rows.loc[rows["arm"].isin(["contact", "explore"]), "member"])
    untouched = rows.loc[rows["arm"] == "untouched", "member"].tolist()
    tables = month_tables(FEBRUARY)
    leavers = tables["leavers"]
    draw = np.random.default_rng(1).random(len(leavers))
    worked = leavers["member"].isin(assigned)
    left = leavers["has_left"].to_numpy()
    stays = worked & left & (draw < saved)
    leaves = worked & ~left & (draw < -saved)
    leavers["has_left"] = (left & ~stays) | leaves
    deliver(home, FEBRUARY, tables)
    monthly(home, FEBRUARY)
    home = open_home(folder, lambda: LATER)
    called = sorted(assigned)[: int(0.8 * len(assigned))] + untouched[:2]
    calls = {
        "member": called,
        "Called on": "2024-03-10",
        "action": ["letter" if number % 2 else "call" for number in range(len(called))],
        "outcome": "stays",
        "cost": None,
        "on_list": True,
        "agent": None,
    }
    deliver(home, MARCH, {**without_labels(MARCH), "calls": pd.DataFrame(calls)})
    monthly(home, MARCH)
    home = open_home(folder, lambda: LATER)
    home.campaigns.measure(MARCH)
    return open_home(folder, lambda: LATER)


def without_labels(as_of: dt.date) -> dict[str, pd.DataFrame]:
    """A month's tables before its labels are known."""
    return {name: table for name, table in month_tables(as_of).items() if name != "leavers"}
