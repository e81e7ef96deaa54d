"""The months of a simulated business with their truth, and the files in which they arrive."""

import calendar
import datetime as dt
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from churn_platform.base.errors import DataError, UsageError
from churn_platform.base.stored import Stored
from churn_platform.contract.model import Contract, Span
from churn_platform.evaluation.statistics import auc
from churn_platform.simulator.churn import World, build_world, leaked_feature, with_log_odds
from churn_platform.simulator.population import Population
from churn_platform.simulator.scenarios import QUIET, Conditions, Scenario
from churn_platform.simulator.tables import Flags, Floats

# With 50 entities and 22% churn a month without a churner comes once in 250,000.
FEWEST_USERS = 50
FIRST = dt.date(2024, 1, 31)


@dataclass(frozen=True)
class MonthTruth:
    """What only the simulator knows about a month.

    `best_auc` is the AUC of the true probabilities against the drawn labels: a model is better
    only by luck, or by a leak. `drivers` are the features that drive churn, strongest first;
    `leak` is the feature that is filled in after churning.
    """

    as_of: dt.date
    best_auc: float
    churn_rate: float
    drivers: tuple[str, ...]
    what_changed: str
    leak: str | None = None


@dataclass(frozen=True)
class SimulatedMonth:
    """One drop, including the label's table, and its truth.

    `chances` is the true churn probability by entity, so the `best_auc` of a subset, such as a
    holdout, can be computed.
    """

    as_of: dt.date
    tables: dict[str, pd.DataFrame]
    chances: pd.Series
    truth: MonthTruth


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
        users: entities in every month, at least 50.
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
    wanted = {"users": (users, FEWEST_USERS), "months": (months, 1), "seed": (seed, 0)}
    for name, (value, least) in wanted.items():
        if value < least:
            raise UsageError(f"simulate: {name} is {value}, but must be at least {least}.")
    world_seed, people_seed = np.random.SeedSequence(seed).spawn(2)
    if people is not None:
        people_seed = np.random.SeedSequence((seed, people))
    world = build_world(contract, np.random.default_rng(world_seed))
    drawn = Population(contract, world, users, np.random.default_rng(people_seed))
    as_ofs = (as_of_at(contract, first, month) for month in range(1, months + 1))
    return _months(contract, world, drawn, as_ofs, scenario)


def as_of_at(contract: Contract, first: dt.date, month: int) -> dt.date:
    """The as_of of `month`, counted from 1; month ends stay month ends."""
    step = contract.step
    steps = month - 1
    as_of = Span(
        months=step.months * steps, weeks=step.weeks * steps, days=step.days * steps
    ).after(first)
    if step.months and first.day == calendar.monthrange(first.year, first.month)[1]:
        return as_of.replace(day=calendar.monthrange(as_of.year, as_of.month)[1])
    return as_of


def _months(
    contract: Contract,
    world: World,
    people: Population,
    as_ofs: Iterable[dt.date],
    scenario: Scenario,
) -> Iterator[SimulatedMonth]:
    before = None
    for month, as_of in enumerate(as_ofs, start=1):
        now = scenario.at(month, as_of)
        latent = people.latent(world.distances(now.features, now.covariates))
        chance = with_log_odds(people.chance(latent, now.relation), now.log_odds)
        people.set_start_days(as_of, (contract.step.after(as_of) - as_of).days, chance)
        churned = people.draw_churners(chance)
        truth = MonthTruth(
            as_of,
            best_auc(churned, chance),
            float(churned.mean()),
            world.drivers(now.relation),
            what_changed(world, before or now, now),
            world.leak[1] if now.leak else None,
        )
        delivered = latent
        if now.leak:
            delivered = {**latent, world.leak: leaked_feature(latent[world.leak], churned)}
        chances = pd.Series(chance, index=people.entities()).sort_index()
        yield SimulatedMonth(as_of, people.tables(delivered, churned), chances, truth)
        people.replace_churners(churned)
        before = now


def what_changed(world: World, before: Conditions, now: Conditions) -> str:
    """The change of a month against the month before, in plain words."""
    changes = []
    if now.relation != before.relation:
        follows = f"churn now follows {', '.join(world.drivers(1.0))}"
        if now.relation != 1:
            follows += f" for {now.relation:.0%} of customers"
        changes.append(follows)
    moved = world.distances(now.features - before.features, now.covariates - before.covariates)
    if moved:
        changes.append(f"distributed otherwise: {', '.join(name for _, name in moved)}")
    if now.log_odds != before.log_odds:
        changes.append(
            f"everyone's odds to leave are {math.exp(now.log_odds - before.log_odds):.2f} times"
            " last month's"
        )
    if now.leak and not before.leak:
        changes.append(f"{world.leak[1]} is filled in after churning")
    return "; ".join(changes) or "nothing"


def best_auc(churned: Flags, chance: Floats) -> float:
    """The AUC of the true probabilities `chance` against the drawn labels `churned`, both (n,).

    Raises:
        DataError: labels of one class only.
    """
    if churned.all() or not churned.any():
        raise DataError(
            f"simulate: {churned.size} entities drew labels of one class only; ask for more users."
        )
    return auc(churned, chance)


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
    months: tuple[MonthTruth, ...]
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
    notes = []
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
    return Delivery(day, month.as_of, tables, "; ".join(notes), month.truth), later


def _misplaced(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The table with the values of every third row moved to the next such row: valid values,
    wrong customers.
    """
    values = frame[column].to_numpy(dtype=object, copy=True)
    values[::EVERY] = np.roll(values[::EVERY], 1)
    return frame.assign(**{column: values}).astype({column: frame[column].dtype})
