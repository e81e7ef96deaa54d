"""A window that the contract gets later is made for the published months, from what was known when
they were scored.
"""

import datetime as dt

import pytest

from churn_platform.audit.event_tables import check_event_tables
from churn_platform.base.errors import ContractError
from churn_platform_tests.logged_business import MONTHS, NOW, ORDERS
from churn_platform_tests.small_business import open_home, with_changes

JANUARY, FEBRUARY, MARCH, APRIL = MONTHS[:4]
MEAN = {"aggregate": "mean", "of": "amount", "window": "90d"}
ADDED = {
    "tables.orders.windows.mean_90d": MEAN,
    "feature_views.orders_fv.features": [*ORDERS["windows"], "mean_90d"],
}


@pytest.fixture
def recorded(shop_copy):
    """The shop with a receipt of its contract."""
    shop_copy.contract_history.record()
    return shop_copy


def as_scored(home, as_of):
    """The table of orders that a model trains on."""
    path = home.lake.view(NOW, as_at_scoring=True)["orders"][as_of].path
    return home.lake.read_table("orders", path).set_index("buyer")


def test_training_sees_it_as_it_would_have_been_and_the_newest_tables_have_it_too(recorded):
    old = {month: as_scored(recorded, month) for month in MONTHS[:4]}
    home = with_changes(recorded, ADDED)
    home.contract_history.record()
    home.ingestion.derive()
    home = open_home(home.folder, lambda: NOW)
    for month, table in old.items():
        new = as_scored(home, month)
        assert new[list(table.columns)].equals(table)
        assert new["mean_90d"].notna().any()
        assert (new["mean_90d"].isna() == (table["orders_60d"] == 0)).mean() > 0.5
    late = home.lake.tables(FEBRUARY)["orders"].set_index("buyer")
    assert late.loc["b0005", "mean_90d"] > as_scored(home, FEBRUARY).loc["b0005", "mean_90d"]
    assert len(home.lake.deliveries(FEBRUARY)) == 4  # as scored, and with the late events
    assert len(home.lake.deliveries(APRIL)) == 2
    assert home.ingestion.derive() == []
    assert [r.state for r in check_event_tables(home.lake, home.ledger.receipts())] == ["holds"]
    reasons = [r.reason for r in home.ledger.receipts("drop corrected") if r.subject == str(APRIL)]
    assert reasons == ["Windows added to orders: mean_90d."]


def test_a_window_that_is_removed_corrects_nothing_and_comes_back_as_it_was(recorded):
    digests = {month: recorded.lake.digest(month) for month in recorded.lake.months()}
    kept = [name for name in ORDERS["windows"] if name != "spent_90d"]
    gone = {"tables.orders.windows.spent_90d": None, "feature_views.orders_fv.features": kept}
    home = with_changes(recorded, gone)
    home.contract_history.record()
    assert home.ingestion.derive() == []
    back = {
        "tables.orders.windows.spent_90d": ORDERS["windows"]["spent_90d"],
        "feature_views.orders_fv.features": list(ORDERS["windows"]),
    }
    home = with_changes(home, back)
    home.contract_history.record()
    assert home.ingestion.derive() == []
    assert {month: home.lake.digest(month) for month in home.lake.months()} == digests


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("tables.orders.windows.orders_60d.window", "45d"),
        ("tables.visits.time_zone", "America/New_York"),
        ("tables.orders.delivery", "replace"),
        ("label.no_event.where", "kind = 'order' and amount > 5"),
        ("label.no_event.population.window", "60d"),
    ],
)
def test_what_would_give_published_months_another_meaning_is_refused(recorded, where, value):
    home = with_changes(recorded, {where: value})
    with pytest.raises(ContractError) as refused:
        home.contract_history.check()
    assert refused.value.code == "CONTRACT_CHANGED"
    assert where.split(".no_event")[0].removesuffix(".window") in str(refused.value)


def test_a_dataset_of_before_reads_the_tables_of_before(recorded):
    """A version is made again from what had arrived, also where a table counts as known earlier."""
    reproduction = recorded.reproduction
    home = with_changes(open_home(recorded.folder, lambda: NOW + dt.timedelta(days=1)), ADDED)
    home.ingestion.derive()
    then = reproduction._lake_then(recorded.contract, NOW)
    for month in MONTHS[:4]:
        assert then.digest(month) == reproduction.lake.digest(month) or month in then.months()
        assert len(then.deliveries(month)) < len(home.lake.deliveries(month))
    assert "mean_90d" not in then.tables(APRIL)["orders"]
