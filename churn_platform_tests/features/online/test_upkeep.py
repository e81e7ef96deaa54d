"""A Redis that lost its rows: noticed, and only then."""

import json
import sqlite3

import pytest

from churn_platform.alerting.dagster_ui import free_port
from churn_platform.base.errors import UsageError
from churn_platform.features.online.reader import MARKER
from churn_platform.features.online.upkeep import notice_lost_rows
from churn_platform.loop.progress import Progress
from churn_platform_tests.small_business import JANUARY, open_home


@pytest.fixture
def on_redis(january_copy, redis_server):
    """January's home with its online store on a Redis database of its own, and a client of that."""
    home = open_home(january_copy.folder, online_store=redis_server.new())
    home.feature_store.materialize(home.lake.view(home.now(), as_at_scoring=False), JANUARY)
    return home, redis_server.client(int(home.online.database))


def test_rows_that_are_lost_make_the_month_due_again(on_redis):
    home, client = on_redis
    assert not notice_lost_rows(home)
    assert Progress(home).next_step() is None
    client.flushdb()
    assert Progress(home).next_step() is None  # only asking the store shows it
    assert notice_lost_rows(home)
    step = Progress(home).next_step()
    assert (step.kind, step.as_of) == ("monthly", JANUARY)
    home.feature_store.materialize(home.lake.view(home.now(), as_at_scoring=False), JANUARY)
    assert not notice_lost_rows(home)
    assert Progress(home).next_step() is None


def test_a_store_that_does_not_answer_may_still_hold_them(january_copy):
    note = january_copy.folder / "feast" / MARKER
    note.write_text(
        note.read_text().replace("}", f', "store": "redis://127.0.0.1:{free_port()}/0"}}')
    )
    home = open_home(january_copy.folder, online_store="redis://127.0.0.1:1/0")
    assert not notice_lost_rows(home)
    assert note.exists()


@pytest.fixture
def restored(january_copy):
    """January's home with its SQLite store at a month before, as another backup had it."""
    with sqlite3.connect(january_copy.folder / "feast" / "online_store.db") as database:
        for view in january_copy.contract.feature_views:
            database.execute(f"UPDATE gym_{view} SET event_ts = event_ts - 2678400")
    database.close()
    return january_copy


def materialized(home):
    return home.feature_store.materialize(home.lake.view(home.now(), as_at_scoring=False), JANUARY)


def test_a_store_that_holds_an_older_month_only_is_filled_again(restored):
    assert notice_lost_rows(restored)
    step = Progress(open_home(restored.folder)).next_step()
    assert (step.kind, step.as_of) == ("monthly", JANUARY)
    assert materialized(restored)
    assert not notice_lost_rows(restored)


def test_a_store_whose_file_is_gone_is_made_and_filled_again(january_copy):
    (january_copy.folder / "feast" / "online_store.db").unlink()
    assert notice_lost_rows(january_copy)
    assert not notice_lost_rows(january_copy)
    assert materialized(open_home(january_copy.folder))
    assert january_copy.feature_store.online("m00001") is not None


def test_one_customer_who_is_older_than_the_others_is_no_loss(january_copy):
    with sqlite3.connect(january_copy.folder / "feast" / "online_store.db") as database:
        for view in january_copy.contract.feature_views:
            key = database.execute(f"SELECT min(entity_key) FROM gym_{view}").fetchone()
            database.execute(f"UPDATE gym_{view} SET event_ts = 0 WHERE entity_key = ?", key)
    database.close()
    assert not notice_lost_rows(january_copy)


def test_a_damaged_store_of_the_home_is_left_to_people(january_copy):
    (january_copy.folder / "feast" / "online_store.db").write_bytes(b"no database")
    assert not notice_lost_rows(january_copy)


def test_the_note_of_a_copy_that_0_1_0_made_stays_when_the_file_is_gone(january_copy):
    feast = january_copy.folder / "feast"
    applied = feast / "applied.json"
    applied.write_text(json.dumps({"contract": "0" * 64, "offline": "postgresql://churn@db/feast"}))
    (feast / "online_store.db").unlink()
    assert notice_lost_rows(january_copy)
    assert json.loads(applied.read_text()) == {"offline": "postgresql://churn@db/feast"}
    home = open_home(january_copy.folder)
    assert materialized(home)
    assert home.feature_store.online("m00001") is not None
    with pytest.raises(UsageError, match="churn_gym in postgresql://churn@db/feast"):
        home.erasure.erase("m00001", "ann", "asked")
