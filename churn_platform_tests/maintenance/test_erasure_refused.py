"""An erasure that cannot be carried out changes nothing; one that was cut off is completed."""

import json
import os
import shutil

import pandas as pd
import pytest

from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.maintenance.erasure import FOLDER, Erasure
from churn_platform_tests.small_business import FEBRUARY, JANUARY, open_home
from churn_platform_tests.system.file_modes import not_writable
from churn_platform_tests.system.small_disk import small_disk

KEY = "m00004"


@pytest.fixture
def home(february_copy):
    """Two months, two versions, the second in production."""
    return february_copy


@pytest.fixture
def planned(home, monkeypatch):
    """The same home, in which a kill came right after the plan was written."""
    with monkeypatch.context() as patched:
        patched.setattr(Erasure, "carry_out", lambda *_: None)
        erase(home)
    return open_home(home.folder)


def erase(home, user=KEY, by="ann", reason="asked"):
    return home.erasure.erase(user, by, reason)


def state(home):
    """Every file that a mere look does not write, with its time and size."""
    changing = {".lock", ".db"}
    paths = (path for path in home.folder.rglob("*") if path.suffix not in changing)
    files = {path: path.stat() for path in paths if path.is_file() and not path.is_symlink()}
    return {path: (found.st_mtime_ns, found.st_size) for path, found in files.items()}


def test_what_the_ledger_cannot_keep_is_refused_before_anything_changes(home):
    before = state(home)
    for user, by, reason, said in (
        (KEY, "", "x", "must not be empty"),
        (KEY, "ann", " ", "must not be empty"),
        (KEY, "Ren\udce9", "x", r"--by Ren\\udce9 is not UTF-8"),
        (KEY, "ann", "x\ud800", r"--reason x\\ud800 is not UTF-8"),
        (KEY, KEY, "x", "--by names the customer"),
        (KEY, "ann", f"Letter of {KEY.upper()}.", "--reason names the customer"),
        ("", "ann", "x", "'' is not a valid member"),
        ("m\udce9", "ann", "x", "is not a valid member"),
    ):
        with pytest.raises(UsageError, match=said):
            erase(home, user, by, reason)
        assert state(home) == before
    assert home.erasure.erase(KEY, "ann", f"The letter of {KEY}0.").rows["drops"] == 6


def test_the_receipt_is_made_before_the_plan_is(home, monkeypatch):
    """Whatever no receipt can hold: it is found while nothing has changed."""
    monkeypatch.setattr(Erasure, "trained_versions", lambda *_: ([float("nan")], []))
    before = state(home)
    with pytest.raises(ValueError, match="versions"):
        erase(home)
    assert state(home) == before


def test_a_ledger_that_takes_no_receipt_any_more_is_no_reason_to_begin(home):
    lines = home.ledger.file.read_bytes().splitlines(keepends=True)
    home.ledger.file.write_bytes(b"".join(lines[:-1]))
    before = state(home)
    with pytest.raises(IntegrityError, match="the tail was cut or rewritten") as refused:
        erase(open_home(home.folder))
    assert (refused.value.code, state(home)) == ("LEDGER_DAMAGED", before)


@pytest.mark.parametrize("place", [f"drops/{JANUARY}", "lake/derived/scores", "ledger", "feast"])
def test_a_folder_that_cannot_be_written_is_named_before_anything_changes(home, place):
    before = state(home)
    with (
        not_writable(home.folder / place),
        pytest.raises(UsageError, match=rf"{place} cannot be changed by user"),
    ):
        erase(home)
    assert state(home) == before


def test_what_is_not_completed_yet_is_named_by_doctor_and_completed_once_it_can_be(planned):
    def checked():
        checks = open_home(planned.folder).checkup.run()
        return [(one["state"], one["found"]) for one in checks if one["check"] == "forgetting"]

    def repaired():
        [one] = [one for one in open_home(planned.folder).repairs.run() if one.what == "forgetting"]
        return one

    [(state, found)] = checked()
    assert state == "error"
    assert "plan.json" in found
    drop = planned.drops / str(JANUARY)
    with not_writable(drop):
        left = repaired()
    assert not left.done
    assert f"{drop}/leavers.csv" in left.says
    assert "[FILE_DENIED]" in left.says
    assert repaired().done
    assert not (planned.folder / FOLDER).exists()
    assert KEY not in (drop / "leavers.csv").read_text()
    assert checked() == []


