"""The SQL that makes every window feature of an event table in one pass over its log."""

import datetime as dt
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from churn_platform.contract.columns import Column, Dtype
from churn_platform.contract.events import EVENT_DAY, WindowFeature
from churn_platform.contract.expression_parser import parse_expression
from churn_platform.contract.expressions import column_types
from churn_platform.contract.parts import Table
from churn_platform.events.days import first_day, middle
from churn_platform.events.expression_sql import expression_sql, quoted_name

SQL_TYPES: dict[Dtype, str] = {
    "integer": "BIGINT",
    "float": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
}
"""Of each dtype; all others are VARCHAR."""
MILLIONTHS = 1_000_000
"""Sums of floats are sums of whole millionths: no order of the rows changes them."""
DAY = quoted_name(EVENT_DAY)


class WindowSql:
    """The features of one as_of, collected one by one; equal parts are computed once."""

    def __init__(self, log: Table, as_of: dt.date) -> None:
        """No feature yet."""
        self._log = log
        self._as_of = as_of
        self._picks: dict[str, str] = {}
        self._totals: dict[str, str] = {}
        self._features: list[str] = []
        self.first_day = min(
            (first_day(window.window, as_of) for window in log.windows.values()), default=as_of
        )
        """The first day that a window reaches."""

    def add(self, window: WindowFeature) -> None:
        """Add a feature."""
        self._features.append(self._feature(window))

    def query(self, events: str, key: str, customers: str) -> str:
        """One row for each customer, in their order: a column `feature N` for each feature.

        Args:
            events: the SQL of the events that count, as from `counted_events`.
            key: the column of the customer.
            customers: a relation with the key and `row number`.
        """
        own = quoted_name(key)
        picks = [f"{sql} AS {name}" for sql, name in self._picks.items()]
        totals = [f"{sql} AS {name}" for sql, name in self._totals.items()]
        features = [f'{sql} AS "feature {n}"' for n, sql in enumerate(self._features)]
        return (
            f"WITH events AS (SELECT {_listed('*', *picks)} FROM ({events})),"  # noqa: S608 - quoted
            f" totals AS (SELECT {_listed(own, *totals)} FROM events GROUP BY {own})"
            f" SELECT {_listed(*features)}"
            f" FROM {customers} AS customers LEFT JOIN totals USING ({own})"
            ' ORDER BY customers."row number"'
        )

    def _feature(self, window: WindowFeature) -> str:  # noqa: PLR0911 - one case per aggregate
        """The SQL of a feature, made of totals."""
        days = self._since(first_day(window.window, self._as_of))
        picked = [*days, *self._picked(window.where)]
        of = quoted_name(window.of or "")
        match window.aggregate:
            case "count":
                return f"coalesce({self._total('count(*)', picked)}, 0)"
            case "sum":
                amount = self._amount(window.of, picked)
                return f"CAST({amount} AS DOUBLE) / {self._scale(window.of)}"
            case "mean":
                values = f"{self._total(f'count({of})', picked)} * {self._scale(window.of)}"
                return f"CAST({self._amount(window.of, picked)} AS DOUBLE) / nullif({values}, 0)"
            case "share":
                part = self._amount(window.of, picked)
                return _ratio(part, self._amount(window.of, days))
            case "trend":
                return self._trend(window, picked)
            case "days_since_last":
                newest = self._total(f"max({DAY})", picked)
                return f"{_date(self._as_of)} - {newest}"
            case "distinct":
                return f"coalesce({self._total(f'count(DISTINCT {of})', picked)}, 0)"
            case "last":
                # The largest of the values at the newest instant; a struct is compared in order.
                time = quoted_name(self._log.time or "")
                newest = f"arg_max({of}, struct_pack(a := {time}, b := {of}))"
                return self._total(newest, [*picked, f"{of} IS NOT NULL"])
            case "min" | "max":
                return self._total(f"{window.aggregate}({of})", picked)

    def _trend(self, window: WindowFeature, picked: Sequence[str]) -> str:
        start = _date(middle(window.window, self._as_of))
        newer = self._amount(window.of, [*picked, f"{DAY} >= {start}"])
        older = self._amount(window.of, [*picked, f"{DAY} < {start}"])
        return _ratio(f"({newer} - {older})", f"(abs({newer}) + abs({older}))")

    def _amount(self, of: str | None, conditions: Sequence[str]) -> str:
        """The number of events or the sum of a column in its units, 0 without events."""
        if of is None:
            return f"coalesce({self._total('count(*)', conditions)}, 0)"
        units = quoted_name(of)
        if self._log.columns[of].dtype == "float":
            # A cast rounds to the nearest integer, halves to the even one.
            units = self._named(
                self._picks, f"CAST({units} * {MILLIONTHS} AS HUGEINT)", f"{of} in millionths"
            )
        return f"coalesce({self._total(f'sum({units})', conditions)}, 0)"

    def _scale(self, of: str | None) -> int:
        """Units of `_amount` in 1."""
        return MILLIONTHS if of and self._log.columns[of].dtype == "float" else 1

    def _picked(self, where: str) -> list[str]:
        if not where:
            return []
        return [self._named(self._picks, where_sql(self._log, where), f"pick {len(self._picks)}")]

    def _since(self, day: dt.date) -> list[str]:
        return [] if day <= self.first_day else [f"{DAY} >= {_date(day)}"]

    def _total(self, aggregate: str, conditions: Sequence[str]) -> str:
        sql = aggregate
        if conditions:
            sql = f"{aggregate} FILTER (WHERE {' AND '.join(conditions)})"
        return self._named(self._totals, sql, f"total {len(self._totals)}")

    @staticmethod
    def _named(known: dict[str, str], sql: str, name: str) -> str:
        """The name under which a part is computed; equal parts have one."""
        return known.setdefault(sql, quoted_name(name))


