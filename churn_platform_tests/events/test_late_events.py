"""Late events correct exactly the months that they touch, with one receipt each, through every kill."""

import datetime as dt

import pandas as pd
import pytest

from churn_platform.audit.event_tables import check_event_tables
from churn_platform.events import derived_tables, windows
from churn_platform.events.windows import window_table
from churn_platform.ingestion.publish import Ingestion
from churn_platform.lake.lake import Lake, instant
from churn_platform.ledger.receipts import DELIVERED
from churn_platform_tests.logged_business import (
    LATE,
    MONTHS,
    NOW,
    SHOP_WITH_MEMBERS,
    copied_shop,
    deliver_shop,
    drop_of,
    order,
    shop_home,
    with_rows,
)
from churn_platform_tests.small_business import open_home

JANUARY, FEBRUARY, MARCH, APRIL, MAY = MONTHS[:5]


def newest(home, table, as_of):
    return home.lake.tables(as_of)[table].set_index("buyer")


def numbers(home):
    return {month: len(home.lake.deliveries(month)) for month in home.lake.months()}


def test_the_months_before_a_late_event_keep_what_they_were_and_the_others_are_corrected(shop):
    assert numbers(shop) == {JANUARY: 2, FEBRUARY: 2, MARCH: 2, APRIL: 1}
    first, correction = shop.lake.deliveries(JANUARY)
    assert set(correction.tables) == {"orders", "inactivity"}
    assert correction.tables["orders"].created == NOW
    assert correction.tables["inactivity"].created == instant(dt.date(2024, 3, 1))
    assert set(shop.lake.deliveries(FEBRUARY)[1].tables) == {"orders", "visits", "inactivity"}
    view = shop.lake.view(NOW, as_at_scoring=True)
    assert view["orders"][JANUARY].path == shop.lake.folder / first.tables["orders"].file


def test_a_new_month_is_made_once_and_a_late_event_makes_the_touched_months_again(
    tmp_path, monkeypatch
):
    made = []

    def counted(files, log, key, as_of, customers):
        made.append(as_of)
        return window_table(files, log, key, as_of, customers)

    monkeypatch.setattr(windows, "window_table", counted)
    with_members = shop_home(tmp_path / "members", SHOP_WITH_MEMBERS, now=lambda: NOW)
    home = shop_home(tmp_path / "home", now=lambda: NOW)
    for one in (with_members, home):
        deliver_shop(one, JANUARY)
        one.ingestion.publish(JANUARY)
        assert made == [JANUARY, JANUARY]  # there are two logs
        made.clear()
    deliver_shop(home, FEBRUARY, with_rows(drop_of(FEBRUARY), "orders", LATE[0]))
    home.ingestion.publish(FEBRUARY)
    assert made == [FEBRUARY, FEBRUARY, JANUARY, JANUARY]
    assert [r.state for r in check_event_tables(home.lake, home.ledger.receipts())] == ["holds"]


def test_receipts_name_what_late_events_changed_and_how_many_are_inactive(shop):
    receipts = [r for r in shop.ledger.receipts() if r.act in DELIVERED]
    assert [(r.act, r.subject) for r in receipts] == [
        ("drop accepted", str(JANUARY)),
        ("drop accepted", str(FEBRUARY)),
        ("drop accepted", str(MARCH)),
        ("drop corrected", str(JANUARY)),
        ("drop corrected", str(FEBRUARY)),
        ("drop accepted", str(APRIL)),
        ("drop accepted", str(MARCH)),
    ]
    labels = shop.lake.classes(JANUARY)
    assert "orders of 1 customer." in receipts[3].reason
    assert f"{labels.churners} of {labels.churners + labels.stayers} inactive" in receipts[3].reason
    assert "orders of 2 customers." in receipts[4].reason
    assert receipts[3].evidence["labelled"] == [264, 264]
    assert "orders_events" not in receipts[0].reason


