"""A business that acts on its list: each month depends on who was contacted, and both potential
outcomes of every customer are known.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from churn_platform.base.errors import ContractError, UsageError
from churn_platform.contract.model import Contract
from churn_platform.simulator.business import (
    FIRST,
    Business,
    MonthTruth,
    Opening,
    SimulatedMonth,
    best_auc,
    no_events,
)
from churn_platform.simulator.scenarios import CAMPAIGN, ContactResponse, Scenario
from churn_platform.simulator.tables import Flags, categories_of

Keys = Collection[Any]
ACTIONS = ("call", "mail", "discount")
COSTS = {"call": 4.0, "mail": 1.0, "discount": 1.0}
DISCOUNT = 10.0
"""Cost of a discount that is accepted, in addition to that of the contact."""
NO_ANSWER = "no answer"
REACHED = "reached"
REFUSED = "refused"
ACCEPTED = "accepted"
EARLIER_ATTEMPT = 0.25
"""Share of the contacts that follow an attempt without an answer."""
UNDECIDED = 0.2
"""Share of the reached customers who neither accept nor refuse."""


class Assignment(NamedTuple):
    """Who is contacted: the customers above the cut, those of them who are left alone, and the
    explored ones below the cut.
    """

    contact: Keys
    untouched: Keys = ()
    explore: Keys = ()


@dataclass(frozen=True, kw_only=True)
class CampaignTruth(MonthTruth):
    """What only the simulator knows about a month whose list was worked.

    `churn_rate` and `best_auc` are naive: of the labels as they arrive, which the contacts have
    changed. The list is the customers above the cut, contacted and untouched.
    """

    no_contact_churn_rate: float
    """Churn rate without any contact."""
    no_contact_best_auc: float
    """AUC of the true probabilities against the labels without any contact."""
    contact: tuple[str | int, ...]
    """Keys of the customers above the cut who were to be contacted."""
    untouched: tuple[str | int, ...]
    """Keys of the customers above the cut who were to be left alone."""
    explore: tuple[str | int, ...]
    """Keys of the customers below the cut who were to be contacted."""
    reached: tuple[str | int, ...]
    """Keys of the customers who were reached, whether assigned or not."""
    effect_of_contact: float | None
    """Share of the list that leaves without contact, minus the share if all are reached."""
    effect_of_assignment: float | None
    """The same with the list untouched and with all of it assigned: some are not reached, some
    are reached although untouched. This is what intention to treat estimates.
    """
    saved: int
    """Customers who stayed because they were assigned, less those who left because of it."""
    left_because_contacted: int
    leaves_if_not_contacted: tuple[str | int, ...]
    """Keys of the customers who leave unless they are reached."""
    leaves_if_contacted: tuple[str | int, ...]
    """Keys of the customers who leave if they are reached."""

    @property
    def assignment(self) -> "Assignment":
        """Who was to be contacted."""
        return Assignment(self.contact, self.untouched, self.explore)

    @property
    def left(self) -> set[str | int]:
        """Keys of the customers who left: the labels as they arrive."""
        reached = set(self.reached)
        unmoved = set(self.leaves_if_not_contacted) - reached
        return unmoved | (set(self.leaves_if_contacted) & reached)


@dataclass(frozen=True)
class OpenMonth:
    """A drop without its labels, which depend on who is contacted.

    `tables` holds the contacts made since the month before. `chances` is the true churn
    probability by entity without any contact, `objecting` who objects to being contacted.
    """

    as_of: dt.date
    tables: dict[str, pd.DataFrame]
    chances: pd.Series
    objecting: pd.Series


@dataclass(frozen=True)
class WorkedMonth(SimulatedMonth):
    """A month after its list was worked, with the labels that follow.

    `outcomes` has a row per customer: the chance to leave without contact (`chance`) and if
    reached (`chance_if_reached`), the potential outcomes drawn by them (`leaves`,
    `leaves_if_reached`), whether the customer is reached if assigned or if untouched
    (`reached_if_assigned`, `reached_if_untouched`), the `arm` (empty for customers in none), and
    what happened (`reached`, `left`).
    """

    truth: CampaignTruth
    outcomes: pd.DataFrame
    contacts: pd.DataFrame
    """Rows of the contact table that arrive with the next drop."""
    labels: pd.DataFrame
    """The table of labels alone; it arrives after the next drop."""


Plan = Callable[[OpenMonth], Assignment]


class Campaign:
    """A business whose months are drawn one at a time: `month`, then `work`, then `month` ...

    What would happen without any contact is the same for every plan, in all months: the
    customers who leave are replaced by others with the same features. Only the keys differ.
    """

    def __init__(
        self,
        contract: Contract,
        users: int,
        seed: int,
        *,
        scenario: Scenario = CAMPAIGN,
        first: dt.date = FIRST,
        people: int | None = None,
    ) -> None:
        """Arguments and errors as `months.simulate`; the contract is one of the scenario, with
        `contacts`.
        """
        if contract.contacts is None or scenario.contacts is None:
            raise UsageError("simulate: a campaign needs a contract and a scenario with contacts.")
        self.contract = contract
        self._named = contract.contacts
        self._responses = scenario.contacts
        self._business = Business(
            contract, users, seed, scenario=scenario, first=first, people=people
        )
        self._rng = np.random.default_rng(self._business.contact_seed)
        self._opening: Opening | None = None
        self._leaves = np.zeros(0, dtype=bool)
        self._tables: dict[str, pd.DataFrame] = {}
        self._contacts = no_events(contract, contract.contacts.table)

    def month(self) -> OpenMonth:
        """The next month, without its labels.

        Raises:
            UsageError: the month before has not been worked.
        """
        if self._opening is not None:
            raise UsageError("simulate: work the list of the month before, then ask for the next.")
        business = self._business
        self._opening = opening = business.begin()
        self._leaves = business.people.draw_churners(opening.chance)
        self._tables = business.tables(opening, self._leaves)
        self._tables[self._named.table] = self._contacts
        unlabelled = dict(self._tables)
        label = self.contract.label
        if self.contract.wide:
            unlabelled[label.table] = unlabelled[label.table].drop(columns=label.column)
        else:
            del unlabelled[label.table]
        return OpenMonth(
            opening.as_of,
            unlabelled,
            business.by_entity(opening.chance),
            self._objecting(),
        )

    def work(self, contact: Keys, untouched: Keys = (), explore: Keys = ()) -> WorkedMonth:
        """Contact customers of the month, as far as they can be reached, and let it pass.

        Args:
            contact: keys of the customers to contact.
            untouched: keys of the customers above the cut who are left alone.
            explore: keys of customers below the cut to contact.

        Raises:
            UsageError: no month is open, a key is unknown, or a customer is in two arms.
        """
        opening = self._opening
        if opening is None:
            raise UsageError("simulate: the month was worked already; ask for the next one.")
        outcomes = self._outcomes(opening, Assignment(contact, untouched, explore))
        left = outcomes["left"].to_numpy()
        self._contacts = self._contact_rows(opening, outcomes)
        ordered = outcomes.iloc[self._business.people.order()]
        tables = dict(self._tables)
        labelled = self._labelled(tables[self.contract.label.table], ordered)
        tables[self.contract.label.table] = labelled
        worked = WorkedMonth(
            opening.as_of,
            tables,
            ordered["chance"].rename(None),
            self._truth(opening, outcomes, ordered),
            outcomes=ordered,
            contacts=self._contacts,
            labels=labelled[[self.contract.entity.column, self.contract.label.column]],
        )
        self._business.end(left)
        self._opening = None
        return worked

    def _objecting(self) -> pd.Series:
        """Who objects to being contacted, in the order of the keys."""
        people = self._business.people
        entities = people.entities()[people.order()]
        if self.contract.do_not_contact is None:
            return pd.Series(np.zeros(entities.size, dtype=bool), index=entities)
        table, _, column = self.contract.do_not_contact.partition(".")
        flags = self._tables[table][column].eq(other=True)
        return pd.Series(flags.to_numpy(dtype=bool, na_value=False), index=entities)

    def _outcomes(self, opening: Opening, assignment: Assignment) -> pd.DataFrame:
        """The potential outcomes and what happened; rows in the order of the population.

        As many random numbers are drawn whoever is contacted, so a seed gives the same potential
        outcomes for every plan.
        """
        responses = self._responses
        chance = opening.chance
        users = chance.size
        entities = self._business.people.entities()
        arm = _arms(entities, assignment)
        saving = responses.save_rate(chance)
        leaves = self._leaves
        saved = self._rng.random(users) < saving
        driven_away = self._rng.random(users) < responses.driven_away
        if_assigned = self._rng.random(users) < responses.reach
        if_untouched = self._rng.random(users) < responses.contamination
        if_reached = np.where(leaves, ~saved, driven_away)
        assigned = (arm == "contact") | (arm == "explore")
        reached = np.where(assigned, if_assigned, (arm == "untouched") & if_untouched)
        return pd.DataFrame(
            {
                "chance": chance,
                "chance_if_reached": chance * (1 - saving) + (1 - chance) * responses.driven_away,
                "leaves": leaves,
                "leaves_if_reached": if_reached,
                "reached_if_assigned": if_assigned,
                "reached_if_untouched": if_untouched,
                "arm": arm,
                "reached": reached,
                "left": np.where(reached, if_reached, leaves),
            },
            index=entities,
        )

    def _contact_rows(self, opening: Opening, outcomes: pd.DataFrame) -> pd.DataFrame:
        """The contact table of the next drop: an attempt is a row, a day is after the as_of."""
        users = len(outcomes)
        days = (self.contract.step.after(opening.as_of) - opening.as_of).days
        day = self._rng.integers(1, days + 1, users)
        earlier = self._rng.integers(1, np.maximum(day, 2))
        repeated = (self._rng.random(users) < EARLIER_ATTEMPT) & (earlier < day)
        action = self._rng.integers(0, len(ACTIONS), users)
        undecided = self._rng.random(users) < UNDECIDED
        reached = outcomes["reached"].to_numpy()
        assigned = outcomes["arm"].isin(("contact", "explore")).to_numpy()
        # Who stays has accepted what was offered: an outcome is no cause.
        answer = np.where(outcomes["left"].to_numpy(), REFUSED, ACCEPTED).astype(object)
        answer[undecided] = REACHED
        answer[~reached] = NO_ANSWER
        made = np.flatnonzero(reached | assigned)
        again = made[repeated[made]]
        rows = np.concatenate([made, again])
        what = np.array(ACTIONS, dtype=object)[action[rows]]
        outcome = np.concatenate([answer[made], np.full(again.size, NO_ANSWER, dtype=object)])
        cost = np.array([COSTS[one] for one in what], dtype=float)
        cost[(what == "discount") & (outcome == ACCEPTED)] += DISCOUNT
        on = np.concatenate([day[made], earlier[again]])
        found = {
            self.contract.entity.column: outcomes.index.to_numpy()[rows],
            self._named.contacted_on: np.datetime64(opening.as_of, "D") + on,
            self._named.action: self._words(self._named.action, what, ACTIONS),
        }
        if self._named.outcome is not None:
            listed = (NO_ANSWER, REACHED, REFUSED, ACCEPTED)
            found[self._named.outcome] = self._words(self._named.outcome, outcome, listed)
        if self._named.cost is not None:
            found[self._named.cost] = cost
        if self._named.assigned is not None:
            found[self._named.assigned] = assigned[rows]
        return self._as_table(pd.DataFrame(found))

    def _words(self, name: str, words: npt.NDArray[Any], ours: tuple[str, ...]) -> npt.NDArray[Any]:
        """The words that the contract allows in a column of the contact table."""
        column = self.contract.tables[self._named.table].columns[name]
        if column.values is None or set(ours) <= set(column.values):
            return words
        allowed = categories_of(name, column)
        known = {word: allowed[place % len(allowed)] for place, word in enumerate(ours)}
        return np.array([known[word] for word in words], dtype=object)

    def _as_table(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with every column of the contact table, by day and customer."""
        columns = self.contract.tables[self._named.table].columns
        for name, column in columns.items():
            if name in rows:
                continue
            if not column.nullable:
                raise ContractError(
                    f"tables.{self._named.table}.columns.{name}: a simulated contact has no such"
                    " value; make it nullable."
                )
            rows[name] = None
        key = self.contract.entity.column
        ordered = rows.sort_values([self._named.contacted_on, key], kind="stable")
        return ordered[[key, *columns]].reset_index(drop=True)

    def _labelled(self, table: pd.DataFrame, ordered: pd.DataFrame) -> pd.DataFrame:
        """The label's table with the labels that followed; both in the order of the keys."""
        label = self.contract.label
        given = (ordered["left"].to_numpy() != label.inverted).astype(
            table[label.column].to_numpy().dtype
        )
        return table.assign(**{label.column: given})

    def _truth(
        self, opening: Opening, outcomes: pd.DataFrame, ordered: pd.DataFrame
    ) -> CampaignTruth:
        left = outcomes["left"].to_numpy()
        leaves = outcomes["leaves"].to_numpy()
        if_reached = outcomes["leaves_if_reached"].to_numpy()
        arm = outcomes["arm"].to_numpy()
        assigned = (arm == "contact") | (arm == "explore")
        on_list = (arm == "contact") | (arm == "untouched")
        contacted = outcomes["reached_if_assigned"].to_numpy()
        anyway = outcomes["reached_if_untouched"].to_numpy()
        change = leaves.astype(int) - if_reached
        because = outcomes["reached"].to_numpy() & ~leaves & if_reached
        naive = self._business.truth(opening, left)

        def keys(rows: pd.Series) -> tuple[str | int, ...]:
            return tuple(ordered.index[rows].tolist())

        return CampaignTruth(
            **{name: getattr(naive, name) for name in MonthTruth.__dataclass_fields__},
            no_contact_churn_rate=float(leaves.mean()),
            no_contact_best_auc=best_auc(leaves, opening.chance),
            contact=keys(ordered["arm"] == "contact"),
            untouched=keys(ordered["arm"] == "untouched"),
            explore=keys(ordered["arm"] == "explore"),
            reached=keys(ordered["reached"]),
            effect_of_contact=_mean(change, on_list),
            effect_of_assignment=_mean(change * (contacted.astype(int) - anyway), on_list),
            saved=int((leaves.astype(int) - left)[assigned].sum()),
            left_because_contacted=int(because.sum()),
            leaves_if_not_contacted=keys(ordered["leaves"]),
            leaves_if_contacted=keys(ordered["leaves_if_reached"]),
        )


