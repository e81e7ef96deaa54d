"""How a month's customers and tables compare with those of other months and with each other."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from churn_platform.lake.keys import NearKeys, apart, near_keys


@dataclass(frozen=True)
class CustomerChange:
    """The customers of a month next to those of an earlier one. The counts alone are stored."""

    before: dt.date
    customers: int
    still: int
    new: int
    gone: int
    near: NearKeys | None

    @property
    def share(self) -> float:
        """The larger of two shares: new customers of this month, and customers of the earlier
        month that are gone.
        """
        return max(self.new / self.customers, self.gone / (self.still + self.gone))

    def as_dict(self) -> dict[str, Any]:
        """The counts as plain JSON values, without any key."""
        counts = {name: getattr(self, name) for name in ("customers", "still", "new", "gone")}
        near = 0 if self.near is None else self.near.count
        return {
            "before": self.before.isoformat(),
            **counts,
            "near": near,
            "share": round(self.share, 6),
        }


@dataclass(frozen=True)
class Lacking:
    """The customers of a month that one of its tables lacks."""

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class MonthComparison:
    """A month next to the months published before."""

    count: int
    """Customers of the month."""
    customers: CustomerChange | None
    """None for the first month."""
    lacking: Mapping[str, Lacking]
    """Table -> the customers of the other tables that it lacks."""
    repeated: Mapping[str, dt.date]
    """Table -> the other month whose table is equal cell for cell."""
    repeated_month: dt.date | None
    """The other month that is equal in every table."""
    extra_columns: Mapping[str, Sequence[str]]
    """Table -> the columns of its file that the contract does not name."""
    new_columns: Mapping[str, Sequence[str]]
    """Those of them that the month before did not have."""
    without_line_end: tuple[str, ...] = ()
    """Files whose last row has no line end, where the month's other files end with one."""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, without any key of a customer: this is what the lake and the
        ledger keep.
        """
        return {
            "count": self.count,
            "customers": None if self.customers is None else self.customers.as_dict(),
            "lacking": {table: found.count for table, found in self.lacking.items()},
            "repeated": {table: month.isoformat() for table, month in self.repeated.items()},
            "repeated_month": (
                None if self.repeated_month is None else self.repeated_month.isoformat()
            ),
            "extra_columns": {table: list(names) for table, names in self.extra_columns.items()},
            "new_columns": {table: list(names) for table, names in self.new_columns.items()},
            "without_line_end": list(self.without_line_end),
        }


def change_sentence(compared: Mapping[str, Any] | None) -> str:
    """How many customers are still there, new and gone, from what was stored; empty where
    nothing was compared.
    """
    found = (compared or {}).get("customers")
    if found is None:
        return ""
    return (
        f"Customers since {found['before']}: {found['still']:,} still there, {found['new']:,}"
        f" new, {found['gone']:,} gone."
    )


def standing_comparison(
    compared: Mapping[str, Any],
    digests: Mapping[str, Mapping[str, str]],
    features: Collection[str],
) -> dict[str, Any]:
    """What was stored of a comparison, without what was found in tables of another month that
    have changed since.

    Args:
        compared: what was stored. `against` has the digests of the other months' tables then;
            one of an older version has no `against` and stands.
        digests: month -> table -> digest, as those months are now.
        features: the tables whose keys are the customers; corrected labels change no customer.
    """
    changed = {
        month: {table for table, digest in then.items() if digests[month].get(table) != digest}
        for month, then in (compared.get("against") or {}).items()
    }
    customers = compared["customers"]
    if customers is not None and not changed.get(customers["before"], set()).isdisjoint(features):
        customers = None
    return {
        **compared,
        "customers": customers,
        "repeated": {
            table: of
            for table, of in compared["repeated"].items()
            if table not in changed.get(of, ())
        },
        "repeated_month": (
            None if changed.get(compared["repeated_month"]) else compared["repeated_month"]
        ),
    }


def compare_customers(now: pd.Series, before: pd.Series, month: dt.date) -> CustomerChange:
    """Count who is new, gone and still there, and find keys that changed their spelling only.

    Args:
        now: the distinct keys of the month.
        before: those of the earlier month.
        month: the earlier month.
    """
    new, gone = apart(now, before)
    return CustomerChange(
        month, len(now), len(now) - len(new), len(new), len(gone), near_keys(new, gone)
    )


def repeated_tables(
    content: Mapping[str, str],
    others: Mapping[dt.date, Mapping[str, str]],
    numeric: Mapping[str, bool],
) -> dict[str, dt.date]:
    """Table -> the newest other month whose table has the same content, for tables that should
    have changed.

    A table that may stay the same for months (customers' master data) is not named: one that
    was equal in earlier months too, or, with a single other month to compare with, one that
    holds few numbers.

    Args:
        content: table -> digest of its content.
        others: the same of every other month.
        numeric: table -> whether most of its columns are numbers.
    """
    found = {}
    for table, digest in content.items():
        earlier = {
            month: tables[table] for month, tables in sorted(others.items()) if table in tables
        }
        same = [month for month, other in earlier.items() if other == digest]
        if same and changes(list(earlier.values()), numeric=numeric.get(table, False)):
            found[table] = same[-1]
    return found


def changes(digests: Sequence[str], *, numeric: bool) -> bool:
    """Whether a table can be expected to change every month, by its digests in the other
    months.
    """
    distinct = len(set(digests))
    if numeric:
        return len(digests) == 1 or distinct > 1
    return len(digests) > 1 and distinct == len(digests)


def repeated_month(
    content: Mapping[str, str],
    others: Mapping[dt.date, Mapping[str, str]],
    repeated: Mapping[str, dt.date],
) -> dt.date | None:
    """The newest other month that equals the month in every table; None where no table should
    have changed.
    """
    if not repeated:
        return None
    same = [
        month
        for month, tables in others.items()
        if all(tables.get(name) == digest for name, digest in content.items())
    ]
    return max(same, default=None)
