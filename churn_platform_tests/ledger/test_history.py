"""Receipts are found by act, version, time, actor and number."""

import datetime as dt

import pytest

from churn_platform.base.errors import UsageError
from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.receipts import Filters, acts, instant

START = dt.datetime(2024, 1, 31, 6, 0, tzinfo=dt.UTC)
ACT = {"actor": "Ann", "subject": "version 1", "reason": "It is so."}


def chain(*recorded):
    receipts, head = [], None
    for number, fields in enumerate(recorded):
        at = {"time": (START + number * dt.timedelta(days=1)).isoformat()}
        head = ledger.append(head, **ACT | at | fields)
        receipts.append(head)
    return receipts


def moved(version, before, at=None, act="promotion done"):
    evidence = {} if at is None else {"activate_at": at.isoformat()}
    named = {"subject": f"version {version}", "after": f"version {version}", "evidence": evidence}
    return {"act": act, **named, "before": None if before is None else f"version {before}"}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"act": "drop"}, [1, 4]),
        ({"act": "drop accepted"}, [1]),
        ({"version": 2}, [3, 5]),
        ({"version": 1}, [2, 3]),
        ({"by": "bob"}, [4]),
        ({"by": "bo"}, []),
        ({"last": 2}, [4, 5]),
        ({"last": 9}, [1, 2, 3, 4, 5]),
        ({"act": "drop", "last": 1}, [4]),
        ({"since": START + dt.timedelta(days=3)}, [4, 5]),
        ({"until": START + dt.timedelta(days=1)}, [1, 2]),
        ({"since": START + dt.timedelta(days=1), "until": START + dt.timedelta(days=2)}, [2, 3]),
    ],
)
def test_every_filter_lets_pass_what_was_asked_for(filters, expected):
    receipts = chain(
        {"act": "drop accepted", "subject": "2024-01-31"},
        moved(1, None),
        moved(2, 1),
        {"act": "drop refused", "subject": "2024-02-29", "actor": "Bob"},
        {"act": "version blocked", "subject": "version 2"},
    )
    assert [receipt.sequence for receipt in Filters(**filters).chosen(receipts)] == expected


def test_an_act_that_no_receipt_can_have_is_wrong_use_and_the_sentence_lists_them():
    with pytest.raises(
        UsageError, match=r"no act 'coup'; acts are: drop accepted, .*promotion done"
    ):
        Filters(act="coup")
    assert {"promotion done", "customer forgotten", "decision"} <= set(acts())
    assert len(acts()) == len(set(acts()))


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024-02-15", "2024-02-15T00:00:00+00:00", "2024-02-15T23:59:59.999999+00:00"),
        ("9999-12-31", "9999-12-31T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00"),
        ("0001-01-01", "0001-01-01T00:00:00+00:00", "0001-01-01T23:59:59.999999+00:00"),
        ("2024-02-15T10:00", "2024-02-15T10:00:00+00:00", "2024-02-15T10:00:00+00:00"),
        ("2024-02-15T10:00+01:00", "2024-02-15T09:00:00+00:00", "2024-02-15T09:00:00+00:00"),
    ],
)
def test_a_date_is_its_first_or_its_last_moment_and_an_instant_itself(text, first, last):
    assert instant(text, end=False).isoformat() == first
    assert instant(text, end=True).isoformat() == last


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01", "15.02.2024"])
def test_what_is_no_date_and_no_instant_is_wrong_use(text):
    with pytest.raises(UsageError, match="is not a date or time: write 2024-01-31"):
        instant(text, end=True)


@pytest.mark.parametrize("text", ["9999-12-31T23:59-01:00", "0001-01-01T00:00+01:00"])
def test_an_instant_that_utc_does_not_have_is_wrong_use(text):
    with pytest.raises(UsageError, match="outside the years 1 to 9999"):
        instant(text, end=True)
