"""Window tables and labels follow the log: late events, corrections, kills, and what was known when."""

import datetime as dt
import random

import pandas as pd
import pytest
import yaml

from churn_platform.contract.model import Contract
from churn_platform.events import log_files
from churn_platform.events.derived_tables import STATE_FILE, DerivedTables
from churn_platform.lake.lake import Lake, instant
from churn_platform.lake.tables import lake_tables

MONTHS = [dt.date(2024, 1, 31), dt.date(2024, 2, 29), dt.date(2024, 3, 31), dt.date(2024, 4, 30)]
DECLARED = """
name: shop
model_name: shop_churn
entity: {column: customer}
tables:
  visits:
    kind: events
    time: day
    delivery: append
    columns: {day: {dtype: date}, spent: {dtype: integer}}
    windows:
      visits_30d: {aggregate: count, window: 30d}
      spent_1m: {aggregate: sum, of: spent, window: 1m}
feature_views:
  visiting: {table: visits, features: [visits_30d, spent_1m]}
label:
  no_event: {table: visits, within: 30d, population: {table: visits, window: 60d}}
"""


def lake_of(folder, **visits):
    declared = yaml.safe_load(DECLARED)
    declared["tables"]["visits"] |= visits
    return Lake(folder / "lake", Contract.model_validate(declared))


def log(*events):
    """Events as (customer, day, spent), as validation hands them over."""
    rows = sorted((key, pd.Timestamp(day), spent) for key, day, spent in events)
    frame = pd.DataFrame(rows, columns=["customer", "day", "spent"])
    return frame.astype({"customer": "string[pyarrow]", "day": "datetime64[s]", "spent": "Int64"})


def deliver(lake, as_of, *events, derive=True):
    """Publish a drop with these events, and what the logs give other rows then; the months."""
    tables = lake_tables(lake.contract, {"visits": log(*events)}, as_of)
    arrived = instant(as_of) + dt.timedelta(hours=1)
    lake.publish(
        as_of, tables | DerivedTables(lake).of_drop(as_of, tables), arrived, f"drop {as_of}"
    )
    return derived(lake, arrived) if derive else None


def derived(lake, arrived):
    found = []
    for touched in DerivedTables(lake).touched():
        publication = lake.publish(touched.as_of, touched.tables, arrived, "drop")
        found.append((touched.as_of, publication.tables))
    return found


def rows(lake, as_of, view=None):
    return lake.tables(as_of, view)["visits"].set_index("customer").astype(float).to_dict("index")


def labels(lake, as_of):
    found = lake.tables(as_of)["inactivity"]
    return dict(zip(found["customer"], found["inactive"].astype(bool), strict=True))


def expected(events, as_of):
    """The window table of a month from all events, event by event."""
    month_start = {1: dt.date(2023, 12, 31), 2: MONTHS[0], 3: MONTHS[1], 4: MONTHS[2]}[as_of.month]
    found = {}
    for key, day, spent in events:
        if as_of - dt.timedelta(days=60) < day <= as_of:
            row = found.setdefault(key, {"visits_30d": 0.0, "spent_1m": 0.0})
            row["visits_30d"] += as_of - dt.timedelta(days=30) < day
            row["spent_1m"] += spent * (month_start < day)
    return found


def expected_labels(events, as_of):
    last = as_of + dt.timedelta(days=30)
    active = {key for key, day, _ in events if as_of < day <= last}
    return {key: key not in active for key in expected(events, as_of)}


@pytest.mark.parametrize("delivery", ["append", "replace"])
@pytest.mark.parametrize("seed", range(2))
def test_every_month_holds_what_all_events_give_however_late_they_came(tmp_path, delivery, seed):
    chance = random.Random(seed)
    first = dt.date(2023, 12, 1)
    events = {
        (f"c{chance.randrange(25)}", first + dt.timedelta(days=chance.randrange(150)), chance.randrange(9))
        for _ in range(250)
    }  # fmt: skip
    lake = lake_of(tmp_path, delivery=delivery)
    known = set()
    for as_of in MONTHS:
        due = {one for one in events - known if one[1] <= as_of}
        # One in ten arrives with a later drop.
        arriving = {one for one in due if chance.random() > 0.1 or as_of == MONTHS[-1]}
        known |= arriving
        deliver(lake, as_of, *(arriving if delivery == "append" else known))
        for month in MONTHS[: MONTHS.index(as_of) + 1]:
            assert rows(lake, month) == expected(known, month)
    for month in MONTHS[:3]:
        assert labels(lake, month) == expected_labels(known, month)
    assert not lake.has_labels(MONTHS[3])
    assert derived(lake, instant(MONTHS[3])) == []


EARLY = ("a", dt.date(2024, 1, 20), 5)
LATE = ("a", dt.date(2024, 1, 25), 7)
JUST = ("b", dt.date(2024, 1, 31), 2)


def test_a_late_event_corrects_the_months_that_it_touches_and_no_scoring(tmp_path):
    lake = lake_of(tmp_path)
    deliver(lake, MONTHS[0], EARLY, JUST)
    before = lake.digest(MONTHS[0])
    scored = lake.view(instant(dt.date(2025, 1, 1)), as_at_scoring=True)
    assert deliver(lake, MONTHS[1], ("b", dt.date(2024, 2, 3), 1), LATE) == [
        (MONTHS[0], ("visits",))
    ]
    assert rows(lake, MONTHS[0])["a"] == {"visits_30d": 2.0, "spent_1m": 12.0}
    assert lake.digest(MONTHS[0]) != before
    again = lake.view(instant(dt.date(2025, 1, 1)), as_at_scoring=True)
    assert rows(lake, MONTHS[0], again) == rows(lake, MONTHS[0], scored)
    assert rows(lake, MONTHS[0], again)["a"] == {"visits_30d": 1.0, "spent_1m": 5.0}


