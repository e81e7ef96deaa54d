"""The command canary: start, show, raise, end, and each way to use it wrongly."""

import pytest

from churn_platform.experiments.files import STOPPED_FILE, CanaryStop, read_running
from churn_platform_tests.cli.conftest import wrong
from churn_platform_tests.small_business import open_home

ANN = ("--by", "Ann", "--reason", "Looks right.")


def test_a_canary_is_started_shown_raised_and_ended(churn, answer, february_copy):
    home = february_copy
    code, out, _ = churn("canary", home=home)
    assert (code, out.splitlines()) == (
        0, ["There is no canary. `churn canary VERSION` starts one."],
    )  # fmt: skip
    assert answer("canary", home=home) == {"canary": None, "ended": None}
    code, out, _ = churn("canary", 1, "--steps", "1,7.5", "--every", "12h", *ANN, home=home)
    assert (code, "1% of the customers" in out) == (0, True)
    assert "The list of 2024-02-29 is made again." in out
    running = answer("canary", home=home)["canary"]
    assert (running["version"], running["production"], running["share"]) == (1, 2, 0.01)
    assert (running["steps"], running["every_seconds"]) == ([0.01, 0.075], 12 * 3600)
    assert running["next_raise"] > running["raised"]
    status = answer("status", home=home)
    assert status["canary"] == running
    assert "shadows" not in status
    _, out, _ = churn("status", home=home)
    assert "Canary      Version 1 answers 1% of the customers" in out
    _, out, _ = churn("canary", home=home)
    assert "Version 1 answers 1% of the customers, version 2 all others: step 1 of 2" in out
    assert "after at least 12h" in out
    assert "has answered 0 customers in this step; a raise needs 30" in out
    assert "Guardrails: errors, slow answers, invalid scores, distance of scores." in out
    _, out, _ = churn("scores", home=home)
    assert "Version 1, a canary, scored" in out
    raised = answer("canary", "--raise", *ANN, home=home)
    assert raised["scored"] == "2024-02-29"
    assert (raised["canary"]["step"], raised["canary"]["share"]) == (2, 0.075)
    found = churn("canary", "--raise", *ANN, home=home)
    assert wrong(found, "version 1", "7.5%") == "CANARY_AT_LAST_STEP"
    ended = answer("canary", "--end", *ANN, home=home)
    assert ended["canary"] is None
    assert (ended["ended"]["outcome"], ended["ended"]["by"]) == ("ended", "Ann")
    _, out, _ = churn("canary", home=home)
    assert "at 7.5% of the customers, ended: Looks right." in out
    acts = [r.act for r in home.ledger.receipts() if r.act.startswith("canary")]
    assert acts == ["canary started", "canary raised", "canary ended"]
    signed = [r.actor for r in home.ledger.receipts() if r.act.startswith("canary")]
    assert signed == ["Ann"] * 3


def test_showing_it_does_what_is_due(churn, answer, february_copy):
    """A guardrail's stop is recorded by whoever looks first."""
    home = february_copy
    churn("canary", 1, *ANN, home=home)
    running = read_running(home.releases.folder).canary
    assert running.steps == (0.01, 0.05, 0.25, 0.5)
    stop = CanaryStop(
        experiment=running.experiment, version=1, guardrail="errors", sentence="2 of 100 failed.",
        figures={"errors": 2}, time=running.since,
    )  # fmt: skip
    (home.releases.folder / STOPPED_FILE).write_text(stop.model_dump_json())
    found = answer("canary", home=home)
    assert found["canary"] is None
    assert (found["ended"]["guardrail"], found["ended"]["figures"]) == ("errors", {"errors": 2})
    _, out, _ = churn("canary", home=home)
    assert "stopped by its guardrail on errors: 2 of 100 failed." in out


def test_a_rollback_to_the_canary_ends_it_at_once(churn, february_copy):
    home = february_copy
    churn("canary", 1, *ANN, home=home)
    _, out, _ = churn("rollback", *ANN, home=home)
    assert "Version 1 is no longer a canary" in out
    assert read_running(home.releases.folder).canary is None
    [receipt] = open_home(home.folder).ledger.receipts("canary ended")
    assert receipt.evidence["outcome"] == "promoted"


def test_a_rejection_of_its_version_ends_it_at_once(churn, february_pending_copy):
    home = february_pending_copy
    assert churn("canary", 2, *ANN, home=home)[0] == 0
    _, out, _ = churn("reject", 2, *ANN, home=home)
    assert "Version 2 is no longer a canary" in out
    assert read_running(home.releases.folder).canary is None
    assert wrong(churn("canary", 2, *ANN, home=home), "rejected by Ann") == "VERSION_BLOCKED"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((2, *ANN), "VERSION_IN_PRODUCTION"),
        ((9, *ANN), "VERSION_UNKNOWN"),
        ((1,), "TEXT_INVALID"),
        ((1, "--by", "Ann"), "TEXT_INVALID"),
        ((1, "--steps", "half", *ANN), "STEPS_INVALID"),
        ((1, "--steps", "", *ANN), "STEPS_INVALID"),
        ((1, "--steps", "5,1", *ANN), "STEPS_INVALID"),
        ((1, "--steps", "nan", *ANN), "STEPS_INVALID"),
        ((1, "--steps", "50,100", *ANN), "STEPS_INVALID"),
        ((1, "--every", "soon", *ANN), "DURATION_INVALID"),
        ((1, "--every", "0d", *ANN), "STEPS_INVALID"),
        (("--raise", *ANN), "EXPERIMENT_UNKNOWN"),
        (("--end", *ANN), "EXPERIMENT_UNKNOWN"),
        (("--end",), "TEXT_INVALID"),
        (("--end", "--raise", *ANN), "OPTIONS_CONFLICT"),
        ((1, "--end", *ANN), "OPTIONS_CONFLICT"),
        (("--steps", "1,5"), "OPTIONS_CONFLICT"),
        (ANN, "OPTIONS_CONFLICT"),
    ],
)
def test_each_mistake_is_one_sentence_with_a_code(churn, february, arguments, code):
    assert wrong(churn("canary", *arguments, home=february)) == code
    assert read_running(february.releases.folder).canary is None
