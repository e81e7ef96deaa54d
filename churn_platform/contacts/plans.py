"""The registered contact plans of a home.

A plan is registered in the ledger before its file exists: the receipt holds the digest of who
is in which arm with which probability, so nobody can choose afterwards.
"""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import pandas as pd
from pydantic import Field

from churn_platform.base.errors import IntegrityError
from churn_platform.base.files import read_json
from churn_platform.base.stored import Stored
from churn_platform.contacts.correction import RegisteredPlan
from churn_platform.contacts.plan import (
    ARM,
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
from churn_platform.ledger.acts import ContactPlanRegistered, PlannedTest, Recovered
from churn_platform.ledger.erasures import current
from churn_platform.ledger.receipts import Receipt
from churn_platform.ledger.store import LedgerStore

KIND: Final = "contact_plan"
FORGETTING: Final = Path("forgetting", "plan.json")
"""The plan of an erasure that is under way, in the home."""
REGISTERED: Final = "contact plan registered"


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
    test: str | None = None
    """Recorded where two versions are tested."""
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
        """The months with a registered plan, oldest first."""
        return sorted(self._registrations())

    def registration(self, as_of: dt.date) -> Receipt | None:
        """The receipt of the month's plan that counts: the newest, unless it was withdrawn.

        A plan is registered again only where nobody has seen a list of the one before.
        """
        return self._registrations().get(as_of)

    def _registrations(self) -> dict[dt.date, Receipt]:
        """Month -> the receipt of its plan that counts, in one reading of the ledger."""
        found: dict[dt.date, Receipt] = {}
        for receipt in self.ledger.receipts():
            if receipt.act == REGISTERED:
                found[dt.date.fromisoformat(receipt.subject)] = receipt
            elif receipt.act == "recovery" and receipt.evidence.get("record") == KIND:
                found.pop(dt.date.fromisoformat(receipt.subject), None)
        return found

    def registered_digest(self, as_of: dt.date) -> str | None:
        """The digest of the plan that counts, as erasures have replaced it since."""
        receipt = self.registration(as_of)
        if receipt is None:
            return None
        digest = current(self.ledger.receipts(), receipt.evidence["digest"], receipt.sequence)
        return str(digest)

    def rows(self, as_of: dt.date) -> pd.DataFrame:
        """The rows of a month's plan.

        Raises:
            IntegrityError: they are not those that were registered.
        """
        digest = self.registered_digest(as_of) or ""
        if (as_of, digest) not in self.read:
            self.read[as_of, digest] = self._registered(as_of)
        return self.read[as_of, digest]

    def _registered(self, as_of: dt.date) -> pd.DataFrame:
        if not self.records.path(KIND, as_of, ".parquet").exists():
            raise IntegrityError(
                f"The rows of the contact plan of {as_of} are missing. If a run was cut off,"
                " `churn run` completes it. Otherwise `churn doctor --fix` makes them again if"
                " the scores are still the same, or restore them from a backup.",
                code="CONTACT_PLAN_CHANGED",
            )
        rows = self.records.frame(KIND, as_of)
        self.require_registered(as_of, rows)
        return rows

    def require_registered(self, as_of: dt.date, rows: pd.DataFrame) -> None:
        """Raise IntegrityError if rows are not those of the month's registered plan."""
        digest = plan_digest(rows, self.contract.entity.column)
        registered = self.registered_digest(as_of)
        if digest not in (registered, self._unfinished_erasure().get(registered or "")):
            raise IntegrityError(
                f"The contact plan of {as_of} is not the one that was registered: restore it"
                " from a backup (`churn verify` names the receipt).",
                code="CONTACT_PLAN_CHANGED",
            )

    def _unfinished_erasure(self) -> dict[str, str]:
        """Digest -> new digest, of an erasure that has replaced files but has no receipt yet."""
        path = self.records.home / FORGETTING
        try:
            return dict(read_json(path)["digests"])
        except OSError:  # there is none, or it was completed meanwhile
            return {}

    def unfinished(self) -> list[dt.date]:
        """The months whose plan was registered and then cut off before its record."""
        found = []
        for month in self.months():
            record = self.record(month)
            if record is None or record.digest is None:
                found.append(month)
        return found

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

    def tested_months(self, test: str) -> list[dt.date]:
        """The months whose plan belongs to a test of two versions, oldest first."""
        registrations = self._registrations()
        return sorted(
            month
            for month, receipt in registrations.items()
            if (named := ContactPlanRegistered.of(receipt).test) is not None and named.name == test
        )

    def register(
        self,
        as_of: dt.date,
        made: ContactPlan,
        version: int,
        inputs: str,
        test: PlannedTest | None = None,
    ) -> str:
        """Record a plan in the ledger, before its file exists; once for each content.

        Args:
            as_of: the month.
            made: the plan.
            version: the version that ranked the customers.
            inputs: digest of what the plan was drawn from.
            test: the test of two versions that the plan belongs to.

        Returns:
            The digest of the plan.
        """
        policy = self.contract.policy.contacts
        digest = plan_digest(made.rows, self.contract.entity.column)
        if digest == self.registered_digest(as_of):
            return digest
        listed = made.count(*ASSIGNED)
        reason = (
            f"{listed:,} customers are to be contacted; {made.count(UNTOUCHED):,} are left"
            " untouched at random."
        )
        belongs_to = {}
        if test is not None:
            belongs_to["test"] = test
            reason += (
                f" The month belongs to {test.name} of version {test.version_a} (A) and version"
                f" {test.version_b} (B)."
            )
        self.ledger.append(
            ContactPlanRegistered(
                month=as_of,
                reason=reason,
                digest=digest,
                inputs=inputs,
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
                **belongs_to,
            )
        )
        return digest

    def complete(
        self, as_of: dt.date, rows: pd.DataFrame, made_from: dict[str, str], list_digest: str
    ) -> ContactPlanRecord:
        """Write the record of a plan that is registered and whose rows and list are there."""
        receipt = self.registration(as_of)
        if receipt is None:
            raise IntegrityError(
                f"No receipt registers a contact plan of {as_of}.", code="CONTACT_PLAN_CHANGED"
            )
        registered = ContactPlanRegistered.of(receipt)
        counts = rows[ARM].value_counts()
        record = ContactPlanRecord(
            **made_from,
            version=registered.version,
            experiment=registered.experiment,
            digest=self.registered_digest(as_of),
            budget=registered.budget,
            contact=int(counts.get(CONTACT, 0)),
            explore=int(counts.get(EXPLORE, 0)),
            untouched=int(counts.get(UNTOUCHED, 0)),
            below=int(counts.get(BELOW, 0)),
            excluded=registered.excluded,
            untouched_share=registered.untouched_share,
            explore_share=registered.explore_share,
            list_digest=list_digest,
        )
        if "effect" in rows:
            record = record.model_copy(update={"ranked_by": "effect"})
        if registered.test is not None:
            record = record.model_copy(update={"test": registered.test.name})
        self.records.complete(KIND, as_of, record.as_json())
        return record

    def withdraw(self, as_of: dt.date, reason: str) -> None:
        """Record that a registered plan does not count: it was cut off before anybody could see
        its list.
        """
        self.records.path(KIND, as_of, ".parquet").unlink(missing_ok=True)
        self.ledger.append(Recovered(subject=as_of.isoformat(), reason=reason, record=KIND))


def experiment_of(as_of: dt.date) -> str:
    """The name under which the arms of a month are drawn. Each month draws anew: who is
    compared is then exactly who was drawn, whoever has left since the month before.
    """
    return as_of.isoformat()
