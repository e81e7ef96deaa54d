"""Which snapshot a moment reaches: the rule of a point-in-time join where each snapshot has one date.

`adapters/features/offline_store.py` joins by it.
"""

import datetime as dt
from collections.abc import Iterable

import pandas as pd


def reached(
    days: Iterable[dt.date], moments: Iterable[pd.Timestamp], ttl: dt.timedelta | None
) -> dict[pd.Timestamp, dt.date] | None:
    """The one snapshot that each moment reaches; a moment that reaches none is left out.

    Args:
        days: the dates of the snapshots, each true at midnight UTC.
        moments: the moments asked for.
        ttl: how old a snapshot may be; no limit where it is none or zero.

    Returns:
        None when a moment reaches two snapshots: the newest row of each customer is another question.
    """
    known = [(day, pd.Timestamp(day, tz="UTC")) for day in days]
    found = {}
    for moment in moments:
        own = [day for day, true in known if _in_reach(moment - true, ttl)]
        if len(own) > 1:
            return None
        if own:
            found[moment] = own[0]
    return found


def _in_reach(age: pd.Timedelta, ttl: dt.timedelta | None) -> bool:
    """Feast's condition: not later than asked, and not older than the view's time to live."""
    return age >= pd.Timedelta(0) and (not ttl or age <= ttl)