def test_a_late_order_turns_a_label_and_a_visit_belongs_to_its_day_in_vienna(shop_copy):
    before = {month: shop_copy.lake.digest(month) for month in shop_copy.lake.months()}
    labels = newest(shop_copy, "inactivity", FEBRUARY)["inactive"]
    inactive = set(labels[labels].index) & set(newest(shop_copy, "orders", APRIL).index)
    buyer = min(inactive)
    visits = newest(shop_copy, "visits", APRIL)["visits_30d"]
    drop = with_rows(drop_of(MAY), "orders", order(buyer, "2024-03-05", "late"))
    # In UTC it is still the last evening of March.
    seen = {"buyer": buyer, "seen_at": "2024-04-01 00:30:00", "page": "home", "seconds": 5}
    deliver_shop(shop_copy, MAY, with_rows(drop, "visits", seen))
    shop_copy.ingestion.publish(MAY)
    home = open_home(shop_copy.folder, lambda: NOW)
    corrections = {month: set(home.lake.deliveries(month)[-1].tables) for month in MONTHS[1:4]}
    assert corrections == {
        FEBRUARY: {"inactivity"},
        MARCH: {"orders"},
        APRIL: {"orders", "visits", "inactivity"},
    }
    assert home.lake.digest(JANUARY) == before[JANUARY]
    assert not newest(home, "inactivity", FEBRUARY)["inactive"][buyer]
    assert newest(home, "inactivity", FEBRUARY)["inactive"].sum() == labels.sum() - 1
    assert newest(home, "visits", APRIL)["visits_30d"][buyer] == visits[buyer] + 1
    entry = home.lake.entries(FEBRUARY)["inactivity"]
    assert entry.created == NOW
    receipts = home.ledger.receipts("drop corrected")
    [reason] = [r.reason for r in receipts[2:] if r.subject == str(FEBRUARY)]
    assert "changed 1 label." in reason
    assert [r.state for r in check_event_tables(home.lake, home.ledger.receipts())] == ["holds"]


def test_a_corrected_event_counts_once_also_at_the_scoring_of_the_month_that_corrects_it(
    two_months, tmp_path
):
    """Months that are delivered long after their as_of count as known at it."""
    home = copied_shop(two_months, tmp_path / "home")
    orders = drop_of(FEBRUARY)["orders"]
    last = orders[orders["kind"] == "order"].iloc[-1]
    corrected = {**last.to_dict(), "amount": last["amount"] + 900}
    deliver_shop(home, MARCH, with_rows(drop_of(MARCH), "orders", corrected))
    home.ingestion.publish(MARCH)
    home = open_home(home.folder, lambda: NOW)
    assert numbers(home)[MARCH] == 1
    known = pd.concat([drop_of(month)["orders"] for month in MONTHS[:3]])
    own = known[(known["buyer"] == last["buyer"]) & (known["ordered_on"] > dt.date(2024, 1, 1))]
    spent = newest(home, "orders", MARCH).loc[last["buyer"], "spent_90d"]
    assert spent == pytest.approx(own["amount"].sum() + 900)
    assert [r.state for r in check_event_tables(home.lake, home.ledger.receipts())] == ["holds"]


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def two_months(tmp_path_factory):
    """January and February are published, March with its late events is delivered."""
    home = shop_home(tmp_path_factory.mktemp("killed") / "home", now=lambda: NOW)
    for as_of in (JANUARY, FEBRUARY):
        deliver_shop(home, as_of)
        home.ingestion.publish(as_of)
    deliver_shop(home, MARCH, with_rows(drop_of(MARCH), "orders", *LATE))
    return home


KILLS = [
    (Lake, "publish", 2),  # March is there, no month is made again
    (Lake, "publish", 3),  # between January and February
    (Ingestion, "_record_delivery", 1),  # March has no receipt
    (Ingestion, "_record_delivery", 5),  # January has no receipt
    (derived_tables, "write_json", 1),  # January is not noted
]


@pytest.mark.parametrize(("where", "name", "call"), KILLS)
def test_whatever_a_kill_cuts_off_the_next_run_completes_once(
    two_months, shop, tmp_path, monkeypatch, where, name, call
):
    home = copied_shop(two_months, tmp_path / "home")
    real = getattr(where, name)
    calls = []

    def killing(*arguments, **options):
        calls.append(name)
        if len(calls) == call:
            raise Killed
        return real(*arguments, **options)

    monkeypatch.setattr(where, name, killing)
    with pytest.raises(Killed):
        home.ingestion.publish(MARCH)
    monkeypatch.undo()
    home = open_home(home.folder, lambda: NOW)
    with home.exclusive():
        home.run_start.complete()
    home = open_home(home.folder, lambda: NOW)
    assert numbers(home) == {JANUARY: 2, FEBRUARY: 2, MARCH: 1}
    receipts = [(r.act, r.subject) for r in home.ledger.receipts() if r.act in DELIVERED]
    whole = [(r.act, r.subject) for r in shop.ledger.receipts() if r.act in DELIVERED]
    assert sorted(receipts) == sorted(whole[:5])
    assert home.ingestion.derive() == []
    assert [r.state for r in check_event_tables(home.lake, home.ledger.receipts())] == ["holds"]
    for as_of in (JANUARY, FEBRUARY):
        assert home.lake.digest(as_of) == shop.lake.digest(as_of)
