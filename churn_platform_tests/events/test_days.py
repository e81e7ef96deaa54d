"""Where windows begin: days, weeks, and months of different lengths."""

import datetime as dt
from itertools import pairwise

import pytest

from churn_platform.events.days import first_day, middle


@pytest.mark.parametrize(
    ("length", "as_of", "first"),
    [
        ("1d", "2024-03-01", "2024-03-01"),
        ("30d", "2024-03-30", "2024-03-01"),
        ("2w", "2024-03-14", "2024-03-01"),
        ("1m", "2024-03-31", "2024-03-01"),
        ("1m", "2024-02-29", "2024-02-01"),
        ("1m", "2023-02-28", "2023-02-01"),
        ("1m", "2024-02-28", "2024-01-29"),
        ("1m", "2024-03-30", "2024-03-01"),
        ("1m", "2023-03-29", "2023-03-01"),
        ("1m", "2024-04-30", "2024-04-01"),
        ("12m", "2024-02-29", "2023-03-01"),
        ("12m", "2025-02-28", "2024-03-01"),
        ("2m", "2024-01-15", "2023-11-16"),
        ("all", "2024-01-15", "0001-01-01"),
        ("99999d", "0010-01-15", "0001-01-02"),
        ("99999m", "2024-01-15", "0001-01-02"),
    ],
)
def test_a_window_begins_after_its_length(length, as_of, first):
    assert first_day(length, dt.date.fromisoformat(as_of)).isoformat() == first


@pytest.mark.parametrize(
    ("length", "as_of", "turn"),
    [
        ("2d", "2024-03-01", "2024-03-01"),
        ("30d", "2024-03-30", "2024-03-16"),
        ("2w", "2024-03-14", "2024-03-08"),
        ("2m", "2024-03-31", "2024-03-01"),
        ("6m", "2024-02-29", "2023-12-01"),
    ],
)
def test_the_newer_half_of_a_window_is_as_long_as_the_older(length, as_of, turn):
    assert middle(length, dt.date.fromisoformat(as_of)).isoformat() == turn


def test_windows_of_complete_months_follow_each_other_without_a_gap_or_an_overlap():
    ends = [dt.date(2023 + n // 12, n % 12 + 1, 1) - dt.timedelta(days=1) for n in range(1, 36)]
    for before, end in pairwise(ends):
        assert first_day("1m", end) == before + dt.timedelta(days=1)
