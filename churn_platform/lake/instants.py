"""Times on the clocks of a zone as instants, and instants as days of a zone.

Both are in microseconds of int64: 10,000,000 of them take a second.
"""

import datetime as dt
import zoneinfo
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd

INSTANTS: Final = "datetime64[us, UTC]"
"""The pandas dtype of instants."""
DAY: Final = 86_400_000_000
"""Microseconds."""
EPOCH: Final = dt.datetime(1970, 1, 1)
MICROSECOND: Final = dt.timedelta(microseconds=1)
Microseconds = np.ndarray[Any, np.dtype[np.int64]]


def instants(local: pd.Series, zone: str) -> pd.Series:
    """The instants (rows,) of times without a zone (rows, `datetime64[us]`), null where they are.

    An hour that comes twice in autumn is the first of the two. A time that the clocks skip in
    spring counts as if they had not been changed: 02:30 is the instant that they show as 03:30.
    """
    known = local.notna().to_numpy()
    clock = local.to_numpy(dtype="datetime64[us]").astype(np.int64)
    there = zoneinfo.ZoneInfo(zone)

    def offset(time: dt.datetime) -> dt.timedelta | None:
        return time.replace(tzinfo=there).utcoffset()

    clock[known] -= _offsets(clock[known], zone, offset)
    return pd.Series(clock.view("datetime64[us]"), index=local.index).dt.tz_localize("UTC")


def days(moments: pd.Series, zone: str) -> pd.Series:
    """The days of a zone (rows, `datetime64[s]`) on which instants (rows,) or times without a
    zone lie, null where they are.
    """
    if not isinstance(moments.dtype, pd.DatetimeTZDtype):
        dates: pd.Series = moments.dt.normalize().astype("datetime64[s]")
        return dates
    known = moments.notna().to_numpy()
    clock = moments.dt.tz_localize(None).to_numpy(dtype="datetime64[us]").astype(np.int64)
    there = zoneinfo.ZoneInfo(zone)

    def offset(time: dt.datetime) -> dt.timedelta | None:
        return time.replace(tzinfo=dt.UTC).astimezone(there).utcoffset()

    clock[known] += _offsets(clock[known], zone, offset)
    found = pd.Series(clock.view("datetime64[us]").astype("datetime64[D]"), index=moments.index)
    return found.astype("datetime64[s]")


def _offsets(
    clock: Microseconds, zone: str, offset: Callable[[dt.datetime], dt.timedelta | None]
) -> Microseconds:
    """What a zone is ahead of UTC at each time. On most days that is one number; the times of
    other days are asked for one by one.
    """
    if zone == "UTC" or not len(clock):
        return np.zeros(len(clock), dtype=np.int64)

    def at(time: int) -> int:
        try:
            ahead = offset(EPOCH + dt.timedelta(microseconds=time))
        except OverflowError:  # before the year 1, after the year 9999
            return 0
        return (ahead or dt.timedelta()) // MICROSECOND

    day = clock // DAY
    first = int(day.min())
    present = pd.unique(day)
    begins = np.zeros(int(day.max()) - first + 1, dtype=np.int64)
    changes = np.zeros(len(begins), dtype=bool)
    for number in present.tolist():
        begins[number - first] = at(number * DAY)
        changes[number - first] = begins[number - first] != at((number + 1) * DAY)
    found = begins[day - first]
    single = changes[day - first]
    if single.any():
        codes, times = pd.factorize(clock[single])
        found[single] = np.array([at(time) for time in times.tolist()])[codes]
    return found
