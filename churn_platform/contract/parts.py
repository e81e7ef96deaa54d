"""The parts of a contract: columns, tables, the label, views, costs, and how its files are
written.
"""

import calendar
import datetime as dt
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from churn_platform.base.digests import ADDED
from churn_platform.base.settings import REFERENCE

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Dtype = Literal["string", "category", "boolean", "integer", "float", "date"]
"""A variable of the environment in a URL."""
SECRET = re.compile(r"://[^/@\s]*:[^/@\s]+@|[?&](?:password|passwd|pwd)=[^&\s]", re.IGNORECASE)
AS_OF = re.compile(r"(?<![:\w]):as_of\b")
NUMBERED_DATES = ("excel", "epoch_seconds")
AgeUnit = Literal["days", "weeks", "months", "years"]


class _Part(BaseModel):
    """A frozen part of the contract; an unknown key is an error, not a silent no-op."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Column(_Part):
    """One column of one table, and how the file writes its values."""

    dtype: Dtype
    """Kind of the values. A `date` cannot be a feature; give it an age. Example: `category`"""
    source: str = ""
    """Header of the column in the file, where it differs from the column's name.

    Example: `Monthly Fee`
    """
    nullable: bool = False
    """Whether a value may be missing.

    A missing value in another column is a fault. Example: `true`
    """
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
    is allowed. Example: `[basic, plus]`"""
    description: str = ""
    """What the column is. Reasons use it if the column has no `phrase`.

    Example: `Failed payments in 90 days`
    """
    phrase: str = ""
    """One value in the words of the retention team: `{value}` becomes the value, `{s}` an s
    unless the value is 1.
    Example: `'{value} failed payment{s} in 90 days'`"""
    missing: tuple[str, ...] = Field(default=(), json_schema_extra=ADDED)
    """Texts of this column that mean no value, as they are in the file.

    Example: `['-1', '9999-12-31']`
    """
    decimal: Literal["", ".", ","] = Field(default="", json_schema_extra=ADDED)
    """Decimal sign of this column, where it differs from `files.decimal`. Example: `','`"""
    thousands: str = Field(default="", max_length=1, json_schema_extra=ADDED)
    """Separator between groups of three digits, where it differs from `files.thousands`.

    Example: `'.'`
    """
    unit: str = Field(default="", json_schema_extra=ADDED)
    """Currency or percent sign that is removed before the number is read; 12.5% is read as
    12.5. Example: `€`
    """
    date_format: str = Field(default="", json_schema_extra=ADDED)
    """How dates are written, where not as 2024-01-31: `excel`, `epoch_seconds` or a format.
    Example: `'%d.%m.%Y'`
    """

    @model_validator(mode="after")
    def _is_read_as_its_dtype(self) -> Self:
        for name in ("decimal", "thousands", "unit"):
            if getattr(self, name) and self.dtype not in ("integer", "float"):
                raise ValueError(f"{name} is for dtype integer or float, not {self.dtype}")
        if self.date_format and self.dtype != "date":
            raise ValueError(f"date_format is for dtype date, not {self.dtype}")
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


class Age(_Part):
    """An integer column made of the date column `of`: whole units from the date to as_of,
    rounded down.

    A date is no feature: its distance to the as_of is. Null where the date is; a date after the
    as_of is a fault of the drop, for it was not known then.
    """

    of: Name
    """Date column of the same table that the age is counted from. Example: `joined_on`"""
    unit: AgeUnit = "days"
    """Unit of the age; only whole units count. Example: `months`"""
    description: str = ""
    """What the age is; by default made from `unit` and `of`. Example: `Months since joining`"""
    phrase: str = ""
    """One value in the words of the retention team, as for a column.

    Example: `'a customer for {value} month{s}'`
    """

    def as_column(self, date: Column) -> Column:
        """The age as a column of its own."""
        said = self.description or f"{self.unit.capitalize()} since {self.of.replace('_', ' ')}"
        phrase = (
            self.phrase
            or f"{{value}} {self.unit.removesuffix('s')}{{s}} since {self.of.replace('_', ' ')}"
        )
        return Column(
            dtype="integer", nullable=date.nullable, min=0, description=said, phrase=phrase
        )


class DatabaseSource(_Part):
    """Where a table is read from when that is a database: a URL, and a query or a table with
    its as_of column.

    `url` is SQLAlchemy's; `${NAME}` in it stands for a variable of the environment, and a
    password always does. The query gives the rows of one month by its parameter `:as_of`, a
    date.
    """

    url: str
    """SQLAlchemy's URL of the database. `${NAME}` is a variable of the environment; a password
    must be in one. Example: `${CRM_URL}`"""
    query: str = ""
    """SQL that returns one month's rows; its parameter `:as_of` is the date. Example: `SELECT *
    FROM members WHERE month_end = :as_of`"""
    table: str = ""
    """Table that is read in place of a query; needs `as_of_column`. Example: `crm.members`"""
    as_of_column: str = ""
    """Column of that table that holds the as_of of a row. Example: `month_end`"""

    @model_validator(mode="after")
    def _is_a_source_without_a_secret(self) -> Self:
        if SECRET.search(REFERENCE.sub("", self.url)):
            raise ValueError(
                "url holds a password: put it into a variable of the environment, as ${CRM_URL}"
            )
        if bool(self.query) == bool(self.table):
            raise ValueError("source needs a query, or a table with its as_of_column, and not both")
        if self.query and not AS_OF.search(self.query):
            raise ValueError("query has no :as_of: it would give the same rows for every month")
        if bool(self.table) != bool(self.as_of_column):
            raise ValueError(
                "table and as_of_column go together: the rows of one month are asked for"
            )
        return self


