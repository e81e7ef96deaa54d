"""The direct readers of Feast's online rows, whatever the store: equal to Feast's own reading, honest about what is old."""

import asyncio
import datetime as dt
import json
import shutil
import sqlite3

import pytest

from churn_platform.base.errors import StoreDown
from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.online.address import OnlineAddress, online_address
from churn_platform.features.online.network import PostgresReader, RedisReader
from churn_platform.features.online.reader import FeastReader, open_online_reader, read_month
from churn_platform.features.online.rows import entity_key, field_name
from churn_platform.features.online.sqlite import SqliteReader
from churn_platform_tests.small_business import CUSTOMERS, JANUARY, deliver, make_home, month_tables

KEYS = [f"m{number:05d}" for number in range(CUSTOMERS)]
EARLIER, LATER = (dt.datetime(*day, tzinfo=dt.UTC) for day in ((2023, 12, 31), (2024, 2, 29)))


class Stored:
    """The gym's January in one store, its readers, and hands that change single rows as time would."""

    def __init__(self, home, folder, address, hands):
        self.contract, self.folder, self.address, self.hands = home.contract, folder, address, hands
        self.key = entity_key(self.contract)

    def reader(self):
        return open_online_reader(self.folder, self.contract)

    def read(self, *keys):
        return asyncio.run(self.reader().read(keys))

    def read_by_feast(self, *keys):
        reader = FeastReader(self.folder, self.contract, self.address)
        return asyncio.run(reader.read(keys, read_month(self.folder)))

    def age(self, view, key, moment):
        """Give a customer's row of a view another moment."""
        self.hands.age(view, self.key(key), moment)

    def drop(self, view, key):
        """Take a customer's row of a view away."""
        self.hands.drop(view, self.key(key))


class Sql:
    """The hands of a store in tables."""

    def __init__(self, run, mark):
        self.run, self.mark = run, mark

    def age(self, view, key, moment):
        self.run(
            f"UPDATE gym_{view} SET event_ts = {self.mark} WHERE entity_key = {self.mark}",
            moment,
            key,
        )

    def drop(self, view, key):
        self.run(f"DELETE FROM gym_{view} WHERE entity_key = {self.mark}", key)


class Hashes:
    """The hands of a store in hashes."""

    def __init__(self, client):
        self.client = client

    def age(self, view, key, moment):
        from google.protobuf.timestamp_pb2 import Timestamp

        assert not self.client.hset(
            key + b"gym",
            f"_ts:{view}",
            Timestamp(seconds=int(moment.timestamp())).SerializeToString(),
        )

    def drop(self, view, key):
        features = {"visits_fv": ["hours"], "members_fv": ["months", "plan", "has_app"]}[view]
        gone = [f"_ts:{view}", *(field_name(view, feature) for feature in features)]
        assert self.client.hdel(key + b"gym", *gone) == len(gone)


def in_sqlite(january, folder):
    shutil.copytree(january.folder / "feast", folder, symlinks=True)

    def run(statement, *values):
        values = [int(v.timestamp()) if isinstance(v, dt.datetime) else v for v in values]
        with sqlite3.connect(folder / "online_store.db") as database:
            assert database.execute(statement, values).rowcount > 0
        database.close()

    return Stored(january, folder, OnlineAddress(), Sql(run, "?"))


def on_a_server(january, folder, server):
    address = online_address(server.new())
    store = FeatureStore(folder, january.contract, address)
    assert store.materialize(january.lake.view(january.now(), as_at_scoring=False), JANUARY)
    if address.kind == "redis":
        return Stored(january, folder, address, Hashes(server.client(int(address.database))))

    def run(statement, *values):
        with server.connect(address.database) as connection:
            assert connection.execute(statement, values).rowcount > 0

    return Stored(january, folder, address, Sql(run, "%s"))


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
    assert rows == stored.read_by_feast(*asked)
    assert [row is None for row in rows].index(True) == CUSTOMERS
    assert any(row.values["has_app"] is None and not row.behind for row in rows if row)
    assert any(row.values["hours"] is None and not row.behind for row in rows if row)


def test_each_store_has_its_direct_reader(stored):
    reader = stored.reader()
    assert asyncio.run(reader.newest()) == JANUARY
    kinds = {"sqlite": SqliteReader, "redis": RedisReader, "postgres": PostgresReader}
    assert type(reader.reader) is kinds[stored.address.kind]


