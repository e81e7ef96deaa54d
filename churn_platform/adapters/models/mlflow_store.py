"""The home's own MLflow store: a SQLite file that is complete or absent.

Belongs here: making it, and quiet clients of any store. Does not: what is registered (`adapters/models/registry.py`).
"""

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from churn_platform.adapters.files import replacing

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def client_of(uri: str) -> "MlflowClient":
    """A client of the tracking store and the registry at an address."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def prepare_store(store: Path, model_name: str, artifacts: Path) -> None:
    """Have the store with its experiment and registered model; the caller keeps others from doing the same.

    A new one is made next to its place: MLflow migrates an empty file in dozens of commits, and a store that was cut
    off within them, or that a second process opened meanwhile, is broken forever.
    """
    if store.exists():
        _furnish(client_of(f"sqlite:///{store}"), model_name, artifacts)
        return
    for leftover in store.parent.glob(f".{store.name}.*.tmp*"):
        leftover.unlink()
    with replacing(store) as temporary:
        _furnish(client_of(f"sqlite:///{temporary}"), model_name, artifacts)


def _furnish(client: "MlflowClient", model_name: str, artifacts: Path) -> None:
    """Without an explicit location artifacts would go to ./mlruns of the working directory."""
    if client.get_experiment_by_name(model_name) is None:
        client.create_experiment(model_name, artifact_location=artifacts.as_uri())
    if not client.search_registered_models(f"name='{model_name}'"):
        client.create_registered_model(model_name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """MLflow and alembic narrate every step on stdout and stderr."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
