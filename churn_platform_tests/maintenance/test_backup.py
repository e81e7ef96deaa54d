"""A home in one archive: every file with its digest, taken while nobody runs, and nothing that leads out of it."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import zipfile

import pytest

from churn_platform.base.errors import HomeBusy, IntegrityError, UsageError
from churn_platform.base.files import sha256_file
from churn_platform.maintenance.backup import (
    INSIDE,
    MANIFEST,
    Entry,
    check_room,
    contents,
    copy_checked,
    opened,
)
from churn_platform_tests.small_business import make_home, open_home

HOLD = "import sys, time, filelock\nwith filelock.FileLock(sys.argv[1]): print('held', flush=True); time.sleep(60)"


@pytest.fixture
def archive(january, tmp_path):
    january.backup.write(tmp_path / "a.zip")
    return tmp_path / "a.zip"


def rewritten(archive, change):
    """The archive again with its manifest and members through `change(manifest, members)`."""
    with zipfile.ZipFile(archive) as source:
        members = {name: source.read(name) for name in source.namelist()}
    said = json.loads(members.pop(MANIFEST))
    change(said, members)
    archive.unlink()
    with zipfile.ZipFile(archive, "w") as target:
        for name, content in members.items():
            target.writestr(name, content)
        target.writestr(MANIFEST, json.dumps(said))
    return archive


def test_every_file_of_the_home_is_in_it_with_its_digest_its_size_and_its_time(january, archive):
    with opened(archive) as (_, said):
        assert said.head == january.ledger.head().digest
        for name in (
            "ledger/receipts.jsonl",
            "releases/1/model.skops",
            "drops/2024-01-31/members.csv",
        ):
            path = january.folder / name
            stat = path.stat()
            assert said.files[name] == Entry(
                sha256=sha256_file(path), size=stat.st_size, changed=stat.st_mtime_ns
            )
        assert set(said.files) == set(contents(january.folder))
        assert {"mlflow.db", "home.json", "contract.yaml", "releases/production"} <= set(said.files)
    assert "home.holder" not in said.files
    assert not [
        name
        for name in said.files
        if name.endswith((".lock", ".tmp")) or name.startswith("feast/offline")
    ]


def test_a_home_is_read_only_to_its_backup(january_copy, tmp_path):
    before = {
        path: path.stat().st_mtime_ns
        for path in january_copy.folder.rglob("*")
        if path.suffix != ".lock"
    }
    january_copy.backup.write(tmp_path / "a.zip")
    assert {
        path: path.stat().st_mtime_ns
        for path in january_copy.folder.rglob("*")
        if path.suffix != ".lock"
    } == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


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
    """The bytes of an open SQLite file are of no instant; two counters that always agree must agree in the copy."""
    path, stop, begun = (
        january_copy.folder / "dagster" / "busy.db",
        threading.Event(),
        threading.Event(),
    )
    with sqlite3.connect(path) as store:
        store.execute("PRAGMA journal_mode = WAL")
        store.executescript(
            "CREATE TABLE a (n); CREATE TABLE b (n); INSERT INTO a VALUES (0); INSERT INTO b VALUES (0)"
        )

    def write():
        with sqlite3.connect(path) as store:
            while not stop.is_set():
                store.executescript("BEGIN; UPDATE a SET n = n + 1; UPDATE b SET n = n + 1; COMMIT")
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
        (a,), (b,) = store.execute("SELECT n FROM a UNION ALL SELECT n FROM b")
    assert a == b > 0


def test_a_home_that_runs_is_not_backed_up(january_copy, tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(january_copy.folder / "home.lock")], stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    try:
        with pytest.raises(HomeBusy):
            open_home(january_copy.folder, lock_seconds=0).backup.write(tmp_path / "a.zip")
    finally:
        holder.kill()
        holder.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_backup_replaces_nothing_and_lies_outside_the_home(january_copy, tmp_path):
    (tmp_path / "mine.zip").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        january_copy.backup.write(tmp_path / "mine.zip")
    with pytest.raises(UsageError, match="is inside the home"):
        january_copy.backup.write(january_copy.folder / "a.zip")
    assert (tmp_path / "mine.zip").read_text() == "mine"


def test_a_backup_that_was_interrupted_leaves_no_file(january_copy, tmp_path):
    def stop(name, size):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        january_copy.backup.write(tmp_path / "a.zip", stop)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/outside", "a/../../outside", "..", ".", "", "a//b", "./a", "a\0b"]
)
def test_a_name_that_leads_out_of_the_home_is_refused(archive, name):
    def add(said, members):
        said["files"][name] = said["files"]["home.json"]
        members[INSIDE + name] = members[f"{INSIDE}home.json"]

    with (
        pytest.raises(IntegrityError, match=r"outside the home|does not contain what"),
        opened(rewritten(archive, add)),
    ):
        pytest.fail("it was opened")


NAMES = [
    "sent 10:30.txt",
    "c:members.csv",
    "..\\members.csv",
    "a\nb",
    "Kündigungen ✓.csv",
    " ",
    "...",
    "-rf",
    "%2e%2e",
    "'",
]


def test_every_name_that_a_file_can_have_comes_back_whole(tmp_path):
    """What people lay into a drop's folder, whatever it is called, must not stand in the way of a backup."""
    home = make_home(tmp_path / "home")
    (home.drops / "2024-03-31 (1:2)").mkdir()
    for number, name in enumerate(NAMES):
        (home.drops / "2024-03-31 (1:2)" / name).write_text(str(number))
    home.backup.write(tmp_path / "a.zip")
    restored = open_home(tmp_path / "restored")
    restored.backup.restore(tmp_path / "a.zip")
    found = {
        path.name: path.read_text() for path in (restored.drops / "2024-03-31 (1:2)").iterdir()
    }
    assert found == {name: str(number) for number, name in enumerate(NAMES)}


