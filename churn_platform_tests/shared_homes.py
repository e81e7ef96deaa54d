"""Homes that many tests read: each is made once, even where pytest runs in several processes."""

import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from churn_platform.training.mlflow_server import relocate


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder of a home that `make` makes at the path it is given.

    With pytest-xdist the first process that needs the home makes it and every process reads a copy of its own: no
    two processes share a database or a log.
    """
    own = factory.mktemp(name) / "home"
    if "PYTEST_XDIST_WORKER" not in os.environ:
        make(own)
        return own
    shutil.copytree(_shared(factory, name, make), own, symlinks=True)
    relocate(own / "mlflow.db", own / "artifacts")
    return own


def copied_store(
    factory: pytest.TempPathFactory, client_of: Callable[[str], object]
) -> Callable[[str], object]:
    """`client_of`, with a copy of one new MLflow store where there is none yet.

    MLflow takes a second of CPU to migrate an empty database to its newest schema.
    """

    def new(folder: Path) -> None:
        folder.mkdir()
        client_of(f"sqlite:///{folder / 'mlflow.db'}")

    def client(uri: str) -> object:
        if not uri.startswith("sqlite:///"):
            return client_of(uri)
        _read_migrations_once()
        store = Path(uri.removeprefix("sqlite:///"))
        if not store.exists():
            shutil.copyfile(_shared(factory, "mlflow", new) / "mlflow.db", store)
        return client_of(uri)

    return client


@functools.cache
def _read_migrations_once() -> None:
    """MLflow reads all its migrations for each store that it opens: 43 of 66 ms.

    Hundreds of tests open a copy of a home, which is a new store to MLflow.
    """
    from mlflow.store.db import utils

    utils._get_latest_schema_revision = functools.cache(utils._get_latest_schema_revision)


def _shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """What `make` makes once in a run of pytest, for every process; nobody changes it."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # a worker's folder is in the run's own
    shared = base / "homes" / name
    shared.mkdir(parents=True, exist_ok=True)
    complete = shared / "complete"
    with FileLock(shared / "lock"):
        if not complete.exists():
            shutil.rmtree(shared / "home", ignore_errors=True)
            make(shared / "home")
            complete.touch()
    return shared / "home"
