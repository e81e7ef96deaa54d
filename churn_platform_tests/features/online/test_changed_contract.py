"""The online store over changes of the contract, on SQLite, Redis and Postgres: each version reads its features."""

import asyncio
import datetime as dt
import json

import pandas as pd
import pytest

from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.online.address import online_address
from churn_platform.features.online.reader import open_online_reader
from churn_platform.features.online.upkeep import count_rows
from churn_platform.lake.lake import Lake, instant
from churn_platform_tests.small_business import DECLARED, FEBRUARY, JANUARY, declared

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
KEYS = ["ann", "bob", "cid"]
EVERY = {"months": 3, "plan": "plus", "has_app": True, "hours": 1.5}


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def address(request):
    """The address of an empty store of one kind."""
    if request.param == "sqlite":
        return online_address("")
    return online_address(request.getfixturevalue(f"{request.param}_server").new())


def dated(**until):
    """The gym's tables; `has_app` or `visits` end with a month."""
    tables = json.loads(json.dumps(DECLARED["tables"]))
    for name, month in until.items():
        part = tables[name] if name in tables else tables["members"]["columns"][name]
        part["until"] = month.isoformat()
    return tables


def publish(lake, as_of, keys, without=()):
    members = {"member": keys, **{name: [EVERY[name]] * len(keys) for name in ("months", "plan")}}
    if "has_app" not in without:
        members["has_app"] = pd.array([True] * len(keys), dtype="boolean")
    tables = {"members": pd.DataFrame(members | {"town": ["north"] * len(keys)})}
    if "visits" not in without:
        tables["visits"] = pd.DataFrame({"member": keys, "hours": [EVERY["hours"]] * len(keys)})
    lake.publish(as_of, tables, instant(as_of) + dt.timedelta(hours=7), str(as_of))


def materialized(folder, contract, address, as_of):
    lake = Lake(folder / "lake", contract)
    store = FeatureStore(folder / "feast", contract, address)
    assert store.materialize(lake.view(NOW, as_at_scoring=False), as_of)
    return store.folder


def read(folder, contract, keys=KEYS):
    reader = open_online_reader(folder, contract)

    async def once():
        found = await reader.read(keys)
        reader.close()
        return found

    return asyncio.run(once())


def test_what_a_month_does_not_have_by_contract_is_null_and_not_old(address, tmp_path):
    version = declared()
    publish(Lake(tmp_path / "lake", version), JANUARY, KEYS)
    folder = materialized(tmp_path, version, address, JANUARY)
    assert [row.values for row in read(folder, version)] == [EVERY] * 3
    ended = declared(tables=dated(has_app=FEBRUARY, visits=FEBRUARY))
    publish(Lake(tmp_path / "lake", ended), FEBRUARY, KEYS[1:], without=("has_app", "visits"))
    materialized(tmp_path, ended, address, FEBRUARY)
    left, *stayed = read(folder, version)
    for row in stayed:
        assert row.values == EVERY | {"has_app": None, "hours": None}
        assert (row.as_of, row.behind) == (FEBRUARY, ())
    assert (left.values, left.as_of, set(left.behind)) == (EVERY, JANUARY, set(EVERY))


def test_a_version_is_read_from_the_views_that_the_store_has(address, tmp_path):
    version = declared()
    publish(Lake(tmp_path / "lake", version), JANUARY, KEYS)
    folder = materialized(tmp_path, version, address, JANUARY)
    moved = declared(
        feature_views={
            "apps_fv": {"table": "members", "features": ["has_app", "plan"]},
            "hours_fv": {"table": "visits", "features": ["hours"]},
            "people_fv": {"table": "members", "features": ["months"]},
        }
    )
    own = list(moved.features)
    assert [list(row.values) for row in read(folder, moved)] == [own] * 3  # before the next month
    assert [(row.values, row.behind) for row in read(folder, moved)] == [(EVERY, ())] * 3
    assert count_rows(FeatureStore(folder, moved, address), "ann") == (
        1 if address.kind == "redis" else 2
    )
    lake = Lake(tmp_path / "lake", moved)
    publish(lake, FEBRUARY, KEYS)
    store = FeatureStore(folder, moved, address)
    store.apply(lake.view(NOW, as_at_scoring=False))  # servers read the views of January until
    for contract in (version, moved):  # February is complete
        assert [(row.values, row.behind) for row in read(folder, contract)] == [(EVERY, ())] * 3
    materialized(tmp_path, moved, address, FEBRUARY)
    assert {view.name for view in store._store().list_feature_views()} == set(moved.feature_views)
    assert count_rows(store, "ann") == (1 if address.kind == "redis" else 3)
    for contract in (version, moved):
        rows = read(folder, contract)
        assert [list(row.values) for row in rows] == [list(contract.features)] * 3
        assert [(row.values, row.as_of, row.behind) for row in rows] == [(EVERY, FEBRUARY, ())] * 3


def test_a_feature_that_the_store_was_not_given_is_missing_not_of_an_older_month(address, tmp_path):
    """As after a month that was prepared while the release with this feature was damaged."""
    version = declared()
    fewer = declared(
        feature_views={"members_fv": {"table": "members", "features": ["months", "plan"]}}
    )
    for contract, month in ((version, JANUARY), (fewer, FEBRUARY)):
        publish(Lake(tmp_path / "lake", version), month, KEYS)
        folder = materialized(tmp_path, contract, address, month)
    for row in read(folder, version):
        assert row.values == EVERY | {"has_app": None, "hours": None}
        assert set(row.behind) == {"has_app", "hours"}


def test_a_store_that_an_earlier_platform_filled_is_read_by_the_contract(address, tmp_path):
    version = declared()
    publish(Lake(tmp_path / "lake", version), JANUARY, KEYS)
    folder = materialized(tmp_path, version, address, JANUARY)
    marker = json.loads((folder / "online.json").read_text())
    assert list(marker.pop("views")) == ["members_fv", "visits_fv"]
    (folder / "online.json").write_text(json.dumps(marker))
    assert [(row.values, row.behind) for row in read(folder, version)] == [(EVERY, ())] * 3
