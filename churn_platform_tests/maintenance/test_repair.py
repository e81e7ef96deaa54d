"""`churn doctor --fix` repairs what the home proves, once, with a receipt, and nothing else."""

import json
import os
import shutil
import time

import filelock
import pytest

from churn_platform.audit.checks import check_releases
from churn_platform.base.errors import HomeBusy
from churn_platform.ingestion.drop import INCOMING
from churn_platform.promotion.promotions import production_candidate
from churn_platform.training.registry import PRODUCTION
from churn_platform_tests.small_business import FEBRUARY, JANUARY, open_home


@pytest.fixture
def home(february_copy):
    """Versions 1 and 2 released, 2 in production."""
    return february_copy


def repaired(home, *whats):
    """Repair: exactly these were repaired, production answers, and a second time there is nothing to do."""
    before = len(home.ledger.receipts("recovery"))
    found = open_home(home.folder).repairs.run()
    assert [(one.what, one.done) for one in found] == [(what, True) for what in whats], found
    home = open_home(home.folder)
    assert len(home.ledger.receipts("recovery")) == before + len(whats)
    assert open_home(home.folder).repairs.run() == []
    assert production_candidate(home.releases).version == home.registry.alias(PRODUCTION)
    return found


def files(home):
    """The content of every file that a look does not change."""
    changing = {".lock", ".db"}
    found = (path for path in home.folder.rglob("*") if path.suffix not in changing)
    return {path: path.read_bytes() for path in found if path.is_file()}


def left(home, what, fact):
    """One fault is not repaired but reported, and only the ledger may have changed."""
    before = files(home)
    found = [one for one in open_home(home.folder).repairs.run() if not one.done]
    assert [one.what for one in found] == [what]
    assert fact in found[0].says
    after = files(home)
    changed = {path.name for path in before if after.get(path) != before[path]}
    assert changed <= {"receipts.jsonl", "anchor.json"}


def test_a_sound_home_needs_nothing_and_gets_no_receipt(home):
    head = home.ledger.head()
    assert home.repairs.run() == []
    assert home.ledger.head() == head


DAMAGE = {
    "one bit": lambda path, old: path.write_bytes(bytes([old[0] ^ 1]) + old[1:]),
    "gone": lambda path, _: path.unlink(),
    "cut": lambda path, old: path.write_bytes(old[:-1]),
}


@pytest.mark.parametrize(
    "name", ["model.skops", "passport.json", "training_entities.npy", "feature_schema.json"]
)
@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_of_a_release_is_made_again_from_the_registry(home, name, how):
    path = home.releases.folder / "2" / name
    content = path.read_bytes()
    DAMAGE[how](path, content)
    repaired(home, "release")
    assert path.read_bytes() == content


def test_a_file_that_was_added_to_a_release_is_put_aside_not_deleted(home):
    (home.releases.folder / "2" / "evil.pkl").write_bytes(b"not ours")
    repaired(home, "release")
    assert [p.read_bytes() for p in home.releases.folder.glob(".added-to-2.*")] == [b"not ours"]


@pytest.mark.parametrize("how", ["manifest", "folder"])
def test_a_release_whose_manifest_is_lost_is_published_again_byte_for_byte(home, how):
    folder = home.releases.folder / "2"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    if how == "manifest":
        (folder / "manifest.json").write_text("{}")
    else:
        shutil.rmtree(folder)
    repaired(home, "release")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert "digests" not in home.ledger.receipts("recovery")[-1].evidence
    assert len(home.ledger.receipts("release published")) == 2


def test_a_release_without_its_golden_rows_is_published_with_others_and_verifies(home):
    """Its training dataset is gone, as after a correction; then it comes back."""
    dataset = [
        home.records.path("training_dataset", FEBRUARY, end) for end in (".json", ".parquet")
    ]
    kept = {path: path.read_bytes() for path in dataset}
    manifests = [home.releases.manifest(2)]

    def published_again():
        shutil.rmtree(home.releases.folder / "2")
        repaired(home, "release")
        manifests.append(home.releases.manifest(2))
        found = check_releases(home.releases, home.ledger.receipts())
        assert {one.state for one in found} == {"holds"}
        return list(home.ledger.receipts("recovery")[-1].evidence.get("digests", {}).items())

    for path in kept:
        path.unlink()
    [there] = published_again()
    assert published_again() == []
    for path, content in kept.items():
        path.write_bytes(content)
    [back] = published_again()
    assert manifests[0] == manifests[3] != manifests[1] == manifests[2]
    assert there == back[::-1]


def test_a_release_that_nothing_proves_is_left_as_it_is(home):
    """The registry was damaged too: what stands there is not what was published."""
    for path in (home.folder / "artifacts").rglob("model.skops"):
        path.write_bytes(path.read_bytes() + b" ")
    path = home.releases.folder / "2" / "passport.json"
    path.write_bytes(path.read_bytes() + b" ")
    left(home, "release", "does not match the digest recorded when it was registered")


