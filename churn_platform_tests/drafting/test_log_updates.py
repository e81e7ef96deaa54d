"""A contract with a log changes: from the files of a month, and as published months allow."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import yaml

from churn_platform.contract.changes import changes_between, refused_changes
from churn_platform.contract.views import of_version
from churn_platform.drafting.month_keys import MonthBefore
from churn_platform.drafting.updating import update_for
from churn_platform_tests.contract.test_event_tables import JANUARY, contract

FEBRUARY = dt.date(2024, 2, 29)
RANDOM = np.random.default_rng(2)
N = 400
IDS = [f"c{n:03d}" for n in range(100)]
TIMES = pd.Timestamp(FEBRUARY) - pd.to_timedelta(RANDOM.integers(0, 28 * 1440, N), unit="min")
BEFORE = MonthBefore(tables={"payments": pd.DataFrame({"customer": IDS, "payments_30d": 1})})


def shop(*changes):
    """The shop's contract, whose column `method` is there from the beginning."""
    return contract(("tables.payments.columns.method.since", None), *changes)


def payments(**columns):
    frame = pd.DataFrame(
        {
            "customer": RANDOM.choice(IDS, N),
            "paid_at": TIMES.strftime("%Y-%m-%d %H:%M:%S"),
            "amount": RANDOM.uniform(1, 90, N).round(2).astype(str),
            "method": RANDOM.choice(["card", "cash"], N),
        }
    )
    return frame.assign(**columns)


def update(frame, **others):
    declared = shop()
    text = yaml.safe_dump(declared.model_dump(mode="json", exclude_unset=True), sort_keys=False)
    frames = {"payments": frame, **others}
    return update_for(declared, text, frames, FEBRUARY, BEFORE)


def test_a_month_as_before_and_new_kinds_of_events_propose_nothing():
    assert update(payments(method=RANDOM.choice(["voucher", "cash"], N))).edits == ()


def test_a_new_column_is_proposed_from_its_month_on_and_is_no_feature_yet():
    found = update(payments(shop_kind=RANDOM.choice(["web", "store"], N), booked=TIMES.astype(str)))
    columns = found.contract.tables["payments"].columns
    assert (columns["shop_kind"].since, columns["shop_kind"].values) == (FEBRUARY, None)
    assert columns["booked"].dtype == "timestamp"
    assert found.contract.features == shop().features
    assert refused_changes(shop(), found.contract, [JANUARY], {}) == []
    doubt = next(edit.doubt for edit in found.edits if edit.path[-1] == "shop_kind")
    assert "window" in doubt


def test_the_only_missing_column_and_the_only_new_one_of_its_form_are_a_rename():
    found = update(payments().rename(columns={"paid_at": "time_paid", "amount": "total"}))
    columns = found.contract.tables["payments"].columns
    assert columns["paid_at"].sources == {"time_paid": FEBRUARY}
    assert columns["amount"].sources == {"total": FEBRUARY}


def test_a_column_that_is_gone_ends_with_its_windows_but_the_time_is_needed():
    found = update(payments().drop(columns="method"))
    assert found.contract.tables["payments"].columns["method"].until == FEBRUARY
    assert "by_card_1m" not in found.contract.at(FEBRUARY).features
    found = update(payments().drop(columns="paid_at"))
    assert found.edits == ()
    assert any("payments.time" in why for why in found.left_out)


def test_a_new_log_becomes_an_event_table_from_its_month_on():
    visits = pd.DataFrame(
        {"customer": RANDOM.choice(IDS, N), "visited_on": TIMES.strftime("%Y-%m-%d")}
    )
    found = update(payments(), visits=visits)
    table = found.contract.tables["visits"]
    assert (table.kind, table.time, table.since) == ("events", "visited_on", FEBRUARY)
    assert "visits_30d" in found.contract.features
    assert refused_changes(shop(), found.contract, [JANUARY], {}) == []
    timeless = update(payments(), visits=visits.drop(columns="visited_on"))
    assert timeless.edits == ()
    assert timeless.left_out == ("visits: it has several rows for a customer",)


NEW = {"aggregate": "count", "window": "60d"}


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("tables.payments.windows.new", NEW, "tables.payments.windows.new"),
        ("tables.payments.windows.refunds_90d.description", "Money back",
         "tables.payments.windows.refunds_90d.description"),
        ("tables.payments.columns.note", {"dtype": "category", "since": FEBRUARY},
         "tables.payments.columns.note"),
    ],
)  # fmt: skip
def test_these_changes_are_named_and_published_months_allow_them(path, value, where):
    changed = shop((path, value))
    assert where in [change.where for change in changes_between(shop(), changed)]
    assert refused_changes(shop(), changed, [JANUARY], {}) == []


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("tables.payments.columns.note", {"dtype": "category"}, "tables.payments.columns.note"),
        ("tables.payments.columns.amount", {"dtype": "integer"}, "tables.payments.columns.amount"),
        ("tables.payments.time_zone", "Europe/Vienna", "tables.payments.time_zone"),
        ("tables.payments.delivery", "replace", "tables.payments.delivery"),
        (
            "tables.payments.windows.refunds_90d.window",
            "60d",
            "tables.payments.windows.refunds_90d",
        ),
        ("label.no_event.within", "60d", "label"),
        ("label.no_event.where", None, "label"),
    ],
)
def test_these_changes_are_refused_for_published_months(path, value, where):
    changed = shop((path, value))
    assert [one.where for one in refused_changes(shop(), changed, [JANUARY], {})] == [where]


def test_a_window_that_a_released_version_reads_keeps_its_meaning():
    version = {3: of_version(shop(), JANUARY, ["refunds_90d"])}
    changed = shop(("tables.payments.windows.refunds_90d.window", "60d"))
    *_, refused = refused_changes(shop(), changed, [JANUARY], version)
    assert "refunds_90d" in refused.sentence
    assert "version 3" in refused.sentence
