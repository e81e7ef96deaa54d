"""A forgotten customer is in no file and no store of the home, and the loop does not take that for news."""

import json
import sqlite3

import pandas as pd
import pyarrow.parquet as pq
import pytest

from churn_platform.base.errors import HomeBusy, IntegrityError, UsageError
from churn_platform.ingestion.validation import DropRefused
from churn_platform.ledger.erasures import salted
from churn_platform.maintenance.erasure import FOLDER
from churn_platform.monitoring.prediction_log import PredictionLog, ServedPrediction
from churn_platform_tests.small_business import (
    DECLARED,
    FEBRUARY,
    JANUARY,
    copied,
    deliver,
    make_home,
    month_tables,
    monthly,
    open_home,
    up_to_scores,
)
from churn_platform_tests.stores import online
from churn_platform_tests.system.trusted_home import verification


@pytest.fixture(scope="module")
def lived_in(february_decided, tmp_path_factory):
    """Two months, two versions, the second in production, a log of predictions, quarantined rows. Read only."""
    home = up_to_scores(
        copied(february_decided, tmp_path_factory.mktemp("lived_in") / "home"), FEBRUARY
    )
    answers = [
        ServedPrediction(1e9, key, 2, FEBRUARY, 0.5, {}, what_if=False, stale=False)
        for key in ("m00004", "m00007", "m00004")
    ]
    PredictionLog(home.folder / "predictions", "member").write(answers)
    return home


@pytest.fixture
def home(lived_in, tmp_path):
    return copied(lived_in, tmp_path / "home")


def trained_and_held_out(home):
    """A customer of the training rows and one of the holdout."""
    dataset = home.training_datasets.load(FEBRUARY)
    return dataset.training_rows()["member"].iloc[7], dataset.holdout_rows()["member"].iloc[7]


def places(home, key):
    """Every file that still names the customer: tables by their cells, SQLite by its pages, all others by bytes."""
    found = []
    for path in [path for path in home.folder.rglob("*") if not path.is_symlink()]:
        if path.is_file() and path.suffix == ".parquet":
            cells = pq.read_table(path).to_pylist()
            named = any(key in row.values() for row in cells)
        else:
            named = path.is_file() and key.encode() in path.read_bytes()
        found += [str(path.relative_to(home.folder))] if named else []
    return found


def test_no_file_and_no_store_names_the_customer_afterwards(home):
    key, _ = trained_and_held_out(home)
    tops = {place.split("/")[0] for place in places(home, key)}
    assert {"drops", "lake", "feast"} <= tops
    found = home.erasure.erase(key, "ann", "asked by letter")
    assert places(home, key) == []
    assert found.rows["drops"] == 6
    assert found.rows["online store"] == 2
    assert (found.versions, found.unknown, found.unread, found.changed) == ([1, 2], [], [], [])
    assert online(open_home(home.folder).feature_store, key) is None
    assert not (home.folder / FOLDER).exists()


def test_the_prediction_log_and_the_list_lose_the_rows_and_keep_the_others(home):
    listed = pd.read_parquet(home.reports / str(FEBRUARY) / "at_risk.parquet")
    key = listed["member"].iloc[3]
    answers = [
        ServedPrediction(2e9, k, 2, FEBRUARY, 0.5, {}, what_if=False, stale=False)
        for k in (key, "m99999")
    ]
    PredictionLog(home.folder / "predictions", "member").write(answers)
    found = home.erasure.erase(key, "ann", "asked")
    assert found.rows["predictions"] == 1
    left = pd.read_parquet(home.reports / str(FEBRUARY) / "at_risk.parquet")
    assert left["member"].tolist() == [member for member in listed["member"] if member != key]
    assert (
        pd.read_csv(home.reports / str(FEBRUARY) / "at_risk.csv")["member"].tolist()
        == left["member"].tolist()
    )
    logged = [
        k
        for path in (home.folder / "predictions").rglob("*.parquet")
        for k in pq.read_table(path)["member"].to_pylist()
    ]
    assert sorted(logged) == ["m00004", "m00004", "m00007", "m99999"]


@pytest.mark.parametrize("which", [0, 1], ids=["trained on", "held out"])
def test_the_loop_has_nothing_to_do_and_everything_still_verifies(home, which):
    key = trained_and_held_out(home)[which]
    before = {month: home.lake.digest(month) for month in home.lake.months()}
    found = home.erasure.erase(key, "ann", "asked")
    home = open_home(home.folder)
    assert found.versions == ([1, 2] if which == 0 else [])
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
    for receipt in home.ledger.receipts("drop accepted"):
        assert digests[receipt.evidence["snapshot"]] in {
            home.lake.digest(month) for month in home.lake.months()
        }


def test_a_month_that_is_processed_again_is_not_accepted_a_second_time(home):
    accepted = len(home.ledger.receipts("drop accepted"))
    home.erasure.erase("m00004", "ann", "asked")
    open_home(home.folder).ingestion.publish(FEBRUARY)
    assert len(home.ledger.receipts("drop accepted")) == accepted


def test_a_drop_that_is_replaced_afterwards_is_no_break(home):
    home.erasure.erase("m00004", "ann", "asked")
    (home.drops / str(FEBRUARY) / "visits.csv").write_text(
        "another delivery, which no run has seen yet"
    )
    assert verification(home, deep=True)["breaks"] == []


