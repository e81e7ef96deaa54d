"""The rules of the ledger: what a receipt holds, how receipts are chained, how a broken chain
is found.
"""

import hashlib
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import from_json

from churn_platform.base.digests import canonical_json, digest_of
from churn_platform.base.errors import DataError, IntegrityError

GENESIS = "0" * 64
"""The `previous` of the first receipt; as an anchor it shows that nothing had been recorded
yet.
"""

DropAct = Literal["drop accepted", "drop corrected", "drop repeated", "drop refused"]
RetrainingAct = Literal[
    "retraining requested",
    "retraining skipped",
    "manual retraining requested",
    "training refused",
    "decision",
]
ApprovalAct = Literal["approval requested", "approval", "rejection", "approval lapsed"]
PromotionAct = Literal["promotion intent", "promotion done", "production kept", "promotion void"]
RollbackAct = Literal[
    "rollback intent", "rollback done", "rollback void", "version blocked", "version unblocked"
]
ProposalAct = Literal["promotion proposed", "rollback proposed"]
StateAct = Literal[
    "release published",
    "stand-down began",
    "stand-down ended",
    "warnings raised",
    "warnings cleared",
    "policy changed",
    "contract changed",
    "recovery",
    "customer forgotten",
    "home restored",
    "home moved",
]
Act = Literal[DropAct, RetrainingAct, ApprovalAct, PromotionAct, RollbackAct, ProposalAct, StateAct]
"""What a receipt can record."""

DELIVERED: tuple[Act, ...] = ("drop accepted", "drop corrected")
"""What a delivery of a month is recorded by, once each."""

Fault = Literal["changed", "missing", "cut", "reordered", "duplicated"]
"""How a chain can be broken."""


def utc_time(value: str) -> str:
    """`value` unchanged if it is an ISO 8601 instant in UTC.

    Raises:
        ValueError: it is not an instant, or its offset is absent or not zero.
    """
    if datetime.fromisoformat(value).utcoffset() != timedelta(0):
        raise ValueError(f"{value!r} is not in UTC; end it with +00:00")
    return value


