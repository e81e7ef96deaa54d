"""The contact plan of a month: who is contacted, who is left untouched at random, and with
which probability.

Who is untouched is drawn by a hash of the key, so every process draws the same, and a larger
share only adds customers.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from churn_platform.base.digests import distinct_key_hashes, frame_digest
from churn_platform.base.errors import DataError
from churn_platform.contract.contacts import ContactPolicy
from churn_platform.evaluation.statistics import BoolArray, FloatArray

ARM: Final = "arm"
PROBABILITY: Final = "assignment_probability"
CONTACT: Final = "contact"
UNTOUCHED: Final = "untouched"
EXPLORE: Final = "explore"
BELOW: Final = "below"
ARMS: Final = (CONTACT, UNTOUCHED, EXPLORE, BELOW)
ASSIGNED: Final = (CONTACT, EXPLORE)
"""The arms whose customers are on the list for the team."""
LIST: Final = "list"
"""The column that only plans with a test have: on which list the customer is."""
STRATA: Final = 10
LEAST_IN_STRATUM: Final = 50
HASHES: Final = 2.0**64
ROOM: Final = 1000
"""Keys that are drawn above the cut in addition to those that are expected."""


@dataclass(frozen=True)
class ContactPlan:
    """The plan of one month.

    Attributes:
        rows: (rows,) one for each customer who can be in an arm, the most valuable first: the
            key, arm, assignment_probability, stratum, rank, probability (of churn), value. Arm
            `contact` and `explore` are assigned to be contacted, `untouched` is not, `below`
            are the customers from whom those of `explore` are drawn. Strata are parts of equal
            size above the cut, numbered from 0; below it -1.
        excluded: Reason -> number of customers who are in no arm.
        budget: Customers that were to be contacted.
    """

    rows: pd.DataFrame
    excluded: dict[str, int]
    budget: int

    def count(self, *arms: str) -> int:
        """Number of customers in these arms."""
        return int(self.rows[ARM].isin(arms).sum())


def plan(
    policy: ContactPolicy,
    experiment: str,
    key: str,
    customers: pd.DataFrame,
    excluded: pd.Series,
) -> ContactPlan:
    """Plan the contacts of one month.

    Args:
        policy: budget, shares and salt.
        experiment: its name; customers stay untouched within one experiment.
        key: the column of the key.
        customers: (rows,) key, probability (of churn), value (of a saved customer, >= 0). With a
            column `effect`, how far a contact lowers that probability, this ranks in its place.
        excluded: (rows,) why a customer is in no arm; null for the others.

    Raises:
        DataError: a value is missing, not finite or below 0.
    """
    require_values(customers, key)
    rows = _ranked(customers[excluded.isna().to_numpy()], key)
    budget = contacts_of(policy, len(customers))
    return ContactPlan(
        rows=_arms(policy, experiment, key, rows, budget),
        excluded=counted_reasons(excluded),
        budget=budget,
    )


def require_values(customers: pd.DataFrame, key: str) -> None:
    """Raise DataError if a customer's value is missing, not finite or below 0."""
    values = customers["value"].to_numpy(dtype=float, na_value=np.nan)
    wrong = customers[~(np.isfinite(values) & (values >= 0))]
    if len(wrong):
        raise DataError(
            f"{len(wrong):,} customers have no value of at least 0, the first is"
            f" {wrong[key].iloc[0]}: check policy.contacts.value.",
            code="CONTACT_VALUE",
        )


def counted_reasons(excluded: pd.Series) -> dict[str, int]:
    """Reason -> number of customers who are in no arm because of it."""
    reasons = excluded.dropna().value_counts(sort=False)
    return {str(reason): int(count) for reason, count in sorted(reasons.items())}


def plan_digest(rows: pd.DataFrame, key: str) -> str:
    """Digest over key, arm and probability of every row, in their order; with a test also over
    its lists and strata, by which the customers are compared.
    """
    registered = {
        key: rows[key].astype(str).astype(object),
        ARM: rows[ARM].astype(str).astype(object),
        PROBABILITY: rows[PROBABILITY].astype(float),
    }
    if LIST in rows:
        registered[LIST] = rows[LIST].astype(str).astype(object)
        registered["stratum"] = rows["stratum"].astype(float)
    return frame_digest(pd.DataFrame(registered), values_repeat=False)


def contacts_of(policy: ContactPolicy, customers: int) -> int:
    """How many of so many customers are to be contacted in a month."""
    if policy.budget < 1:
        return max(1, round(policy.budget * customers))
    return int(policy.budget)


