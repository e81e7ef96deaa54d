"""A month is written in Feast's layout without Feast: every stored cell is the one that Feast's own writer stores."""

import datetime as dt
import itertools
import math
import sqlite3
import subprocess
import sys

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.base.errors import StoreDown
from churn_platform.features.feast_repository import import_feast
from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.online.address import online_address
from churn_platform.features.online.rows import decoded, encoded, encoded_seconds, seconds_of
from churn_platform.features.online.writer import Batch, batches, cells, write_month
from churn_platform.lake.lake import Lake, instant
from churn_platform_tests.small_business import FEBRUARY, JANUARY, declared

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES = {
    "int64_val": INTEGERS,
    "double_val": st.floats(allow_nan=False),
    "bool_val": st.booleans(),
    "string_val": st.text(),
}


@settings(deadline=None)  # the first example imports Feast
@given(st.one_of([st.tuples(st.just(field), values) for field, values in VALUES.items()]))
def test_a_value_is_written_as_feast_writes_it_and_read_as_it_was(one):
    import_feast()
    from feast.protos.feast.types.Value_pb2 import Value

    field, value = one
    assert encoded(value) == Value(**{field: value}).SerializeToString()
    assert decoded(encoded(value)) == value


@given(st.integers(0, 2**40))
def test_an_instant_is_written_as_feast_writes_it_and_read_as_it_was(seconds):
    from google.protobuf.timestamp_pb2 import Timestamp

    assert encoded_seconds(seconds) == Timestamp(seconds=seconds).SerializeToString()
    assert seconds_of(encoded_seconds(seconds)) == seconds


@given(
    st.one_of(
        st.lists(st.none() | INTEGERS).map(lambda values: pa.array(values, pa.int64())),
        st.lists(st.none() | st.sampled_from([0.0, -0.0, 1.5, math.inf]) | st.floats()).map(
            lambda values: pa.array(values, pa.float64())
        ),
        st.lists(st.none() | st.booleans()).map(lambda values: pa.array(values, pa.bool_())),
        st.lists(st.none() | st.sampled_from(["", "plus", "ü" * 200])).map(
            lambda values: pa.array(values, pa.string())
        ),
    )
)
def test_a_column_is_its_values_one_by_one(column):
    found = cells(column, lambda value, text: (value, text))
    values = column.to_pylist()
    assert [value for value, _ in found] == [encoded(value) for value in values]
    assert [text for _, text in found] == [str(v) if encoded(v) else None for v in values]


def business(folder, dtype="string"):
    """A lake with two months of odd values, and its contract."""
    contract = declared(entity={"column": "member", "dtype": dtype})
    lake = Lake(folder / "lake", contract)
    keys = ["ann", "", "ü" * 40, "d d", "e"] if dtype == "string" else [0, 7, -3, 2**62, -(2**63)]
    members = {
        "months": pd.array([0, 1, 127, 2**40, None], dtype="Int64"),
        "plan": ["basic", "plus", None, "family", "plus"],
        "has_app": pd.array([True, False, None, True, False], dtype="boolean"),
        "town": ["north"] * 5,
    }
    for number, as_of in enumerate((JANUARY, FEBRUARY)):
        kept = keys[number:]  # one leaves
        tables = {
            "members": pd.DataFrame({"member": keys, **members}).iloc[number:],
            "visits": pd.DataFrame(
                {"member": kept, "hours": [0.0, -0.0, 1e300, None, 0.1 + number][number:]}
            ),
        }
        lake.publish(
            as_of, tables, instant(as_of) + dt.timedelta(hours=7, microseconds=number), str(as_of)
        )
    return lake, contract


def stored(store):
    """Every cell that the store holds."""
    address, contract = store.address, store.contract
    tables = [f"{contract.name}_{view}" for view in contract.feature_views]
    if address.kind == "redis":
        import redis

        client = redis.Redis(port=address.port, db=int(address.database))
        return {key: client.hgetall(key) for key in client.scan_iter()}
    if address.kind == "postgres":
        import psycopg

        with psycopg.connect(address.postgres()) as one:
            rows = [one.execute(f'SELECT * FROM public."{name}"').fetchall() for name in tables]
    else:
        with sqlite3.connect(store.folder / "online_store.db") as one:
            rows = [one.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables]
    return {
        (name, row[0], row[1]): row for name, part in zip(tables, rows, strict=True) for row in part
    }


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def address(request):
    """A maker of addresses of empty stores of one kind."""
    if request.param == "sqlite":
        return lambda: online_address("")
    server = request.getfixturevalue(f"{request.param}_server")
    return lambda: online_address(server.new())


