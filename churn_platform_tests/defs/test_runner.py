"""The loop in this process: each step a run that the UI shows, and a sentence when one fails."""

import datetime as dt
import signal

import dagster as dg
import pytest

from churn_platform.base.errors import HomeBusy, IntegrityError, UsageError
from churn_platform.base.settings import prepare_environment
from churn_platform.definitions import defs
from churn_platform.defs.resources import IN_PROCESS
from churn_platform.defs.runner import StepFailed, _failure, run_due, score_newest
from churn_platform_tests.object_stores import home_at
from churn_platform_tests.small_business import (
    FEBRUARY,
    JANUARY,
    deliver,
    make_home,
    month_tables,
    open_home,
)
from churn_platform_tests.system.receiver import receiving


def run(home, through=None, on_asset=lambda *_: None):
    """Run what is due; (job, as_of) of each run."""
    prepare_environment(home.settings)
    return [
        (ran.step.kind, ran.step.as_of) for ran in run_due(home, lambda _: None, on_asset, through)
    ]


def runs_of(home) -> list[dg.DagsterRun]:
    with dg.DagsterInstance.from_config(str(home.folder / "dagster")) as instance:
        return instance.get_runs()


@pytest.fixture
def broken(tmp_path):
    """A home whose January cannot be read and whose February is sound."""
    home = make_home(tmp_path / "home")
    folder = deliver(home, JANUARY)
    (folder / "leavers.csv").write_text("member,has_left\nm00000,perhaps\n")
    deliver(home, FEBRUARY)
    return home


def test_a_run_without_the_store_of_its_lake_ends_with_its_code_and_the_next_one_goes_on(tmp_path):
    share = tmp_path / "share"
    home = home_at(tmp_path / "home", f"file://{share}")
    deliver(home, JANUARY)
    share.rename(tmp_path / "not mounted")
    with pytest.raises(StepFailed) as caught:
        run(home)
    assert caught.value.code == "LAKE_UNREACHABLE"
    assert "\n" not in str(caught.value)
    assert home.lake.months() == []
    (tmp_path / "not mounted").rename(share)
    home = open_home(home.folder)
    assert home.ingestion.publish(JANUARY).kind == "first"
    assert home.lake.place.lacks(list(home.lake.entries(JANUARY).values())) == []


def test_nothing_due_is_no_run(january_copy):
    assert run(january_copy) == []
    assert runs_of(january_copy) == []


def scored_now(home):
    prepare_environment(home.settings)
    return score_newest(home, lambda _: None, lambda *_: None)


def test_the_newest_month_is_scored_at_once_by_the_version_that_came_into_production(
    february_copy,
):
    assert scored_now(february_copy) is None
    february_copy.rollbacks.roll_back("Bob", "I said so.")
    deliver(february_copy, dt.date(2024, 3, 31))  # due, and left to the next run
    assert scored_now(open_home(february_copy.folder)) == FEBRUARY
    home = open_home(february_copy.folder)
    assert home.records.read("scores", FEBRUARY)["version"] == 1
    assert home.status.now().newest_list.outdated is None
    assert home.status.scores(1).rows[0]["version"] == 1
    [done] = runs_of(home)
    assert (done.job_name, done.status) == ("retraining", dg.DagsterRunStatus.SUCCESS)
    assert home.lake.months() == [JANUARY, FEBRUARY]


def test_a_month_that_a_run_must_process_first_is_not_scored(february_copy):
    home = february_copy
    home.rollbacks.roll_back("Bob", "I said so.")
    tables = month_tables(FEBRUARY)
    tables["visits"]["hours"] += 1
    deliver(home, FEBRUARY, tables)
    assert scored_now(open_home(home.folder)) is None
    assert home.records.read("scores", FEBRUARY)["version"] == 2


def test_while_a_run_holds_the_home_the_list_is_left_to_it(february_copy, held):
    february_copy.rollbacks.roll_back("Bob", "I said so.")
    held(february_copy.folder)
    with pytest.raises(HomeBusy):
        scored_now(open_home(february_copy.folder))


def test_ctrl_c_is_ctrl_c_and_the_next_run_completes_what_was_cut_off(february_decided_copy):
    def interrupt(name, state):
        if (name, state) == ("promotion_decision", "started"):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(february_decided_copy, on_asset=interrupt)
    home, heard = open_home(february_decided_copy.folder), []
    assert home.releases.pointer().version == 1
    assert run(home, on_asset=lambda *told: heard.append(told)) == [("retraining", FEBRUARY)]

    home = open_home(home.folder)
    assert home.releases.pointer().version == home.records.read("scores", FEBRUARY)["version"] > 1
    assert home.progress().next_step() is None
    order = [
        "candidate_model",
        "promotion_decision",
        "production_model",
        "promotion_gate",
        "approval",
        "scores",
        "contact_plan",
        "experiments",
        "monthly_report",
    ]
    assert heard == [(name, state) for name in order for state in ("started", "done")]
    done, cut = runs_of(home)
    assert (done.job_name, done.status) == ("retraining", dg.DagsterRunStatus.SUCCESS)
    assert cut.is_finished
    assert not cut.is_success
    assert (done.tags["dagster/partition"], done.tags["churn/in_process"]) == ("2024-02-29", "true")
    assert done.run_config["ops"]["promotion_decision"]["config"] == {"trigger": "performance"}
    assert run(home) == []


