"""Sensors, schedule and run requests: ticks on a temporary instance, homes as the adapters leave them."""

import dataclasses
import datetime as dt
import os
import re
import time

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.alerting.dagster_ui import free_port
from churn_platform.base.errors import ContractError, IntegrityError
from churn_platform.base.settings import prepare_environment
from churn_platform.definitions import defs
from churn_platform.defs import automation
from churn_platform.defs.automation import (
    EVIDENCE_TAG,
    LIST,
    alert_sensor,
    drift_sensor,
    drop_sensor,
    experiments_sensor,
    monthly_schedule,
    run_request,
)
from churn_platform.defs.resources import HomeResource
from churn_platform.loop.next_step import Step
from churn_platform_tests.api_client import with_contract
from churn_platform_tests.gym import record_act
from churn_platform_tests.object_stores import home_at
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
from churn_platform_tests.system.receiver import receiving

MARCH = dt.date(2024, 3, 31)
STEP = Step("retraining", JANUARY, "There is no production model yet.", "abc", "first")
steps = st.builds(
    Step,
    kind=st.sampled_from(["monthly", "retraining", "scores"]),
    as_of=st.sampled_from([JANUARY, FEBRUARY]),
    reason=st.just("Because."),
    key=st.text("ab:1", max_size=4),
)


@pytest.fixture
def empty_home(tmp_path):
    return make_home(tmp_path / "home")


def aged(folder, seconds=60):
    """Make the files of a drop older."""
    then = time.time() - seconds
    for path in folder.iterdir():
        os.utime(path, (then, then))
    return folder


def skipped(result) -> str:
    assert not result.run_requests
    assert not result.dynamic_partitions_requests
    return (
        result.skip_reason.skip_message
        if isinstance(result.skip_reason, dg.SkipReason)
        else result.skip_reason
    )


def requested(result) -> dg.RunRequest:
    assert result.skip_reason is None
    [request] = result.run_requests
    [partitions] = result.dynamic_partitions_requests
    assert (partitions.partitions_def_name, partitions.partition_keys) == (
        "as_of",
        [request.partition_key],
    )
    return request


ORIGIN = RemoteJobOrigin(
    RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("churn_platform"), "churn"), "monthly"
)


def active(instance, status=dg.DagsterRunStatus.STARTED):
    job = defs().resolve_job_def("monthly")
    return instance.create_run_for_job(job_def=job, status=status, remote_job_origin=ORIGIN)


# Run requests


def test_a_retraining_carries_what_asked_for_it():
    request = run_request(STEP, attempt=1)
    assert request.run_config == {"ops": {"promotion_decision": {"config": {"trigger": "first"}}}}
    assert (request.partition_key, request.asset_selection) == ("2024-01-31", None)
    assert request.tags == {EVIDENCE_TAG: "retraining:2024-01-31:abc"}


def test_the_config_of_a_request_is_one_that_the_job_takes():
    job = defs().resolve_job_def("retraining")
    assert dg.validate_run_config(job, run_request(STEP, attempt=1).run_config)["ops"][
        "promotion_decision"
    ]
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(
            job, run_request(dataclasses.replace(STEP, trigger="whim"), attempt=1).run_config
        )


def test_scoring_again_runs_the_scores_alone():
    request = run_request(Step("scores", JANUARY, "Stale.", "abc"), attempt=1)
    assert request.asset_selection == LIST
    assert request.run_config == {}


@given(steps, st.integers(1, 12), steps, st.integers(1, 12))
@settings(max_examples=300, deadline=None)
def test_two_pieces_of_evidence_or_two_attempts_never_share_a_key_and_the_same_always_do(
    one, first, other, second
):
    same = (one.kind, one.as_of, one.key, first) == (other.kind, other.as_of, other.key, second)
    assert (run_request(one, first).run_key == run_request(other, second).run_key) is same


def test_a_changed_drop_is_another_piece_of_evidence(empty_home, tick):
    folder = deliver(empty_home, JANUARY)
    before = requested(tick(drop_sensor, empty_home))
    with (folder / "leavers.csv").open("a") as stream:
        stream.write("m99999,False\n")
    after = requested(tick(drop_sensor, empty_home))
    assert before.run_key != after.run_key
    assert before.tags != after.tags


# The drop sensor


