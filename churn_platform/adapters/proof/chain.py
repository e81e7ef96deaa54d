"""The ledger as it was at one moment, with which everything else is compared.

Belongs here: reading chain and anchor together, and seeing that receipts were added since. Does not: what is compared
with it (`adapters/proof/verifying.py`), the rules of a chain (`core/ledger.py`).
"""

from dataclasses import dataclass, field

from churn_platform.adapters.ledger.store import LedgerStore
from churn_platform.core import ledger
from churn_platform.core.ledger import Anchor, Break, Receipt
from churn_platform.errors import ChurnError


@dataclass
class Chain:
    """The receipts and the anchor of one moment; no receipts and not `sound` if the chain is broken."""

    receipts: list[Receipt] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    anchor: Anchor | None = None
    sound: bool = False

    def read(self, store: LedgerStore) -> Break | None:
        """Read the current ledger; the first break if the chain is broken.

        Raises:
            IntegrityError: the anchor's file was changed.
        """
        self.receipts, self.digests, self.anchor, self.sound = [], [], None, False
        lines, anchor = store.snapshot()
        fault = ledger.verify_lines(lines)
        if fault is None:
            self.receipts, self.anchor = [ledger.parse(line) for line in lines], anchor
            self.digests, self.sound = [receipt.digest for receipt in self.receipts], True
        return fault

    def moved(self, store: LedgerStore) -> bool:
        """Whether receipts were added since it was read: what was read later may be of a later moment."""
        if not self.sound:
            return False
        try:
            head = store.head()
        except ChurnError:
            return False
        return (None if head is None else head.digest) != (self.digests[-1] if self.digests else None)
