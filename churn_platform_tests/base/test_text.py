"""A reason that a person typed ends before the next sentence begins, and one of a thing is not several."""

import datetime as dt

import pytest

from churn_platform.base.errors import UsageError
from churn_platform.base.text import counted, ended, parse_as_of


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
