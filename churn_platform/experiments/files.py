"""The files by which servers follow the experiments of a home, in the folder of its releases,
and the folder where they leave what they measure of a canary.
"""

import hashlib
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from churn_platform.base.files import read_json
from churn_platform.base.stored import Stored
from churn_platform.experiments.state import Running

RUNNING_FILE: Final = "experiments.json"
"""The experiments that servers follow, in the folder of the releases."""
STOPPED_FILE: Final = "canary_stopped.json"
"""Written by the server whose guardrail stopped a canary, in the folder of the releases."""
MEASURED: Final = Path("serving", "canary")
"""The folder of a home with a folder for each canary."""
SIGHTINGS: Final = ".sightings"
"""What one process measured of customers, as records of `guardrails.SIGHTING`."""
COUNTS: Final = ".json"
"""How many answers one process counted in each arm."""


class CanaryStop(Stored):
    """A guardrail stopped a canary: from now on production answers every customer."""

    experiment: str
    version: int
    guardrail: str
    sentence: str
    figures: dict[str, JsonValue]
    time: str


def canary_folder(home: Path, experiment: str) -> Path:
    """The folder where every server process leaves what it measures of a canary."""
    return home / MEASURED / hashlib.sha256(experiment.encode()).hexdigest()[:16]


def read_running(releases: Path) -> Running:
    """The experiments that a server follows; none where there is no file.

    Raises:
        IntegrityError: the file cannot be read.
    """
    path = releases / RUNNING_FILE
    try:
        return Running.read(read_json(path), str(path))
    except FileNotFoundError:
        return Running()


def read_stop(releases: Path) -> CanaryStop | None:
    """What stopped a canary last; None where nothing did.

    Raises:
        IntegrityError: the file cannot be read.
    """
    path = releases / STOPPED_FILE
    try:
        return CanaryStop.read(read_json(path), str(path))
    except FileNotFoundError:
        return None