def test_a_run_that_fails_says_why_in_the_assets_own_words_and_later_months_wait(broken):
    with pytest.raises(StepFailed, match="The drop of 2024-01-31 is refused") as caught:
        run(broken)
    assert "has_left" in str(caught.value)
    assert "perhaps" in str(caught.value)
    [made] = runs_of(broken)
    assert (made.status, made.tags["dagster/partition"]) == (
        dg.DagsterRunStatus.FAILURE,
        "2024-01-31",
    )


def test_a_resource_that_fails_is_an_error_and_not_ctrl_c(february_decided_copy):
    (february_decided_copy.folder / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StepFailed, match=r"mlflow\.db records .*file is not a database"):
        run(february_decided_copy)


def failure_of(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """What the command line is told of a run whose asset raised `error` from `cause`."""

    @dg.asset
    def probe() -> None:
        raise error from cause

    with dg.DagsterInstance.ephemeral() as instance:
        return _failure(dg.materialize([probe], instance=instance, raise_on_error=False))


def test_an_error_of_ours_is_told_and_not_what_caused_it():
    told = failure_of(
        IntegrityError("release 1 was changed: put it back"), FileNotFoundError("manifest.json")
    )
    assert (type(told), str(told)) == (StepFailed, "probe: release 1 was changed: put it back")


def test_of_an_error_that_is_not_ours_the_root_is_told():
    told = failure_of(RuntimeError("the join failed"), ValueError("column: no such name"))
    assert (type(told), str(told)) == (StepFailed, "probe: column: no such name")


def test_ctrl_c_is_never_told_as_a_failure():
    assert isinstance(failure_of(KeyboardInterrupt()), KeyboardInterrupt)


def test_months_after_the_one_that_was_asked_for_are_left_for_later(broken):
    assert run(broken, through=dt.date(2023, 12, 31)) == []
    assert runs_of(broken) == []


def test_runs_that_a_kill_left_behind_are_closed(january_copy):
    with dg.DagsterInstance.from_config(str(january_copy.folder / "dagster")) as instance:
        job = defs().resolve_job_def("monthly")
        dead = instance.create_run_for_job(
            job_def=job, tags=IN_PROCESS, status=dg.DagsterRunStatus.STARTED
        )
        other = instance.create_run_for_job(job_def=job, status=dg.DagsterRunStatus.STARTED)
    assert run(january_copy) == []
    status = {made.run_id: made.status for made in runs_of(january_copy)}
    assert status == {
        dead.run_id: dg.DagsterRunStatus.CANCELED,
        other.run_id: dg.DagsterRunStatus.STARTED,
    }


def test_a_home_that_another_process_holds_is_left_to_it(january_copy, held):
    held(january_copy.folder)
    busy = open_home(january_copy.folder, lock_seconds=0)
    with pytest.raises(HomeBusy, match="Another run has held"):
        run(busy)


def test_people_are_told_of_a_run_that_fails_and_of_each_step_before_the_next(broken, monkeypatch):
    with receiving() as receiver:
        home = open_home(broken.folder, alert_urls=receiver.url)
        with pytest.raises(StepFailed):
            run(home)
        assert receiver.titles == ["gym: the drop of 2024-01-31 is refused"]
        body = receiver.got[0]["body"]
        assert "leavers.csv: 1 of 1 rows are faulty" in body
        assert (
            "perhaps" not in body
        )  # a receipt holds no value of the files: customers can be forgotten


def test_a_training_that_cannot_be_made_is_a_green_recorded_refusal_and_new_labels_are_tried(
    tmp_path,
):
    home = make_home(tmp_path / "home")
    deliver(home, JANUARY, month_tables(JANUARY, 24))
    assert run(home) == [("monthly", JANUARY), ("retraining", JANUARY)]
    assert {made.status for made in runs_of(home)} == {dg.DagsterRunStatus.SUCCESS}
    home = open_home(home.folder)
    [refused] = home.ledger.receipts("training refused")
    assert (refused.subject, "at least 10 of each are needed" in refused.reason) == (
        "2024-01-31",
        True,
    )
    assert (
        home.progress()
        .retraining(JANUARY)
        .reason.startswith(f"No candidate can be trained: {refused.reason}")
    )
    assert home.records.decisions() == []
    assert run(home) == []

    deliver(home, FEBRUARY)
    assert run(home) == [("monthly", FEBRUARY), ("retraining", FEBRUARY)]
    home = open_home(home.folder)
    assert [decision["decision"] for decision in home.records.decisions()] == ["promoted"]
    assert home.records.read("scores", FEBRUARY)["version"] == 1
    assert len(home.ledger.receipts("training refused")) == 1


def test_a_retraining_that_a_person_asks_for_is_made_once_and_with_the_changed_algorithm(
    february_copy,
):
    home = february_copy
    with pytest.raises(
        UsageError, match=r"Version 2 .* was made from the same data under the same policy"
    ):
        home.retraining_requests.request("Ann", "Again.")
    contract = home.folder / "contract.yaml"
    contract.write_text(contract.read_text().replace("logistic_regression", "lightgbm"))
    home = open_home(home.folder)
    home.retraining_requests.request("Ann", "Compare with boosted trees.")
    with pytest.raises(UsageError, match="Ann has asked for a retraining already"):
        home.retraining_requests.request("Bob", "Me too.")
    assert run(home) == [("retraining", FEBRUARY)]
    home = open_home(home.folder)
    newest = home.records.decisions()[-1]
    assert (newest["trigger"], newest["candidate_version"]) == ("manual", 3)
    [asked] = home.ledger.receipts("manual retraining requested")
    assert (asked.actor, asked.reason) == ("Ann", "Compare with boosted trees.")
    assert run(home) == []
