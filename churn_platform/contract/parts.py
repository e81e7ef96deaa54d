"""The parts of a contract: tables, the label, views, costs, and how its files are written."""

import datetime as dt
import re
from typing import Literal, Self

from pydantic import Field, model_validator

from churn_platform.base.digests import ADDED
from churn_platform.base.settings import REFERENCE
from churn_platform.contract.columns import (
    Age,
    Column,
    ContractPart,
    Name,
    active,
    check_order,
    newest_name,
)
from churn_platform.contract.events import WindowFeature, is_zone
from churn_platform.contract.expression_parser import names_in

SECRET = re.compile(r"://[^/@\s]*:[^/@\s]+@|[?&](?:password|passwd|pwd)=[^&\s]", re.IGNORECASE)
AS_OF = re.compile(r"(?<![:\w]):as_of\b")


class DatabaseSource(ContractPart):
    """The database that a table is read from: a URL, and a query or a table with its as_of
    column.
    """

    url: str
    """SQLAlchemy URL of the database. `${NAME}` is replaced by an environment variable, which a
    password must come from. Example: `${CRM_URL}`
    """
    query: str = ""
    """SQL that returns one month's rows; its parameter `:as_of` is the date. Example: `SELECT *
    FROM members WHERE month_end = :as_of`
    """
    table: str = ""
    """Table that is read instead of a query; needs `as_of_column`. Example: `crm.members`"""
    as_of_column: str = ""
    """Column of that table with the as_of of a row. Example: `month_end`"""

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


class TablePart(ContractPart):
    """Columns of a table that arrive in a file of their own from a month on."""

    columns: tuple[Name, ...] = Field(min_length=1)
    """The columns that the file holds, next to the key. Example: `[plan, fee]`"""
    since: dt.date
    """The first as_of with this file. Example: `2026-07-31`"""
    file: str = ""
    """Name of the file without its suffix, if it differs from the part's name.

    Example: `members-fees`
    """


class KeySpelling(ContractPart):
    """How a file writes the key from a month on, and how that is turned into the earlier
    spelling.
    """

    since: dt.date
    """The first as_of with this spelling. Example: `2026-07-31`"""
    remove_prefix: str = ""
    """Text at the start of each key that is removed. Example: `CUST-`"""
    add_prefix: str = ""
    """Text that is put before each key, last of all. Example: `C`"""
    digits: int = Field(default=0, ge=0, le=64)
    """Length of the key with its leading zeros, which are added or removed. Example: `8`"""
    case: Literal["", "lower", "upper"] = ""
    """Case that the key is turned into. Example: `upper`"""

    def read(self, key: str) -> str:
        """A key as the earlier months write it."""
        key = key.removeprefix(self.remove_prefix)
        if self.case == "lower":
            key = key.lower()
        elif self.case == "upper":
            key = key.upper()
        if self.digits:
            key = key.lstrip("0").zfill(self.digits)
        return self.add_prefix + key


