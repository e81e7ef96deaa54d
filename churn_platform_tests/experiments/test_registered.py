"""Shadows and canaries of a home: receipts, the file that servers follow, and every end."""

import datetime as dt

import pytest

from churn_platform.base.errors import UsageError
from churn_platform.experiments.files import (
    RUNNING_FILE,
    STOPPED_FILE,
    CanaryStop,
    canary_folder,
    read_running,
)
from churn_platform.experiments.state import ExperimentState
from churn_platform_tests.experiments.answering import answer
from churn_platform_tests.small_business import open_home

ANN = ("Ann", "To see it.")
DAY = dt.timedelta(days=1)
STEPS = (0.01, 0.05, 0.5)


def at(home, days):
    """The home so many days later."""
    opened = open_home(home.folder)
    later = opened.now() + dt.timedelta(days=days)
    opened.now = opened.experiments.home.now = lambda: later
    return opened


def followed(home):
    return read_running(home.releases.folder)


@pytest.fixture
def canary(february_copy):
    """Version 1 as a canary of version 2."""
    february_copy.experiments.start_canary(1, STEPS, DAY, *ANN)
    return february_copy


def test_the_file_is_what_the_receipts_say(canary):
    canary.experiments.start_shadow(None, "hours < 3", *ANN)
    running = followed(canary)
    assert running == ExperimentState.from_receipts(canary.ledger.receipts()).running
    assert (running.canary.version, running.canary.production, running.canary.share) == (1, 2, 0.01)
    assert [one.name for one in running.shadows] == ["hours < 3"]
    assert [one.name for one in running.scoring()] == ["hours < 3", "version 1"]


def test_a_kill_between_receipt_and_file_is_completed(canary):
    before = followed(canary)
    (canary.releases.folder / RUNNING_FILE).unlink()
    open_home(canary.folder).experiments.settle()
    assert followed(canary) == before


def test_every_step_is_raised_when_it_is_due_and_the_last_one_stays(canary):
    at(canary, 0.5).experiments.settle()
    assert followed(canary).canary.step == 1
    shares = []
    for day in (1.1, 2.2, 3.3, 4.4):
        answer(canary)
        at(canary, day).experiments.settle()
        shares.append((followed(canary).canary.share, followed(canary).canary.completed))
    assert shares == [(0.05, False), (0.5, False), (0.5, True), (0.5, True)]
    acts = [r.act for r in canary.ledger.receipts() if r.act.startswith("canary")]
    assert acts == ["canary started", "canary raised", "canary raised", "canary completed"]


def ended(home):
    receipts = home.ledger.receipts("canary ended")
    assert followed(home).canary is None
    return [receipt.evidence["outcome"] for receipt in receipts]


def test_a_person_ends_it(canary):
    canary.experiments.end_canary("Bob", "Enough.")
    assert ended(canary) == ["ended"]
    assert canary.ledger.receipts("canary ended")[0].actor == "Bob"


def test_a_guardrail_ends_it_with_its_figures(canary):
    running = followed(canary).canary
    stop = CanaryStop(
        experiment=running.experiment, version=1, guardrail="errors", sentence="2 of 100 failed.",
        figures={"errors": 2}, time=running.since,
    )  # fmt: skip
    file = canary.releases.folder / STOPPED_FILE
    file.write_text(stop.model_dump_json())
    open_home(canary.folder).experiments.settle()
    assert ended(canary) == ["stopped"]
    [receipt] = canary.ledger.receipts("canary ended")
    assert receipt.evidence["guardrail"] == "errors"
    assert receipt.evidence["figures"] == {"errors": 2}
    assert not file.exists()


def test_a_stop_that_cannot_be_read_is_a_stop(canary):
    """Only a guardrail writes the file, so the canary must not run on, nor a run fail."""
    file = canary.releases.folder / STOPPED_FILE
    file.write_text("{")
    open_home(canary.folder).experiments.start_shadow(None, "hours < 3", *ANN)
    assert file.exists()
    open_home(canary.folder).experiments.settle()
    assert ended(canary) == ["stopped"]
    assert not file.exists()


def test_a_file_that_cannot_be_read_is_written_again(canary):
    before = followed(canary)
    (canary.releases.folder / RUNNING_FILE).write_text("{")
    open_home(canary.folder).experiments.settle()
    assert followed(canary) == before


