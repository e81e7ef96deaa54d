"""The files of a home's lake move to a place and back; each content is compared, each move has a receipt."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from churn_platform.base.errors import IntegrityError, StoreDown, UsageError
from churn_platform.base.home import VERSION_FILE
from churn_platform.cli.app import app
from churn_platform.lake.place import Place
from churn_platform.lake.place_files import published_files
from churn_platform.ledger.acts import LakeMoved
from churn_platform.maintenance.lake_move import LakeMove
from churn_platform.services import Services


@pytest.fixture
def home(january_copy: Services) -> Services:
    return january_copy


@pytest.fixture
def place(tmp_path) -> str:
    return f"file://{tmp_path / 'shared place' / 'lake'}"


def again(home: Services, **settings) -> Services:
    """The same home as another process opens it."""
    return home.with_settings(**settings)


def moves(home):
    found = [LakeMoved.of(receipt) for receipt in home.ledger.receipts("lake moved")]
    return [(one.before, one.after, one.files) for one in found]


def test_a_lake_moves_to_a_place_is_read_from_there_and_moves_back(home, place):
    digests = {month: home.lake.digest(month) for month in home.lake.months()}
    tables = {month: home.lake.tables(month) for month in digests}
    moved = home.lake_move.move(place)
    assert (moved.place, moved.missing) == (place, 0)
    assert moved.files == moved.here == len(Place(place).objects())
    assert json.loads((home.folder / VERSION_FILE).read_text())["layout"] == 2
    cleared = again(home).lake_move.clear()
    assert (cleared.here, cleared.missing) == (0, 0)

    opened = again(home)
    assert {month: opened.lake.digest(month) for month in opened.lake.months()} == digests
    for month, known in tables.items():
        for name, frame in opened.lake.tables(month).items():
            assert frame.equals(known[name])

    again(home).lake_move.clear()
    back = again(home).lake_move.move("home")
    assert (back.place, back.here, back.missing) == ("home", moved.files, 0)
    shutil.rmtree(place.removeprefix("file://"))
    assert again(home).lake_move.summary().missing == 0
    assert moves(home) == [("home", place, moved.files), (place, "home", moved.files)]
    assert json.loads((home.folder / VERSION_FILE).read_text())["layout"] == 1


def test_the_same_place_again_changes_nothing(home, place):
    home.lake_move.move(place)
    again(home).lake_move.move(f"{place}/")
    assert len(moves(home)) == 1


def test_a_move_that_was_cut_off_after_the_switch_gets_its_receipt_once(home, place, monkeypatch):
    with monkeypatch.context() as killed:
        killed.setattr(LakeMove, "finish", lambda self: None)
        home.lake_move.move(place)
    assert moves(home) == []
    opened = again(home)
    repaired = [one for one in opened.repairs.run() if one.what == "lake"]
    assert [one.done for one in repaired] == [True]
    assert [(before, after) for before, after, _ in moves(home)] == [("home", place)]
    assert again(home).lake_move.finish() is None


@pytest.mark.parametrize("broken", ["changed", "gone"])
def test_a_damaged_file_stops_the_move_and_the_lake_stays(home, place, broken):
    path = next(published_files(home.lake)).file.path
    if broken == "changed":
        path.write_bytes(path.read_bytes() + b"x")
    else:
        path.unlink()
    with pytest.raises(IntegrityError, match=path.name):
        home.lake_move.move(place)
    assert again(home).lake_uri == ""
    assert moves(home) == []


def test_a_place_that_cannot_be_written_leaves_the_lake(home, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreDown) as away:
        home.lake_move.move(f"file://{tmp_path}/file/lake")
    assert away.value.code == "LAKE_UNREACHABLE"
    assert again(home).lake_uri == ""


def test_the_setting_and_the_home_must_agree(home, place):
    with pytest.raises(UsageError, match="lake --move") as refused:
        again(home, lake=place).lake.months()
    assert refused.value.code == "LAKE_ELSEWHERE"
    again(home, lake=place).lake_move.move(place)
    assert again(home, lake=place).lake.months() == home.lake.months()
    with pytest.raises(UsageError):
        again(home, lake="s3://another/place").lake.months()


@pytest.mark.parametrize(
    "wrong", ["bucket/prefix", "s3://bucket", "ftp://host/x", "s3://", "s3://key:secret@bucket/x"]
)
def test_what_is_no_place_is_refused_without_showing_a_secret(home, wrong):
    with pytest.raises(UsageError) as refused:
        home.lake_move.move(wrong)
    assert refused.value.code == "SETTING_INVALID"
    assert "secret@" not in str(refused.value)


def test_clearing_keeps_what_the_place_does_not_have(home, place):
    home.lake_move.move(place)
    first = next(published_files(again(home).lake)).file
    again(home).lake.place.delete(first.entry.file, first.entry.sha256)
    cleared = again(home).lake_move.clear()
    assert (cleared.here, first.local.exists()) == (1, True)


def test_the_command_shows_moves_and_clears(home, place):
    def churn(*arguments):
        found = CliRunner().invoke(app, ["lake", *arguments, "--home", str(home.folder), "--json"])
        assert found.exit_code == 0, found.output
        return json.loads(found.stdout)

    assert churn()["place"] == "home"
    assert churn("--move", place)["place"] == place
    assert churn("--clear")["here"] == 0
    both = CliRunner().invoke(
        app, ["lake", "--clear", "--move", "home", "--home", str(home.folder)]
    )
    assert both.exception.code == "OPTIONS_CONFLICT"


def test_status_and_the_list_answer_while_the_place_is_away(home, place):
    def answers(opened):
        warnings = opened.month_warnings.of_months(opened.lake.months())
        return warnings, opened.status.now().as_json()

    before = answers(again(home))
    home.lake_move.move(place)
    again(home).lake_move.clear()
    shutil.move(place.removeprefix("file://"), home.folder.parent / "unmounted")
    with pytest.raises(StoreDown):
        again(home).lake.tables(home.lake.months()[-1])
    warnings, state = answers(again(home))
    assert warnings == before[0]
    assert state.keys() - {"lake"} == before[1].keys()
