"""The rules of event tables, their windows and labels that are made from a log."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from churn_platform.contract.columns import Column
from churn_platform.contract.events import EVENTS_SUFFIX, NUMBERS_ONLY, WindowFeature
from churn_platform.contract.expression_parser import parse_expression
from churn_platform.contract.expressions import RuleInvalid, column_types

if TYPE_CHECKING:
    from churn_platform.contract.model import Contract
    from churn_platform.contract.parts import Table

TIMES = ("date", "timestamp")
NUMBERS = ("integer", "float")


def event_faults(contract: "Contract") -> Iterator[str]:
    """What is wrong with the event tables of a contract, and with what is only for them."""
    for name, table in contract.tables.items():
        if table.kind == "snapshot":
            yield from _snapshot_faults(name, table)
            continue
        yield from _log_faults(name, table)
        if f"{name}{EVENTS_SUFFIX}" in contract.tables:
            yield f"tables.{name}{EVENTS_SUFFIX}: the name is kept for the log of {name!r}"
        if contract.contacts is not None and contract.contacts.table == name:
            yield f"tables.{name}: the table of contacts has `kind: snapshot`"
        names = [own.lower() for own in (contract.entity.column, *table.columns)]
        for own in table.columns:
            if names.count(own.lower()) > 1:
                yield f"tables.{name}.columns.{own}: another column differs in case only"
        for window, spec in table.windows.items():
            where = f"tables.{name}.windows.{window}"
            if window in table.columns or window == contract.entity.column:
                yield f"{where}: {window!r} is a column already, name the window otherwise"
            yield from _window_faults(name, table, where, spec)


def inactivity_faults(contract: "Contract") -> Iterator[str]:
    """What is wrong with a label that is made from a log."""
    label = contract.label
    if label.no_event is None:
        return
    if label.table in contract.tables:
        yield f"label.table: the labels of a log need a name of their own, not {label.table!r}"
    population = label.no_event.population
    parts = [("label.no_event", label.no_event.table, label.no_event.where)]
    if population is not None:
        parts.append(("label.no_event.population", population.table, population.where))
    for where, table, text in parts:
        if table in contract.logs:
            yield from _expression_faults(contract.logs[table], f"{where}.where", text)
        else:
            yield f"{where}.table: there is no event table {table!r}"
    snapshots = [v.table for v in contract.feature_views.values() if v.table not in contract.logs]
    if snapshots and population is not None:
        yield (
            f"label.no_event.population: the customers are those of table {snapshots[0]!r},"
            " leave it out"
        )
    if not snapshots and population is None:
        yield (
            "label.no_event.population: no table has one row a customer, so say who the customers"
            " of a month are, as {table: payments, window: 90d}"
        )


def _snapshot_faults(name: str, table: "Table") -> Iterator[str]:
    if table.time or table.known_at or table.id or table.windows:
        yield f"tables.{name}: time, known_at, id and windows are for `kind: events`"
    for own, column in table.columns.items():
        if column.dtype == "timestamp":
            yield f"tables.{name}.columns.{own}: a timestamp is for `kind: events`, use date"


def _log_faults(name: str, table: "Table") -> Iterator[str]:
    where = f"tables.{name}"
    if table.ages or table.parts:
        yield f"{where}: an event table has no ages and no parts"
    if table.time is None:
        yield f"{where}.time: name the column with the time of an event"
    for field, own in (("time", table.time), ("known_at", table.known_at)):
        if own is not None and not _is_time(table.columns.get(own)):
            yield f"{where}.{field}: there is no date or timestamp column {own!r}"
    if table.time in table.columns and table.columns[table.time].nullable:
        yield f"{where}.columns.{table.time}.nullable: every event has a time"
    if table.id is not None and table.id not in table.columns:
        yield f"{where}.id: there is no column {table.id!r}"


def _window_faults(name: str, table: "Table", where: str, spec: WindowFeature) -> Iterator[str]:
    yield from _expression_faults(table, f"{where}.where", spec.where)
    if spec.of is None:
        return
    of = table.columns.get(spec.of)
    if of is None:
        yield f"{where}.of: table {name!r} has no column {spec.of!r}"
    elif of.dtype in TIMES and spec.aggregate != "distinct":
        yield f"{where}.of: {spec.of!r} is a {of.dtype}; days_since_last is of times"
    elif of.dtype not in NUMBERS and spec.aggregate in (*NUMBERS_ONLY, "min", "max"):
        yield f"{where}.of: {spec.of!r} is {of.dtype}, and {spec.aggregate} is of numbers"


def _expression_faults(table: "Table", where: str, text: str) -> Iterator[str]:
    """What is wrong with an expression that picks events."""
    if not text:
        return
    try:
        found = parse_expression(text, column_types(table.columns))
    except RuleInvalid as error:
        yield f"{where}: {error}"
        return
    if found.kind != "truth":
        yield f"{where}: {text!r} is a number, not true or false"


def _is_time(column: Column | None) -> bool:
    return column is not None and column.dtype in TIMES
