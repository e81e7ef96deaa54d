"""The lake: every delivery is kept, and a view shows what was known at an instant, nothing later."""

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

from churn_platform.base.errors import UsageError
from churn_platform.ingestion.rules import conform
from churn_platform.lake.deliveries import Quarantine, QuarantineRecord
from churn_platform.lake.lake import Lake, instant
from churn_platform_tests.small_business import FEBRUARY, JANUARY, declared, month_tables

ARRIVED = dt.datetime(2024, 2, 1, 6, 30, 15, 123456, tzinfo=dt.UTC)
FAR = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


def tables(as_of=JANUARY, customers=6, **changes):
    """A small month, typed as validation types it; `hours=9.0` sets that column of the table that has it."""
    raw = month_tables(as_of, customers)
    for column, value in changes.items():
        for table in raw.values():
            if column in table:
                table[column] = value
    return {name: conform(declared(), name, table)[0] for name, table in raw.items()}


def only(found, *names):
    return {name: found[name] for name in names}


@pytest.fixture
def lake(tmp_path, small_contract):
    return Lake(tmp_path / "lake", small_contract)


def files(lake):
    """Every file of the lake with its bytes and its inode, which a rewrite changes."""
    found = [path for path in lake.folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(lake.folder): (path.read_bytes(), path.stat().st_ino) for path in found
    }


def hours_known(lake, at, *, as_at_scoring):
    """The hours that a view shows for January; None where it shows no file."""
    file = lake.view(at, as_at_scoring=as_at_scoring)["visits"].get(JANUARY)
    return None if file is None else lake.read(file.path)["hours"].iloc[1]


def test_a_first_delivery_is_published_whole_and_read_back_equal(lake):
    delivered = tables()
    publication = lake.publish(JANUARY, delivered, ARRIVED, "fingerprint")
    assert (publication.kind, publication.tables) == ("first", ("members", "visits", "leavers"))
    assert publication.rows == {"members": 6, "visits": 6, "leavers": 6}
    assert lake.months() == [JANUARY]
    assert lake.fingerprint(JANUARY) == "fingerprint"
    assert lake.digest(JANUARY) == publication.digest
    for name, frame in lake.tables(JANUARY).items():
        pd.testing.assert_frame_equal(frame.astype(delivered[name].dtypes), delivered[name])


def test_changed_tables_are_a_correction_with_its_arrival_beside_the_old_file(lake):
    first = lake.publish(JANUARY, tables(), ARRIVED, "f")
    before = files(lake)
    later = ARRIVED + dt.timedelta(days=30)
    second = lake.publish(JANUARY, tables(hours=9.0), later, "g")
    assert (second.kind, second.tables) == ("correction", ("visits",))
    assert second.digest != first.digest
    kept = {path: content for path, content in before.items() if path.suffix == ".parquet"}
    assert kept.items() <= files(lake).items()
    one, two = lake.deliveries(JANUARY)
    assert (one.number, one.kind, one.tables["visits"].created) == (1, "first", instant(JANUARY))
    assert (two.number, two.kind, two.arrived) == (2, "correction", later)
    assert two.tables["visits"].created == later
    assert lake.tables(JANUARY)["visits"]["hours"].tolist() == [9.0] * 6


def test_labels_that_come_later_are_an_addition_known_from_maturity(tmp_path):
    contract = declared(label={"table": "leavers", "column": "has_left", "horizon": {"months": 1}})
    lake, delivered = Lake(tmp_path, contract), tables()
    lake.publish(JANUARY, only(delivered, "members", "visits"), ARRIVED, "f")
    assert not lake.has_labels(JANUARY)
    assert lake.labelled() == set()
    added = lake.publish(JANUARY, only(delivered, "leavers"), ARRIVED + dt.timedelta(days=200), "g")
    assert (added.kind, added.tables) == ("addition", ("leavers",))
    assert lake.labelled() == {JANUARY}
    mature = instant(FEBRUARY)
    assert lake.labels(JANUARY, mature - dt.timedelta(microseconds=1)) is None
    known = lake.labels(JANUARY, mature)
    assert known.tolist() == delivered["leavers"]["has_left"].tolist()
    assert known.index.tolist() == delivered["leavers"]["member"].tolist()


