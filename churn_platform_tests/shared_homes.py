"""Homes that many tests read: each is made once, even where pytest runs in several processes."""

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
    # The parent of a worker's folder is the run's own.
    shared = factory.getbasetemp().parent / "homes" / name
    shared.mkdir(parents=True, exist_ok=True)
    complete = shared / "complete"
    with FileLock(shared / "lock"):
        if not complete.exists():
            shutil.rmtree(shared / "home", ignore_errors=True)
            make(shared / "home")
            complete.touch()
    shutil.copytree(shared / "home", own, symlinks=True)
    relocate(own / "mlflow.db", own / "artifacts")
    return own
