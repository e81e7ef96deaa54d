"""The direct reader of Feast's online rows: equal to Feast's own reading, and honest about what is missing or old."""

import datetime as dt
import json
import shutil
import sqlite3
import struct

import pytest

from churn_platform.adapters.online_reader import SqliteReader, decoded, entity_key, open_online_reader
from churn_platform.adapters.online_sdk import FeastReader
from churn_platform.errors import StoreDown
from churn_platform_tests.small_business import CUSTOMERS, JANUARY, declared

KEYS = [f"m{number:05d}" for number in range(CUSTOMERS)]
EARLIER = int(dt.datetime(2023, 12, 31, tzinfo=dt.UTC).timestamp())


@pytest.fixture
def store(january, tmp_path):
    """A copy of January's Feast folder, to change; and its contract."""
    folder = tmp_path / "feast"
    shutil.copytree(january.folder / "feast", folder, symlinks=True)
    return folder, january.contract


def changed(folder, statement, *values):
    with sqlite3.connect(folder / "online_store.db") as database:
        assert database.execute(statement, values).rowcount > 0
    database.close()


@pytest.mark.parametrize("reader", [open_online_reader, FeastReader])
def test_every_customer_reads_as_feast_itself_reads_it(january, reader):
    found = reader(january.folder / "feast", january.contract).read(KEYS[:300])
    for key, row in zip(KEYS[:300:10], found[::10], strict=True):
        assert row.values == january.feature_store.online(key)
        assert (row.as_of, row.behind) == (JANUARY, ())


def test_the_direct_reader_and_the_sdk_give_the_same_rows_in_the_order_asked(january):
    asked = [*reversed(KEYS), "nobody", KEYS[0]]
    direct = open_online_reader(january.folder / "feast", january.contract)
    rows = direct.read(asked)
    assert isinstance(direct, SqliteReader)
    assert rows == FeastReader(january.folder / "feast", january.contract).read(asked)
    assert any(row.values["has_app"] is None for row in rows if row)
    assert any(row.values["hours"] is None for row in rows if row)


def test_features_come_in_the_contracts_order_with_their_own_types(january):
    [row] = open_online_reader(january.folder / "feast", january.contract).read(["m00001"])
    assert list(row.values) == list(january.contract.features)
    assert [type(value) for value in row.values.values()] == [int, str, bool, float]


def test_an_unknown_customer_is_none_and_not_a_row_of_nulls(january):
    reader = open_online_reader(january.folder / "feast", january.contract)
    assert reader.read(["nobody", "", "m00001'; --", "m" * 1000]) == [None] * 4
    assert reader.read([]) == []


@pytest.mark.parametrize("reader", [open_online_reader, FeastReader])
def test_a_view_of_an_older_month_is_named_and_the_row_is_as_old_as_its_oldest_view(store, reader):
    folder, contract = store
    changed(
        folder, "UPDATE gym_visits_fv SET event_ts = ? WHERE entity_key = ?", EARLIER, entity_key(contract)("m00001")
    )
    old, current = reader(folder, contract).read(["m00001", "m00002"])
    assert (old.behind, old.as_of) == (("hours",), dt.date(2023, 12, 31))
    assert old.values["hours"] == 8.47
    assert current.behind == ()


@pytest.mark.parametrize("reader", [open_online_reader, FeastReader])
def test_a_view_without_a_row_is_named_and_its_features_are_null(store, reader):
    folder, contract = store
    changed(folder, "DELETE FROM gym_visits_fv WHERE entity_key = ?", entity_key(contract)("m00001"))
    [row] = reader(folder, contract).read(["m00001"])
    assert (row.behind, row.values["hours"], row.as_of) == (("hours",), None, JANUARY)
    assert row.values["months"] is not None


def test_a_customer_who_left_is_behind_in_every_feature_and_gone_for_feast(store):
    folder, contract = store
    (folder / "online.json").write_text(json.dumps({"as_of": "2024-02-29"}))
    [row] = open_online_reader(folder, contract).read(["m00001"])
    assert row.behind == tuple(contract.features)
    assert row.as_of == JANUARY


def test_a_row_that_is_newer_than_the_newest_whole_month_is_current(store):
    """While a month is being written, some rows are of it already."""
    folder, contract = store
    later = int(dt.datetime(2024, 2, 29, tzinfo=dt.UTC).timestamp())
    changed(folder, "UPDATE gym_visits_fv SET event_ts = ?", later)
    [row] = open_online_reader(folder, contract).read(["m00001"])
    assert (row.behind, row.as_of) == ((), JANUARY)


