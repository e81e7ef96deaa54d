"""One customer leaves the online store, every other stays: in SQLite, Redis and Postgres, real ones."""

import pytest

from churn_platform.base.errors import IntegrityError, StoreDown
from churn_platform.features.online.erasing import count_rows, delete_rows
from churn_platform_tests.small_business import JANUARY, copied, open_home
from churn_platform_tests.stores import postgres_server, redis_server

__all__ = ["postgres_server", "redis_server"]


@pytest.mark.parametrize(("kind", "rows"), [("sqlite", 2), ("redis", 1), ("postgres", 2)])
def test_the_customer_goes_and_the_others_stay(january, tmp_path, request, kind, rows):
    address = "" if kind == "sqlite" else request.getfixturevalue(f"{kind}_server").new()
    copied(january, tmp_path / "home")
    home = open_home(tmp_path / "home", online_store=address)
    if address:
        home.feature_store.materialize(home.lake.view(home.now(), as_at_scoring=False), JANUARY)
    kept = home.feature_store.online("m00002")
    assert kept is not None
    assert count_rows(home, "m00001") == rows
    for _ in range(2):  # again changes nothing
        delete_rows(home, "m00001")
    assert count_rows(home, "m00001") == 0
    assert home.feature_store.online("m00001") is None
    assert home.feature_store.online("m00002") == kept


def test_a_store_that_does_not_answer_is_said(january, tmp_path):
    copied(january, tmp_path / "home")
    for address in ("redis://127.0.0.1:1/0", "postgresql://nobody@127.0.0.1:1/none"):
        with pytest.raises(StoreDown, match="online store does not answer"):
            count_rows(open_home(tmp_path / "home", online_store=address), "m00001")


def test_a_home_without_a_store_holds_nobody_and_a_broken_one_is_named(january, tmp_path):
    home = copied(january, tmp_path / "home")
    database = home.feature_store.folder / "online_store.db"
    database.unlink()
    assert count_rows(home, "m00001") == 0
    database.write_text("no database at all, and long enough to be looked at")
    with pytest.raises(IntegrityError, match="the customer is not forgotten yet"):
        count_rows(home, "m00001")
