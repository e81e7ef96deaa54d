"""Experiments of a home for the tests of the API: written to the file that servers follow, without a ledger."""

from churn_platform.base.files import write_json
from churn_platform.experiments.assignment import arm_of
from churn_platform.experiments.files import RUNNING_FILE
from churn_platform.experiments.state import Canary, Running, Shadow
from churn_platform.training.release import manifest_digest

KEYS = [f"m{number:05d}" for number in range(400)]
STEPS = (0.05, 0.25, 0.5)
SINCE = "2024-02-01T00:00:00+00:00"


def digest_of(home, version):
    return manifest_digest(home.releases.manifest(version))


def canary_of(home, version=3, step=3, **changes):
    """A canary of a version of the home; version 2 is in production."""
    fields = {
        "experiment": "canary of version 3", "salt": "s", "version": version, "production": 2,
        "manifest": digest_of(home, version), "production_manifest": digest_of(home, 2),
        "steps": STEPS, "every_seconds": 60, "step": step, "since": SINCE, "raised": SINCE,
    }  # fmt: skip
    return Canary(**{**fields, **changes})


def shadow_of(home, what):
    """A version, or a rule, as a shadow."""
    if isinstance(what, str):
        return Shadow(name=what, rule=what, since=SINCE)
    return Shadow(name=f"version {what}", version=what, manifest=digest_of(home, what), since=SINCE)


def run(home, canary=None, shadows=()):
    """Let exactly these experiments run."""
    running = Running(canary=canary, shadows=[shadow_of(home, one) for one in shadows])
    write_json(home.releases.folder / RUNNING_FILE, running.as_json())


def start(home, version=3, step=3, **changes):
    """Let exactly one canary run."""
    canary = canary_of(home, version, step, **changes)
    run(home, canary)
    return canary


def arms(canary, keys=KEYS):
    """The arm of each customer."""
    return {key: arm_of(key, canary.salt, canary.experiment, canary.share) for key in keys}


class Counting:
    """A guard that keeps what it was given; what a shadow scored stands apart."""

    def __init__(self):
        self.stopped = False
        self.calls = []
        self.scored = {}

    def answered(self, arm, key, seconds, probability):
        self.calls.append(("answered", arm, key, seconds is None, probability))

    def failed(self, arm, key):
        self.calls.append(("failed", arm, key))

    def shadow_scored(self, arm, key, score):
        self.scored[key] = (arm, score)

    def raised(self, step):
        self.step = step

    def start(self):
        self.started = True

    def stop(self):
        self.ended = True
