"""A business with a known truth, made from a contract alone: drops whose best possible model is known.

Belongs here: the calendar, what changes when, and the truth of each month. Does not: who leaves and comes
(`core/simulate_people.py`), what makes them churn (`core/simulate_churn.py`), how a column is distributed
(`core/simulate_tables.py`), writing files (the caller).
"""

import calendar
import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.core.contract import Contract, Span
from churn_platform.core.simulate_churn import World, build_world
from churn_platform.core.simulate_people import People
from churn_platform.core.simulate_tables import Flags, Floats
from churn_platform.errors import DataError, UsageError

# With 50 entities and 22% churn a month without a churner comes once in 250,000.
FEWEST_USERS = 50


@dataclass(frozen=True)
class Scenario:
    """What is different when: one number a month, the last one stays.

    `relation` is the share of entities that churn by the new relation (a gradual shift passes through 0.5),
    `features` how far the moving features have moved, 0 to 1.
    """

    relation: tuple[float, ...] = (0.0,)
    features: tuple[float, ...] = (0.0,)

    def at(self, month: int) -> tuple[float, float]:
        """`relation` and `features` in `month`, counted from 1; nothing has changed before the first."""
        if month < 1:
            return 0.0, 0.0
        return self.relation[:month][-1], self.features[:month][-1]


QUIET = Scenario()


def sudden_shift(month: int) -> Scenario:
    """From `month` (counted from 1) churn follows other features, and some are distributed otherwise."""
    series = (0.0,) * (month - 1) + (1.0,)
    return Scenario(relation=series, features=series)


@dataclass(frozen=True)
class MonthTruth:
    """What only the simulator knows of a month.

    `best_auc` is the AUC of the true probabilities against the drawn labels: no model is better but by luck.
    """

    as_of: dt.date
    best_auc: float
    churn_rate: float
    what_changed: str


@dataclass(frozen=True)
class SimulatedMonth:
    """One drop, the label's table included, and its truth.

    `chances` holds the true churn probability by entity, so that `best_auc` of a part of the entities can be
    told too, of a holdout for one.
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
    shift_at: int | None = 3,
    first: dt.date = dt.date(2024, 1, 31),
) -> Iterator[SimulatedMonth]:
    """Months of a made-up business that fits `contract`, one at a time; the same seed gives the same months.

    A later month or a later shift changes nothing in an earlier month.

    Args:
        contract: tables, dtypes, ranges and categories; the only source of names.
        users: entities in every month, at least 50.
        months: how many steps of the contract's cadence, at least 1.
        seed: chooses the business and its people, at least 0.
        shift_at: the month, counted from 1, from which churn follows other features; None for quiet months.
        first: as_of of the first month; where it is a month's end, so is every other of a monthly cadence.

    Raises:
        UsageError: a number below its minimum.
        ContractError: a contract that no table can satisfy.
    """
    wanted = {
        "users": (users, FEWEST_USERS),
        "months": (months, 1),
        "seed": (seed, 0),
        "shift_at": (1 if shift_at is None else shift_at, 1),
    }
    for name, (value, least) in wanted.items():
        if value < least:
            raise UsageError(f"simulate: {name} is {value}, but must be at least {least}.")
    world_seed, people_seed = np.random.SeedSequence(seed).spawn(2)
    world = build_world(contract, np.random.default_rng(world_seed))
    people = People(contract, world, users, np.random.default_rng(people_seed))
    as_ofs = (as_of_at(contract, first, month) for month in range(1, months + 1))
    return _months(contract, world, people, as_ofs, QUIET if shift_at is None else sudden_shift(shift_at))


def truth_json(months: Iterable[SimulatedMonth]) -> dict[str, Any]:
    """The truth of `months` as JSON values: `{"months": [{as_of, best_auc, churn_rate, what_changed}]}`."""
    return {"months": [{**vars(month.truth), "as_of": month.as_of.isoformat()} for month in months]}


def as_of_at(contract: Contract, first: dt.date, month: int) -> dt.date:
    """The as_of of `month`, counted from 1; month ends stay month ends."""
    step = contract.step
    steps = month - 1
    as_of = Span(months=step.months * steps, weeks=step.weeks * steps, days=step.days * steps).after(first)
    if step.months and first.day == calendar.monthrange(first.year, first.month)[1]:
        return as_of.replace(day=calendar.monthrange(as_of.year, as_of.month)[1])
    return as_of


def _months(
    contract: Contract, world: World, people: People, as_ofs: Iterable[dt.date], scenario: Scenario
) -> Iterator[SimulatedMonth]:
    for month, as_of in enumerate(as_ofs, start=1):
        relation, moved = scenario.at(month)
        latent = people.latent(moved)
        chance = people.chance(latent, relation)
        people.join(as_of, (contract.step.after(as_of) - as_of).days, chance)
        churned = people.draw(chance)
        changed = _what_changed(world, scenario.at(month - 1), scenario.at(month))
        chances = pd.Series(chance, index=people.entities()).sort_index()
        truth = MonthTruth(as_of, best_auc(churned, chance), float(churned.mean()), changed)
        yield SimulatedMonth(as_of, people.tables(latent, churned), chances, truth)
        people.leave(churned)


def _what_changed(world: World, before: tuple[float, float], now: tuple[float, float]) -> str:
    """The change of this month against the month before, in a sentence."""
    parts = []
    if now[0] != before[0]:
        parts.append(f"churn now follows {', '.join(world.drivers(world.after))}")
    if now[1] != before[1]:
        parts.append(f"distributed otherwise: {', '.join(name for _, name in world.move)}")
    return "; ".join(parts) or "nothing"


def best_auc(churned: Flags, chance: Floats) -> float:
    """The AUC of the true probabilities `chance` against the drawn labels `churned`, both (n,).

    By the rank sum of the churners (Mann and Whitney 1947), ties counted half.

    Raises:
        DataError: labels of one class only.
    """
    churners, staying = int(churned.sum()), int((~churned).sum())
    if not churners or not staying:
        raise DataError(f"simulate: {churned.size} entities drew labels of one class only; ask for more users.")
    ranks = pd.Series(chance).rank().to_numpy()
    return float((ranks[churned].sum() - churners * (churners + 1) / 2) / (churners * staying))
