"""A monthly report as a message, and where such messages come from."""

from dataclasses import dataclass
from typing import Protocol

from churn_platform.alerting.channels import Attachment
from churn_platform.alerting.messages import Message


@dataclass(frozen=True)
class ReportMail:
    """The report of a month for one audience."""

    as_of: str
    message: Message
    attachments: tuple[Attachment, ...]


class ReportsToSend(Protocol):
    """The monthly reports that a home sends."""

    def audiences(self) -> tuple[str, ...]:
        """The audiences whose report the policy sends."""

    def newest(self) -> str:
        """The month of the newest report; empty before the first."""

    def mail(self, audience: str) -> ReportMail | None:
        """The newest report for an audience; None while its month's run is not complete."""


class NoReports:
    """A home that sends no reports."""

    def audiences(self) -> tuple[str, ...]:
        """No audience."""
        return ()

    def newest(self) -> str:
        """No month."""
        return ""

    def mail(self, audience: str) -> ReportMail | None:  # noqa: ARG002 - as the protocol has it
        """No report."""
        return None
