"""The contact plan of a month in which the lists of two versions are tested against each other.

Customers on both lists are contacted as always. Chance decides only about customers who are on
one list alone: half of them are contacted, so the contacts stay as many as without a test.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from churn_platform.base.digests import frame_digest
from churn_platform.base.errors import DataError
from churn_platform.contacts.plan import (
    ARM,
    BELOW,
    CONTACT,
    EXPLORE,
    LIST,
    PROBABILITY,
    ROOM,
    STRATA,
    UNTOUCHED,
    ContactPlan,
    counted_reasons,
    drawn_numbers,
    explored_keys,
    order_of,
    plan,
    require_values,
    share_of_keys,
    so_many_keys,
    strata_of,
)
from churn_platform.contract.contacts import ContactPolicy
from churn_platform.evaluation.statistics import BoolArray
from churn_platform.ledger.acts import PlannedTest

Places = npt.NDArray[np.intp]

BOTH: Final = "both"
A_ONLY: Final = "A"
B_ONLY: Final = "B"
NEITHER: Final = "neither"
"""The values of the column `list`: on both lists, on that of one version alone, on neither."""
HALF: Final = 0.5
STRATUM_A: Final = STRATA
STRATUM_B: Final = STRATA + 1
"""The strata of the customers on one list alone, after those of the customers on both."""
PROBABILITIES: Final = ("probability_a", "probability_b")


@dataclass(frozen=True)
class TwoLists:
    """The lists of two versions; arrays are (rows,).

    Attributes:
        place_a: place of each customer on the ranking of version A, from 0.
        place_b: the same for version B.
        length: customers on each list.
    """

    place_a: Places
    place_b: Places
    length: int

    @property
    def names(self) -> npt.NDArray[np.object_]:
        """The list of each customer."""
        on_a = self.place_a < self.length
        on_b = self.place_b < self.length
        names = np.full(on_a.size, NEITHER, dtype=object)
        names[on_a & on_b] = BOTH
        names[on_a & ~on_b] = A_ONLY
        names[~on_a & on_b] = B_ONLY
        return names


@dataclass(frozen=True, eq=False)
class DrawnFrom:
    """What a plan is drawn from.

    Attributes:
        customers: (rows,) key, probability (of churn), value, and effect where that ranks; in a
            month of a test also probability_a and probability_b.
        excluded: (rows,) why a customer is in no arm; null for the others.
    """

    customers: pd.DataFrame
    excluded: pd.Series

    @property
    def digest(self) -> str:
        """Over every value."""
        return frame_digest(self.customers.assign(excluded=self.excluded.fillna("").to_numpy()))

    def plan(
        self, policy: ContactPolicy, experiment: str, key: str, test: PlannedTest | None
    ) -> ContactPlan:
        """The plan of the month, in which a test may run."""
        if test is None:
            return plan(policy, experiment, key, self.customers, self.excluded)
        return plan_with_test(policy, test, experiment, key, self.customers, self.excluded)


def plan_with_test(
    policy: ContactPolicy,
    test: PlannedTest,
    experiment: str,
    key: str,
    customers: pd.DataFrame,
    excluded: pd.Series,
) -> ContactPlan:
    """Plan the contacts of one month of a test.

    The rows have the columns of every plan, the two probabilities and the list. Their order is
    that of a customer's better place on the two lists, so it does not tell the lists apart.

    Args:
        policy: shares and salt.
        test: the test, with its budget and its salt.
        experiment: the name of the month's draw.
        key: the column of the key.
        customers: (rows,) key, probability (of churn, by the version in production), value, and
            probability_a and probability_b by the two versions.
        excluded: (rows,) why a customer is in no arm; null for the others.

    Raises:
        DataError: a value is missing, not finite or below 0, or a probability is missing.
    """
    require_values(customers, key)
    missing = customers[list(PROBABILITIES)].isna().any(axis=1)
    if missing.any():
        raise DataError(
            f"{missing.sum():,} customers have no score by both versions of {test.name}, the"
            f" first is {customers.loc[missing, key].iloc[0]}.",
            code="MODEL_TEST_SCORES",
        )
    rows = customers[excluded.isna().to_numpy()].reset_index(drop=True)
    explored = round(test.budget * policy.explore_share)
    lists = two_lists(policy, experiment, key, rows, test.budget - explored)
    return ContactPlan(
        rows=_arms(policy, test, experiment, key, rows, lists, explored),
        excluded=counted_reasons(excluded),
        budget=test.budget,
    )


def two_lists(
    policy: ContactPolicy, experiment: str, key: str, rows: pd.DataFrame, contacts: int
) -> TwoLists:
    """The lists of both versions, as long as needed to contact so many customers.

    Lists of length k contact k customers less those of both lists who are left untouched: with d
    customers on one list alone, k - d are on both, and half of d on each side are contacted.
    """
    place_a = _places(rows, PROBABILITIES[0], key)
    place_b = _places(rows, PROBABILITIES[1], key)
    enters = np.maximum(place_a, place_b)
    part = contacts
    while True:
        part = min(len(rows), int(part / (1 - policy.untouched_share)) + ROOM)
        near = np.flatnonzero(enters < part)
        untouched = share_of_keys(
            rows[key].iloc[near], policy.salt, experiment, policy.untouched_share
        )
        left_out = np.cumsum(np.bincount(enters[near[untouched]], minlength=part))
        contacted = np.arange(1, part + 1) - left_out
        enough = np.flatnonzero(contacted >= contacts)
        if enough.size and contacts:
            return TwoLists(place_a, place_b, int(enough[0]) + 1)
        if part == len(rows) or not contacts:
            return TwoLists(place_a, place_b, part if contacts else 0)


def _places(rows: pd.DataFrame, probability: str, key: str) -> Places:
    """The place of each row when one version ranks, from 0."""
    ranked_by = pd.DataFrame(
        {key: rows[key], "probability": rows[probability], "value": rows["value"]}
    )
    places = np.empty(len(rows), dtype=np.intp)
    places[order_of(ranked_by, key)] = np.arange(len(rows))
    return places


def _arms(
    policy: ContactPolicy,
    test: PlannedTest,
    experiment: str,
    key: str,
    rows: pd.DataFrame,
    lists: TwoLists,
    explored: int,
) -> pd.DataFrame:
    """The rows in their order, with list, arm, probability, stratum and rank."""
    first = np.minimum(lists.place_a, lists.place_b)
    last = np.maximum(lists.place_a, lists.place_b)
    ordered = rows.assign(**{LIST: lists.names}, first=first, last=last)
    ordered = ordered.sort_values(["first", "last", key], ignore_index=True)
    ordered = ordered.drop(columns=["first", "last"])
    names = ordered[LIST].to_numpy(dtype=object)
    keys = ordered[key]
    both = names == BOTH
    neither = names == NEITHER
    arms = np.where(neither, BELOW, CONTACT).astype(object)
    chance = np.full(len(rows), HALF)
    stratum = np.where(names == A_ONLY, STRATUM_A, STRATUM_B)

    untouched = share_of_keys(keys[both], policy.salt, experiment, policy.untouched_share)
    arms[np.flatnonzero(both)[untouched]] = UNTOUCHED
    chance[both] = 1 - policy.untouched_share
    stratum[both] = strata_of(np.arange(both.sum()), int(both.sum()))

    on_one = int((names == A_ONLY).sum())
    odd_to_a = on_one % 2 == 1 and _coin(test, experiment)
    odd_to_b = on_one % 2 == 1 and not odd_to_a
    for name, odd in ((A_ONLY, odd_to_a), (B_ONLY, odd_to_b)):
        inside = np.flatnonzero(names == name)
        chosen = _half(keys.iloc[inside], test, experiment, on_one // 2 + int(odd))
        arms[inside[~chosen]] = UNTOUCHED

    chosen = explored_keys(keys[neither], policy.salt, experiment, explored)
    arms[np.flatnonzero(neither)[chosen]] = EXPLORE
    chance[neither] = chosen.sum() / neither.sum() if neither.any() else 0.0
    stratum[neither] = -1
    return ordered.assign(
        **{ARM: arms, PROBABILITY: chance, "stratum": stratum},
        rank=np.arange(1, len(rows) + 1),
    )


def _half(keys: pd.Series, test: PlannedTest, experiment: str, count: int) -> BoolArray:
    """Which customers of one list alone are contacted."""
    return so_many_keys(keys, test.salt, f"{experiment}|{test.name}", count)


def _coin(test: PlannedTest, experiment: str) -> bool:
    """Whether list A has the contact that an odd number leaves over. Drawn, so every customer
    on one list alone is contacted with probability 1/2.
    """
    drawn = drawn_numbers(pd.Series(["odd"]), test.salt, f"{experiment}|{test.name}|odd")
    return bool(drawn[0] < HALF)
