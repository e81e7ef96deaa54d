"""The parts of a contract: columns, tables, the label, views, costs, and how its files are written.

Belongs here: each part's shape and the rules it can check alone. Does not: rules between parts, and what is derived
from the whole (`core/contract.py`).
"""

import calendar
import datetime as dt
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from churn_platform.core.digest import ADDED

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Dtype = Literal["string", "category", "boolean", "integer", "float", "date"]
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A variable of the environment in a URL."""
SECRET = re.compile(r"://[^/@\s]*:[^/@\s]+@|[?&](?:password|passwd|pwd)=[^&\s]", re.IGNORECASE)
AS_OF = re.compile(r"(?<![:\w]):as_of\b")
NUMBERED_DATES = ("excel", "epoch_seconds")
AgeUnit = Literal["days", "weeks", "months", "years"]


class _Part(BaseModel):
    """A frozen part of the contract; an unknown key is an error, not a silent no-op."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Part):
    """One column of one table.

    `source` is its header in the file where that is no name of ours ("Monthly Fee"). `min` and `max` are inclusive;
    `values` lists the allowed categories. `phrase` says a value in the words of the retention team: `{value}` is
    replaced, and `{s}` by an s unless the value is 1, e.g. "{value} failed payment{s} in 90 days".

    The rest describes how the file writes the values. `missing` lists texts that mean no value, such as "-1" or
    "9999-12-31". `decimal` and `thousands` override those of `files`. `unit` is a currency or percent sign that is
    removed; 12% is read as 12. `date_format` is `excel` (day numbers), `epoch_seconds`, or a format such as %d.%m.%Y.
    """

    dtype: Dtype
    source: str = ""
    nullable: bool = False
    min: float | None = None
    max: float | None = None
    values: tuple[str, ...] | None = None
    description: str = ""
    phrase: str = ""
    missing: tuple[str, ...] = Field(default=(), json_schema_extra=ADDED)
    decimal: Literal["", ".", ","] = Field(default="", json_schema_extra=ADDED)
    thousands: str = Field(default="", max_length=1, json_schema_extra=ADDED)
    unit: str = Field(default="", json_schema_extra=ADDED)
    date_format: str = Field(default="", json_schema_extra=ADDED)

    @model_validator(mode="after")
    def _is_read_as_its_dtype(self) -> Self:
        for name in ("decimal", "thousands", "unit"):
            if getattr(self, name) and self.dtype not in ("integer", "float"):
                raise ValueError(f"{name} is for dtype integer or float, not {self.dtype}")
        if self.date_format and self.dtype != "date":
            raise ValueError(f"date_format is for dtype date, not {self.dtype}")
        if self.date_format not in ("", *NUMBERED_DATES) and not re.search("%[a-yA-Y]", self.date_format):
            raise ValueError(
                f"date_format must be excel, epoch_seconds or a format such as %d.%m.%Y, not {self.date_format!r}"
            )
        return self

    @model_validator(mode="after")
    def _bounds_fit_the_dtype(self) -> Self:
        if self.values is not None and self.dtype != "category":
            raise ValueError(f"values are for dtype category, not {self.dtype}")
        if (self.min is not None or self.max is not None) and self.dtype not in ("integer", "float"):
            raise ValueError(f"min and max are for dtype integer or float, not {self.dtype}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        try:
            self.phrase.format(value="", s="")
        except (KeyError, IndexError, ValueError, AttributeError):
            raise ValueError(f"phrase may hold {{value}} and {{s}} only, not {self.phrase!r}") from None
        return self


class Age(_Part):
    """An integer column made of the date column `of`: whole units from the date to as_of, rounded down.

    A date is no feature: its distance to the as_of is. Null where the date is; a date after the as_of is a fault of
    the drop, for it was not known then.
    """

    of: Name
    unit: AgeUnit = "days"
    description: str = ""
    phrase: str = ""

    def as_column(self, date: Column) -> Column:
        """The age as a column of its own."""
        said = self.description or f"{self.unit.capitalize()} since {self.of.replace('_', ' ')}"
        phrase = self.phrase or f"{{value}} {self.unit.removesuffix('s')}{{s}} since {self.of.replace('_', ' ')}"
        return Column(dtype="integer", nullable=date.nullable, min=0, description=said, phrase=phrase)


class DatabaseSource(_Part):
    """Where a table is read from when that is a database: a URL, and a query or a table with its as_of column.

    `url` is SQLAlchemy's; `${NAME}` in it stands for a variable of the environment, and a password always does. The
    query gives the rows of one month by its parameter `:as_of`, a date.
    """

    url: str
    query: str = ""
    table: str = ""
    as_of_column: str = ""

    @model_validator(mode="after")
    def _is_a_source_without_a_secret(self) -> Self:
        if SECRET.search(REFERENCE.sub("", self.url)):
            raise ValueError("url holds a password: put it into a variable of the environment, as ${CRM_URL}")
        if bool(self.query) == bool(self.table):
            raise ValueError("source needs a query, or a table with its as_of_column, and not both")
        if self.query and not AS_OF.search(self.query):
            raise ValueError("query has no :as_of: it would give the same rows for every month")
        if bool(self.table) != bool(self.as_of_column):
            raise ValueError("table and as_of_column go together: the rows of one month are asked for")
        return self


class Table(_Part):
    """One file of a drop, or one table of a database; the entity column is implied and need not be listed.

    `file` is the file's name without its suffix where that is not the table's name.
    """

    columns: dict[Name, Column] = Field(min_length=1)
    ages: dict[Name, Age] = {}
    file: str = ""
    source: DatabaseSource | None = None
    description: str = ""


class Entity(_Part):
    """The customer's key, present and unique in every table; `source` is its header where that differs."""

    column: Name
    dtype: Literal["string", "integer"] = "string"
    source: str = ""


class FileFormat(_Part):
    """How the files are written.

    `thousands` separates groups of three digits. `missing` lists words that mean no value in every column.
    """

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    decimal: Literal[".", ","] = "."
    encoding: str = "utf-8"
    thousands: str = Field(default="", max_length=1, json_schema_extra=ADDED)
    missing: tuple[str, ...] = Field(default=(), json_schema_extra=ADDED)

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        if self.thousands in (self.decimal, self.delimiter) and self.thousands:
            raise ValueError(f"thousands is {self.thousands!r}, as decimal or delimiter is: numbers would be ambiguous")
        if self.delimiter == self.decimal:
            raise ValueError(f"delimiter and decimal are both {self.decimal!r}: numbers could not be told apart")
        try:
            "a".encode(self.encoding)
        except LookupError:  # unknown, or none of text, such as base64
            raise ValueError(f"encoding {self.encoding!r} is none of text: utf-8, cp1252, latin-1 are usual") from None
        return self


class Span(_Part):
    """A length of time in calendar units; a month after 31 January is the last day of February."""

    months: int = Field(default=0, ge=0)
    weeks: int = Field(default=0, ge=0)
    days: int = Field(default=0, ge=0)

    def after(self, start: dt.date) -> dt.date:
        """The date this span after `start`."""
        month = start.month - 1 + self.months
        year, month = start.year + month // 12, month % 12 + 1
        day = min(start.day, calendar.monthrange(year, month)[1])
        return dt.date(year, month, day) + dt.timedelta(weeks=self.weeks, days=self.days)


class Label(_Part):
    """Where the label is, and how long after as_of it is known.

    `inverted`: the column says who stayed, as `is_active` does. Labels are turned over when they are published.
    """

    table: Name
    column: Name
    horizon: Span = Span()
    inverted: bool = Field(default=False, json_schema_extra=ADDED)


class FeatureView(_Part):
    """One Feast feature view: some columns of one table."""

    table: Name
    features: tuple[Name, ...] = Field(min_length=1)
    description: str = ""


class ColumnCost(_Part):
    """A cost that differs from customer to customer: `times` the value of `column`, a number of a feature table."""

    column: Name
    times: float = Field(default=1.0, gt=0)


Cost = Annotated[float, Field(gt=0)] | ColumnCost


class Costs(_Part):
    """What a wrong prediction costs, in any one currency; only the ratio matters to the threshold."""

    missed_churner: Cost = 5.0
    needless_contact: Cost = 1.0

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the costs are read from, each once."""
        costs = (self.missed_churner, self.needless_contact)
        return tuple(dict.fromkeys(cost.column for cost in costs if isinstance(cost, ColumnCost)))
