"""Progress: the state of a home over the life of its months, read from the files alone."""

import datetime as dt
import os
import subprocess

import pytest

from churn_platform.loop.next_step import MonthState
from churn_platform.loop.progress import ANSWERS, auc_interval
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

MARCH = dt.date(2024, 3, 31)


@pytest.fixture
def home(tmp_path):
    return make_home(tmp_path / "home")


def step(home):
    """Kind and month of the next step as a new process sees it; None when nothing is due."""
    due = open_home(home.folder).progress().next_step()
    return None if due is None else (due.kind, due.as_of)


def small(as_of):
    return month_tables(as_of, 60)


def test_before_any_drop_nothing_is_due(home):
    assert home.progress().months() == []
    assert home.progress().next_step() is None
    assert home.stand_down.reason() is None


def test_a_drop_is_due_when_marked_complete_or_unchanged_for_the_quiet_seconds(home):
    folder = deliver(home, JANUARY, small(JANUARY))
    (folder / "_INCOMING").touch()
    assert step(home) is None
    (folder / "_INCOMING").unlink()
    assert step(home) == ("monthly", JANUARY)
    (folder / "_SUCCESS").unlink()
    newest = max(path.stat().st_mtime for path in folder.iterdir())

    def at(seconds):
        now = dt.datetime.fromtimestamp(newest + seconds, dt.UTC)
        return open_home(home.folder, lambda: now, quiet_seconds=5.0).progress()

    assert at(4.9).next_step() is None
    assert [month.settled for month in at(4.9).months()] == [False]
    assert at(5.1).next_step().as_of == JANUARY
    os.utime(folder / "members.csv", (newest + 10, newest + 10))
    assert at(5.1).next_step() is None


def test_the_oldest_drop_goes_first(home):
    deliver(home, FEBRUARY, small(FEBRUARY))
    deliver(home, JANUARY, small(JANUARY))
    assert step(home) == ("monthly", JANUARY)
    home.ingestion.publish(JANUARY)
    assert step(home) == ("monthly", JANUARY)
    months = open_home(home.folder).progress().months()
    assert [month.published is not None for month in months] == [True, False]


def test_a_month_is_processed_when_every_record_was_made_from_its_inputs(home):
    deliver(home, JANUARY, small(JANUARY))
    monthly(home, JANUARY)
    progress = home.progress()
    (month,) = progress.months()
    drop = home.lake.fingerprint(JANUARY)
    assert month == MonthState(
        JANUARY, drop, settled=True, published=drop, processed=True, inputs=progress.inputs(JANUARY)
    )
    assert not month.due
    for kind in ("training_dataset", "drift_report", "performance", "scores"):
        path = home.records.path(kind, JANUARY, ".json")
        kept = path.read_text()
        path.unlink()
        assert step(home) == ("monthly", JANUARY)
        path.write_text(kept.replace(month.inputs, "of other inputs"))
        assert step(home) == ("monthly", JANUARY)
        path.write_text(kept)
    assert step(home) == ("retraining", JANUARY)


COPIES = {
    "tar of GNU's format": "tar --format=gnu -cf {there}.tar -C {here} . && mkdir {there} && tar -xf {there}.tar -C {there}",
    "cp -r": "cp -r {here} {there}",
    "touched": "cp -a {here} {there} && find {there}/drops -type f -exec touch {{}} +",
}


@pytest.mark.parametrize("copy", COPIES)
def test_nothing_is_due_in_a_copy_whose_files_have_other_times(january, tmp_path, copy):
    here, there = january.folder, tmp_path / "there"
    subprocess.run(["/bin/sh", "-c", COPIES[copy].format(here=here, there=there)], check=True)
    times = [
        {file.stat().st_mtime_ns for file in home.glob("drops/*/*.csv")} for home in (here, there)
    ]
    assert not times[0] & times[1]
    (month,) = open_home(there).progress().months()
    assert (month.due, month.arriving, month.drop) == (False, False, month.published)
    assert step(open_home(there)) == step(january)


def test_a_month_is_due_again_for_an_online_store_that_has_not_got_it(january):
    """Another store than before, or one that lost its rows: `churn run` brings the newest month there."""
    assert all(month.processed for month in january.progress().months())
    address = "redis://127.0.0.1:1/0"
    (moved,) = open_home(january.folder, online_store=address).progress().months()
    assert (moved.due, moved.absent_from) == (True, address)
    assert moved.key.endswith(address)


def test_a_month_is_due_again_when_nobody_knows_what_is_in_the_online_store(january_copy):
    (january_copy.folder / "feast" / "online.json").unlink()
    (lost,) = january_copy.progress().months()
    assert (lost.due, lost.absent_from) == (True, "SQLite")


