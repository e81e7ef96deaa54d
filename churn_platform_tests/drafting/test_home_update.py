"""The contract of a home is changed by the files of a month, and the change is undone."""

import pandas as pd
import pytest
import sqlalchemy as sa

from churn_platform.base.errors import ContractError, UsageError
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    deliver,
    make_home,
    month_tables,
    open_home,
    with_changes,
)

CUSTOMERS = 60


@pytest.fixture
def home(tmp_path):
    """The gym with a recorded contract and a published January."""
    home = make_home(tmp_path / "home")
    home.contract_history.record()
    deliver(home, JANUARY, month_tables(JANUARY, CUSTOMERS))
    home.ingestion.publish(JANUARY)
    return home


@pytest.fixture
def february(tmp_path):
    """February's files: visits with a new column, members with a new header and a new value."""
    frames = month_tables(FEBRUARY, CUSTOMERS)
    frames["visits"]["classes"] = [n % 4 for n in range(CUSTOMERS)]
    frames["members"] = frames["members"].rename(columns={"has_app": "uses app"})
    frames["members"]["plan"] = frames["members"]["plan"].replace({"basic": "standard"})
    folder = tmp_path / FEBRUARY.isoformat()
    folder.mkdir()
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return folder


def contract_text(home):
    return (home.folder / "contract.yaml").read_text()


def test_a_proposal_writes_nothing_and_names_every_change(home, february):
    text = contract_text(home)
    count = len(home.ledger.receipts())
    proposal = home.contract_updates.propose([february], None)
    assert {change.where for change in proposal.changes} == {
        "tables.members.columns.plan.renamed",
        "tables.members.columns.has_app.sources",
        "tables.visits.columns.classes",
        "feature_views.visits_fv",
    }
    assert len(proposal.confirm) == 2
    assert (proposal.refused, proposal.remaining) == ((), ())
    assert contract_text(home) == text
    assert len(home.ledger.receipts()) == count


def test_what_is_written_is_recorded_and_accepts_the_drop(home, february):
    proposal = home.contract_updates.propose([february], None)
    home.contract_updates.write(proposal)
    receipt = home.ledger.receipts("contract changed")[-1]
    assert set(receipt.evidence["changes"]) == {change.where for change in proposal.changes}
    again = open_home(home.folder)
    assert again.contract == proposal.contract
    assert again.contract_history.pending() == []
    again.ingestion.accept(february, FEBRUARY)
    assert again.ingestion.publish(FEBRUARY).kind == "first"
    assert again.contract_updates.propose([february], None).changes == ()


def test_an_update_is_undone_and_done_again(home, february):
    text = contract_text(home)
    home.contract_updates.write(home.contract_updates.propose([february], None))
    changed = contract_text(home)
    home = open_home(home.folder)
    undone = home.contract_updates.undone()
    assert undone.refused == ()
    home.contract_updates.write(undone)
    assert contract_text(home) == text
    assert len(home.ledger.receipts("contract changed")) == 3
    home = open_home(home.folder)
    home.contract_updates.write(home.contract_updates.undone())
    assert contract_text(home) == changed


def test_an_update_that_a_published_month_needs_is_not_undone(home, february):
    home.contract_updates.write(home.contract_updates.propose([february], None))
    home = open_home(home.folder)
    home.ingestion.accept(february, FEBRUARY)
    home.ingestion.publish(FEBRUARY)
    parts = home.contract.as_mapping()
    undone = home.contract_updates.undone()
    # The month before has what the old contract names: nothing becomes unreadable.
    assert undone.refused == ()
    assert parts["tables"]["visits"]["columns"]["classes"]["since"] == FEBRUARY.isoformat()


def test_without_an_update_there_is_nothing_to_undo(home):
    with pytest.raises(UsageError) as refused:
        home.contract_updates.undone()
    assert refused.value.code == "USAGE_INVALID"


