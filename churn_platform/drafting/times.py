"""What the dates of the drops suggest: the cadence, and how long after its month a label is
known.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Literal

from churn_platform.contract.model import Span

Cadence = Literal["month", "week", "day"]
DAYS: dict[Cadence, int] = {"month": 5, "week": 2, "day": 0}
"""Days in which a correction still counts, for each cadence."""
MONTH_OF_DAYS = range(27, 33)
Period = Literal["after", "before"]
PERIODS = "does it say who left after the as_of, or before it (`period`)?"


@dataclass(frozen=True)
class Times:
    """Cadence, days of delivery and the label's horizon, each with the reason to confirm it."""

    cadence: Cadence = "month"
    cadence_doubt: str = "only one drop was seen"
    delivery_days: int = DAYS["month"]
    delivery_doubt: str = "a later correction does not change what its model trains on"
    horizon: Span = field(default_factory=Span)
    period: Period = "before"
    horizon_doubt: str = f"the label came with its drop; {PERIODS}"


def guess_times(as_ofs: Sequence[dt.date], labelled: dt.date) -> Times:
    """The times of drops, of which `labelled` is the newest that has labels.

    Args:
        as_ofs: the drops' dates, oldest first.
        labelled: one of them.
    """
    waiting = sum(as_of > labelled for as_of in as_ofs)
    if len(as_ofs) < 2:  # noqa: PLR2004 - a gap needs two
        return Times()
    gap = median((later - earlier).days for earlier, later in pairwise(as_ofs))
    cadence: Cadence = "day" if gap <= 3 else "week" if gap <= 13 else "month"  # noqa: PLR2004 - days
    fits = {"day": gap == 1, "week": gap == 7, "month": 28 <= gap <= 31}[cadence]  # noqa: PLR2004 - days
    said = "the newest drop has its labels"
    # A label that is known at once can only say who has left already.
    period: Period = "after" if waiting else "before"
    if waiting:
        said = f"the newest {waiting} drop{'s have' if waiting > 1 else ' has'} no labels yet"
    return Times(
        cadence=cadence,
        cadence_doubt="" if fits else f"{gap:g} days lie between the drops",
        delivery_days=DAYS[cadence],
        horizon=_horizon(cadence, waiting),
        period=period,
        horizon_doubt=f"{said}; {PERIODS}",
    )


def _horizon(cadence: Cadence, waiting: int) -> Span:
    """The usual span in which so many drops wait for their labels; a calendar month rather than
    four or five weeks.
    """
    if cadence == "month":
        return Span(months=waiting)
    days = waiting * (7 if cadence == "week" else 1)
    if days in MONTH_OF_DAYS or (cadence == "week" and waiting in (4, 5)):
        return Span(months=1)
    if days % 7 == 0:
        return Span(weeks=days // 7)
    return Span(days=days)