def live_campaign(
    contract: Contract,
    users: int,
    months: int,
    seed: int,
    plan: Plan,
    *,
    scenario: Scenario = CAMPAIGN,
    first: dt.date = FIRST,
    people: int | None = None,
) -> Iterator[WorkedMonth]:
    """The months of a campaign in memory, each worked by `plan`; other arguments and errors
    as `months.simulate`.
    """
    campaign = Campaign(contract, users, seed, scenario=scenario, first=first, people=people)
    for _ in range(months):
        yield campaign.work(*plan(campaign.month()))


def nobody(_: OpenMonth) -> Assignment:
    """The plan to contact nobody."""
    return Assignment(())


def own_list(responses: ContactResponse, seed: int) -> Plan:
    """The plan of a business without the platform: a share of its customers by a guess at their
    risk, without those who object.
    """
    rng = np.random.default_rng((seed, 17))

    def plan(month: OpenMonth) -> Assignment:
        chance = month.chances.to_numpy()
        guess = np.log(chance / (1 - chance)) + responses.own_noise * rng.standard_normal(
            chance.size
        )
        guess[month.objecting.to_numpy()] = -np.inf
        most = round(responses.own_share * chance.size)
        return Assignment(month.chances.index[np.argsort(-guess, kind="stable")[:most]])

    return plan


