"""The direct readers of Feast's online rows, whatever the store: equal to Feast's own reading, honest about what is old."""

import asyncio
import datetime as dt
import json
import shutil
import sqlite3
import sys

import pytest

from churn_platform.base.errors import StoreDown
from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.online.address import online_address
from churn_platform.features.online.network import PostgresReader, RedisReader
from churn_platform.features.online.reader import open_online_reader
from churn_platform.features.online.rows import encoded_seconds, entity_key, field_name
from churn_platform.features.online.sqlite import SqliteReader
from churn_platform_tests.small_business import CUSTOMERS, JANUARY, deliver, make_home, month_tables
from churn_platform_tests.stores import read_by_feast

KEYS = [f"m{number:05d}" for number in range(CUSTOMERS)]
READERS = {"sqlite": SqliteReader, "redis": RedisReader, "postgres": PostgresReader}
EARLIER, LATER = (dt.datetime(*day, tzinfo=dt.UTC) for day in ((2023, 12, 31), (2024, 2, 29)))


class Tables:
    """The gym's January in tables, whose single rows are changed as time would."""

    def __init__(self, store, run, mark):
        self.store, self.run, self.mark = store, run, mark
        self.folder = store.folder
        self.key = entity_key(store.contract)

    def reader(self):
        return open_online_reader(self.folder, self.store.contract)

    def read(self, *keys):
        return asyncio.run(self.reader().read(keys))

    def age(self, view, key, moment):
        """Give a customer's row of a view another moment."""
        self.run(
            f"UPDATE gym_{view} SET event_ts = {self.mark} WHERE entity_key = {self.mark}",
            moment,
            self.key(key),
        )

    def drop(self, view, key):
        """Take a customer's row of a view away."""
        self.run(f"DELETE FROM gym_{view} WHERE entity_key = {self.mark}", self.key(key))


class Hashes(Tables):
    """The same in hashes."""

    def age(self, view, key, moment):
        stamp = encoded_seconds(int(moment.timestamp()))
        assert not self.run.hset(self.key(key) + b"gym", f"_ts:{view}", stamp)

    def drop(self, view, key):
        features = self.store.contract.feature_views[view].features
        gone = [f"_ts:{view}", *(field_name(view, feature) for feature in features)]
        assert self.run.hdel(self.key(key) + b"gym", *gone) == len(gone)


def in_sqlite(january, folder):
    shutil.copytree(january.folder / "feast", folder, symlinks=True)

    def run(statement, *values):
        values = [int(v.timestamp()) if isinstance(v, dt.datetime) else v for v in values]
        with sqlite3.connect(folder / "online_store.db") as database:
            assert database.execute(statement, values).rowcount > 0
        database.close()

    return Tables(FeatureStore(folder, january.contract), run, "?")


def on_a_server(january, folder, server):
    address = online_address(server.new())
    store = FeatureStore(folder, january.contract, address)
    assert store.materialize(january.lake.view(january.now(), as_at_scoring=False), JANUARY)
    if address.kind == "redis":
        return Hashes(store, server.client(int(address.database)), "")

    def run(statement, *values):
        with server.connect(address.database) as connection:
            assert connection.execute(statement, values).rowcount > 0

    return Tables(store, run, "%s")


@pytest.fixture(scope="module", params=["sqlite", "redis", "postgres"])
def stored(request, january, tmp_path_factory):
    """January in each kind of store. Each test that changes a customer takes one of its own."""
    folder = tmp_path_factory.mktemp(request.param) / "feast"
    if request.param == "sqlite":
        return in_sqlite(january, folder)
    return on_a_server(january, folder, request.getfixturevalue(f"{request.param}_server"))


def test_every_customer_reads_as_feast_itself_reads_it_in_the_order_asked(stored):
    asked = [*reversed(KEYS), "nobody", KEYS[0]]
    rows = stored.read(*asked)
    assert rows == read_by_feast(stored.store, *asked)
    assert [row is None for row in rows].index(True) == CUSTOMERS
    for name in ("has_app", "hours"):
        assert any(row.values[name] is None and not row.behind for row in rows if row)
    [row] = stored.read("m00001")
    kinds = {"months": int, "plan": str, "has_app": bool, "hours": float}
    assert [(name, type(value)) for name, value in row.values.items()] == [*kinds.items()]
    reader = stored.reader()
    assert asyncio.run(reader.newest()) == JANUARY
    assert type(reader.reader) is READERS[stored.store.address.kind]


def test_an_unknown_customer_is_none_and_not_a_row_of_nulls(stored):
    assert stored.read("nobody", "", "m00001'; --", "m" * 1000, "ü\r\n$1") == [None] * 5
    assert stored.read() == []


def test_a_view_of_an_older_month_is_named_and_the_row_is_as_old_as_its_oldest_view(stored):
    [before] = stored.read("m00011")
    stored.age("visits_fv", "m00011", EARLIER)
    old, current = rows = stored.read("m00011", "m00012")
    assert (old.behind, old.as_of) == (("hours",), dt.date(2023, 12, 31))
    assert old.values == before.values
    assert current.behind == ()
    assert rows == read_by_feast(stored.store, "m00011", "m00012")


