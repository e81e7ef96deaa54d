"""The ledger as it was at one moment, with which everything else is compared."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from churn_platform.base.errors import ChurnError
from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.receipts import Anchor, Break, Receipt
from churn_platform.ledger.store import LedgerStore


@dataclass
class Chain:
    """The receipts and the anchor of one moment; no receipts and not `sound` if the chain is
    broken.
    """

    receipts: list[Receipt] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    anchor: Anchor | None = None
    sound: bool = False

    def read(self, store: LedgerStore) -> Break | None:
        """Read the current ledger; the first break if the chain is broken.

        Raises:
            IntegrityError: the anchor's file was changed.
        """
        self.receipts = []
        self.digests = []
        self.anchor = None
        self.sound = False
        lines, anchor = store.snapshot()
        fault = ledger.verify_lines(lines)
        if fault is None:
            self.receipts = [ledger.parse(line) for line in lines]
            self.anchor = anchor
            self.digests = [receipt.digest for receipt in self.receipts]
            self.sound = True
        return fault

    def moved(self, store: LedgerStore) -> bool:
        """Whether receipts were added since it was read: what was read later may be of a later
        moment.
        """
        if not self.sound:
            return False
        try:
            head = store.head()
        except ChurnError:
            return False
        return (None if head is None else head.digest) != (
            self.digests[-1] if self.digests else None
        )


@dataclass(frozen=True)
class Finding:
    """One finding of one check; `count` is how many things it covers."""

    check: str
    state: Literal["holds", "broken", "unseen", "said"]
    detail: str
    count: int = 1

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain JSON values."""
        return asdict(self)


def holds(check: str, detail: str, count: int = 1) -> Finding:
    """Something is as it was recorded."""
    return Finding(check, "holds", detail, count)


def broken(check: str, detail: str) -> Finding:
    """Something is not as it was recorded."""
    return Finding(check, "broken", detail)


def unseen(check: str, detail: str) -> Finding:
    """Something could not be looked at: neither valid nor broken, so nothing is verified by it."""
    return Finding(check, "unseen", f"not verified: {detail}", 0)


def said(check: str, detail: str) -> Finding:
    """Something was not there to be asked, which is not a fault."""
    return Finding(check, "said", detail, 0)
