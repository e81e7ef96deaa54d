"""What assets, checks and jobs share: the home, MLflow's tracking, the partition, the logger of
`churn run`.
"""

import contextlib
import datetime as dt
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from churn_platform.base.errors import ContractError
from churn_platform.base.settings import load_settings, prepare_environment
from churn_platform.services import Services

as_of_partitions = dg.DynamicPartitionsDefinition(name="as_of")
IN_PROCESS = {
    "churn/in_process": "true",
    ".dagster/repository": "__repository__@churn_platform",
}
"""The tags of a run of `churn run`."""
BY_PERSON = {"churn/by_person": "true"}
"""The tags of a job by which a person acts. It also runs under a refused contract: a rollback
must not wait for the contract.
"""
GONE = "The process that ran it is gone."
OnAsset = Callable[[str, str], None]
"""Is called with the asset and "started" or "done"."""
STATES = {"STEP_START": "started", "STEP_SUCCESS": "done"}
_listeners: list[OnAsset] = []


def month_of(context: dg.AssetExecutionContext) -> dt.date:
    """The as_of of the run's partition."""
    return dt.date.fromisoformat(context.partition_key)


def markdown_table(
    heads: Sequence[str], rows: Iterable[Iterable[object]]
) -> dg.MarkdownMetadataValue:
    """A table for the UI. A head that ends with a colon is of a column of numbers."""
    rules = ["---:" if head.endswith(":") else "---" for head in heads]
    lines = [[head.removesuffix(":") for head in heads], rules, *rows]
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(map(str, line))} |" for line in lines))


class HomeResource(dg.ConfigurableResource):
    """The folder with everything that the loop writes. One run at a time uses it."""

    folder: str = Field(
        default="", description="Folder of the home; by default CHURN_HOME or ./churn_home."
    )
    _home: Services | None = PrivateAttr(default=None)

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["HomeResource"]:
        """Hold the home while a run lasts. A sensor or schedule only reads, and never waits."""
        home = self.open()
        if context.run is None:
            yield self
            return
        prepare_environment(home.settings)
        home.create()
        with home.exclusive():
            acts = BY_PERSON.items() <= context.run.tags.items()
            start_run(home, context.instance, context.run.run_id, needs_contract=not acts)
            yield self

    def open(self) -> Services:
        """The services of the home; nothing is read or written yet."""
        if self._home is None:
            self._home = Services(load_settings(Path(self.folder) if self.folder else None))
            self._home.check_layout()
        return self._home


def start_run(
    home: Services,
    instance: dg.DagsterInstance | None,
    run_id: str | None = None,
    *,
    needs_contract: bool = True,
) -> None:
    """What every run does first, whether the daemon or a terminal started it: close dead runs,
    then complete what they left.

    The caller holds the home.

    Args:
        home: the home.
        instance: the home's Dagster instance.
        run_id: the run that starts; None before a terminal's first run.
        needs_contract: whether the run cannot start under a refused contract.
    """
    if instance is not None:
        close_dead_runs(instance, run_id)
    if why_contract_refused(home) is not None and not needs_contract:
        for complete in home.run_start.completions:
            complete()
        return
    home.run_start.complete()


def why_contract_refused(home: Services) -> str | None:
    """Why no run can start with the contract in use, which alerts; None if one can.

    Raises:
        ContractError: the contract cannot be read.
    """
    history = home.contract_history
    try:
        history.check()
    except ContractError as error:
        home.alerts.contract_refused(str(error))
        return str(error)
    home.alerts.contract_accepted()
    return None


def close_dead_runs(instance: dg.DagsterInstance, run_id: str | None = None) -> int:
    """Mark the runs that a killed `churn run` left behind as canceled; how many there were.

    The caller holds the home, so no other run of a terminal is alive.
    """
    unfinished = [
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.NOT_STARTED,
    ]
    tags = {"churn/in_process": IN_PROCESS["churn/in_process"]}
    runs = instance.get_runs(dg.RunsFilter(tags=tags, statuses=unfinished))
    dead = [run for run in runs if run.run_id != run_id]
    for run in dead:
        instance.report_run_canceled(run, message=GONE)
    return len(dead)


@dg.resource(
    required_resource_keys={"home"},
    description=(
        "dagster-mlflow's `mlflow_tracking` on the home's store: one MLflow run for each"
        " Dagster run."
    ),
)
def mlflow_tracking(context: dg.InitResourceContext) -> Iterator[Any]:
    """Start the MLflow run that belongs to this Dagster run.

    A thin shell, because importing dagster-mlflow imports MLflow (4 s) and the code location
    must load without it, and because the store must exist before the first run opens it.
    """
    home = context.resources.home.open()
    home.registry.prepare()
    from dagster_mlflow import mlflow_tracking as tracking

    config = {
        "experiment_name": home.contract.model_name,
        "mlflow_tracking_uri": home.registry.tracking_uri,
        "parent_run_id": None,
        "mlflow_run_id": None,
        "env": {},
        "env_to_tag": [],
        "extra_tags": {"home": str(home.folder)},
    }
    for started in tracking.resource_fn(context.replace_config(config)):
        try:
            yield started
        finally:
            if started.active_run() is not None:  # the asset ends it when it is done, so it failed
                started.end_run("FAILED")


@contextlib.contextmanager
def listening(listener: OnAsset) -> Iterator[None]:
    """Call `listener` for every asset of the runs inside the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_meta", {}).get("dagster_event")
        if event is not None and event.step_key is not None and event.event_type_value in STATES:
            for listener in _listeners:
                listener(event.step_key, STATES[event.event_type_value])


@dg.logger(description="Shows `churn run` which asset runs; everything else is in the UI.")
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """A logger that only passes on the starts and ends of assets."""
    logger = logging.Logger("churn_progress", level=logging.DEBUG)
    logger.addHandler(_Handler())
    return logger
