"""A simulated business that has nothing but a log of payments.

Customers pay at their own rates, pause, return and leave for good without notice. The simulator
knows each customer's rates and computes from them and from the log how likely a month without a
purchase is: nobody who reads the log can rank customers better.
"""

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from churn_platform.contract.model import Contract
from churn_platform.simulator.business import (
    FEWEST_USERS,
    FIRST,
    MonthTruth,
    SimulatedMonth,
    as_of_at,
    best_auc,
    check_least,
)
from churn_platform.simulator.log_contract import (
    CHANNELS,
    DRIVERS,
    ID,
    POPULATION_STEPS,
    PURCHASE,
    REFUND,
    STEP_DAYS,
    TABLE,
    TIME,
)
from churn_platform.simulator.population import FIRST_KEY
from churn_platform.simulator.scenarios import Scenario
from churn_platform.simulator.tables import Flags, Floats

Counts = npt.NDArray[np.int64]

ACTIVE, PAUSED, GONE = range(3)
STATES = 3
PAUSED_SHARE = 0.15
"""Rate of purchases during a pause, as a share of the customer's own."""
PURCHASES = 6.0
"""Median purchases of an active customer in one step of the cadence."""
SPREAD = 0.5
"""Standard deviation of the logarithm of the customers' rates."""
# Chances in one step of the cadence.
LEAVES = 0.07
PAUSES = 0.06
RETURNS = 0.3
WEEKDAYS = (0.8, 0.8, 0.9, 1.0, 1.3, 1.4, 0.8)
ALIVE_SHARE = 0.93
"""Active and paused customers as a share of the month's customers: the others have left, which
nobody knows yet.
"""
UNSEEN_STEPS = 12
"""Steps before the log begins: enough for the mix of customers to settle."""
LOGGED_STEPS = 7
"""Steps that the log holds at the first as_of."""
OPENS = 7 * 3600
CLOSES = 22 * 3600
SMALLEST = 15.0
LARGEST = 60.0
REFUNDED = 0.03
REFUND_DAYS = 6
LATE = 0.015
LATE_DAYS = 9
REPEATED_DAYS = 2
"""A delivery repeats the rows of the last days before it, as an export with a margin does."""


@dataclass(frozen=True)
class Customers:
    """One number per customer, in the order of their keys."""

    key: Counts
    born: Counts
    """Day of the first purchase, as an ordinal."""
    rate: Floats
    """Purchases a day while active."""
    basket: Floats
    channel: Counts
    state: Counts
    known: Floats
    """(n, 3): how likely each state is for one who knows all rates and purchases so far."""
    last_purchase: Counts
    """Day of the newest purchase, as an ordinal."""

    def where(self, kept: Flags) -> "Customers":
        """Some of the customers."""
        return Customers(**{name: values[kept] for name, values in vars(self).items()})

    def joined_by(self, others: "Customers") -> "Customers":
        """These customers and others, who came later."""
        joined = {
            name: np.concatenate([values, vars(others)[name]])
            for name, values in vars(self).items()
        }
        return Customers(**joined)

    def rates(self) -> Floats:
        """(n, 3): purchases a day in each state."""
        rates: Floats = self.rate[:, None] * np.array([1.0, PAUSED_SHARE, 0.0])
        return rates


