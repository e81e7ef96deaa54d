"""When a canary is raised and when it ends: the rules alone, on releases of this file."""

import datetime as dt
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import IntegrityError
from churn_platform.experiments.canary_ending import canary_ending
from churn_platform.experiments.canary_status import LEAST_CUSTOMERS, CanaryStatus, Tallies
from churn_platform.experiments.files import (
    RUNNING_FILE,
    STOPPED_FILE,
    CanaryStop,
    read_running,
)
from churn_platform.experiments.registered import Experiments
from churn_platform.experiments.state import Canary
from churn_platform.ledger.experiment_acts import CanaryStarted
from churn_platform.ledger.store import LedgerStore
from churn_platform.scoring.scoring import ScoredCanary, ScoresRecord, why_arms_outdated
from churn_platform_tests.experiments.answering import answer

BEGIN = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def digest_of_version(version):
    return digest_of({"version": version})


@dataclass
class Releases:
    """Two releases, version 2 in production."""

    folder: Path
    production: int | None = 2
    digests: dict[int, str] = field(default_factory=lambda: {1: "1", 2: "2"})

    def read_pointer(self):
        return self.production and SimpleNamespace(version=self.production)

    def manifest(self, version):
        if version not in self.digests:
            raise IntegrityError("It is gone.")
        content = self.digests[version]
        return SimpleNamespace(model_dump=lambda mode: {"version": int(content)})


CANARY = Canary(
    experiment="canary of version 1", salt="s", version=1, manifest=digest_of_version(1),
    production=2, production_manifest=digest_of_version(2), steps=(0.05, 0.5),
    every_seconds=DAY.total_seconds(), step=1, since=BEGIN.isoformat(), raised=BEGIN.isoformat(),
)  # fmt: skip


@pytest.fixture
def releases(tmp_path):
    (tmp_path / "releases").mkdir()
    return Releases(tmp_path / "releases")


@pytest.fixture
def experiments(tmp_path, releases):
    """A canary that has started, at a time that a test sets."""
    home = SimpleNamespace(folder=tmp_path, now=lambda: BEGIN, releases=releases)

    def now():
        return home.now()  # a test moves it

    ledger = LedgerStore(tmp_path / "ledger", now)
    made = Experiments(home, ledger, releases, None, None, None, lambda _: None)
    fields = {name: getattr(CANARY, name) for name in ("experiment", "salt", "manifest")}
    ledger.append(
        CanaryStarted(
            version=1, before=2, after=2, reason="To see it.", steps=CANARY.steps,
            every_seconds=CANARY.every_seconds, production_manifest=CANARY.production_manifest,
            **fields,
        )
    )  # fmt: skip
    assert made.settle() == []
    return made


def later(experiments, days):
    experiments.home.now = lambda: BEGIN + days * DAY
    return experiments


def running(experiments):
    return read_running(experiments.releases.folder).canary


def test_a_step_is_raised_when_it_is_due_and_has_enough_answers(experiments):
    answer(experiments.home, range(LEAST_CUSTOMERS - 1))
    assert later(experiments, 1).settle() == []
    answer(experiments.home, [LEAST_CUSTOMERS])
    assert later(experiments, 0.99).settle() == []
    assert running(experiments).step == 1
    assert len(later(experiments, 1).settle()) == 1
    assert (running(experiments).step, running(experiments).raised) == (
        2, (BEGIN + DAY).isoformat(timespec="microseconds"),
    )  # fmt: skip
    # The answers of the first step are none of the second.
    assert later(experiments, 3).settle() == []
    answer(experiments.home, range(100, 100 + LEAST_CUSTOMERS))
    assert len(later(experiments, 3).settle()) == 1
    assert running(experiments).completed
    assert later(experiments, 9).settle() == []


@pytest.mark.parametrize("experiment", ["canary of version 1", "another", None])
def test_only_its_own_stop_ends_it_before_a_raise(experiments, experiment):
    answer(experiments.home)
    content = "{"
    if experiment is not None:
        stop = CanaryStop(
            experiment=experiment, version=1, guardrail="errors", sentence="2 of 100 failed.",
            figures={"errors": 2}, time=BEGIN.isoformat(),
        )  # fmt: skip
        content = stop.model_dump_json()
    (experiments.releases.folder / STOPPED_FILE).write_text(content)
    assert len(later(experiments, 2).settle()) == 1
    if experiment == "another":
        assert running(experiments).step == 2
    else:
        assert running(experiments) is None
    assert not (experiments.releases.folder / STOPPED_FILE).exists()


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({}, None),
        ({"production": 1}, "promoted"),
        ({"production": 3}, "production changed"),
        ({"production": None}, "production changed"),
        ({"digests": {1: "9", 2: "2"}}, "release changed"),
        ({"digests": {1: "1", 2: "9"}}, "release changed"),
        ({"digests": {1: "1"}}, "release changed"),
    ],
)
def test_it_is_pinned_to_both_versions_and_their_digests(releases, change, outcome):
    found = canary_ending(CANARY, replace(releases, **change), {})
    assert (found and found.outcome) == outcome


def test_it_ends_when_people_keep_its_version_out(releases):
    found = canary_ending(CANARY, releases, {1: "Version 1 was rejected.", 3: "Version 3 too."})
    assert (found.outcome, found.reason) == ("ended", "Version 1 was rejected.")
    assert canary_ending(CANARY, releases, {3: "Version 3 was rejected."}) is None


def test_the_file_is_written_again_and_of_no_experiment_nothing_stays(experiments):
    file = experiments.releases.folder / RUNNING_FILE
    before = file.read_bytes()
    file.unlink()
    experiments.settle()
    assert file.read_bytes() == before
    experiments.end_canary("Ann", "Enough.")
    file.write_bytes(before)  # as a kill before the file leaves it
    experiments.settle()
    assert running(experiments) is None


@pytest.mark.parametrize(
    ("days", "customers", "waits"), [(0.9, 0, False), (1, 29, True), (1, 30, False)]
)
def test_the_status_says_that_a_step_waits(days, customers, waits):
    status = CanaryStatus.of(CANARY, Tallies({}, customers), BEGIN + days * DAY)
    assert (status.waits is not None) == waits
    assert status.next_raise == (BEGIN + DAY).isoformat(timespec="seconds")
    done = CANARY.model_copy(update={"completed": True})
    status = CanaryStatus.of(done, Tallies({}, customers), BEGIN + days * DAY)
    assert (status.waits, status.next_raise) == (None, None)


@pytest.mark.parametrize(
    ("scored", "runs", "outdated"),
    [
        (None, None, False),
        (None, CANARY, True),
        (CANARY, None, True),
        (CANARY, CANARY, False),
        (CANARY, CANARY.model_copy(update={"step": 2}), True),
        (CANARY, CANARY.model_copy(update={"experiment": "another"}), True),
    ],
)
def test_a_list_is_outdated_by_another_canary_or_share(scored, runs, outdated):
    record = ScoresRecord(version=2)
    if scored is not None:
        fields = {name: getattr(scored, name) for name in ("experiment", "salt", "version")}
        record = ScoresRecord(
            version=2, canary=ScoredCanary(share=scored.share, customers=9, **fields)
        )
    assert bool(why_arms_outdated(record, runs)) == outdated
