"""The days of a log without events: gaps that chance does not explain."""

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

AROUND: Final = 91
"""Days before and after a gap that say what is usual."""
LEAST_DAYS: Final = 7
"""Days with events without which nothing is usual yet."""
BY_CHANCE: Final = 0.01
"""A gap is named if fewer of its length are expected by chance."""
WEEK: Final = 7
LARGEST_DAY: Final = 4_000_000
"""More days than there are from 1970 to the year 9999."""
Counts = np.ndarray[Any, np.dtype[np.integer[Any]]]


@dataclass(frozen=True)
class Gap:
    """Days without events, from the first to the last one."""

    first: dt.date
    last: dt.date

    @property
    def said(self) -> str:
        """The days: `on 2024-05-03`, `between 2024-05-03 and 2024-05-09`."""
        if self.first == self.last:
            return f"on {self.first}"
        return f"between {self.first} and {self.last}"


def customers_a_day(days: pd.Series, keys: pd.Series) -> pd.Series:
    """Day -> how many customers have events on it (days,), of the days (rows, `datetime64[s]`)
    and the keys (rows,) of events.
    """
    day = days.to_numpy().astype("datetime64[D]").astype(np.int64)
    pairs = pd.unique(pd.factorize(keys)[0] * LARGEST_DAY + day)
    number, customers = np.unique(pairs % LARGEST_DAY, return_counts=True)
    return pd.Series(customers, index=pd.DatetimeIndex(number.astype("datetime64[D]")))


def gaps(customers: pd.Series, first: dt.date, last: dt.date) -> list[Gap]:
    """The gaps of a log that end between two days, oldest first.

    The chance that a day is empty is the share of empty ones among the same days of the week
    around the gap, and at least exp(-m), where m is the median of their customers: so many
    customers come by themselves (Poisson), while one of them can have many events. A gap is
    named if its days together are empty less than once in a hundred such periods. A log that is
    closed on Sundays, or that is written once a month, has no gap then.

    Args:
        customers: day -> how many customers have events on it (days,); other days have none.
        first: the first day that was not judged before.
        last: the last day that the log covers.
    """
    if customers.empty:
        return []
    begin = min(pd.Timestamp(customers.index.min()), pd.Timestamp(first))
    covered = pd.date_range(begin, last)
    counts = customers.reindex(covered, fill_value=0).to_numpy()
    found = []
    edges = np.flatnonzero(np.diff(np.r_[False, counts == 0, False].astype(np.int8)))
    for start, end in edges.reshape(-1, 2).tolist():
        known = start > 0 and covered[end - 1] >= pd.Timestamp(first)
        if known and _is_no_chance(counts, start, end):
            found.append(Gap(covered[start].date(), covered[end - 1].date()))
    return found


def _is_no_chance(counts: Counts, start: int, end: int) -> bool:
    """Whether the empty days from `start` to before `end` are a gap."""
    place = np.arange(max(0, start - AROUND), min(len(counts), end + AROUND))
    others = place[(place < start) | (place >= end)]
    busy = int((counts[others] > 0).sum())
    if busy < max(LEAST_DAYS, end - start):
        return False
    empty = np.ones(WEEK)
    for weekday in range(WEEK):
        same = counts[others[others % WEEK == weekday]]
        if len(same):
            empty[weekday] = max((same == 0).mean(), np.exp(-np.median(same)))
    chance = np.prod(empty[np.arange(start, end) % WEEK])
    return bool(len(place) * chance < BY_CHANCE)
