"""Texts that people write: dates, and parts of sentences."""

import datetime as dt
import re
from typing import Final

from churn_platform.base.errors import UsageError

Month = dt.date | str
"""An as_of: text such as 2024-01-31, a date, or a pandas Timestamp."""
EXAMPLES = 3
"""The number of examples of a fault that are shown."""
UNITS: Final = {
    "m": dt.timedelta(minutes=1),
    "h": dt.timedelta(hours=1),
    "d": dt.timedelta(days=1),
    "w": dt.timedelta(weeks=1),
}
"""The units in which people type a duration."""


def ended(text: str) -> str:
    """The text with a full stop at its end, unless it ends with a mark already."""
    stripped = text.rstrip()
    if stripped.endswith((".", "!", "?", "…")):
        return stripped
    return f"{stripped}."


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 churner, 2 churners."""
    if number == 1:
        return f"{number:,} {noun}"
    return f"{number:,} {noun}s"


def percent(share: float) -> str:
    """A share as a percentage with at most three figures: "60%", "2.41%"."""
    return f"{100 * share:.3g}%"


def parse_as_of(text: str) -> dt.date:
    """An as_of as people type it.

    Raises:
        UsageError: it is not an ISO date.
    """
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is not a date. Write it as 2024-01-31.", code="DATE_INVALID"
        ) from None


def month_of(as_of: Month) -> dt.date:
    """A month as people type it, or as pandas holds it.

    Raises:
        UsageError: it is not an ISO date.
    """
    if isinstance(as_of, dt.datetime):
        return as_of.date()
    if isinstance(as_of, dt.date):
        return as_of
    return parse_as_of(as_of)


def parse_duration(text: str) -> dt.timedelta:
    """A duration as people type it: 30m, 12h, 1d, 1w.

    Raises:
        UsageError: it is not a number with a unit, or too long.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text.strip(), re.ASCII)
    try:
        if found is not None:
            return float(found[1]) * UNITS[found[2]]
    except OverflowError:
        pass
    raise UsageError(
        f"{text!r} is not a duration. Write it as 30m, 12h, 1d or 1w.", code="DURATION_INVALID"
    ) from None


def duration_text(duration: dt.timedelta) -> str:
    """A duration as people type it, in the largest unit of which it is a whole number."""
    for unit, length in reversed(UNITS.items()):
        if duration % length == dt.timedelta():
            return f"{duration // length}{unit}"
    return f"{duration / UNITS['m']:.3g}m"