def test_a_new_month_and_a_store_put_in_place_anew_are_seen_without_a_restart(store, tmp_path):
    folder, contract = store
    reader = open_online_reader(folder, contract)
    assert reader.newest() == JANUARY
    other = tmp_path / "other.db"
    shutil.copy(folder / "online_store.db", other)
    with sqlite3.connect(other) as database:
        database.execute("DELETE FROM gym_visits_fv")
        database.execute("DELETE FROM gym_members_fv")
    database.close()
    other.replace(folder / "online_store.db")
    (folder / "online.json").write_text(json.dumps({"as_of": "2024-02-29"}))
    assert reader.newest() == dt.date(2024, 2, 29)
    assert reader.read(["m00001"]) == [None]


@pytest.mark.parametrize("text", [None, "{}", "no json", '{"as_of": "yesterday"}', "[]"])
def test_without_a_month_the_store_is_down_and_says_what_to_do(store, text):
    folder, contract = store
    (folder / "online.json").unlink()
    if text is not None:
        (folder / "online.json").write_text(text)
    with pytest.raises(StoreDown, match="materialize feature_views first"):
        open_online_reader(folder, contract).read(["m00001"])


def test_a_store_that_is_away_is_down_and_answers_again_when_it_is_back(store):
    folder, contract = store
    reader = open_online_reader(folder, contract)
    away = (folder / "online_store.db").rename(folder / "away.db")
    with pytest.raises(StoreDown, match="cannot be opened"):
        reader.read(["m00001"])
    away.rename(folder / "online_store.db")
    assert reader.read(["m00001"])[0].as_of == JANUARY


def test_a_damaged_store_is_down(store):
    folder, contract = store
    (folder / "online_store.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreDown, match=r"cannot be opened \(file is not a database\)"):
        open_online_reader(folder, contract).newest()


def test_another_kind_of_store_is_read_through_the_sdk(store):
    folder, contract = store
    path = folder / "feature_store.yaml"
    text = path.read_text()
    path.write_text(text.replace("entity_key_serialization_version: 3", "entity_key_serialization_version: 2"))
    assert isinstance(open_online_reader(folder, contract), FeastReader)
    path.write_text(text.replace("type: sqlite, path: online_store.db", "type: redis, connection_string: 127.0.0.1:1"))
    reader = open_online_reader(folder, contract)
    assert isinstance(reader, FeastReader)
    assert reader.blocking
    with pytest.raises(StoreDown, match="does not answer"):
        reader.read(["m00001"])


@pytest.mark.parametrize(("dtype", "keys"), [("string", ["m00001", "", "ü" * 40]), ("integer", [0, 7, -3, 2**62])])
def test_keys_are_written_as_feast_writes_them(dtype, keys):
    from churn_platform.adapters.feature_store import import_feast

    import_feast()
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    write = entity_key(declared(entity={"column": "member", "dtype": dtype}))
    for key in keys:
        proto = Value(string_val=key) if dtype == "string" else Value(int64_val=key)
        assert write(key) == serialize_entity_key(EntityKey(join_keys=["member"], entity_values=[proto]), 3)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("string_val", ["", "plus", "ü" * 200, "x" * 20_000]),
        ("int64_val", [0, 1, 127, 128, -1, 2**63 - 1, -(2**63)]),
        ("int32_val", [0, -1, 2**31 - 1]),
        ("double_val", [0.0, -0.1, 1e300, float("inf")]),
        ("float_val", [0.5, -2.25]),
        ("bool_val", [True, False]),
    ],
)
def test_values_are_read_as_feast_wrote_them(field, values):
    from churn_platform.adapters.feature_store import import_feast

    import_feast()
    from feast.protos.feast.types.Value_pb2 import Value

    for value in values:
        found = decoded(Value(**{field: value}).SerializeToString())
        assert (found, type(found)) == (value, type(value))
    assert decoded(Value().SerializeToString()) is None


def test_a_value_of_an_unknown_kind_is_no_feature():
    with pytest.raises(StoreDown, match="a value of an unknown kind"):
        decoded(struct.pack("<B", 0x7A) + b"abc")


def test_moments_that_older_versions_wrote_as_text_are_read(store):
    folder, contract = store
    changed(folder, "UPDATE gym_visits_fv SET event_ts = '2023-12-31 00:00:00'")
    [row] = open_online_reader(folder, contract).read(["m00001"])
    assert (row.as_of, row.behind) == (dt.date(2023, 12, 31), ("hours",))
