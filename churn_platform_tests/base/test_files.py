"""Atomic writes: a reader meets the old file or the new one, whatever happens to the writer."""

import copy
import hashlib
import json
import math
import multiprocessing
import os
import pickle
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from churn_platform.base import files
from churn_platform.base.errors import IntegrityError
from churn_platform.base.files import read_json, write_json


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def events(monkeypatch):
    """What really happens on the disk, in order: the real calls go through, and are noted."""
    noted = []
    fsync, replace = os.fsync, Path.replace

    def noting_fsync(descriptor):
        noted.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        fsync(descriptor)

    def noting_replace(source, target):
        noted.append(("replace", source.name, Path(target).name))
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    return noted


def die_while_writing(target):
    with files.replacing(target) as temporary:
        temporary.write_text("half of the n")
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_new_file_is_written_with_its_folders(tmp_path):
    files.write_text(tmp_path / "a" / "b" / "note.txt", "grüße\n")
    assert (tmp_path / "a" / "b" / "note.txt").read_bytes() == "grüße\n".encode()
    assert names(tmp_path / "a" / "b") == ["note.txt"]


def test_the_content_is_on_the_disk_before_the_name_and_the_name_after(tmp_path, events):
    files.write_text(tmp_path / "note.txt", "new")
    temporary = events[0][1]
    assert temporary.startswith(".note.txt.")
    assert events == [
        ("fsync", temporary),
        ("replace", temporary, "note.txt"),
        ("fsync", tmp_path.name),
    ]


def test_whoever_holds_the_old_file_open_reads_all_of_it(tmp_path):
    target = tmp_path / "note.txt"
    files.write_text(target, "old")
    with target.open() as held:
        files.write_text(target, "new")
        assert held.read() == "old"
    assert target.read_text() == "new"


def test_an_error_while_writing_leaves_the_old_file_and_no_temporary_one(tmp_path):
    target = tmp_path / "note.txt"
    files.write_text(target, "old")
    with pytest.raises(TypeError), files.replacing(target) as temporary:
        temporary.write_text("half") + "of it"
    assert target.read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_a_writer_killed_midway_leaves_the_old_file_and_the_next_write_works(tmp_path):
    target = tmp_path / "note.txt"
    files.write_text(target, "old")
    process = multiprocessing.get_context("fork").Process(target=die_while_writing, args=(target,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert target.read_text() == "old"
    files.write_text(target, "new")
    assert target.read_text() == "new"


def test_json_is_read_back_as_it_was_written(tmp_path):
    value = {"b": [1, 0.1 + 0.2, None, True], "a": {"é": "x"}}
    files.write_json(tmp_path / "value.json", value)
    assert files.read_json(tmp_path / "value.json") == value
    assert json.loads((tmp_path / "value.json").read_text()) == value


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_is_no_number_and_keeps_the_old_file(tmp_path, bad):
    files.write_json(tmp_path / "value.json", {"auc": 0.5})
    with pytest.raises(ValueError, match="Out of range float values"):
        files.write_json(tmp_path / "value.json", {"auc": bad})
    assert files.read_json(tmp_path / "value.json") == {"auc": 0.5}
    assert names(tmp_path) == ["value.json"]


def test_the_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "data").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256_file(tmp_path / "data") == known
    (tmp_path / "large").write_bytes(b"abc" * 1_000_000)
    assert files.sha256_file(tmp_path / "large") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


@dataclass
class Holder:
    value: object


def test_a_field_that_a_file_lacks_is_a_fault_of_the_file(tmp_path):
    write_json(tmp_path / "record.json", {"as_of": "2024-01-31", "delivery": {"tables": {}}})
    found = read_json(tmp_path / "record.json")
    assert found == {"as_of": "2024-01-31", "delivery": {"tables": {}}}
    assert json.loads(json.dumps(found)) == copy.deepcopy(found) == found
    assert pickle.loads(pickle.dumps(found)) == asdict(Holder(found))["value"] == found
    assert found.get("version") is None
    with pytest.raises(IntegrityError, match=r"record\.json has no field 'version'"):
        found["version"]
    with pytest.raises(IntegrityError, match=r"record\.json has no field 'number'"):
        found["delivery"]["number"]
