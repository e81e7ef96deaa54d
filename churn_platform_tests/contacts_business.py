"""The gym with contacts: its retention team calls members, and the contract names the table of the calls."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

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


def without_labels(as_of: dt.date) -> dict[str, pd.DataFrame]:
    """A month's tables before its labels are known."""
    return {name: table for name, table in month_tables(as_of).items() if name != "leavers"}
