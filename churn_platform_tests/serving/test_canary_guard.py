"""The guard of a canary in a server: processes judged as one, the stop file, and failures."""

import datetime as dt
import json
import math
import os
import time

import pytest

from churn_platform.experiments.files import MEASURED, SIGHTINGS, STOPPED_FILE, read_stop
from churn_platform.experiments.state import Canary
from churn_platform.experiments.tallies import read_tallies
from churn_platform.serving.canary_guard import CanaryGuard

NOW = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)


def canary(experiment="canary of version 3", step=2):
    return Canary(
        experiment=experiment, salt="s", version=3, manifest="m3", production=2,
        production_manifest="m2", steps=(0.05, 0.5), every_seconds=60, step=step,
        since=NOW.isoformat(), raised=NOW.isoformat(),
    )  # fmt: skip


@pytest.fixture
def home(tmp_path):
    (tmp_path / "releases").mkdir()
    return tmp_path


def guard(home, **options):
    return CanaryGuard(home, canary(), 0.5, now=lambda: NOW, **options)


def stop_of(home):
    return read_stop(home / "releases")


def fail(guard, keys):
    for key in keys:
        guard.failed("canary", f"m{key}")
    guard.tick()


def test_errors_of_several_processes_are_judged_as_one(home):
    one, two = guard(home), guard(home)
    fail(one, range(9))
    fail(two, range(9, 18))
    assert stop_of(home) is not None
    assert two.stopped
    stop = stop_of(home)
    assert (stop.experiment, stop.version, stop.guardrail) == ("canary of version 3", 3, "errors")
    assert stop.figures["customers_production"] == 0
    assert stop.time == NOW.isoformat()


def test_a_customer_counts_once_in_all_processes(home):
    guards = [guard(home) for _ in range(20)]
    for one in guards:
        fail(one, range(3))
    assert stop_of(home) is None


def test_the_counts_of_a_killed_process_stay(home):
    fail(guard(home), range(9))
    other = guard(home)  # the first one is gone
    fail(other, range(9, 18))
    assert other.stopped


def test_nan_and_scores_out_of_range_are_invalid(home):
    watched = guard(home)
    for key in range(20):
        watched.answered("canary", key, 0.001, (math.nan, -0.5, 1.5)[key % 3])
    watched.tick()
    assert stop_of(home).guardrail == "invalid scores"


def test_slow_answers_are_counted_after_the_warm_up(home):
    watched = guard(home)
    for key in range(1_000):
        watched.answered("production", key, 0.002, 0.3)
        watched.answered("canary", 10_000 + key, 9.0, None)
    for key in range(20):
        watched.answered("canary", 20_000 + key, None, None)  # in a batch
    watched.tick()
    assert stop_of(home) is None
    for key in range(20):
        watched.answered("canary", key, 0.0031, 0.3)
    watched.tick()
    assert stop_of(home) is not None
    assert stop_of(home).guardrail == "slow answers"
    restarted = guard(home)
    restarted.start()
    restarted.stop()
    assert restarted._slow_limit == pytest.approx(0.003)


def test_scores_are_compared_with_those_of_the_shadow(home):
    watched = guard(home)
    for key in range(600):
        watched.shadow_scored("canary", key, 0.8)
        watched.shadow_scored("production", 1_000 + key, 0.2)
        watched.answered("production", 1_000 + key, None, 0.8)
    watched.tick()
    stop = stop_of(home)
    assert stop.guardrail == "distance of scores"
    assert stop.figures["mean_shadow"] == pytest.approx(0.2)
    assert stop.figures["mean_canary"] == pytest.approx(0.8)


def test_one_process_writes_the_stop_and_all_obey(home):
    reported = []
    one, two = guard(home, report=reported.append), guard(home, report=reported.append)
    fail(one, range(20))
    fail(two, range(20))
    assert len(reported) == 1
    assert one.stopped
    assert two.stopped
    late = guard(home)
    late.start()
    assert late.stopped
    late.stop()


def test_a_guard_that_ends_writes_its_counts_and_stops_nothing(home):
    """The canary may have ended: its stop file is gone already."""
    reported = []
    fail(guard(home), range(20))
    (home / "releases" / STOPPED_FILE).unlink()
    late = guard(home, report=reported.append)
    late.failed("canary", "m100")
    late.stop()
    assert stop_of(home) is None
    assert reported == []
    assert len(list((home / MEASURED).rglob(f"*{SIGHTINGS}"))) == 2


