"""A simulated business, one month at a time."""

import calendar
import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from churn_platform.base.errors import DataError, UsageError
from churn_platform.contract.model import Contract, Span
from churn_platform.evaluation.statistics import auc
from churn_platform.simulator.churn import World, build_world, leaked_feature, with_log_odds
from churn_platform.simulator.population import Population
from churn_platform.simulator.scenarios import Conditions, Scenario
from churn_platform.simulator.tables import Flags, Floats, Key

# With 50 entities and 22% churn a month without a churner comes once in 250,000.
FEWEST_USERS = 50
FIRST = dt.date(2024, 1, 31)
OBJECTING = 0.03
"""Share of the customers who object to being contacted."""


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
    note: str = field(default="", kw_only=True)
    """What is special about the drop."""


@dataclass(frozen=True)
class Opening:
    """A month before anybody has left; arrays have one number per customer."""

    as_of: dt.date
    conditions: Conditions
    earlier: Conditions
    """Those of the month before."""
    latent: dict[Key, Floats]
    chance: Floats


class Business:
    """A business that fits a contract; the same seed gives the same business and customers.

    A contract with contacts and objections describes the same business as without them. Nobody
    is contacted here, and 3% of the customers object.
    """

    def __init__(
        self,
        contract: Contract,
        users: int,
        seed: int,
        *,
        scenario: Scenario,
        first: dt.date = FIRST,
        people: int | None = None,
    ) -> None:
        """Arguments and errors as `months.simulate`."""
        wanted = {"users": (users, FEWEST_USERS), "seed": (seed, 0)}
        for name, (value, least) in wanted.items():
            check_least(name, value, least)
        world_seed, people_seed, contact_seed = np.random.SeedSequence(seed).spawn(3)
        if people is not None:
            people_seed = np.random.SeedSequence((seed, people))
            contact_seed = people_seed.spawn(1)[0]
        self.contract = contract
        self.contact_seed = contact_seed
        plain = _without_contacts(contract)
        self.world: World = build_world(plain, np.random.default_rng(world_seed))
        self.people = Population(plain, self.world, users, np.random.default_rng(people_seed))
        objections = np.random.default_rng(contact_seed.spawn(1)[0])
        self.objecting: Flags = objections.random(users) < OBJECTING
        self._scenario = scenario
        self._first = first
        self._number = 0
        self._earlier: Conditions | None = None

    def begin(self) -> Opening:
        """The next month: features and true chances of its customers."""
        self._number += 1
        as_of = as_of_at(self.contract, self._first, self._number)
        conditions = self._scenario.at(self._number, as_of)
        latent = self.people.latent(
            self.world.distances(conditions.features, conditions.covariates)
        )
        chance = with_log_odds(self.people.chance(latent, conditions.relation), conditions.log_odds)
        step_days = (self.contract.step.after(as_of) - as_of).days
        self.people.set_start_days(as_of, step_days, chance)
        opening = Opening(as_of, conditions, self._earlier or conditions, latent, chance)
        self._earlier = conditions
        return opening

    def end(self, churned: Flags) -> None:
        """Replace the churners by new customers."""
        self.people.replace_churners(churned)

    def tables(self, opening: Opening, churned: Flags) -> dict[str, pd.DataFrame]:
        """Every table of the contract, without any contact."""
        latent = opening.latent
        if opening.conditions.leak:
            leak = self.world.leak
            latent = {**latent, leak: leaked_feature(latent[leak], churned)}
        drawn = self.people.tables(latent, churned)
        named = self.contract.do_not_contact
        if named is not None:
            table, _, column = named.partition(".")
            if column not in drawn[table]:
                drawn[table][column] = self.objecting[self.people.order()]
                own = self.contract.tables[table].columns
                drawn[table] = drawn[table][[self.contract.entity.column, *own]]
        for name in self.contract.event_tables:
            drawn[name] = no_events(self.contract, name)
        return {name: drawn[name] for name in self.contract.tables}

    def truth(self, opening: Opening, churned: Flags) -> MonthTruth:
        """The truth of a month in which these customers left."""
        conditions = opening.conditions
        return MonthTruth(
            opening.as_of,
            best_auc(churned, opening.chance),
            float(churned.mean()),
            self.world.drivers(conditions.relation),
            what_changed(self.world, opening.earlier, conditions),
            self.world.leak[1] if conditions.leak else None,
        )

    def by_entity(self, values: Floats | Flags) -> pd.Series:
        """Numbers of all customers by entity, in the order of the keys."""
        order = self.people.order()
        return pd.Series(values[order], index=self.people.entities()[order])

    def months(self) -> Iterator[SimulatedMonth]:
        """Months in which nobody is contacted, without end."""
        while True:
            opening = self.begin()
            churned = self.people.draw_churners(opening.chance)
            yield SimulatedMonth(
                opening.as_of,
                self.tables(opening, churned),
                self.by_entity(opening.chance),
                self.truth(opening, churned),
            )
            self.end(churned)


def check_least(name: str, value: int, least: int) -> None:
    """Raise UsageError if a number of a simulation is below its minimum."""
    if value < least:
        raise UsageError(f"simulate: {name} is {value}, but must be at least {least}.")


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


def no_events(contract: Contract, table: str) -> pd.DataFrame:
    """A table of events in which nothing has happened."""
    columns = contract.tables[table].columns
    return pd.DataFrame(columns=[contract.entity.column, *columns], dtype=object)


def _without_contacts(contract: Contract) -> Contract:
    """The contract without the contact table, and without the column of objections unless it is
    also used otherwise.
    """
    if contract.contacts is None and contract.do_not_contact is None:
        return contract
    events = contract.event_tables
    tables = {name: table for name, table in contract.tables.items() if name not in events}
    if contract.do_not_contact is not None:
        name, _, column = contract.do_not_contact.partition(".")
        used = {*contract.features, *contract.slices, *contract.costs.columns}
        others = {own: spec for own, spec in tables[name].columns.items() if own != column}
        if column not in used and others:
            tables[name] = tables[name].model_copy(update={"columns": others})
    return contract.changed(tables=tables, contacts=None, do_not_contact=None)
