"""The monthly report as a message: the answers in words, the page as an attachment."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from churn_platform.alerting.channels import Attachment
from churn_platform.alerting.dagster_ui import report_url
from churn_platform.alerting.messages import Message
from churn_platform.alerting.report_mail import ReportMail
from churn_platform.base.errors import ChurnError, HomeBusy
from churn_platform.base.home import Home
from churn_platform.contract.model import Contract
from churn_platform.contract.policy import Audience
from churn_platform.lake.records import Records
from churn_platform.loop.progress import Progress
from churn_platform.reports.monthly.figures import MonthlyReport
from churn_platform.reports.monthly.making import MonthlyReports
from churn_platform.scoring.contact_list import contact_list

EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

WITHOUT_KEYS = "The list names customers, so it is not in this message or its page."


@dataclass(frozen=True)
class ReportMails:
    """The monthly reports that a home sends; built before anything of the home is read."""

    home: Home
    records: Records
    contract: Callable[[], Contract]
    reports: Callable[[], MonthlyReports]
    progress: Callable[[], Progress]

    def audiences(self) -> tuple[str, ...]:
        """The audiences whose report the policy sends; none while the contract is refused."""
        try:
            return self.contract().policy.reports.send
        except ChurnError:
            return ()

    def newest(self) -> str:
        """The newest month that has or will have a report; empty before the first."""
        return max((month.isoformat() for month in self.records.months("scores")), default="")

    def mail(self, audience: str) -> ReportMail | None:
        """The newest report for an audience, as known now.

        None while a run holds the home, and while a month or a retraining is due.
        """
        if not self.home.is_free() or self.progress().next_step() is not None:
            return None
        try:
            month, report = self.reports().of(None)
        except HomeBusy:
            return None
        readers = cast("Audience", audience)
        with_keys = self.contract().policy.reports.keys_by_mail
        page = self.reports().page(month, report, readers, with_keys=with_keys)
        attached = [
            Attachment(f"report_{audience}_{month}.html", page.encode(), "text/html"),
        ]
        excel = contact_list(self.home.reports, month).with_suffix(".xlsx")
        if audience == "team" and with_keys and excel.exists():
            attached.append(Attachment(f"{excel.stem}_{month}.xlsx", excel.read_bytes(), EXCEL))
        message = self._message(report, readers, self.reports().file(month, readers))
        if not with_keys and any(answer.customers for answer in report.answers(readers)):
            message = replace(message, body=f"{message.body}\n\n{WITHOUT_KEYS}")
        return ReportMail(month.isoformat(), message, tuple(attached))

    def _message(self, report: MonthlyReport, audience: Audience, page: Path) -> Message:
        """The answers in words; a blank line between paragraphs, as alerts have."""
        paragraphs = []
        for answer in report.answers(audience):
            said = " ".join(sentence.plain for sentence in answer.sentences)
            paragraphs.append(f"{answer.question}\n\n{said}")
        where = f"The page: `churn report {report.as_of} --for {audience}`."
        if self.home.settings.reports_url:
            where = f"The page: {report_url(self.home, page)}"
        title = f"{report.business}: report of {report.as_of} for the {audience}"
        return Message(title, "\n\n".join([*paragraphs, where]), "info")
