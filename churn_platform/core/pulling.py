"""Which month is due to be read from the customers' databases, by the calendar alone.

Belongs here: the as_of that follows another, and when it is due. Does not: reading
(`adapters/drops/database_tables.py`), the clock.
"""

import datetime as dt
from collections.abc import Collection, Sequence

from churn_platform.core.contract import Contract


def next_as_of(contract: Contract, newest: dt.date) -> dt.date:
    """The as_of one cadence after `newest`; the end of a month is followed by the end of the next."""
    following = contract.step.after(newest)
    if contract.cadence != "month" or (newest + dt.timedelta(days=1)).day != 1:
        return following
    return (following.replace(day=1) + dt.timedelta(days=32)).replace(day=1) - dt.timedelta(days=1)


def due_pull(
    contract: Contract, months: Sequence[dt.date], labelled: Collection[dt.date], today: dt.date
) -> tuple[dt.date | None, str]:
    """The as_of to read now, or None; and the sentence why.

    Args:
        contract: the contract.
        months: the published months, oldest first.
        labelled: those whose labels have been delivered.
        today: the date.
    """
    by_files = [name for name in contract.tables if name not in contract.pulled and name != contract.label.table]
    if not contract.pulled or by_files:
        what = f"files deliver {', '.join(by_files)}" if contract.pulled else "no table is in a database"
        return None, f"Nothing is read by the clock: {what}."
    if not months:
        return None, "Ingest the first month by hand: `churn ingest --as-of DATE`."
    following = next_as_of(contract, months[-1])
    if following < today:
        return following, f"The {contract.cadence} {following} is over."
    late = next((m for m in months if m not in labelled and contract.matures(m) < today), None)
    if late is not None and contract.label.table in contract.pulled:
        return late, f"The labels of {late} have matured and are not here yet."
    return None, f"The next {contract.cadence} is {following}."
