"""Every form of a timestamp becomes the instant it means, and each instant its day."""

import datetime as dt
import zoneinfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.ingestion.conversion import Writing, convert
from churn_platform.lake.instants import INSTANTS, days, instants

VIENNA = "Europe/Vienna"
ZONES = [
    "UTC",
    VIENNA,
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "America/St_Johns",
]


def read(values, zone="UTC", **writing):
    """The instants as ISO texts with None for null, and the rows (from 1) of each fault."""
    series = values if isinstance(values, pd.Series) else pd.Series(values, dtype=object)
    found, masks = convert(series, "timestamp", Writing(time_zone=zone, **writing))
    assert str(found.dtype) == INSTANTS
    shown = [None if pd.isna(one) else one.isoformat().removesuffix("+00:00") for one in found]
    return shown, {code: (np.flatnonzero(mask) + 1).tolist() for code, mask in masks.items()}


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2024-01-31", "2024-01-30T23:00:00"),
        ("20240131", "2024-01-30T23:00:00"),
        ("2024-01-31 08:30", "2024-01-31T07:30:00"),
        ("2024-01-31T08:30:15", "2024-01-31T07:30:15"),
        (" 2024-07-31 08:30:15.25 ", "2024-07-31T06:30:15.250000"),
        ("2024-01-31 08:30:15,123456789", "2024-01-31T07:30:15.123456"),
        ("20240131T083015", "2024-01-31T07:30:15"),
        ("2024-01-31T08:30:15Z", "2024-01-31T08:30:15"),
        ("2024-01-31T08:30:15z", "2024-01-31T08:30:15"),
        ("2024-01-31 08:30:15 UTC", "2024-01-31T08:30:15"),
        ("2024-01-31 08:30:15+00", "2024-01-31T08:30:15"),
        ("2024-01-31T08:30:15.5+05:30", "2024-01-31T03:00:15.500000"),
        ("2024-01-31 08:30:15 -0500", "2024-01-31T13:30:15"),
        ("2024-10-27 02:30:00", "2024-10-27T00:30:00"),
        ("2024-10-27 02:30:00+01:00", "2024-10-27T01:30:00"),
        ("2024-03-31 02:30:00", "2024-03-31T01:30:00"),
        ("9999-12-31", "9999-12-30T23:00:00"),
        ("0001-01-02", "0001-01-01T22:54:39"),
        (dt.datetime(2024, 1, 31, 8, 30), "2024-01-31T07:30:00"),
        (pd.Timestamp("2024-01-31 08:30", tz="America/New_York"), "2024-01-31T13:30:00"),
    ],
)
def test_iso_8601_with_and_without_a_zone(written, instant):
    assert read([written], VIENNA) == ([instant], {})


def test_zones_may_be_mixed_within_a_column():
    mixed = ["2024-01-31 08:00", None, "2024-01-31T08:00Z", "2024-01-31T08:00:00-05:00", "null", ""]
    assert read(mixed, VIENNA) == (
        ["2024-01-31T07:00:00", None, "2024-01-31T08:00:00", "2024-01-31T13:00:00", None, None],
        {},
    )


@pytest.mark.parametrize("written", ["soon", "2024-02-30 10:00", "2024-01-31 24:10", "31.01.2024 08:30",
    "2024-13-01", "2024-1-5", "1706689815", "2024-01-31T08:30:60", "0000-01-01", "now", "2024-01-31Z"])  # fmt: skip
def test_what_is_no_timestamp_is_a_fault_of_its_row(written):
    assert read(["2024-01-31 08:00", written, "2024-01-31T08:00:00Z"])[1] == {
        "not_a_timestamp": [2]
    }


def test_excel_s_number_is_recognised():
    assert read(["45322.5", "2024-01-31"])[1] == {"excel_date": [1]}


@pytest.mark.parametrize(
    ("form", "written", "instant"),
    [
        ("excel", "45322.354340278", "2024-01-31T07:30:15"),
        ("excel", 45322, "2024-01-30T23:00:00"),
        ("epoch_seconds", "1706689815", "2024-01-31T08:30:15"),
        ("epoch_seconds", 1706689815.25, "2024-01-31T08:30:15.250000"),
        ("%d.%m.%Y %H:%M", "31.01.2024 08:30", "2024-01-31T07:30:00"),
        ("%d.%m.%Y %H:%M", "27.10.2024 02:30", "2024-10-27T00:30:00"),
        ("%d.%m.%Y", "31.12.9999", "9999-12-30T23:00:00"),
        ("%d.%m.%Y %H:%M %z", "31.01.2024 08:30 +0500", "2024-01-31T03:30:00"),
        ("%Y/%m/%d %H:%MZ", "2024/01/31 08:30Z", "2024-01-31T08:30:00"),
    ],
)
def test_other_forms(form, written, instant):
    assert read([written], VIENNA, date_format=form) == ([instant], {})


@pytest.mark.parametrize(
    ("form", "written"),
    [("excel", "2024-01-31"), ("epoch_seconds", "1706689815000"), ("%d.%m.%Y", "now"), ("%d.%m.%Y", "31.2.2024")],
)  # fmt: skip
def test_other_forms_have_faults_too(form, written):
    assert read([written], date_format=form) == ([None], {"not_a_timestamp": [1]})


def test_typed_timestamps_of_every_unit():
    for unit in ("s", "ms", "us", "ns"):
        local = pd.Series(["2024-07-31 08:30:15", None]).astype(f"datetime64[{unit}]")
        assert read(local, VIENNA) == (["2024-07-31T06:30:15", None], {})
        zoned = local.dt.tz_localize("America/New_York")
        assert read(zoned, VIENNA) == (["2024-07-31T12:30:15", None], {})
    far = pd.Series(np.array([10**12, 0], dtype="datetime64[s]"))
    assert read(far) == ([None, "1970-01-01T00:00:00"], {"not_a_timestamp": [1]})


def test_words_for_a_missing_value():
    assert read(["1900-01-01", "-"], missing=("1900-01-01", "-")) == ([None, None], {})


MOMENTS = st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2090, 1, 1))


@settings(max_examples=80, deadline=None)
@given(st.lists(MOMENTS, min_size=1, max_size=30), st.sampled_from(ZONES))
def test_instants_and_days_are_those_of_python(times, zone):
    there = zoneinfo.ZoneInfo(zone)
    local = pd.Series(np.array(times, dtype="datetime64[us]"))
    found = instants(local, zone)
    assert found.tolist() == [time.replace(tzinfo=there).astimezone(dt.UTC) for time in times]
    assert days(found, zone).dt.date.tolist() == [
        one.to_pydatetime().astimezone(there).date() for one in found
    ]


@pytest.mark.parametrize("zone", ZONES)
def test_the_days_of_the_changes(zone):
    hours = pd.Series(pd.date_range("2024-01-01", "2024-12-31", freq="30min").as_unit("us"))
    there = zoneinfo.ZoneInfo(zone)
    wanted = [one.to_pydatetime().replace(tzinfo=there).astimezone(dt.UTC) for one in hours]
    found = instants(hours, zone)
    assert found.tolist() == wanted
    assert days(found, zone).dt.date.tolist() == [one.astimezone(there).date() for one in wanted]