UtcTime = Annotated[str, AfterValidator(utc_time)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
NonEmpty = Annotated[str, Field(min_length=1)]


class Receipt(BaseModel):
    """One recorded act: who did what to which subject, when and why, and the digests of its
    evidence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence: int = Field(ge=1)
    time: UtcTime
    actor: NonEmpty
    act: Act
    subject: NonEmpty
    before: str | None
    after: str | None
    reason: NonEmpty
    evidence: dict[str, JsonValue]
    previous: Sha256
    digest: Sha256


class Anchor(BaseModel):
    """A head of the chain as it was recorded outside of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence: int = Field(ge=1)
    digest: Sha256


@dataclass(frozen=True)
class Break:
    """The first place where a chain does not hold.

    Attributes:
        sequence: The receipt that should stand there, counted from 1; in a file also the line
            number.
        what: How it is broken.
        detail: One sentence for a person.
    """

    sequence: int
    what: Fault
    detail: str


class _Link(NamedTuple):
    """What the chain needs of a receipt whose own digest holds."""

    sequence: int
    previous: str
    digest: str


def append(
    head: Receipt | None,
    *,
    time: str,
    actor: str,
    act: Act,
    subject: str,
    reason: str,
    before: str | None = None,
    after: str | None = None,
    evidence: Mapping[str, JsonValue] | None = None,
) -> Receipt:
    """The receipt that follows `head` (the first one where `head` is None).

    Raises:
        DataError: a field has the wrong type or form, or the evidence is not plain, finite
            JSON.
    """
    fields = {
        "sequence": 1 if head is None else head.sequence + 1,
        "time": time,
        "actor": actor,
        "act": act,
        "subject": subject,
        "before": before,
        "after": after,
        "reason": reason,
        "evidence": dict(evidence or {}),
        "previous": GENESIS if head is None else head.digest,
        "digest": GENESIS,
    }
    try:
        # through JSON, as a reader will take it: what cannot be read back is never written
        draft = Receipt.model_validate_json(canonical_json(fields))
    except ValidationError as error:
        raise DataError(
            f"the receipt of {act!r} on {subject!r} has {first_fault(error)}"
        ) from error
    return draft.model_copy(update={"digest": digest_of(_body(draft))})


def to_line(receipt: Receipt) -> bytes:
    """The receipt as one line without its line end: canonical JSON, with the digest as the last
    key.

    The digest comes last, so what it covers is the line itself: any changed byte is found
    without parsing and writing the receipt again.
    """
    return f'{canonical_json(_body(receipt))[:-1]},"digest":"{receipt.digest}"}}'.encode()


def parse(line: bytes) -> Receipt:
    """The receipt on `line`.

    Raises:
        IntegrityError: the line does not match its digest, or is not a receipt.
    """
    if _link_of_line(line) is None:
        raise IntegrityError("the receipt does not match its digest", code="LEDGER_DAMAGED")
    try:
        return Receipt.model_validate_json(line)
    except ValidationError as error:
        raise IntegrityError(
            f"the receipt has {first_fault(error)}", code="LEDGER_DAMAGED"
        ) from error


def verify(receipts: Iterable[Receipt], anchor: str | None = None) -> Break | None:
    """The first break of a chain that should begin at receipt 1, None where it holds.

    Args:
        receipts: The complete chain, oldest first.
        anchor: The digest of a head that was recorded outside the chain. It must be found in
            it: a chain whose tail was cut holds in itself.
    """
    return _walk(map(_link_of_receipt, receipts), anchor)


def verify_lines(lines: Iterable[bytes], anchor: str | None = None) -> Break | None:
    """`verify` over the lines of a ledger file, one pass, without building the receipts."""
    return _walk(map(_link_of_line, lines), anchor)


def first_fault(error: ValidationError) -> str:
    """The first fault that pydantic found, as "a wrong <field>: <sentence>"."""
    fault = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(map(str, fault["loc"][:4])) or "form"
    return f"a wrong {field}: {fault['msg']} (got {reprlib.repr(fault['input'])})"


def _body(receipt: Receipt) -> dict[str, Any]:
    return {name: value for name, value in receipt if name != "digest"}


def _link_of_receipt(receipt: Receipt) -> _Link | None:
    try:
        sound = digest_of(_body(receipt)) == receipt.digest
    except DataError:
        return None
    if sound:
        return _Link(receipt.sequence, receipt.previous, receipt.digest)
    return None


def _link_of_line(line: bytes) -> _Link | None:
    covered, _, rest = line.rpartition(b',"digest":"')
    digest = hashlib.sha256(covered + b"}").hexdigest()
    if rest != f'{digest}"}}'.encode():
        return None
    try:
        fields = from_json(line)
        sequence = fields["sequence"]
        previous = fields["previous"]
    except (ValueError, KeyError):
        return None
    if type(sequence) is int:
        return _Link(sequence, previous, digest)
    return None


def _walk(links: Iterator[_Link | None], anchor: str | None) -> Break | None:
    count = 0
    head = GENESIS
    anchored = anchor in (None, GENESIS)
    for link in links:
        count += 1
        if link is None or link.sequence != count or link.previous != head:
            return _first_break(count, link, links)
        head = link.digest
        anchored = anchored or head == anchor
    if anchored:
        return None
    unfound = f"the anchored head {anchor} is not among the {count} receipts"
    return Break(count + 1, "cut", f"{unfound}: the tail was cut or rewritten")


def _first_break(count: int, link: _Link | None, rest: Iterator[_Link | None]) -> Break:
    if link is None:
        return Break(count, "changed", f"receipt {count} does not match its digest")
    if link.sequence == count:
        return Break(
            count,
            "changed",
            f"receipt {count} does not follow the one before: one was rewritten",
        )
    if link.sequence < count:
        return Break(
            count,
            "duplicated",
            f"receipt {link.sequence} appears a second time, at position {count}",
        )
    if any(other is not None and other.sequence == count for other in rest):
        return Break(
            count, "reordered", f"receipt {link.sequence} is at position {count}, too early"
        )
    return Break(
        count,
        "missing",
        f"receipt {count} is missing: receipt {link.sequence} is at its position",
    )
