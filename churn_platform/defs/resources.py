"""Resources: the home, held by one run at a time, and dagster-mlflow's tracking resource on the
home's store.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from churn_platform.base.settings import load_settings, prepare_environment
from churn_platform.loop.state_receipts import record_policy
from churn_platform.maintenance.mlflow_move import finish as finish_move
from churn_platform.services import Services


class HomeResource(dg.ConfigurableResource):
    """The folder that holds everything the loop writes; one run at a time holds it."""

    folder: str = Field(default="", description="The home; empty: CHURN_HOME, else ./churn_home.")
    _home: Services | None = PrivateAttr(default=None)

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["HomeResource"]:
        """Hold the home for the length of the run; a sensor or schedule only reads and never
        waits.
        """
        home = self.open()
        if context.run is None:
            yield self
            return
        prepare_environment(home.settings)
        home.create()
        with home.exclusive():
            finish_move(home)
            home.promotions.recover()
            record_policy(home)
            home.approvals.record_lapse()
            yield self

    def open(self) -> Services:
        """The home's adapters; nothing is read or written yet."""
        if self._home is None:
            self._home = Services(load_settings(Path(self.folder) if self.folder else None))
            self._home.check_layout()
        return self._home


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
