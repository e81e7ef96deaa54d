"""The months of a simulated business with their truth, and the files in which they arrive."""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from churn_platform.base.stored import Stored
from churn_platform.contract.model import Contract
from churn_platform.simulator.business import (
    FEWEST_USERS,
    FIRST,
    Business,
    MonthTruth,
    SimulatedMonth,
    check_least,
)
from churn_platform.simulator.campaign import (
    CampaignTruth,
    WorkedMonth,
    live_campaign,
    own_list,
)
from churn_platform.simulator.payments import PaymentLog
from churn_platform.simulator.scenarios import QUIET, Scenario


def simulate(
    contract: Contract,
    users: int,
    months: int,
    seed: int,
    *,
    scenario: Scenario = QUIET,
    first: dt.date = FIRST,
    people: int | None = None,
) -> Iterator[SimulatedMonth]:
    """Months of a simulated business that fits `contract`, one at a time; the same seed gives the
    same months.

    An earlier month does not depend on the number of months or on later ones.

    Args:
        contract: tables, dtypes, ranges and categories; the only source of names.
        users: entities in every month, at least 50; with a log, about so many.
        months: how many steps of the contract's cadence, at least 1.
        seed: chooses the business and its people, at least 0.
        scenario: what changes when.
        first: as_of of the first month; if it is a month's end, so are all of a monthly cadence.
        people: chooses other customers of the same business, at least 0; None for those of
            `seed`.

    Raises:
        UsageError: a number below its minimum.
        ContractError: a contract that no table can satisfy.
    """
    check_least("users", users, FEWEST_USERS)
    check_least("months", months, 1)
    if scenario.contacts is not None and contract.contacts is not None:
        plan = own_list(scenario.contacts, seed)
        return live_campaign(
            contract, users, months, seed, plan, scenario=scenario, first=first, people=people
        )
    if scenario.log:
        log = PaymentLog(contract, users, seed, scenario=scenario, first=first, people=people)
        return islice(log.months(), months)
    business = Business(contract, users, seed, scenario=scenario, first=first, people=people)
    return islice(business.months(), months)


LEFT_TO_RIGHT = Field(union_mode="left_to_right")
EVERY = 3
"""Every third customer gets another's value in a delivery that is corrected later."""


@dataclass(frozen=True)
class Delivery:
    """Files that arrive together: tables of one as_of, in `folder` (relative, parts joined by
    /).

    `truth` comes with the first delivery of a month; `note` describes what is special about
    this delivery.
    """

    folder: str
    as_of: dt.date
    tables: dict[str, pd.DataFrame]
    note: str = ""
    truth: MonthTruth | None = field(default=None, compare=False)


def deliver(
    contract: Contract,
    users: int,
    months: int,
    seed: int,
    *,
    scenario: Scenario,
    first: dt.date = FIRST,
) -> Iterator[Delivery]:
    """The deliveries of a simulated business in the order in which they arrive; arguments and
    errors as `simulate`.

    A month's own delivery lies in `<as_of>`, what comes later in `labels/<as_of>`,
    `corrections/<as_of>` and `repairs/<as_of>`.
    """
    drawn = simulate(contract, users, months, seed, scenario=scenario, first=first)
    return _in_order(contract, scenario, drawn)


class DeliveryNote(Stored):
    """A delivery without its tables."""

    folder: str
    as_of: dt.date
    note: str


class Truth(Stored):
    """Everything that only the simulator knows, without the tables."""

    scenario: str
    summary: str
    loop_should: str
    users: int
    seed: int
    months: tuple[Annotated[CampaignTruth | MonthTruth, LEFT_TO_RIGHT], ...]
    deliveries: tuple[DeliveryNote, ...]

    @classmethod
    def of(
        cls, scenario: Scenario, users: int, seed: int, deliveries: Sequence[Delivery]
    ) -> "Truth":
        """The truth of the deliveries that have arrived."""
        return cls(
            scenario=scenario.name,
            summary=scenario.summary,
            loop_should=scenario.loop_should,
            users=users,
            seed=seed,
            months=tuple(one.truth for one in deliveries if one.truth is not None),
            deliveries=tuple(
                DeliveryNote(folder=one.folder, as_of=one.as_of, note=one.note)
                for one in deliveries
            ),
        )


def _in_order(
    contract: Contract, scenario: Scenario, months: Iterable[SimulatedMonth]
) -> Iterator[Delivery]:
    """Each month, followed by the late files of the month before; repairs come last.

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
    """The first delivery of a month, and the later ones."""
    day = month.as_of.isoformat()
    tables = dict(month.tables)
    later: list[Delivery] = []
    notes = [month.note] if month.note else []
    column = month.truth.drivers[0]
    table = next(view.table for view in contract.feature_views.values() if column in view.features)

    def follows(kind: str, delivered: dict[str, pd.DataFrame], note: str) -> None:
        later.append(Delivery(f"{kind}/{day}", month.as_of, delivered, note))

    if number == scenario.corrected:
        right = {table: tables[table]}
        follows("corrections", right, f"{table} of {day} again, with the right {column}")
        tables[table] = _misplaced(tables[table], column)
        notes.append(f"every third value of {table}.{column} is another customer's")
    if number == scenario.broken:
        follows("repairs", tables, f"{day} again, with the column {column}")
        tables = {**tables, table: tables[table].drop(columns=column)}
        notes.append(f"{table} lacks the column {column}")
    # A table that holds features and the label is needed to score the month: it cannot wait for
    # the label.
    if scenario.late_labels and not contract.wide:
        labels = contract.label.table
        follows("labels", {labels: tables.pop(labels)}, f"the labels of {day}")
        notes.append("without labels, which have not matured")
    elif isinstance(month, WorkedMonth):
        follows("labels", {contract.label_table: month.labels}, f"the labels of {day}")
        own = tables[contract.label.table]
        tables[contract.label.table] = own.drop(columns=contract.label.column)
        notes.append("without labels, which have not matured")
    return Delivery(day, month.as_of, tables, "; ".join(notes), month.truth), later


def _misplaced(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The table with the values of every third row moved to the next such row: valid values,
    wrong customers.
    """
    values = frame[column].to_numpy(dtype=object, copy=True)
    values[::EVERY] = np.roll(values[::EVERY], 1)
    return frame.assign(**{column: values}).astype({column: frame[column].dtype})
