"""A reason that a person typed ends before the next sentence begins, and one of a thing is not several."""

import datetime as dt

import pytest

from churn_platform.base.errors import UsageError
from churn_platform.base.text import counted, duration_text, ended, parse_as_of, parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wrong", "wrong."),
        ("Wrong.", "Wrong."),
        ("Why?", "Why?"),
        ("wrong \n", "wrong."),
        ("v1.2", "v1.2."),
    ],
)
def test_a_reason_ends_like_a_sentence(text, expected):
    assert ended(text) == expected


def test_one_is_singular_and_thousands_are_separated():
    assert [counted(n, "churner") for n in (0, 1, 2, 1200)] == [
        "0 churners",
        "1 churner",
        "2 churners",
        "1,200 churners",
    ]


def test_an_as_of_is_an_iso_date():
    assert parse_as_of("2024-01-31") == dt.date(2024, 1, 31)
    with pytest.raises(UsageError) as wrong:
        parse_as_of("31.1.2024")
    assert wrong.value.code == "DATE_INVALID"


@pytest.mark.parametrize(
    ("text", "duration", "shown"),
    [
        ("30m", dt.timedelta(minutes=30), "30m"),
        ("12h", dt.timedelta(hours=12), "12h"),
        ("1d", dt.timedelta(days=1), "1d"),
        ("24h", dt.timedelta(days=1), "1d"),
        (" 2w ", dt.timedelta(days=14), "2w"),
        ("1.5h", dt.timedelta(minutes=90), "90m"),
        ("0.25m", dt.timedelta(seconds=15), "0.25m"),
    ],
)
def test_a_duration_is_a_number_with_a_unit(text, duration, shown):
    assert parse_duration(text) == duration
    assert duration_text(duration) == shown


@pytest.mark.parametrize("text", ["", "d", "1", "1 day", "1D", "-1d", "1d12h", "٣d", "9999999999w"])
def test_what_is_no_duration(text):
    with pytest.raises(UsageError) as wrong:
        parse_duration(text)
    assert wrong.value.code == "DURATION_INVALID"
