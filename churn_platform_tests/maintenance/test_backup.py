"""A home in one archive: every file with its digest and nothing that leads out of the home. A
home restored from it works where it is, and an archive that does not verify is not restored.
"""

import hashlib
import json
import os
import signal
import sqlite3
import threading
import zipfile

import filelock
import pytest
from typer.testing import CliRunner

from churn_platform.base.errors import HomeBusy, IntegrityError, UsageError
from churn_platform.base.files import sha256_file
from churn_platform.cli.app import app
from churn_platform.maintenance.backup import (
    INSIDE,
    MANIFEST,
    Entry,
    check_room,
    contents,
    copy_checked,
    opened,
)
from churn_platform_tests.placed_homes import cleared, copies, placed
from churn_platform_tests.small_business import (
    FEBRUARY,
    candidate,
    deliver,
    make_home,
    monthly,
    open_home,
)
from churn_platform_tests.system.trusted_home import verification

MODEL = "releases/1/model.skops"


@pytest.fixture
def archive(january, tmp_path):
    january.backup.write(tmp_path / "a.zip")
    return tmp_path / "a.zip"


def rewritten(archive, change):
    """The archive again with its manifest and members through `change(manifest, members)`."""
    with zipfile.ZipFile(archive) as source:
        members = {name: source.read(name) for name in source.namelist()}
    manifest = json.loads(members.pop(MANIFEST))
    change(manifest, members)
    archive.unlink()
    with zipfile.ZipFile(archive, "w") as target:
        for name, content in members.items():
            target.writestr(name, content)
        target.writestr(MANIFEST, json.dumps(manifest))
    return archive


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def times(home):
    files = (path for path in home.folder.rglob("*") if path.suffix != ".lock")
    return {path: path.stat().st_mtime_ns for path in files}


def test_every_file_of_the_home_is_in_it_with_its_digest_its_size_and_its_time(january, archive):
    with opened(archive) as (_, manifest):
        found = manifest.files
    assert manifest.head == january.ledger.head().digest
    for name in ("ledger/receipts.jsonl", MODEL, "drops/2024-01-31/members.csv"):
        path = january.folder / name
        stat = path.stat()
        digest = sha256_file(path)
        assert found[name] == Entry(sha256=digest, size=stat.st_size, changed=stat.st_mtime_ns)
    assert set(found) == set(contents(january.folder))
    assert {"mlflow.db", "home.json", "contract.yaml", "releases/production"} <= set(found)
    assert "home.holder" not in found
    assert not [name for name in found if name.endswith((".lock", ".tmp")) or "offline" in name]


def test_a_backup_changes_no_file_of_the_home_and_leaves_nothing_else(january_copy, tmp_path):
    before = times(january_copy)
    january_copy.backup.write(tmp_path / "a.zip")
    assert times(january_copy) == before
    assert names(tmp_path) == ["a.zip", "home"]


def test_files_that_links_lead_to_are_kept_and_a_ring_of_links_ends(tmp_path):
    home = make_home(tmp_path / "home")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "members.csv").write_text("member\n")
    (home.drops / "2024-01-31").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "ring").symlink_to(home.folder)
    (home.drops / "gone").symlink_to(tmp_path / "nowhere")
    assert "drops/2024-01-31/members.csv" in contents(home.folder)
    assert not [name for name in contents(home.folder) if "ring" in name or "gone" in name]


def test_a_store_that_is_written_meanwhile_is_copied_as_it_was_at_one_instant(
    january_copy, tmp_path
):
    """Two counters that always agree must agree in the copy of an open SQLite file."""
    path = january_copy.folder / "dagster" / "busy.db"
    stop = threading.Event()
    begun = threading.Event()
    with sqlite3.connect(path) as store:
        store.execute("PRAGMA journal_mode = WAL")
        store.execute("CREATE TABLE t AS SELECT 0 AS a, 0 AS b")

    def write():
        with sqlite3.connect(path) as store:
            while not stop.is_set():
                store.executescript("BEGIN; UPDATE t SET a = a + 1; UPDATE t SET b = b + 1; COMMIT")
                begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(60)
        january_copy.backup.write(tmp_path / "a.zip")
    finally:
        stop.set()
        writer.join()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        (tmp_path / "copy.db").write_bytes(archive.read(f"{INSIDE}dagster/busy.db"))
    with sqlite3.connect(tmp_path / "copy.db") as store:
        [(a, b)] = store.execute("SELECT a, b FROM t")
    assert a == b > 0


