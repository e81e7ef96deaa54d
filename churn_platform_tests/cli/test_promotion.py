"""The commands by which people decide: what they say, exit codes, JSON, and what status and decision tell afterwards."""

import re

import pytest

from churn_platform.base.errors import DataError, HomeBusy
from churn_platform_tests.cli.conftest import failed, wrong
from churn_platform_tests.small_business import FEBRUARY, open_home, with_policy

ANN = ("--by", "Ann", "--reason", "Looks right.")
BOB = ("--by", "Bob", "--reason", "Retention complains.")


def test_a_candidate_waits_is_approved_rolled_back_and_brought_forward_again(
    churn, february_pending_copy
):
    home = february_pending_copy
    _, out, _ = churn("status", home=home)
    assert "Waiting     Version 2 passed and waits for an approval until " in out
    assert "`churn approve 2 --by NAME --reason TEXT` promotes it" in out
    code, out, err = churn("approve", "2", *ANN, home=home)
    assert code == 0
    assert out.splitlines() == [
        "Version 2 is in production, approved by Ann: Looks right.",
        "The list of 2024-02-29 is made again.",
    ]
    assert "2024-02-29 scores" in err
    code, out, _ = churn("rollback", *BOB, home=home)
    assert (code, out.split(" in place")[0]) == (0, "Version 1 is in production again")
    _, out, _ = churn("status", home=home)
    assert "Blocked     Version 2, rolled back by Bob: Retention complains." in out
    assert "approved" in out
    code, out, _ = churn("rollback", "--to", "2", *ANN, home=home)
    assert (code, "Version 2 is no longer blocked" in out) == (0, True)
    assert open_home(home.folder).releases.pointer().version == 2


def test_programs_are_told_the_version_and_the_sentence(answer, february_pending_copy):
    home = february_pending_copy
    assert answer("reject", "2", *BOB, home=home) == {
        "version": 2,
        "says": "Version 2 is rejected by Bob, production stays as it is: Retention complains.",
    }
    approved = answer("approve", "2", "--override", *ANN, home=home)
    assert (approved["version"], approved["scored"]) == (2, "2024-02-29")
    assert answer("scores", home=home)["version"] == 2
    rolled_back = answer("rollback", *BOB, home=home)
    assert (rolled_back["version"], rolled_back["scored"]) == (1, "2024-02-29")
    newest = {"as_of": "2024-02-29", "version": 1, "outdated": None}
    assert answer("status", home=home)["newest_list"] == newest
    assert answer("unblock", "2", *ANN, home=home) == {
        "version": 2, "says": "Version 2 is no longer blocked: Looks right.",
    }  # fmt: skip


def test_an_override_is_told_by_status_and_decision(churn, answer, february_decided_copy):
    home = with_policy(february_decided_copy, delta=0.9)
    home.decision_maker.decide(FEBRUARY, "performance")
    found = churn("approve", "2", *ANN, home=home)
    assert wrong(found, "--override") == "APPROVAL_NOT_POSSIBLE"
    assert churn("approve", "2", "--override", *ANN, home=home)[0] == 0
    _, out, _ = churn("status", home=home)
    assert "Overridden  Promoted against the decision by Ann at " in out
    assert "refused, overridden" in out
    _, out, _ = churn("decision", home=home)
    assert "refused, overridden" in out
    assert "Promoted against the decision by Ann at " in out
    assert answer("decision", home=home)["overridden"]["reason"] == "Looks right."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("approve", "9", *ANN), "[DECISION_MISSING]"),
        (("approve", "1", *ANN), "[VERSION_IN_PRODUCTION]"),
        (("approve", "2", "--by", " ", "--reason", "x"), "[TEXT_INVALID]"),
        (("approve", "2", "--by", "Ann"), "Missing option '--reason'"),
        (("approve", "0", *ANN), "Input should be greater than or equal to 1"),
        (("reject", "9", *ANN), "[DECISION_MISSING]"),
        (("rollback", *ANN), "[VERSION_NOT_PROMOTED]"),
        (("rollback", "--to", "2", *ANN), "[VERSION_NOT_PROMOTED]"),
        (("unblock", "2", *ANN), "[VERSION_NOT_BLOCKED]"),
    ],
)
def test_wrong_use_is_one_sentence_and_changes_nothing(churn, february_pending, arguments, said):
    head = february_pending.ledger.head()
    code, out, err = churn(*arguments, home=february_pending)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())
    assert february_pending.ledger.head() == head


def test_a_damaged_release_is_an_error_and_nothing_moves(churn, february_copy):
    (february_copy.releases.folder / "1" / "model.skops").write_bytes(b"")
    assert failed(churn("rollback", *BOB, home=february_copy), "ersion 1") == "MODEL_UNREADABLE"
    assert open_home(february_copy.folder).releases.pointer().version == 2


def test_a_run_says_that_a_candidate_waits_and_the_next_one_has_nothing_to_do(
    churn, answer, february_decided_copy
):
    home = with_policy(february_decided_copy, mode="approval")
    code, out, _ = churn("run", home=home)
    assert code == 0
    said = re.search(
        r"^Waiting     Version (\d) passed and waits for an approval until ",
        out,
        flags=re.MULTILINE,
    )
    found = answer("run", home=home)
    assert (found["ran"], found["pending"]["version"], found["production"]["version"]) == (
        [],
        int(said[1]),
        1,
    )


@pytest.mark.parametrize(
    ("error", "fact"),
    [
        (HomeBusy("`churn run` has held the home."), "next run"),
        (DataError("The rows are damaged."), "The rows are damaged. [DATA_UNSUITABLE]"),
        (OSError("no space left"), "no space left"),
    ],
)
def test_where_the_newest_month_cannot_be_scored_now_production_has_changed_all_the_same(
    answer, churn, february_copy, monkeypatch, error, fact
):
    def fail(*_):
        raise error

    monkeypatch.setattr("churn_platform.defs.runner.score_newest", fail)
    found = answer("rollback", *BOB, home=february_copy)
    assert (found["version"], found["scored"]) == (1, None)
    assert fact in found["says"]
    outdated = "The list is of version 2; version 1 is in production."
    assert answer("scores", home=february_copy)["outdated"] == outdated
    assert answer("status", home=february_copy)["newest_list"]["outdated"] == outdated
    assert outdated in churn("status", home=february_copy)[1]
    assert outdated in churn("scores", home=february_copy)[1]