def test_a_folder_that_is_a_disk_of_its_own_is_no_obstacle(home):
    drop, aside = home.drops / str(FEBRUARY), home.folder / "aside"
    drop.rename(aside)
    with small_disk(drop, 8):
        shutil.copytree(aside, drop, dirs_exist_ok=True)
        shutil.rmtree(aside)
        times = {path.name: path.stat().st_mtime_ns for path in drop.iterdir()}
        assert erase(home).changed == []
        assert [path.name for path in drop.glob("*.csv") if KEY in path.read_text()] == []
        assert {path.name: path.stat().st_mtime_ns for path in drop.iterdir()} == times


def test_a_file_with_a_name_of_another_encoding_is_named_as_it_can_be(home):
    (home.drops / str(FEBRUARY) / os.fsdecode(b"caf\xe9.parquet")).write_bytes(b"no table")
    assert erase(home).unread == [f"drops/{FEBRUARY}/caf\\udce9.parquet"]


def test_another_customer_is_forgotten_when_an_old_version_was_removed(home):
    """Its threshold is gone with it; how many are at or above it is not."""
    assert home.records.read("scores", JANUARY)["version"] == 1
    threshold, frame = home.releases.manifest(1).threshold, home.records.frame("scores", JANUARY)
    frame = frame[~frame["already_left"]]
    shutil.rmtree(home.releases.folder / "1")
    home.registry._client().delete_model_version(home.contract.model_name, "1")
    contacted = frame[frame["probability"] >= threshold]["member"]
    spared = frame[frame["probability"] < threshold]["member"]
    for key, contacts in (
        (contacted.iloc[-1], len(contacted) - 1),
        (spared.iloc[0], len(contacted) - 1),
    ):
        found = erase(open_home(home.folder), key)
        assert set(found.versions) <= {2}
        assert open_home(home.folder).records.read("scores", JANUARY)["contacts"] == contacts


def test_rows_behind_a_link_go_and_the_link_stays(home, tmp_path):
    """Drops that lie elsewhere, a single file that does, and links in a circle."""
    (tmp_path / "elsewhere").mkdir()
    elsewhere, file = tmp_path / "elsewhere" / "drops", home.reports / str(FEBRUARY) / "at_risk.csv"
    home.drops.rename(elsewhere)
    home.drops.symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(home.folder)
    (elsewhere / "newest").symlink_to(elsewhere / str(FEBRUARY))
    key = pd.read_csv(file)["member"].iloc[3]
    file.rename(tmp_path / "list.csv")
    file.symlink_to(tmp_path / "list.csv")
    found = erase(home, key)
    assert (found.rows["drops"], found.changed) == (6, [])
    assert [
        path
        for path in (*elsewhere.glob("*/*.csv"), tmp_path / "list.csv")
        if key in path.read_text()
    ] == []
    assert file.is_symlink()
    assert open_home(home.folder).progress().next_step() is None


def test_a_copy_in_a_database_that_0_1_0_made_is_dropped_by_its_owner_first(february_copy):
    february_copy.feature_store.apply(
        february_copy.lake.view(february_copy.now(), as_at_scoring=True)
    )
    marker = february_copy.folder / "feast" / "applied.json"
    place = "postgresql://churn@db/feast"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"offline": place}))
    home = open_home(february_copy.folder)
    # Registering again keeps the note.
    home.feature_store.apply(home.lake.view(home.now(), as_at_scoring=True))
    with pytest.raises(UsageError, match=f"churn_gym in {place}"):
        erase(home)
    marker.unlink()
    assert erase(home).rows
