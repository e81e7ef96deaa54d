"""Resources: a run holds its home, a tick does not; one MLflow run for each Dagster run, in the home's store."""

import datetime as dt
import subprocess
import sys

import dagster as dg
import pytest

from churn_platform.base.errors import UsageError
from churn_platform.base.settings import prepare_environment
from churn_platform.definitions import defs
from churn_platform.defs.automation import drop_sensor
from churn_platform.defs.ingestion import snapshot
from churn_platform.defs.resources import (
    IN_PROCESS,
    HomeResource,
    listening,
    mlflow_tracking,
    month_of,
    progress_logger,
)
from churn_platform_tests.small_business import JANUARY, deliver, make_home

TRY = "import sys, filelock; filelock.FileLock(sys.argv[1], timeout=0).acquire()"


@pytest.fixture
def home(tmp_path):
    made = make_home(tmp_path / "home")
    deliver(made, JANUARY)
    return made


def free(folder) -> bool:
    """Whether another process could take the home."""
    command = [sys.executable, "-c", TRY, str(folder / "home.lock")]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_tick_does_not_wait_for_a_home_that_another_process_holds(home, tick, held, monkeypatch):
    monkeypatch.setenv("CHURN_LOCK_SECONDS", "0")
    held(home.folder)
    assert tick(drop_sensor, home).run_requests[0].partition_key == "2024-01-31"


def test_a_run_waits_and_then_says_who_is_in_its_way(home, materialize, held, monkeypatch):
    monkeypatch.setenv("CHURN_LOCK_SECONDS", "0")
    held(home.folder)
    result = materialize(home, JANUARY, snapshot, raising=False)
    assert not result.success
    ended = next(
        event for event in result.all_events if event.event_type is dg.DagsterEventType.RUN_FAILURE
    )
    assert f"Another run has held {home.folder} for 0 seconds" in str(
        ended.event_specific_data.error
    )
    assert home.lake.months() == []


def test_a_run_holds_its_home_from_start_to_end(home):
    seen = []

    @dg.asset
    def probe(home: HomeResource) -> None:
        seen.append(free(home.open().folder))

    resource = HomeResource(folder=str(home.folder))
    assert dg.materialize([probe], resources={"home": resource}).success
    assert seen == [False]
    assert free(home.folder)


def test_a_run_makes_the_home_that_is_not_there_yet(tmp_path):
    @dg.asset
    def probe(home: HomeResource) -> None:
        assert home.open().drops.is_dir()

    assert dg.materialize(
        [probe], resources={"home": HomeResource(folder=str(tmp_path / "new"))}
    ).success


