"""Window tables and labels are made again from the events: a changed cell, a removed or added event
is found, also where its digests were forged.
"""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from churn_platform.audit.event_tables import check_event_tables
from churn_platform.audit.lake_checks import STAMPS, check_lake
from churn_platform.base.files import sha256_file
from churn_platform.events.derived_changes import made_from_logs
from churn_platform.lake.arrow_tables import table_digest
from churn_platform_tests.logged_business import (
    LATE,
    MONTHS,
    NOW,
    SHOP_WITH_MEMBERS,
    deliver_shop,
    drop_of,
    published_shop,
    shop_home,
    with_rows,
)
from churn_platform_tests.small_business import make_home, open_home, with_changes
from churn_platform_tests.system.trusted_home import verification

JANUARY, FEBRUARY, MARCH, APRIL = MONTHS[:4]


def found(home):
    return list(check_event_tables(home.lake, home.ledger.receipts()))


def faults(home):
    return [result.detail for result in found(home) if result.state == "broken"]


def delivered(home, as_of, table, number=0):
    """The file of one delivery of a table."""
    entries = [one.tables[table] for one in home.lake.deliveries(as_of) if table in one.tables]
    return home.lake.folder / entries[number].file


def changed(path, column, change):
    """Rewrite a column of a file."""
    table = pq.read_table(path)
    place = table.schema.get_field_index(column)
    values = change(table[column].to_pylist())
    pq.write_table(
        table.set_column(place, table.field(place), pa.array(values, table.field(place).type)), path
    )


def test_every_delivery_holds_on_a_sound_home(shop):
    [result] = found(shop)
    deliveries = [one for month in shop.lake.months() for one in shop.lake.deliveries(month)]
    made = made_from_logs(shop.contract)
    assert (result.state, result.count) == (
        "holds",
        sum(len(made & set(one.tables)) for one in deliveries),
    )
    assert result.count == 4 * 2 + 3 + 3  # first deliveries, labels of three months, corrections


def test_deep_verification_looks_at_them_and_a_business_without_logs_has_none(shop, tmp_path):
    [result] = [
        f for f in verification(shop, deep=True)["findings"] if f["check"] == "event tables"
    ]
    assert result["state"] == "holds"
    assert "event tables" not in {f["check"] for f in verification(shop)["findings"]}
    assert found(make_home(tmp_path / "home")) == []


def test_a_changed_cell_of_any_delivery_is_found(shop_copy):
    def raised(values):
        return [*values[:5], 1_000_000, *values[6:]]

    def turned(values):
        return [not values[0], *values[1:]]

    def elsewhere(values):
        return ["nowhere", *values[1:]]

    changes = [
        (JANUARY, "orders", 0, "spent_90d", raised),
        (JANUARY, "orders", -1, "orders_60d", raised),
        (APRIL, "visits", 0, "last_page", elsewhere),
        (MARCH, "visits", 0, "seconds_4w", raised),
        (FEBRUARY, "inactivity", 0, "inactive", turned),
    ]
    for as_of, table, number, column, change in changes:
        changed(delivered(shop_copy, as_of, table, number), column, change)
    told = faults(shop_copy)
    assert len(told) == len(changes)
    for as_of, table, _, column, _ in changes:
        assert any(f"1 value of {column} in {table} of {as_of}" in fault for fault in told)


def test_a_null_that_became_a_value_is_found(shop_copy):
    path = delivered(shop_copy, MARCH, "visits")
    nulls = pc.sum(pc.is_null(pq.read_table(path)["seconds_4w"])).as_py()
    assert nulls
    changed(path, "seconds_4w", lambda values: [0.0 if v is None else v for v in values])
    [fault] = faults(shop_copy)
    assert f"{nulls} value" in fault


@pytest.mark.parametrize("act", ["removed", "added", "moved"])
def test_an_event_that_was_removed_added_or_moved_is_found_in_every_month_that_it_touches(
    shop_copy, act
):
    path = delivered(shop_copy, MARCH, "orders_events")
    table = pq.read_table(path)
    if act == "removed":
        table = table.slice(1)
    elif act == "added":
        table = pa.concat_tables([table, table.slice(0, 1)])
    else:
        place = table.schema.get_field_index("buyer")
        buyers = [table["buyer"][-1].as_py(), *table["buyer"].to_pylist()[1:]]
        table = table.set_column(place, table.field(place), pa.array(buyers))
    pq.write_table(table, path)
    found = " ".join(faults(shop_copy))
    assert f"orders of {MARCH}" in found
    assert f"orders of {APRIL}" in found
    assert f"visits of {APRIL}" not in found


def test_a_cell_whose_digests_were_forged_is_found_all_the_same(shop_copy):
    """Whoever rewrites the manifest as well is found by the receipts; and by the events alone."""
    path = delivered(shop_copy, APRIL, "orders")
    changed(path, "orders_60d", lambda values: [9, *values[1:]])
    manifest = shop_copy.lake.folder / "snapshots" / f"{APRIL}.json"
    written = json.loads(manifest.read_text())
    stored = pq.read_table(path).drop_columns(STAMPS).replace_schema_metadata(None)
    written["deliveries"][0]["tables"]["orders"] |= {
        "sha256": sha256_file(path),
        "digest": table_digest(stored),
    }
    manifest.write_text(json.dumps(written))
    home = open_home(shop_copy.folder)
    lake = [
        r for r in check_lake(home.lake, home.folder, home.ledger.receipts()) if r.state == "broken"
    ]
    assert all("no receipt published" in r.detail or "is not in it" in r.detail for r in lake)
    assert any(f"1 value of orders_60d in orders of {APRIL}" in fault for fault in faults(home))


def test_customers_of_a_table_with_one_row_each_count_as_they_were_delivered(tmp_path):
    home = published_shop(tmp_path / "home", SHOP_WITH_MEMBERS)
    assert faults(home) == []
    drop = drop_of(FEBRUARY)
    members = pd.read_csv(home.drops / str(FEBRUARY) / "members.csv").iloc[:-3]
    deliver_shop(home, FEBRUARY, {**drop, "members": members})
    open_home(home.folder, lambda: NOW).ingestion.publish(FEBRUARY)
    home = open_home(home.folder, lambda: NOW)
    assert home.lake.deliveries(FEBRUARY)[-1].kind == "correction"
    assert faults(home) == []


def test_months_that_were_delivered_in_another_order_hold(tmp_path):
    home = shop_home(tmp_path / "home", now=lambda: NOW)
    for as_of in (JANUARY, MARCH, FEBRUARY):
        drop = with_rows(drop_of(as_of), "orders", *(LATE if as_of == MARCH else ()))
        deliver_shop(home, as_of, drop)
        open_home(home.folder, lambda: NOW).ingestion.publish(as_of)
    home = open_home(home.folder, lambda: NOW)
    assert len(home.lake.deliveries(MARCH)) == 2
    assert faults(home) == []


def test_a_contract_that_changed_meanwhile_is_no_break(shop_copy):
    shop_copy.contract_history.record()
    windows = ["spent_90d", "days_since_order", "refunded_share"]
    home = with_changes(
        shop_copy,
        {"tables.orders.windows.orders_60d": None, "feature_views.orders_fv.features": windows},
    )
    home.contract_history.record()
    assert home.ingestion.derive() == []
    assert faults(home) == []
