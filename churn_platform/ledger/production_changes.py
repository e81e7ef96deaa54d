"""Moves of production: what a promotion and a rollback have in common, read from and written to
receipts.
"""

from collections.abc import Collection, Iterable
from typing import Literal

from churn_platform.ledger.acts import (
    Intent,
    PromotionDone,
    PromotionIntent,
    RollbackDone,
    RollbackIntent,
    version_of,
)
from churn_platform.ledger.receipts import Receipt

Kind = Literal["promotion", "rollback"]
KINDS: tuple[Kind, ...] = ("promotion", "rollback")
DONE = tuple(f"{kind} done" for kind in KINDS)


def intent_of(receipt: Receipt) -> Intent:
    """The production change that a receipt announces or records."""
    if receipt.act.startswith("promotion"):
        return PromotionIntent.of(receipt)
    return RollbackIntent.of(receipt)


def done_of(receipt: Receipt) -> PromotionDone | RollbackDone:
    """The production change that a receipt records as done."""
    if receipt.act == "promotion done":
        return PromotionDone.of(receipt)
    return RollbackDone.of(receipt)


def open_intent(receipts: Iterable[Receipt]) -> Receipt | None:
    """The intent that was neither carried out nor voided: a process was killed in the middle of
    the move.
    """
    found: Receipt | None = None
    for receipt in receipts:
        kind, _, state = receipt.act.rpartition(" ")
        if kind in KINDS and state == "intent":
            found = receipt
        elif kind in KINDS and state in ("done", "void"):
            found = None
    return found


def carried_out(
    receipts: Iterable[Receipt], by: Collection[str] = ("promotion done",)
) -> dict[str, Receipt]:
    """The receipt by which each decision was carried out since it was last made, by the
    decision's digest.

    Args:
        receipts: the ledger.
        by: the acts that count.
    """
    found: dict[str, Receipt] = {}
    for receipt in receipts:
        decision = str(receipt.evidence.get("decision"))
        if receipt.act == "decision":
            found.pop(decision, None)
        elif receipt.act in by:
            found[decision] = receipt
    return found


def judged_files(decision: Receipt | None) -> dict[str, str]:
    """Name -> sha256 of a version's files, as a decision judged them; empty where no receipt
    records it.
    """
    found = {} if decision is None else decision.evidence.get("files")
    if isinstance(found, dict):
        return {name: str(digest) for name, digest in found.items()}
    return {}


def promotions(receipts: Iterable[Receipt]) -> dict[int, Receipt]:
    """The last promotion of each version that was ever in production."""
    found = {
        version_of(receipt.subject): receipt
        for receipt in receipts
        if receipt.act == "promotion done"
    }
    return {version: receipt for version, receipt in found.items() if version is not None}
