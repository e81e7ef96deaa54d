"""The decisions of a home as records."""

from churn_platform.base.errors import DataError
from churn_platform.lake.records import Records
from churn_platform.ledger.store import LedgerStore
from churn_platform.promotion.decision import Decision, Trigger


class Decisions:
    """The decisions of a home, in the order in which they were made."""

    def __init__(self, records: Records, ledger: LedgerStore) -> None:
        self._records = records
        self._ledger = ledger

    def all(self) -> list[Decision]:
        """Every decision, oldest first."""
        return [Decision.model_validate(record) for record in self._records.decisions()]

    def newest(self) -> Decision:
        """The newest decision.

        Raises:
            DataError: there is none.
        """
        decisions = self._records.decisions()
        if not decisions:
            raise DataError(
                "There is no decision yet: materialize promotion_decision first.",
                code="DECISION_MISSING",
            )
        return Decision.model_validate(decisions[-1])

    def find(self, digest: str) -> Decision | None:
        """The decision of this digest; None if it is not in the home, or was changed."""
        return next((found for found in reversed(self.all()) if found.digest == digest), None)

    def unfinished(self) -> Trigger | None:
        """The newest decision's trigger, if no receipt shows that it was carried out."""
        decisions = self.all()
        if not decisions or decisions[-1].digest in self._ledger.state().settled:
            return None
        return decisions[-1].trigger
