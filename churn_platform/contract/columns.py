"""The columns of a contract, how files write their values, and what applies from a month on."""

import calendar
import datetime as dt
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from churn_platform.base.digests import ADDED

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Dtype = Literal["string", "category", "boolean", "integer", "float", "date", "timestamp"]
NUMBERED_DATES = ("excel", "epoch_seconds")
AgeUnit = Literal["days", "weeks", "months", "years"]


def active(since: dt.date | None, until: dt.date | None, as_of: dt.date) -> bool:
    """Whether a month lies from `since` on and before `until`; None is no limit."""
    return (since is None or as_of >= since) and (until is None or as_of < until)


def check_order(since: dt.date | None, until: dt.date | None) -> None:
    """Raise ValueError if no month lies between the two."""
    if since is not None and until is not None and since >= until:
        raise ValueError(f"since {since} is not before until {until}")


def newest_name(names: Mapping[str, dt.date], as_of: dt.date) -> str:
    """The name that was valid last in a month, of names with their first month; empty without."""
    known = [(since, name) for name, since in names.items() if as_of >= since]
    return max(known, default=(None, ""))[1]


class ContractPart(BaseModel):
    """A frozen part of the contract; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Span(ContractPart):
    """A length of time in calendar units; a month after 31 January is the last day of February."""

    months: int = Field(default=0, ge=0)
    """Calendar months. A month after 31 January is the last day of February. Example: `1`"""
    weeks: int = Field(default=0, ge=0)
    """Weeks, added to the months. Example: `2`"""
    days: int = Field(default=0, ge=0)
    """Days, added to months and weeks. Example: `10`"""

    def after(self, start: dt.date) -> dt.date:
        """The date this span after `start`."""
        month = start.month - 1 + self.months
        year = start.year + month // 12
        month = month % 12 + 1
        day = min(start.day, calendar.monthrange(year, month)[1])
        return dt.date(year, month, day) + dt.timedelta(weeks=self.weeks, days=self.days)


class Renamed(ContractPart):
    """The earlier name of a value that files write differently from a month on."""

    was: str = Field(min_length=1)
    """The name that the value had before; the lake keeps it. Example: `Month-to-month`"""
    since: dt.date
    """The first as_of in which files write the new name. Example: `2026-07-31`"""


class Column(ContractPart):
    """One column of one table, and how the file writes its values."""

    dtype: Dtype
    """Type of the values. A `date` cannot be a feature; give it an age. Only event tables have a
    `timestamp`. Example: `category`
    """
    source: str = ""
    """Header of the column in the file, if it differs from the column's name.

    Example: `Monthly Fee`
    """
    sources: dict[str, dt.date] = Field(default={}, json_schema_extra=ADDED)
    """Later headers of the column, each with the first as_of that has it.

    Example: `{Monthly Fee: 2026-07-31}`
    """
    nullable: bool = False
    """Whether a value may be missing. If not, a missing value is a fault. Example: `true`"""
    min: float | None = None
    """Smallest allowed value, for `integer` and `float`.

    A smaller value is a fault. Example: `0`
    """
    max: float | None = None
    """Largest allowed value, for `integer` and `float`.

    A larger value is a fault. Example: `200`
    """
    values: tuple[str, ...] | None = None
    """Allowed values, for `category`. Any other value is a fault. Without the list every text
    is allowed. Example: `[basic, plus]`
    """
    description: str = ""
    """What the column is. Reasons use it if the column has no `phrase`.

    Example: `Failed payments in 90 days`
    """
    phrase: str = ""
    """One value in the words of the retention team. `{value}` is replaced by the value, `{s}` by
    an s unless the value is 1. Example: `'{value} failed payment{s} in 90 days'`
    """
    missing: tuple[str, ...] = Field(default=(), json_schema_extra=ADDED)
    """Texts of this column that mean a missing value, as they are in the file.

    Example: `['-1', '9999-12-31']`
    """
    decimal: Literal["", ".", ","] = Field(default="", json_schema_extra=ADDED)
    """Decimal sign of this column, if it differs from `files.decimal`. Example: `','`"""
    thousands: str = Field(default="", max_length=1, json_schema_extra=ADDED)
    """Separator between groups of three digits, if it differs from `files.thousands`.

    Example: `'.'`
    """
    unit: str = Field(default="", json_schema_extra=ADDED)
    """Currency or percent sign that is removed before the number is read; 12.5% is read as
    12.5. Example: `€`
    """
    date_format: str = Field(default="", json_schema_extra=ADDED)
    """How dates are written, if not as 2024-01-31: `excel`, `epoch_seconds` or a format.

    Example: `'%d.%m.%Y'`
    """
    since: dt.date | None = Field(default=None, json_schema_extra=ADDED)
    """The first as_of that has the column; in earlier months it is missing. By default every
    month has it. Example: `2026-07-31`
    """
    until: dt.date | None = Field(default=None, json_schema_extra=ADDED)
    """The first as_of without the column; by default it does not end. Example: `2027-01-31`"""
    renamed: dict[str, str | Renamed] = Field(default={}, json_schema_extra=ADDED)
    """Values of a `category` that have a new name: new name, and the name that the lake keeps,
    with the month of the change if older files may be delivered again.

    Example: `{Monthly: Month-to-month}`
    """

    def active(self, as_of: dt.date) -> bool:
        """Whether the drop of a month has the column."""
        return active(self.since, self.until, as_of)

    def header(self, as_of: dt.date) -> str:
        """`source` of a month."""
        return newest_name(self.sources, as_of) or self.source

    def names_kept(self, as_of: dt.date) -> dict[str, str]:
        """The new names of values in the files of a month -> the names that the lake keeps."""
        kept = {}
        for name, old in self.renamed.items():
            if isinstance(old, str):
                kept[name] = old
            elif as_of >= old.since:
                kept[name] = old.was
        return kept

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Self:
        check_order(self.since, self.until)
        if len(set(self.sources.values())) < len(self.sources):
            raise ValueError("sources: two headers begin in the same month")
        return self

    @model_validator(mode="after")
    def _renames_values_it_keeps(self) -> Self:
        if self.renamed and self.dtype != "category":
            raise ValueError(f"renamed is for dtype category, not {self.dtype}")
        for name, old in self.renamed.items():
            kept = old if isinstance(old, str) else old.was
            if kept in self.renamed:
                raise ValueError(f"renamed: {kept!r} is renamed itself; give its earliest name")
            if self.values is not None and kept not in self.values:
                raise ValueError(f"renamed: {name!r} was {kept!r}, which is not one of the values")
        return self

    @model_validator(mode="after")
    def _is_read_as_its_dtype(self) -> Self:
        for name in ("decimal", "thousands", "unit"):
            if getattr(self, name) and self.dtype not in ("integer", "float"):
                raise ValueError(f"{name} is for dtype integer or float, not {self.dtype}")
        if self.date_format and self.dtype not in ("date", "timestamp"):
            raise ValueError(f"date_format is for dtype date or timestamp, not {self.dtype}")
        if self.date_format not in ("", *NUMBERED_DATES) and not re.search(
            "%[a-yA-Y]", self.date_format
        ):
            raise ValueError(
                "date_format must be excel, epoch_seconds or a format such as %d.%m.%Y, not"
                f" {self.date_format!r}"
            )
        return self

    @model_validator(mode="after")
    def _bounds_fit_the_dtype(self) -> Self:
        if self.values is not None and self.dtype != "category":
            raise ValueError(f"values are for dtype category, not {self.dtype}")
        if (self.min is not None or self.max is not None) and self.dtype not in (
            "integer",
            "float",
        ):
            raise ValueError(f"min and max are for dtype integer or float, not {self.dtype}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        try:
            self.phrase.format(value="", s="")
        except (KeyError, IndexError, ValueError, AttributeError):
            raise ValueError(
                f"phrase may hold {{value}} and {{s}} only, not {self.phrase!r}"
            ) from None
        return self


class Age(ContractPart):
    """An integer column made from the date column `of`: complete units from the date to the
    as_of.

    It is null if the date is. A date after the as_of is a fault, because it was not known then.
    """

    of: Name
    """Date column of the same table that the age is counted from. Example: `joined_on`"""
    unit: AgeUnit = "days"
    """Unit of the age; only complete units count. Example: `months`"""
    description: str = ""
    """What the age is; by default made from `unit` and `of`. Example: `Months since joining`"""
    phrase: str = ""
    """One value in the words of the retention team, as for a column.

    Example: `'a customer for {value} month{s}'`
    """

    def as_column(self, date: Column) -> Column:
        """The age as a column of its own."""
        since = f"since {self.of.replace('_', ' ')}"
        return Column(
            dtype="integer",
            nullable=date.nullable,
            min=0,
            description=self.description or f"{self.unit.capitalize()} {since}",
            phrase=self.phrase or f"{{value}} {self.unit.removesuffix('s')}{{s}} {since}",
        )
