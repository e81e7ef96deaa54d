"""The contract: what a drop looks like, and the only place that knows a column's name."""

import datetime as dt
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from churn_platform.base.digests import digest_of, hashed_values
from churn_platform.contract.parts import (
    Age,
    Column,
    ColumnCost,
    Costs,
    DatabaseSource,
    Dtype,
    Entity,
    FeatureView,
    FileFormat,
    Label,
    Name,
    Span,
    Table,
)
from churn_platform.contract.policy import Policy

__all__ = [
    "Age",
    "Column",
    "ColumnCost",
    "Contract",
    "Costs",
    "Dtype",
    "Entity",
    "Span",
    "Table",
]

RESERVED = ("as_of", "label", "holdout", "event_timestamp", "created_timestamp")
"""Columns that the lake and the training dataset add."""
ANSWERED = (
    "prediction", "probability", "decile", "rank", "expected_loss", "reasons", "contributions", "features",
    "features_used", "features_as_of", "stale", "what_if", "model", "version", "request_id", "error", "history",
    "current", "no_current", "time", "answers", "already_left", "trained_on",
)  # fmt: skip
"""Fields beside the customer's key in requests, answers, lists and logs: the key may have none
of these names.
"""
DELIVERY_DAYS = (
    "Days after the as_of in which a correction still changes what a model trains on. Example: `10`"
)
SLICES = (
    "Columns whose groups of customers are compared on their own; see GATE007. Example: `[plan,"
    " town]`"
)
MODEL_DTYPES = ("category", "boolean", "integer", "float")
FILE_READING = ("thousands", "missing")
COLUMN_READING = ("missing", "decimal", "thousands", "unit", "date_format")
CADENCES: dict[str, Span] = {
    "month": Span(months=1),
    "week": Span(weeks=1),
    "day": Span(days=1),
}