def test_from_processed_to_promoted_to_scored_and_then_nothing(january_decided_copy):
    home = january_decided_copy
    due = home.progress().next_step()
    assert (due.kind, due.as_of, due.trigger) == ("retraining", JANUARY, "first")
    home.decision_maker.carry_out()
    assert open_home(home.folder).decisions.unfinished() is None
    assert step(home) == ("scores", JANUARY)
    home.scoring.score(JANUARY)
    assert step(home) is None
    answer = open_home(home.folder).progress().retraining(JANUARY)
    assert answer.trigger is None
    assert "decision on 2024-01-31" in answer.reason


def test_a_kept_decision_is_finished_and_a_decision_cut_off_is_not(february_decided_copy):
    home = february_decided_copy
    assert home.decisions.unfinished() == "performance"
    assert step(home) == ("retraining", FEBRUARY)
    home.promotions.keep(home.progress().decisions[-1], "Not today.")
    assert open_home(home.folder).decisions.unfinished() is None
    assert step(home) is None


def test_a_new_drop_and_a_correction_of_an_old_one_make_their_month_due(january_copy):
    home = january_copy
    deliver(home, FEBRUARY, small(FEBRUARY))
    assert step(home) == ("monthly", FEBRUARY)
    tables = month_tables(JANUARY)
    tables["visits"]["hours"] = 1.0
    deliver(home, JANUARY, tables)
    assert step(home) == ("monthly", JANUARY)
    home.ingestion.publish(JANUARY)
    assert step(home) == ("monthly", JANUARY)
    monthly(home, JANUARY)
    assert step(home) == ("monthly", FEBRUARY)


def test_a_rewritten_drop_with_the_same_content_is_due_once_and_changes_no_record(january_copy):
    home = january_copy
    deliver(home, JANUARY)
    assert step(home) is None  # the same bytes
    deliver(
        home, JANUARY, {name: table.iloc[::-1] for name, table in month_tables(JANUARY).items()}
    )
    assert step(home) == ("monthly", JANUARY)
    home.ingestion.publish(JANUARY)
    assert step(home) is None


def test_a_month_stays_processed_when_its_drop_is_tidied_away(january_copy):
    for path in (january_copy.drops / "2024-01-31").iterdir():
        path.unlink()
    (month,) = january_copy.progress().months()
    assert (month.drop, month.processed, month.due) == (None, True, False)


def test_realised_performance_below_the_interval_at_promotion_asks_for_a_retraining(
    february_decided_copy,
):
    home = february_decided_copy
    (home.folder / "ledger" / "decisions" / "000002.json").unlink()
    progress = home.progress()
    answer = progress.retraining(FEBRUARY)
    low, high = auc_interval(home.releases.production().metrics)
    assert 0.75 < low < 0.8462 < high < 0.95
    assert answer.trigger == "performance"
    assert f"[{low:.3f}, {high:.3f}] version 1" in answer.reason
    assert "2024-02-29" in home.stand_down.reason()
    measured = [(entry.version, entry.as_of) for entry in home.performance_history.all()]
    assert measured == [(1, "2024-02-29")]


def test_the_policys_answer_is_recorded_once_for_each_piece_of_evidence(january_copy, tmp_path):
    def answers():
        home = open_home(january_copy.folder)
        home.progress().record_retraining()
        found = [(receipt.act, receipt.subject) for receipt in home.ledger.receipts()]
        return [one for one in found if one[0] in ANSWERS]

    skipped = ("retraining skipped", "2024-01-31")
    assert answers() == [skipped]
    assert answers() == [skipped]
    deliver(january_copy, FEBRUARY)
    monthly(january_copy, FEBRUARY)
    assert answers() == [skipped, ("retraining requested", "2024-02-29")]
    new = make_home(tmp_path / "new")
    new.progress().record_retraining()
    assert new.ledger.head() is None


def test_labels_count_when_the_newest_month_shows_that_they_have_matured(tmp_path):
    label = {"table": "leavers", "column": "has_left", "horizon": {"months": 1}}
    home = make_home(tmp_path / "home", {**DECLARED, "label": label})
    deliver(home, JANUARY, small(JANUARY))
    home.ingestion.publish(JANUARY)
    assert home.progress().window(JANUARY) is None
    before = home.progress().inputs(JANUARY)
    tables = small(FEBRUARY)
    del tables["leavers"]
    deliver(home, FEBRUARY, tables)
    home.ingestion.publish(FEBRUARY)
    progress = home.progress()
    assert progress.matured(FEBRUARY) == progress.matured(JANUARY) == [JANUARY]
    assert progress.window(FEBRUARY).training == (JANUARY,)
    assert progress.matured(MARCH) == [JANUARY]
    assert home.progress().inputs(JANUARY) == before
    assert progress.inputs(FEBRUARY) != progress.inputs(JANUARY)
