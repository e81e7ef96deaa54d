"""Which month the calendar asks for."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.contract.model import Contract
from churn_platform.ingestion.database_source import due_pull, next_as_of
from churn_platform_tests.small_business import DECLARED, FEBRUARY, JANUARY

SOURCE = {"url": "${CRM_URL}", "query": "SELECT :as_of"}


def contract(*pulled, **changes):
    tables = {
        n: {**t, **({"source": SOURCE} if n in pulled else {})}
        for n, t in DECLARED["tables"].items()
    }
    return Contract.model_validate({**DECLARED, "tables": tables, **changes})


ALL = contract("members", "visits", "leavers")
LATE = contract(
    "members",
    "visits",
    "leavers",
    label={"table": "leavers", "column": "has_left", "horizon": {"months": 1}},
)


@given(st.dates(dt.date(2000, 1, 1), dt.date(2060, 1, 1)))
def test_month_ends_follow_month_ends_and_other_days_their_like(start):
    end = (start.replace(day=1) + dt.timedelta(days=32)).replace(day=1) - dt.timedelta(days=1)
    following = next_as_of(ALL, end)
    assert (following + dt.timedelta(days=1)).day == 1
    assert 27 < (following - end).days < 32
    if start.day < 28:
        assert next_as_of(ALL, start).day == start.day
    weekly = contract("members", "visits", cadence="week")
    assert next_as_of(weekly, start) == start + dt.timedelta(days=7)


def test_a_month_is_due_once_it_is_over():
    assert due_pull(ALL, [JANUARY], {JANUARY}, FEBRUARY) == (None, "The next month is 2024-02-29.")
    assert due_pull(ALL, [JANUARY], {JANUARY}, dt.date(2024, 3, 1)) == (
        FEBRUARY,
        "The month 2024-02-29 is over.",
    )
    assert due_pull(ALL, [JANUARY], {JANUARY}, dt.date(2024, 9, 1))[0] == FEBRUARY


def test_labels_that_have_matured_are_read_when_no_newer_month_is_due():
    assert due_pull(LATE, [JANUARY], set(), dt.date(2024, 2, 20))[0] is None
    assert due_pull(LATE, [JANUARY, FEBRUARY], set(), dt.date(2024, 3, 15))[0] == JANUARY
    assert due_pull(LATE, [JANUARY, FEBRUARY], {JANUARY}, dt.date(2024, 3, 15))[0] is None
    assert due_pull(LATE, [JANUARY], set(), dt.date(2024, 3, 15))[0] == FEBRUARY


@pytest.mark.parametrize(
    ("pulled", "said"),
    [
        ((), "no table is in a database"),
        (("visits",), "files deliver members"),
        (("leavers",), "files deliver members, vis"),
    ],
)
def test_a_business_that_delivers_files_is_waited_for(pulled, said):
    as_of, why = due_pull(contract(*pulled), [JANUARY], {JANUARY}, dt.date(2024, 9, 1))
    assert as_of is None
    assert said in why


def test_the_first_month_is_chosen_by_a_person():
    assert due_pull(ALL, [], set(), FEBRUARY) == (
        None,
        "Ingest the first month by hand: `churn ingest --as-of DATE`.",
    )
