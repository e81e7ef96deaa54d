"""Receipts are found by act, version, time, actor and number."""

import datetime as dt

import pytest

from churn_platform.base.errors import UsageError
from churn_platform.ledger.receipts import ACTS, Filters, instant
from churn_platform_tests.ledger.office import START, chain

DAY = dt.timedelta(days=1)


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
        ({"since": START + 3 * DAY}, [4, 5]),
        ({"until": START + DAY}, [1, 2]),
        ({"since": START + DAY, "until": START + 2 * DAY}, [2, 3]),
    ],
)
def test_every_filter_lets_pass_what_was_asked_for(filters, expected):
    receipts = chain(
        {"act": "drop accepted", "subject": "2024-01-31"},
        {"act": "promotion done"},
        {"act": "promotion done", "subject": "version 2", "before": "version 1"},
        {"act": "drop refused", "subject": "2024-02-29", "actor": "Bob"},
        {"act": "version blocked", "subject": "version 2"},
    )
    assert [receipt.sequence for receipt in Filters(**filters).chosen(receipts)] == expected


def test_an_act_that_no_receipt_can_have_is_refused_with_those_that_there_are():
    with pytest.raises(UsageError, match=r"'coup'.*drop accepted, .*promotion done") as refused:
        Filters(act="coup")
    assert refused.value.code == "ACT_UNKNOWN"
    assert len(ACTS) == len(set(ACTS))


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


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2024-13-01", "15.02.2024", "9999-12-31T23:59-01:00", "0001-01-01T00:00+01:00"],
)  # fmt: skip
def test_what_is_no_date_and_no_instant_that_utc_has_is_refused(text):
    with pytest.raises(UsageError) as refused:
        instant(text, end=True)
    assert refused.value.code == "DATE_INVALID"
