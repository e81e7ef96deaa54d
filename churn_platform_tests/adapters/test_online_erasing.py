"""One customer gone from an online store on a server, and nobody else."""

import asyncio

import pytest

from churn_platform.adapters.forgetting import forget
from churn_platform.adapters.online_address import OnlineAddress
from churn_platform.adapters.online_erasing import erase, rows_held
from churn_platform.adapters.online_reader import open_online_reader
from churn_platform.errors import StoreDown
from churn_platform_tests.small_business import JANUARY, copied, open_home


@pytest.fixture(params=["redis", "postgres"])
def moved(request, january, tmp_path):
    """A home whose newest month is in a store on a server."""
    address = request.getfixturevalue(f"{request.param}_server").new()
    home = open_home(copied(january, tmp_path / "home").folder, online_store=address)
    assert home.feature_store.materialize(home.lake.view(home.now(), as_at_scoring=False), JANUARY)
    return home


def read(home, *keys):
    return asyncio.run(open_online_reader(home.folder / "feast", home.contract).read(keys))


def test_a_customer_is_erased_and_nobody_else(moved):
    before = read(moved, "m00001", "m00002")
    assert rows_held(moved.online, moved.contract, "m00001") == 2
    erase(moved.online, moved.contract, "m00001")
    assert read(moved, "m00001", "m00002") == [None, before[1]]
    assert rows_held(moved.online, moved.contract, "m00001") == 0
    erase(moved.online, moved.contract, "m00001")


def test_forgetting_a_customer_reaches_the_server(moved):
    found = forget(moved, "m00003", "tester", "asked for it")
    assert found.rows["online store"] >= 2
    assert read(moved, "m00003") == [None]


@pytest.mark.parametrize("text", ["redis://127.0.0.1:1/0", "postgresql://postgres@127.0.0.1:1/none"])
def test_a_store_that_is_away_is_told_before_anything_is_forgotten(january, tmp_path, text):
    home = open_home(copied(january, tmp_path / "home").folder, online_store=text)
    for call in (rows_held, erase):
        with pytest.raises(StoreDown, match="does not answer"):
            call(home.online, home.contract, "m00001")
    ledger = home.ledger.file.read_bytes()
    with pytest.raises(StoreDown):
        forget(home, "m00001", "tester", "asked for it")
    assert home.ledger.file.read_bytes() == ledger
    assert not (home.folder / "forgetting" / "plan.json").exists()


def test_sqlite_is_the_homes_own_file(small_contract):
    assert rows_held(OnlineAddress(), small_contract, "m00001") == 0
