"""The gym with a retention team: each month a list of 100 members, called in the month after."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.contacts.plan import ARM, ASSIGNED
from churn_platform.services import Services
from churn_platform_tests.loop_steps import run
from churn_platform_tests.small_business import (
    APRIL,
    DECLARED,
    FEBRUARY,
    JANUARY,
    MARCH,
    deliver,
    make_home,
    month_tables,
    open_home,
)

CALLS = {
    "columns": {
        "called_on": {"dtype": "date"},
        "action": {"dtype": "category"},
        "outcome": {"dtype": "category", "nullable": True},
    }
}
CONTACTS = {"table": "calls", "contacted_on": "called_on", "action": "action", "outcome": "outcome"}
POLICY = {"budget": 100, "untouched_share": 0.2, "explore_share": 0.1, "value": 50.0}
TWICE = 7
"""Which assigned member of February is called three times."""


def contract(**policy: Any) -> dict[str, Any]:
    """The gym's contract with contacts, as YAML holds it."""
    return DECLARED | {
        "tables": DECLARED["tables"] | {"calls": CALLS},
        "label": DECLARED["label"] | {"horizon": {"months": 1}, "period": "after"},
        "contacts": CONTACTS,
        "policy": DECLARED["policy"] | {"contacts": POLICY | policy},
    }


def calls(home: Services, as_of: dt.date) -> pd.DataFrame:
    """What the team did with the list of a month: everybody on it was called on the tenth day,
    one of them three times.
    """
    rows = home.contact_plans.rows(as_of)
    members = rows.loc[rows[ARM].isin(ASSIGNED), "member"].tolist()
    members += [members[TWICE]] * 2
    days = np.full(len(members), 10)
    days[-2:] = (12, 14)
    return pd.DataFrame(
        {
            "member": members,
            "called_on": [(as_of + dt.timedelta(days=int(day))).isoformat() for day in days],
            "action": "call",
            "outcome": "reached",
        }
    )


def tables(
    as_of: dt.date, made: pd.DataFrame | None = None, *, labelled: bool = False
) -> dict[str, pd.DataFrame]:
    """The drop of a month, with the calls made since the month before; labels come later."""
    nobody = pd.DataFrame(columns=["member", "called_on", "action", "outcome"])
    found = {**month_tables(as_of), "calls": nobody if made is None else made}
    if not labelled:
        del found["leavers"]
    return found


def live(folder: Path) -> Services:
    """Three months. February and March have plans, and February's list was worked."""
    home = make_home(folder, contract())
    deliver(home, JANUARY, tables(JANUARY, labelled=True))
    deliver(home, FEBRUARY, tables(FEBRUARY))
    run(open_home(folder))
    home = open_home(folder)
    deliver_march(home)
    run(home)
    return open_home(folder)


def deliver_march(home: Services) -> None:
    """The drop of March with the calls from February's list, and February's labels."""
    deliver(home, MARCH, tables(MARCH, calls(home, FEBRUARY)))
    deliver(home, FEBRUARY, {"leavers": month_tables(FEBRUARY)["leavers"]})


def deliver_april(home: Services) -> None:
    """The drop of April without labels; nobody worked March's list."""
    deliver(home, APRIL, tables(APRIL))