def test_nothing_is_requested_and_nothing_is_written_before_a_home_is_there(tmp_path, tick):
    home = open_home(tmp_path / "home")
    for sensor in (drop_sensor, drift_sensor):
        assert skipped(tick(sensor, home)) == "No drop has arrived yet."
    assert list(tmp_path.iterdir()) == []


def test_a_complete_drop_is_requested_with_its_partition(empty_home, tick):
    deliver(empty_home, JANUARY)
    request = requested(tick(drop_sensor, empty_home))
    assert request.partition_key == "2024-01-31"
    assert request.run_key.startswith("monthly:2024-01-31:")
    assert request.run_key.endswith(":1")
    assert request.run_config == {}


def test_files_that_are_still_changing_are_waited_for(empty_home, tick):
    folder = deliver(empty_home, JANUARY)
    (folder / "_SUCCESS").unlink()
    aged(folder, seconds=1)
    assert skipped(tick(drop_sensor, empty_home)) == "The files of 2024-01-31 are still changing."
    aged(folder, seconds=60)
    assert requested(tick(drop_sensor, empty_home)).partition_key == "2024-01-31"


def test_of_many_drops_the_oldest_is_requested_alone(empty_home, tick):
    for month in (MARCH, JANUARY, FEBRUARY):
        deliver(empty_home, month)
    assert requested(tick(drop_sensor, empty_home)).partition_key == "2024-01-31"


def test_a_restored_home_of_an_earlier_version_requests_no_run(january_copy, tick, morning):
    """Its drops are known by times that a restore has lost: the next tick recognises them by content."""
    home = january_copy
    home.lake.acknowledge(JANUARY, "f" * 64)
    assert "2024-01-31" in skipped(tick(drop_sensor, home))
    assert home.lake.fingerprint(JANUARY).startswith("content:")
    for sensor in (drop_sensor, drift_sensor):
        assert "drop" not in skipped(tick(sensor, home)).lower()
    home.lake.acknowledge(JANUARY, "f" * 64)
    answer, _ = morning(home)
    assert isinstance(answer, dg.SkipReason)
    assert home.lake.fingerprint(JANUARY).startswith("content:")


@pytest.mark.parametrize(
    "status",
    [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED],
)
def test_one_run_at_a_time(empty_home, tick, instance, status):
    deliver(empty_home, JANUARY)
    active(instance, status)
    for sensor in (drop_sensor, drift_sensor):
        assert (
            skipped(tick(sensor, empty_home))
            == "Another run is active: one run at a time for a home."
        )


def test_a_run_that_has_ended_is_in_nobodys_way(empty_home, tick, instance):
    deliver(empty_home, JANUARY)
    active(instance, dg.DagsterRunStatus.SUCCESS)
    active(instance, dg.DagsterRunStatus.FAILURE)
    assert requested(tick(drop_sensor, empty_home)).run_key.endswith(":1")


def waited_for(tick, monkeypatch, home, attempt) -> dg.RunRequest:
    """The request for an attempt, after looking that a further one is not made at once."""
    if attempt > 1:
        said = skipped(tick(drop_sensor, home))
        told = re.fullmatch(
            rf"The monthly of 2024-01-31 ran and is due again: attempt {attempt} in (\d+) seconds\.",
            said,
        )
        assert 0.8 < int(told[1]) / (60 * 2 ** (attempt - 2)) <= 1, said
    with monkeypatch.context() as patience:
        patience.setattr(automation, "RETRY_SECONDS", 0.0)
        return requested(tick(drop_sensor, home))


def test_a_broken_drop_is_tried_three_times_each_later_and_mended_files_at_once(
    empty_home, tick, instance, monkeypatch
):
    folder = deliver(empty_home, JANUARY)
    (folder / "leavers.csv").write_text("member,has_left\nm00000,perhaps\n")
    prepare_environment(empty_home.settings)
    keys = []
    for attempt in (1, 2, 3):
        request = waited_for(tick, monkeypatch, empty_home, attempt)
        keys.append(request.run_key)
        assert request.run_key.endswith(f":{attempt}")
        instance.add_dynamic_partitions("as_of", [request.partition_key])
        result = (
            defs()
            .resolve_job_def("monthly")
            .execute_in_process(
                instance=instance,
                partition_key=request.partition_key,
                tags=request.tags,
                raise_on_error=False,
            )
        )
        assert not result.success
    assert len(set(keys)) == 3
    with receiving() as receiver:
        monkeypatch.setenv("CHURN_ALERT_URLS", receiver.url)
        tick(alert_sensor, empty_home)
        for _ in range(2):
            said = skipped(tick(drop_sensor, empty_home))
            assert said == "The monthly of 2024-01-31 failed 3 times: look at its last run."
            tick(alert_sensor, empty_home)
    assert receiver.titles == ["gym: the monthly of 2024-01-31 failed"]
    assert receiver.got[0]["body"].startswith(
        "It failed 3 times and is not tried again by itself. Check its last run"
    )
    monkeypatch.delenv("CHURN_ALERT_URLS")
    deliver(empty_home, JANUARY)
    assert requested(tick(drop_sensor, empty_home)).run_key.endswith(":1")


