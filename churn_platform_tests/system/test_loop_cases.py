"""The loop on small inputs that stopped or misled it once: labels of churners only, turned over, or too few."""

import datetime as dt
import importlib
import shutil
import sys

import pytest

from churn_platform_tests.cases import BUSINESS, case
from churn_platform_tests.loop_steps import retrain, run
from churn_platform_tests.small_business import copied, make_home, open_home

JANUARY, FEBRUARY, MARCH = dt.date(2024, 1, 31), dt.date(2024, 2, 29), dt.date(2024, 3, 31)
DECLARED = {**BUSINESS, "policy": {"training": {"algorithm": "logistic_regression"}}}


def deliver(home, folder):
    target = home.drops / folder.name
    shutil.copytree(folder, target)
    (target / "_SUCCESS").touch()


@pytest.fixture(scope="module")
def biz(tmp_path_factory):
    """The module that makes the tables of the cases' business."""
    folder = tmp_path_factory.mktemp("business")
    case("22-labels-reversed-one-month", folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder / "cases"))
        patched.delitem(sys.modules, "biz", raising=False)
        yield importlib.import_module("biz")


@pytest.fixture(scope="module")
def two_months_home(biz, tmp_path_factory):
    """A home of that business with January and February, version 1 in production. Read only."""
    folder = tmp_path_factory.mktemp("two_months")
    home = make_home(folder / "home", DECLARED)
    months = biz.business()
    for month in (JANUARY.isoformat(), FEBRUARY.isoformat()):
        biz.write(folder / month, months[month])
        deliver(home, folder / month)
    run(home)
    home = open_home(home.folder)
    assert home.releases.pointer().version == 1
    return home


@pytest.fixture
def in_february(two_months_home, tmp_path):
    """A copy of the home, and March of a case."""

    def made(name):
        return copied(two_months_home, tmp_path / "home"), case(name, tmp_path) / "2024-03-31"

    return made


def test_labels_of_churners_only_train_nothing_and_stop_nothing(in_february):
    home, march = in_february("28-labels-of-churners-only")
    deliver(home, march)
    assert run(home) == ["monthly 2024-03-31"]
    home = open_home(home.folder)
    assert home.records.read("scores", MARCH)["version"] == 1
    assert list(home.records.read("training_dataset", MARCH)["left_out"]) == ["2024-03-31"]
    progress = home.progress()
    assert progress.window(MARCH).training == (FEBRUARY,)
    assert "All 300 labels of 2024-03-31 are churners" in progress.retraining(MARCH).reason


def test_labels_the_other_way_round_promote_nothing_by_themselves_and_a_person_answers(in_february):
    home, march = in_february("22-labels-reversed-one-month")
    deliver(home, march)
    assert run(home) == ["monthly 2024-03-31"], "the model has not fallen"
    home = open_home(home.folder)
    [measured] = home.records.read("performance", MARCH)["evaluated"]
    assert measured["metrics"]["auc_interval"][1] < 0.3
    assert "2024-03-31" in measured["doubt"]
    assert home.stand_down.reason() is None

    retrain(home, MARCH, "drift")
    home = open_home(home.folder)
    decision = home.progress().decisions[-1]
    assert (decision.decision, decision.stand_down, home.contract.policy.promotion.mode) == (
        "pending",
        False,
        "automatic",
    )
    assert decision.candidate_auc > 0.7
    assert decision.production_auc < 0.3
    assert home.decisions.unfinished() is None
    assert run(home) == []
    home.approvals.reject(decision.candidate_version, "Ann", "The column is the other way round.")
    assert home.releases.pointer().version == 1
    assert run(home) == []


def test_turned_over_labels_that_are_right_are_approved_by_a_person(in_february):
    home, march = in_february("22-labels-reversed-one-month")
    deliver(home, march)
    run(home)
    home = open_home(home.folder)
    retrain(home, MARCH, "drift")
    home = open_home(home.folder)
    version = home.progress().decisions[-1].candidate_version
    home.approvals.approve(version, "Ann", "The business did turn over.")
    assert open_home(home.folder).releases.pointer().version == version


def test_corrected_labels_lapse_the_request_of_the_wrong_ones(in_february, tmp_path):
    home, march = in_february("22-labels-reversed-one-month")
    deliver(home, march)
    run(home)
    home = open_home(home.folder)
    retrain(home, MARCH, "drift")
    outcome = home.drops / "2024-03-31" / "outcome.csv"
    swapped = (
        outcome.read_text()
        .replace("yes", "stayed")
        .replace("no\n", "yes\n")
        .replace("stayed", "no")
    )
    outcome.write_text(swapped)
    home = open_home(home.folder)
    assert run(home)[0] == "monthly 2024-03-31"
    home = open_home(home.folder)
    assert "The data that version 2 was judged on has changed." in home.approvals.record_lapse()
    assert home.releases.pointer().version == 1


@pytest.mark.slow
def test_too_few_churners_are_pooled_over_months_and_every_month_is_published_and_scored(tmp_path):
    folder = case("94-small-business", tmp_path)
    home = make_home(tmp_path / "home", DECLARED)
    ran = []
    for month in sorted(folder.iterdir()):
        deliver(home, month)
        ran += run(home)
        home = open_home(home.folder)
    assert [step for step in ran if step.startswith("monthly")] == [
        "monthly 2024-01-31", "monthly 2024-02-29", "monthly 2024-03-31", "monthly 2024-04-30",
    ]  # fmt: skip
    [refused] = home.ledger.receipts("training refused")
    assert refused.subject == "2024-01-31"
    assert "5 churners" in refused.reason
    decisions = home.progress().decisions
    assert [decision.as_of for decision in decisions] == ["2024-02-29", "2024-03-31", "2024-04-30"]
    assert {decision.decision for decision in decisions} == {"refused"}
    assert len(home.progress().window(dt.date(2024, 4, 30)).training) == 4


def test_half_a_year_in_which_nobody_comes_or_goes_raises_no_alarm_from_the_age(
    two_months_home, biz, tmp_path
):
    home = copied(two_months_home, tmp_path / "home")
    july = dt.date(2024, 7, 31)
    months = biz.business(months=("2024-01-31", "2024-02-29", "2024-07-31"))
    biz.write(tmp_path / "months" / "2024-07-31", months["2024-07-31"])
    deliver(home, tmp_path / "months" / "2024-07-31")
    home.ingestion.publish(july)
    outcome = home.drift_monitor.report(july)
    [age] = [column for column in outcome.result.columns if column.column == "months_since_joined"]
    assert (age.drifted, round(age.value, 6)) == (False, 0.0)
    assert outcome.alarms == ()