class Table(_Part):
    """One file of a drop, or one table of a database; the entity column is implied and need not
    be listed.

    `file` is the file's name without its suffix where that is not the table's name.
    """

    columns: dict[Name, Column] = Field(min_length=1)
    """Columns of the table, name to column; leave out the entity's key, which every table
    has. Example: `{tenure: {dtype: integer}}`"""
    ages: dict[Name, Age] = {}
    """Integer columns made from date columns, name to age. Example: `{days_since_joined: {of:
    joined_on}}`"""
    file: str = ""
    """Name of the table's file without its suffix, where it differs from the table's name.

    Example: `members_export`
    """
    source: DatabaseSource | None = None
    """Database that the table is read from; by default it is a file of the drop. Example:
    `{url: '${CRM_URL}', table: members, as_of_column: month_end}`"""
    description: str = ""
    """What one row of the table is. Example: `One row per member`"""


class Entity(_Part):
    """The customer's key, present and unique in every table; `source` is its header where that
    differs.
    """

    column: Name
    """Name of the customer's key, in every table and in the API. Example: `customer_id`"""
    dtype: Literal["string", "integer"] = "string"
    """Kind of the key. Text keys keep leading zeros. Example: `integer`"""
    source: str = ""
    """Header of the key in the files, where it differs from `column`. Example: `Customer ID`"""


class FileFormat(_Part):
    """How the files are written.

    `thousands` separates groups of three digits. `missing` lists words that mean no value in
    every column.
    """

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    """Character between the cells of a CSV file. Example: `;`"""
    decimal: Literal[".", ","] = "."
    """Decimal sign of numbers in CSV files. Example: `','`"""
    encoding: str = "utf-8"
    """Encoding of the CSV files, as Python names it. Example: `cp1252`"""
    thousands: str = Field(default="", max_length=1, json_schema_extra=ADDED)
    """Separator between groups of three digits. Example: `'.'`"""
    missing: tuple[str, ...] = Field(default=(), json_schema_extra=ADDED)
    """Words that mean no value, in every column. Example: `['NULL', '-']`"""

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        if self.thousands in (self.decimal, self.delimiter) and self.thousands:
            raise ValueError(
                f"thousands is {self.thousands!r}, as decimal or delimiter is: numbers would be"
                " ambiguous"
            )
        if self.delimiter == self.decimal:
            raise ValueError(
                f"delimiter and decimal are both {self.decimal!r}: numbers could not be told apart"
            )
        try:
            "a".encode(self.encoding)
        except LookupError:  # unknown, or none of text, such as base64
            raise ValueError(
                f"encoding {self.encoding!r} is not a text encoding: try utf-8 or cp1252"
            ) from None
        return self


class Span(_Part):
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


class Label(_Part):
    """Where the label is, and how long after as_of it is known."""

    table: Name
    """Table that holds the label. Example: `labels`"""
    column: Name
    """Column that marks who churned: boolean, or 1 for churned and 0 for stayed. Example:
    `has_left`
    """
    horizon: Span = Span()
    """How long after the as_of the label is known; by default at the as_of. Example:
    `{months: 1}`"""
    period: Literal["after", "before"] = Field(default="after", json_schema_extra=ADDED)
    """`before`: the label says who had left by the as_of, so customers who stayed are listed.
    `after`: the label is about the future, so a fully labelled month is not listed. Example:
    `before`"""
    inverted: bool = Field(default=False, json_schema_extra=ADDED)
    """Whether the column marks who stayed, as `is_active` does. Labels are inverted when they
    are published. Example: `true`"""


class FeatureView(_Part):
    """One Feast feature view: some columns of one table."""

    table: Name
    """Table that the features are columns of. Example: `members`"""
    features: tuple[Name, ...] = Field(min_length=1)
    """Columns the model learns from; ages count as columns. Each is in one view only. Example:
    `[tenure, plan]`
    """
    description: str = ""
    """What the view is for; shown in Feast. Example: `Who the customer is`"""


class ColumnCost(_Part):
    """A cost that differs from customer to customer: `times` the value of `column`, a number of
    a feature table.
    """

    column: Name
    """Number column of a feature table that holds the cost of each customer; it must have `min:
    0` or more and no missing values. Example: `fee`"""
    times: float = Field(default=1.0, gt=0)
    """Factor for the value, for instance the months that a kept customer stays.

    Example: `12`
    """


Cost = Annotated[float, Field(gt=0)] | ColumnCost


class Costs(_Part):
    """What a wrong prediction costs, in any one currency; only the ratio matters to the
    threshold.
    """

    missed_churner: Cost = 5.0
    """Cost of leaving a churner alone: one number for all, or a column with each customer's
    own. Example: `{column: fee, times: 12}`"""
    needless_contact: Cost = 1.0
    """Cost of contacting a customer who would have stayed. Example: `2.5`"""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the costs are read from, each once."""
        costs = (self.missed_churner, self.needless_contact)
        return tuple(dict.fromkeys(cost.column for cost in costs if isinstance(cost, ColumnCost)))