def test_a_canary_is_ended_by_a_tick(february_copy, tick):
    home = february_copy
    assert tick(experiments_sensor, home).skip_message == "No canary runs."
    home.experiments.start_canary(1, (0.05,), dt.timedelta(days=1), "Ann", "To see it.")
    assert "5% of the customers" in tick(experiments_sensor, home).skip_message
    home.rollbacks.roll_back("Ann", "It is better.")
    assert "no longer a canary" in tick(experiments_sensor, home).skip_message
    assert len(home.ledger.receipts("canary ended")) == 1


def test_a_run_that_a_kill_left_behind_is_closed_and_the_month_requested(
    empty_home, tick, instance, monkeypatch
):
    """Dagster keeps it as started for ever, and no drop would be processed again."""
    deliver(empty_home, JANUARY)
    dead = active(instance)
    assert skipped(tick(drop_sensor, empty_home)) == automation.BUSY
    monkeypatch.setattr(automation, "SILENT_SECONDS", 0.0)
    assert requested(tick(drop_sensor, empty_home)).partition_key == "2024-01-31"
    assert instance.get_run_by_id(dead.run_id).status is dg.DagsterRunStatus.CANCELED


def test_a_silent_run_whose_process_holds_the_home_is_left_alone(
    empty_home, tick, instance, held, monkeypatch
):
    deliver(empty_home, JANUARY)
    living = active(instance)
    monkeypatch.setattr(automation, "SILENT_SECONDS", 0.0)
    held(empty_home.folder)
    assert skipped(tick(drop_sensor, empty_home)) == automation.BUSY
    assert instance.get_run_by_id(living.run_id).status is dg.DagsterRunStatus.STARTED


def test_a_run_that_waits_in_the_queue_is_left_alone(empty_home, tick, instance, monkeypatch):
    deliver(empty_home, JANUARY)
    waiting = active(instance, dg.DagsterRunStatus.QUEUED)
    monkeypatch.setattr(automation, "SILENT_SECONDS", 0.0)
    assert skipped(tick(drop_sensor, empty_home)) == automation.BUSY
    assert instance.get_run_by_id(waiting.run_id).status is dg.DagsterRunStatus.QUEUED


# The drift sensor


def test_what_asks_for_a_model_is_requested_once_with_its_trigger(january_copy, tick):
    deliver(january_copy, FEBRUARY)
    monthly(january_copy, FEBRUARY)
    request = requested(tick(drift_sensor, january_copy))
    assert request.partition_key == "2024-02-29"
    assert request.run_config["ops"]["promotion_decision"]["config"] == {"trigger": "performance"}
    verdict = january_copy.progress().retraining(FEBRUARY)
    assert request.run_key == f"retraining:2024-02-29:{verdict.key}:1"
    assert (
        skipped(tick(drop_sensor, january_copy))
        == f"First the retraining of 2024-02-29 is due: {verdict.reason}"
    )
    assert "Realised AUC 0." in verdict.reason
    receipts = january_copy.ledger.receipts("retraining requested")
    assert [(r.subject, r.reason) for r in receipts if r.subject == "2024-02-29"] == [
        ("2024-02-29", verdict.reason)
    ]


def test_a_quiet_month_is_skipped_with_its_figures(january_copy, tick):
    tables = month_tables(
        JANUARY
    )  # as quiet as can be; with every table equal the drop would be refused
    tables["visits"] = tables["visits"].assign(hours=tables["visits"]["hours"] + 0.01)
    deliver(january_copy, FEBRUARY, tables)
    monthly(january_copy, FEBRUARY)
    for sensor in (drift_sensor, drop_sensor):
        said = skipped(tick(sensor, january_copy))
        assert said.startswith("Nothing asks for a new model: no drift alarm, realised AUC 0.")
        assert said.endswith(" on 2024-02-29.")
    assert [r.subject for r in january_copy.ledger.receipts("retraining skipped")].count(
        "2024-02-29"
    ) == 1


