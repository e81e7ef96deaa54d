"""The pages of a monthly report: self-contained HTML, the same bytes for the same report."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from churn_platform.base import pages
from churn_platform.base.digests import digest_of
from churn_platform.base.files import sha256_file
from churn_platform.base.pages import render
from churn_platform.contract.policy import Audience
from churn_platform.reports.monthly.figures import (
    Answer,
    MonthlyReport,
    Sources,
    Trend,
)
from churn_platform.reports.monthly.trend_chart import chart_of, span_chart
from churn_platform.reports.monthly.words import are, day, short_month, shortened

TEMPLATE = Path(__file__).with_name("report.html.j2")
SHOWN = 20
"""Customers of the list on the page; the files of the list hold all of them."""
LONGEST_TABLE = 12
"""Months of a trend that are also written as a table."""
MOST_OF_A_REASON = 80
RAISES = " raises the risk"
TITLES: dict[Audience, str] = {
    "team": "For the retention team",
    "manager": "For the manager",
    "approver": "For the approver",
}


@dataclass(frozen=True)
class CustomerRow:
    """A customer on the list of the month.

    Attributes:
        new: whether they were not on the list before; None without a list before.
    """

    key: str
    risk: float
    new: bool | None
    reasons: tuple[str, ...]


def page(
    report: MonthlyReport,
    audience: Audience,
    customers: Sequence[CustomerRow],
    list_name: str = "",
    listed: int | None = None,
) -> str:
    """The page for an audience.

    Args:
        report: the report.
        audience: for whom.
        customers: the list of the month in its order; empty where keys must not be shown.
        list_name: the file with all customers of the list.
        listed: how many these are, if `customers` are only the first of them.
    """
    total = len(customers) if listed is None else listed
    return render(
        TEMPLATE,
        report=report,
        title=TITLES[audience],
        date=day(report.as_of),
        answers=report.answers(audience),
        customers=customers[:SHOWN],
        more=max(total - SHOWN, 0),
        list_name=list_name,
        chart_of=chart_of,
        span_chart=span_chart,
        sources=sources_text,
        all_sources=all_sources,
        trend_sources=trend_sources,
        month=short_month,
        mark=mark,
        are=are,
        reasons=reasons_text,
        whole_percent=lambda risk: f"{risk:.0%}",
        newest=lambda trend: trend.known[-LONGEST_TABLE:],
    )


def mark(customer: CustomerRow) -> str:
    """Whether a customer was on the list before."""
    if customer.new is None:
        return ""
    return "new" if customer.new else "again"


def reasons_text(customer: CustomerRow) -> str:
    """Why a customer is on the list; that a reason raises the risk goes without saying."""
    return "; ".join(
        shortened(reason.removesuffix(RAISES), MOST_OF_A_REASON) for reason in customer.reasons
    )


def sources_text(sources: Sources) -> str:
    """The sources of a figure as an attribute holds them."""
    return " ".join(f"{record}@{digest}" for record, digest in sources.items())


def all_sources(answer: Answer) -> Sources:
    """The sources of every sentence of an answer."""
    found: Sources = {}
    for sentence in answer.sentences:
        found |= sentence.sources
    return found


def trend_sources(trend: Trend) -> Sources:
    """The sources of every month of a trend."""
    found: Sources = {}
    for point in trend.points:
        found |= point.sources
    return found


@cache
def renderer() -> str:
    """Digest of the files that decide the bytes of a page besides the report and the list."""
    folder = Path(__file__).parent
    own = sorted(file for file in folder.iterdir() if file.suffix in (".py", ".j2"))
    return digest_of([sha256_file(file) for file in (*own, Path(pages.__file__))])
