"""A business with a known truth, made from a contract alone: drops whose best possible model is known.

Belongs here: the calendar and the truth of each month. Does not: what is different when (`scenarios.py`), who leaves
and comes (`people.py`), what makes them churn (`churn.py`), how a column is distributed (`tables.py`), which files
arrive when (`deliveries.py`).
"""

import calendar
import datetime as dt
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from churn_platform.core.contract import Contract, Span
from churn_platform.core.simulate.churn import World, build_world, leaking, tilted
from churn_platform.core.simulate.people import People
from churn_platform.core.simulate.scenarios import QUIET, Moment, Scenario
from churn_platform.core.simulate.tables import Flags, Floats
from churn_platform.errors import DataError, UsageError

# With 50 entities and 22% churn a month without a churner comes once in 250,000.
FEWEST_USERS = 50
FIRST = dt.date(2024, 1, 31)


@dataclass(frozen=True)
class MonthTruth:
    """What only the simulator knows of a month.

    `best_auc` is the AUC of the true probabilities against the drawn labels: no model is better but by luck, or by a
    leak. `drivers` are the features that most of churn follows, strongest first; `leak` is filled in after churning.
    """

    as_of: dt.date
    best_auc: float
    churn_rate: float
    drivers: tuple[str, ...]
    what_changed: str
    leak: str | None = None


@dataclass(frozen=True)
class SimulatedMonth:
    """One drop, the label's table included, and its truth.

    `chances` holds the true churn probability by entity, so `best_auc` of a part of the entities can be
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
    scenario: Scenario = QUIET,
    first: dt.date = FIRST,
    people: int | None = None,
) -> Iterator[SimulatedMonth]:
    """Months of a made-up business that fits `contract`, one at a time; the same seed gives the same months.

    Neither more months nor what happens in a later one changes an earlier month.

    Args:
        contract: tables, dtypes, ranges and categories; the only source of names.
        users: entities in every month, at least 50.
        months: how many steps of the contract's cadence, at least 1.
        seed: chooses the business and its people, at least 0.
        scenario: what is different when.
        first: as_of of the first month; where it is a month's end, so is every other of a monthly cadence.
        people: chooses other people of the same business, at least 0; None for those of `seed`.

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
    drawn = People(contract, world, users, np.random.default_rng(people_seed))
    as_ofs = (as_of_at(contract, first, month) for month in range(1, months + 1))
    return _months(contract, world, drawn, as_ofs, scenario)


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
    before = None
    for month, as_of in enumerate(as_ofs, start=1):
        now = scenario.at(month, as_of)
        latent = people.latent(world.distances(now.features, now.covariates))
        chance = tilted(people.chance(latent, now.relation), now.log_odds)
        people.join(as_of, (contract.step.after(as_of) - as_of).days, chance)
        churned = people.draw(chance)
        truth = MonthTruth(
            as_of,
            best_auc(churned, chance),
            float(churned.mean()),
            world.drivers(now.relation),
            what_changed(world, before or now, now),
            world.leak[1] if now.leak else None,
        )
        told = {**latent, world.leak: leaking(latent[world.leak], churned)} if now.leak else latent
        chances = pd.Series(chance, index=people.entities()).sort_index()
        yield SimulatedMonth(as_of, people.tables(told, churned), chances, truth)
        people.leave(churned)
        before = now


def what_changed(world: World, before: Moment, now: Moment) -> str:
    """The change of a month against the month before, in plain words."""
    said = []
    if now.relation != before.relation:
        share = "" if now.relation == 1 else f" for {now.relation:.0%} of customers"
        said.append(f"churn now follows {', '.join(world.drivers(1.0))}{share}")
    moved = world.distances(now.features - before.features, now.covariates - before.covariates)
    if moved:
        said.append(f"distributed otherwise: {', '.join(name for _, name in moved)}")
    if now.log_odds != before.log_odds:
        said.append(f"everyone's odds to leave are {math.exp(now.log_odds - before.log_odds):.2f} times last month's")
    if now.leak and not before.leak:
        said.append(f"{world.leak[1]} is filled in after churning")
    return "; ".join(said) or "nothing"


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
