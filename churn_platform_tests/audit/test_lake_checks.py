"""A lake with a place is verified where its files are, and leaves no copies behind."""

import json

import pytest
from typer.testing import CliRunner

from churn_platform.cli.app import app
from churn_platform.lake.place_files import published_files
from churn_platform_tests.placed_homes import at_place, back, cleared, copies, gone, placed
from churn_platform_tests.small_business import FEBRUARY, JANUARY, open_home
from churn_platform_tests.system.trusted_home import flip, verification


@pytest.fixture
def home(february, tmp_path):
    """Two months, their files at a place, all copies here."""
    return placed(february, tmp_path / "home", tmp_path / "place")


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("here", [True, False])
def test_a_lake_at_a_place_verifies_and_nothing_is_fetched_into_the_home(home, here, deep):
    if not here:
        home = cleared(home)
    before = copies(home)
    found = verification(home, deep=deep)
    assert (found["breaks"], found["not_verified"]) == ([], [])
    assert "lake" in [one["check"] for one in found["findings"]]
    assert copies(home) == before


@pytest.mark.parametrize("deep", [False, True])
def test_an_object_that_is_gone_is_a_break_where_there_is_no_copy(home, deep):
    lost = at_place(home, "visits", FEBRUARY)
    lost.unlink()
    if not deep:
        assert verification(home)["breaks"] == []  # `churn doctor` names it
    found = verification(cleared(home), deep=deep)
    [fault] = found["breaks"]
    assert lost.name in fault


@pytest.mark.parametrize("here", [True, False])
def test_one_flipped_bit_of_an_object_is_found_by_the_deep_verification_alone(home, here):
    changed = at_place(home, "members", JANUARY)
    flip(changed)
    if not here:
        home = cleared(home)
    assert verification(home)["breaks"] == []
    [fault] = verification(home, deep=True)["breaks"]
    assert changed.name in fault


def test_a_damaged_copy_is_found_and_its_object_holds(home):
    damaged = copies(home)[0]
    flip(damaged)
    [fault] = verification(home, deep=True)["breaks"]
    assert str(damaged) in fault


def test_content_that_is_not_what_the_manifest_records_is_found_at_the_place(home):
    manifest = home.lake.folder / "snapshots" / f"{JANUARY}.json"
    [digest] = {
        one.file.entry.digest
        for one in published_files(home.lake)
        if (one.table, one.as_of) == ("visits", JANUARY)
    }
    manifest.write_text(manifest.read_text().replace(digest, "0" * 64))
    faults = verification(cleared(home), deep=True)["breaks"]
    assert any(digest[:12] in fault and "0" * 12 in fault for fault in faults)


@pytest.mark.parametrize("deep", [False, True])
def test_a_place_that_does_not_answer_is_not_verified_and_no_break(home, deep):
    home = cleared(home)
    gone(home)
    found = verification(home, deep=deep)
    assert found["breaks"] == []
    assert not found["verified"]
    assert any(home.lake_uri in one for one in found["not_verified"])
    back(home)
    assert verification(home, deep=deep)["verified"]


def test_faults_on_the_disk_are_found_while_the_place_does_not_answer(home):
    first, *_ = copies(home)
    flip(first)
    gone(home)
    found = verification(home, deep=True)
    assert any(str(first) in fault for fault in found["breaks"])
    assert found["not_verified"]


def test_a_version_is_reproduced_from_a_home_without_copies(home):
    home = cleared(home)
    assert home.reproduction.reproduce(2).reproduced


def test_what_changed_is_named_where_an_object_is_gone(home):
    at_place(home, "visits", FEBRUARY).unlink()
    found = open_home(cleared(home).folder).reproduction.reproduce(2)
    assert not found.reproduced
    assert len(found.changed) == 1


def test_the_command_reads_everything_and_leaves_no_copy(home):
    home = cleared(home)
    asked = ["verify", "--deep", "--home", str(home.folder), "--json"]
    run = CliRunner().invoke(app, asked, env={"CHURN_API_PORT": "1"})
    assert json.loads(run.stdout)["verified"], run.output
    assert copies(home) == []


def test_the_status_names_the_place(home, february):
    assert home.status.now().as_json()["lake"] == home.lake_uri
    assert "lake" not in february.status.now().as_json()
    run = CliRunner().invoke(app, ["status", "--home", str(home.folder)])
    assert home.lake_uri in run.output.replace("\n", "")
