"""What the servers of a home have measured of a canary, all processes together."""

import contextlib
from pathlib import Path

import numpy as np

from churn_platform.base.errors import IntegrityError
from churn_platform.base.files import read_json
from churn_platform.experiments.assignment import CANARY, PRODUCTION
from churn_platform.experiments.canary_status import Tallies
from churn_platform.experiments.files import COUNTS, SIGHTINGS, canary_folder
from churn_platform.experiments.guardrails import GUARDRAILS, SIGHTING
from churn_platform.experiments.state import Canary


def read_tallies(home: Path, canary: Canary) -> Tallies:
    """What the servers measured; a file that cannot be read counts nothing."""
    folder = canary_folder(home, canary.experiment)
    counts: dict[str, dict[str, int]] = {PRODUCTION: {}, CANARY: {}}
    for path in sorted(folder.glob(f"*{COUNTS}")):
        with contextlib.suppress(IntegrityError, OSError):
            found = read_json(path)
            for arm, own in counts.items():
                for kind, number in (found.get(arm) or {}).items():
                    own[kind] = own.get(kind, 0) + int(number)
    answered = len(_customers(folder, canary.step))
    return Tallies(counts, answered, tuple(GUARDRAILS.values()))


def _customers(folder: Path, step: int) -> np.ndarray:
    """The customers whom the canary's version was to answer in a step, by the hash of the key."""
    known = [np.empty(0, np.uint64)]
    for path in sorted(folder.glob(f"*{SIGHTINGS}")):
        with contextlib.suppress(OSError):
            content = path.read_bytes()
            # The last record may be half written.
            rows = np.frombuffer(content, SIGHTING, len(content) // SIGHTING.itemsize)
            known.append(rows["customer"][(rows["canary"] == 1) & (rows["step"] == step)])
    return np.unique(np.concatenate(known))
