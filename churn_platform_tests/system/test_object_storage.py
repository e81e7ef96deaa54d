"""The whole loop with the lake on an object store: every number as with the lake in the home, and kills publish nothing."""

import datetime as dt
import itertools

import pytest

from churn_platform.base.files import read_json, sha256_file, write_json
from churn_platform.lake.lake import Lake
from churn_platform.lake.place import Place, object_name
from churn_platform.replay.home_replay import replay_home
from churn_platform.services import Services
from churn_platform_tests.logged_business import deliver_shop, published_shop
from churn_platform_tests.loop_steps import run
from churn_platform_tests.object_stores import new_place
from churn_platform_tests.real_months import FEBRUARY as REAL_FEBRUARY
from churn_platform_tests.real_months import JANUARY as REAL_JANUARY
from churn_platform_tests.real_months import open_home as open_real
from churn_platform_tests.real_months import run_all, take_in_month
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    MARCH,
    copied,
    deliver,
    make_home,
    month_tables,
    open_home,
)
from churn_platform_tests.system.crash_points import Command, points_of, survived

pytestmark = pytest.mark.slow
POINTS = 12
"""Kills of a month that is published; `ingestion.publish` passes some fifty points."""


def gym(folder, monkeypatch, uri: str) -> Services:
    """An empty home of the gym with its lake at a place, or in the home."""
    monkeypatch.setenv("CHURN_LAKE", uri)
    home = make_home(folder, now=lambda: dt.datetime(2024, 6, 1, 9, tzinfo=dt.UTC))
    monkeypatch.delenv("CHURN_LAKE")
    return open_home(folder, home.now)


def facts(home: Services) -> dict[str, object]:
    """What a home has come to, without what two equal homes write differently."""
    months = home.lake.months()
    scored = home.records.months("scores")
    return {
        "manifests": {
            path.name: path.read_text()
            for path in sorted((home.lake.folder / "snapshots").glob("*.json"))
        },
        "digests": {month: home.lake.snapshots(month) for month in months},
        "features": {month: home.lake.feature_digest(month) for month in months},
        "decisions": [
            (one["as_of"], one["decision"], one["candidate_digest"])
            for one in home.records.decisions()
        ],
        "scores": {month: home.records.read("scores", month)["list"] for month in scored},
        "lists": {
            str(path.relative_to(home.reports)): sha256_file(path)
            for path in sorted(home.reports.rglob("*.csv"))
        },
        "reports": sorted(str(path.relative_to(home.reports)) for path in home.reports.rglob("*")),
        "acts": [(one.act, one.subject) for one in home.ledger.receipts()],
        "production": home.releases.pointer().version,
    }


def entries(lake: Lake) -> list:
    return [
        entry
        for month in lake.months()
        for delivery in lake.deliveries(month)
        for entry in delivery.tables.values()
    ]


def without_copies(home: Services) -> None:
    """Delete every copy of a table of the lake."""
    files = [home.lake.folder / entry.file for entry in entries(home.lake)]
    assert files
    for file in files:
        file.unlink(missing_ok=True)
    assert not list(home.lake.folder.rglob("delivery-*.parquet"))


def named_by_their_content(place: Place, tmp_path) -> None:
    """No object has a content that another name has, or is not what its name says."""
    tmp_path.mkdir(exist_ok=True)
    for number, name in enumerate(place.objects()):
        copy = tmp_path / f"copy {number}"
        place._download(name, copy)
        assert f"-{sha256_file(copy)[:16]}." in name


@pytest.mark.usefixtures("object_server")
def test_a_home_with_its_lake_on_s3_comes_to_the_same_and_goes_on_without_its_copies(
    tmp_path, s3_uri, monkeypatch
):
    inside = gym(tmp_path / "inside" / "home", monkeypatch, "")
    on_s3 = gym(tmp_path / "on s3" / "home", monkeypatch, s3_uri)
    for month in (JANUARY, FEBRUARY):
        for home in (inside, on_s3):
            deliver(home, month)
            run(open_home(home.folder, home.now))
    assert facts(open_home(on_s3.folder)) == facts(open_home(inside.folder))
    assert len(facts(on_s3)["decisions"]) == 2
    place = Place(s3_uri)
    assert place.lacks(entries(on_s3.lake)) == []

    without_copies(on_s3)
    corrected = month_tables(FEBRUARY)
    corrected["visits"]["hours"] += 1
    for home in (inside, on_s3):
        deliver(home, FEBRUARY, corrected)
        deliver(home, MARCH)
        run(open_home(home.folder, home.now))
    assert facts(open_home(on_s3.folder)) == facts(open_home(inside.folder))
    assert len(on_s3.lake.deliveries(FEBRUARY)) == 2

    without_copies(on_s3)
    made_again = [open_home(h.folder).reproduction.reproduce(1) for h in (inside, on_s3)]
    assert made_again[0] == made_again[1]
    assert made_again[1].reproduced
    without_copies(on_s3)
    now = inside.now()
    replays = [
        replay_home(home.contract, home.labels, now, [])
        for home in (open_home(inside.folder), open_home(on_s3.folder))
    ]
    assert replays[0] == replays[1]
    named_by_their_content(place, tmp_path)


def test_a_shop_of_logs_derives_the_same_tables_on_s3_and_again_without_its_copies(
    shop_copy, tmp_path, s3_uri, monkeypatch
):
    monkeypatch.setenv("CHURN_LAKE", s3_uri)
    on_s3 = published_shop(tmp_path / "on s3")
    monkeypatch.delenv("CHURN_LAKE")
    assert on_s3.lake.place.uri == s3_uri
    may = dt.date(2024, 5, 31)
    for home in (shop_copy, on_s3):
        if home is on_s3:
            without_copies(on_s3)
        opened = open_home(home.folder, home.now)
        deliver_shop(opened, may)
        opened.ingestion.publish(may)
    for month in shop_copy.lake.months():
        assert on_s3.lake.snapshots(month) == shop_copy.lake.snapshots(month)
    assert may in on_s3.lake.months()
    named_by_their_content(Place(s3_uri), tmp_path)