def test_a_view_without_a_row_is_named_and_its_features_are_null(stored):
    stored.drop("visits_fv", "m00021")
    [row] = rows = stored.read("m00021")
    assert (row.behind, row.values["hours"], row.as_of) == (("hours",), None, JANUARY)
    assert row.values["months"] is not None
    assert rows == read_by_feast(stored.store, "m00021")


def test_a_customer_without_a_row_in_any_view_is_unknown(stored):
    for view in ("visits_fv", "members_fv"):
        stored.drop(view, "m00031")
    assert stored.read("m00031") == [None] == read_by_feast(stored.store, "m00031")


def test_a_row_that_is_newer_than_the_newest_whole_month_is_current(stored):
    """While a month is being written, some rows are of it already."""
    stored.age("visits_fv", "m00041", LATER)
    [row] = stored.read("m00041")
    assert (row.behind, row.as_of) == ((), JANUARY)


def test_a_month_that_came_is_seen_without_a_restart_and_those_who_left_are_behind_in_every_feature(
    stored,
):
    async def read_twice():
        reader, marker = stored.reader(), stored.folder / "online.json"
        kept, before = marker.read_text(), await reader.read(["m00002"])
        marker.write_text(json.dumps(json.loads(kept) | {"as_of": "2024-02-29"}))
        try:
            return before, await reader.read(["m00002"]), await reader.newest()
        finally:
            marker.write_text(kept)

    [before], [after], newest = asyncio.run(read_twice())
    assert (before.behind, before.as_of) == ((), JANUARY)
    assert (after.behind, after.as_of, newest) == (
        tuple(stored.store.contract.features),
        JANUARY,
        LATER.date(),
    )


def test_a_correction_of_the_month_arrives(stored):
    """Feast's own Redis store leaves out a row of the same instant."""
    home = make_home(stored.folder.parent / "corrected")
    home.__dict__["online"] = stored.store.address
    tables = month_tables(JANUARY)
    reader = open_online_reader(home.folder / "feast", home.contract)
    found = []
    for more in (0, 1):
        tables["members"].loc[51, "months"] += more
        deliver(home, JANUARY, tables)
        home.ingestion.publish(JANUARY)
        home.feature_store.materialize(home.lake.view(home.now(), as_at_scoring=False), JANUARY)
        [row] = asyncio.run(reader.read(["m00051"]))
        found.append(row.values)
    assert found[1] == found[0] | {"months": found[0]["months"] + 1}


@pytest.mark.parametrize("text", [None, "{}", "no json", '{"as_of": "yesterday"}', "[]"])
def test_without_a_month_the_store_is_down_and_says_what_to_do(january, tmp_path, text):
    stored = in_sqlite(january, tmp_path / "feast")
    (stored.folder / "online.json").unlink()
    if text is not None:
        (stored.folder / "online.json").write_text(text)
    with pytest.raises(StoreDown, match="materialize feature_views first"):
        stored.read("m00001")


def test_a_home_whose_store_was_changed_reads_the_new_one_without_a_restart(
    january, tmp_path, redis_server
):
    stored = in_sqlite(january, tmp_path / "feast")
    address = online_address(redis_server.new())
    later = FeatureStore(stored.folder, january.contract, address)
    assert later.online_as_of() is None

    async def across():
        reader = stored.reader()
        before, kind = await reader.read(["m00001"]), type(reader.reader)
        await asyncio.to_thread(
            later.materialize, january.lake.view(january.now(), as_at_scoring=False), JANUARY
        )
        return before, kind, await reader.read(["m00001"]), type(reader.reader)

    before, first, after, second = asyncio.run(across())
    assert (first, second, after) == (SqliteReader, RedisReader, before)
    assert later.online_as_of() == JANUARY


@pytest.mark.parametrize(
    ("address", "package"),
    [("redis://127.0.0.1:1/0", "hiredis"), ("postgresql://churn@127.0.0.1:1/db", "psycopg")],
)
def test_what_a_store_needs_and_is_not_installed_is_named(
    january, tmp_path, monkeypatch, address, package
):
    (tmp_path / "online.json").write_text(json.dumps({"as_of": "2024-01-31", "store": address}))
    monkeypatch.setitem(sys.modules, package, None)
    extra = online_address(address).kind
    with pytest.raises(StoreDown, match=rf"{package} .* install churn-platform\[{extra}\]"):
        asyncio.run(open_online_reader(tmp_path, january.contract).read(["m00001"]))


def test_a_store_that_cannot_be_written_is_one_sentence(january, tmp_path):
    store = FeatureStore(
        tmp_path / "feast", january.contract, online_address("redis://127.0.0.1:1/0")
    )
    view = january.lake.view(january.now(), as_at_scoring=False)
    with pytest.raises(
        StoreDown, match=r"The online store redis://127\.0\.0\.1:1/0 cannot be written"
    ):
        store.materialize(view, JANUARY)
    assert store.online_as_of() is None