class Table(ContractPart):
    """One file of a drop, or one table of a database."""

    columns: dict[Name, Column] = Field(min_length=1)
    """Columns of the table by name, without the entity's key, which every table has.

    Example: `{tenure: {dtype: integer}}`
    """
    ages: dict[Name, Age] = Field(default={})
    """Integer columns made from date columns, by name.

    Example: `{days_since_joined: {of: joined_on}}`
    """
    file: str = ""
    """Name of the table's file without its suffix, if it differs from the table's name.

    Example: `members_export`
    """
    files: dict[str, dt.date] = Field(default={}, json_schema_extra=ADDED)
    """Later names of the file, each with the first as_of that has it.

    Example: `{customers: 2026-07-31}`
    """
    source: DatabaseSource | None = None
    """Database that the table is read from; by default it is a file of the drop. Example:
    `{url: '${CRM_URL}', table: members, as_of_column: month_end}`
    """
    description: str = ""
    """What one row of the table is. Example: `One row per member`"""
    since: dt.date | None = Field(default=None, json_schema_extra=ADDED)
    """The first as_of with the table; by default every month has it. Example: `2026-07-31`"""
    until: dt.date | None = Field(default=None, json_schema_extra=ADDED)
    """The first as_of without the table; by default it does not end. Example: `2027-01-31`"""
    parts: dict[Name, TablePart] = Field(default={}, json_schema_extra=ADDED)
    """Files that hold some of the columns from a month on, by name.

    Example: `{plans: {columns: [plan, fee], since: 2026-07-31}}`
    """
    key_spellings: tuple[KeySpelling, ...] = Field(default=(), json_schema_extra=ADDED)
    """How the file writes the key from a month on, oldest first, if not as in the first month.

    Example: `[{since: 2026-07-31, remove_prefix: 'CUST-'}]`
    """

    kind: Literal["snapshot", "events"] = Field(default="snapshot", json_schema_extra=ADDED)
    """`snapshot`: one row a customer. `events`: a log with any number of rows a customer.

    Example: `events`
    """
    time: Name | None = Field(default=None, json_schema_extra=ADDED)
    """Of events: date or timestamp column with the time at which each happened.

    Example: `paid_at`
    """
    known_at: Name | None = Field(default=None, json_schema_extra=ADDED)
    """Of events: date or timestamp column with the time at which each became known; by default
    an event is known when it happens. Example: `booked_at`
    """
    id: Name | None = Field(default=None, json_schema_extra=ADDED)
    """Of events: column that names an event, so that it can be corrected; by default equal rows
    are one event. Example: `payment_id`
    """
    delivery: Literal["append", "replace"] = Field(default="append", json_schema_extra=ADDED)
    """Of events: `append`: a drop holds the events since the drop before. `replace`: every drop
    holds the complete log, which replaces what was known. Example: `replace`
    """
    time_zone: str = Field(default="UTC", json_schema_extra=ADDED)
    """Of events: time zone of the times without one, and where a day begins.

    Example: `Europe/Vienna`
    """
    windows: dict[Name, WindowFeature] = Field(default={}, json_schema_extra=ADDED)
    """Of events: features by name. Views name them as columns of the table.

    Example: `{visits_30d: {aggregate: count, window: 30d}}`
    """

    def active(self, as_of: dt.date) -> bool:
        """Whether the drop of a month has the table."""
        return active(self.since, self.until, as_of)

    @property
    def features(self) -> tuple[str, ...]:
        """The names that views may have: columns and ages, or the windows of events."""
        if self.kind == "events":
            return tuple(self.windows)
        return (*self.columns, *self.ages)

    def columns_picked(self, where: str) -> set[str]:
        """The columns that an expression over the events reads."""
        return names_in(where) & set(self.columns)

    def columns_behind(self, window: str) -> set[str]:
        """The columns that a window is made from, the time of an event included."""
        spec = self.windows[window]
        named = {spec.of, self.time, self.known_at, self.id} & set(self.columns)
        return {name for name in named if name is not None} | self.columns_picked(spec.where)

    def file_name(self, as_of: dt.date) -> str:
        """`file` of a month."""
        return newest_name(self.files, as_of) or self.file

    def key_spelling(self, as_of: dt.date) -> KeySpelling | None:
        """How the month's file writes the key; None if as in the first month."""
        known = [spelling for spelling in self.key_spellings if as_of >= spelling.since]
        return known[-1] if known else None

    @model_validator(mode="after")
    def _changes_in_order(self) -> Self:
        check_order(self.since, self.until)
        if len(set(self.files.values())) < len(self.files):
            raise ValueError("files: two names begin in the same month")
        if not is_zone(self.time_zone):
            raise ValueError(f"time_zone: {self.time_zone!r} is not a time zone: try Europe/Vienna")
        days = [spelling.since for spelling in self.key_spellings]
        if days != sorted(set(days)):
            raise ValueError("key_spellings must be in order of `since`, each with its own date")
        held = [column for part in self.parts.values() for column in part.columns]
        for column in held:
            if column not in self.columns:
                raise ValueError(f"parts: the table has no column {column!r}")
            if held.count(column) > 1:
                raise ValueError(f"parts: {column!r} is in two files")
        return self


class Entity(ContractPart):
    """The customer's key, present and unique in every table."""

    column: Name
    """Name of the customer's key, in every table and in the API. Example: `customer_id`"""
    dtype: Literal["string", "integer"] = "string"
    """Type of the key. Text keys keep leading zeros. Example: `integer`"""
    source: str = ""
    """Header of the key in the files, if it differs from `column`. Example: `Customer ID`"""


class FileFormat(ContractPart):
    """How CSV files are written."""

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    """Character between the cells of a CSV file. A space also reads columns that are aligned with
    several. Example: `;`
    """
    decimal: Literal[".", ","] = "."
    """Decimal sign of numbers in CSV files. Example: `','`"""
    encoding: str = "utf-8"
    """Encoding of the CSV files, as Python names it. Example: `cp1252`"""
    thousands: str = Field(default="", max_length=1, json_schema_extra=ADDED)
    """Separator between groups of three digits. Example: `'.'`"""
    missing: tuple[str, ...] = Field(default=(), json_schema_extra=ADDED)
    """Words that mean a missing value, in every column. Example: `['NULL', '-']`"""

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        if self.thousands in (self.decimal, self.delimiter) and self.thousands:
            raise ValueError(
                f"thousands is {self.thousands!r}, as decimal or delimiter is: numbers would be"
                " ambiguous"
            )
        if self.delimiter == self.decimal:
            raise ValueError(
                f"delimiter and decimal are both {self.decimal!r}: numbers would be ambiguous"
            )
        try:
            "a".encode(self.encoding)
        except LookupError:  # unknown, or none of text, such as base64
            raise ValueError(
                f"encoding {self.encoding!r} is not a text encoding: try utf-8 or cp1252"
            ) from None
        return self


class FeatureView(ContractPart):
    """One Feast feature view: some columns of one table."""

    table: Name
    """Table with the features. Example: `members`"""
    features: tuple[Name, ...] = Field(min_length=1)
    """Columns and ages that the model learns from. Each is in one view only.

    Example: `[tenure, plan]`
    """
    description: str = ""
    """What the view is for; shown in Feast. Example: `Who the customer is`"""
