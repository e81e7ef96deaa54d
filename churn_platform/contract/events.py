"""The parts of a contract about event tables: features of a window of days, and labels made from
a log of events.
"""

import re
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from churn_platform.contract.columns import Column, ContractPart, Name, Span

Aggregate = Literal[
    "count", "sum", "mean", "min", "max", "last", "distinct", "days_since_last", "share", "trend"
]
ALL: Final = "all"
"""The window that reaches back to the first event."""
LENGTH: Final = r"[1-9][0-9]{0,4}[dwm]"
UNITS: Final = {"d": "days", "w": "weeks", "m": "months"}
EVENT_DAY: Final = "event day"
"""Column of the lake's events: the day in the table's time zone. No contract has such a name."""
EVENTS_SUFFIX: Final = "_events"
NEEDS_COLUMN: Final = frozenset({"sum", "mean", "min", "max", "last", "distinct"})
WITHOUT_COLUMN: Final = frozenset({"count", "days_since_last"})
NUMBERS_ONLY: Final = frozenset({"sum", "mean", "share", "trend"})
INTEGERS: Final = frozenset({"count", "distinct", "days_since_last"})
NEVER_EMPTY: Final = frozenset({"count", "sum", "distinct"})
"""They are 0 for a customer without an event; the others are empty."""


def span_of(length: str) -> Span:
    """The span of a length such as `30d`, `2w` or `1m`."""
    return Span(**{UNITS[length[-1]]: int(length[:-1])})


def length_in_words(length: str) -> str:
    """`30 days`, `1 month`; empty for `all`."""
    if length == ALL:
        return ""
    number = int(length[:-1])
    unit = UNITS[length[-1]]
    return f"{number} {unit}" if number > 1 else f"1 {unit.removesuffix('s')}"


class WindowFeature(ContractPart):
    """A feature made from the events of a customer in the days before the as_of."""

    aggregate: Aggregate
    """What is made of the events: `count`, `sum`, `mean`, `min`, `max`, `last`, `distinct`,
    `days_since_last`, `share` or `trend`. Example: `sum`
    """
    of: Name | None = None
    """Column that is aggregated. `count` and `days_since_last` have none; `share` and `trend` are
    of the number of events without it. Example: `amount`
    """
    where: str = ""
    """Expression over the columns of the table that picks events; by default all of them.

    Example: `kind = 'refund' and amount > 10`
    """
    window: str = Field(pattern=rf"^({LENGTH}|{ALL})$")
    """How far the window reaches back from the as_of: days, weeks or calendar months, or `all`.

    Example: `30d`
    """
    description: str = ""
    """What the feature is; by default made from the declaration. Example: `Refunds in 90 days`"""
    phrase: str = ""
    """One value in the words of the retention team, as for a column.

    Example: `'{value} refund{s} in 90 days'`
    """

    @model_validator(mode="after")
    def _fits_the_aggregate(self) -> Self:
        if self.aggregate in NEEDS_COLUMN and self.of is None:
            raise ValueError(f"{self.aggregate} needs `of`, the column that is aggregated")
        if self.aggregate in WITHOUT_COLUMN and self.of is not None:
            raise ValueError(f"{self.aggregate} is of events, not of a column: leave `of` out")
        if self.aggregate == "share" and not self.where:
            raise ValueError("share needs `where`, which picks the events that are counted")
        if self.aggregate == "trend":
            self._check_halves()
        return self

    def _check_halves(self) -> None:
        if self.window == ALL:
            raise ValueError("trend compares two halves of a window: `all` has none")
        days = int(self.window[:-1]) * (7 if self.window.endswith("w") else 1)
        if days % 2:
            unit = "months" if self.window.endswith("m") else "days"
            raise ValueError(f"trend needs an even number of {unit}, not {self.window}")

    @property
    def made_of(self) -> tuple[str, ...]:
        """What decides its values."""
        return (self.aggregate, self.of or "", self.where, self.window)

    def as_column(self, table: str, of: Column | None) -> Column:
        """The feature as a column of the table with one row a customer.

        Args:
            table: the event table.
            of: the column that is aggregated.
        """
        dtype: Any = "float"
        if self.aggregate in INTEGERS:
            dtype = "integer"
        elif of is not None and self.aggregate not in NUMBERS_ONLY:
            dtype = of.dtype
        words = self._words(table.replace("_", " "))
        return Column(
            dtype=dtype,
            nullable=self.aggregate not in NEVER_EMPTY,
            description=self.description or words,
            phrase=self.phrase or f"{words.lower()}: {{value}}",
        )

    def _words(self, table: str) -> str:
        of = (self.of or "").replace("_", " ")
        what = {
            "count": table, "sum": f"sum of {of}", "mean": f"mean {of}", "min": f"smallest {of}",
            "max": f"largest {of}", "last": f"last {of}", "distinct": f"different {of}",
            "days_since_last": f"days since the last event of {table}",
            "share": f"share of {of or table}", "trend": f"trend of {of or table}",
        }[self.aggregate]  # fmt: skip
        where = f" where {self.where}".replace("{", "{{").replace("}", "}}") if self.where else ""
        length = length_in_words(self.window)
        text = f"{what}{where}{f' in {length}' if length else ''}"
        return text[0].upper() + text[1:]


class EventPopulation(ContractPart):
    """The customers of a month: everyone with an event in the window up to the as_of."""

    table: Name
    """Event table. Example: `payments`"""
    where: str = ""
    """Expression that picks events; by default all of them. Example: `amount > 0`"""
    window: str = Field(pattern=rf"^{LENGTH}$")
    """How far the window reaches back from the as_of. Example: `90d`"""


class NoEvent(ContractPart):
    """An inactivity label: who has no event in the days after the as_of churned."""

    table: Name
    """Event table. Example: `payments`"""
    where: str = ""
    """Expression that picks events; by default all of them. Example: `amount > 0`"""
    within: str = Field(pattern=rf"^{LENGTH}$")
    """How long after the as_of an event is waited for; the label is known then. Example: `30d`"""
    population: EventPopulation | None = None
    """The customers of a month, where no table has one row for each of them."""


def is_zone(name: str) -> bool:
    """Whether a name is a time zone that this machine knows."""
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return re.search(r"\.\.|^/", name) is None