def assignment_of(plan: pd.DataFrame, entity: str) -> Assignment:
    """The assignment of a frame with a row per customer: the key, and its `arm`."""
    keys = {arm: rows[entity].tolist() for arm, rows in plan.groupby("arm", observed=True)}
    return Assignment(keys.get("contact", ()), keys.get("untouched", ()), keys.get("explore", ()))


def _arms(entities: npt.NDArray[Any], assignment: Assignment) -> npt.NDArray[Any]:
    """The arm of each customer, empty for customers in none."""
    places = pd.Index(entities)
    arm = np.full(entities.size, "", dtype=object)
    for name, keys in zip(Assignment._fields, assignment, strict=True):
        wanted = places.get_indexer(pd.Index(list(keys), dtype=places.dtype))
        if (wanted < 0).any():
            raise UsageError(
                f"simulate: {(wanted < 0).sum()} of the customers in arm {name!r} are not"
                " customers of this month."
            )
        if (arm[wanted] != "").any() or np.unique(wanted).size < wanted.size:
            raise UsageError(f"simulate: a customer in arm {name!r} is in an arm already.")
        arm[wanted] = name
    return arm


def _mean(values: npt.NDArray[Any], rows: Flags) -> float | None:
    if rows.any():
        return float(values[rows].mean())
    return None