@pytest.mark.parametrize(("days", "in_training"), [(2, True), (5, True), (6, False), (400, False)])
def test_training_sees_a_correction_within_the_delivery_days_and_none_after(
    lake, days, in_training
):
    lake.publish(JANUARY, tables(hours=1.0), ARRIVED, "f")
    arrived = instant(JANUARY) + dt.timedelta(days=days)
    lake.publish(JANUARY, tables(hours=9.0), arrived, "g")
    assert hours_known(lake, FAR, as_at_scoring=True) == (9.0 if in_training else 1.0)
    assert hours_known(lake, FAR, as_at_scoring=False) == 9.0
    just_before = arrived - dt.timedelta(microseconds=1)
    assert hours_known(lake, just_before, as_at_scoring=False) == 1.0
    assert hours_known(lake, arrived, as_at_scoring=False) == 9.0
    assert hours_known(lake, just_before, as_at_scoring=True) == 1.0


def test_a_first_delivery_is_known_at_its_as_of_however_late_it_is_loaded(lake):
    lake.publish(JANUARY, tables(hours=1.0), FAR, "f")
    assert hours_known(lake, instant(JANUARY), as_at_scoring=True) == 1.0
    assert (
        hours_known(lake, instant(JANUARY) - dt.timedelta(microseconds=1), as_at_scoring=True)
        is None
    )


def test_a_month_ahead_of_the_clock_is_known_when_it_arrives(lake):
    early = instant(JANUARY) - dt.timedelta(days=700)
    lake.publish(JANUARY, tables(hours=1.0), early, "f")
    assert hours_known(lake, early, as_at_scoring=True) == 1.0
    assert hours_known(lake, early - dt.timedelta(microseconds=1), as_at_scoring=True) is None
    assert len(lake.labels(JANUARY, early)) == 6


def test_the_labels_corrected_after_the_delivery_days_are_used_for_training(lake):
    lake.publish(JANUARY, tables(has_left=False), ARRIVED, "f")
    late = instant(JANUARY) + dt.timedelta(days=90)
    lake.publish(JANUARY, tables(has_left=True), late, "g")
    assert lake.labels(JANUARY, late).all()
    assert not lake.labels(JANUARY, late - dt.timedelta(days=1)).any()
    assert (
        lake.view(late, as_at_scoring=True)["leavers"][JANUARY].path.name == "delivery-0002.parquet"
    )


def test_labels_as_numbers_are_booleans_and_unknown_ones_are_left_out(tmp_path):
    table = {"columns": {"has_left": {"dtype": "integer", "nullable": True}}}
    contract = declared(tables=declared().as_mapping()["tables"] | {"leavers": table})
    lake, delivered = Lake(tmp_path, contract), tables()
    delivered["leavers"]["has_left"] = pd.array([1, 0, None, 1, 0, 0], "Int64")
    lake.publish(JANUARY, delivered, ARRIVED, "f")
    assert lake.labels(JANUARY, FAR).tolist() == [True, False, True, False, False]


def test_a_file_that_no_manifest_names_is_never_read(lake):
    lake.publish(JANUARY, tables(hours=1.0), ARRIVED, "f")
    known = lake.view(FAR, as_at_scoring=False)["visits"][JANUARY]
    stray = Lake(lake.folder.parent / "other", lake.contract)
    stray.publish(JANUARY, tables(hours=9.0), ARRIVED, "f")
    content = stray.view(FAR, as_at_scoring=False)["visits"][JANUARY].path.read_bytes()
    folder = known.path.parent
    (folder / "delivery-0002.parquet").write_bytes(content)
    (folder.parent / "as_of=2024-02-29").mkdir()
    (folder.parent / "as_of=2024-02-29" / "delivery-0001.parquet").write_bytes(content)
    assert lake.months() == [JANUARY]
    assert lake.view(FAR, as_at_scoring=False)["visits"] == {JANUARY: known}
    assert lake.tables(JANUARY)["visits"]["hours"].tolist() == [1.0] * 6
    assert lake.publish(JANUARY, tables(hours=2.0), ARRIVED, "g").kind == "correction"
    assert lake.tables(JANUARY)["visits"]["hours"].tolist() == [2.0] * 6


class PowerCut(Exception):
    """Raised where a process would die."""


