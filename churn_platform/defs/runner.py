"""Runs the loop in this process, through Dagster, so every run is in the UI."""

import contextlib
import datetime as dt
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._utils.error import SerializableErrorInfo

from churn_platform.base import errors
from churn_platform.base.errors import ChurnError
from churn_platform.base.library_errors import one_line
from churn_platform.definitions import defs
from churn_platform.defs.automation import run_request
from churn_platform.defs.resources import (
    IN_PROCESS,
    OnAsset,
    close_dead_runs,
    listening,
    start_run,
)
from churn_platform.features.online.upkeep import notice_lost_rows
from churn_platform.loop.next_step import Step
from churn_platform.services import Services

LOGGER = logging.getLogger(__name__)

OURS = {
    name: kind.code
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, ChurnError)
}
"""The code of each error by the name of its class: Dagster keeps no more of an error."""
INTERRUPTIONS = ("KeyboardInterrupt", "DagsterExecutionInterruptedError")


@dataclass(frozen=True)
class FinishedStep:
    """A step that was run."""

    step: Step
    run_id: str


class StepFailed(ChurnError):
    """A run failed. The message, and the code of its class, are those of the error behind it."""

    code = "STEP_FAILED"


def run_due(
    home: Services,
    on_step: Callable[[Step], None],
    on_asset: OnAsset,
    through: dt.date | None = None,
) -> Iterator[FinishedStep]:
    """Hold the home and run what is due, oldest first, until nothing is.

    Args:
        home: the home.
        on_step: called with each step before it runs.
        on_asset: called with each asset as it starts and ends.
        through: the newest as_of to process; None for all.

    Raises:
        StepFailed: a run failed; the runs before it stay.
    """
    with started(home) as instance:
        if home.drop_source is not None:
            for problem in home.drop_source.copy_due():
                LOGGER.warning(problem)
        yield from run_steps(home, instance, on_step, on_asset, through)


def score_newest(
    home: Services, on_step: Callable[[Step], None], on_asset: OnAsset
) -> dt.date | None:
    """Score the newest month with the version that has come into production, as `run_due` does,
    and nothing else.

    Returns:
        The month; None where its list is by that version already, or a run must process the
        month first.

    Raises:
        HomeBusy: a run is active; it or the next one scores the month.
        StepFailed: the scoring failed.
    """
    with started(home, seconds=0) as instance:
        step = home.progress().stale_list()
        if step is not None:
            _run(home, instance, step, on_step, on_asset)
            return step.as_of
    return None


@contextlib.contextmanager
def started(home: Services, seconds: float | None = None) -> Iterator[dg.DagsterInstance]:
    """Hold the home, complete what was cut off, and yield the Dagster instance for its runs.

    Args:
        home: the home.
        seconds: how long to wait for another process; `CHURN_LOCK_SECONDS` by default.
    """
    home.create()
    with home.exclusive("`churn run`", seconds), _instance(home) as instance:
        home.alerts.begin()
        start_run(home, instance)
        yield instance


def run_steps(
    home: Services,
    instance: dg.DagsterInstance,
    on_step: Callable[[Step], None],
    on_asset: OnAsset,
    through: dt.date | None = None,
) -> Iterator[FinishedStep]:
    """As `run_due`, on a home that is `started`."""
    while (step := _next(home)) is not None and (through is None or step.as_of <= through):
        yield _run(home, instance, step, on_step, on_asset)


def _run(
    home: Services,
    instance: dg.DagsterInstance,
    step: Step,
    on_step: Callable[[Step], None],
    on_asset: OnAsset,
) -> FinishedStep:
    """Run a step and send the alerts of what it did."""
    on_step(step)
    try:
        return FinishedStep(step, run_step(home, step, instance, on_asset))
    finally:
        home.alerts.send()


def _instance(home: Services) -> dg.DagsterInstance:
    """The home's instance without the capture of stdout and stderr: it would swallow the
    progress bar, and Ctrl-C would make each of its helper processes print a traceback.
    """
    nothing = {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
    return dg.DagsterInstance.from_ref(
        InstanceRef.from_dir(str(home.folder / "dagster"), overrides={"compute_logs": nothing})
    )


def _next(home: Services) -> Step | None:
    notice_lost_rows(home.feature_store, home.lake, home.now())
    home.ingestion.recognise_all()
    progress = home.progress()
    progress.record_retraining()
    return progress.next_step()


def run_step(home: Services, step: Step, instance: dg.DagsterInstance, on_asset: OnAsset) -> str:
    """Run one step as one Dagster run; the run's id."""
    request = run_request(step, attempt=1)
    partition = step.as_of.isoformat()
    instance.add_dynamic_partitions("as_of", [partition])
    name = "monthly" if step.kind == "monthly" else "retraining"
    loggers = {"progress": {"config": {}}}
    with listening(on_asset):
        result = (
            defs()
            .resolve_job_def(name)
            .execute_in_process(
                instance=instance,
                partition_key=partition,
                run_config={**request.run_config, "loggers": loggers},
                tags={**request.tags, **IN_PROCESS},
                asset_selection=request.asset_selection,
                raise_on_error=False,
            )
        )
    if not result.success:
        raise _failure(result)
    if home.progress().next_step() == step:
        raise StepFailed(
            f"The {step.kind} of {step.as_of} ran but is still due: a record is missing; run"
            " `churn doctor`."
        )
    return result.run_id


def _failure(result: dg.ExecuteInProcessResult) -> BaseException:
    """The error that failed the run, with our own message where there is one. An interrupt
    stays an interrupt.
    """
    ended = [
        event for event in result.all_events if event.event_type is dg.DagsterEventType.RUN_FAILURE
    ]
    # A resource that fails has no failed step.
    for event in [*result.get_step_failure_events(), *ended]:
        data: Any = event.event_specific_data
        failure = getattr(data, "user_failure_data", None)
        if failure is not None and failure.description:
            code = failure.metadata.get("code")
            return StepFailed(failure.description, code=None if code is None else code.text)
        chain = _causes(data.error)
        ours = [error for error in chain if error.cls_name in OURS]
        if ours:
            place = event.step_key or one_line(_message(chain[0]))
            code = OURS[ours[0].cls_name or ""]
            return StepFailed(f"{place}: {_message(ours[0])}", code=code)
        if chain and chain[-1].cls_name not in INTERRUPTIONS:
            place = event.step_key or one_line(_message(chain[0]))
            return StepFailed(f"{place}: {one_line(_message(chain[-1]))}")
    return KeyboardInterrupt()


def _causes(error: SerializableErrorInfo | None) -> list[SerializableErrorInfo]:
    """The error, what caused it, and so on to the root."""
    chain = []
    while error is not None:
        chain.append(error)
        error = error.cause
    return chain


def _message(error: SerializableErrorInfo) -> str:
    return error.message.strip().split(": ", 1)[-1]


def close_runs_of_killed_commands(home: Services) -> int:
    """Mark the runs that a killed `churn run` left behind as canceled; how many there were."""
    if not (home.folder / "dagster" / "history").exists():
        return 0
    with home.exclusive(), _instance(home) as instance:
        return close_dead_runs(instance)
