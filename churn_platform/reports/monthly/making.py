"""Makes the monthly reports of a home: a page for each audience, then the record."""

import contextlib
import datetime as dt
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from churn_platform.base.errors import ChurnError, UsageError
from churn_platform.base.files import sha256_file, write_text
from churn_platform.base.home import Home
from churn_platform.contract.policy import Audience
from churn_platform.lake.records import Records
from churn_platform.ledger.store import LedgerStore
from churn_platform.reports.monthly.approver import approver_answers
from churn_platform.reports.monthly.figures import AUDIENCES, MonthlyReport
from churn_platform.reports.monthly.gathering import Gathering
from churn_platform.reports.monthly.manager import manager_answers
from churn_platform.reports.monthly.pages import SHOWN, CustomerRow, page, renderer
from churn_platform.reports.monthly.team import team_answers

KIND: Final = "monthly_report"
PATIENCE = 5.0
"""Seconds that a command waits for the home."""


@dataclass(frozen=True)
class MonthlyReports:
    """The monthly reports of one home."""

    home: Home
    gathering: Gathering
    records: Records
    ledger: LedgerStore

    def make(self, as_of: dt.date) -> MonthlyReport:
        """Make the report of a published month, as known now, and its pages."""
        return self.write(as_of, self.gathered(as_of))

    def gathered(self, as_of: dt.date) -> MonthlyReport:
        """The report of a published month, as known now, without its pages."""
        facts = self.gathering.facts(as_of)
        made_from = self.gathering.labels.months().made_from(as_of)
        return MonthlyReport(
            **made_from,
            as_of=as_of.isoformat(),
            business=facts.contract.name,
            team=team_answers(facts),
            manager=manager_answers(facts),
            approver=approver_answers(facts),
        )

    def write(self, as_of: dt.date, report: MonthlyReport) -> MonthlyReport:
        """Write the pages of a report, then its record with their digests."""
        head = self.ledger.head()
        newest = 0 if head is None else head.sequence
        texts = self.pages(as_of, report)
        report = with_digests(report.model_copy(update={"receipt": newest}), texts)
        for audience, text in texts.items():
            write_text(self.file(as_of, audience), text)
        self.records.write(KIND, as_of, report.as_json())
        return report

    def pages(
        self, as_of: dt.date, report: MonthlyReport, at: Callable[[Path], Path] = Path
    ) -> dict[Audience, str]:
        """The page for each audience; `at` as in `page`."""
        return {audience: self.page(as_of, report, audience, at=at) for audience in AUDIENCES}

    def page(
        self,
        as_of: dt.date,
        report: MonthlyReport,
        audience: Audience,
        *,
        with_keys: bool = True,
        at: Callable[[Path], Path] = Path,
    ) -> str:
        """A page, the same bytes for the same report and list.

        Args:
            as_of: the month.
            report: its report.
            audience: for whom.
            with_keys: whether the customers of the list stand on it.
            at: where a file of the home is read.
        """
        customers: tuple[CustomerRow, ...] = ()
        listed = 0
        planned = of_plan(report)
        if with_keys and any(answer.customers for answer in report.answers(audience)):
            customers, listed = self._customers(as_of, at, planned=planned)
        name = "contact_list.xlsx" if planned else "at_risk.csv"
        return page(report, audience, customers, name, listed)

    def complete(self) -> None:
        """Make the report of the newest processed month, if its run was cut off before that.

        In a home whose months have no reports, nothing is made: they are of an earlier version.
        """
        months = self.records.months("scores")
        made = self.records.months(KIND)
        if not months:
            return
        pages = [self.file(months[-1], audience) for audience in AUDIENCES]
        if not made and not any(page.exists() for page in pages):
            return
        kept = self.record(months[-1])
        if kept is None or self.faults(months[-1], kept):
            with contextlib.suppress(ChurnError):  # a month that is half done
                fresh = self.gathered(months[-1])
                if kept is None or kept.content != fresh.content or self._gone(months[-1]):
                    self.write(months[-1], fresh)

    def faults(self, as_of: dt.date, report: MonthlyReport) -> dict[Audience, str]:
        """The pages that are not those of the report, and why not."""
        found: dict[Audience, str] = {}
        for audience, digest in report.pages.items():
            file = self.file(as_of, audience)
            if not file.exists():
                found[audience] = "is gone"
            elif sha256_file(file) != digest:
                found[audience] = "is not the page that was made"
        return found

    def record(self, as_of: dt.date) -> MonthlyReport | None:
        """The report of a month; None before it was made."""
        fields = self.records.read(KIND, as_of)
        if fields is None:
            return None
        return MonthlyReport.read(fields, f"The report of {as_of}")

    def of(self, as_of: dt.date | None) -> tuple[dt.date, MonthlyReport]:
        """The report of a month, of the newest by default.

        That of the newest month is made again if more is known than when it was made; the
        others stay as they were sent. While a run holds the home nothing is made.

        Raises:
            UsageError: the month was not processed.
            HomeBusy: a run holds the home, and the month has no report yet.
        """
        months = self.records.months("scores")
        if not months:
            raise UsageError("No month is processed yet: type `churn run`.", code="MONTH_UNKNOWN")
        month = as_of or months[-1]
        if month not in months:
            known = ", ".join(one.isoformat() for one in months)
            raise UsageError(
                f"The month {month} was not processed; processed months: {known}.",
                code="MONTH_UNKNOWN",
            )
        kept = self.record(month)
        if kept is not None and (month != months[-1] or not self.home.is_free()):
            return month, kept
        with self.home.exclusive("a report", PATIENCE):
            fresh = self.gathered(month)
            if kept is not None and kept.content == fresh.content and not self._gone(month):
                return month, kept
            return month, self.write(month, fresh)

    def file(self, as_of: dt.date, audience: Audience) -> Path:
        """The page of a month for an audience."""
        return report_file(self.home.reports, as_of, audience)

    def _gone(self, as_of: dt.date) -> bool:
        return not all(self.file(as_of, audience).exists() for audience in AUDIENCES)

    def _customers(
        self, as_of: dt.date, at: Callable[[Path], Path], *, planned: bool
    ) -> tuple[tuple[CustomerRow, ...], int]:
        """The first customers of the list, as the page shows them, and how many there are."""
        gathering = self.gathering
        rows = gathering.list_rows(as_of, planned=planned, at=at)
        key = gathering.contract.entity.column
        before = gathering.before(as_of, planned=planned)
        then = set[object]()
        if before is not None:
            then = set(gathering.list_rows(before, planned=planned, at=at)[key])
        reasons = [name for name in rows.columns if name.startswith("reason_")]
        shown = tuple(
            CustomerRow(
                key=str(row[key]),
                risk=float(row["probability"]),
                new=None if before is None else row[key] not in then,
                reasons=tuple(str(row[name]) for name in reasons if row[name]),
            )
            for row in rows.head(SHOWN).to_dict("records")
        )
        return shown, len(rows)


def report_file(reports: Path, as_of: dt.date, audience: Audience) -> Path:
    """The page of a month for an audience."""
    return reports / as_of.isoformat() / f"report_{audience}.html"


def of_plan(report: MonthlyReport) -> bool:
    """Whether the list of a report is the contact plan's, not the ranked list."""
    return any(
        source.startswith("contact_plan/")
        for answer in report.team
        if answer.customers
        for sentence in answer.sentences
        for source in sentence.sources
    )


def with_digests(report: MonthlyReport, texts: Mapping[Audience, str]) -> MonthlyReport:
    """A report with the digests of its pages."""
    pages = {audience: page_digest(text) for audience, text in texts.items()}
    return report.model_copy(update={"pages": pages, "renderer": renderer()})


def page_digest(text: str) -> str:
    """The digest of a page, as its report has it."""
    return hashlib.sha256(text.encode()).hexdigest()
