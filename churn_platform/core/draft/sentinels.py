"""Numbers and dates that stand for a missing value: -1, 999, 1900-01-01, 9999-12-31."""

import pandas as pd

LOW = (-1.0, *(-float("9" * digits) for digits in range(1, 8)))
HIGH = tuple(float("9" * digits) for digits in range(2, 11))
FAR = 3
"""A high one is so many times the largest other number."""
FEWEST_OTHERS = 3
DAYS = pd.to_datetime(
    pd.Series(["1753-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1901-01-01", "1970-01-01", "2099-12-31"])
).astype("datetime64[s]")
LAST_YEARS = (1, 2999, 9999)
LONELY_DAYS = 10 * 365
"""No other date is so near to one that stands for a missing value."""


def number_sentinels(numbers: pd.Series) -> pd.Series:
    """Which of the distinct numbers stand for a missing value, as a mask.

    A negative one is the only kind below 0. A high one lies far above all others.
    """
    values = numbers.astype("Float64").astype("float64")
    low = values.isin(LOW)
    others = values[~low & values.notna()]
    if not low.any() or others.nunique() < FEWEST_OTHERS or others.min() < 0:
        low = values.isin([])
    rest = values[~low]
    high = values.isin(HIGH) & ~low
    usual = rest[~rest.isin(HIGH)]
    if not len(usual) or usual.nunique() < FEWEST_OTHERS or usual.max() <= 0:
        return low
    return low | (high & (values / FAR > usual.max()))


def date_sentinels(dates: pd.Series) -> pd.Series:
    """Which of the distinct dates stand for a missing value, as a mask: usual ones, years away from all others."""
    usual = dates.isin(DAYS) | dates.dt.year.isin(LAST_YEARS)
    others = dates[~usual].dropna()
    if others.empty:
        return pd.Series(data=False, index=dates.index)
    first, last = others.min(), others.max()
    lonely = pd.Timedelta(days=LONELY_DAYS).to_timedelta64().astype("timedelta64[s]")
    return pd.Series(usual & ((dates < first - lonely) | (dates > last + lonely)))