def test_a_decision_that_was_not_carried_out_is_requested_with_its_own_trigger(
    february_decided_copy, tick
):
    request = requested(tick(drift_sensor, february_decided_copy))
    assert request.run_key.startswith("retraining:2024-02-29:")
    assert request.run_config["ops"]["promotion_decision"]["config"] == {"trigger": "performance"}


def test_scores_of_the_model_before_are_made_again(february_decided_copy, tick):
    february_decided_copy.decision_maker.carry_out()
    request = requested(tick(drift_sensor, february_decided_copy))
    assert request.run_key.startswith("scores:2024-02-29:")
    assert request.asset_selection == LIST


def test_a_month_that_was_lost_from_the_online_store_after_its_good_run_is_requested_under_a_new_key(
    empty_home, tick, instance, monkeypatch
):
    deliver(empty_home, JANUARY)
    first = requested(tick(drop_sensor, empty_home))
    job = defs().resolve_job_def("monthly")
    instance.create_run_for_job(job_def=job, status=dg.DagsterRunStatus.SUCCESS, tags=first.tags)
    assert "ran and is due again: attempt 2 in" in skipped(tick(drop_sensor, empty_home))
    monkeypatch.setattr(automation, "RETRY_SECONDS", 0.0)
    assert requested(tick(drop_sensor, empty_home)).run_key != first.run_key


def test_a_retraining_waits_for_an_mlflow_server_that_is_away_without_using_up_an_attempt_and_people_are_told(
    empty_home, tick, monkeypatch
):
    deliver(empty_home, JANUARY)
    monthly(empty_home, JANUARY)
    with receiving() as receiver:
        monkeypatch.setenv("CHURN_ALERT_URLS", receiver.url)
        tick(alert_sensor, empty_home)
        monkeypatch.setenv("CHURN_MLFLOW_URI", f"http://127.0.0.1:{free_port()}")
        for _ in range(2):
            said = skipped(tick(drift_sensor, empty_home))
            assert re.fullmatch(
                r"MLflow at http://127\.0\.0\.1:\d+ does not answer \(.*refused.*\)\. "
                r"The retraining of 2024-01-31 waits for it\.",
                said,
            )
        monkeypatch.delenv("CHURN_MLFLOW_URI")
        assert requested(tick(drift_sensor, empty_home)).run_key.endswith(":1")
        tick(alert_sensor, empty_home)
    told = [title for title in receiver.titles if "MLflow" in title]
    assert told == ["gym: the MLflow server is down", "gym: the MLflow server runs again"]


