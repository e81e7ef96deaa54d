"""How a month's customers and tables compare with those of other months and with each other."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence

import pandas as pd
from pydantic import ConfigDict, Field

from churn_platform.base.stored import Stored
from churn_platform.base.text import counted
from churn_platform.lake.keys import NearKeys, apart, near_keys


class StoredStrictly(Stored):
    """A part of a manifest: a number that is written as text is not read as that number."""

    model_config = ConfigDict(strict=True)


class CustomerChange(StoredStrictly):
    """The customers of a month compared with those of an earlier one."""

    before: dt.date
    customers: int
    still: int
    new: int
    gone: int
    near: int
    """New customers whose key matches one that is gone, once both are normalised."""
    share: float
    """The larger of two shares: new customers of this month, and customers of the earlier month
    that are gone.
    """
    near_keys: NearKeys | None = Field(default=None, exclude=True)
    """Not stored: it contains keys."""


class ContactCount(StoredStrictly):
    """The contacts that a drop delivered."""

    contacts: int
    customers: int
    unknown: int
    """Those of the customers who are in no feature table of any month."""

    @property
    def sentence(self) -> str:
        """How many contacts there are, and of how many customers."""
        return f"{counted(self.contacts, 'contact')} of {counted(self.customers, 'customer')}."


class LogCount(StoredStrictly):
    """The events that a drop delivered in one log."""

    events: int
    customers: int
    """Those with events since the drop before."""
    unknown: int = 0
    """Those of the customers who are in no table with one row a customer."""
    gaps: tuple[str, ...] = ()
    """Days without events that chance does not explain, as `between 2024-05-03 and 2024-05-09`."""
    ends: dt.date | None = None
    """The last day with events, if it is too long before the as_of for chance."""


class MonthComparison(StoredStrictly):
    """A month compared with the months published before. What is stored contains no key."""

    count: int
    """Customers of the month."""
    customers: CustomerChange | None
    """None for the first month."""
    lacking: dict[str, int]
    """Table -> how many customers of the other tables it lacks."""
    repeated: dict[str, dt.date]
    """Table -> the other month whose table is equal in every cell."""
    repeated_month: dt.date | None
    """The other month that is equal in every table."""
    extra_columns: dict[str, tuple[str, ...]] = Field(default={})
    """Table -> the columns of its file that the contract does not name."""
    new_columns: dict[str, tuple[str, ...]] = Field(default={})
    """Those of them that the month before did not have."""
    without_line_end: tuple[str, ...] = ()
    """Files whose last row has no line end, where the month's other files end with one."""
    unlisted_values: dict[str, dict[str, dict[str, int]]] = Field(default={})
    """Table -> column -> values that the contract does not list, with the number of rows. Absent
    without any.
    """
    contacts: ContactCount | None = None
    """Absent where the contract names no contacts, or none were delivered."""
    logs: dict[str, LogCount] = Field(default={})
    """Log -> its events. Absent where none was delivered."""
    against: dict[dt.date, dict[str, str]] = Field(default={})
    """Month -> digests of its tables at that time, for the months that are named here. Absent
    in a comparison of an older version, which stays as it is.
    """
    lacking_keys: dict[str, tuple[str, ...]] = Field(default={}, exclude=True)
    """Table -> the first customers that it lacks. Not stored."""

    @property
    def months(self) -> tuple[dt.date, ...]:
        """The other months that are named here."""
        named = {*self.repeated.values(), self.repeated_month}
        if self.customers is not None:
            named.add(self.customers.before)
        return tuple(sorted(month for month in named if month is not None))

    @property
    def change_sentence(self) -> str:
        """How many customers are still there, new and gone; empty for the first month."""
        found = self.customers
        if found is None:
            return ""
        return (
            f"Customers since {found.before}: {found.still:,} still there, {found.new:,} new,"
            f" {found.gone:,} gone."
        )

    def still_true(
        self, digests: Mapping[dt.date, Mapping[str, str]], features: Collection[str]
    ) -> "MonthComparison":
        """The comparison without what was found in tables of other months that have changed
        since.

        Args:
            digests: month -> table -> digest, as the months of `against` are now.
            features: the tables whose keys are the customers; corrected labels change no
                customer.
        """
        changed = {
            month: {table for table, digest in then.items() if digests[month].get(table) != digest}
            for month, then in self.against.items()
        }
        customers = self.customers
        if customers and not changed.get(customers.before, set()).isdisjoint(features):
            customers = None
        repeated = {
            table: month
            for table, month in self.repeated.items()
            if table not in changed.get(month, ())
        }
        repeated_month = self.repeated_month
        if repeated_month and changed.get(repeated_month):
            repeated_month = None
        return self.model_copy(
            update={
                "customers": customers,
                "repeated": repeated,
                "repeated_month": repeated_month,
            }
        )


def compare_customers(now: pd.Series, before: pd.Series, month: dt.date) -> CustomerChange:
    """Count who is new, gone and still there, and find keys of which only the spelling changed.

    Args:
        now: the distinct keys of the month.
        before: those of the earlier month.
        month: the earlier month.
    """
    new, gone = apart(now, before)
    near = near_keys(new, gone)
    share = max(len(new) / len(now), len(gone) / len(before))
    return CustomerChange(
        before=month,
        customers=len(now),
        still=len(now) - len(new),
        new=len(new),
        gone=len(gone),
        near=0 if near is None else near.count,
        share=round(share, 6),
        near_keys=near,
    )


def repeated_tables(
    content: Mapping[str, str],
    others: Mapping[dt.date, Mapping[str, str]],
    numeric: Mapping[str, bool],
) -> dict[str, dt.date]:
    """Table -> the newest other month whose table has the same content, for tables that should
    have changed.

    A table that may stay the same for months (customers' master data) is not named. That is one
    that was equal in earlier months too. If there is only one other month to compare with, it
    is one that contains few numbers.

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
