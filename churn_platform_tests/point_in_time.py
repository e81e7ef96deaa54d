"""Random histories of a small business, and the join over them written in plain Python: the oracle of every store."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from hypothesis import strategies as st

from churn_platform.contract.model import Contract
from churn_platform.lake.lake import Lake, instant
from churn_platform_tests.small_business import DECLARED, declared

MONTHS = (dt.date(2024, 1, 31), dt.date(2024, 2, 29), dt.date(2024, 3, 31))
FEATURES = {"members": ["months", "plan", "has_app"], "visits": ["hours"]}
DAYS_TO_DELIVER = int(DECLARED["delivery_days"])
KEYS: dict[str, list[Any]] = {
    "string": ["m1", "M1", " m1", 'q"u,o\n', "ä"],
    "integer": [0, -1, 7, 2**53 + 1, 2**62],
}
"""What a comparison by another collation, by CSV or by floats would mix up; the last is asked for and never there."""


@dataclass(frozen=True)
class Delivery:
    """Some tables of a month, as rows of a key -> its values, and when they arrived."""

    month: dt.date
    arrived: dt.datetime
    tables: dict[str, dict[Any, tuple[Any, ...]]]


def contract_with(key: str) -> Contract:
    """The gym with keys of this type."""
    return declared(entity={"column": "member", "dtype": key})


text = st.none() | st.text("ab ,;\"'\n\r\\tN\u00e9\u4e2d\U0001f600", max_size=4)
values = {
    "members": st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1), text, st.none() | st.booleans()
    ),
    "visits": st.tuples(st.none() | st.floats(allow_nan=False, allow_infinity=False)),
}


@st.composite
def histories(draw: Any, key: str) -> list[Delivery]:
    """Months with gaps, tables that come late or not at all, customers that are missing, and up to two corrections.

    January came with every table: of one that nobody delivered Feast's DuckDB store finds no columns.
    """
    keys, found = st.sampled_from(KEYS[key][:-1]), []
    tables = {
        name: st.dictionaries(keys, row, min_size=1, max_size=4) for name, row in values.items()
    }
    some = st.fixed_dictionaries({}, optional=tables).filter(bool)
    whole = st.fixed_dictionaries(tables)
    for month in (MONTHS[0], *draw(st.lists(st.sampled_from(MONTHS[1:]), unique=True))):
        days = draw(st.lists(st.integers(0, 2 * DAYS_TO_DELIVER), min_size=1, max_size=3))
        for number, day in enumerate(sorted(days)):
            delivered = draw(whole if number == 0 and month == MONTHS[0] else some)
            found.append(Delivery(month, instant(month) + dt.timedelta(days=day), delivered))
    return found


moments = st.tuples(st.sampled_from(MONTHS), st.integers(0, 2 * DAYS_TO_DELIVER)).map(
    lambda chosen: instant(chosen[0]) + dt.timedelta(days=chosen[1])
)


def questions(key: str) -> st.SearchStrategy[list[tuple[Any, dt.date]]]:
    """Pairs of a customer and a month, each once, in any order."""
    pairs = st.tuples(st.sampled_from(KEYS[key]), st.sampled_from(MONTHS))
    return st.lists(pairs, unique=True, min_size=1, max_size=15)


def publish(lake: Lake, history: Sequence[Delivery]) -> None:
    """Deliver a history to an empty lake."""
    kinds = {"months": "Int64", "has_app": "boolean", "hours": "float64"}
    for number, delivery in enumerate(history):
        tables = {}
        for name, rows in delivery.tables.items():
            frame = pd.DataFrame(
                [(key, *row) for key, row in rows.items()],
                columns=["member", *FEATURES[name]],
                dtype=object,
            ).sort_values("member", ignore_index=True)
            frame = frame.astype({c: k for c, k in kinds.items() if c in frame})
            tables[name] = frame.assign(town="north") if name == "members" else frame
        lake.publish(delivery.month, tables, delivery.arrived, str(number))


def answer(
    history: Sequence[Delivery], asked: Sequence[tuple[Any, dt.date]], known_at: dt.datetime
) -> list[tuple[Any, ...]]:
    """What was known of each customer when the month was scored, and nothing of another month; row by row."""
    return [
        (
            key,
            month.isoformat(),
            *(v for name in FEATURES for v in _values(history, name, key, month, known_at)),
        )
        for key, month in asked
    ]


def _values(
    history: Sequence[Delivery], table: str, key: object, month: dt.date, known_at: dt.datetime
) -> tuple[Any, ...]:
    nothing, limit = (
        (None,) * len(FEATURES[table]),
        instant(month) + dt.timedelta(days=DAYS_TO_DELIVER),
    )
    own = [delivery for delivery in history if delivery.month == month and table in delivery.tables]
    # Whenever it arrived, what came first counts as known at its month.
    known = [
        d
        for number, d in enumerate(own)
        if (instant(month) if number == 0 else d.arrived) <= min(known_at, limit)
    ]
    return known[-1].tables[table].get(key, nothing) if known else nothing
