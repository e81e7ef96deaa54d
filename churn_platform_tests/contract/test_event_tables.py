"""Event tables in a contract: what they become, and what cannot be declared."""

import copy
import datetime as dt

import pytest
import yaml
from pydantic import ValidationError

from churn_platform.contract.model import Contract
from churn_platform.contract.views import for_version, of_version, why_not_readable

DECLARED = yaml.safe_load("""
name: shop
model_name: shop_churn
entity: {column: customer}
tables:
  payments:
    kind: events
    time: paid_at
    columns:
      paid_at: {dtype: timestamp}
      amount: {dtype: float}
      method: {dtype: category, nullable: true, since: 2024-03-01}
    windows:
      payments_30d: {aggregate: count, window: 30d}
      refunds_90d: {aggregate: sum, of: amount, where: "amount < 0", window: 90d}
      by_card_1m: {aggregate: share, where: "method = 'card'", window: 1m}
feature_views:
  paying: {table: payments, features: [payments_30d, refunds_90d, by_card_1m]}
label:
  no_event: {table: payments, where: "amount > 0", within: 30d, population: {table: payments, window: 90d}}
""")
JANUARY = dt.date(2024, 1, 31)


def contract(*changes):
    """The contract with values at paths such as `tables.payments.time`; None removes one."""
    declared = copy.deepcopy(DECLARED)
    for path, value in changes:
        *places, last = path.split(".")
        part = declared
        for place in places:
            part = part.setdefault(place, {})
        part[last] = value
        if value is None:
            del part[last]
    return Contract.model_validate(declared)


def test_a_log_is_two_tables_of_the_lake_and_its_windows_are_features():
    found = contract()
    assert list(found.published["payments"]) == [
        "customer",
        "payments_30d",
        "refunds_90d",
        "by_card_1m",
    ]
    assert list(found.published["payments_events"]) == [
        "customer",
        "paid_at",
        "amount",
        "method",
        "event day",
    ]
    assert {name: (column.dtype, column.nullable) for name, column in found.features.items()} == {
        "payments_30d": ("integer", False), "refunds_90d": ("float", False), "by_card_1m": ("float", True),
    }  # fmt: skip
    assert found.feature_tables == ("payments",)
    assert found.deliverable == ("payments",)
    assert found.matures(JANUARY) == dt.date(2024, 3, 1)
    assert Contract.model_validate(found.as_mapping()) == found


def test_a_window_exists_from_the_month_that_has_its_columns():
    found = contract()
    assert "by_card_1m" not in found.at(JANUARY).features
    assert "by_card_1m" in found.at(dt.date(2024, 3, 31)).features
    assert not found.has_column("payments", "by_card_1m", JANUARY)


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("tables.payments.time", None, "payments.time"),
        ("tables.payments.time", "amount", "payments.time"),
        ("tables.payments.known_at", "booked", "payments.known_at"),
        ("tables.payments.id", "number", "payments.id"),
        ("tables.payments.columns.paid_at.nullable", True, "nullable"),
        ("tables.payments.time_zone", "Vienna", "time_zone"),
        ("tables.payments.columns.Amount", {"dtype": "float"}, "columns.Amount"),
        ("tables.payments.columns.Customer", {"dtype": "float"}, "columns.Customer"),
        ("tables.payments.windows.amount", {"aggregate": "count", "window": "1d"}, "windows.amount"),
        ("tables.payments.windows.new", {"aggregate": "sum", "window": "1d"}, "windows.new"),
        ("tables.payments.windows.new", {"aggregate": "sum", "of": "method", "window": "1d"}, "windows.new.of"),
        ("tables.payments.windows.new", {"aggregate": "count", "of": "amount", "window": "1d"}, "windows.new"),
        ("tables.payments.windows.new", {"aggregate": "last", "of": "price", "window": "1d"}, "windows.new.of"),
        ("tables.payments.windows.new", {"aggregate": "max", "of": "paid_at", "window": "1d"}, "windows.new.of"),
        ("tables.payments.windows.new", {"aggregate": "share", "window": "1d"}, "windows.new"),
        ("tables.payments.windows.new", {"aggregate": "trend", "window": "7d"}, "windows.new"),
        ("tables.payments.windows.new", {"aggregate": "trend", "window": "all"}, "windows.new"),
        ("tables.payments.windows.new", {"aggregate": "count", "window": "-5d"}, "windows.new"),
        ("tables.payments.windows.new", {"aggregate": "count", "window": "1d", "where": "price > 1"}, "new.where"),
        ("tables.payments.windows.new", {"aggregate": "count", "window": "1d", "where": "amount"}, "new.where"),
        ("tables.payments.kind", "snapshot", "kind: events"),
        ("label.no_event.table", "visits", "no_event.table"),
        ("label.no_event.where", "price > 1", "no_event.where"),
        ("label.no_event.population", None, "population"),
        ("label.no_event.population.table", "visits", "population.table"),
        ("label.horizon", {"days": 10}, "horizon"),
        ("label.table", "payments", "label.table"),
        ("tables.payments_events", {"columns": {"a": {"dtype": "float"}}}, "payments_events"),
        ("tables.members", {"columns": {"at": {"dtype": "timestamp"}}}, "members.columns.at"),
    ],
)  # fmt: skip
def test_what_cannot_be_declared_is_named_with_its_place(path, value, where):
    with pytest.raises(ValidationError) as refused:
        contract((path, value))
    said = [
        ".".join(map(str, error["loc"])) + ": " + error["msg"] for error in refused.value.errors()
    ]
    assert any(where in one for one in said)


def test_customers_are_those_of_a_table_with_one_row_each():
    members = ("tables.members", {"columns": {"age": {"dtype": "integer"}}})
    view = ("feature_views.members", {"table": "members", "features": ["age"]})
    assert contract(members, view, ("label.no_event.population", None)).feature_tables == (
        "payments",
        "members",
    )
    with pytest.raises(ValidationError):
        contract(members, view)


def test_a_version_keeps_its_windows_and_is_not_read_with_others():
    found = contract()
    version = of_version(found, JANUARY, ["refunds_90d"])
    assert list(version.tables["payments"].windows) == ["refunds_90d"]
    assert set(version.tables["payments"].columns) == {"paid_at", "amount"}
    assert list(for_version(found, version).features) == ["refunds_90d"]
    assert why_not_readable(found, version) == ""
    changed = contract(("tables.payments.windows.refunds_90d.window", "60d"))
    assert "refunds_90d" in why_not_readable(changed, version)
    assert changed.model_hash != found.model_hash
