"""An inactivity label drafted from a log: how many customers have no event for how long."""

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.base.text import percent
from churn_platform.contract.columns import Span
from churn_platform.contract.outcome import Label
from churn_platform.contract.policy import Policy, TrainingPolicy
from churn_platform.drafting.keys import KeyColumn, Sheet, keys_of
from churn_platform.drafting.logs import LogDraft, usual_gap
from churn_platform.drafting.tables import Parts

LENGTHS = (30, 60, 90)
"""Days without an event that may be churn."""
LONGER_THAN_USUAL = 1.5
"""A customer is inactive after so many times the usual gap between two events."""
HIGH = TrainingPolicy().churn_rate_max
"""A label with a higher rate is not trained on by default."""
ROUND_DAYS = (7, 14, 21, 30, 45, 60, 75, 90, 120, 150, 180, 240, 270, 365)
NEAR_THE_END = dt.timedelta(days=3)
MOST_MONTHS = 12
ENOUGH = 2
"""So many times the churners that a comparison needs at least."""


@dataclass(frozen=True)
class Rate:
    """How many customers had no event for some days, at an as_of whose outcome is known."""

    days: int
    customers: int
    share: float

    @property
    def text(self) -> str:
        """Example: `30d: 41% inactive of 1,204`."""
        if not self.customers:
            return f"{self.days}d: the log is too short to say"
        return f"{self.days}d: {percent(round(self.share, 3))} inactive of {self.customers:,}"


@dataclass(frozen=True)
class Inactivity:
    """The inactivity label of a draft."""

    log: LogDraft
    within: int
    """Days without an event after which a customer churned."""
    window: int
    """Days of the population; 0 where a table has one row a customer."""
    gap: float
    """Days between two events of a customer, half of the gaps are shorter; 0 if none has two."""
    customers: int
    """In the population at the end of the log."""
    rates: tuple[Rate, ...]

    @property
    def rate(self) -> float:
        """The churn rate of the proposed label."""
        return next((rate.share for rate in self.rates if rate.days == self.within), math.nan)

    @property
    def label(self) -> Label:
        """The label of the contract."""
        picked = {"table": self.log.table}
        if self.log.activity:
            picked["where"] = self.log.activity
        no_event: dict[str, object] = {**picked, "within": f"{self.within}d"}
        if self.window:
            no_event["population"] = {**picked, "window": f"{self.window}d"}
        return Label.model_validate({"no_event": no_event})

    @property
    def doubts(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Place in the contract -> what to confirm."""
        yield ("label", "no_event", "within"), "; ".join(rate.text for rate in self.rates)
        usual = f"the usual gap between two days with one is {self.gap:g} days"
        if not self.gap:
            usual = "no customer has events on two days"
        if self.window:
            yield (
                ("label", "no_event", "population"),
                (
                    f"{self.customers:,} customers have one in the {self.window} days up to"
                    f" {self.log.end.date()}; {usual}"
                ),
            )

    def as_ofs(self, as_of: dt.date | None) -> tuple[dt.date, ...]:
        """The months of one file that a first run needs: enough with a known label to compare
        models, and those from then on to the newest.
        """
        newest = as_of or _month_end(self.log.end.date())
        first = self.log.events["day"].min().date() + dt.timedelta(self.window)
        labelled = self._months_needed
        months = [newest]
        while len(months) < MOST_MONTHS:
            known = sum(one + dt.timedelta(self.within) <= newest for one in months)
            earlier = months[0].replace(day=1) - dt.timedelta(days=1)
            if known >= labelled or (known and earlier < first):
                break
            months.insert(0, earlier)
        return tuple(months)

    @property
    def _months_needed(self) -> int:
        """The months whose holdouts have enough churners and others together, as far as they are
        pooled.
        """
        policy = Policy()
        rarer = min(self.rate, 1 - self.rate) * self.customers * policy.training.holdout_fraction
        if not rarer > 0:
            return 1
        needed = math.ceil(ENOUGH * policy.promotion.min_holdout_churners / rarer)
        return min(needed, policy.training.pooled_months)


def inactivity_among(
    logs: Sequence[LogDraft], usable: Sequence[Sheet], key: KeyColumn, parts: Parts
) -> Inactivity:
    """The inactivity label of the log with most customers.

    Raises:
        UsageError: no log can be used.
    """
    if not logs:
        raise UsageError(
            f"No label can be guessed, and no log can show who is inactive: "
            f"{parts.left_out[-1].table}: {parts.left_out[-1].reason}.",
            code="LABEL_NOT_FOUND",
        )
    log = max(logs, key=lambda one: one.events["key"].nunique())
    snapshots = {view.table for view in parts.views.values()} - {one.table for one in logs}
    customers = None
    if snapshots:
        keys = [keys_of(sheet, key) for sheet in usable if sheet.name in snapshots]
        customers = pd.concat(keys).dropna().drop_duplicates(ignore_index=True)
    return inactivity_of(log, customers)


def inactivity_of(log: LogDraft, customers: pd.Series | None) -> Inactivity:
    """The inactivity label of a log.

    Args:
        log: the log.
        customers: the distinct keys of the tables with one row a customer; None without any.
    """
    events = log.events[log.events["active"] & (log.events["day"] <= log.end)]
    gap = usual_gap(events)
    known = []
    for days in LENGTHS:
        window = 0 if customers is not None else population_window(gap, days)
        known.append(_rate(events, log.end, days, window, customers))
    within = _within(gap, known)
    window = 0 if customers is not None else population_window(gap, within)
    recent = events[events["day"] > log.end - pd.Timedelta(days=window)]
    found = recent["key"].nunique() if customers is None else len(customers)
    return Inactivity(log, within, window, gap, int(found), tuple(known))


def population_window(gap: float, within: int) -> int:
    """A round number of days, at least twice the usual gap, and not shorter than what counts as
    churn.
    """
    fitting = [days for days in ROUND_DAYS if days >= max(2 * gap, within)]
    return fitting[0] if fitting else ROUND_DAYS[-1]


def _rate(
    events: pd.DataFrame,
    end: pd.Timestamp,
    days: int,
    window: int,
    customers: pd.Series | None,
) -> Rate:
    """The share of the customers at an as_of so many days before the end without an event since."""
    as_of = end - pd.Timedelta(days=days)
    after = set(events.loc[events["day"] > as_of, "key"])
    first = events["day"].min()
    if customers is None:
        in_window = (events["day"] <= as_of) & (events["day"] > as_of - pd.Timedelta(days=window))
        then = set(events.loc[in_window, "key"])
    else:
        started = events.groupby("key")["day"].min()
        then = set(customers) - set(started[started > as_of].index)
    if not then or pd.isna(first) or first > as_of:
        return Rate(days, 0, math.nan)
    return Rate(days, len(then), len(then - after) / len(then))


def _within(gap: float, known: list[Rate]) -> int:
    """The shortest length that is longer than usual and does not make nearly everyone churn."""
    measured = [rate for rate in known if rate.customers]
    for rate in measured:
        if rate.days >= LONGER_THAN_USUAL * gap and rate.share <= HIGH:
            return rate.days
    return measured[-1].days if measured else LENGTHS[0]


def _month_end(day: dt.date) -> dt.date:
    """The end of the month of a day that is near it, else of the month before."""
    end = Span(months=1).after(day.replace(day=1)) - dt.timedelta(days=1)
    if end - day <= NEAR_THE_END:
        return end
    return day.replace(day=1) - dt.timedelta(days=1)
