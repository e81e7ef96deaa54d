"""The contract: what a drop looks like, and the only place that knows a column's name.

Belongs here: the model of `contract.yaml`, its rules and everything derived from it by pure functions.
Does not: reading files (`adapters/contract_file.py`), validating rows (`core/snapshot.py`).
"""

import calendar
import datetime as dt
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from churn_platform.core.digest import digest_of
from churn_platform.core.policy import Policy

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Dtype = Literal["string", "category", "boolean", "integer", "float", "date"]
RESERVED = ("as_of", "label", "holdout", "event_timestamp", "created_timestamp")
"""Columns that the lake and the training dataset add."""
MODEL_DTYPES = ("category", "boolean", "integer", "float")


class _Part(BaseModel):
    """A frozen part of the contract; an unknown key is an error, not a silent no-op."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Part):
    """One column of one table.

    `min` and `max` are inclusive; `values` lists the allowed categories. `phrase` says a value in the words of
    the retention team: `{value}` is replaced, and `{s}` by an s unless the value is 1, e.g. "{value} failed
    payment{s} in 90 days".
    """

    dtype: Dtype
    nullable: bool = False
    min: float | None = None
    max: float | None = None
    values: tuple[str, ...] | None = None
    description: str = ""
    phrase: str = ""

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


class Table(_Part):
    """One file of a drop; the entity column is implied and need not be listed."""

    columns: dict[Name, Column] = Field(min_length=1)
    description: str = ""


class Entity(_Part):
    """The customer's key, present and unique in every table."""

    column: Name
    dtype: Literal["string", "integer"] = "string"


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
    """Where the label is, and how long after as_of it is known."""

    table: Name
    column: Name
    horizon: Span = Span()


class FeatureView(_Part):
    """One Feast feature view: some columns of one table."""

    table: Name
    features: tuple[Name, ...] = Field(min_length=1)
    description: str = ""


class Costs(_Part):
    """What a wrong prediction costs, in any one currency; only the ratio matters to the threshold."""

    missed_churner: float = Field(default=5.0, gt=0)
    needless_contact: float = Field(default=1.0, gt=0)


CADENCES: dict[str, Span] = {"month": Span(months=1), "week": Span(weeks=1), "day": Span(days=1)}


class Contract(_Part):
    """The whole contract; every schema, view, model column and API field is derived from it."""

    name: Name
    model_name: Name
    description: str = ""
    entity: Entity
    cadence: Literal["month", "week", "day"] = "month"
    delivery_days: int = Field(default=5, ge=0)
    tables: dict[Name, Table] = Field(min_length=1)
    label: Label
    feature_views: dict[Name, FeatureView] = Field(min_length=1)
    slices: tuple[Name, ...] = ()
    costs: Costs = Costs()
    policy: Policy = Policy()

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        faults = [*self._key_faults(), *self._label_faults(), *self._view_faults(), *self._slice_faults()]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _key_faults(self) -> list[str]:
        key = self.entity.column
        implied = [
            f"tables.{name}.columns.{key}: the entity column is implied, leave it out"
            for name, table in self.tables.items()
            if key in table.columns
        ]
        named = [
            ("entity.column", key),
            *((f"tables.{t}.columns", c) for t, v in self.tables.items() for c in v.columns),
        ]
        reserved = [
            f"{where}: {name!r} is a name of our own, rename it" for name in RESERVED for where, c in named if c == name
        ]
        return [*implied, *reserved]

    def _label_faults(self) -> list[str]:
        table = self.tables.get(self.label.table)
        if table is None:
            return [f"label.table: there is no table {self.label.table!r}"]
        if self.label.column not in table.columns:
            return [f"label.column: table {self.label.table!r} has no column {self.label.column!r}"]
        if table.columns[self.label.column].dtype not in ("boolean", "integer", "float"):
            return [f"label.column: {self.label.column!r} must be boolean or 0/1"]
        return []

    def _view_faults(self) -> list[str]:
        faults, seen = [], set[str]()
        for view_name, view in self.feature_views.items():
            where = f"feature_views.{view_name}"
            table = self.tables.get(view.table)
            if table is None:
                faults.append(f"{where}.table: there is no table {view.table!r}")
                continue
            for feature in view.features:
                column = table.columns.get(feature)
                if column is None:
                    faults.append(f"{where}.features: table {view.table!r} has no column {feature!r}")
                elif column.dtype not in MODEL_DTYPES:
                    faults.append(f"{where}.features: {feature!r} is a {column.dtype}, not a feature dtype")
                elif (view.table, feature) == (self.label.table, self.label.column):
                    faults.append(f"{where}.features: {feature!r} is the label")
                if feature in seen:
                    faults.append(f"{where}.features: {feature!r} is in two views")
                seen.add(feature)
        return faults

    def _slice_faults(self) -> list[str]:
        return [
            f"slices: no feature table has a column {name!r}" for name in self.slices if self._home_of(name) is None
        ]

    def _home_of(self, column: str) -> str | None:
        for table_name, table in self.tables.items():
            if column in table.columns and table_name != self.label.table:
                return table_name
        return None

    @cached_property
    def features(self) -> dict[str, Column]:
        """Every model feature in the contract's order, name -> column."""
        return {
            feature: self.tables[view.table].columns[feature]
            for view in self.feature_views.values()
            for feature in view.features
        }

    @cached_property
    def feature_tables(self) -> tuple[str, ...]:
        """The tables that a month needs before it can be scored: all but the label's."""
        return tuple(name for name in self.tables if name != self.label.table)

    @cached_property
    def slice_tables(self) -> dict[str, str]:
        """Slice column -> the table that holds it."""
        return {name: home for name in self.slices if (home := self._home_of(name)) is not None}

    @cached_property
    def step(self) -> Span:
        """One cadence as a span."""
        return CADENCES[self.cadence]

    @cached_property
    def model_hash(self) -> str:
        """Digest over what a served model depends on: entity, features and dtypes, label. Not the policy."""
        return digest_of(
            {
                "entity": self.entity.model_dump(),
                "features": {name: column.dtype for name, column in self.features.items()},
                "label": self.label.model_dump(mode="json"),
            }
        )

    @cached_property
    def policy_hash(self) -> str:
        """Digest over the policy and the costs: a decision is bound to it."""
        return digest_of({"policy": self.policy.model_dump(mode="json"), "costs": self.costs.model_dump()})

    def matures(self, as_of: dt.date) -> dt.date:
        """The date at which the label of `as_of` is known."""
        return self.label.horizon.after(as_of)

    def as_mapping(self) -> dict[str, Any]:
        """The contract as plain JSON values."""
        return self.model_dump(mode="json")
