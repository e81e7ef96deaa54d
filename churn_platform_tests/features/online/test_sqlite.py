"""The SQLite store by itself: away, damaged, put in place anew, of an older version of Feast."""

import asyncio
import datetime as dt
import json
import shutil
import sqlite3

import pytest

from churn_platform.base.errors import StoreDown
from churn_platform.features.online.reader import open_online_reader
from churn_platform.features.online.sqlite import SqliteReader
from churn_platform_tests.small_business import JANUARY


@pytest.fixture
def store(january, tmp_path):
    """A copy of January's Feast folder, to change; and its contract."""
    folder = tmp_path / "feast"
    shutil.copytree(january.folder / "feast", folder, symlinks=True)
    return folder, january.contract


def read(reader, *keys):
    return asyncio.run(reader.read(keys))


def test_a_new_month_and_a_store_put_in_place_anew_are_seen_without_a_restart(store, tmp_path):
    folder, contract = store
    reader = open_online_reader(folder, contract)
    assert asyncio.run(reader.newest()) == JANUARY
    assert isinstance(reader.reader, SqliteReader)
    other = tmp_path / "other.db"
    shutil.copy(folder / "online_store.db", other)
    with sqlite3.connect(other) as database:
        database.execute("DELETE FROM gym_visits_fv")
        database.execute("DELETE FROM gym_members_fv")
    database.close()
    other.replace(folder / "online_store.db")
    (folder / "online.json").write_text(json.dumps({"as_of": "2024-02-29"}))
    assert asyncio.run(reader.newest()) == dt.date(2024, 2, 29)
    assert read(reader, "m00001") == [None]


def test_a_store_that_is_away_is_down_and_answers_again_when_it_is_back(store):
    folder, contract = store
    reader = open_online_reader(folder, contract)
    away = (folder / "online_store.db").rename(folder / "away.db")
    with pytest.raises(StoreDown, match="cannot be opened"):
        read(reader, "m00001")
    away.rename(folder / "online_store.db")
    assert read(reader, "m00001")[0].as_of == JANUARY


def test_a_damaged_store_is_down(store):
    folder, contract = store
    (folder / "online_store.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreDown, match=r"cannot be opened \(file is not a database\)"):
        asyncio.run(open_online_reader(folder, contract).newest())


def test_a_table_that_is_not_there_is_down(store):
    folder, contract = store
    with sqlite3.connect(folder / "online_store.db") as database:
        database.execute("DROP TABLE gym_visits_fv")
    database.close()
    with pytest.raises(StoreDown, match="does not answer"):
        read(open_online_reader(folder, contract), "m00001")


def test_moments_that_older_versions_wrote_as_text_are_read(store):
    folder, contract = store
    with sqlite3.connect(folder / "online_store.db") as database:
        database.execute("UPDATE gym_visits_fv SET event_ts = '2023-12-31 00:00:00'")
    database.close()
    [row] = read(open_online_reader(folder, contract), "m00001")
    assert (row.as_of, row.behind) == (dt.date(2023, 12, 31), ("hours",))