def test_counts_are_those_of_what_is_left(home):
    labels = home.lake.labels(FEBRUARY, home.now())
    key = labels[labels].index[0]
    churners, record = home.lake.classes(FEBRUARY).churners, home.records.read("scores", FEBRUARY)
    home.erasure.erase(key, "ann", "asked")
    home = open_home(home.folder)
    assert home.lake.classes(FEBRUARY).churners == churners - 1
    left = home.records.read("scores", FEBRUARY)
    assert left["customers"] == record["customers"] - 1
    assert left["already_left"] == record["already_left"] - 1
    assert left["contacts"] == record["contacts"]
    assert {entry.rows for entry in home.lake.deliveries(FEBRUARY)[0].tables.values()} == {
        len(labels) - 1
    }


def test_the_ledger_keeps_that_it_happened_and_no_key(home):
    key, _ = trained_and_held_out(home)
    home.erasure.erase(key, "ann", "asked by letter")
    [receipt] = home.ledger.receipts("customer forgotten")
    assert (receipt.actor, receipt.reason) == ("ann", "asked by letter")
    assert receipt.evidence["customer"] == salted(receipt.evidence["salt"], key)
    assert receipt.evidence["versions"] == [1, 2]
    with pytest.raises(UsageError, match=r"was erased on 20"):
        home.erasure.erase(key, "ann", "asked")
    assert len(home.ledger.receipts("customer forgotten")) == 1


def test_months_still_publish_train_and_score_after_it(home):
    key, _ = trained_and_held_out(home)
    home.erasure.erase(key, "ann", "asked")
    home = open_home(home.folder)
    tables = {name: table.iloc[::-1] for name, table in month_tables(FEBRUARY, 1400).items()}
    deliver(home, FEBRUARY, {**tables, "leavers": month_tables(FEBRUARY, 1400)["leavers"]})
    monthly(home, FEBRUARY)
    assert home.lake.deliveries(FEBRUARY)[-1].kind == "correction"
    assert home.scoring.score(FEBRUARY).record.customers == 1400


def test_rows_put_aside_and_what_was_said_of_them_go_too(tmp_path):
    home = make_home(
        tmp_path / "home",
        {**DECLARED, "policy": {**DECLARED["policy"], "ingestion": {"quarantine_share": 0.5}}},
    )
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
    home.erasure.erase(key, "ann", "asked")
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
    home.erasure.erase("m00004", "ann", "asked")
    with sqlite3.connect(home.folder / "dagster" / "history" / "run.db") as store:
        [(kept,)] = store.execute("SELECT event FROM event_logs")
    assert json.loads(kept) == {
        "md": "| 1 | (forgotten) | 0.9 |",
        "said": "found '(forgotten)' in row 4",
        "other": "m000040",
    }


def test_nobody_is_forgotten_without_a_trace(home):
    before = {path: path.stat().st_mtime_ns for path in home.folder.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"'nobody' .*member") as refused:
        home.erasure.erase("nobody", "ann", "asked")
    assert refused.value.code == "CUSTOMER_UNKNOWN"
    after = {path: path.stat().st_mtime_ns for path in home.folder.rglob("*") if path.is_file()}
    assert {p for p in before if p.suffix not in (".lock", ".db")} == {
        p for p in after if p.suffix not in (".lock", ".db")
    }
    assert all(
        after[path] == time for path, time in before.items() if path.suffix not in (".lock", ".db")
    )


def test_a_changed_lake_is_not_covered_up(home):
    entry = home.lake.deliveries(JANUARY)[0].tables["visits"]
    path = home.lake.folder / entry.file
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 1400), path)
    with pytest.raises(IntegrityError, match="is not what the lake published"):
        home.erasure.erase("m00004", "ann", "asked")
    assert home.ledger.receipts("customer forgotten") == []


def test_a_file_that_changed_meanwhile_is_left_and_named(home, monkeypatch):
    """Between plan and completion lies a kill; a delivery that came then is not overwritten."""
    from churn_platform.maintenance import erasure

    monkeypatch.setattr(erasure.Erasure, "carry_out", lambda *_: None)
    home.erasure.erase("m00004", "ann", "asked")
    monkeypatch.undo()
    path = home.drops / str(FEBRUARY) / "visits.csv"
    path.write_text("member,hours\nm00004,1\nm00005,2\n")
    with home.exclusive():
        found = home.erasure.finish()
    assert found.changed == [f"drops/{FEBRUARY}/visits.csv"]
    assert "m00005,2" in path.read_text()
    assert "m00004" not in home.folder.joinpath("lake", "snapshots", f"{JANUARY}.json").read_text()


def test_a_file_that_was_delivered_again_after_it_was_replaced_is_left_and_named(home, monkeypatch):
    """The new file went into place before the kill: there is none left to put there, and the rest is completed."""
    from churn_platform.maintenance import erasure

    path = home.drops / str(FEBRUARY) / "leavers.csv"
    delivered = path.read_bytes()
    monkeypatch.setattr(erasure.Erasure, "carry_out", lambda *_: None)
    home.erasure.erase("m00004", "ann", "asked")
    monkeypatch.undo()
    name = str(path.relative_to(home.folder))
    (home.folder / FOLDER / erasure.FILES / name).replace(path)
    path.write_bytes(delivered)
    with home.exclusive():
        found = home.erasure.finish()
    assert found.changed == [name]
    assert path.read_bytes() == delivered
    assert not (home.folder / FOLDER).exists()


def test_a_home_that_runs_is_waited_for(home):
    import filelock

    with filelock.FileLock(home.folder / "home.lock"), pytest.raises(HomeBusy):
        open_home(home.folder, lock_seconds=0).erasure.erase("m00004", "ann", "asked")


def test_a_whole_number_is_asked_for_as_one(tmp_path):
    home = make_home(
        tmp_path / "home", {**DECLARED, "entity": {"column": "member", "dtype": "integer"}}
    )
    with pytest.raises(UsageError, match="'m1' is not a valid member"):
        home.erasure.erase("m1", "ann", "asked")