def test_the_real_months_on_s3_are_decided_and_scored_as_in_the_home(
    february_home, object_server, tmp_path, monkeypatch
):
    uri = new_place()
    monkeypatch.setenv("CHURN_LAKE", uri)
    for month in (REAL_JANUARY, REAL_FEBRUARY):
        home = open_real(tmp_path / "home")
        take_in_month(home, month)
        run_all(home)
        monkeypatch.delenv("CHURN_LAKE", raising=False)
        without_copies(home)
    found, wanted = facts(open_real(home.folder)), facts(february_home)
    for changing in ("manifests", "reports"):  # they have the time of each run
        found.pop(changing)
        wanted.pop(changing)
    assert found == wanted


class Killed(BaseException):
    """Ends a command where it is, as a kill does."""


@pytest.mark.parametrize(
    "point", ["before the first", "after the first", "after the last", "before the receipt"]
)
def test_cut_off_while_it_publishes_to_s3_a_month_is_published_by_the_next_run(
    point, s3_uri, tmp_path, monkeypatch
):
    home = gym(tmp_path / "home", monkeypatch, s3_uri)
    deliver(home, JANUARY)
    count = itertools.count(1)
    put, write = Place.put, Lake._write

    def cut_off(place, source, entry) -> None:
        number = next(count)
        if point == "before the first":
            raise Killed
        put(place, source, entry)
        if (point, number) in (("after the first", 1), ("after the last", 3)):
            raise Killed

    def cut_off_after_the_manifest(lake, manifest) -> None:
        write(lake, manifest)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Place, "put", cut_off)
        if point == "before the receipt":
            patched.setattr(Lake, "_write", cut_off_after_the_manifest)
        with pytest.raises(Killed):
            home.ingestion.publish(JANUARY)
    published = point == "before the receipt"
    home = open_home(home.folder, home.now)
    assert home.lake.months() == ([JANUARY] if published else [])
    assert home.ledger.receipts("drop accepted") == []
    home.ingestion.publish(JANUARY)
    home = open_home(home.folder, home.now)
    without_copies(home)
    pd_tables = home.lake.tables(JANUARY)
    assert {name: len(table) for name, table in pd_tables.items()} == dict.fromkeys(
        home.contract.tables, 1500
    )
    assert [one.act for one in home.ledger.receipts()].count("drop accepted") == 1
    named_by_their_content(Place(s3_uri), tmp_path)


def test_killed_at_any_point_a_month_on_a_share_is_published_by_the_next_run(tmp_path, monkeypatch):
    """A real kill -9 of a fork, which a client of S3 does not survive; a share has the same steps."""
    start = gym(tmp_path / "start", monkeypatch, f"file://{tmp_path / 'share'}")
    deliver(start, JANUARY)

    def publish(home: Services) -> None:
        own = home.folder.with_suffix(".share")  # an object that is there is not written again
        own.mkdir(exist_ok=True)
        note = home.folder / "home.json"
        write_json(note, read_json(note) | {"lake": f"file://{own}"})
        open_home(home.folder, start.now).ingestion.publish(JANUARY)

    def nothing_half(home: Services) -> None:
        assert home.lake.place.lacks(entries(home.lake)) == []
        for month in home.lake.months():
            home.lake.tables(month)

    def told(home: Services) -> list:
        without_copies(home)
        home.lake.tables(JANUARY)
        named_by_their_content(home.lake.place, home.folder.with_suffix(".copies"))
        acts = [one.act for one in home.ledger.receipts()]
        return [home.lake.snapshots(JANUARY), len(home.lake.deliveries(JANUARY)), acts]

    command = Command("publish", start, publish, publish)
    passed, repeats = points_of(command, tmp_path)
    different = [number for number in range(len(passed)) if number not in repeats]
    about_objects = [n for n in different if object_part(passed[n])]
    assert len(about_objects) >= 6, passed
    points = sorted({*about_objects, *different[:: max(1, len(different) // POINTS)]})
    answers = dict(survived(command, points, tmp_path, nothing_half, told))
    undisturbed = copied(start, tmp_path / "undisturbed")
    publish(undisturbed)
    wanted = told(open_home(undisturbed.folder))
    wrong = {f"{n} {passed[n]}": found for n, found in answers.items() if found != wanted}
    assert not wrong, "\n".join(str(text) for text in wrong.items())


def object_part(point: str) -> bool:
    """Whether a point is the instant around the write of an object or a manifest."""
    return "delivery-" in point or point.endswith(f"{JANUARY}.json")


def test_a_server_that_is_started_again_between_two_months_has_every_file(
    tmp_path, s3_uri, object_server, monkeypatch
):
    home = gym(tmp_path / "home", monkeypatch, s3_uri)
    deliver(home, JANUARY)
    home.ingestion.publish(JANUARY)
    object_server.stop()
    object_server.start()
    home = open_home(home.folder, home.now)
    without_copies(home)
    deliver(home, FEBRUARY)
    assert home.ingestion.publish(FEBRUARY).kind == "first"
    assert home.lake.place.lacks(entries(home.lake)) == []
    assert object_name(*_file_and_digest(home)) in home.lake.place.objects()


def _file_and_digest(home: Services) -> tuple[str, str]:
    entry = home.lake.entries(JANUARY)["visits"]
    return entry.file, entry.sha256
