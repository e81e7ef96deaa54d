"""The contract: what a drop looks like, and what the platform does with it."""

import bisect
import datetime as dt
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, JsonValue, model_validator

from churn_platform.base.digests import ADDED, digest_of, hashed_values
from churn_platform.contract.columns import Age, Column, ContractPart, Dtype, Name, Span
from churn_platform.contract.consistency import faults_of, month_faults
from churn_platform.contract.contacts import Contacts
from churn_platform.contract.events import EVENT_DAY, EVENTS_SUFFIX
from churn_platform.contract.outcome import ColumnCost, Costs, Label
from churn_platform.contract.parts import DatabaseSource, Entity, FeatureView, FileFormat, Table
from churn_platform.contract.policy import Policy
from churn_platform.contract.views import as_delivered, boundaries, of_month

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

FILE_READING = ("thousands", "missing")
COLUMN_READING = ("missing", "decimal", "thousands", "unit", "date_format", "renamed")
TABLE_READING = ("parts", "key_spellings", "time", "id", "delivery", "time_zone")
CADENCES: dict[str, Span] = {
    "month": Span(months=1),
    "week": Span(weeks=1),
    "day": Span(days=1),
}


class Contract(ContractPart):
    """A contract; every schema, view, model column and API field is derived from it."""

    name: Name
    """Name of the business, part of the names in Feast. Example: `gym`"""
    model_name: Name
    """Name of the registered model in MLflow. Example: `gym_churn`"""
    description: str = ""
    """What the business sells, and what churn is. Example: `A gym`"""
    entity: Entity
    """The customer's key."""
    cadence: Literal["month", "week", "day"] = "month"
    """Time between drops. Example: `week`"""
    delivery_days: int = Field(default=5, ge=0)
    """Days after the as_of in which a correction still changes what a model trains on.

    Example: `10`
    """
    files: FileFormat = FileFormat()
    """How CSV files are written."""
    tables: dict[Name, Table] = Field(min_length=1)
    """Tables of a drop."""
    label: Label
    """Who churned, and when that is known."""
    feature_views: dict[Name, FeatureView] = Field(min_length=1)
    """What the model learns from, by view."""
    slices: tuple[Name, ...] = ()
    """Columns whose groups of customers are also compared separately; see GATE007.

    Example: `[plan, town]`
    """
    costs: Costs = Costs()
    """What a wrong prediction costs."""
    contacts: Contacts | None = Field(default=None, json_schema_extra=ADDED)
    """Where contacts with customers are recorded. With it the platform plans contacts, corrects
    labels for them and measures what they were worth.
    """
    do_not_contact: str | None = Field(
        default=None, pattern=r"^[A-Za-z]\w*\.[A-Za-z]\w*$", json_schema_extra=ADDED
    )
    """Boolean column, as `table.column`, of customers who object to being contacted.

    Example: `members.no_marketing`
    """
    policy: Policy = Policy()
    """The thresholds that decide what the platform does."""

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        faults = list(faults_of(self)) or list(month_faults(self) if self.boundaries else ())
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def at(self, as_of: dt.date) -> "Contract":
        """The contract of one month, without dates (`views.of_month`); itself if no part of it
        has a date.
        """
        if not self.boundaries:
            return self
        place = bisect.bisect_right(self.boundaries, as_of)
        if place not in self.months_known:
            start = self.boundaries[place - 1] if place else dt.date.min
            self.months_known[place] = of_month(self, start)
        return self.months_known[place]

    def delivery(self, as_of: dt.date) -> "Contract":
        """The contract of one month as its drop has the tables (`views.as_delivered`)."""
        month = self.at(as_of)
        if any(table.parts for table in month.tables.values()):
            return month.as_delivered
        return month

    def advice_on_key(self, key: object) -> str:
        """What to do about a key that no one has: check it, or give it in the spelling of the
        first months, if files write it in another way now.
        """
        for table in self.tables.values():
            spelling = table.key_spelling(dt.date.max)
            if spelling is not None and spelling.read(str(key)) != str(key):
                known = spelling.read(str(key))
                return f"Files write keys in another way since {spelling.since}: try {known!r}."
        return f"Check the {self.entity.column}."

    def has_column(self, table: str, column: str, as_of: dt.date) -> bool:
        """Whether a month has a column or an age of a table."""
        spec = self.tables[table]
        if column in spec.windows:
            behind = spec.columns_behind(column)
            return spec.active(as_of) and all(spec.columns[own].active(as_of) for own in behind)
        own = spec.ages[column].of if column in spec.ages else column
        return spec.active(as_of) and own in spec.columns and spec.columns[own].active(as_of)

    def changed(self, **parts: object) -> "Contract":
        """The contract with other parts; None leaves a part out, so it has its default."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        kept = {name: part for name, part in (given | parts).items() if part is not None}
        return Contract.model_validate(kept)

    @cached_property
    def as_delivered(self) -> "Contract":
        """The contract of one month with a table for each file (`views.as_delivered`).

        Never the contract itself: a model that holds itself cannot be compared with an equal one.
        """
        return as_delivered(self)

    @cached_property
    def boundaries(self) -> list[dt.date]:
        """The months from which on the contract describes other drops, ascending."""
        return boundaries(self)

    @cached_property
    def months_known(self) -> dict[int, "Contract"]:
        """The contracts of months that `at` has made, by the number of boundaries before."""
        return {}

    def columns_of(self, table: str) -> dict[str, Column]:
        """The columns of a table, with its ages and the label, without the key; of an event table
        its windows.
        """
        spec = self.tables[table]
        if spec.kind == "events":
            return {
                name: window.as_column(table, spec.columns.get(window.of or ""))
                for name, window in spec.windows.items()
            }
        ages = {
            age: a.as_column(spec.columns[a.of])
            for age, a in spec.ages.items()
            if a.of in spec.columns
        }
        return {**spec.columns, **ages}

    def table_of(self, column: str) -> str | None:
        """The table whose rows carry a column; None if only the label's table has it."""
        for table in self.tables:
            columns = self.columns_of(table)
            if table == self.label.table:
                columns.pop(self.label.column, None)
                if not self.wide:
                    continue
            if column in columns:
                return table
        return None

    @cached_property
    def wide(self) -> bool:
        """Whether the label is a column of a feature table; the lake then keeps the labels in a
        table of their own (`label_table`).
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
        """The tables that a drop may contain: the contract's, and the labels of a wide one
        alone.
        """
        if self.label.no_event is not None:
            return tuple(self.tables)
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

    def column_of_header(self, table: str, header: str) -> str | None:
        """The column of a table that its file has under a header."""
        columns = self.delivered(table).items()
        return next((own for own, column in columns if (column.source or own) == header), None)

    def owner(self, file: str) -> str:
        """The table that a file of a drop belongs to, by the name that `delivery` gives it."""
        return next((name for name, table in self.tables.items() if file in table.parts), file)

    @cached_property
    def published(self) -> dict[str, dict[str, Column]]:
        """Every table of the lake with its columns, the entity first, ages included, the labels
        of a wide table separate.
        """
        tables = {
            name: {self.entity.column: self.key, **self.columns_of(name)} for name in self.tables
        }
        if self.wide:
            label = tables[self.label.table].pop(self.label.column)
            tables[self.label_table] = {self.entity.column: self.key, self.label.column: label}
            for earlier in self.label.earlier:
                tables[self.label.table].pop(earlier.column, None)
        if self.label.no_event is not None:
            inactive = Column(dtype="boolean", description="Had no event")
            tables[self.label.table] = {self.entity.column: self.key, self.label.column: inactive}
        for name, log in self.logs.items():
            day = Column(dtype="date", description="The day of the event")
            events = {self.entity.column: self.key, **log.columns, EVENT_DAY: day}
            tables[f"{name}{EVENTS_SUFFIX}"] = events
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
        """The tables that a month needs before it can be scored: all but the label's and those
        of events.
        """
        others = {self.label_table, *self.event_tables}
        return tuple(name for name in self.published if name not in others)

    @cached_property
    def event_tables(self) -> tuple[str, ...]:
        """The tables of the lake with any number of rows a customer: contacts and logs."""
        logs = tuple(f"{name}{EVENTS_SUFFIX}" for name in self.logs)
        return logs if self.contacts is None else (self.contacts.table, *logs)

    @cached_property
    def logs(self) -> dict[str, Table]:
        """The tables whose files are logs of events."""
        return {name: table for name, table in self.tables.items() if table.kind == "events"}

    @cached_property
    def snapshot_tables(self) -> tuple[str, ...]:
        """The feature tables whose files have one row a customer."""
        return tuple(name for name in self.feature_tables if name not in self.logs)

    def lake_name(self, table: str) -> str:
        """The table of the lake that the rows of a file become."""
        return f"{table}{EVENTS_SUFFIX}" if table in self.logs else table

    def has_many_rows(self, table: str) -> bool:
        """Whether the file of a table has any number of rows a customer."""
        return table in self.event_tables or table in self.logs

    @cached_property
    def carried(self) -> dict[str, str]:
        """Columns that are not features but are kept with the rows (slices, costs) -> the table
        of each.
        """
        wanted = dict.fromkeys([*self.slices, *self.costs.columns])
        return {
            name: home
            for name in wanted
            if name not in self.features and (home := self.table_of(name))
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
        windows = {
            name: hashed_values(window)
            for table in self.logs.values()
            for name, window in table.windows.items()
            if name in self.features
        }
        made_of |= {"ages": ages} if ages else {}
        made_of |= {"windows": windows} if windows else {}
        return digest_of(made_of)

    @cached_property
    def list_hash(self) -> str:
        """Digest over what the ranked list takes from the contract in addition to the model:
        descriptions, costs, length, period.
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
    def reading(self) -> dict[str, JsonValue]:
        """The fields that change which values are read from the same bytes; empty if none is
        set.

        Only fields that earlier versions did not have: their drops keep their fingerprints.
        """
        files = _given(self.files, FILE_READING)
        columns = {
            f"{table}.{name}": given
            for table, spec in self.tables.items()
            for name, column in spec.columns.items()
            if (given := _given(column, COLUMN_READING))
        }
        tables = {
            name: given
            for name, spec in self.tables.items()
            if (given := _given(spec, TABLE_READING))
        }
        found: dict[str, dict[str, Any]] = {
            "files": files,
            "columns": columns,
            "label": _given(self.label, ("inverted",)),
            "tables": tables,
        }
        return {part: given for part, given in found.items() if given}

    @property
    def costs_given(self) -> bool:
        """Whether the author of the contract gave the costs."""
        return "costs" in self.model_fields_set

    @property
    def contact_value_given(self) -> bool:
        """Whether the author of the contract gave what a saved customer is worth."""
        return self.policy.contacts.value is not None or self.costs_given

    def threshold_given(self, passport: Mapping[str, Any]) -> bool:
        """Whether a version's threshold was chosen by the costs that this contract gives, so it
        shows whom to contact.

        Args:
            passport: the version's model card; one of an earlier platform has no costs.
        """
        costs = passport.get("made_from", {}).get("recipe", {}).get("costs")
        return self.costs_given and costs is not None and Costs.model_validate(costs) == self.costs

    @property
    def decided_by(self) -> dict[str, JsonValue]:
        """The policy and the costs as plain JSON values: a decision is bound to them."""
        return {"policy": hashed_values(self.policy), "costs": hashed_values(self.costs)}

    @cached_property
    def policy_hash(self) -> str:
        """Digest over the policy and the costs: a decision is bound to it."""
        return digest_of(self.decided_by)

    def too_close(self, as_of: dt.date, others: Iterable[dt.date]) -> dt.date | None:
        """Another as_of that belongs to the same step of the cadence; None without one.

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
        return self.label.at(as_of).horizon.after(as_of)

    def written(self) -> dict[str, JsonValue]:
        """What the contract sets apart from policy and costs, as plain JSON values: two contracts
        with equal values describe the same drops and features.
        """
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"policy", "costs"})

    def as_mapping(self) -> dict[str, Any]:
        """The contract as plain JSON values."""
        return self.model_dump(mode="json")


def _given(part: BaseModel, names: Iterable[str]) -> dict[str, JsonValue]:
    """The named fields whose value is not the default."""
    values = part.model_dump(mode="json", include=set(names), exclude_defaults=True)
    return {name: values[name] for name in sorted(values)}
