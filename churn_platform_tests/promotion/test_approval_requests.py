"""Requests: asked once, told with what they are bound to, lapsed once with a sentence."""

import datetime as dt
import subprocess
import sys

import pytest

from churn_platform.base.errors import UsageError
from churn_platform.base.provenance import provenance
from churn_platform.ledger.version_acts import ApprovalRequested
from churn_platform.training.registry import CANDIDATE
from churn_platform_tests.small_business import FEBRUARY, candidate, open_home, with_policy

ANN = ("Ann", "Looks right to me.")


def test_a_passing_candidate_is_asked_for_with_all_that_the_approval_is_bound_to(february_pending):
    home, decision = february_pending, february_pending.decisions.newest()
    (receipt,) = home.ledger.receipts("approval requested")
    assert decision.decision == "pending"
    act = ApprovalRequested.of(receipt)
    assert (act.version, act.before, act.after, act.reason) == (2, 1, 2, decision.reason)
    assert receipt.evidence == provenance() | {
        "candidate": decision.candidate_digest,
        "decision": decision.digest,
        "dataset": decision.evidence["dataset"],
        "policy": home.contract.policy_hash,
        "as_of": "2024-02-29",
        "until": act.until,
    }
    waits = dt.datetime.fromisoformat(act.until) - dt.datetime.fromisoformat(receipt.time)
    assert abs(waits - dt.timedelta(days=14)) < dt.timedelta(seconds=5)
    assert home.releases.pointer().version == 1
    assert home.ledger.receipts("production kept") == []


def test_the_loop_waits_and_asks_only_once(february_pending_copy):
    home = february_pending_copy
    assert home.decisions.unfinished() is None
    assert home.progress().next_step() is None
    head = home.ledger.head()
    for said in (
        home.approvals.request(home.decisions.newest()),
        home.decision_maker.carry_out().sentence,
    ):
        for fact in (
            "Version 2 passed",
            "`churn approve 2 --by NAME --reason TEXT`",
            "churn reject 2",
        ):
            assert fact in said
    assert home.ledger.head() == head


def test_what_waits_is_told_with_why_it_has_lapsed(february_pending_copy):
    request, why = february_pending_copy.approvals.waiting()
    assert (request.version, request.state, why) == (2, "pending", None)
    home = with_policy(february_pending_copy, mode="approval", approval_days=3)
    assert "policy" in home.approvals.waiting()[1]
    assert home.ledger.receipts("approval lapsed") == []


def test_only_a_deep_look_sees_that_the_candidate_is_another_one(
    february_pending_copy, february_decided
):
    home = february_pending_copy
    assert home.approvals.waiting(deep=True)[1] is None
    assert candidate(home, FEBRUARY, "other code") == 3
    assert home.approvals.waiting()[1] is None
    assert "Version 3" in home.approvals.waiting(deep=True)[1]
    home.registry.set_alias(CANDIDATE, 2)
    assert home.approvals.waiting(deep=True)[1] is None
    assert february_decided.approvals.waiting() is None
    assert february_decided.approvals.record_lapse(deep=True) is None


def test_a_request_lapses_after_the_policys_days_and_may_be_made_again(february_pending_copy):
    home = february_pending_copy
    asked = dt.datetime.fromisoformat(home.ledger.receipts("approval requested")[0].time)

    def later(**span):
        return open_home(home.folder, lambda: asked + dt.timedelta(**span))

    assert later(days=13, hours=23).approvals.record_lapse() is None
    assert "Nobody answered until " in later(days=14, seconds=1).approvals.record_lapse()
    assert later(days=15).approvals.record_lapse() is None
    with pytest.raises(UsageError, match="lapsed at"):
        later(days=15).approvals.approve(2, *ANN)
    again = later(days=16)
    assert "waits for an approval until" in again.decision_maker.carry_out().sentence
    assert again.approvals.approve(2, *ANN).startswith("Version 2 is in production")


def test_a_sensor_records_a_lapse_unless_somebody_holds_the_home(february_pending_copy):
    home = with_policy(february_pending_copy, mode="approval", delta=0.02)
    code = "import sys, time, filelock\nwith filelock.FileLock(sys.argv[1]): print('held', flush=True); time.sleep(120)"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(home.folder / "home.lock")], stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    home.approvals.record_lapse_if_free()
    assert home.ledger.receipts("approval lapsed") == []
    holder.kill()
    holder.wait()
    for _ in range(2):
        home.approvals.record_lapse_if_free()
    (receipt,) = home.ledger.receipts("approval lapsed")
    bound = {"candidate", "decision", "dataset", "policy"}
    assert set(receipt.evidence) == bound | {"request", "code", "lock"}
