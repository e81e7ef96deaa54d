"""Verification beside a loop that works, and beside an MLflow that is away: neither is told as a break."""

import pytest

from churn_platform.alerting.dagster_ui import free_port
from churn_platform.audit.verifying import LOOKS
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import copied, make_home, open_home
from churn_platform_tests.system.trusted_home import assert_told, edit_json, lines, verification


def quiet_act(home):
    return record_act(
        home.ledger, actor="ada", act="retraining skipped", subject="2024-01-31", reason="Quiet."
    )


def quiet_home(folder):
    """A home and its server's port, on which nobody listens."""
    return open_home(folder, api_port=1)


def while_looking(home, act, looks=1_000):
    """Let something happen when the pointer is read: after the ledger, before all that is held beside it."""
    read, left = home.releases.pointer, iter(range(looks))

    def pointer():
        if next(left, None) is not None:
            act()
        return read()

    home.releases.pointer = pointer
    return home.verification.verify()


def states(found):
    return {
        finding.check: finding.state for finding in found if finding.state not in ("holds", "said")
    }


def test_receipts_that_are_added_meanwhile_cut_no_tail(tmp_path):
    home = make_home(tmp_path / "home")
    for _ in range(200):
        quiet_act(home)
    looking = quiet_home(home.folder)
    snapshot = looking.ledger.snapshot

    def and_then_another():
        taken = snapshot()
        quiet_act(home)
        return taken

    looking.ledger.snapshot = and_then_another
    found = [finding for _ in range(9) for finding in looking.verification.verify()]
    assert [finding.detail for finding in found if finding.state in ("broken", "unseen")] == []
    assert home.ledger.head().sequence > 208


def test_a_promotion_that_comes_meanwhile_is_looked_at_once_more_and_holds(february_decided_copy):
    folder = february_decided_copy.folder
    found = while_looking(quiet_home(folder), open_home(folder).decision_maker.carry_out, looks=1)
    assert states(found) == {}
    assert any(finding.detail.endswith("name version 2") for finding in found)


def test_a_break_is_told_though_a_receipt_was_added_meanwhile(sound, tmp_path):
    home = copied(sound, tmp_path / "home")
    edit_json(home.releases.pointer_file, lambda found: found.update(version=1))
    found = while_looking(quiet_home(home.folder), lambda: quiet_act(home), looks=1)
    assert states(found) == {"production": "broken"}


def test_a_ledger_that_never_rests_is_not_verified_rather_than_broken(sound, tmp_path):
    home = copied(sound, tmp_path / "home")
    edit_json(home.releases.pointer_file, lambda found: found.update(version=1))
    before = home.ledger.head().sequence
    found = while_looking(quiet_home(home.folder), lambda: quiet_act(home))
    assert states(found) == {"production": "unseen"}
    assert (
        home.ledger.head().sequence == before + 1 + LOOKS + 1
    )  # anchors, production at each look, server


@pytest.mark.parametrize("held", [True, False])
def test_a_move_is_under_way_while_somebody_holds_the_home_and_cut_off_once_nobody_does(
    sound, tmp_path, held
):
    home = copied(sound, tmp_path / "home")
    record_act(
        home.ledger,
        actor="ada",
        act="promotion intent",
        subject="version 3",
        before="version 2",
        after="version 3",
        reason="So.",
    )
    if held:
        with home.exclusive("a promotion"):
            found = verification(home)
        assert (found["breaks"], len(found["not_verified"])) == ([], 1)
        assert (
            "not verified: the move to version 3 is under way, or was cut off"
            in found["not_verified"][0]
        )
    else:
        assert_told(verification(home), "the move to version 3 was cut off")


def away(home, **asked):
    """What is found while the MLflow server of the settings is away."""
    return verification(home, mlflow_uri=f"http://127.0.0.1:{free_port()}", **asked)


def test_an_mlflow_that_is_away_is_not_verified_and_the_rest_is(sound):
    found = away(sound)
    assert (found["verified"], found["breaks"], found["first_break"]) == (False, [], None)
    assert len(found["not_verified"]) == 2
    assert all(
        "not verified: MLflow at http://127.0.0.1:" in sentence
        for sentence in found["not_verified"]
    )
    held = [finding["detail"] for finding in found["findings"] if finding["state"] == "holds"]
    assert "ledger and release pointer name version 2" in held
    assert sum("anchor.json" in detail or "releases/production" in detail for detail in held) == 2


def test_every_digest_but_mlflows_is_computed_while_it_is_away(sound):
    found = away(sound, deep=True)
    assert found["breaks"] == []
    unseen = [finding["check"] for finding in found["findings"] if finding["state"] == "unseen"]
    assert unseen == ["anchors", "production", "MLflow"]
    assert {"decisions", "releases", "lake", "records"} <= {
        f["check"] for f in found["findings"] if f["count"]
    }


def test_what_is_broken_is_told_though_mlflow_is_away(sound, tmp_path):
    home = copied(sound, tmp_path / "home")
    edit_json(home.releases.pointer_file, lambda found: found.update(version=1))
    lines(home, lambda all_lines: all_lines[:-1])
    found = away(home)
    assert_told(found, "its tail was cut or rewritten")
    assert_told(found, "the ledger says version 2 is in production, the release pointer version 1")
