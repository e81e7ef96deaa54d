"""`churn doctor --fix`: what the home itself proves is made whole, once, with a receipt; what it does not is left."""

import json
import os
import shutil
import time

import pytest

from churn_platform.audit.checks import check_releases
from churn_platform.base.errors import HomeBusy
from churn_platform.ingestion.drop import INCOMING
from churn_platform.promotion.promotions import production_candidate
from churn_platform.training.registry import PRODUCTION
from churn_platform_tests.small_business import FEBRUARY, JANUARY, copied, open_home, up_to_scores


@pytest.fixture(scope="module")
def promoted(february_decided, tmp_path_factory):
    """Versions 1 and 2 released, 2 in production. Read only."""
    return up_to_scores(
        copied(february_decided, tmp_path_factory.mktemp("promoted") / "home"), FEBRUARY
    )


@pytest.fixture
def home(promoted, tmp_path):
    return copied(promoted, tmp_path / "home")


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


def left(home, what, says):
    """Not to be repaired: said, and nothing changed."""
    before = {
        p: p.read_bytes()
        for p in home.folder.rglob("*")
        if p.is_file() and p.suffix not in (".lock", ".db")
    }
    found = [one for one in open_home(home.folder).repairs.run() if not one.done]
    assert [one.what for one in found] == [what]
    assert says in found[0].says
    after = {p: p.read_bytes() for p in before if p.exists()}
    assert {p.name for p in before if after.get(p) != before[p]} <= {
        "receipts.jsonl",
        "anchor.json",
    }
    return found


def test_a_sound_home_needs_nothing_and_gets_no_receipt(home):
    head = home.ledger.head()
    assert home.repairs.run() == []
    assert home.ledger.head() == head


@pytest.mark.parametrize(
    "name", ["model.skops", "passport.json", "training_entities.npy", "feature_schema.json"]
)
@pytest.mark.parametrize("how", ["one bit", "gone", "cut"])
def test_a_damaged_file_of_a_release_is_made_again_from_the_registry(home, name, how):
    path = home.releases.folder / "2" / name
    content = path.read_bytes()
    path.unlink() if how == "gone" else path.write_bytes(
        bytes([content[0] ^ 1]) + content[1:] if how == "one bit" else content[:-1]
    )
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


def test_a_release_whose_golden_rows_are_gone_is_published_with_others_and_verification_follows_the_receipt(
    home,
):
    """The dataset it was trained on was made anew meanwhile, as after a correction; then the first one comes back."""
    record, rows = (
        home.records.path("training_dataset", FEBRUARY, suffix) for suffix in (".json", ".parquet")
    )
    aside = {path: path.read_bytes() for path in (record, rows)}
    manifests = [home.releases.manifest(2)]
    for path in aside:
        path.unlink()
    for _ in range(3):
        shutil.rmtree(home.releases.folder / "2")
        repaired(home, "release")
        manifests.append(home.releases.manifest(2))
        assert [
            one.detail
            for one in check_releases(home.releases, home.ledger.receipts())
            if one.state != "holds"
        ] == []
        if len(manifests) == 3:
            [path.write_bytes(content) for path, content in aside.items()]
    assert manifests[0] == manifests[3] != manifests[1] == manifests[2]
    said = [
        list(receipt.evidence.get("digests", {}).items())
        for receipt in home.ledger.receipts("recovery")
    ]
    [there], [], [back] = said
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
    assert (first.what, first.done, second.what, second.done) == ("release", True, "release", False)
    assert second.says.startswith(
        "Release 1 stays as it is. Version 1 of gym_churn: model.skops does not match"
    )
    assert home.releases.verify(2).version == 2
    assert [receipt.subject for receipt in home.ledger.receipts("recovery")] == ["version 2"]


def test_what_a_step_repaired_before_it_failed_is_told(home):
    """Its receipt is written: who reads the answer must not look for it in the ledger."""
    record = home.records.path("scores", FEBRUARY, ".json")
    home.records.path("drift_report", FEBRUARY, ".json").write_text("{")
    record.unlink()
    record.mkdir()  # of the same step, and no file
    first, second = open_home(home.folder).repairs.run()
    assert (first.what, first.done, second.what, second.done) == ("record", True, "record", False)
    assert len(home.ledger.receipts("recovery")) == 1


def test_an_alias_follows_the_pointer(home):
    home.registry.set_alias(PRODUCTION, 1)
    [found] = repaired(home, "alias")
    assert [f"version {number}" in found.says for number in (1, 2)] == [True, True]


@pytest.mark.parametrize("how", ["gone", "garbled", "empty"])
def test_a_lost_pointer_is_written_again_as_the_ledger_says(home, how):
    pointer = home.releases.pointer()
    file = home.releases.pointer_file
    file.unlink() if how == "gone" else file.write_text(
        {"garbled": '{"version": 9', "empty": ""}[how]
    )
    repaired(home, "pointer")
    assert open_home(home.folder).releases.pointer() == pointer


def test_a_broken_ledger_proves_nothing_so_nothing_is_repaired(home):
    home.releases.pointer_file.unlink()
    file = home.ledger.file
    file.write_text(file.read_text().replace("tester", "tempter", 1))
    left(home, "ledger", "`churn restore FILE --home NEW`")


def test_half_written_files_go_but_not_those_that_somebody_may_be_writing(home):
    ours, drop, log = (home.folder / part / ".x.0.tmp" for part in ("lake", "drops", "predictions"))
    release = home.releases.folder / ".3.0.tmp"
    release.mkdir()
    for path in (ours, drop, log):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    repaired(home, "temporary files")
    assert (ours.exists(), release.exists(), drop.exists(), log.exists()) == (
        False,
        False,
        True,
        True,
    )
    old = time.time() - 7200
    os.utime(drop, (old, old))
    repaired(home, "temporary files")
    assert (drop.exists(), log.exists()) == (False, True)


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
    import filelock

    with filelock.FileLock(home.folder / "home.lock"), pytest.raises(HomeBusy):
        open_home(home.folder, lock_seconds=0).repairs.run()