def test_a_home_that_runs_is_not_backed_up(january_copy, tmp_path):
    with filelock.FileLock(january_copy.folder / "home.lock"), pytest.raises(HomeBusy):
        open_home(january_copy.folder, lock_seconds=0).backup.write(tmp_path / "a.zip")
    assert names(tmp_path) == ["home"]


def test_a_backup_replaces_nothing_and_is_outside_the_home(january_copy, tmp_path):
    (tmp_path / "mine.zip").write_text("mine")
    for target in (tmp_path / "mine.zip", january_copy.folder / "a.zip"):
        with pytest.raises(UsageError) as failed:
            january_copy.backup.write(target)
        assert failed.value.code == "TARGET_EXISTS"
    assert (tmp_path / "mine.zip").read_text() == "mine"


def test_a_backup_that_was_interrupted_leaves_no_file(january_copy, tmp_path):
    def stop(name, size):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        january_copy.backup.write(tmp_path / "a.zip", stop)
    assert names(tmp_path) == ["home"]


FILES = ["sent 10:30.txt", "c:members.csv", "..\\members.csv", "a\nb", "Kündigungen ✓.csv", " ", "...", "-rf", "%2e%2e", "'"]  # fmt: skip


def test_every_name_that_a_file_can_have_is_restored(tmp_path):
    """A drop's folder may contain files of any name."""
    home = make_home(tmp_path / "home")
    (home.drops / "2024-03-31 (1:2)").mkdir()
    for name in FILES:
        (home.drops / "2024-03-31 (1:2)" / name).write_text(name)
    home.backup.write(tmp_path / "a.zip")
    restored = open_home(tmp_path / "restored")
    restored.backup.restore(tmp_path / "a.zip")
    found = {path.name: path.read_text() for path in restored.drops.glob("*/*")}
    assert found == {name: name for name in FILES}


@pytest.mark.parametrize("name", [b"caf\xe9.csv", b"caf\xe9/members.csv"])
def test_a_name_that_no_archive_can_contain_is_refused_before_anything_is_written(tmp_path, name):
    home = make_home(tmp_path / "home")
    path = home.drops / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(UsageError, match=r"drops/caf\\xe9"):
        home.backup.write(tmp_path / "a.zip")
    assert names(tmp_path) == ["home"]


def added(name, *, listed):
    """One more file, in the manifest too if it is `listed`."""

    def change(manifest, members):
        members[INSIDE + name] = members[f"{INSIDE}home.json"]
        if listed:
            manifest["files"][name] = manifest["files"]["home.json"]

    return change


def later(manifest, members):
    manifest["layout"] = 3


OUTSIDE = ["../outside", "/etc/outside", "a/../../outside", "..", ".", "", "a//b", "./a", "a\0b"]


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        *((added(name, listed=True), "outside the home|does not contain what") for name in OUTSIDE),
        (added("releases/9/model.skops", listed=False), "releases/9/model"),
        (later, "layout 3"),
    ],
)
def test_an_archive_of_other_files_or_another_layout_is_refused(archive, change, fact):
    with pytest.raises(IntegrityError, match=fact) as failed, opened(rewritten(archive, change)):
        pytest.fail("it was opened")
    assert failed.value.code == "BACKUP_DAMAGED"


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all" * 100, None])
def test_what_is_no_backup_is_refused(tmp_path, content):
    file = tmp_path / "a.zip"
    if content is None:
        with zipfile.ZipFile(file, "w") as other:
            other.writestr("holiday.txt", "x")
    else:
        file.write_bytes(content)
    with pytest.raises(IntegrityError) as failed:
        opened(file).__enter__()
    assert failed.value.code == "BACKUP_DAMAGED"
    with pytest.raises(UsageError) as failed:
        opened(tmp_path / "none.zip").__enter__()
    assert failed.value.code == "BACKUP_MISSING"


def test_a_file_that_unpacks_to_more_than_the_manifest_lists_is_stopped_early(archive, tmp_path):
    def grow(manifest, members):
        members[f"{INSIDE}home.json"] = b"0" * 50_000_000

    with opened(rewritten(archive, grow)) as (found, manifest), pytest.raises(IntegrityError):
        copy_checked(found, manifest, "home.json", tmp_path / "out")
    assert (tmp_path / "out").stat().st_size < 2_000_000


def test_a_disk_without_room_is_found_before_anything_is_written(archive, tmp_path):
    def huge(manifest, members):
        manifest["files"]["home.json"]["size"] = 10**18

    with opened(rewritten(archive, huge)) as (_, manifest), pytest.raises(UsageError) as failed:
        check_room(manifest, tmp_path / "not" / "there")
    assert failed.value.code == "DISK_FULL"


