"""Which receipts a person asks for."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

from churn_platform.base.errors import UsageError
from churn_platform.ledger.acts import version_of
from churn_platform.ledger.receipts import Act, Receipt


def acts() -> tuple[str, ...]:
    """Every act that a receipt can record."""

    def words(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 - a Literal, or a union of them
        return tuple(
            word
            for part in get_args(kind)
            for word in ((part,) if isinstance(part, str) else words(part))
        )

    return words(Act)


def instant(text: str, *, end: bool) -> dt.datetime:
    """An instant as people type it, in UTC; a date alone means its first moment, or its last
    one where `end` is true.

    Raises:
        UsageError: it is neither a date nor an instant that UTC has.
    """
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        try:
            moment = dt.datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(
                f"{text!r} is not a date or time: write 2024-01-31 or 2024-01-31T18:00.",
                code="DATE_INVALID",
            ) from None
        try:
            return (
                moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
            ).astimezone(dt.UTC)
        except OverflowError:
            raise UsageError(
                f"{text!r} lies outside the years 1 to 9999 in UTC: write a later or earlier one.",
                code="DATE_INVALID",
            ) from None
    return dt.datetime.combine(day, dt.time.max if end else dt.time.min, dt.UTC)


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
        if self.act is not None and not any(self.act in act for act in acts()):
            raise UsageError(
                f"There is no act {self.act!r}; acts are: {', '.join(acts())}.", code="ACT_UNKNOWN"
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