class Contract(BaseModel):
    """The whole contract; every schema, view, model column and API field is derived from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(
        description="Name of the business, part of the names in Feast. Example: `gym`"
    )
    model_name: Name = Field(
        description="Name of the registered model in MLflow. Example: `gym_churn`"
    )
    description: str = Field(
        default="", description="What the business sells, and what churn is. Example: `A gym`"
    )
    entity: Entity = Field(description="The customer's key.")
    cadence: Literal["month", "week", "day"] = Field(
        default="month", description="Time between drops. Example: `week`"
    )
    delivery_days: int = Field(default=5, ge=0, description=DELIVERY_DAYS)
    files: FileFormat = Field(default=FileFormat(), description="How CSV files are written.")
    tables: dict[Name, Table] = Field(min_length=1, description="Tables of a drop.")
    label: Label = Field(description="Who churned, and when that is known.")
    feature_views: dict[Name, FeatureView] = Field(
        min_length=1, description="What the model learns from, by view."
    )
    slices: tuple[Name, ...] = Field(default=(), description=SLICES)
    costs: Costs = Field(default=Costs(), description="What a wrong prediction costs.")
    policy: Policy = Field(default=Policy(), description="The thresholds that the loop decides by.")

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        rules = (
            self._key_faults, self._file_faults, self._age_faults, self._label_faults, self._view_faults,
            self._slice_faults, self._cost_faults,
        )  # fmt: skip
        faults = [fault for rule in rules for fault in rule()]
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
            *((f"tables.{t}.ages", c) for t, v in self.tables.items() for c in v.ages),
        ]
        reserved = [
            f"{where}: {name!r} is a name of our own, rename it"
            for name in RESERVED
            for where, c in named
            if c == name
        ]
        taken = [
            (
                f"entity.column: {key!r} is a field of the API's answers, give it another name and"
                f" `source: {key}`"
            )
        ]
        return [*implied, *reserved, *(taken if key in ANSWERED else [])]

    def _file_faults(self) -> list[str]:
        stems = [self.file_stem(name) for name in self.tables]
        faults = [
            f"tables: two tables are read from the file {s!r}"
            for s in sorted({*stems})
            if stems.count(s) > 1
        ]
        for name in self.tables:
            headers = [column.source or own for own, column in self.delivered(name).items()]
            faults += [
                f"tables.{name}: two columns are read from the header {header!r}"
                for header in sorted({*headers})
                if headers.count(header) > 1
            ]
            faults += [
                f"tables.{name}.columns.{own}.thousands: {column.thousands!r} is the decimal"
                " sign, too"
                for own, column in self.tables[name].columns.items()
                if column.thousands and column.thousands == (column.decimal or self.files.decimal)
            ]
        return faults

    def _age_faults(self) -> list[str]:
        faults = []
        for name, table in self.tables.items():
            for age, spec in table.ages.items():
                where = f"tables.{name}.ages.{age}"
                date = table.columns.get(spec.of)
                if date is None or date.dtype != "date":
                    faults.append(f"{where}.of: table {name!r} has no date column {spec.of!r}")
                if age in table.columns or age == self.entity.column:
                    faults.append(f"{where}: {age!r} is a column already, name the age otherwise")
        return faults

    def _label_faults(self) -> list[str]:
        table = self.tables.get(self.label.table)
        if table is None:
            return [f"label.table: there is no table {self.label.table!r}"]
        if self.label.column not in table.columns:
            return [f"label.column: table {self.label.table!r} has no column {self.label.column!r}"]
        if table.columns[self.label.column].dtype not in ("boolean", "integer", "float"):
            return [f"label.column: {self.label.column!r} must be boolean or 0/1"]
        if self.wide and self.label_table in self.tables:
            return [
                (
                    f"tables.{self.label_table}: the name is kept for the labels of"
                    f" {self.label.table!r}, rename it"
                )
            ]
        return []

    def _view_faults(self) -> list[str]:
        faults = []
        seen = set[str]()
        for view_name, view in self.feature_views.items():
            where = f"feature_views.{view_name}"
            if view.table not in self.tables:
                faults.append(f"{where}.table: there is no table {view.table!r}")
                continue
            columns = self._columns(view.table)
            for feature in view.features:
                column = columns.get(feature)
                if column is None:
                    faults.append(
                        f"{where}.features: table {view.table!r} has no column {feature!r}"
                    )
                elif (view.table, feature) == (self.label.table, self.label.column):
                    faults.append(f"{where}.features: {feature!r} is the label")
                elif column.dtype not in MODEL_DTYPES:
                    if column.dtype == "date":
                        remedy = ": give it an age (tables.*.ages)"
                    else:
                        remedy = ""
                    faults.append(
                        f"{where}.features: {feature!r} is a {column.dtype}, not a feature"
                        f" dtype{remedy}"
                    )
                if feature in seen:
                    faults.append(f"{where}.features: {feature!r} is in two views")
                seen.add(feature)
        return faults

    def _slice_faults(self) -> list[str]:
        return [
            f"slices: no feature table has a column {name!r}"
            for name in self.slices
            if self._home_of(name) is None
        ]

    def _cost_faults(self) -> list[str]:
        faults = []
        for name in self.costs.columns:
            home = self._home_of(name)
            column = None if home is None else self._columns(home)[name]
            if column is None:
                faults.append(f"costs: no feature table has a column {name!r}")
            elif (
                column.dtype not in ("integer", "float")
                or column.nullable
                or (column.min is None or column.min < 0)
            ):
                faults.append(
                    f"costs: {name!r} must be a number that is never empty, with a min of at"
                    " least 0"
                )
        return faults

    def _columns(self, table: str) -> dict[str, Column]:
        """The columns of a table with its ages, the label's too, without the key."""
        spec = self.tables[table]
        ages = {
            age: a.as_column(spec.columns[a.of])
            for age, a in spec.ages.items()
            if a.of in spec.columns
        }
        return {**spec.columns, **ages}

    def _home_of(self, column: str) -> str | None:
        for table in self.tables:
            labels = table == self.label.table
            if column in self._columns(table) and not (
                labels and (not self.wide or column == self.label.column)
            ):
                return table
        return None

    @cached_property
    def wide(self) -> bool:
        """Whether the label is a column of a feature table; its labels are then kept apart
        (`label_table`).
        """
        return any(view.table == self.label.table for view in self.feature_views.values())

    @cached_property
    def label_table(self) -> str:
        """Where the lake keeps the labels; also the name of a file that delivers labels alone."""
        if self.wide:
            return f"{self.label.table}_label"
        return self.label.table

    @cached_property
    def key(self) -> Column:
        """The entity as a column."""
        return Column(
            dtype=self.entity.dtype, source=self.entity.source, description="The customer's key"
        )

    @cached_property
    def pulled(self) -> dict[str, DatabaseSource]:
        """The tables that are read from a database, each with its source."""
        return {
            name: table.source for name, table in self.tables.items() if table.source is not None
        }

    @cached_property
    def deliverable(self) -> tuple[str, ...]:
        """The tables that a drop may hold: all of the contract's, and the labels alone where
        they are in a wide one.
        """
        return tuple(dict.fromkeys([*self.tables, self.label_table]))

    def file_stem(self, table: str) -> str:
        """The name of a table's file, without suffix."""
        return (self.tables[table].file if table in self.tables else "") or table

    def delivered(self, table: str) -> dict[str, Column]:
        """The columns that a table's file must hold: the entity, then the table's own."""
        own = self.tables[table if table in self.tables else self.label.table].columns
        if table not in self.tables:
            own = {self.label.column: own[self.label.column]}
        return {self.entity.column: self.key, **own}

    @cached_property
    def published(self) -> dict[str, dict[str, Column]]:
        """Every table of the lake with its columns, the entity first: ages made, the labels of
        a wide table apart.
        """
        tables = {
            name: {self.entity.column: self.key, **self._columns(name)} for name in self.tables
        }
        if self.wide:
            label = tables[self.label.table].pop(self.label.column)
            tables[self.label_table] = {self.entity.column: self.key, self.label.column: label}
        return tables

    @cached_property
    def features(self) -> dict[str, Column]:
        """Every model feature in the contract's order, name -> column."""
        return {
            feature: self.published[view.table][feature]
            for view in self.feature_views.values()
            for feature in view.features
        }

    @cached_property
    def feature_tables(self) -> tuple[str, ...]:
        """The tables that a month needs before it can be scored: all but the label's."""
        return tuple(name for name in self.published if name != self.label_table)

    @cached_property
    def carried(self) -> dict[str, str]:
        """Columns that are no features but travel with the rows (slices, costs) -> the table
        that holds each.
        """
        wanted = dict.fromkeys([*self.slices, *self.costs.columns])
        return {
            name: home
            for name in wanted
            if name not in self.features and (home := self._home_of(name))
        }

    @cached_property
    def step(self) -> Span:
        """One cadence as a span."""
        return CADENCES[self.cadence]

    @cached_property
    def model_hash(self) -> str:
        """Digest over what a served model depends on: entity, features and dtypes, label. Not
        the policy.
        """
        made_of: dict[str, Any] = {
            "entity": self.entity.model_dump(exclude={"source"}),
            "features": {name: column.dtype for name, column in self.features.items()},
            # When the churners left does not change what the model reads or predicts.
            "label": {
                name: value for name, value in hashed_values(self.label).items() if name != "period"
            },
        }
        ages = {
            n: [a.of, a.unit]
            for t in self.tables.values()
            for n, a in t.ages.items()
            if n in self.features
        }
        return digest_of(made_of | ({"ages": ages} if ages else {}))

    @cached_property
    def list_hash(self) -> str:
        """Digest over what the ranked list takes from the contract besides the model: words,
        costs, length, period.
        """
        words = {
            name: [column.description, column.phrase] for name, column in self.features.items()
        }
        return digest_of(
            {
                "words": words,
                "costs": hashed_values(self.costs),
                "scoring": hashed_values(self.policy.scoring),
                "period": self.label.period,
            }
        )

    @cached_property
    def reading(self) -> dict[str, Any]:
        """What is declared that changes the values read from the same bytes; empty where
        nothing is.

        Only what earlier versions could not declare: their drops keep the fingerprints they
        have.
        """
        files = _given(self.files, FILE_READING)
        columns = {
            f"{table}.{name}": given
            for table, spec in self.tables.items()
            for name, column in spec.columns.items()
            if (given := _given(column, COLUMN_READING))
        }
        found = {"files": files, "columns": columns, "label": _given(self.label, ("inverted",))}
        return {part: given for part, given in found.items() if given}

    @property
    def costs_given(self) -> bool:
        """Whether the author of the contract gave the costs."""
        return "costs" in self.model_fields_set

    def threshold_given(self, passport: Mapping[str, Any]) -> bool:
        """Whether a version's threshold says whom to contact: it was chosen by the costs that
        this contract gives.

        Args:
            passport: the version's; one of an earlier platform does not name the costs, so
                nothing is said.
        """
        costs = passport.get("made_from", {}).get("recipe", {}).get("costs")
        return self.costs_given and costs is not None and Costs.model_validate(costs) == self.costs

    @property
    def decided_by(self) -> dict[str, Any]:
        """What a decision is bound to, as plain JSON values: policy and costs."""
        return {"policy": hashed_values(self.policy), "costs": hashed_values(self.costs)}

    @cached_property
    def policy_hash(self) -> str:
        """Digest over the policy and the costs: a decision is bound to it."""
        return digest_of(self.decided_by)

    def too_close(self, as_of: dt.date, others: Iterable[dt.date]) -> dt.date | None:
        """Another as_of that belongs to the same step of the cadence; None when there is none.

        Two as_ofs of one cadence are at least three quarters of a step apart: a month's last
        Friday may come 28 days after the one before, a weekly extract a day early.
        """
        for other in sorted(others):
            earlier, later = sorted((as_of, other))
            step = self.step.after(earlier) - earlier
            if dt.timedelta(0) < later - earlier < step * 0.75:
                return other
        return None

    def matures(self, as_of: dt.date) -> dt.date:
        """The date at which the label of `as_of` is known."""
        return self.label.horizon.after(as_of)

    def as_mapping(self) -> dict[str, Any]:
        """The contract as plain JSON values."""
        return self.model_dump(mode="json")


def _given(part: BaseModel, names: Iterable[str]) -> dict[str, Any]:
    """Those of the named fields that have another value than the default."""
    values = part.model_dump(mode="json", include=set(names), exclude_defaults=True)
    return {name: values[name] for name in sorted(values)}
