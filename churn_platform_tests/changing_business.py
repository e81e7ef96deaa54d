"""The gym over months of different contracts.

A column appears in February, a value is renamed in March, a column and a table end in April, churn is defined anew and
a table is delivered in two files in May, and keys are spelled in another way in June.

Every month trains a candidate, so each version has another contract than the one before.
"""

import copy
import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from churn_platform.services import Services
from churn_platform_tests.loop_steps import run
from churn_platform_tests.small_business import (
    DECLARED,
    FEBRUARY,
    JANUARY,
    MARCH,
    deliver,
    make_home,
    month_tables,
    open_home,
)

APRIL = dt.date(2024, 4, 30)
MAY = dt.date(2024, 5, 31)
JUNE = dt.date(2024, 6, 30)
MONTHS = (JANUARY, FEBRUARY, MARCH, APRIL, MAY, JUNE)
MEMBERS = 700


def contract_of(as_of: dt.date) -> dict[str, Any]:
    """The contract file as it was when a month came."""
    found = copy.deepcopy(DECLARED)
    found["policy"]["retraining"] = {"cooldown_cadences": 0, "max_age_cadences": 1}
    found["policy"]["scoring"]["ended_columns"] = "missing"
    found["tables"]["calls"] = {"columns": {"calls": {"dtype": "integer", "min": 0}}}
    found["feature_views"]["calls_fv"] = {"table": "calls", "features": ["calls"]}
    columns = found["tables"]["members"]["columns"]
    if as_of >= FEBRUARY:
        columns["guests"] = {"dtype": "integer", "min": 0, "since": FEBRUARY}
        found["feature_views"]["members_fv"]["features"].append("guests")
    if as_of >= MARCH:
        columns["plan"]["renamed"] = {"premium": {"was": "plus", "since": MARCH}}
    if as_of >= APRIL:
        columns["has_app"]["until"] = APRIL
        found["tables"]["calls"]["until"] = APRIL
    if as_of >= MAY:
        leavers = found["tables"]["leavers"]["columns"]
        leavers["has_left"]["until"] = MAY
        leavers["quits"] = {"dtype": "integer", "since": MAY}
        found["label"] = {
            "table": "leavers",
            "column": "quits",
            "since": MAY,
            "earlier": [{"column": "has_left"}],
        }
        found["tables"]["members"]["parts"] = {"plans": {"columns": ["plan"], "since": MAY}}
    if as_of >= JUNE:
        found["tables"]["visits"]["key_spellings"] = [{"since": JUNE, "remove_prefix": "X-"}]
    return found


def tables_of(as_of: dt.date) -> dict[str, pd.DataFrame]:
    """The tables of one month as its drop has them."""
    tables = month_tables(as_of, MEMBERS)
    members = tables["members"]
    calls = (members["months"] + as_of.month) % 4
    tables["calls"] = pd.DataFrame({"member": members["member"], "calls": calls})
    if as_of >= FEBRUARY:
        members["guests"] = (members["months"] * 7 + as_of.month) % 5
    if as_of >= MARCH:
        members["plan"] = members["plan"].replace({"plus": "premium"})
    if as_of >= APRIL:
        tables["members"] = members.drop(columns="has_app")
        del tables["calls"]
    if as_of >= MAY:
        tables["leavers"] = pd.DataFrame(
            {
                "member": tables["leavers"]["member"],
                "quits": tables["leavers"]["has_left"].astype(int),
            }
        )
        tables["plans"] = tables["members"][["member", "plan"]]
        tables["members"] = tables["members"].drop(columns="plan")
    if as_of >= JUNE:
        visits = tables["visits"]
        tables["visits"] = visits.assign(member="X-" + visits["member"])
    return tables


def write_contract(home: Services, contract: dict[str, Any]) -> Services:
    """The home with another contract file."""
    (home.folder / "contract.yaml").write_text(yaml.safe_dump(contract, sort_keys=False))
    return open_home(home.folder, home.now)


def live(folder: Path, until: dt.date = JUNE) -> Services:
    """A home that took every month up to `until` under the contract of that month."""
    home = make_home(folder, contract_of(JANUARY))
    for as_of in (month for month in MONTHS if month <= until):
        home = write_contract(home, contract_of(as_of))
        deliver(home, as_of, tables_of(as_of))
        run(home)
        home = open_home(folder)
    return home