def test_labels_come_when_the_log_has_reached_the_end_of_the_wait(tmp_path):
    lake = lake_of(tmp_path)
    deliver(lake, MONTHS[0], EARLY, JUST)
    deliver(lake, MONTHS[1], ("b", dt.date(2024, 2, 3), 1))
    assert not lake.has_labels(MONTHS[0])  # known on 1 March
    assert (MONTHS[0], ("inactivity",)) in deliver(lake, MONTHS[2], ("c", dt.date(2024, 3, 3), 1))
    assert labels(lake, MONTHS[0]) == {"a": True, "b": False}
    assert lake.labels(MONTHS[0], instant(dt.date(2024, 2, 28))) is None
    assert lake.labels(MONTHS[0], instant(dt.date(2024, 3, 1)))["a"]


def test_the_last_day_of_the_wait_counts_and_the_next_does_not(tmp_path):
    lake = lake_of(tmp_path)
    deliver(lake, MONTHS[0], EARLY, JUST)
    deliver(lake, MONTHS[1])
    deliver(lake, MONTHS[2], ("a", dt.date(2024, 3, 1), 1), ("b", dt.date(2024, 3, 2), 1))
    assert labels(lake, MONTHS[0]) == {"a": False, "b": True}


def test_a_kill_between_the_drop_and_the_other_months_is_completed(tmp_path):
    lake = lake_of(tmp_path)
    deliver(lake, MONTHS[0], EARLY, JUST)
    deliver(lake, MONTHS[1], LATE, derive=False)
    assert rows(lake, MONTHS[0])["a"]["visits_30d"] == 1.0
    assert derived(lake, instant(MONTHS[1])) == [(MONTHS[0], ("visits",))]
    assert derived(lake, instant(MONTHS[1])) == []


def test_without_the_state_everything_is_made_again_and_nothing_is_published(tmp_path):
    lake = lake_of(tmp_path)
    deliver(lake, MONTHS[0], EARLY, JUST)
    deliver(lake, MONTHS[1], LATE)
    digests = [lake.digest(month) for month in lake.months()]
    (lake.folder / STATE_FILE).unlink()
    assert derived(lake, instant(MONTHS[1])) == []
    assert [lake.digest(month) for month in lake.months()] == digests


def test_customers_are_those_of_the_table_with_one_row_each(tmp_path):
    declared = yaml.safe_load(DECLARED)
    declared["tables"]["members"] = {"columns": {"age": {"dtype": "integer"}}}
    declared["feature_views"]["members"] = {"table": "members", "features": ["age"]}
    del declared["label"]["no_event"]["population"]
    lake = Lake(tmp_path / "lake", Contract.model_validate(declared))
    members = pd.DataFrame({"customer": ["a", "z"], "age": pd.array([30, 40], "Int64")})
    tables = lake_tables(lake.contract, {"visits": log(EARLY, JUST), "members": members}, MONTHS[0])
    lake.publish(
        MONTHS[0],
        tables | DerivedTables(lake).of_drop(MONTHS[0], tables),
        instant(MONTHS[0]),
        "drop",
    )
    assert rows(lake, MONTHS[0]) == {
        "a": {"visits_30d": 1.0, "spent_1m": 5.0},
        "z": {"visits_30d": 0.0, "spent_1m": 0.0},
    }


def test_a_drop_reads_the_earlier_files_of_its_log_only_once(tmp_path, monkeypatch):
    lake = lake_of(tmp_path)
    deliver(lake, MONTHS[0], EARLY, JUST)
    deliver(lake, MONTHS[1], LATE)
    read = []
    plain = log_files.days_of
    monkeypatch.setattr(log_files, "days_of", lambda path: read.append(path) or plain(path))
    deliver(lake, MONTHS[2], ("b", dt.date(2024, 3, 3), 1))
    assert len(read) == 1  # its own


def test_windows_of_a_drop_are_made_again_where_a_correction_was_not_known_at_scoring(tmp_path):
    counted = {"aggregate": "count", "window": "90d"}
    summed = {"aggregate": "sum", "of": "spent", "window": "3m"}
    lake = lake_of(tmp_path, windows={"visits_30d": counted, "spent_1m": summed})
    january, february, march = MONTHS[:3]
    deliver(lake, january, ("a", "2024-01-20", 1))
    deliver(lake, february, ("a", "2024-02-20", 2))
    later = instant(march) + dt.timedelta(days=60)
    corrected = lake_tables(lake.contract, {"visits": log(("a", "2024-01-20", 7))}, january)
    lake.publish(january, corrected, later, "corrected")
    derived(lake, later)
    one = DerivedTables(lake)
    tables = lake_tables(lake.contract, {"visits": log(("a", "2024-03-20", 4))}, march)
    made = one.of_drop(march, tables)
    lake.publish(march, tables | made, later, "march")
    assert rows(lake, march) == {"a": {"visits_30d": 3, "spent_1m": 7}}
    for touched in one.touched():
        lake.publish(touched.as_of, touched.tables, later, "march")
    assert rows(lake, march) == {"a": {"visits_30d": 3, "spent_1m": 13}}
