"""Upkeep of the online store: lost rows are noticed, a customer leaves and the others stay."""

import json
import sqlite3

import pytest

from churn_platform.alerting.dagster_ui import free_port
from churn_platform.base.errors import IntegrityError, StoreDown, UsageError
from churn_platform.features.online.reader import MARKER
from churn_platform.features.online.upkeep import count_rows, delete_rows, notice_lost_rows
from churn_platform_tests.small_business import JANUARY, copied, open_home
from churn_platform_tests.stores import online


def lost(home):
    return notice_lost_rows(home.feature_store, home.lake, home.now())


@pytest.fixture
def on_redis(january_copy, redis_server):
    """January's home with its online store on a Redis database of its own, and a client of that."""
    home = open_home(january_copy.folder, online_store=redis_server.new())
    materialized(home)
    return home, redis_server.client(int(home.online.database))


def materialized(home):
    return home.feature_store.materialize(home.lake.view(home.now(), as_at_scoring=False), JANUARY)


def changed(home, statement):
    """Change every table of the SQLite store."""
    with sqlite3.connect(home.folder / "feast" / "online_store.db") as database:
        for view in home.contract.feature_views:
            database.execute(f"UPDATE gym_{view} {statement.format(view=view)}")
    database.close()


def test_rows_that_are_lost_make_the_month_due_again(on_redis):
    home, client = on_redis
    assert not lost(home)
    assert home.progress().next_step() is None
    client.flushdb()
    assert home.progress().next_step() is None  # only asking the store shows it
    assert lost(home)
    step = home.progress().next_step()
    assert (step.kind, step.as_of) == ("monthly", JANUARY)
    materialized(home)
    assert not lost(home)
    assert home.progress().next_step() is None


def test_a_store_that_does_not_answer_may_still_hold_them(january_copy):
    note = january_copy.folder / "feast" / MARKER
    note.write_text(
        note.read_text().replace("}", f', "store": "redis://127.0.0.1:{free_port()}/0"}}')
    )
    home = open_home(january_copy.folder, online_store="redis://127.0.0.1:1/0")
    assert not lost(home)
    assert note.exists()


def test_a_store_that_holds_an_older_month_only_is_filled_again(january_copy):
    oldest = "SET event_ts = 0 WHERE entity_key = (SELECT min(entity_key) FROM gym_{view})"
    changed(january_copy, oldest)
    assert not lost(january_copy)  # one customer is no loss
    changed(january_copy, "SET event_ts = event_ts - 2678400")
    assert lost(january_copy)
    step = open_home(january_copy.folder).progress().next_step()
    assert (step.kind, step.as_of) == ("monthly", JANUARY)
    assert materialized(january_copy)
    assert not lost(january_copy)


def test_a_store_whose_file_is_gone_is_made_again_and_a_damaged_one_is_left_to_people(january_copy):
    database = january_copy.folder / "feast" / "online_store.db"
    database.unlink()
    assert lost(january_copy)
    assert not lost(january_copy)
    assert materialized(open_home(january_copy.folder))
    assert online(january_copy.feature_store, "m00001") is not None
    database.write_bytes(b"no database")
    assert not lost(january_copy)


def test_the_note_of_a_copy_that_0_1_0_made_stays_when_the_file_is_gone(january_copy):
    feast = january_copy.folder / "feast"
    applied = feast / "applied.json"
    applied.write_text(json.dumps({"contract": "0" * 64, "offline": "postgresql://churn@db/feast"}))
    (feast / "online_store.db").unlink()
    assert lost(january_copy)
    assert json.loads(applied.read_text()) == {"offline": "postgresql://churn@db/feast"}
    home = open_home(january_copy.folder)
    assert materialized(home)
    assert online(home.feature_store, "m00001") is not None
    with pytest.raises(UsageError, match="churn_gym in postgresql://churn@db/feast"):
        home.erasure.erase("m00001", "ann", "asked")


@pytest.mark.parametrize(("kind", "rows"), [("sqlite", 2), ("redis", 1), ("postgres", 2)])
def test_the_customer_goes_and_the_others_stay(january, tmp_path, request, kind, rows):
    address = "" if kind == "sqlite" else request.getfixturevalue(f"{kind}_server").new()
    copied(january, tmp_path / "home")
    home = open_home(tmp_path / "home", online_store=address)
    if address:
        materialized(home)
    kept = online(home.feature_store, "m00002")
    assert kept is not None
    for _ in range(2):
        assert count_rows(home.feature_store, "m00001") == rows
    for _ in range(2):  # again changes nothing
        delete_rows(home.feature_store, "m00001")
    assert count_rows(home.feature_store, "m00001") == 0
    assert online(home.feature_store, "m00001") is None
    assert online(home.feature_store, "m00002") == kept


@pytest.mark.slow  # it waits until the clients give up
def test_a_store_that_does_not_answer_is_said(january, tmp_path):
    copied(january, tmp_path / "home")
    for address in ("redis://127.0.0.1:1/0", "postgresql://nobody@127.0.0.1:1/none"):
        with pytest.raises(StoreDown):
            count_rows(open_home(tmp_path / "home", online_store=address).feature_store, "m00001")


def test_a_home_without_a_store_holds_nobody_and_a_broken_one_is_named(january, tmp_path):
    home = copied(january, tmp_path / "home")
    database = home.feature_store.folder / "online_store.db"
    database.unlink()
    assert count_rows(home.feature_store, "m00001") == 0
    database.write_text("no database at all, and long enough to be looked at")
    with pytest.raises(IntegrityError, match="the customer is not forgotten yet"):
        count_rows(home.feature_store, "m00001")