def test_a_release_that_is_hopeless_stops_no_other_and_none_is_forgotten(home):
    """Version 1 is retired and damaged in the registry, too; 2 is in production and comes first."""
    for path in (home.folder / "artifacts").rglob("model.skops"):
        if path.read_bytes() == (home.releases.folder / "1" / "model.skops").read_bytes():
            path.write_bytes(path.read_bytes() + b" ")
    for version in "12":
        path = home.releases.folder / version / "model.skops"
        path.write_bytes(path.read_bytes() + b" ")
    first, second = open_home(home.folder).repairs.run()
    assert (first.what, first.done) == ("release", True)
    assert (second.what, second.done) == ("release", False)
    assert "Version 1 of gym_churn: model.skops does not match" in second.says
    assert home.releases.verify(2).version == 2
    assert [receipt.subject for receipt in home.ledger.receipts("recovery")] == ["version 2"]


def test_what_a_step_repaired_before_it_failed_is_told(home):
    """Its receipt is written: who reads the answer must not look for it in the ledger."""
    record = home.records.path("scores", FEBRUARY, ".json")
    home.records.path("drift_report", FEBRUARY, ".json").write_text("{")
    record.unlink()
    record.mkdir()  # of the same step, and no file
    first, second = open_home(home.folder).repairs.run()
    assert (first.what, first.done) == ("record", True)
    assert (second.what, second.done) == ("record", False)
    assert len(home.ledger.receipts("recovery")) == 1


def test_an_alias_follows_the_pointer(home):
    home.registry.set_alias(PRODUCTION, 1)
    [found] = repaired(home, "alias")
    assert [f"version {number}" in found.says for number in (1, 2)] == [True, True]


@pytest.mark.parametrize("content", [None, '{"version": 9', ""])
def test_a_lost_pointer_is_written_again_from_the_ledger(home, content):
    pointer = home.releases.pointer()
    home.releases.pointer_file.unlink()
    if content is not None:
        home.releases.pointer_file.write_text(content)
    repaired(home, "pointer")
    assert open_home(home.folder).releases.pointer() == pointer


def test_a_broken_ledger_proves_nothing_so_nothing_is_repaired(home):
    home.releases.pointer_file.unlink()
    file = home.ledger.file
    file.write_text(file.read_text().replace("tester", "tempter", 1))
    left(home, "ledger", "`churn restore FILE --home NEW`")


def test_incomplete_files_go_but_not_those_that_a_process_may_be_writing(home):
    parts = ("lake", "drops", "predictions", "shadows")
    ours, drop, log, shadows = (home.folder / part / ".x.0.tmp" for part in parts)
    release = home.releases.folder / ".3.0.tmp"
    release.mkdir()
    for path in (ours, drop, log, shadows):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    repaired(home, "temporary files")
    left = [path for path in (ours, release, drop, log, shadows) if path.exists()]
    assert left == [drop, log, shadows]
    old = time.time() - 7200
    os.utime(drop, (old, old))
    repaired(home, "temporary files")
    assert not drop.exists()
    assert log.exists()


def test_a_drop_that_is_half_taken_in_is_not_guessed_at(home):
    (home.drops / str(FEBRUARY) / INCOMING).touch()
    left(home, "drop", f"run `churn ingest DIR --as-of {FEBRUARY}` again")


def test_the_mark_of_a_drop_that_never_came_is_removed(home):
    marker = home.drops / "2024-03-31" / INCOMING
    marker.parent.mkdir()
    marker.touch()
    assert home.repairs.run() == []
    os.utime(marker, (0, 0))
    repaired(home, "drop")


@pytest.mark.parametrize("kind", ["training_dataset", "scores", "drift_report", "performance"])
def test_a_record_that_cannot_be_read_is_made_again_by_the_next_run(home, kind):
    home.records.path(kind, FEBRUARY, ".json").write_text("{")
    repaired(home, "record")
    assert open_home(home.folder).progress().next_step().as_of == FEBRUARY


def test_a_training_dataset_of_other_rows_is_made_again_too(home):
    path = home.records.path("training_dataset", FEBRUARY, ".parquet")
    frame = home.records.frame("training_dataset", FEBRUARY)
    frame.iloc[:-1].to_parquet(path, index=False)
    repaired(home, "record")


def test_a_file_of_the_lake_that_is_gone_is_named_with_the_way_out(home):
    (home.lake.folder / home.lake.deliveries(JANUARY)[0].tables["visits"].file).unlink()
    left(home, "lake", "churn restore")


def test_a_store_that_cannot_be_read_is_said_and_nothing_is_lost(home):
    (home.folder / "mlflow.db").write_text("this was a database once")
    found = open_home(home.folder).repairs.run()
    assert found
    assert not any(one.done for one in found)
    assert all("churn restore" in one.says for one in found)
    assert json.loads(home.releases.pointer_file.read_text())["version"] == 2


def test_a_home_that_runs_is_left_alone(home):
    with filelock.FileLock(home.folder / "home.lock"), pytest.raises(HomeBusy):
        open_home(home.folder, lock_seconds=0).repairs.run()