def test_the_home_is_the_one_of_the_environment_unless_the_resource_names_another(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("CHURN_HOME", str(tmp_path / "one"))
    assert HomeResource().open().folder == tmp_path / "one"
    assert HomeResource(folder=str(tmp_path / "two")).open().folder == tmp_path / "two"
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_cannot_be_read_is_named(monkeypatch):
    monkeypatch.setenv("CHURN_LOCK_SECONDS", "soon")
    with pytest.raises(UsageError, match="CHURN_LOCK_SECONDS is 'soon'"):
        HomeResource().open()


@pytest.fixture
def linked(january_decided_copy):
    """Run an asset that uses MLflow, or fails; (Dagster run, MLflow run) of it."""

    def run(fails: bool) -> tuple[str, str]:
        seen = []

        @dg.asset(required_resource_keys={"mlflow"})
        def probe(context: dg.AssetExecutionContext) -> None:
            seen.append((context.run.run_id, context.resources.mlflow.active_run().info.run_id))
            if fails:
                raise ValueError("no labels")
            context.resources.mlflow.end_run()

        resources = {
            "home": HomeResource(folder=str(january_decided_copy.folder)),
            "mlflow": mlflow_tracking,
        }
        prepare_environment(january_decided_copy.settings)
        assert (
            dg.materialize([probe], resources=resources, raise_on_error=False).success is not fails
        )
        return seen[0]

    return run


def test_each_dagster_run_is_one_mlflow_run_in_the_homes_store_also_after_one_that_failed(
    january_decided_copy, linked
):
    from mlflow import MlflowClient

    runs = [linked(fails) for fails in (False, True, False)]
    client = MlflowClient(f"sqlite:///{january_decided_copy.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("gym_churn")
    assert experiment.artifact_location == (january_decided_copy.folder / "artifacts").as_uri()
    assert len({run_id for _, run_id in runs}) == 3
    for dagster_id, run_id in runs:
        run = client.get_run(run_id)
        assert run.info.experiment_id == experiment.experiment_id
        assert (run.data.tags["dagster_run_id"], run.data.tags["home"]) == (
            dagster_id,
            str(january_decided_copy.folder),
        )
    assert [client.get_run(run_id).info.status for _, run_id in runs] == [
        "FINISHED",
        "FAILED",
        "FINISHED",
    ]


def test_a_run_first_completes_the_move_that_was_cut_off(february_copy, monkeypatch):
    from churn_platform_tests.promotion.test_promotions import STEPS, PowerCut

    @dg.asset
    def probe(home: HomeResource) -> int:
        return home.open().releases.pointer().version

    with monkeypatch.context() as patch:
        patch.setattr(*STEPS["pointer"](february_copy))
        with pytest.raises(PowerCut):
            february_copy.rollbacks.roll_back("Bob", "Wrong.")
    resource = HomeResource(folder=str(february_copy.folder))
    result = dg.materialize([probe], resources={"home": resource})
    assert result.output_for_node("probe") == 1
    assert len(february_copy.ledger.receipts("recovery")) == 1


def test_the_month_of_a_run_is_its_partition_as_a_date():
    with dg.build_asset_context(partition_key="2024-02-29") as context:
        assert month_of(context) == dt.date(2024, 2, 29)


@dg.asset
def sound(context: dg.AssetExecutionContext) -> None:
    context.log.info("a line of its own")


@dg.asset(deps=[sound])
def broken() -> None:
    raise ValueError("no")


def run_both() -> bool:
    job = dg.Definitions(
        assets=[sound, broken], loggers={"progress": progress_logger}
    ).resolve_implicit_global_asset_job_def()
    config = {"loggers": {"progress": {"config": {}}}}
    return job.execute_in_process(run_config=config, raise_on_error=False).success


def test_a_listener_hears_each_asset_start_and_end_and_no_end_of_one_that_failed():
    heard = []
    other = []
    with (
        listening(lambda name, state: heard.append((name, state))),
        listening(lambda *event: other.append(event)),
    ):
        assert not run_both()
    assert heard == other == [("sound", "started"), ("sound", "done"), ("broken", "started")]
    run_both()
    assert len(heard) == 3


def test_a_run_first_completes_an_erasure_that_was_cut_off(february_copy, monkeypatch):
    from churn_platform.maintenance.erasure import Erasure

    @dg.asset
    def probe(home: HomeResource) -> None: ...

    with monkeypatch.context() as patch:
        patch.setattr(Erasure, "carry_out", lambda *_: None)
        february_copy.erasure.erase("m00004", "ann", "asked")
    assert february_copy.ledger.receipts("customer forgotten") == []
    resource = HomeResource(folder=str(february_copy.folder))
    assert dg.materialize([probe], resources={"home": resource}).success
    assert len(february_copy.ledger.receipts("customer forgotten")) == 1


def test_a_run_closes_what_a_killed_command_left_and_not_itself(january_copy, instance):
    @dg.asset
    def probe(home: HomeResource) -> None: ...

    job = defs().resolve_job_def("monthly")
    started = dg.DagsterRunStatus.STARTED
    dead = instance.create_run_for_job(job_def=job, tags=IN_PROCESS, status=started)
    living = instance.create_run_for_job(job_def=job, status=started)
    resource = HomeResource(folder=str(january_copy.folder))
    result = dg.materialize(
        [probe], instance=instance, resources={"home": resource}, tags=IN_PROCESS
    )
    assert result.success
    assert instance.get_run_by_id(dead.run_id).status is dg.DagsterRunStatus.CANCELED
    assert instance.get_run_by_id(living.run_id).status is started
    assert instance.get_run_by_id(result.run_id).status is dg.DagsterRunStatus.SUCCESS