def test_a_step_without_enough_answers_waits(canary):
    """Each customer counts once, by whichever process, and only in the canary's arm."""
    answer(canary, range(29))
    answer(canary, range(29))
    answer(canary, range(100), arm="production")
    late = at(canary, 1.1)
    assert late.experiments.settle() == []
    running = late.experiments.canary_report().running
    assert (running.customers, running.least_customers) == (29, 30)
    assert running.arms == {"production": {"answers": 100}, "canary": {"answers": 58}}
    assert "29 customers" in running.waits
    answer(canary, [99])
    assert len(late.experiments.settle()) == 1
    assert followed(canary).canary.step == 2
    # The next step needs answers of its own.
    assert at(canary, 2.2).experiments.settle() == []
    assert at(canary, 2.2).experiments.canary_report().running.customers == 0


def test_answers_that_are_half_written_count_for_nothing(canary):
    answer(canary, range(30))
    folder = canary_folder(canary.folder, followed(canary).canary.experiment)
    [sightings] = folder.glob("*.sightings")
    sightings.write_bytes(sightings.read_bytes()[:-1])
    [counts] = folder.glob("*.json")
    counts.write_text("{")
    running = at(canary, 1.1).experiments.canary_report().running
    assert (running.customers, running.arms["canary"]) == (29, {})


def test_a_person_raises_it_before_it_is_due(canary):
    canary.experiments.raise_canary("Bob", "It is quiet.")
    assert followed(canary).canary.share == 0.05
    [receipt] = canary.ledger.receipts("canary raised")
    assert (receipt.actor, receipt.reason) == ("Bob", "It is quiet.")
    at(canary, 0.5).experiments.settle()
    assert followed(canary).canary.share == 0.05


def test_a_stopped_canary_is_not_raised_but_ended(canary):
    (canary.releases.folder / STOPPED_FILE).write_text("{")
    with pytest.raises(UsageError) as refused:
        canary.experiments.raise_canary("Bob", "It is quiet.")
    assert refused.value.code == "EXPERIMENT_UNKNOWN"
    assert ended(canary) == ["stopped"]
    assert canary.ledger.receipts("canary raised") == []


def test_a_rollback_to_it_ends_it(canary):
    canary.rollbacks.roll_back(*ANN)
    canary.experiments.settle()
    assert ended(canary) == ["promoted"]


def test_a_changed_release_ends_it(canary):
    (canary.releases.folder / "1" / "manifest.json").write_text("{}")
    canary.experiments.settle()
    assert ended(canary) == ["release changed"]


@pytest.mark.parametrize(
    ("version", "steps", "every", "code"),
    [
        (2, STEPS, DAY, "VERSION_IN_PRODUCTION"),
        (9, STEPS, DAY, "VERSION_UNKNOWN"),
        (1, (), DAY, "STEPS_INVALID"),
        (1, (0.5, 0.1), DAY, "STEPS_INVALID"),
        (1, (0.1, 1.0), DAY, "STEPS_INVALID"),
        (1, STEPS, dt.timedelta(), "STEPS_INVALID"),
    ],
)
def test_what_cannot_be_a_canary(february, version, steps, every, code):
    with pytest.raises(UsageError) as refused:
        february.experiments.start_canary(version, steps, every, *ANN)
    assert refused.value.code == code
    assert not (february.releases.folder / RUNNING_FILE).exists()


def test_one_canary_and_three_shadows_at_a_time(canary):
    home = canary.experiments
    for number in range(3):
        home.start_shadow(None, f"hours < {number}", *ANN)
    refused = {}
    for name, act in {
        "canary": lambda: home.start_canary(1, STEPS, DAY, *ANN),
        "twice": lambda: home.start_shadow(None, "hours < 1", *ANN),
        "fourth": lambda: home.start_shadow(1, None, *ANN),
        "unknown": lambda: home.end_shadow("version 7", *ANN),
    }.items():
        with pytest.raises(UsageError) as error:
            act()
        refused[name] = error.value.code
    assert refused == {
        "canary": "EXPERIMENT_RUNNING",
        "twice": "EXPERIMENT_RUNNING",
        "fourth": "SHADOWS_FULL",
        "unknown": "EXPERIMENT_UNKNOWN",
    }
    home.end_shadow("hours < 0", *ANN)
    home.start_shadow(1, None, *ANN)
    assert [one.name for one in followed(canary).shadows] == [
        "hours < 1", "hours < 2", "version 1",
    ]  # fmt: skip


def test_a_shadow_that_came_into_production_is_ended_with_a_receipt(february_copy):
    february_copy.experiments.start_shadow(1, None, *ANN)
    february_copy.experiments.start_shadow(None, "hours < 3", *ANN)
    february_copy.rollbacks.roll_back(*ANN)
    said = open_home(february_copy.folder).experiments.settle()
    assert len(said) == 1
    assert [one.name for one in followed(february_copy).shadows] == ["hours < 3"]
    assert february_copy.ledger.receipts("shadow ended")[-1].subject == "version 1"
    assert open_home(february_copy.folder).experiments.settle() == []
