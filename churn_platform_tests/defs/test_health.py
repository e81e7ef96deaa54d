"""What Dagster's own storage says of daemon and jobs."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import dagster as dg
from dagster._daemon.types import DaemonHeartbeat

from churn_platform.alerting.metrics import JobState
from churn_platform.definitions import defs
from churn_platform.defs.health import DagsterHealth


def test_a_home_on_which_nothing_ever_ran_has_neither_daemon_nor_runs(january_copy):
    state = DagsterHealth(january_copy).read()
    assert state.daemon_alive(time.time()) is None
    assert state.jobs == dict.fromkeys(("monthly", "retraining", "pull"), JobState(None, None))


def test_readers_that_come_first_all_at_once_are_all_answered(january_copy):
    health, at_once = DagsterHealth(january_copy), threading.Barrier(4)

    def read(_):
        at_once.wait()
        return health.read()

    with ThreadPoolExecutor(4) as readers:
        assert all(state.heartbeats == {} for state in readers.map(read, range(4)))


def test_signs_of_life_and_ends_of_runs_are_seen_as_they_come(january_copy):
    health = DagsterHealth(january_copy)
    health.read()
    began = time.time()
    with dg.DagsterInstance.from_config(str(january_copy.folder / "dagster")) as instance:
        instance.add_daemon_heartbeat(DaemonHeartbeat(began, "SENSOR", "some-id", []))
        run = instance.create_run_for_job(
            defs().resolve_job_def("monthly"), status=dg.DagsterRunStatus.STARTED
        )
        assert health.read().jobs["monthly"] == JobState(None, None)
        instance.report_run_canceled(run)
    state = health.read()
    assert state.heartbeats == {"sensor": began}
    assert state.daemon_alive(began + 10) is True
    assert state.jobs["monthly"].success is None
    assert began - 1 < state.jobs["monthly"].failure < time.time() + 1
    assert state.jobs["retraining"] == JobState(None, None)
