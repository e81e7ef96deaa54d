"""Fixtures: the loop run once on the two real months, through Dagster, shared by every test that only reads it."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from churn_platform.base.settings import Settings, prepare_environment
from churn_platform_tests.shared_homes import made_once

# Imported where it is used: every run of pytest imports this file, each mutant's too.
if TYPE_CHECKING:
    from churn_platform.services import Services

REAL = Path(__file__).parents[2] / "shared" / "data" / "streamflow"
JANUARY, FEBRUARY = dt.date(2024, 1, 31), dt.date(2024, 2, 29)


def open_home(folder: Path, **settings: object) -> Services:
    """The home in `folder`, with the libraries' environment pointing at it.

    The contract is named: an earlier test's own would be read from the environment and refuse every candidate.
    """
    from churn_platform.services import Services

    made = Settings(home=folder, quiet_seconds=0, actor="tester", **{"contract": None, **settings})
    prepare_environment(made)
    return Services(made)


def run_all(home: Services) -> list[tuple[str, str]]:
    """Run everything that is due; (job, as_of) of each run."""
    from churn_platform.defs.runner import run_due

    prepare_environment(home.settings)
    return [
        (r.step.kind, r.step.as_of.isoformat())
        for r in run_due(home, lambda _: None, lambda *_: None)
    ]


def take_in_month(home: Services, month: dt.date) -> None:
    """Deliver a real month as a drop."""

    home.create()
    home.ingestion.accept(REAL / month.isoformat(), month)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real drops; tests skip, saying so, where it is missing."""
    if not REAL.is_dir():
        pytest.skip(f"the real StreamFlow months are not at {REAL}")
    return REAL


@pytest.fixture(scope="session")
def january_home(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Services:
    """A home after the first real month: version 1 in production."""

    def make(folder: Path) -> None:
        home = open_home(folder)
        take_in_month(home, JANUARY)
        run_all(home)

    return open_home(made_once(tmp_path_factory, "real_january", make))


@pytest.fixture(scope="session")
def february_home(january_home: Services, tmp_path_factory: pytest.TempPathFactory) -> Services:
    """A home after both real months."""

    def make(folder: Path) -> None:
        home = copy_home(january_home, folder)
        take_in_month(home, FEBRUARY)
        run_all(home)

    return open_home(made_once(tmp_path_factory, "real_february", make))


def copy_home(home: Services, target: Path, **settings: object) -> Services:
    """An independent copy of a home, for a test that changes it."""
    shutil.copytree(home.folder, target, symlinks=True)
    return open_home(target, **settings)