def _ranked(rows: pd.DataFrame, key: str) -> pd.DataFrame:
    """The rows, the most valuable first."""
    return rows.iloc[order_of(rows, key)].reset_index(drop=True)


def order_of(rows: pd.DataFrame, key: str) -> npt.NDArray[np.intp]:
    """The places of the rows by probability x value, then probability, then key.

    Only rows of equal rank are sorted by all three: that takes 15 times as long.
    """
    gain = rows["effect"] if "effect" in rows else rows["probability"]
    expected = (gain * rows["value"]).to_numpy(dtype=float)
    order = np.argsort(-expected, kind="stable")
    as_next = np.append(np.diff(expected[order]) == 0, [False])
    equal = np.flatnonzero(as_next | np.roll(as_next, 1))
    if equal.size:
        tied = rows.iloc[order[equal]].assign(expected=expected[order[equal]], place=order[equal])
        columns = ["expected", "probability", key]
        tied = tied.sort_values(columns, ascending=[False, False, True])
        order[equal] = tied["place"].to_numpy()
    return order


def _arms(
    policy: ContactPolicy, experiment: str, key: str, rows: pd.DataFrame, budget: int
) -> pd.DataFrame:
    """The ranked rows with arm, probability, stratum and rank."""
    explored = round(budget * policy.explore_share)
    untouched = _untouched(policy, experiment, rows[key], budget - explored)
    cut = len(untouched)
    above = np.arange(len(rows)) < cut
    chosen = explored_keys(rows[key].iloc[cut:], policy.salt, experiment, explored)
    arms = np.full(len(rows), BELOW, dtype=object)
    arms[:cut] = np.where(untouched, UNTOUCHED, CONTACT)
    arms[cut:][chosen] = EXPLORE
    below = len(rows) - cut
    probability = np.where(
        above, 1 - policy.untouched_share, chosen.sum() / below if below else 0.0
    )
    stratum = np.where(above, strata_of(np.arange(len(rows)), cut), -1)
    return rows.assign(
        **{ARM: arms, PROBABILITY: probability, "stratum": stratum},
        rank=np.arange(1, len(rows) + 1),
    )


def strata_of(places: npt.NDArray[np.intp], size: int) -> npt.NDArray[np.intp]:
    """The tenth of the top `size` rows in which each place is; fewer parts if rows are few."""
    parts = int(np.clip(size // LEAST_IN_STRATUM, 1, STRATA))
    return places * parts // max(size, 1)


def _untouched(policy: ContactPolicy, experiment: str, keys: pd.Series, contacts: int) -> BoolArray:
    """Which of the keys above the cut are untouched: a share drawn at random for an experiment.
    A larger share contains a smaller one.

    The keys are walked down in parts, because drawing is what costs: a second per million.
    """
    share = policy.untouched_share
    part = contacts
    while True:
        part = min(len(keys), int(part / (1 - share)) + ROOM)
        untouched = share_of_keys(keys.iloc[:part], policy.salt, experiment, share)
        if part == len(keys) or np.count_nonzero(~untouched) >= contacts:
            return untouched[: _cut(untouched, contacts)]


def share_of_keys(keys: pd.Series, salt: str, experiment: str, share: float) -> BoolArray:
    """Which keys (rows,) are among a share that is drawn at random for an experiment; a larger
    share contains a smaller one.
    """
    return drawn_numbers(keys, salt, experiment) < share


def _cut(untouched: BoolArray, contacts: int) -> int:
    """Number of rows from the top among which `contacts` are not untouched; all if there are
    fewer.
    """
    places = np.flatnonzero(~untouched)
    if len(places) <= contacts:
        return len(untouched)
    return int(places[contacts - 1]) + 1 if contacts else 0


def explored_keys(keys: pd.Series, salt: str, experiment: str, count: int) -> BoolArray:
    """Which of the keys below the cut are drawn to be contacted as well."""
    return so_many_keys(keys, salt, f"{experiment}|explore", count)


def so_many_keys(keys: pd.Series, salt: str, experiment: str, count: int) -> BoolArray:
    """Which `count` of the keys (rows,) are drawn at random for an experiment; all if there are
    fewer.
    """
    chosen = np.zeros(len(keys), dtype=bool)
    if count and len(keys):
        numbers = drawn_numbers(keys, salt, experiment)
        chosen[np.argpartition(numbers, min(count, len(keys)) - 1)[:count]] = True
    return chosen


def drawn_numbers(keys: pd.Series, salt: str, experiment: str) -> FloatArray:
    """A number in [0, 1) for each key (rows,), the same in every process."""
    return distinct_key_hashes(keys, f"{salt}|{experiment}|") / HASHES
