"""Digests of files: an unchanged file is read once, a changed one again, and no memory is needed."""

import hashlib
import os

import pytest

from churn_platform.ingestion import drop as module
from churn_platform.ingestion.drop import SETTLED, FileDigests


@pytest.fixture
def drops(tmp_path, monkeypatch):
    """A file that was settled long ago, and the names of the files that are read."""
    folder = tmp_path / "drops"
    folder.mkdir()
    (folder / "a.csv").write_text("a\n")
    later(monkeypatch, 2 * SETTLED)
    return folder


@pytest.fixture
def read(monkeypatch):
    names = []
    original = module.sha256_file
    monkeypatch.setattr(
        module, "sha256_file", lambda path: names.append(path.name) or original(path)
    )
    return names


def later(monkeypatch, nanoseconds):
    now = module.time.time_ns
    monkeypatch.setattr(module.time, "time_ns", lambda: now() + nanoseconds)


def opened(folder):
    """As a new process has them."""
    return FileDigests(folder, folder.parent / "memory.json")


def digest(file):
    """The digest as a process computes and keeps it."""
    digests = opened(file.parent)
    found = digests.of(file)
    digests.save()
    return found


def test_an_unchanged_file_is_read_once_by_all_processes(drops, read):
    wanted = hashlib.sha256(b"a\n").hexdigest()
    assert [digest(drops / "a.csv") for _ in range(3)] == [wanted] * 3
    assert read == ["a.csv"]


def test_a_file_that_changed_is_read_again_also_with_its_old_size_and_time(drops, read):
    file = drops / "a.csv"
    first = digest(file)
    before = file.stat().st_mtime_ns
    file.write_text("b\n")
    os.utime(file, ns=(before, before))
    assert digest(file) == hashlib.sha256(b"b\n").hexdigest() != first
    assert read == ["a.csv", "a.csv"]


def test_a_file_that_changed_just_now_is_not_remembered(drops, read, monkeypatch):
    later(monkeypatch, -2 * SETTLED)
    for _ in range(2):
        digest(drops / "a.csv")
    assert read == ["a.csv", "a.csv"]


@pytest.mark.parametrize("content", ["{", "[]", '{"a.csv": {}}'])
def test_a_memory_that_cannot_be_read_is_written_again(drops, read, content):
    (drops.parent / "memory.json").write_text(content)
    for _ in range(2):
        digest(drops / "a.csv")
    assert read == ["a.csv"]


def test_what_is_gone_or_lies_elsewhere_is_not_remembered(drops, tmp_path):
    (drops / "b.csv").write_text("b")
    (tmp_path / "c.csv").write_text("c")
    digests = opened(drops)
    for path in (drops / "b.csv", tmp_path / "c.csv"):
        digests.of(path)
    (drops / "b.csv").unlink()
    digests.of(drops / "a.csv")
    digests.save()
    assert "c.csv" not in (tmp_path / "memory.json").read_text()
    assert "b.csv" not in (tmp_path / "memory.json").read_text()


def test_a_memory_that_cannot_be_written_is_done_without(drops, read):
    digests = FileDigests(drops, drops / "a.csv" / "memory.json")
    assert digests.of(drops / "a.csv") == FileDigests().of(drops / "a.csv")
    digests.save()