@pytest.mark.parametrize(
    "after", [0, 1, 2, 3], ids=["no table", "one table", "two tables", "all but the manifest"]
)
@pytest.mark.parametrize("known", [False, True], ids=["first", "correction"])
def test_a_crash_before_the_manifest_publishes_nothing(lake, monkeypatch, after, known):
    if known:
        lake.publish(JANUARY, tables(), ARRIVED, "f")
    before = (
        {path: content for path, content in files(lake).items() if path.suffix == ".json"}
        if known
        else {}
    )
    corrected, replace, done = tables(hours=9.0, months=7, has_left=True), Path.replace, []

    def cut(source, target):
        if len(done) == after:
            raise PowerCut
        done.append(target)
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", cut)
    with pytest.raises(PowerCut):
        lake.publish(JANUARY, corrected, ARRIVED, "g")
    monkeypatch.undo()
    assert {
        path: content for path, content in files(lake).items() if path.suffix == ".json"
    } == before
    assert lake.months() == ([JANUARY] if known else [])
    assert lake.publish(JANUARY, corrected, ARRIVED, "g").kind == (
        "correction" if known else "first"
    )
    for name, frame in lake.tables(JANUARY).items():
        pd.testing.assert_frame_equal(frame.astype(corrected[name].dtypes), corrected[name])


def test_a_month_that_was_never_published_is_said_with_those_that_were(lake):
    lake.publish(JANUARY, tables(), ARRIVED, "f")
    with pytest.raises(UsageError, match=r"2024-02-29.*2024-01-31") as unknown:
        lake.tables(FEBRUARY)
    assert unknown.value.code == "MONTH_UNKNOWN"


def test_months_are_ordered_and_a_view_names_every_table(lake):
    lake.publish(FEBRUARY, tables(FEBRUARY), ARRIVED, "f")
    lake.publish(JANUARY, only(tables(), "members", "visits"), ARRIVED, "f")
    assert lake.months() == [JANUARY, FEBRUARY]
    view = lake.view(FAR, as_at_scoring=True)
    assert {name: list(found) for name, found in view.items()} == {
        "members": [JANUARY, FEBRUARY],
        "visits": [JANUARY, FEBRUARY],
        "leavers": [FEBRUARY],
    }
    assert list(lake.tables(JANUARY, view)) == ["members", "visits"]


def test_an_unknown_month_has_no_fingerprint_and_no_labels(lake):
    assert lake.fingerprint(JANUARY) is None
    assert not lake.has_labels(JANUARY)
    assert lake.labels(JANUARY, FAR) is None
    assert lake.deliveries(JANUARY) == ()


# Rows put aside

ASIDE = Quarantine(
    "row,reasons\n2,why\n",
    QuarantineRecord(rows=7, quarantined=1, duplicates=0, reasons=("why",)),
)
REPEATED = Quarantine("", QuarantineRecord(rows=8, quarantined=0, duplicates=2, reasons=()))


def test_the_same_tables_and_rows_put_aside_again_change_nothing(lake):
    first = lake.publish(JANUARY, tables(), ARRIVED, "f", {"visits": ASIDE})
    before = files(lake)
    again = lake.publish(JANUARY, tables(), ARRIVED + dt.timedelta(days=9), "g", {"visits": ASIDE})
    assert (again.kind, again.digest, files(lake)) == ("unchanged", first.digest, before)
    assert lake.fingerprint(JANUARY) == "f"
    lake.acknowledge(JANUARY, "g")
    assert lake.fingerprint(JANUARY) == "g"


def test_other_rows_put_aside_leave_the_table_where_and_since_when_it_was(lake):
    first = lake.publish(JANUARY, tables(), ARRIVED, "f", {"visits": ASIDE})
    later = ARRIVED + dt.timedelta(days=90)
    other = Quarantine("row,reasons\n3,other\n", ASIDE.record)
    second = lake.publish(JANUARY, tables(), later, "g", {"visits": other})
    assert (second.kind, second.tables, second.digest) == ("correction", ("visits",), first.digest)
    one, two = (delivery.tables["visits"] for delivery in lake.deliveries(JANUARY))
    changed = {"quarantine": None}
    assert one.model_copy(update=changed) == two.model_copy(update=changed)
    assert two.quarantine.digest == other.digest
    assert hours_known(lake, FAR, as_at_scoring=True) == hours_known(lake, FAR, as_at_scoring=False)
    assert lake.publish(JANUARY, tables(), later, "h").kind == "correction"
    assert lake.quarantines(JANUARY) == {}


def test_the_keys_of_a_month_are_those_of_its_tables_as_newest_known(lake):
    lake.publish(JANUARY, tables(customers=6), ARRIVED, "f")
    lake.publish(JANUARY, only(tables(customers=3), "visits"), ARRIVED, "g")
    assert {name: len(keys) for name, keys in lake.keys(JANUARY).items()} == {
        "members": 6,
        "visits": 3,
        "leavers": 6,
    }
    assert lake.keys(JANUARY)["visits"].tolist() == ["m00000", "m00001", "m00002"]
    assert lake.keys(FEBRUARY) == {}