def test_faults_that_no_change_of_the_contract_repairs_remain(home, february):
    visits = pd.read_csv(february / "visits.csv").assign(hours=-1)
    visits.to_csv(february / "visits.csv", index=False)
    proposal = home.contract_updates.propose([february], None)
    assert len(proposal.remaining) >= 1
    assert all("visits.csv" in fault for fault in proposal.remaining)


def test_a_place_to_skip_that_has_no_proposal_is_named(home, february):
    with pytest.raises(UsageError) as refused:
        home.contract_updates.propose([february], None, ["tables.visits.columns.hours"])
    assert refused.value.code == "USAGE_INVALID"
    assert "tables.visits.columns.classes" in str(refused.value)
    skipped = home.contract_updates.propose([february], None, ["tables.members"])
    assert {change.where for change in skipped.changes} == {
        "tables.visits.columns.classes",
        "feature_views.visits_fv",
    }
    assert len(skipped.remaining) >= 1


def test_a_published_month_that_lacks_a_column_forbids_it(home, tmp_path):
    january = month_tables(JANUARY, CUSTOMERS)
    january["visits"]["classes"] = [n % 4 for n in range(CUSTOMERS)]
    folder = tmp_path / JANUARY.isoformat()
    folder.mkdir()
    for name, frame in january.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    text = contract_text(home)
    proposal = home.contract_updates.propose([folder], None)
    (refused,) = proposal.refused
    assert refused.where == "tables.visits.columns.classes"
    assert JANUARY.isoformat() in refused.refused
    with pytest.raises(ContractError) as error:
        home.contract_updates.write(proposal)
    assert error.value.code == "CONTRACT_CHANGED"
    assert contract_text(home) == text


def test_files_of_a_month_before_a_published_one_propose_nothing(home, february):
    deliver(home, FEBRUARY, month_tables(FEBRUARY, CUSTOMERS))
    home.ingestion.publish(FEBRUARY)
    with pytest.raises(UsageError) as refused:
        home.contract_updates.propose([february], JANUARY)
    assert refused.value.code == "USAGE_INVALID"
    assert FEBRUARY.isoformat() in str(refused.value)


def test_the_month_must_be_known(home, february, tmp_path):
    undated = february.rename(tmp_path / "export")
    with pytest.raises(UsageError) as refused:
        home.contract_updates.propose([undated], None)
    assert refused.value.code == "USAGE_INVALID"
    assert home.contract_updates.propose([undated], FEBRUARY).remaining == ()


@pytest.mark.parametrize("by", ["table", "query"])
def test_tables_of_a_database_show_their_changes_too(tmp_path, by):
    url = f"sqlite:///{tmp_path}/crm.db"
    engine = sa.create_engine(url)
    source = {"url": url, "table": "v", "as_of_column": "month"}
    if by == "query":
        source = {"url": url, "query": "SELECT * FROM v WHERE month = :as_of"}
    home = with_changes(make_home(tmp_path / "home"), {"tables.visits.source": source})
    frames = {month: month_tables(month, CUSTOMERS) for month in (JANUARY, FEBRUARY)}
    rows = [frames[m].pop("visits").assign(month=m.isoformat()) for m in frames]
    rows[1] = rows[1].rename(columns={"hours": "hours_used"}).assign(classes=3).reset_index()
    rows[1]["classes"] = rows[1].pop("index") % 5
    rows[0].to_sql("v", engine, index=False)
    folder = tmp_path / "files"
    folder.mkdir()
    for name, frame in frames[JANUARY].items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    home.contract_history.record()
    with home.ingestion.gathered([folder], JANUARY) as files:
        home.ingestion.accept(files, JANUARY)
    home.ingestion.publish(JANUARY)
    rows[1].to_sql("v", engine, index=False, if_exists="replace")
    for name, frame in frames[FEBRUARY].items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    proposal = home.contract_updates.propose([folder], FEBRUARY)
    visits = proposal.contract.tables["visits"].columns
    assert visits["hours"].sources == {"hours_used": FEBRUARY}
    assert visits["classes"].since == FEBRUARY
    assert proposal.remaining == ()
