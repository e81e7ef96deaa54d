"""What a contact plan holds, why customers are excluded, what waits, and where the list is."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from churn_platform.base.errors import UsageError
from churn_platform.base.stored import Stored
from churn_platform.contacts.log import ContactLog
from churn_platform.contacts.plan import ARM, ASSIGNED, UNTOUCHED
from churn_platform.contacts.plans import ContactPlanRecord, ContactPlans
from churn_platform.contract.model import Contract
from churn_platform.scoring.contact_list import contact_list
from churn_platform.scoring.contact_planning import ContactPlanning


class ContactStatus(Stored):
    """The contact plan of a month.

    Attributes:
        note: why there is no plan; None if there is one.
        waiting: whether the plan follows the decision on a candidate.
        version: the version that scored the customers.
        budget: customers that were to be contacted.
        assigned: customers on the list; `explore` of them were drawn below the cut.
        untouched: customers above the cut who are left alone at random.
        excluded: reason -> customers who are in neither group.
        contacted: customers of the list who were contacted since, as far as it is recorded.
        untouched_contacted: untouched customers who were contacted although they should not be.
        list_file: the list as CSV; None without a plan.
        excel_file: the list as Excel.
        test: the test of two versions that the month belongs to; only where one does.
    """

    as_of: str
    note: str | None
    waiting: bool
    version: int | None
    budget: int
    assigned: int
    explore: int
    untouched: int
    excluded: dict[str, int]
    contacted: int
    untouched_contacted: int
    list_file: str | None
    excel_file: str | None
    test: str | None = None


def asked_month(
    contract: Contract,
    months: Sequence[dt.date],
    as_of: dt.date | None,
    *,
    before_the_first: str,
    of_another: str,
) -> dt.date:
    """The month that a question about contacts is about, by default the newest.

    Args:
        contract: the contract.
        months: those that have an answer, oldest first.
        as_of: the month that was asked for.
        before_the_first: the error while no month has an answer.
        of_another: the error where this one has none, with `{month}` and `{known}`.

    Raises:
        UsageError: the contract names no contacts, or the month has no answer.
    """
    if contract.contacts is None:
        raise UsageError(
            "The contract names no table of contacts: add `contacts` to it (docs/contract.md).",
            code="CONTACTS_NOT_DECLARED",
        )
    if not months:
        raise UsageError(before_the_first, code="MONTH_UNKNOWN")
    month = as_of or months[-1]
    if month not in months:
        known = ", ".join(one.isoformat() for one in months)
        raise UsageError(of_another.format(month=month, known=known), code="MONTH_UNKNOWN")
    return month


@dataclass(frozen=True)
class ContactStatuses:
    """Answers questions about the contact plans of one home."""

    contract: Contract
    plans: ContactPlans
    planning: ContactPlanning
    log: ContactLog
    reports: Path

    def newest(self) -> ContactStatus | None:
        """The plan of the newest month; None where the contract names no contacts, or before the
        first plan.
        """
        months = self._months()
        if self.contract.contacts is None or not months:
            return None
        return self._status(months[-1])

    def of(self, as_of: dt.date | None) -> ContactStatus:
        """The plan of a month, of the newest by default. A list whose files are lost is made
        again.

        Raises:
            UsageError: the contract names no contacts, or the month has no plan.
        """
        month = asked_month(
            self.contract,
            self._months(),
            as_of,
            before_the_first="No contacts are planned yet: `churn run` plans them with the scores.",
            of_another="There is no contact plan of {month}; months with one: {known}.",
        )
        self.planning.restored(month)
        return self._status(month)

    def _months(self) -> list[dt.date]:
        return self.plans.records.months("contact_plan")

    def _status(self, month: dt.date) -> ContactStatus:
        record = self.plans.record(month) or ContactPlanRecord()
        csv = contact_list(self.reports, month) if record.digest else None
        contacted, untouched_contacted = self._contacted(month, record)
        found = ContactStatus(
            as_of=month.isoformat(),
            note=record.note,
            waiting=record.waiting,
            version=record.version,
            budget=record.budget,
            assigned=record.assigned,
            explore=record.explore,
            untouched=record.untouched,
            excluded=record.excluded,
            contacted=contacted,
            untouched_contacted=untouched_contacted,
            list_file=str(csv) if csv else None,
            excel_file=str(csv.with_suffix(".xlsx")) if csv else None,
        )
        if record.test is not None:
            found = found.model_copy(update={"test": record.test})
        return found

    def _contacted(self, month: dt.date, record: ContactPlanRecord) -> tuple[int, int]:
        """How many assigned and how many untouched customers were contacted before the label
        of the month is known.
        """
        if record.digest is None:
            return 0, 0
        known = self.log.known(self.planning.now())
        days = known["contacted_on"]
        until = self.contract.matures(month)
        since = known[(days > str(month)) & (days <= str(until))]
        rows = self.plans.rows(month)
        arms = rows.loc[rows[self.contract.entity.column].isin(since.iloc[:, 0]), ARM]
        return int(arms.isin(ASSIGNED).sum()), int((arms == UNTOUCHED).sum())