def test_a_month_waits_for_a_database_of_feast_that_is_away_without_using_up_an_attempt(
    empty_home, tick, monkeypatch
):
    setting = "CHURN_FEAST_REGISTRY"
    deliver(empty_home, JANUARY)
    monkeypatch.setenv(setting, f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    said = skipped(tick(drop_sensor, empty_home))
    assert said.startswith("Postgres at postgresql://nobody@127.0.0.1:")
    assert said.endswith("try again. The monthly of 2024-01-31 waits for it.")
    monkeypatch.delenv(setting)
    assert requested(tick(drop_sensor, empty_home)).run_key.endswith(":1")


def test_a_month_waits_for_a_lake_that_is_away_without_using_up_an_attempt_and_people_are_told(
    tmp_path, tick, monkeypatch
):
    share = tmp_path / "share"
    home = home_at(tmp_path / "home", f"file://{share}")
    deliver(home, JANUARY)
    with receiving() as receiver:
        monkeypatch.setenv("CHURN_ALERT_URLS", receiver.url)
        tick(alert_sensor, home)
        share.rename(tmp_path / "not mounted")
        for _ in range(2):
            said = skipped(tick(drop_sensor, home))
            assert str(share) in said
            assert said.endswith("The monthly of 2024-01-31 waits for it.")
        (tmp_path / "not mounted").rename(share)
        assert requested(tick(drop_sensor, home)).run_key.endswith(":1")
        tick(alert_sensor, home)
    told = [title for title in receiver.titles if "store of the lake" in title]
    assert told == [
        "gym: the object store of the lake is down",
        "gym: the object store of the lake runs again",
    ]


# A failed read is not "nothing new"


def test_a_broken_contract_is_an_error_of_the_tick(empty_home, tick):
    deliver(empty_home, JANUARY)
    (empty_home.folder / "contract.yaml").write_text("name: gym\n")
    with pytest.raises(ContractError, match=r"contract\.yaml"):
        tick(drop_sensor, empty_home)


def test_a_broken_chain_of_receipts_is_an_error_of_the_tick(january_copy, tick):
    receipts = january_copy.ledger.file
    receipts.write_text(receipts.read_text().replace("accepted", "declined"))
    for sensor in (drop_sensor, drift_sensor):
        with pytest.raises(IntegrityError, match=r"receipts.jsonl, line 1"):
            tick(sensor, january_copy)


def test_a_pointer_that_cannot_be_read_is_an_error_of_the_tick(january_copy, tick):
    january_copy.releases.pointer_file.write_text("{")
    with pytest.raises(IntegrityError, match="production is not valid JSON"):
        tick(drift_sensor, january_copy)


# The schedule


@pytest.fixture
def morning(tmp_path):
    """Evaluate the schedule once; what it answered and the partitions there are then."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def evaluate(home):
            resources = {"home": HomeResource(folder=str(home.folder))}
            with dg.build_schedule_context(instance=instance, resources=resources) as context:
                return monthly_schedule(context), instance.get_dynamic_partitions("as_of")

        evaluate.instance = instance
        yield evaluate


def test_the_schedule_requests_the_oldest_due_month_with_its_partition(empty_home, morning):
    deliver(empty_home, FEBRUARY)
    deliver(empty_home, JANUARY)
    request, partitions = morning(empty_home)
    assert request.partition_key == "2024-01-31"
    assert request.run_key.startswith("monthly:2024-01-31:")
    assert partitions == ["2024-01-31"]


def test_the_schedule_says_why_it_requests_nothing(empty_home, january, february_decided, morning):
    said = [morning(home)[0].skip_message for home in (empty_home, january, february_decided)]
    assert said == [
        "No month is due.",
        "No month is due.",
        "First the retraining of 2024-02-29 is due.",
    ]


def test_the_schedule_leaves_a_home_alone_on_which_a_run_is_active(empty_home, morning):
    deliver(empty_home, JANUARY)
    active(morning.instance)
    assert (
        morning(empty_home)[0].skip_message
        == "Another run is active: one run at a time for a home."
    )


# Alerts


def test_the_alert_sensor_says_that_nobody_is_to_be_told(january_copy, tick):
    assert (
        tick(alert_sensor, january_copy).skip_message
        == "No alert channels are configured (CHURN_ALERT_URLS)."
    )


def test_the_alert_sensor_tells_what_happened_since_its_last_tick(january_copy, tick, monkeypatch):
    def said():
        return tick(alert_sensor, january_copy).skip_message

    with receiving() as receiver:
        monkeypatch.setenv("CHURN_ALERT_URLS", receiver.url)
        assert said() == "0 sent."
        rollback = {"act": "rollback done", "subject": "version 2", "after": "version 1"}
        record_act(january_copy.ledger, actor="ada", reason="So.", **rollback)
        assert said() == "1 sent."
        assert said() == "0 sent."
        record_act(
            january_copy.ledger,
            actor="ada",
            act="promotion done",
            subject="version 3",
            reason="So.",
        )
        receiver.status = 500
        assert (
            said()
            == "0 sent. A message did not reach json 1: it answered 500. It is tried again later."
        )
    assert receiver.titles == ["gym: rolled back to version 1"]


def test_no_sensor_asks_for_a_run_under_a_refused_contract_and_an_alert_is_sent(
    january_copy, tick, morning
):
    prepare_environment(january_copy.settings)
    january_copy.run_start.complete()
    members = DECLARED["tables"]["members"]["columns"] | {"spring": {"dtype": "integer"}}
    home = with_contract(
        january_copy, tables=DECLARED["tables"] | {"members": {"columns": members}}
    )
    deliver(home, FEBRUARY)
    with receiving() as receiver:
        prepare_environment(home.settings)
        os.environ["CHURN_ALERT_URLS"] = receiver.url
        home = open_home(home.folder, alert_urls=receiver.url)
        home.alerts.begin()
        for sensor in (drop_sensor, drift_sensor):
            assert "members.spring" in skipped(tick(sensor, home))
        said, months = morning(home)
        assert "members.spring" in said.skip_message
        assert months == []
        home.alerts.send()
    assert receiver.titles == ["gym: the contract is refused"]
