"""What there is to tell: receipts and notices as one list, and a receiver's place in it.

Belongs here: reading what a message is made of. Does not: the words (`core/alerts.py`), who is told when
(`adapters/watching/alerting.py`).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from churn_platform.adapters.home import Home
from churn_platform.adapters.watching.alert_state import Notice, Told
from churn_platform.core.alerts import Message, message_of, repeats
from churn_platform.core.digest import digest_of
from churn_platform.core.ledger import Receipt


@dataclass(frozen=True)
class Item:
    """One thing to tell: a receipt or a notice."""

    number: int
    time: dt.datetime
    message: Message | None
    of_ledger: bool


def items(home: Home, since: int, notices: Sequence[Notice]) -> list[Item]:
    """The receipts after `since` in their order, then the notices in theirs.

    Raises:
        IntegrityError: one of the receipts was changed.
    """
    told = [Item(n.number, n.time, Message(n.title, n.body, n.severity), of_ledger=False) for n in notices]
    return [*_of_receipts(home, home.ledger.since(since)), *told]


def after(item: Item, told: Told) -> bool:
    """Whether a receiver has not received an item."""
    return item.number > (told.sequence if item.of_ledger else told.notice)


def advance(item: Item, told: Told) -> None:
    """Move a receiver's place behind an item."""
    if item.of_ledger:
        told.sequence = item.number
    else:
        told.notice = item.number


def _of_receipts(home: Home, receipts: Sequence[Receipt]) -> list[Item]:
    wanted = {str(r.evidence["decision"]) for r in receipts if "decision" in r.evidence}
    decisions = {digest_of(record): record for record in home.records.decisions()} if wanted else {}
    refusals = any(r.act == "drop refused" for r in receipts)
    earlier = home.ledger.receipts("drop refused") if refusals else []
    found = []
    for receipt in receipts:
        told = any(repeats(receipt, other) for other in earlier if other.sequence < receipt.sequence)
        decision = decisions.get(str(receipt.evidence.get("decision")))
        message = None if told else message_of(receipt, home.contract.name, decision)
        found.append(Item(receipt.sequence, dt.datetime.fromisoformat(receipt.time), message, of_ledger=True))
    return found