class PaymentLog:
    """A business that keeps a log; the same seed gives the same business and customers."""

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
        """Arguments and errors as `months.simulate`; `users` is about how many customers paid
        within the window of the population.
        """
        check_least("users", users, FEWEST_USERS)
        check_least("seed", seed, 0)
        business_seed, people_seed = np.random.SeedSequence(seed).spawn(2)
        if people is not None:
            people_seed = np.random.SeedSequence((seed, people))
        business = np.random.default_rng(business_seed)
        self._rng = np.random.default_rng(people_seed)
        self._contract = contract
        self._scenario = scenario
        self._first = first
        self._step_days = STEP_DAYS[contract.cadence]
        self._purchases = PURCHASES * business.uniform(0.9, 1.1)
        leaves = LEAVES * business.uniform(0.9, 1.1)
        self._moves = daily_moves(leaves / self._step_days, self._step_days)
        self._alive = round(users * ALIVE_SHARE)
        self._next_key = FIRST_KEY
        self._next_id = 1
        self._rows = no_rows()
        """Rows that no delivery holds yet, and those that the next one repeats."""
        self._delivered_to = 0
        self._customers = self._settled(first.toordinal())

    def months(self) -> Iterator[SimulatedMonth]:
        """The deliveries with their truth, without end."""
        as_of = self._first
        number = 1
        while True:
            delivered, note = self._delivered(as_of)
            now = self._customers
            following = as_of_at(self._contract, self._first, number + 1)
            factor = self._factor(number + 1, following)
            chance = self._chance(now, as_of, following, factor)
            bought = self._live(as_of.toordinal(), following.toordinal(), factor)
            in_window = now.last_purchase > as_of.toordinal() - POPULATION_STEPS * self._step_days
            churned = ~np.isin(now.key, bought)[in_window]
            chance = chance[in_window]
            truth = MonthTruth(
                as_of,
                best_auc(churned, chance),
                float(churned.mean()),
                DRIVERS,
                self._what_changed(number, as_of),
            )
            keys = self._entities(now.key[in_window])
            chances = pd.Series(chance, index=keys)
            yield SimulatedMonth(as_of, {TABLE: delivered}, chances, truth, note=note)
            as_of = following
            number += 1

    def _settled(self, end: int) -> Customers:
        """The customers at the end of a day, after the steps before the first as_of."""
        begin = end - (UNSEEN_STEPS + LOGGED_STEPS) * self._step_days
        self._customers = self._new(self._alive, begin, begin + 1)
        factor = self._factor(1, self._first)
        for step in range(UNSEEN_STEPS + LOGGED_STEPS):
            start = begin + step * self._step_days
            logged = step >= UNSEEN_STEPS
            self._live(start, start + self._step_days, factor, logged=logged)
        return self._customers

    def _new(self, count: int, start: int, end: int) -> Customers:
        """Customers whose first purchase is on one of the days in (start, end]."""
        rng = self._rng
        born = np.sort(rng.integers(start + 1, end + 1, count))
        known = np.zeros((count, STATES))
        known[:, ACTIVE] = 1.0
        key = self._next_key + np.arange(count)
        self._next_key += count
        return Customers(
            key=key,
            born=born,
            rate=self._purchases / self._step_days * np.exp(SPREAD * rng.standard_normal(count)),
            basket=np.exp(rng.uniform(math.log(SMALLEST), math.log(LARGEST), count)),
            channel=rng.integers(0, len(CHANNELS), count),
            state=np.full(count, ACTIVE),
            known=known,
            last_purchase=born.copy(),
        )

    def _live(self, start: int, end: int, factor: float, *, logged: bool = True) -> Counts:
        """Live the days in (start, end]; return the keys of the customers who bought."""
        old = self._customers
        kept = old.last_purchase > start - POPULATION_STEPS * self._step_days
        old = old.where(kept | (old.state != GONE))
        missing = max(0, self._alive - int((old.state != GONE).sum()))
        customers = old.joined_by(self._new(missing, start, end))
        rates = customers.rates() * factor
        up_to = self._moves.cumsum(axis=1)[:, :-1]
        known = customers.known
        state = customers.state
        everyone = np.arange(customers.key.size)
        bought: list[Counts] = []
        days: list[Counts] = []
        for day in range(start + 1, end + 1):
            older = customers.born < day
            draw = self._rng.random((everyone.size, 1))
            state = np.where(older, (draw > up_to[state]).sum(axis=1), state)
            today = rates * WEEKDAYS[(day - 1) % 7]
            count = self._rng.poisson(today[everyone, state]) * older + (customers.born == day)
            known = np.where(older[:, None], _seen(known, self._moves, today, count), known)
            bought.append(np.repeat(everyone, count))
            days.append(np.full(int(count.sum()), day))
        place = np.concatenate(bought)
        day_of = np.concatenate(days)
        if logged:
            self._record(customers, place, day_of)
        last_purchase = customers.last_purchase.copy()
        np.maximum.at(last_purchase, place, day_of)
        self._customers = Customers(
            **vars(customers) | {"state": state, "known": known, "last_purchase": last_purchase}
        )
        return np.unique(customers.key[place])

    def _record(self, customers: Customers, place: Counts, day: Counts) -> None:
        """Put purchases and their refunds into the log.

        A refund of a later step is in the log of that step, though drawn here.
        """
        rng = self._rng
        size = place.size
        amount = np.round(customers.basket[place] * np.exp(0.4 * rng.standard_normal(size)), 2)
        usual = rng.random(size) < 0.8  # noqa: PLR2004 - most purchases are in the usual channel
        other = rng.integers(0, len(CHANNELS), size)
        channel = np.where(usual, customers.channel[place], other)
        bought = pd.DataFrame(
            {
                "key": customers.key[place],
                "day": day,
                "second": rng.integers(OPENS, CLOSES, size),
                "kind": PURCHASE,
                "channel": np.array(CHANNELS, dtype=object)[channel],
                "amount": amount,
            }
        )
        back = bought[rng.random(size) < REFUNDED]
        refunds = back.assign(
            day=back["day"] + rng.integers(1, REFUND_DAYS + 1, len(back)),
            second=rng.integers(OPENS, CLOSES, len(back)),
            kind=REFUND,
            amount=-back["amount"],
        )
        rows = pd.concat([bought, refunds], ignore_index=True)
        rows = rows.sort_values(["day", "second", "key"], kind="stable", ignore_index=True)
        late = rng.random(len(rows)) < LATE
        rows["known"] = rows["day"] + late * rng.integers(1, LATE_DAYS + 1, len(rows))
        rows["delivered"] = False
        rows["id"] = self._next_id + np.arange(len(rows))
        self._next_id += len(rows)
        self._rows = pd.concat([self._rows, rows], ignore_index=True)

    def _delivered(self, as_of: dt.date) -> tuple[pd.DataFrame, str]:
        """The rows that are known at an as_of and not delivered, with those that are repeated, and
        how many of them are repeated or late.
        """
        end = as_of.toordinal()
        rows = self._rows
        now = rows[rows["known"] <= end].sort_values(["day", "second", "id"], kind="stable")
        repeated = now["day"] > end - REPEATED_DAYS
        again = now[repeated].assign(delivered=True)
        self._rows = pd.concat([again, rows[rows["known"] > end]], ignore_index=True)
        instants = (
            pd.to_datetime(now["day"] - dt.date(1970, 1, 1).toordinal(), unit="D")
            + pd.to_timedelta(now["second"], unit="s")
        ).dt.strftime("%Y-%m-%d %H:%M:%S")
        repeats = int(now["delivered"].sum())
        late = int((~now["delivered"] & (now["day"] <= self._delivered_to)).sum())
        self._delivered_to = end
        table = pd.DataFrame(
            {
                self._contract.entity.column: self._entities(now["key"].to_numpy()),
                ID: ("P" + now["id"].astype(str).str.zfill(9)).to_numpy(dtype=object),
                TIME: instants.to_numpy(dtype=object),
                "kind": now["kind"].to_numpy(dtype=object),
                "channel": now["channel"].to_numpy(dtype=object),
                "amount": now["amount"].to_numpy(dtype=np.float64),
            }
        )
        if not repeats and not late:
            return table, ""
        return table, f"{repeats:,} payments again, and {late:,} late ones of earlier days"

    def _chance(self, customers: Customers, as_of: dt.date, end: dt.date, factor: float) -> Floats:
        """The true chance of no purchase on the days in (as_of, end]; (n,)."""
        rates = customers.rates() * factor
        none = np.ones((customers.key.size, STATES))
        for day in range(end.toordinal(), as_of.toordinal(), -1):
            none *= np.exp(-rates * WEEKDAYS[(day - 1) % 7])
            none = none @ self._moves.T
        chance: Floats = (customers.known * none).sum(axis=1)
        return chance

    def _factor(self, number: int, as_of: dt.date) -> float:
        """How often customers buy in the step that ends at an as_of, 1 on average."""
        return math.exp(-self._scenario.at(number, as_of).log_odds)

    def _what_changed(self, number: int, as_of: dt.date) -> str:
        if number == 1:
            return "nothing"
        before = self._factor(number - 1, as_of_at(self._contract, self._first, number - 1))
        change = self._factor(number, as_of) / before - 1
        if abs(change) < 0.005:  # noqa: PLR2004 - less than half a percent reads as 0%
            return "nothing"
        more = "more" if change > 0 else "less"
        return f"customers buy {abs(change):.0%} {more} often"

    def _entities(self, keys: Counts) -> npt.NDArray[np.object_] | Counts:
        if self._contract.entity.dtype == "integer":
            return keys
        named: npt.NDArray[np.object_] = ("C" + pd.Series(keys).astype(str)).to_numpy(dtype=object)
        return named


def daily_moves(leaves: float, step_days: int) -> Floats:
    """(3, 3): the chance of each state (column) a day after each state (row).

    Args:
        leaves: the chance to leave on one day.
        step_days: days of one step of the cadence.
    """
    pauses = PAUSES / step_days
    returns = RETURNS / step_days
    return np.array(
        [
            [1 - pauses - leaves, pauses, leaves],
            [returns, 1 - returns - leaves, leaves],
            [0.0, 0.0, 1.0],
        ]
    )


def _seen(known: Floats, moves: Floats, rates: Floats, count: Counts) -> Floats:
    """How likely each state is a day later, after so many purchases on it; (n, 3)."""
    likely = (known @ moves) * np.exp(-rates) * np.power(rates, count[:, None])
    result: Floats = likely / likely.sum(axis=1, keepdims=True)
    return result


def no_rows() -> pd.DataFrame:
    """An empty log."""
    columns = {
        "key": np.int64,
        "day": np.int64,
        "second": np.int64,
        "kind": object,
        "channel": object,
        "amount": np.float64,
        "known": np.int64,
        "delivered": np.bool_,
        "id": np.int64,
    }
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in columns.items()})
