"""Moves of production: what a promotion and a rollback have in common, read from and written to
receipts.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import JsonValue

from churn_platform.ledger.receipts import Receipt

Kind = Literal["promotion", "rollback"]
KINDS: tuple[Kind, ...] = ("promotion", "rollback")
DONE = tuple(f"{kind} done" for kind in KINDS)


def named(version: int | None) -> str | None:
    """A version as receipts name it."""
    if version is None:
        return None
    return f"version {version}"


def model_named(version: int | None) -> str:
    """A version, or that there is none, in a sentence."""
    return named(version) or "no model"


def version_of(name: str | None) -> int | None:
    """The version that a receipt names; None where it names none."""
    number = (name or "").removeprefix("version ")
    if number.isdecimal():
        return int(number)
    return None


@dataclass(frozen=True)
class Move:
    """Production goes from `before` (None: no model) to `version`.

    `evidence` names at least the `decision` that approved the version, its `candidate` digest
    and the `as_of` it was trained on, so a move that was cut off is completed from its intent
    alone.
    """

    kind: Kind
    version: int
    before: int | None
    actor: str
    reason: str
    evidence: Mapping[str, JsonValue]

    @classmethod
    def of(cls, intent: Receipt) -> "Move":
        """The move that a receipt announces or records."""
        kind: Kind = "promotion" if intent.act.startswith("promotion") else "rollback"
        version = version_of(intent.after) or version_of(intent.subject) or 0
        return cls(
            kind,
            version,
            version_of(intent.before),
            intent.actor,
            intent.reason,
            intent.evidence,
        )

    @classmethod
    def approved(cls, approval: Receipt) -> "Move":
        """The promotion that a person's approval asks for."""
        names = ("decision", "candidate", "as_of", "override")
        evidence = {name: approval.evidence[name] for name in names} | {"approval": approval.digest}
        version = version_of(approval.subject) or 0
        before = version_of(approval.before)
        return cls("promotion", version, before, approval.actor, approval.reason, evidence)

    @property
    def as_of(self) -> str:
        """The month that the version was trained on."""
        return str(self.evidence["as_of"])

    def receipt(self, **evidence: JsonValue) -> dict[str, Any]:
        """The fields of a receipt about this move, but its act; `evidence` is added to the
        move's own.
        """
        return {
            "actor": self.actor,
            "subject": f"version {self.version}",
            "before": named(self.before),
            "after": f"version {self.version}",
            "reason": self.reason,
            "evidence": {**self.evidence, **evidence},
        }


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
