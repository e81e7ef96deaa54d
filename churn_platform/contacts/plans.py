"""The registered contact plans of a home.

A plan is registered in the ledger before its file exists: the receipt holds the digest of who
is in which arm with which probability, so nobody can choose afterwards.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Final, Literal

import pandas as pd
from pydantic import Field

from churn_platform.base.errors import IntegrityError
from churn_platform.base.stored import Stored
from churn_platform.contacts.correction import RegisteredPlan
from churn_platform.contacts.plan import (
    ASSIGNED,
    BELOW,
    CONTACT,
    EXPLORE,
    UNTOUCHED,
    ContactPlan,
    plan_digest,
)
from churn_platform.contract.model import Contract
from churn_platform.lake.records import Records
from churn_platform.ledger.acts import ContactPlanRegistered
from churn_platform.ledger.erasures import current
from churn_platform.ledger.store import LedgerStore

KIND: Final = "contact_plan"


class ContactPlanRecord(Stored):
    """The record of the step `contact_plan`."""

    snapshot: str = ""
    inputs: str = ""
    note: str | None = None
    """Why the month has no plan."""
    waiting: bool = False
    """Whether the plan follows the decision on a candidate."""
    version: int | None = None
    """The version that scored the customers."""
    experiment: str | None = None
    digest: str | None = None
    """Digest of key, arm and probability of every row, as registered."""
    budget: int = 0
    contact: int = 0
    explore: int = 0
    untouched: int = 0
    below: int = 0
    excluded: dict[str, int] = Field(default_factory=dict)
    untouched_share: float = 0.0
    explore_share: float = 0.0
    ranked_by: Literal["risk", "effect"] = "risk"
    """Recorded where the effect of a contact ranks the list."""
    list_digest: str | None = None
    """Of the list for the team as CSV."""

    @property
    def assigned(self) -> int:
        """Customers on the list for the team."""
        return self.contact + self.explore


@dataclass(frozen=True)
class ContactPlans:
    """The plans of one home: registered, read back, and found by month."""

    contract: Contract
    records: Records
    ledger: LedgerStore
    read: dict[tuple[dt.date, str], pd.DataFrame] = field(
        default_factory=dict, repr=False, compare=False
    )
    """Plans that were read and found as registered, by month and digest."""

    def record(self, as_of: dt.date) -> ContactPlanRecord | None:
        """The record of a month; None before the step ran."""
        fields = self.records.read(KIND, as_of)
        if fields is None:
            return None
        return ContactPlanRecord.read(fields, f"The contact plan of {as_of}")

    def months(self) -> list[dt.date]:
        """The months with a plan, oldest first."""
        records = {month: self.record(month) for month in self.records.months(KIND)}
        return [month for month, found in records.items() if found is not None and found.digest]

    def rows(self, as_of: dt.date) -> pd.DataFrame:
        """The rows of a month's plan.

        Raises:
            IntegrityError: they are not those that were registered.
        """
        record = self.record(as_of)
        wanted = "" if record is None else record.digest or ""
        if (as_of, wanted) not in self.read:
            self.read[as_of, wanted] = self._registered(as_of, wanted)
        return self.read[as_of, wanted]

    def _registered(self, as_of: dt.date, digest: str) -> pd.DataFrame:
        rows = self.records.frame(KIND, as_of)
        own = plan_digest(rows, self.contract.entity.column)
        if own != digest or not self.is_registered(as_of, digest):
            raise IntegrityError(
                f"The contact plan of {as_of} is not the one that was registered: restore it"
                " from a backup (`churn verify` names the receipt).",
                code="CONTACT_PLAN_CHANGED",
            )
        return rows

    def is_registered(self, as_of: dt.date, digest: str) -> bool:
        """Whether a receipt holds the digest, or one that an erasure has replaced by it."""
        receipts = self.ledger.receipts()
        registered = [
            current(receipts, receipt.evidence["digest"], receipt.sequence)
            for receipt in receipts
            if receipt.act == "contact plan registered" and receipt.subject == as_of.isoformat()
        ]
        return digest in registered

    def worked_between(self, after: dt.date, until: dt.date) -> list[RegisteredPlan]:
        """The plans whose contacts fall into a time: those of the months from `after` on and
        before `until`.
        """
        key = self.contract.entity.column
        found = []
        for month in self.months():
            if after <= month < until:
                rows = self.rows(month).set_index(key)
                found.append(RegisteredPlan(month.isoformat(), rows))
        return found

    def register(self, as_of: dt.date, made: ContactPlan, version: int) -> str:
        """Record a plan in the ledger, before its file exists; once for each content.

        Returns:
            The digest of the plan.
        """
        policy = self.contract.policy.contacts
        digest = plan_digest(made.rows, self.contract.entity.column)
        if self.is_registered(as_of, digest):
            return digest
        listed = made.count(*ASSIGNED)
        self.ledger.append(
            ContactPlanRegistered(
                month=as_of,
                reason=(
                    f"{listed:,} customers are to be contacted; {made.count(UNTOUCHED):,} are"
                    " left untouched at random."
                ),
                digest=digest,
                experiment=experiment_of(as_of),
                salt=policy.salt,
                untouched_share=policy.untouched_share,
                explore_share=policy.explore_share,
                budget=made.budget,
                contact=made.count(CONTACT),
                explore=made.count(EXPLORE),
                untouched=made.count(UNTOUCHED),
                below=made.count(BELOW),
                excluded=made.excluded,
                version=version,
                policy=self.contract.policy_hash,
            )
        )
        return digest


def experiment_of(as_of: dt.date) -> str:
    """The name under which the arms of a month are drawn. Each month draws anew: who is
    compared is then exactly who was drawn, whoever has left since the month before.
    """
    return as_of.isoformat()