@pytest.mark.parametrize("name", [b"caf\xe9.csv", b"caf\xe9/members.csv"])
def test_a_name_that_no_archive_can_hold_is_told_before_anything_is_written(tmp_path, name):
    home = make_home(tmp_path / "home")
    path = home.drops / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(UsageError, match=r"^drops/caf\\xe9.* not UTF-8"):
        home.backup.write(tmp_path / "a.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_an_archive_holds_what_its_manifest_lists_and_nothing_else(archive):
    def add(said, members):
        members[f"{INSIDE}releases/9/model.skops"] = b"planted"

    with (
        pytest.raises(IntegrityError, match=r"does not contain what .*releases/9/model"),
        opened(rewritten(archive, add)),
    ):
        pytest.fail("it was opened")


def test_an_archive_of_another_format_or_layout_is_said(archive):
    def later(said, members):
        said["layout"] = 2

    with pytest.raises(IntegrityError, match=r"layout 2\. .*layout 1\."):
        opened(rewritten(archive, later)).__enter__()


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all" * 100])
def test_what_is_no_backup_is_said(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(IntegrityError, match="damaged or not a backup"):
        opened(tmp_path / "a.zip").__enter__()
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("holiday.txt", "x")
    with pytest.raises(IntegrityError, match="not a backup of a home"):
        opened(tmp_path / "other.zip").__enter__()
    with pytest.raises(UsageError, match="There is no backup"):
        opened(tmp_path / "none.zip").__enter__()


def test_one_changed_byte_is_found_also_where_the_archives_own_checksum_was_made_to_fit(
    archive, tmp_path
):
    def change(said, members):
        name = f"{INSIDE}releases/1/model.skops"
        members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])

    with (
        opened(rewritten(archive, change)) as (found, said),
        pytest.raises(IntegrityError, match="does not match"),
    ):
        copy_checked(found, said, "releases/1/model.skops", None)


def test_a_file_that_unpacks_to_more_than_was_said_is_stopped_early(archive, tmp_path):
    def grow(said, members):
        members[f"{INSIDE}home.json"] = b"0" * 50_000_000

    with opened(rewritten(archive, grow)) as (found, said), pytest.raises(IntegrityError):
        copy_checked(found, said, "home.json", tmp_path / "out")
    assert (tmp_path / "out").stat().st_size < 2_000_000


def test_a_disk_without_room_is_said_before_anything_is_written(archive, tmp_path):
    def huge(said, members):
        said["files"]["home.json"]["size"] = 10**18

    with opened(rewritten(archive, huge)) as (_, said), pytest.raises(UsageError, match="MB free"):
        check_room(said, tmp_path / "not" / "there")