def test_a_restored_home_explains_as_the_first_did_and_continues(january, archive, tmp_path):
    home = open_home(tmp_path / "new" / "home")
    home.backup.restore(archive)
    home = open_home(home.folder)
    assert home.progress().next_step() is None, "nothing is to be processed a second time"
    assert home.status.explain("m00001", None) == january.status.explain("m00001", None)
    assert home.registry.load(1).digest == january.registry.load(1).digest
    receipt = home.ledger.receipts("home restored")[0]
    assert (receipt.before, receipt.after) == (str(january.folder), str(home.folder))
    assert receipt.evidence["head"] == january.ledger.head().digest == receipt.previous
    assert home.ledger.verify(home.releases.pointer().ledger_head) is None
    deliver(home, FEBRUARY)
    monthly(home, FEBRUARY)
    assert home.registry.load(candidate(home, FEBRUARY)).version == 2
    first = open_home(january.folder)
    assert first.registry.alias("candidate") == 1, "the first home is another one"


def test_a_restore_needs_an_empty_folder(archive, january_copy, tmp_path):
    (tmp_path / "empty").mkdir()
    open_home(tmp_path / "empty").backup.restore(archive)
    assert (tmp_path / "empty" / "ledger").is_dir()
    before = times(january_copy)
    with pytest.raises(UsageError) as failed:
        january_copy.backup.restore(archive)
    assert failed.value.code == "HOME_NOT_EMPTY"
    assert times(january_copy) == before


def replaced(name, change, *, listed=True):
    """A file with other bytes, and the digest that fits in the manifest if it is `listed`."""

    def rewrite(manifest, members):
        content = change(members[INSIDE + name])
        members[INSIDE + name] = content
        if listed:
            entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            manifest["files"][name] |= entry

    return rewrite


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (replaced(MODEL, lambda old: old[:-1] + bytes([old[-1] ^ 1]), listed=False), "does not match its digest"),
        (replaced("ledger/receipts.jsonl", lambda old: old[: old[:-1].rindex(b"\n") + 1]), "is damaged at receipt"),
        (replaced(MODEL, lambda old: old + b" "), "release 1 was changed"),
    ],
    ids=["a changed byte", "a cut ledger", "a changed release"],
)  # fmt: skip
def test_what_does_not_verify_is_not_restored(archive, tmp_path, change, fact):
    rewritten(archive, change)
    with pytest.raises(IntegrityError, match=fact):
        open_home(tmp_path / "home").backup.restore(archive)
    assert names(tmp_path) == ["a.zip"]


def test_a_restore_that_is_killed_leaves_no_home_and_the_next_one_clears_up(archive, tmp_path):
    def die(name, size):
        if name.startswith("mlflow"):
            os.kill(os.getpid(), signal.SIGKILL)

    if (child := os.fork()) == 0:
        open_home(tmp_path / "home").backup.restore(archive, die)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(names(tmp_path)) == 2
    assert "home" not in names(tmp_path)
    open_home(tmp_path / "home").backup.restore(archive)
    assert names(tmp_path) == ["a.zip", "home"]
    assert json.loads((tmp_path / "home" / "home.json").read_text()) == {"layout": 1}


def test_a_home_with_a_place_is_restored_to_it_and_is_another_user_of_it(january, tmp_path):
    home = cleared(placed(january, tmp_path / "placed", tmp_path / "place"))
    made = home.backup.write(tmp_path / "placed.zip")
    assert made.layout == 2
    assert not any(name.endswith("delivery-0001.parquet") for name in made.files)
    new = open_home(tmp_path / "new")
    new.backup.restore(tmp_path / "placed.zip")
    new = open_home(new.folder)
    assert new.lake_uri == home.lake_uri
    assert verification(new, deep=True)["breaks"] == []
    assert new.lake.place.other_homes() != {}  # the first one
    new.lake.place.join()
    assert list(home.lake.place.other_homes().values()) == [str(new.folder)]


def test_a_backup_of_a_home_with_a_place_tells_what_it_needs(january, tmp_path):
    home = placed(january, tmp_path / "placed", tmp_path / "place")
    copies(home)[0].unlink()
    archive = tmp_path / "placed.zip"
    run = CliRunner().invoke(app, ["backup", str(archive), "--home", str(home.folder), "--json"])
    told = json.loads(run.stdout)
    assert (told["lake"], told["only_at_lake"]) == (home.lake_uri, 1)
    new = str(tmp_path / "new")
    run = CliRunner().invoke(app, ["restore", str(archive), "--home", new, "--json"])
    assert json.loads(run.stdout)["lake"] == home.lake_uri
