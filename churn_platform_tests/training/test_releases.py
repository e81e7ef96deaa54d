"""Releases: whole or not at all, never changed unseen, and one pointer that always names a sound one."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections import UserDict
from pathlib import Path

import pytest

from churn_platform.base.errors import DataError, IntegrityError, UsageError
from churn_platform.base.files import sha256_file
from churn_platform.training.releases import Releases

FILES = {"model.txt": b"tree\n", "calibration.json": b'{"a": -1.5, "b": 0.25}'}
FIELDS = {
    "model_name": "a_churn_model",
    "algorithm": "lightgbm",
    "features": [{"name": "b", "dtype": "int"}, {"name": "a", "dtype": "float"}],
    "threshold": 0.25,
    "contract_hash": "c" * 64,
    "training_as_of": "2024-01-31",
    "training_months": ["2024-01-31"],
    "metrics": {"auc": 0.81, "interval": [0.78, 0.84]},
    "golden": [{"features": {"a": None, "b": 3}, "probability": 0.1 + 0.2}],
    "candidate_digest": "d" * 64,
    "created_at": "2024-02-01T06:00:00+00:00",
}
MOVE = {"ledger_head": "e" * 64, "activate_at": "2024-02-29T06:00:02+00:00", "as_of": "2024-02-29"}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class DyingFiles(UserDict):
    """Hands out one file, then kills its process, as a power cut would."""

    def __getitem__(self, name):
        if name != "model.txt":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(name)


@pytest.fixture
def releases(tmp_path):
    found = Releases(tmp_path / "releases")
    for version in (1, 2, 3):
        found.publish(version, FILES, FIELDS)
    return found


def test_a_published_version_is_read_back_with_its_digests(tmp_path):
    releases = Releases(tmp_path / "releases")
    (tmp_path / "booster.txt").write_bytes(b"a booster")
    published = releases.publish(4, FILES | {"booster.txt": tmp_path / "booster.txt"}, FIELDS)
    assert published == releases.manifest(4) == releases.verify(4)
    assert published.version == 4
    assert sorted(published.files) == ["booster.txt", "calibration.json", "model.txt"]
    for name, digest in published.files.items():
        assert sha256_file(releases.path(4, name)) == digest
    assert releases.path(4, "booster.txt").read_bytes() == b"a booster"
    assert [feature.model_dump() for feature in published.features] == FIELDS["features"]
    assert releases.manifest(4).golden[0].probability == 0.30000000000000004
    assert names(releases.folder / "4") == sorted(
        [*published.files, "manifest.json", "manifest.sha256"]
    )
    assert names(releases.folder) == ["4"]


def test_every_file_is_on_the_disk_before_the_version_appears(tmp_path, monkeypatch):
    events = []
    fsync = os.fsync
    rename = Path.rename

    def noting_fsync(descriptor):
        events.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def noting_rename(source, target):
        events.append(f"{source.name} -> {target.name}")
        return rename(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "rename", noting_rename)
    Releases(tmp_path / "releases").publish(1, FILES, FIELDS)
    temporary = events[4]
    assert temporary.startswith(".1.")
    assert sorted(events[:4]) == sorted([*FILES, "manifest.json", "manifest.sha256"])
    assert events[5:] == [f"{temporary} -> 1", "releases"]


def test_the_same_content_again_is_left_alone(releases):
    before = {path: path.stat().st_mtime_ns for path in releases.folder.rglob("*")}
    again = releases.publish(2, FILES, FIELDS | {"created_at": "2024-03-01T06:00:00+00:00"})
    assert again.created_at == "2024-02-01T06:00:00+00:00"
    assert {path: path.stat().st_mtime_ns for path in releases.folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("files", "fields"),
    [
        (FILES | {"model.txt": b"another tree\n"}, FIELDS),
        (FILES | {"more.txt": b""}, FIELDS),
        ({"model.txt": FILES["model.txt"]}, FIELDS),
        (FILES, FIELDS | {"threshold": 0.26}),
        (FILES, FIELDS | {"features": FIELDS["features"][::-1]}),
    ],
)
def test_a_version_never_changes_its_content(releases, files, fields):
    standing = releases.manifest(2)
    with pytest.raises(IntegrityError, match=r"version 2 .*register a new one"):
        releases.publish(2, files, fields)
    assert releases.verify(2) == standing
    assert names(releases.folder) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("files", "fields", "fault"),
    [
        ({"../escaped": b"x"}, {}, "manifest of version 1 has a wrong files"),
        ({"/escaped": b"x"}, {}, "wrong files"),
        ({"manifest.json": b"x"}, {}, "wrong files"),
        ({}, {"threshold": float("nan")}, "wrong threshold"),
        ({}, {"metrics": {"auc": float("nan")}}, r"wrong metrics\.auc"),
        ({}, {"colour": "red"}, "wrong colour"),
    ],
)
def test_a_wrong_manifest_or_file_name_publishes_nothing(tmp_path, files, fields, fault):
    with pytest.raises(DataError, match=fault):
        Releases(tmp_path / "releases").publish(1, FILES | files, FIELDS | fields)
    assert [path.name for path in tmp_path.rglob("*")] == ["releases"]


def test_a_publisher_killed_midway_leaves_nothing_readable_and_the_next_publish_works(tmp_path):
    releases = Releases(tmp_path / "releases")
    publish = multiprocessing.get_context("fork").Process(
        target=releases.publish, args=(1, DyingFiles(FILES), FIELDS)
    )
    publish.start()
    publish.join()
    assert publish.exitcode == -signal.SIGKILL
    (leftover,) = releases.folder.iterdir()
    assert names(leftover) == ["model.txt"]
    assert releases.versions() == []
    assert releases.production() is None
    with pytest.raises(UsageError, match="version 1 has no release"):
        releases.manifest(1)
    assert releases.publish(1, FILES, FIELDS) == releases.verify(1)
    assert names(releases.folder) == ["1"]


def test_versions_are_numbers_in_order_and_nothing_else(releases):
    releases.publish(10, FILES, FIELDS)
    for name in (".4.abc.tmp", "notes", "007", "0", "1.5", "٣"):
        (releases.folder / name).mkdir()
    (releases.folder / "99").write_text("a file")
    assert releases.versions() == [1, 2, 3, 10]
    assert Releases(releases.folder / "nowhere").versions() == []


@pytest.mark.parametrize("name", sorted(FILES))
def test_any_changed_byte_of_a_file_is_named_with_both_digests(releases, name):
    target = releases.path(2, name)
    whole = target.read_bytes()
    expected = releases.manifest(2).files[name]
    for at in range(len(whole)):
        target.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(IntegrityError) as caught:
            releases.verify(2)
        assert (
            f"release 2 was changed: {name} should be {expected} and is {sha256_file(target)};"
            in str(caught.value)
        )
    assert releases.verify(1).version == 1


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256"])
def test_any_changed_byte_of_the_manifest_is_found(releases, name):
    target = releases.folder / "2" / name
    whole = target.read_bytes()
    for at in range(len(whole)):
        target.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(
            IntegrityError, match=r"release 2 was changed: manifest\.json should be"
        ):
            releases.manifest(2)


def linked(folder):
    (folder / "model.txt").unlink()
    (folder / "model.txt").symlink_to(folder.parent / "1" / "model.txt")


def replaced(folder):
    shutil.rmtree(folder)
    shutil.copytree(folder.parent / "1", folder)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda folder: (folder / "model.txt").unlink(), r"model\.txt .* is no file; point at"),
        (lambda folder: (folder / "manifest.json").unlink(), r"manifest\.json .* is no file"),
        (lambda folder: (folder / "manifest.sha256").unlink(), r"manifest\.sha256 .* is no file"),
        (lambda folder: (folder / "x.pkl").write_bytes(b"x"), r"x\.pkl .* no file and is 2d71"),
        (linked, r"model\.txt should be .* and is no plain file"),
        (replaced, r"manifest\.json should be of version 2 and is of 1"),
    ],
)
def test_what_was_removed_added_linked_or_exchanged_is_named(releases, change, fault):
    change(releases.folder / "2")
    with pytest.raises(IntegrityError, match=fault):
        releases.verify(2)


def test_a_version_or_file_that_is_not_there_is_wrong_use(releases):
    with pytest.raises(UsageError, match=r"version 9 has no release in .*; there are \[1, 2, 3\]"):
        releases.verify(9)
    with pytest.raises(
        UsageError, match=r"version 2 has no file '\.\./1/model\.txt'; it has \['calibration"
    ):
        releases.path(2, "../1/model.txt")


def test_each_move_of_the_pointer_names_what_it_replaced(releases):
    assert (releases.pointer(), releases.production()) == (None, None)
    moves = [releases.point(version, **MOVE) for version in (1, 3, 3, 1)]
    replaced = [move.previous_version for move in moves]
    assert replaced == [None, 1, 1, 3]
    assert releases.pointer() == moves[-1]
    assert releases.production() == releases.manifest(1)
    assert (
        json.loads(releases.pointer_file.read_text())
        == {"version": 1, "previous_version": 3} | MOVE
    )
    assert names(releases.folder) == ["1", "2", "3", "production"]


def test_the_pointer_never_moves_to_a_release_that_is_not_sound(releases):
    before = releases.point(1, **MOVE)
    releases.path(2, "model.txt").write_bytes(b"changed")
    with pytest.raises(IntegrityError, match=r"release 2 was changed: model\.txt"):
        releases.point(2, **MOVE)
    with pytest.raises(UsageError, match="version 9 has no release"):
        releases.point(9, **MOVE)
    with pytest.raises(DataError, match="the pointer to production has a wrong ledger_head"):
        releases.point(3, **MOVE | {"ledger_head": "none"})
    assert releases.pointer() == before


def test_a_pointer_to_a_missing_release_is_an_error_with_the_way_out(releases):
    releases.point(2, **MOVE)
    shutil.rmtree(releases.folder / "2")
    for read in (releases.pointer, releases.production):
        with pytest.raises(
            IntegrityError, match=r"names version 2, which has no release; .* one of \[1, 3\]"
        ):
            read()
    assert releases.point(3, **MOVE).previous_version == 2
    assert releases.production().version == 3


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": 1}', "\0" * 40, "\ud800"])
def test_a_broken_pointer_is_an_error_with_the_way_out(releases, text):
    releases.pointer_file.write_bytes(text.encode(errors="surrogatepass"))
    for read in (releases.pointer, releases.production, lambda: releases.point(1, **MOVE)):
        with pytest.raises(
            IntegrityError,
            match=r"production (is not valid JSON|has a wrong).*; remove it and point at one of",
        ):
            read()
    releases.pointer_file.unlink()
    assert releases.point(1, **MOVE).previous_version is None


def test_the_server_gets_pydantic_and_nothing_heavier():
    script = (
        "import sys; before = set(sys.modules); import churn_platform.training.releases;"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"pandas", "numpy", "sklearn", "mlflow", "dagster", "pyarrow", "scipy", "feast"}
    assert "pydantic" in run.stdout.split()
    assert not heavy & set(run.stdout.split())
