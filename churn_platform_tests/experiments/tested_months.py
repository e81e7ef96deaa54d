"""Months of the gym with contacts in which two versions are tested."""

import datetime as dt

import numpy as np

from churn_platform.contacts.plan import ARM, ASSIGNED, LIST
from churn_platform_tests.contacts.contacted_gym import calls, tables
from churn_platform_tests.small_business import deliver, month_tables, monthly, open_home

MAY, JUNE = dt.date(2024, 5, 31), dt.date(2024, 6, 30)
ANN = ("Ann", "To see which list saves more.")
BUDGET = 400


def reopened(home):
    """The home as a new process sees it."""
    return open_home(home.folder)


def planned_month(home, as_of, before=None):
    """Process a drop, with the calls of the month before; the rows of the plan."""
    made = None if before is None else calls(home, before)
    deliver(home, as_of, tables(as_of, made))
    home = reopened(home)
    monthly(home, as_of)
    return home, home.contact_plans.rows(as_of)


def labelled_month(home, as_of, saved):
    """Deliver the labels of a planned month.

    Args:
        saved: list -> share of its assigned leavers who stay; below 0 the share of its assigned
            stayers who leave because of the contact.
    """
    rows = home.contact_plans.rows(as_of).set_index("member")
    leavers = month_tables(as_of)["leavers"]
    own = rows.reindex(leavers["member"])
    share = own[LIST].map(saved).fillna(0).to_numpy(dtype=float)
    share[~own[ARM].isin(ASSIGNED).to_numpy()] = 0
    draw = np.random.default_rng(as_of.toordinal()).random(len(leavers))
    left = leavers["has_left"].to_numpy()
    leavers["has_left"] = (left & ~(draw < share)) | (~left & (draw < -share))
    deliver(home, as_of, {"leavers": leavers})
    home = reopened(home)
    home.ingestion.publish(as_of)
    return reopened(home)