@pytest.mark.parametrize("dtype", ["string", "integer"])
def test_two_months_are_cell_for_cell_what_feast_writes(address, dtype, tmp_path, monkeypatch):
    for name in ("TZ", "PGTZ"):  # as `prepare_environment` sets them
        monkeypatch.setenv(name, "UTC")
    lake, contract = business(tmp_path, dtype)
    ours, feasts = (
        FeatureStore(tmp_path / name, contract, address()) for name in ("ours", "feasts")
    )
    view = lake.view(NOW, as_at_scoring=False)
    for as_of in (JANUARY, FEBRUARY):
        assert ours.materialize(until(view, as_of), as_of)
        feasts.apply(view)
        feasts._store().materialize(instant(as_of) - dt.timedelta(hours=1), instant(as_of))
        found = stored(ours)
        assert len(found) >= 5
        assert found == stored(feasts)


def until(view, as_of):
    """The files that were published before any later month."""
    return {
        table: {month: path for month, path in files.items() if month <= as_of}
        for table, files in view.items()
    }


def test_a_month_that_is_cut_off_is_not_the_newest_and_the_next_try_is_whole(
    address, tmp_path, monkeypatch
):
    lake, contract = business(tmp_path)
    store = FeatureStore(tmp_path / "feast", contract, address())
    view = lake.view(NOW, as_at_scoring=False)
    assert store.materialize(until(view, JANUARY), JANUARY)
    before = stored(store)

    def cut(*asked):
        yield from itertools.islice(batches(*asked), 1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("churn_platform.features.feature_store.batches", cut)
    with pytest.raises(OSError, match="No space"):
        store.materialize(view, FEBRUARY)
    assert store.online_as_of() == JANUARY
    if store.address.kind == "postgres":  # one transaction
        assert stored(store) == before
    monkeypatch.undo()
    assert store.materialize(view, FEBRUARY)
    whole = FeatureStore(tmp_path / "whole", contract, address())
    for as_of in (JANUARY, FEBRUARY):
        whole.materialize(until(view, as_of), as_of)
    assert stored(store) == stored(whole)


def test_a_month_over_another_changes_no_index_in_postgres(postgres_server, tmp_path):
    """A heap-only update costs a quarter of one that enters every row into two indexes again."""
    address, contract = online_address(postgres_server.new()), declared()
    FeatureStore(tmp_path / "feast", contract, address).apply(
        {name: {} for name in contract.tables}
    )
    keys = [b"%06d" % number for number in range(3_000)]
    for month in (JANUARY, FEBRUARY):
        hours = pa.array([month.month + number / 7 for number in range(3_000)])
        batch = Batch("visits_fv", keys, {"hours": hours}, instant(month), instant(month))
        write_month(address, tmp_path, contract.name, iter([batch]))
    with postgres_server.connect(address.database) as asked:
        counted = (
            "SELECT n_tup_ins, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s"
        )
        inserted, updated, heap_only = asked.execute(
            counted, (f"{contract.name}_visits_fv",)
        ).fetchone()
    assert (inserted, updated) == (3_000, 3_000)
    assert heap_only > 2_900


def test_a_store_that_is_away_is_one_sentence(tmp_path):
    batch = Batch(
        "visits_fv", [b"k"], {"hours": pa.array([1.0])}, instant(JANUARY), instant(JANUARY)
    )
    for said in ("redis://127.0.0.1:1/0", "postgresql://churn@127.0.0.1:1/features"):
        with pytest.raises(StoreDown, match="cannot be written"):
            write_month(online_address(said), tmp_path, "gym", iter([batch]))
    with pytest.raises(StoreDown, match="cannot be written"):  # no such table
        write_month(online_address(""), tmp_path, "gym", iter([batch]))


EAST = """
import asyncio, datetime as dt, sys
from pathlib import Path
from churn_platform.base.settings import Settings, prepare_environment
home = Path(sys.argv[1])
prepare_environment(Settings(home=home))
from churn_platform.services import Services
opened = Services(Settings(home=home))
as_of = opened.lake.months()[-1]
opened.feature_store.materialize(opened.lake.view(opened.now(), as_at_scoring=False), as_of)
from churn_platform.features.online.reader import open_online_reader
key = sys.argv[2]
[row] = asyncio.run(open_online_reader(home / "feast", opened.contract).read([key]))
assert (row.as_of, row.behind) == (as_of, ()), row
"""


def test_east_of_utc_no_row_is_older_than_its_month(january_copy, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    done = subprocess.run(
        [sys.executable, "-c", EAST, str(january_copy.folder), "m00001"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
