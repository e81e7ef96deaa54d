"""A canary counts for the releases that it is pinned to and no others; without files of models."""

from types import SimpleNamespace

import pytest

from churn_platform.base.errors import IntegrityError
from churn_platform.base.files import write_json
from churn_platform.experiments.files import RUNNING_FILE
from churn_platform.experiments.state import Canary, Running
from churn_platform.serving import experiment_watch
from churn_platform.serving.experiment_watch import ExperimentWatch
from churn_platform.serving.release_watch import RETRY_SECONDS, Look
from churn_platform.serving.shadow_scoring import Losses, ShadowPool
from churn_platform.training.releases import Releases
from churn_platform_tests.trying import SINCE, Counting

CONTRACT = SimpleNamespace(features={"months": None})


def release(version, digest):
    manifest = SimpleNamespace(version=version, digest=digest)
    return SimpleNamespace(manifest=manifest, contract=CONTRACT)


PRODUCTION = release(2, "m2")


class Watched:
    """A watch on a folder of releases whose models are made up."""

    def __init__(self, folder, monkeypatch):
        self.releases = Releases(folder)
        self.on_disk = {3: "m3"}
        self.loads = []
        self.guards = []
        self.events = []
        self.time = 0.0
        monkeypatch.setattr(experiment_watch, "load_release", self.load)
        monkeypatch.setattr(experiment_watch, "manifest_digest", lambda manifest: manifest.digest)
        monkeypatch.setattr(Releases, "read_pointer", lambda _: "the pointer")
        monkeypatch.setattr(ShadowPool, "follow", lambda *_: None)
        self.watch = ExperimentWatch(
            self.releases, guard=self.guard, open_reader=lambda _: None, scored=lambda *_: None,
            losses=Losses(print, print), report=lambda name, **fields: self.events.append(name),
        )  # fmt: skip

    def load(self, releases, contract, version, pointer):
        self.loads.append(version)
        if version not in self.on_disk:
            raise IntegrityError("damaged")
        return release(version, self.on_disk[version])

    def guard(self, canary, loaded):
        self.guards.append(Counting())
        return self.guards[-1]

    def run(self, **changes):
        fields = {
            "experiment": "e", "salt": "s", "version": 3, "manifest": "m3", "production": 2,
            "production_manifest": "m2", "steps": (0.1, 0.5), "every_seconds": 1, "step": 1,
            "since": SINCE, "raised": SINCE,
        }  # fmt: skip
        canary = Canary(**{**fields, **changes})
        write_json(self.releases.folder / RUNNING_FILE, Running(canary=canary).as_json())

    def look(self, production=PRODUCTION, **changes):
        self.time += 1
        self.watch.look(Look(production, CONTRACT, self.time, **changes))
        return self.watch.followed.canary


@pytest.fixture
def watched(tmp_path, monkeypatch):
    (tmp_path / "3").mkdir()
    return Watched(tmp_path, monkeypatch)


def test_a_canary_counts_for_the_release_that_was_active_and_for_no_other(watched):
    watched.run()
    arm = watched.look()
    assert arm.counts_for(PRODUCTION)
    assert not arm.counts_for(release(2, "m2"))  # loaded again: the next look decides
    assert not arm.counts_for(release(4, "m4"))


def test_a_stop_ends_it_at_once(watched):
    watched.run()
    arm = watched.look()
    watched.guards[0].stopped = True
    assert not arm.counts_for(PRODUCTION)


@pytest.mark.parametrize(
    "changes", [{"manifest": "other"}, {"production_manifest": "other"}, {"production": 1}]
)
def test_a_release_that_is_not_the_registered_one_switches_it_off(watched, changes):
    watched.run(**changes)
    assert watched.look() is None
    assert watched.guards == []
    assert watched.events == ["canary off"]


def test_it_is_loaded_once_and_a_raise_keeps_its_guard(watched):
    watched.run()
    first = watched.look()
    assert (first.canary.share, watched.look()) == (0.1, first)
    watched.run(step=2)
    second = watched.look()
    assert (second.canary.share, second.guard.step) == (0.5, 2)
    assert (second.loaded, second.guard) == (first.loaded, first.guard)
    assert watched.loads == [3]
    assert watched.events == ["canary active", "canary active"]


def test_another_canary_has_another_guard_and_the_first_one_ends(watched):
    watched.run()
    first = watched.look().guard
    watched.run(experiment="f")
    second = watched.look().guard
    assert second is not first
    watched.watch.stop()
    assert first.ended
    assert second.ended
    assert watched.watch.followed.canary is None


def test_a_damaged_release_is_tried_again_after_a_while(watched):
    watched.run()
    watched.on_disk = {}
    assert watched.look() is None
    watched.on_disk = {3: "m3"}
    assert watched.look() is None
    watched.time += RETRY_SECONDS
    assert watched.look() is not None
    assert watched.loads == [3, 3]


def test_nothing_is_loaded_while_production_switches_but_a_canary_ends(watched):
    watched.run()
    assert watched.look(switching=True) is None
    assert watched.loads == []
    assert watched.look() is not None
    write_json(watched.releases.folder / RUNNING_FILE, Running().as_json())
    assert watched.look(switching=True) is None
    watched.look()
    assert watched.events == ["canary active", "canary ended"]
    watched.watch.stop()
    assert watched.guards[0].ended


def test_before_the_first_production_there_is_no_canary(watched):
    watched.run()
    assert watched.look(None) is None
    assert watched.events == []
    assert watched.look() is not None
