"""`churn doctor` of a lake with a place: copies and objects repair each other, and what nobody names goes."""

import json
import os
import time

import pytest

from churn_platform.lake.place import USER_FILE
from churn_platform_tests.maintenance.test_checkup import found
from churn_platform_tests.placed_homes import (
    at_place,
    cleared,
    copies,
    folder_of,
    gone,
    objects,
    placed,
)
from churn_platform_tests.small_business import FEBRUARY, JANUARY, copied, open_home
from churn_platform_tests.system.trusted_home import flip, verification

TWO_DAYS = 2 * 24 * 3600


@pytest.fixture
def home(february, tmp_path):
    """Two months, their files at a place, all copies here."""
    return placed(february, tmp_path / "home", tmp_path / "place")


def fixed(home):
    return [(one.what, one.done) for one in open_home(home.folder).repairs.run()]


def unnamed(home, age=TWO_DAYS):
    """An object that a run that was cut off left."""
    path = (
        folder_of(home) / "visits" / "as_of=2024-03-31" / "delivery-0001-0123456789abcdef.parquet"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def restored(home, folder):
    """A home that was restored from a backup and has published since: another user of the place."""
    other = copied(home, folder)
    (other.lake.folder / USER_FILE).unlink()
    open_home(folder).lake.place.join()
    return open_home(folder)


@pytest.mark.parametrize("here", [True, False])
def test_a_lake_at_a_place_needs_nothing(home, here):
    if not here:
        home = cleared(home)
    checks = found(home)
    assert checks["lake"][0] == checks["lake place"][0] == "ok"
    assert home.lake_uri in checks["lake place"][1]
    assert fixed(home) == []


def test_a_file_that_is_here_and_not_there_is_put_again_with_a_receipt(home):
    before = objects(home)
    at_place(home, "visits", FEBRUARY).unlink()
    at_place(home, "members", FEBRUARY).write_bytes(b"cut")
    assert found(home)["lake place"][0] == "error"
    assert fixed(home) == [("lake", True)] * 2
    assert objects(home) == before
    assert [one.subject for one in home.ledger.receipts("recovery")] == ["lake"] * 2
    assert fixed(home) == []


def test_a_copy_that_is_damaged_is_not_put_there(home):
    at_place(home, "visits", FEBRUARY).unlink()
    for path in copies(home):
        flip(path)
    before = objects(home)
    outcome = fixed(home)
    assert outcome.count(("lake", False)) == 1
    assert objects(home) == before


def test_a_damaged_copy_is_fetched_again(home):
    damaged = copies(home)[0]
    content = damaged.read_bytes()
    flip(damaged)
    assert fixed(home) == [("lake", True)]
    assert damaged.read_bytes() == content
    assert verification(home, deep=True)["breaks"] == []


def test_a_file_that_is_neither_here_nor_there_is_named(home):
    at_place(home, "visits", FEBRUARY).unlink()
    home = cleared(home)
    state, fact = found(home)["lake"]
    assert state == "error"
    assert f"{FEBRUARY} visits" in fact
    [lost] = open_home(home.folder).repairs.run()
    assert (lost.what, lost.done) == ("lake", False)
    assert f"visits of {FEBRUARY}" in lost.says


def test_a_place_that_does_not_answer_is_an_error_and_nothing_is_changed(home):
    home = cleared(home)
    gone(home)
    assert found(home)["lake place"][0] == "error"
    assert fixed(home) == [("lake", False)]


def test_what_no_manifest_names_is_deleted_after_a_day(home):
    young = unnamed(home, age=60)
    assert found(home)["lake place"][0] == "warn"
    assert fixed(home) == []
    assert young.exists()
    old = unnamed(home)
    assert fixed(home) == [("lake", True)]
    assert not old.exists()
    assert found(home)["lake place"][0] == "ok"


@pytest.mark.parametrize("how", ["gone", "unreadable"])
def test_nothing_is_deleted_while_a_manifest_is_lost(home, how):
    manifest = home.lake.folder / "snapshots" / f"{JANUARY}.json"
    if how == "gone":
        manifest.unlink()
    else:
        manifest.write_text("{")
    for path in folder_of(home).rglob("*.parquet"):
        os.utime(path, (0, 0))
    before = objects(home)
    assert ("lake", False) in fixed(home)
    assert objects(home) == before


def test_nothing_is_deleted_that_another_home_may_have_put_there(home, tmp_path):
    home.lake.place.join()
    other = restored(home, tmp_path / "other")
    old = unnamed(home)
    for one in (home, other):
        assert found(one)["lake place"][0] == "warn"
        [left] = open_home(one.folder).repairs.run()
        assert (left.what, left.done) == ("lake", False)
    assert old.exists()
    [note] = home.lake.place.other_homes()
    assert note in left.says or other.lake.place.other_homes()
    other.lake.place.leave()
    assert fixed(home) == [("lake", True)]
    assert not old.exists()


def test_a_home_is_noted_at_its_place_once_under_a_name_that_stays_when_its_folder_moves(home):
    notes = list((folder_of(home) / ".homes").iterdir())
    assert len(notes) == 1
    assert json.loads(notes[0].read_text())["home"] == str(home.folder)
    moved = home.folder.with_name("moved")
    home.folder.rename(moved)
    open_home(moved).lake.place.join()
    assert list((folder_of(open_home(moved)) / ".homes").iterdir()) == notes
    assert open_home(moved).lake.place.other_homes() == {}


def test_a_lake_that_moves_on_takes_its_note_along(home, tmp_path):
    first = home.lake.place
    home.lake_move.move(f"file://{tmp_path / 'second'}")
    assert first.other_homes() == {}
    assert not list((tmp_path / "place" / ".homes").glob("*.json"))
    assert len(list((tmp_path / "second" / ".homes").glob("*.json"))) == 1
