"""Texts that people write: dates, and parts of sentences."""

import datetime as dt

from churn_platform.base.errors import UsageError

EXAMPLES = 3
"""The number of examples of a fault that are shown."""


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