def where_sql(log: Table, where: str) -> str:
    """The condition that picks events; null does not pick one."""
    return expression_sql(parse_expression(where, column_types(log.columns)))


def counted_events(
    log: Table,
    key: str,
    source: str,
    held: Sequence[str],
    first: dt.date,
    last: dt.date,
    known_by: dt.date | None,
) -> str:
    """The SQL of the events of some days, with their columns in the types of the contract.

    Args:
        log: the event table.
        key: the column of the customer.
        source: the relation that is read.
        held: the columns that it has; others are null.
        first: the first day.
        last: the last day.
        known_by: leave out events that were known after this day; None for no limit.
    """
    columns = [
        f"{_typed(name, column, present=name in held)} AS {quoted_name(name)}"
        for name, column in log.columns.items()
    ]
    conditions = [f"{DAY} BETWEEN {_date(first)} AND {_date(last)}"]
    if known_by is not None and log.known_at is not None and log.known_at in held:
        name = quoted_name(log.known_at)
        known = f"{name} < {_end_of_day(log, log.columns[log.known_at].dtype, known_by)}"
        conditions.append(f"({name} IS NULL OR {known})")
    return (
        f"SELECT {_listed(quoted_name(key), DAY, *columns)} FROM {source}"  # noqa: S608 - quoted
        f" WHERE {' AND '.join(conditions)}"
    )


def _typed(name: str, column: Column, *, present: bool) -> str:
    """A column of the log; a number that is not finite is missing, and zero has no sign."""
    kind = SQL_TYPES.get(column.dtype, "VARCHAR")
    typed = f"CAST({quoted_name(name) if present else 'NULL'} AS {kind})"
    if column.dtype != "float":
        return typed
    return f"CASE WHEN isfinite({typed}) THEN {typed} + 0 END"


def _end_of_day(log: Table, dtype: Dtype, day: dt.date) -> str:
    """The first moment after a day, by the clock of the table."""
    after = day + dt.timedelta(days=1)
    if dtype == "date":
        return _date(after)
    midnight = dt.datetime.combine(after, dt.time(), ZoneInfo(log.time_zone))
    return f"TIMESTAMPTZ '{midnight.astimezone(dt.UTC).isoformat(' ')}'"


def _ratio(part: str, total: str) -> str:
    return f"CAST({part} AS DOUBLE) / nullif(CAST({total} AS DOUBLE), 0)"


def _date(day: dt.date) -> str:
    return f"DATE '{day.isoformat()}'"


def _listed(*parts: str) -> str:
    return ", ".join(parts)