def test_the_stop_of_an_earlier_canary_stops_no_other(home):
    fail(guard(home), range(20))
    later = CanaryGuard(home, canary("another"), 0.5)
    later.start()
    assert not later.stopped
    later.stop()
    assert list((home / MEASURED).iterdir()) == []
    fail(later, range(20))
    assert stop_of(home).experiment == "another"
    assert len(list((home / MEASURED).iterdir())) == 1


def test_the_thread_sees_the_stop_of_another_process_and_settles_it(home, monkeypatch):
    monkeypatch.setattr("churn_platform.serving.canary_guard.SETTLE_SECONDS", 0.5)
    settled = []
    watched = guard(home, settle=lambda: settled.append(time.monotonic()))
    watched.start()
    fail(guard(home), range(20))  # writes the stop, and dies
    deadline = time.monotonic() + 3
    while not settled and time.monotonic() < deadline:
        time.sleep(0.05)
    watched.stop()
    assert watched.stopped
    assert settled


def test_the_process_that_stops_settles_at_once(home):
    settled = []
    watched = guard(home, settle=lambda: settled.append(1))
    watched.start()
    for key in range(20):
        watched.failed("canary", key)
    deadline = time.monotonic() + 3
    while not settled and time.monotonic() < deadline:
        time.sleep(0.05)
    watched.stop()
    assert settled == [1]


def test_a_home_that_cannot_be_written_still_stops_the_canary_here(home):
    (home / "serving").write_text("a file where the folder would be")
    (home / "releases").rmdir()
    (home / "releases").write_text("")
    watched = guard(home)
    fail(watched, range(20))
    assert watched.stopped
    (home / "releases").unlink()
    (home / "releases").mkdir()
    watched.tick()  # written as soon as it can be
    assert stop_of(home) is not None


def test_a_guard_that_fails_leaves_everything_to_production(home, monkeypatch):
    watched = guard(home)
    monkeypatch.setattr(watched, "tick", lambda: 1 / 0)
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    watched.start()
    watched._thread.join(3)
    assert watched.stopped


def test_a_half_written_record_is_read_when_it_is_whole(home):
    writer, reader = guard(home), guard(home)
    fail(writer, range(9))
    [path] = (home / MEASURED).rglob(f"*{SIGHTINGS}")
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    fail(reader, range(9, 11))
    path.write_bytes(content)
    reader.tick()
    assert reader._judge.events(2, 0) == (0, 11)


def test_a_write_that_was_cut_off_is_repeated_in_its_place(home):
    watched = guard(home)
    fail(watched, range(3))
    [path] = (home / MEASURED).rglob(f"*{SIGHTINGS}")
    with path.open("ab") as stream:
        stream.write(b"half")  # a full disk
    fail(watched, range(3, 6))
    reader = guard(home)
    reader.tick()
    assert reader._judge.events(2, 0) == (0, 6)


def test_every_step_counts_for_itself(home):
    watched = CanaryGuard(home, canary(step=1), 0.5)
    fail(watched, [1])
    watched.raised(2)
    fail(watched, [1])
    assert (watched._judge.events(1, 0), watched._judge.events(2, 0)) == ((0, 1), (0, 1))


def test_the_customers_of_the_canary_are_counted_without_a_shadow(home):
    watched = guard(home)
    for key in (1, 2, 2, 3):
        watched.answered("canary", key, 0.001, 0.2)
        watched.answered("production", 10 + key, 0.001, 0.2)
    watched.tick()
    assert read_tallies(home, canary()).customers == 3


def test_the_counts_are_written_for_people(home):
    watched = guard(home)
    watched.answered("production", "a", 0.001, 0.2)
    watched.answered("canary", "b", 0.001, math.nan)
    watched.failed("canary", "c")
    watched.shadow_scored("production", "a", 0.3)
    watched.tick()
    [path] = (home / MEASURED).rglob("*.json")
    assert path.name.startswith(f"{os.getpid()}-")
    counts = json.loads(path.read_text())
    assert counts["production"] == {"answers": 1, "scores": 1}
    assert counts["canary"] == {"answers": 1, "invalid": 1, "errors": 1}


def test_a_request_waits_for_nothing(home):
    watched = guard(home)
    fastest = math.inf
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(1_000):
            watched.answered("canary", "m00001", 0.001, 0.5)
        fastest = min(fastest, (time.perf_counter() - started) / 1_000)
    assert fastest < 3e-6
