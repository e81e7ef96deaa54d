"""How the monthly report writes dates and numbers for people."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Final

MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
"""Not from the locale: a page is the same on every machine."""
ISO_DAY: Final = re.compile(r"(?<![\w-])\d{4}-\d{2}-\d{2}(?![\w-])")
BELOW_ZERO: Final = re.compile(r"(?<![\w.-])-(0(?:\.0+)?)(?![\d.])")
SMALLEST_SHARE: Final = 0.0005
LONGEST: Final = 320
"""Characters of a text of a record on a page; the record itself has all of it."""
LARGEST: Final = 1e15
"""From here on a number is not written with all of its digits."""


def day(date: dt.date | str) -> str:
    """A date that readers of every country read alike: 31 January 2024."""
    found = dt.date.fromisoformat(date) if isinstance(date, str) else date
    return f"{found.day} {MONTHS[found.month - 1]} {found.year}"


def short_month(date: str) -> str:
    """The month of a date, for an axis: Jan 2024."""
    found = dt.date.fromisoformat(date)
    return f"{MONTHS[found.month - 1][:3]} {found.year}"


def days(dates: Sequence[str]) -> str:
    """The first and the last of some dates."""
    if len(dates) == 1:
        return day(dates[0])
    return f"{day(dates[0])} to {day(dates[-1])}"


def dated(text: str) -> str:
    """A text of a record, with its dates written for people and no 0 below 0."""

    def written(found: re.Match[str]) -> str:
        try:
            return day(found[0])
        except ValueError:
            return found[0]

    return BELOW_ZERO.sub(r"\1", ISO_DAY.sub(written, text))


def shortened(text: str, most: int = LONGEST) -> str:
    """The text, cut at a word if it is too long for a page."""
    if len(text) <= most:
        return text
    cut = text[:most].rstrip()
    kept = cut.rpartition(" ")[0]
    return f"{kept if len(kept) > most // 2 else cut} \N{HORIZONTAL ELLIPSIS}"


def whole(value: float) -> str:
    """A number without decimals, with separators."""
    return _written(value, 0)


def money(value: float) -> str:
    """An amount: with decimals only where it is small."""
    if abs(value) < 100 and value != round(value):  # noqa: PLR2004 - a matter of taste
        return _written(value, 2)
    return _written(value, 0)


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    if 0 < abs(share) < SMALLEST_SHARE:
        return "under 0.1%"
    if 1 - SMALLEST_SHARE < share < 1:
        return "over 99.9%"
    if share in {0.0, 1.0}:
        return f"{share:z.0%}"
    return f"{share:z,.1%}"


def confidence(level: float) -> str:
    """A confidence level: 95%."""
    return f"{100 * level:.4g}%"


def points(share: float) -> str:
    """A difference of two percentages."""
    return f"{percent(share).removesuffix('%')} percentage points"


def plain_number(value: float) -> str:
    """A number with about three figures, never with an exponent."""
    if value == 0 or abs(value) >= 1000:  # noqa: PLR2004 - separators from here on
        return _written(value, 0)
    if abs(value) < 0.001:  # noqa: PLR2004 - too small to read
        return "almost 0"
    return f"{value:z.3g}".replace("-", "\N{MINUS SIGN}")


def customers(count: float) -> str:
    """The noun for so many customers."""
    return "customer" if round(count) == 1 else "customers"


def are(count: float) -> str:
    """The verb for so many customers."""
    return "is" if round(count) == 1 else "are"


def _written(value: float, decimals: int) -> str:
    if abs(value) >= LARGEST:
        return f"{'minus ' if value < 0 else ''}more than a quadrillion"
    return f"{value:z,.{decimals}f}".replace("-", "\N{MINUS SIGN}")
