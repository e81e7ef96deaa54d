"""The days of a window before an as_of: its first day, and where its newer half begins."""

import calendar
import datetime as dt

from churn_platform.contract.columns import Span
from churn_platform.contract.events import ALL, span_of


def first_day(length: str, as_of: dt.date) -> dt.date:
    """The first day of the window of a length such as `30d` that ends with the as_of.

    A window of months begins after the same day of an earlier month. From the last day of a
    month it begins after the last day of the earlier one, so that it holds complete months.
    """
    if length == ALL:
        return dt.date.min
    return _after(_before(span_of(length), as_of))


def middle(length: str, as_of: dt.date) -> dt.date:
    """The first day of the newer half of a window; its length is even."""
    span = span_of(length)
    days = 7 * span.weeks + span.days
    return _after(_before(Span(months=span.months // 2, days=days // 2), as_of))


def _before(span: Span, as_of: dt.date) -> dt.date:
    """The date a span before the as_of; at least the first date that there is."""
    months = 12 * as_of.year + as_of.month - 1 - span.months
    if months < 12:  # noqa: PLR2004 - before year 1
        return dt.date.min
    year, month = months // 12, months % 12 + 1
    longest = calendar.monthrange(year, month)[1]
    ends = as_of.day == calendar.monthrange(as_of.year, as_of.month)[1]
    start = dt.date(year, month, longest if span.months and ends else min(as_of.day, longest))
    days = 7 * span.weeks + span.days
    return start - dt.timedelta(days=min(days, (start - dt.date.min).days))


def _after(day: dt.date) -> dt.date:
    return day + dt.timedelta(days=1)
