"""The contracts of a home over time, as the ledger records them."""

import datetime as dt
from collections.abc import Callable, Mapping

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import ContractError
from churn_platform.contract.changes import ContractChange, changes_between, refused_changes
from churn_platform.contract.model import Contract
from churn_platform.lake.arrow_tables import written_columns
from churn_platform.lake.lake import Lake
from churn_platform.ledger.acts import ContractChanged
from churn_platform.ledger.receipts import DELIVERED
from churn_platform.ledger.store import LedgerStore

FIRST = "The contract of the first run."
SAME = "Nothing that a drop or a model depends on."
REORDERED = "The order of the features."
LONGEST_REASON = 2000


class ContractHistory:
    """Which contract was in use when, and whether the one in use now fits what was published.

    Args:
        contract: the contract in use.
        ledger: the receipts.
        lake: the published months.
        versions: what each released version reads.
    """

    def __init__(
        self,
        contract: Contract,
        ledger: LedgerStore,
        lake: Lake,
        versions: Callable[[], Mapping[int, Contract]],
    ) -> None:
        self._contract = contract
        self._ledger = ledger
        self._lake = lake
        self._versions = versions

    def of(self, contract: Contract) -> "ContractHistory":
        """The same home with another contract in use."""
        return ContractHistory(contract, self._ledger, self._lake, self._versions)

    def recorded(self) -> Contract | None:
        """The contract that was last recorded; None before the first run."""
        known = self._ledger.receipts("contract changed")
        return recorded_contract(ContractChanged.of(known[-1])) if known else None

    def when_published(self, as_of: dt.date) -> Contract | None:
        """The contract that was in use when a month was first published; None for a month
        before the first recorded contract.
        """
        found = None
        for receipt in self._ledger.receipts():
            if receipt.act == "contract changed":
                found = recorded_contract(ContractChanged.of(receipt))
            elif receipt.act in DELIVERED and receipt.subject == as_of.isoformat():
                return found
        return found

    def pending(self) -> list[ContractChange]:
        """How the contract in use differs from the one last recorded."""
        before = self.recorded()
        return [] if before is None else changes_between(before, self._contract)

    def refused(self, new: Contract | None = None) -> list[ContractChange]:
        """What of a contract, by default the one in use, published months and released versions
        forbid.
        """
        before = self.recorded()
        if before is None:
            return []
        after = new or self._contract
        if before.written() == after.written():
            return []
        return refused_changes(before, after, self._lake.months(), self._versions())

    def check(self) -> None:
        """Raise ContractError if the contract in use cannot apply to this home."""
        refused = self.refused()
        if refused:
            raise ContractError(
                "\n".join(found.refusal for found in refused),
                code="CONTRACT_CHANGED",
            )
        if self.recorded() is None and (lacking := lacking_columns(self._lake)):
            raise ContractError(
                "The contract has columns that the months published so far lack"
                f" ({', '.join(lacking)}). Give each `since:` with the first month that has it.",
                code="CONTRACT_CHANGED",
            )

    def record(self) -> None:
        """Write a receipt when the contract is not the one last recorded.

        Raises:
            ContractError: it cannot apply to this home; nothing was written.
        """
        before = self.recorded()
        after = self._contract.written()
        features = list(self._contract.features)
        if before is not None and (before.written(), [*before.features]) == (after, features):
            return
        self.check()
        changes = self.pending()
        reason = FIRST
        if before is not None and before.written() == after:
            reason = REORDERED
        elif before is not None:
            reason = "; ".join(change.sentence for change in changes) or SAME
        self._ledger.append(
            ContractChanged(
                subject=self._contract.name,
                before=None if before is None else digest_of(before.written()),
                after=digest_of(after),
                reason=reason[:LONGEST_REASON],
                contract=after,
                features=features,
                changes={change.where: change.sentence for change in changes},
            )
        )


def lacking_columns(lake: Lake) -> list[str]:
    """Columns of the contract, as table.column, that the newest published month lacks: another
    contract wrote it.
    """
    months = lake.months()
    month = lake.contract.at(months[-1]) if months else lake.contract
    lacking = []
    for name, entry in lake.entries(months[-1]).items() if months else ():
        written = set(written_columns(lake.path(entry)))
        lacking += [
            f"{name}.{column}" for column in month.published.get(name, ()) if column not in written
        ]
    return lacking


def recorded_contract(act: ContractChanged) -> Contract:
    """The contract in a receipt, its features in their order."""
    contract = Contract.model_validate(act.contract)
    views = sorted(
        contract.feature_views.items(), key=lambda one: act.features.index(one[1].features[0])
    )
    return contract.changed(feature_views=dict(views))