def test_features_come_in_the_contracts_order_with_their_own_types(stored):
    [row] = stored.read("m00001")
    assert list(row.values) == list(stored.contract.features)
    assert [type(value) for value in row.values.values()] == [int, str, bool, float]


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
    assert rows == stored.read_by_feast("m00011", "m00012")


def test_a_view_without_a_row_is_named_and_its_features_are_null(stored):
    stored.drop("visits_fv", "m00021")
    [row] = rows = stored.read("m00021")
    assert (row.behind, row.values["hours"], row.as_of) == (("hours",), None, JANUARY)
    assert row.values["months"] is not None
    assert rows == stored.read_by_feast("m00021")


def test_a_customer_without_a_row_in_any_view_is_unknown(stored):
    for view in ("visits_fv", "members_fv"):
        stored.drop(view, "m00031")
    assert stored.read("m00031") == [None] == stored.read_by_feast("m00031")


def test_a_row_that_is_newer_than_the_newest_whole_month_is_current(stored):
    """While a month is being written, some rows are of it already."""
    stored.age("visits_fv", "m00041", LATER)
    [row] = stored.read("m00041")
    assert (row.behind, row.as_of) == ((), JANUARY)


def test_many_requests_at_once_each_get_their_own_customers(stored):
    async def all_at_once():
        reader = stored.reader()
        asked = [[KEYS[n], KEYS[-n], "nobody"] for n in range(100, 160)]
        return asked, await asyncio.gather(*(reader.read(keys) for keys in asked))

    asked, answers = asyncio.run(all_at_once())
    assert answers == [stored.read(*keys) for keys in asked]


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
        tuple(stored.contract.features),
        JANUARY,
        LATER.date(),
    )


def test_a_correction_of_the_month_arrives(stored):
    """Feast's own Redis store leaves out a row of the same instant."""
    home = make_home(stored.folder.parent / "corrected")
    home.__dict__["online"] = stored.address
    tables = month_tables(JANUARY)
    deliver(home, JANUARY, tables)
    monthly_features(home, JANUARY)
    reader = open_online_reader(home.folder / "feast", home.contract)
    [before] = asyncio.run(reader.read(["m00051"]))
    tables["members"].loc[51, "months"] += 1
    deliver(home, JANUARY, tables)
    monthly_features(home, JANUARY)
    [after] = asyncio.run(reader.read(["m00051"]))
    assert after.values == before.values | {"months": before.values["months"] + 1}


def monthly_features(home, as_of):

    home.ingestion.publish(as_of)
    assert home.feature_store.materialize(home.lake.view(home.now(), as_at_scoring=False), as_of)


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


def test_another_kind_of_store_is_read_through_the_sdk(january, tmp_path):
    stored = in_sqlite(january, tmp_path / "feast")
    path = stored.folder / "feature_store.yaml"
    text = path.read_text()
    path.write_text(
        text.replace("entity_key_serialization_version: 3", "entity_key_serialization_version: 2")
    )
    reader = stored.reader()
    asyncio.run(reader.newest())
    assert isinstance(reader.reader, FeastReader)
    path.write_text(
        text.replace(
            "type: sqlite, path: online_store.db", "type: redis, connection_string: '127.0.0.1:1'"
        )
    )
    reader = stored.reader()
    with pytest.raises(StoreDown, match="does not answer"):
        asyncio.run(reader.read(["m00001"]))
    assert isinstance(reader.reader, FeastReader)


def test_what_a_store_needs_and_is_not_installed_is_named(january, tmp_path, monkeypatch):
    stored = in_sqlite(january, tmp_path / "feast")
    store = FeatureStore(stored.folder, january.contract, online_address("redis://127.0.0.1:1/0"))
    store.generate()
    (stored.folder / "online.json").write_text(
        json.dumps({"as_of": "2024-01-31", "store": "redis://127.0.0.1:1/0"})
    )
    import sys

    monkeypatch.setitem(sys.modules, "hiredis", None)
    with pytest.raises(
        StoreDown, match=r"hiredis is not installed: install churn-platform\[redis\]"
    ):
        stored.read("m00001")


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
