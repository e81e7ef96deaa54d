"""Cadence, days of delivery and the label's horizon, as the dates of drops suggest them."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Literal

from churn_platform.contract.columns import Span

Cadence = Literal["month", "week", "day"]
DAYS: dict[Cadence, int] = {"month": 5, "week": 2, "day": 0}
"""Days in which a correction still counts, by cadence."""
USUAL_GAPS: dict[Cadence, tuple[int, int]] = {"month": (28, 31), "week": (7, 7), "day": (1, 1)}
"""Days between two drops, from and to, that leave no doubt about the cadence."""
MONTH_DAYS = range(27, 36)
PERIODS = "does it mark who left after the as_of, or before it (`period`)?"


@dataclass(frozen=True)
class Times:
    """Cadence, days of delivery and the label's horizon, each with the reason to confirm it."""

    cadence: Cadence = "month"
    cadence_doubt: str = "only one drop was seen"
    delivery_days: int = DAYS["month"]
    delivery_doubt: str = "a later correction does not change what its model trains on"
    horizon: Span = field(default_factory=Span)
    period: Literal["after", "before"] = "before"
    horizon_doubt: str = f"the label came with its drop; {PERIODS}"


def guess_times(as_ofs: Sequence[dt.date], labelled: dt.date | None) -> Times:
    """Cadence and horizon as the dates of the drops suggest.

    Args:
        as_ofs: the drops' dates, oldest first.
        labelled: the newest of them that has labels; None if its folder has no date.
    """
    if labelled is None or len(as_ofs) < 2:  # noqa: PLR2004 - a gap needs two
        return Times()
    gap = median((later - earlier).days for earlier, later in pairwise(as_ofs))
    cadence: Cadence = "month"
    if gap <= 3:  # noqa: PLR2004 - days
        cadence = "day"
    elif gap <= 13:  # noqa: PLR2004 - days
        cadence = "week"
    shortest, longest = USUAL_GAPS[cadence]
    usual = shortest <= gap <= longest
    waiting = sum(as_of > labelled for as_of in as_ofs)
    seen = "the newest drop has its labels"
    if waiting:
        seen = f"the newest {waiting} drop{'s have' if waiting > 1 else ' has'} no labels yet"
    return Times(
        cadence=cadence,
        cadence_doubt="" if usual else f"{gap:g} days lie between the drops",
        delivery_days=DAYS[cadence],
        horizon=_horizon(cadence, waiting),
        # A label that is known at once can only mark who has left already.
        period="after" if waiting else "before",
        horizon_doubt=f"{seen}; {PERIODS}",
    )


def _horizon(cadence: Cadence, waiting: int) -> Span:
    """The span in which so many drops wait for their labels; a calendar month in place of four
    or five weeks.
    """
    if cadence == "month":
        return Span(months=waiting)
    days = waiting
    if cadence == "week":
        days = 7 * waiting
    if days in MONTH_DAYS:
        return Span(months=1)
    if days % 7 == 0:
        return Span(weeks=days // 7)
    return Span(days=days)
