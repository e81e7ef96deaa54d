"""A forgotten customer is in no log, window table, label or quarantine, and nothing is made again."""

import json

import pytest

from churn_platform.audit.event_tables import check_event_tables
from churn_platform.audit.lake_checks import check_lake
from churn_platform_tests.logged_business import (
    MONTHS,
    NOW,
    SHOP,
    deliver_shop,
    drop_of,
    order,
    shop_home,
    with_rows,
)
from churn_platform_tests.maintenance.test_erasure import places
from churn_platform_tests.small_business import open_home

KEY = "b0005"
"""It has a late event in the shop."""


def deliveries(home):
    return {month: len(home.lake.deliveries(month)) for month in home.lake.months()}


def test_nothing_names_the_customer_everything_holds_and_nothing_is_made_again(shop_copy):
    tops = {place.split("/")[1] for place in places(shop_copy, KEY)}
    assert {"orders_events", "visits_events", "orders", "visits", "inactivity"} <= tops
    before = deliveries(shop_copy)
    state = json.loads((shop_copy.lake.folder / "event_windows.json").read_text())
    shop_copy.erasure.erase(KEY, "ann", "asked")
    home = open_home(shop_copy.folder, lambda: NOW)
    assert places(home, KEY) == []
    made = home.ingestion._derived
    assert made.waiting() == []
    left = json.loads(made.state_file.read_text())
    assert set(left["months"]) == set(state["months"])
    entries = [one for month in home.lake.months() for one in home.lake.entries(month).items()]
    assert set(left["files"]) == {e.digest for name, e in entries if name.endswith("_events")}
    assert set(left["files"]) != set(state["files"])
    assert home.ingestion.derive() == []
    assert deliveries(home) == before
    receipts = home.ledger.receipts()
    for check in (
        check_lake(home.lake, home.folder, receipts),
        check_event_tables(home.lake, receipts),
    ):
        assert {result.state for result in check} == {"holds"}


def test_a_drop_that_comes_later_corrects_only_what_its_events_touch(shop_copy):
    shop_copy.erasure.erase(KEY, "ann", "asked")
    home = open_home(shop_copy.folder, lambda: NOW)
    before = deliveries(home)
    deliver_shop(home, MONTHS[4])
    home.ingestion.publish(MONTHS[4])
    grown = {m for m, number in deliveries(home).items() if number != before.get(m, 1)}
    assert grown == {MONTHS[3]}  # its labels
    assert [r.state for r in check_event_tables(home.lake, home.ledger.receipts())] == ["holds"]


def test_a_kill_during_the_erasure_leaves_the_state_of_the_files(shop_copy):
    """The state file is one of the plan: whichever files are in place, the end is the same."""
    plan = shop_copy.erasure.plan(KEY, "ann", "asked")
    assert "lake/event_windows.json" in plan.files
    assert KEY not in json.dumps(
        json.loads((shop_copy.erasure.folder / "files/lake/event_windows.json").read_text())
    )


@pytest.mark.parametrize("spelled", [False, True])
def test_quarantined_events_are_erased_in_the_spelling_of_the_file(tmp_path, spelled):
    contract = SHOP
    prefix = ""
    if spelled:
        prefix = "B-"
        spelling = [{"since": MONTHS[0], "remove_prefix": prefix}]
        orders = {**SHOP["tables"]["orders"], "key_spellings": spelling}
        contract = {**SHOP, "tables": {**SHOP["tables"], "orders": orders}}
    home = shop_home(tmp_path / "home", contract, now=lambda: NOW)
    drop = drop_of(MONTHS[0])
    drop = with_rows(drop, "orders", order(KEY, "2024-02-03", "of the future"))
    drop["orders"]["buyer"] = prefix + drop["orders"]["buyer"]
    deliver_shop(home, MONTHS[0], drop)
    home.ingestion.publish(MONTHS[0])
    aside = home.lake.quarantines(MONTHS[0])["orders_events"]
    assert aside.quarantined == 1
    assert KEY in (home.folder / aside.file).read_text()
    assert home.erasure.erase(KEY, "ann", "asked").rows["quarantine"] == 1
    home = open_home(home.folder, lambda: NOW)
    assert places(home, KEY) == []
    assert {r.state for r in check_lake(home.lake, home.folder, home.ledger.receipts())} == {
        "holds"
    }
