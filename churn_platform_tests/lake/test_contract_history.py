"""Which contract was in use when, and what published months and released versions forbid."""

import pytest

from churn_platform.base.errors import ContractError
from churn_platform.contract.model import Contract
from churn_platform.contract.views import of_version
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    deliver,
    make_home,
    month_tables,
    with_changes,
)

CLASSES = {"dtype": "integer", "nullable": True}
NEW_COLUMN = {"tables.visits.columns.classes": CLASSES | {"since": FEBRUARY}}


@pytest.fixture
def home(tmp_path):
    return make_home(tmp_path / "home")


@pytest.fixture
def running(home):
    """A home with a recorded contract and a published January."""
    home.contract_history.record()
    publish(home, JANUARY)
    return home


def publish(home, month, **columns):
    tables = month_tables(month, 12)
    tables["visits"] = tables["visits"].assign(**columns)
    deliver(home, month, tables)
    home.ingestion.publish(month)


def files(home):
    """Every file of the home's lake and ledger with its bytes."""
    found = [*(home.folder / "lake").rglob("*"), *(home.folder / "ledger").rglob("*")]
    return {path: path.read_bytes() for path in found if path.is_file()}


def test_before_the_first_run_no_contract_is_recorded(home):
    history = home.contract_history
    assert history.recorded() is None
    assert (history.pending(), history.refused()) == ([], [])
    assert history.when_published(JANUARY) is None


def test_the_first_run_records_the_contract_and_the_next_ones_do_not(home):
    home.contract_history.record()
    home.contract_history.record()
    (receipt,) = home.ledger.receipts()
    assert (receipt.act, receipt.subject) == ("contract changed", "gym")
    assert receipt.before is None
    assert home.contract_history.recorded().written() == home.contract.written()


def test_a_change_is_pending_until_it_is_recorded_in_words(running):
    changed = with_changes(running, NEW_COLUMN)
    (pending,) = changed.contract_history.pending()
    assert pending.where == "tables.visits.columns.classes"
    changed.contract_history.record()
    assert changed.contract_history.pending() == []
    receipt = changed.ledger.receipts("contract changed")[-1]
    assert receipt.reason == pending.sentence
    assert receipt.evidence["changes"] == {pending.where: pending.sentence}
    first = changed.ledger.receipts("contract changed")[0]
    assert receipt.before == first.after


def test_a_change_of_the_policy_alone_is_no_change_of_the_contract(running):
    before = files(running)
    with_changes(running, {"policy.scoring.listed": 7}).contract_history.record()
    assert files(running) == before


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"tables.visits.columns.classes": CLASSES}, "tables.visits.columns.classes"),
        ({"tables.visits.columns.hours.dtype": "integer"}, "tables.visits.columns.hours"),
        ({"entity.column": "client"}, "entity.column"),
        ({"model_name": "other"}, "model_name"),
        ({"label.horizon": {"months": 1}}, "label"),
    ],
)
def test_a_change_that_published_months_forbid_is_refused_before_anything_is_written(
    running, changes, where
):
    changed = with_changes(running, changes)
    deliver(changed, FEBRUARY, month_tables(FEBRUARY, 12))
    before = files(changed)
    assert [found.where for found in changed.contract_history.refused()] == [where]
    assert all(found.refused for found in changed.contract_history.refused())
    for step in (
        changed.contract_history.record,
        lambda: changed.ingestion.publish(FEBRUARY),
        lambda: changed.ingestion.accept(changed.drops / FEBRUARY.isoformat(), FEBRUARY),
    ):
        with pytest.raises(ContractError) as refused:
            step()
        assert refused.value.code == "CONTRACT_CHANGED"
        assert where in str(refused.value)
    assert files(changed) == before


def test_the_contract_of_a_month_is_that_in_use_when_it_was_published_first(running):
    first = running.contract_history.recorded()
    changed = with_changes(running, NEW_COLUMN)
    changed.contract_history.record()
    publish(changed, FEBRUARY, classes=3)
    publish(changed, JANUARY, hours=9.0)  # a correction
    assert changed.contract_history.when_published(JANUARY).written() == first.written()
    february = changed.contract_history.when_published(FEBRUARY)
    assert february.written() == changed.contract.written() != first.written()


def test_an_older_home_records_its_contract_once_no_month_lacks_a_column_of_it(home):
    publish(home, JANUARY)  # by a version that recorded no contract
    changed = with_changes(home, {"tables.visits.columns.classes": CLASSES})
    with pytest.raises(ContractError) as refused:
        changed.contract_history.record()
    assert refused.value.code == "CONTRACT_CHANGED"
    assert "visits.classes" in str(refused.value)
    assert changed.contract_history.recorded() is None
    dated = with_changes(changed, NEW_COLUMN)
    dated.contract_history.record()
    assert dated.contract_history.recorded().written() == dated.contract.written()


def test_a_column_that_a_released_version_reads_is_not_removed(running):
    version = of_version(running.contract, JANUARY, ["hours", "months"])
    history = running.contract_history
    history._versions = lambda: {3: version}
    parts = running.contract.as_mapping()
    del parts["tables"]["members"]["columns"]["months"]
    parts["feature_views"]["members_fv"]["features"] = ["plan", "has_app"]
    (found,) = history.refused(Contract.model_validate(parts))
    assert "version 3" in found.sentence
    assert "members.months" in found.sentence
    history._versions = dict
    assert history.refused(Contract.model_validate(parts)) == []


def test_another_contract_is_compared_with_the_same_months(running):
    other = Contract.model_validate(running.contract.as_mapping() | {"model_name": "other"})
    history = running.contract_history.of(other)
    assert [found.where for found in history.refused()] == ["model_name"]
    assert running.contract_history.refused() == []
