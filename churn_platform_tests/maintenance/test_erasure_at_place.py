"""A customer is erased at the place of the lake too, whatever was on the disk and wherever the command is killed."""

import os
import signal

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from churn_platform.base.errors import IntegrityError, StoreDown, UsageError
from churn_platform.cli.app import app
from churn_platform.lake.place_files import published_files
from churn_platform_tests.maintenance.test_erasure import KEY, erase, places
from churn_platform_tests.maintenance.test_place_upkeep import restored, unnamed
from churn_platform_tests.placed_homes import (
    at_place,
    back,
    cleared,
    copies,
    folder_of,
    gone,
    objects,
    placed,
)
from churn_platform_tests.small_business import FEBRUARY, JANUARY, open_home
from churn_platform_tests.system.crash_points import Counter, ended, forked
from churn_platform_tests.system.trusted_home import flip, verification

POINTS = 8
"""How many points of an erasure are tried by default."""


@pytest.fixture
def home(february, tmp_path):
    """Two months, their files at a place, all copies here."""
    return placed(february, tmp_path / "home", tmp_path / "place")


def named_at_place(home, key=KEY):
    """The objects with a row of a customer."""
    root = folder_of(home)
    return [
        name
        for name in objects(home)
        if not name.endswith(".tmp")
        and any(key in row.values() for row in pq.read_table(root / name).to_pylist())
    ]


def assert_erased(home, key=KEY):
    """No file of the home and no object names the customer, every object is as a manifest records it."""
    home = open_home(home.folder)
    assert places(home, key) == []
    assert named_at_place(home, key) == []
    complete = {name for name in objects(home) if not name.endswith(".tmp")}
    assert complete == {one.object_name for one in published_files(home.lake)}
    assert verification(home, deep=True)["breaks"] == []
    assert home.progress().next_step() is None
    assert len(home.ledger.receipts("customer forgotten")) == 1
    assert open_home(home.folder).repairs.run() == []


@pytest.mark.parametrize("here", ["all", "none", "some"])
def test_a_customer_is_erased_at_the_place_whatever_was_on_the_disk(home, here):
    assert len(named_at_place(home)) == len(objects(home))
    if here != "all":
        home = cleared(home)
    if here == "some":
        home.lake.tables(FEBRUARY)
    found = erase(home)
    assert found.rows["lake"] > 0
    assert (found.unread, found.changed) == ([], [])
    assert_erased(home)


def test_an_erased_home_reads_the_new_objects(home):
    erase(home)
    home = cleared(home)
    assert KEY not in set(home.lake.tables(JANUARY)["members"]["member"])
    assert verification(home, deep=True)["breaks"] == []


def test_a_second_customer_is_erased_from_a_home_without_copies(home):
    erase(home)
    other = "m00009"
    erase(cleared(home), other)
    assert named_at_place(home, other) == named_at_place(home) == []
    assert set(objects(home)) == {
        one.object_name for one in published_files(open_home(home.folder).lake)
    }


def test_a_damaged_copy_hides_no_row_of_the_object(home):
    for path in copies(home):
        flip(path)
    erase(home)
    assert_erased(home)


def test_what_a_cut_off_run_left_at_the_place_goes_too(home):
    left = unnamed(home, age=0)
    left.write_bytes(at_place(home, "visits", FEBRUARY).read_bytes())
    erase(home)
    assert not left.exists()
    assert_erased(home)


def test_a_half_fetched_copy_goes_too(home):
    cut = copies(home)[0].with_name(".delivery-0001.parquet.0123.tmp")
    cut.write_bytes(b"")
    erase(home)
    assert not cut.exists()


def test_objects_of_a_lost_manifest_are_no_leftovers(home):
    (home.lake.folder / "snapshots" / f"{JANUARY}.json").unlink()
    before = objects(home)
    with pytest.raises(IntegrityError):
        erase(home)
    assert objects(home) == before


def test_a_place_that_another_home_uses_is_refused_before_anything_changes(home, tmp_path):
    other = restored(home, tmp_path / "other")
    before = objects(home)
    for one in (home, other):
        with pytest.raises(UsageError) as refused:
            erase(one)
        assert refused.value.code == "LAKE_SHARED"
    [(note, folder)] = home.lake.place.other_homes().items()
    assert folder == str(other.folder)
    assert note in str(refused.value) or str(home.folder) in str(refused.value)
    assert objects(home) == before
    other.lake.place.leave()
    erase(open_home(home.folder))
    assert_erased(home)


def test_a_place_that_does_not_answer_is_refused_before_anything_changes(home):
    gone(home)
    before = places(home, KEY)
    with pytest.raises(StoreDown):
        erase(home)
    back(home)
    assert places(home, KEY) == before
    assert not (home.folder / "forgetting").exists()


def test_a_place_that_stops_answering_after_the_plan_is_completed_later(home, monkeypatch):
    from churn_platform.maintenance import erasure

    def unmounted(*_):
        gone(home)

    monkeypatch.setattr(erasure, "put_changed", unmounted)
    with pytest.raises(StoreDown):
        erase(home)
    monkeypatch.undo()
    back(home)
    # What was put in place is put at the place from there.
    open_home(home.folder).erasure.finish()
    assert_erased(home)


def test_the_answer_names_the_place(home):
    run = CliRunner().invoke(app, ["forget", KEY, "--by", "ann", "--home", str(home.folder)])
    assert run.exit_code == 0, run.output
    assert home.lake_uri in run.output.replace("\n", "")


@pytest.mark.slow
def test_an_erasure_that_is_killed_anywhere_is_completed(february, tmp_path):
    def at(name):
        return placed(february, tmp_path / name, tmp_path / f"place-{name}")

    counted = cleared(at("counted"))
    seen = tmp_path / "points"

    def count():
        counter = Counter()
        counter.install()
        erase(open_home(counted.folder))
        seen.write_text("\n".join(counter.seen))

    assert ended(forked(count, tmp_path / "log")) == 0, (tmp_path / "log").read_text()
    points = seen.read_text().splitlines()
    chosen = range(len(points))
    if os.environ.get("CHURN_CRASH_POINTS") != "all":
        chosen = chosen[:: max(1, len(points) // POINTS)]
    for point in chosen:
        home = cleared(at(f"home{point}"))

        def die(home=home, point=point):
            counter = Counter(point)
            counter.install()
            erase(open_home(home.folder))

        log = tmp_path / f"{point}.log"
        assert ended(forked(die, log)) in (-signal.SIGKILL, 0), log.read_text()
        home = open_home(home.folder)
        for month in home.lake.months():
            home.lake.tables(month)  # readable at every instant
        if not home.ledger.receipts("customer forgotten"):
            try:
                erase(home)
            except UsageError as done:  # completed first, then unknown
                assert done.code == "CUSTOMER_UNKNOWN"  # noqa: PT017
        home.erasure.finish()  # the receipt is there and the plan may be: the next run ends it
        assert_erased(home)
