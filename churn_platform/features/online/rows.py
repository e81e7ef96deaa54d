"""What a reader of the online store answers: a customer's values, and how old they are."""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from churn_platform.contract.model import Contract


class OnlineRow(NamedTuple):
    """What the online store holds of one customer.

    Attributes:
        values: Every feature of the contract in its order; None is a legal null or a row that
            is not there.
        as_of: The month of the oldest feature view's row.
        behind: Features whose view has no row, or one of an older month than the newest.
    """

    values: dict[str, Any]
    as_of: dt.date
    behind: tuple[str, ...]


def all_older(rows: Sequence[OnlineRow | None], contract: Contract) -> bool:
    """Whether every row is missing or of an older month in all of its views: the store lacks
    the newest month.
    """
    return all(row is None or len(row.behind) == len(contract.features) for row in rows)


@dataclass(frozen=True)
class Month:
    """The newest month that was written completely, and the store that it was written to."""

    as_of: dt.date
    store: str

    @property
    def moment(self) -> int:
        """The instant that its rows carry, in seconds since 1970."""
        return int(dt.datetime.combine(self.as_of, dt.time(), dt.UTC).timestamp())


Values = Callable[[Iterable[Any]], dict[str, Any]]


def values_of(contract: Contract) -> Values:
    """From a customer's values, view after view, to every feature in the contract's order."""
    held = [feature for view in contract.feature_views.values() for feature in view.features]
    features, places = tuple(contract.features), [held.index(name) for name in contract.features]
    if list(features) == held:
        return lambda values: dict(zip(features, values, strict=True))

    def sorted_out(values: Iterable[Any]) -> dict[str, Any]:
        found = list(values)
        return {name: found[place] for name, place in zip(features, places, strict=True)}

    return sorted_out


Ages = Callable[[tuple[int, ...], int], tuple[dt.date, tuple[str, ...]]]


def ages_of(contract: Contract) -> Ages:
    """How old a customer's rows are: from the moment of each view's row (0: none) and the
    newest month's.

    The answers are remembered: nearly all customers have the same moments.
    """
    views = tuple(tuple(view.features) for view in contract.feature_views.values())

    @lru_cache(maxsize=1024)
    def ages(moments: tuple[int, ...], newest: int) -> tuple[dt.date, tuple[str, ...]]:
        oldest = min(moment for moment in moments if moment)
        late = [
            name
            for features, moment in zip(views, moments, strict=True)
            if moment < newest
            for name in features
        ]
        return dt.datetime.fromtimestamp(oldest, dt.UTC).date(), tuple(late)

    return ages
