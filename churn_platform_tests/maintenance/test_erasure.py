"""An erased customer is in no file and no store of the home, and nothing has to be done again."""

import json
import sqlite3

import filelock
import pandas as pd
import pyarrow.parquet as pq
import pytest

from churn_platform.base.errors import HomeBusy, IntegrityError, UsageError
from churn_platform.ingestion.validation import DropRefused
from churn_platform.ledger.erasures import salted
from churn_platform.maintenance.erasure import FILES, FOLDER
from churn_platform.monitoring.prediction_log import PredictionLog, ServedPrediction
from churn_platform_tests.maintenance.test_erasure_refused import planned, state  # noqa: F401
from churn_platform_tests.small_business import (
    DECLARED,
    FEBRUARY,
    JANUARY,
    deliver,
    make_home,
    month_tables,
    monthly,
    open_home,
)
from churn_platform_tests.stores import online
from churn_platform_tests.system.trusted_home import verification

KEY = "m00004"


@pytest.fixture
def home(february_copy):
    """Two months, two versions, the second in production."""
    return february_copy


def erase(home, key=KEY):
    return home.erasure.erase(key, "ann", "asked by letter")


def trained_and_held_out(home):
    """A customer of the training rows and one of the holdout."""
    dataset = home.training_datasets.load(FEBRUARY)
    return dataset.training_rows()["member"].iloc[7], dataset.holdout_rows()["member"].iloc[7]


def places(home, key):
    """Every file that names the customer: tables by their cells, all others by bytes."""
    found = []
    for path in home.folder.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        if path.suffix == ".parquet":
            named = any(key in row.values() for row in pq.read_table(path).to_pylist())
        else:
            named = key.encode() in path.read_bytes()
        if named:
            found.append(str(path.relative_to(home.folder)))
    return found


def test_no_file_and_no_store_names_the_customer_afterwards(home):
    key, _ = trained_and_held_out(home)
    tops = {place.split("/")[0] for place in places(home, key)}
    assert {"drops", "lake", "feast"} <= tops
    found = erase(home, key)
    assert places(home, key) == []
    assert found.rows["drops"] == 6
    assert found.rows["online store"] == 2
    assert (found.versions, found.unknown, found.unread, found.changed) == ([1, 2], [], [], [])
    assert online(open_home(home.folder).feature_store, key) is None
    assert not (home.folder / FOLDER).exists()


def test_the_prediction_log_and_the_list_lose_the_rows_and_keep_the_others(home):
    folder = home.reports / str(FEBRUARY)
    listed = pd.read_parquet(folder / "at_risk.parquet")["member"].tolist()
    key = listed.pop(3)
    for asked in ([KEY, "m00007", KEY], [key, "m99999"]):
        answers = [
            ServedPrediction(1e9, one, 2, FEBRUARY, 0.5, {}, what_if=False, stale=False)
            for one in asked
        ]
        PredictionLog(home.folder / "predictions", "member").write(answers)
    assert erase(home, key).rows["predictions"] == 1
    assert pd.read_parquet(folder / "at_risk.parquet")["member"].tolist() == listed
    assert pd.read_csv(folder / "at_risk.csv")["member"].tolist() == listed
    logs = (pq.read_table(path) for path in (home.folder / "predictions").rglob("*.parquet"))
    logged = [one for log in logs for one in log["member"].to_pylist()]
    assert sorted(logged) == [KEY, KEY, "m00007", "m99999"]


@pytest.mark.parametrize("which", [0, 1], ids=["trained on", "held out"])
def test_the_loop_has_nothing_to_do_and_everything_still_verifies(home, which):
    key = trained_and_held_out(home)[which]
    before = {month: home.lake.digest(month) for month in home.lake.months()}
    found = erase(home, key)
    home = open_home(home.folder)
    assert found.versions == [[1, 2], []][which]
    assert home.progress().next_step() is None
    dataset = home.training_datasets.load(FEBRUARY)  # compares with its digest
    assert key not in set(dataset.frame["member"])
    assert home.training_datasets.mismatches(dataset, home.now()) == 0
    assert home.ledger.verify(home.releases.pointer().ledger_head) is None
    for version in (1, 2):
        home.releases.verify(version)
    digests = home.ledger.receipts("customer forgotten")[0].evidence["digests"]
    for month, digest in before.items():
        assert digests[digest] == home.lake.digest(month) != digest
    assert verification(home, deep=True)["breaks"] == []


def test_a_month_that_is_processed_again_is_not_accepted_a_second_time(home):
    accepted = len(home.ledger.receipts("drop accepted"))
    erase(home)
    open_home(home.folder).ingestion.publish(FEBRUARY)
    assert len(home.ledger.receipts("drop accepted")) == accepted


def test_a_drop_that_is_replaced_afterwards_is_no_break(home):
    erase(home)
    (home.drops / str(FEBRUARY) / "visits.csv").write_text(
        "another delivery, which no run has seen yet"
    )
    assert verification(home, deep=True)["breaks"] == []


def test_counts_are_those_of_what_is_left(home):
    labels = home.lake.labels(FEBRUARY, home.now())
    churners = home.lake.classes(FEBRUARY).churners
    record = home.records.read("scores", FEBRUARY)
    erase(home, labels[labels].index[0])
    home = open_home(home.folder)
    assert home.lake.classes(FEBRUARY).churners == churners - 1
    left = home.records.read("scores", FEBRUARY)
    for name, gone in (("customers", 1), ("already_left", 1), ("contacts", 0)):
        assert left[name] == record[name] - gone
    rows = {entry.rows for entry in home.lake.deliveries(FEBRUARY)[0].tables.values()}
    assert rows == {len(labels) - 1}


