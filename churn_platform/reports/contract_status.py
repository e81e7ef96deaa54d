"""What a home knows about its contract: its last change, pending changes, and refused ones."""

import datetime as dt

from churn_platform.base.errors import ContractError, StoreDown
from churn_platform.base.stored import Stored
from churn_platform.contract.changes import ContractChange
from churn_platform.lake.contract_history import ContractHistory
from churn_platform.ledger.acts import ContractChanged
from churn_platform.ledger.receipts import DELIVERED, Receipt
from churn_platform.ledger.store import LedgerStore


class RefusedChange(Stored):
    """A change that cannot be applied to this home, and the way that works."""

    where: str
    change: str
    refused: str


class ContractStatus(Stored):
    """How the contract changed, and how the file differs from the recorded contract.

    Attributes:
        changed_at: When it last changed; None if it is as in the first run.
        month: The newest month that was published before that.
        changes: What changed then.
        pending: How the file differs from the contract that is recorded.
        refused: What of that published months or released versions forbid.
        command: The command to type next; None if there is nothing to do.
    """

    changed_at: str | None
    month: str | None
    changes: list[str]
    pending: list[str]
    refused: list[RefusedChange]
    command: str | None


def contract_status(history: ContractHistory, ledger: LedgerStore) -> ContractStatus:
    """The state of the contract of a home."""
    month = None
    changed_at = None
    published = None
    changes: list[str] = []
    for receipt in ledger.receipts():
        if receipt.act in DELIVERED:
            published = max(published or receipt.subject, receipt.subject)
        elif sentences := contract_changes(receipt):
            changed_at = receipt.time
            month = published
            changes = sentences
    pending = [change.sentence for change in history.pending()]
    refused = refused_changes(history)
    command = None
    if refused:
        command = "churn contract diff"
    elif pending:
        command = "churn contract update"
    return ContractStatus(
        changed_at=changed_at,
        month=month,
        changes=changes,
        pending=pending,
        refused=[
            RefusedChange(where=one.where, change=one.sentence, refused=one.refused)
            for one in refused
        ],
        command=command,
    )


def refused_changes(history: ContractHistory) -> list[ContractChange]:
    """Why no run can start with the contract in use; empty if one can."""
    refused = history.refused()
    if refused:
        return refused
    try:
        history.check()
    except ContractError as error:  # of a home whose contract is not recorded yet
        return [ContractChange("tables", "columns were added", str(error))]
    except StoreDown:  # the run looks again, and waits for the place of the lake
        return []
    return []


def contract_changes(receipt: Receipt) -> list[str]:
    """What a receipt records of a changed contract; empty for any other receipt, and for the
    contract of the first run.
    """
    if receipt.act != "contract changed" or receipt.before is None:
        return []
    return list(ContractChanged.of(receipt).changes.values()) or [receipt.reason]


def changes_with(ledger: LedgerStore, as_of: dt.date) -> list[str]:
    """How the contract changed between the newest delivery of a month and the delivery before
    it, of whatever month.
    """
    found: list[str] = []
    newest: list[str] = []
    for receipt in ledger.receipts():
        if receipt.act in DELIVERED:
            if receipt.subject == as_of.isoformat():
                newest = found
            found = []
        else:
            found += contract_changes(receipt)
    return newest
