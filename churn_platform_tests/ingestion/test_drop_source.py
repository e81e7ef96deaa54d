"""Drops at a shared folder or an object store: what is copied to the home, and when."""

import datetime as dt
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import DropsUnreachable
from churn_platform.ingestion.drop import SUCCESS, find_drops
from churn_platform.ingestion.drop_source import NOTE, PREVIOUS, DropSource
from churn_platform.lake.place import Place
from churn_platform_tests.small_business import JANUARY, deliver, make_home, monthly, open_home

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def root(tmp_path):
    """The folder where the business delivers."""
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def home(tmp_path, root):
    """A home that takes drops from there."""
    folder = tmp_path / "home"
    make_home(folder)
    return open_home(folder, lambda: NOON, drops=f"file://{root}")


def put(root, name, content="x", age=60.0):
    """Write a file at the source, so many seconds before the clock of the home."""
    path = root / "2024-01-31" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    written = NOON.timestamp() - age
    os.utime(path, (written, written))
    return path


def copied(home):
    """Name -> content of the copy of January."""
    folder = home.drops / "2024-01-31"
    return {path.name: path.read_text() for path in folder.glob("*") if path.name != NOTE}


def test_a_month_ends_with_the_digest_of_a_local_drop(home, root, tmp_path):
    local = make_home(tmp_path / "local")
    shutil.copytree(deliver(local, JANUARY), root / "2024-01-31")
    assert home.drop_source.copy_due() == []
    monthly(home, JANUARY)
    monthly(local, JANUARY)
    assert home.lake.digest(JANUARY) == local.lake.digest(JANUARY)
    assert home.lake.fingerprint(JANUARY) == local.lake.fingerprint(JANUARY)


def test_only_a_complete_month_is_copied(home, root):
    put(root, "members.csv", age=1)
    assert home.drop_source.copy_due() == []
    assert copied(home) == {}
    put(root, SUCCESS, "")
    home.drop_source.copy_due()
    assert copied(home) == {"members.csv": "x", SUCCESS: ""}


def test_a_quiet_month_is_settled_in_the_home_too(home, root):
    put(root, "members.csv")
    home.drop_source.copy_due()
    [drop] = find_drops(home.drops, home.contract)
    assert drop.settled(NOON, 5)


def test_deleting_at_the_source_changes_nothing_and_a_change_is_copied(home, root):
    put(root, "members.csv")
    visits = put(root, "visits.csv")
    home.drop_source.copy_due()
    visits.unlink()
    home.drop_source.copy_due()
    assert set(copied(home)) == {"members.csv", "visits.csv"}
    put(root, "members.csv", "new")
    home.drop_source.copy_due()
    assert copied(home) == {"members.csv": "new"}


def test_a_month_that_was_delivered_to_the_home_stays(home, root):
    folder = deliver(home, JANUARY)
    before = (folder / "members.csv").read_bytes()
    put(root, "members.csv")
    assert len(home.drop_source.copy_due()) == 1
    assert (folder / "members.csv").read_bytes() == before


def test_parts_of_a_table_are_refused(home, root):
    put(root, "members/part-1.csv")
    put(root, "visits.csv")
    [problem] = home.drop_source.copy_due()
    assert "2024-01-31/members" in problem
    assert copied(home) == {}


def test_a_source_that_is_away_is_one_sentence(home, root):
    deliver(home, JANUARY)
    root.rmdir()
    assert len(home.drop_source.copy_due()) == 1
    assert home.drop_source.away()
    assert str(root) in home.status.now().drop_source
    with pytest.raises(DropsUnreachable):
        home.drop_source._listed()
    assert [drop.as_of for drop in find_drops(home.drops, home.contract)] == [JANUARY]


def test_a_month_that_changes_while_it_is_copied_is_not_seen(home, root, monkeypatch):
    put(root, "members.csv", "old")
    fetch = Place.fetch_object

    def changing(place, name, target):
        fetch(place, name, target)
        put(root, "members.csv", "new", age=30)

    monkeypatch.setattr(Place, "fetch_object", changing)
    home.drop_source.copy_due()
    assert copied(home) == {}
    monkeypatch.undo()
    home.drop_source.copy_due()
    assert copied(home) == {"members.csv": "new"}


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", range(1, 6))
def test_a_kill_is_completed_by_the_next_run(home, root, monkeypatch, step):
    put(root, "members.csv", "old")
    home.drop_source.copy_due()
    put(root, "members.csv", "new")
    put(root, "visits.csv")
    calls = []

    def killing(real):
        def call(*given, **named):
            calls.append(real)
            if len(calls) == step:
                raise Killed
            return real(*given, **named)

        return call

    monkeypatch.setattr(Place, "fetch_object", killing(Place.fetch_object))
    monkeypatch.setattr(Path, "rename", killing(Path.rename))
    monkeypatch.setattr(shutil, "rmtree", killing(shutil.rmtree))
    with pytest.raises(Killed):
        home.drop_source.copy_due()
    monkeypatch.undo()
    assert copied(home) in ({}, {"members.csv": "old"}, {"members.csv": "new", "visits.csv": "x"})
    home.drop_source.copy_due()
    assert copied(home) == {"members.csv": "new", "visits.csv": "x"}
    assert not [*home.drops.glob(f".*{PREVIOUS}"), *home.drops.glob(".*.copying")]


CHANGES = st.tuples(
    st.sampled_from(["members.csv", "visits.csv", SUCCESS]),
    st.sampled_from(["old", "new", "halfway", "gone"]),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(CHANGES, max_size=8))
def test_the_copy_is_the_last_complete_listing(changes):
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "source"
        root.mkdir()
        folder = Path(temporary) / "home"
        make_home(folder)
        home = open_home(folder, lambda: NOON, drops=f"file://{root}")
        expected: dict[str, tuple[str, bool]] = {}
        there: dict[str, tuple[str, bool]] = {}
        for number, (name, change) in enumerate(changes):
            if change == "gone":
                there.pop(name, None)
                (root / "2024-01-31" / name).unlink(missing_ok=True)
            else:
                fresh = change == "halfway"
                there[name] = (f"{change} {number}", fresh)
                put(
                    root, name, f"{change} {number}", age=1 - number / 100 if fresh else 60 - number
                )
            DropSource(f"file://{root}", home).copy_due()
            complete = SUCCESS in there or not any(fresh for _, fresh in there.values())
            if complete and not there.items() <= expected.items():
                expected = dict(there)
            assert copied(home) == {name: content for name, (content, _) in expected.items()}