def test_the_ledger_keeps_that_it_happened_and_no_key(home):
    key, _ = trained_and_held_out(home)
    erase(home, key)
    [receipt] = home.ledger.receipts("customer forgotten")
    assert (receipt.actor, receipt.reason) == ("ann", "asked by letter")
    assert receipt.evidence["customer"] == salted(receipt.evidence["salt"], key)
    assert receipt.evidence["versions"] == [1, 2]
    with pytest.raises(UsageError, match=r"was erased on 20"):
        erase(home, key)
    assert len(home.ledger.receipts("customer forgotten")) == 1


def test_months_still_publish_train_and_score_after_it(home):
    key, _ = trained_and_held_out(home)
    erase(home, key)
    home = open_home(home.folder)
    tables = {name: table.iloc[::-1] for name, table in month_tables(FEBRUARY, 1400).items()}
    deliver(home, FEBRUARY, {**tables, "leavers": month_tables(FEBRUARY, 1400)["leavers"]})
    monthly(home, FEBRUARY)
    assert home.lake.deliveries(FEBRUARY)[-1].kind == "correction"
    assert home.scoring.score(FEBRUARY).record.customers == 1400


def test_rows_put_aside_and_what_was_said_of_them_go_too(tmp_path):
    policy = DECLARED["policy"] | {"ingestion": {"quarantine_share": 0.5}}
    home = make_home(tmp_path / "home", DECLARED | {"policy": policy})
    tables = month_tables(JANUARY, 300)
    tables["members"] = pd.concat([tables["members"], tables["members"].iloc[[5]].assign(months=3)])
    deliver(home, JANUARY, tables)
    home.ingestion.publish(JANUARY)
    key = "m00005"
    named = places(home, key)
    assert {
        "quarantine/2024-01-31/1/members.csv",
        "reports/2024-01-31/drop.html",
        "lake/snapshots/2024-01-31.json",
    } <= set(named)
    erase(home, key)
    assert places(home, key) == []
    home = open_home(home.folder)
    aside = home.lake.quarantines(JANUARY)["members"]
    assert "(forgotten)" in aside.reasons[0]
    fingerprint = home.lake.fingerprint(JANUARY)
    assert home.ingestion.publish(JANUARY).kind in ("unchanged", "correction")
    assert home.lake.fingerprint(JANUARY) == fingerprint


def test_a_refusal_names_no_customer_in_the_ledger(tmp_path):
    home = make_home(tmp_path / "home")
    tables = month_tables(JANUARY, 300)
    tables["visits"] = tables["visits"].iloc[:100]
    deliver(home, JANUARY, tables)
    with pytest.raises(DropRefused, match="m00100"):
        home.ingestion.publish(JANUARY)
    assert "m00100" not in home.ledger.file.read_text()
    assert "200 of the month's 300 customers" in home.ledger.receipts("drop refused")[0].reason


def test_the_history_of_runs_names_the_customer_no_more(home):
    (home.folder / "dagster" / "history").mkdir(parents=True, exist_ok=True)
    event = json.dumps(
        {"md": "| 1 | m00004 | 0.9 |", "said": "found 'm00004' in row 4", "other": "m000040"}
    )
    with sqlite3.connect(home.folder / "dagster" / "history" / "run.db") as store:
        store.execute("CREATE TABLE event_logs (id INTEGER, event TEXT, blob BLOB)")
        store.execute("INSERT INTO event_logs VALUES (1, ?, x'00')", (event,))
    erase(home)
    with sqlite3.connect(home.folder / "dagster" / "history" / "run.db") as store:
        [(kept,)] = store.execute("SELECT event FROM event_logs")
    assert json.loads(kept) == {
        "md": "| 1 | (forgotten) | 0.9 |",
        "said": "found '(forgotten)' in row 4",
        "other": "m000040",
    }


def test_an_unknown_customer_is_refused_and_nothing_changes(home):
    before = state(home)
    with pytest.raises(UsageError, match=r"'nobody' .*member") as refused:
        erase(home, "nobody")
    assert refused.value.code == "CUSTOMER_UNKNOWN"
    assert state(home) == before


def test_a_changed_lake_is_not_covered_up(home):
    entry = home.lake.deliveries(JANUARY)[0].tables["visits"]
    path = home.lake.folder / entry.file
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 1400), path)
    with pytest.raises(IntegrityError, match="is not what the lake published"):
        erase(home)
    assert home.ledger.receipts("customer forgotten") == []


@pytest.mark.parametrize("replaced", [False, True], ids=["before", "after"])
def test_a_file_that_was_delivered_again_before_or_after_it_was_replaced_is_left_and_named(
    planned,  # noqa: F811
    replaced,
):
    """A delivery that came after a kill is not overwritten, and the rest is completed."""
    home = planned
    path = home.drops / str(FEBRUARY) / "leavers.csv"
    name = str(path.relative_to(home.folder))
    if replaced:
        (home.folder / FOLDER / FILES / name).replace(path)
    delivered = f"member,has_left\n{KEY},true\n"
    path.write_text(delivered)
    with home.exclusive():
        found = home.erasure.finish()
    assert found.changed == [name]
    assert path.read_text() == delivered
    assert KEY not in (home.lake.folder / "snapshots" / f"{JANUARY}.json").read_text()
    assert not (home.folder / FOLDER).exists()


def test_a_home_that_runs_is_waited_for(home):
    with filelock.FileLock(home.folder / "home.lock"), pytest.raises(HomeBusy):
        erase(open_home(home.folder, lock_seconds=0))


def test_a_whole_number_is_asked_for_as_one(tmp_path):
    entity = {"entity": {"column": "member", "dtype": "integer"}}
    home = make_home(tmp_path / "home", DECLARED | entity)
    with pytest.raises(UsageError, match="'m1' is not a valid member"):
        erase(home, "m1")
