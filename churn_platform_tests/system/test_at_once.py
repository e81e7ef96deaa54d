"""Processes that act on one home at the same instant: one after the other, or one sentence; never both, never a mix."""

import json
import os
import subprocess
import time

import pytest

from churn_platform.base.errors import UsageError
from churn_platform.training.registry import PRODUCTION
from churn_platform_tests.servers import PROGRAMS
from churn_platform_tests.small_business import open_home
from churn_platform_tests.system.crash_points import ended, forked
from churn_platform_tests.system.trusted_home import verification

pytestmark = pytest.mark.slow
INSTANT = 0.3


def test_four_commands_at_once_on_a_new_folder_leave_one_sound_home(tmp_path):
    home = tmp_path / "home"
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CHURN_", "DAGSTER_"))
    }
    started = [
        subprocess.Popen(
            [PROGRAMS / "churn", command, "--home", home],
            env=clean, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for command in ("init", "init", "run", "status")
    ]  # fmt: skip
    ends = [(*process.communicate(timeout=300), process.returncode) for process in started]
    assert [code for *_, code in ends[:2]] == [0, 0], ends
    for out, err, code in ends:
        assert "Traceback" not in out + err
        assert code == 0 or (code, "[HOME_MISSING]" in err) == (2, True)
    assert list(tmp_path.iterdir()) == [home]
    assert list(home.glob(".*")) == []
    opened = open_home(home)
    assert verification(opened)["verified"]
    client = opened.registry._client()
    assert len(client.search_registered_models()) == 1
    assert [one.name for one in client.search_experiments()].count(opened.contract.model_name) == 1


def at_once(home, folder, **acts):
    """Run each act in a process of its own, all at one instant; what each says: (it was done, the sentence)."""
    start = time.monotonic() + INSTANT

    def one(name, act):
        while time.monotonic() < start:
            pass
        try:
            told = [True, act(open_home(home.folder))]
        except UsageError as refused:
            told = [False, str(refused)]
        (folder / name).write_text(json.dumps(told))

    log = folder / "log"
    children = [
        forked(lambda name=name, act=act: one(name, act), log) for name, act in acts.items()
    ]
    assert [ended(child) for child in children] == [0] * len(children), log.read_text()
    return {name: json.loads((folder / name).read_text()) for name in acts}


def moves(home):
    """Every move of production, oldest first; the home is whole and nothing is half done."""
    fresh = open_home(home.folder)
    assert verification(fresh)["verified"]
    assert fresh.ledger.state().pending is None
    done = [(receipt.act, receipt.subject) for receipt in fresh.ledger.state().changes]
    assert (
        done[-1][1]
        == f"version {fresh.releases.pointer().version}"
        == f"version {fresh.registry.alias(PRODUCTION)}"
    )
    return done


FIRST = ("promotion done", "version 1")


def test_of_two_processes_that_approve_at_once_one_wins_and_the_other_says_who_did(
    february_pending_copy, tmp_path
):
    home = february_pending_copy
    said = at_once(
        home, tmp_path,
        Ann=lambda home: home.approvals.approve(2, "Ann", "At once."), Bob=lambda home: home.approvals.approve(2, "Bob", "At once."),
    )  # fmt: skip
    [winner], [(loser, (_, refusal))] = (
        [name for name in said if said[name][0]],
        [(name, told) for name, told in said.items() if not told[0]],
    )
    assert {winner, loser} == {"Ann", "Bob"}
    assert refusal.startswith(f"Version 2 is already in production: {winner} approved it at ")
    assert moves(home) == [FIRST, ("promotion done", "version 2")]
    assert [receipt.actor for receipt in home.ledger.receipts("approval")] == [winner]


def test_an_approval_and_a_rejection_at_once_are_one_answer(february_pending_copy, tmp_path):
    home = february_pending_copy
    said = at_once(
        home, tmp_path,
        Ann=lambda home: home.approvals.approve(2, "Ann", "Yes."), Bob=lambda home: home.approvals.reject(2, "Bob", "No."),
    )  # fmt: skip
    answers = [
        receipt.actor for act in ("approval", "rejection") for receipt in home.ledger.receipts(act)
    ]
    assert [name for name, (was_done, _) in said.items() if was_done] == answers
    if answers == ["Ann"]:
        assert said["Bob"][1].startswith("Version 2 is already in production: Ann approved it at ")
        assert moves(home) == [FIRST, ("promotion done", "version 2")]
    else:
        assert said["Ann"][1].startswith("Version 2 was rejected by Bob at ")
        assert moves(home) == [FIRST]


def test_an_approval_and_a_rollback_at_once_come_one_after_the_other(
    february_pending_copy, tmp_path
):
    """The rollback of the first version is refused, that of the second goes back to the first."""
    home = february_pending_copy
    said = at_once(
        home, tmp_path,
        Ann=lambda home: home.approvals.approve(2, "Ann", "Yes."), Bob=lambda home: home.rollbacks.roll_back("Bob", "No."),
    )  # fmt: skip
    assert said["Ann"] == [True, "Version 2 is in production, approved by Ann: Yes."]
    if said["Bob"][0]:
        assert moves(home) == [
            FIRST,
            ("promotion done", "version 2"),
            ("rollback done", "version 1"),
        ]
    else:
        assert (
            said["Bob"][1]
            == "Version 1 is the first in production. There is no earlier version to roll back to."
        )
        assert moves(home) == [FIRST, ("promotion done", "version 2")]
