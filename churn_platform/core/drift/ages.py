"""What the calendar explains of an age: the reference's customers as the time that has passed has aged them.

A feature made by `ages:` grows for every customer who stays, so a quiet business drifts by design: its months since
joining alone asked for a retraining every third month.
"""

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_platform.core.contract import Contract
from churn_platform.core.contract_parts import AgeUnit

Floats = NDArray[np.float64]
DAYS_A_MONTH = 365.25 / 12


def age_units(contract: Contract) -> dict[str, AgeUnit]:
    """The features that are ages, each with its unit."""
    ages = {name: age.unit for table in contract.tables.values() for name, age in table.ages.items()}
    return {name: unit for name, unit in ages.items() if name in contract.features}


def aged_reference(
    contract: Contract, reference: pd.DataFrame, months: Sequence[dt.date], current: pd.DataFrame, as_of: dt.date
) -> pd.DataFrame:
    """The reference rows with every age moved on by as much of the time that has passed as the current month shows.

    In a base without newcomers everybody is older by all of that time; where newcomers replace those who leave, ages
    stay as they were. Between the two, ages move on by the difference of the means, never back and never by more than
    has passed. What is left after that, such as many new customers, is drift.

    Args:
        contract: the contract.
        reference: (rows, any columns) holding at least the age features.
        months: the as_of of each reference row, (rows,).
        current: the rows of the month, with the same columns.
        as_of: the month.
    """
    units = age_units(contract)
    if not units:
        return reference
    aged = reference.copy(deep=False)
    for name, unit in units.items():
        passed = pd.Series(months).map({month: elapsed(month, as_of, unit) for month in set(months)})
        aged[name] = _moved_on(reference[name], passed.to_numpy(dtype=float), current[name])
    return aged


def elapsed(start: dt.date, end: dt.date, unit: AgeUnit) -> float:
    """The units from `start` to `end`, at least 0; months by the calendar, so month ends are whole ones apart."""
    if unit in ("days", "weeks"):
        days = (end - start).days
        return max(0.0, days if unit == "days" else days / 7)
    last = (pd.Timestamp(start).is_month_end, pd.Timestamp(end).is_month_end)
    days = 0 if all(last) else end.day - start.day
    months = (end.year - start.year) * 12 + end.month - start.month + days / DAYS_A_MONTH
    return max(0.0, months if unit == "months" else months / 12)


def _moved_on(ages: pd.Series, passed: Floats, current: pd.Series) -> pd.Series:
    known = ages.notna().to_numpy()
    if not known.any() or not current.notna().any() or not passed[known].any():
        return ages
    older = float(current.mean()) - float(ages.mean())
    share = min(max(older / float(passed[known].mean()), 0.0), 1.0)
    moved = ages.astype("Float64") + _whole_steps(ages, share * passed)
    return moved.astype(ages.dtype)


def _whole_steps(ages: pd.Series, steps: Floats) -> Floats:
    """Whole units with the mean of `steps` (rows,): the part of a unit goes to that share of rows, evenly over ages."""
    order = np.argsort(ages.to_numpy(dtype=float, na_value=np.nan), kind="stable")
    placed = np.empty(len(order))
    placed[order] = (np.arange(len(order)) * 0.6180339887498949) % 1.0  # the golden ratio spreads any share evenly
    whole = np.floor(steps + 1e-9)
    return whole + (placed < steps - whole)
