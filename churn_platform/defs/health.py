"""The state of the daemon and the jobs in Dagster's storage, for the metrics."""

import threading

import dagster as dg

from churn_platform.alerting.metrics import DagsterState, JobState
from churn_platform.defs.automation import monthly, pull, retraining
from churn_platform.services import Services

BROKEN = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


class DagsterHealth:
    """Reads one home's Dagster storage. The instance is opened on first use and kept."""

    def __init__(self, home: Services) -> None:
        self._folder = home.folder / "dagster"
        self._instance: dg.DagsterInstance | None = None
        self._opening = threading.Lock()

    def read(self) -> DagsterState:
        """The state now, by one query for the daemons and two per job."""
        with self._opening:  # two first readers would create the storage of a new home twice
            if self._instance is None:
                self._instance = dg.DagsterInstance.from_config(str(self._folder))
        beats = self._instance.get_daemon_heartbeats()
        jobs = {
            job.name: self._job(self._instance, job.name) for job in (monthly, retraining, pull)
        }
        return DagsterState({kind.lower(): beat.timestamp for kind, beat in beats.items()}, jobs)

    def _job(self, instance: dg.DagsterInstance, name: str) -> JobState:
        return JobState(
            _ended(instance, name, [dg.DagsterRunStatus.SUCCESS]),
            _ended(instance, name, BROKEN),
        )


def _ended(
    instance: dg.DagsterInstance, job: str, statuses: list[dg.DagsterRunStatus]
) -> float | None:
    records = instance.get_run_records(
        dg.RunsFilter(job_name=job, statuses=statuses), limit=1, order_by="update_timestamp"
    )
    if records:
        return records[0].end_time or records[0].update_timestamp.timestamp()
    return None
