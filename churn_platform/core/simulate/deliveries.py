"""Which files arrive when: months as drops, labels on their own, corrections, a broken file and its repair.

Belongs here: the deliveries of a scenario and the complete truth as JSON. Does not: drawing the months (`months.py`),
writing files (the caller).
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.core.contract import Contract
from churn_platform.core.simulate.months import FIRST, MonthTruth, SimulatedMonth, simulate
from churn_platform.core.simulate.scenarios import Scenario

EVERY = 3
"""Every third customer gets another's value in a delivery that is corrected later."""


@dataclass(frozen=True)
class Delivery:
    """Files that arrive together: tables of one as_of, in `folder` (relative, parts joined by /).

    `truth` comes with the first delivery of a month, `note` describes what is peculiar about this one.
    """

    folder: str
    as_of: dt.date
    tables: dict[str, pd.DataFrame]
    note: str = ""
    truth: MonthTruth | None = field(default=None, compare=False)


def deliver(
    contract: Contract, users: int, months: int, seed: int, *, scenario: Scenario, first: dt.date = FIRST
) -> Iterator[Delivery]:
    """The deliveries of a simulated business in the order in which they arrive; arguments and errors as `simulate`.

    A month's own delivery lies in `<as_of>`, what comes later in `labels/<as_of>`, `corrections/<as_of>` and
    `repairs/<as_of>`.
    """
    drawn = simulate(contract, users, months, seed, scenario=scenario, first=first)
    return _in_order(contract, scenario, drawn)


def truth_json(scenario: Scenario, users: int, seed: int, deliveries: Iterable[Delivery]) -> dict[str, Any]:
    """Everything that only the simulator knows, as JSON values; the tables of `deliveries` are not read."""
    arrived = list(deliveries)
    return {
        "scenario": scenario.name,
        "summary": scenario.summary,
        "loop_should": scenario.loop_should,
        "users": users,
        "seed": seed,
        "months": [_month_json(delivery.truth) for delivery in arrived if delivery.truth is not None],
        "deliveries": [
            {"folder": delivery.folder, "as_of": delivery.as_of.isoformat(), "note": delivery.note}
            for delivery in arrived
        ],
    }


def _month_json(truth: MonthTruth) -> dict[str, Any]:
    return {**vars(truth), "as_of": truth.as_of.isoformat(), "drivers": list(truth.drivers)}


def _in_order(contract: Contract, scenario: Scenario, months: Iterable[SimulatedMonth]) -> Iterator[Delivery]:
    """Each month, then what was owed from the month before; a repair comes last of all.

    The labels of the last month have not matured when the simulation ends, and never arrive.
    """
    owed: list[Delivery] = []
    repairs: list[Delivery] = []
    for number, month in enumerate(months, start=1):
        delivery, later = _delivered(contract, scenario, number, month)
        yield delivery
        yield from owed
        owed = [one for one in later if not one.folder.startswith("repairs/")]
        repairs += [one for one in later if one.folder.startswith("repairs/")]
    yield from (*(one for one in owed if not one.folder.startswith("labels/")), *repairs)


def _delivered(
    contract: Contract, scenario: Scenario, number: int, month: SimulatedMonth
) -> tuple[Delivery, list[Delivery]]:
    """What arrives for a month at first, and what arrives later."""
    day, tables, later, notes = month.as_of.isoformat(), dict(month.tables), [], []
    column = month.truth.drivers[0]
    table = next(view.table for view in contract.feature_views.values() if column in view.features)
    label = contract.label.table
    if number == scenario.corrected:
        tables[table] = _misplaced(tables[table], column)
        notes.append(f"every third value of {table}.{column} is another customer's")
        note = f"{table} of {day} again, with the right {column}"
        later.append(Delivery(f"corrections/{day}", month.as_of, {table: month.tables[table]}, note))
    if number == scenario.broken:
        later.append(Delivery(f"repairs/{day}", month.as_of, tables, f"{day} again, with the column {column}"))
        tables = {**tables, table: tables[table].drop(columns=column)}
        notes.append(f"{table} lacks the column {column}")
    # A table that holds features and the label is needed to score the month: it cannot wait for the label.
    if scenario.late_labels and label not in {view.table for view in contract.feature_views.values()}:
        later.append(Delivery(f"labels/{day}", month.as_of, {label: tables.pop(label)}, f"the labels of {day}"))
        notes.append("without labels, which have not matured")
    return Delivery(day, month.as_of, tables, "; ".join(notes), month.truth), later


def _misplaced(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The table with the values of every third row dealt out to the next such row: valid values, wrong customers."""
    places = np.arange(len(frame))
    rows = places[::EVERY]
    places[rows] = np.roll(rows, 1)
    return frame.assign(**{column: frame[column].take(places).to_numpy(dtype=object)}).astype(
        {column: frame[column].dtype}
    )
