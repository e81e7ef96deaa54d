"""Receipts: what one holds, how they are chained, how a broken chain is found, and which of
them a person asks for.
"""

import datetime as dt
import hashlib
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import from_json

from churn_platform.base.digests import canonical_json
from churn_platform.base.errors import DataError, IntegrityError, UsageError

GENESIS = "0" * 64
"""The `previous` of the first receipt; as an anchor it shows that nothing had been recorded
yet.
"""

Act = Literal[
    "drop accepted",
    "drop corrected",
    "drop repeated",
    "drop refused",
    "retraining requested",
    "retraining skipped",
    "manual retraining requested",
    "training refused",
    "decision",
    "approval requested",
    "approval",
    "rejection",
    "approval lapsed",
    "promotion intent",
    "promotion done",
    "production kept",
    "promotion void",
    "rollback intent",
    "rollback done",
    "rollback void",
    "version blocked",
    "version unblocked",
    "promotion proposed",
    "rollback proposed",
    "release published",
    "model imported",
    "stand-down began",
    "stand-down ended",
    "contact plan registered",
    "campaign effect changed",
    "shadow started",
    "shadow ended",
    "canary started",
    "canary raised",
    "canary completed",
    "canary ended",
    "test registered",
    "test looked",
    "test ended",
    "warnings raised",
    "warnings cleared",
    "policy changed",
    "contract changed",
    "recovery",
    "customer forgotten",
    "home restored",
    "home moved",
    "lake moved",
]
"""What a receipt can record."""
ACTS: tuple[str, ...] = get_args(Act)

DELIVERED: tuple[Act, ...] = ("drop accepted", "drop corrected")
"""What a delivery of a month is recorded by, once each."""

Fault = Literal["changed", "missing", "cut", "reordered", "duplicated"]
"""How a chain can be broken."""


def utc_time(value: str) -> str:
    """`value` unchanged if it is an ISO 8601 instant in UTC.

    Raises:
        ValueError: it is not an instant, or its offset is absent or not zero.
    """
    if dt.datetime.fromisoformat(value).utcoffset() != dt.timedelta(0):
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
    digest = hashlib.sha256(_body(draft).encode()).hexdigest()
    return draft.model_copy(update={"digest": digest})


def to_line(receipt: Receipt) -> bytes:
    """The receipt as one line without its line end: canonical JSON, with the digest as the last
    key.

    The digest comes last, so what it covers is the line itself: any changed byte is found
    without parsing and writing the receipt again.
    """
    return f'{_body(receipt)[:-1]},"digest":"{receipt.digest}"}}'.encode()


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


def verify_lines(lines: Iterable[bytes], anchor: str | None = None) -> Break | None:
    """The first break of a chain that should begin at receipt 1, None where it holds. One pass,
    without building the receipts.

    Args:
        lines: The complete ledger file, oldest receipt first.
        anchor: The digest of a head that was recorded outside the chain. It must be found in
            it: a chain whose tail was cut holds in itself.
    """
    links = map(_link_of_line, lines)
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


def first_fault(error: ValidationError) -> str:
    """The first fault that pydantic found, as "a wrong <field>: <sentence>"."""
    fault = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(map(str, fault["loc"][:4])) or "form"
    return f"a wrong {field}: {fault['msg']} (got {reprlib.repr(fault['input'])})"


def _body(receipt: Receipt) -> str:
    """What the digest of a receipt covers, as canonical JSON."""
    return canonical_json({name: value for name, value in receipt if name != "digest"})


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


def instant(text: str, *, end: bool) -> dt.datetime:
    """An instant as people type it, in UTC; a date alone means its first moment, or its last
    one where `end` is true.

    Raises:
        UsageError: it is neither a date nor an instant that UTC has.
    """
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is not a date or time: write 2024-01-31 or 2024-01-31T18:00.",
            code="DATE_INVALID",
        ) from None
    if end and _is_date(text):
        moment = dt.datetime.combine(moment, dt.time.max)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=dt.UTC)
    try:
        return moment.astimezone(dt.UTC)
    except OverflowError:
        raise UsageError(
            f"{text!r} is outside the years 1 to 9999 in UTC: write a later or earlier one.",
            code="DATE_INVALID",
        ) from None


def _is_date(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Filters:
    """Which receipts are asked for; None asks for all."""

    act: str | None = None
    """Words of an act: `promotion` asks for its intents too."""
    version: int | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    by: str | None = None
    last: int | None = None

    def __post_init__(self) -> None:
        """Refuse an act that no receipt can have.

        Raises:
            UsageError: there is no such act.
        """
        if self.act is not None and not any(self.act in act for act in ACTS):
            raise UsageError(
                f"There is no act {self.act!r}; acts are: {', '.join(ACTS)}.", code="ACT_UNKNOWN"
            )

    def chosen(self, receipts: Iterable[Receipt]) -> list[Receipt]:
        """The receipts that every filter lets pass, in their order; the newest `last` of them."""
        found = [receipt for receipt in receipts if self._passes(receipt)]
        if self.last is None:
            return found
        return found[max(0, len(found) - self.last) :]

    def _passes(self, receipt: Receipt) -> bool:
        time = dt.datetime.fromisoformat(receipt.time)
        named = {version_of(name) for name in (receipt.subject, receipt.before, receipt.after)}
        return (
            (self.act is None or self.act in receipt.act)
            and (self.version is None or self.version in named)
            and (self.since is None or time >= self.since)
            and (self.until is None or time <= self.until)
            and (self.by is None or receipt.actor.casefold() == self.by.casefold())
        )
