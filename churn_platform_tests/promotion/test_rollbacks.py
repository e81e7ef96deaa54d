"""Rolling back: alias, pointer and loop follow; what was left is blocked; a bad release moves nothing."""

import asyncio
import datetime as dt

import pytest

from churn_platform.audit.checks import check_decisions
from churn_platform.base.errors import IntegrityError, UsageError
from churn_platform.promotion.promotions import production_candidate
from churn_platform.training.registry import PRODUCTION
from churn_platform_tests.promotion.test_promotions import STEPS, PowerCut, cut_at_receipt
from churn_platform_tests.servers import PROGRAMS, Running, load
from churn_platform_tests.small_business import (
    FEBRUARY,
    candidate,
    deliver,
    month_tables,
    monthly,
    open_home,
    with_policy,
)

BOB = ("Bob", "Retention complains.")
MARCH = dt.date(2024, 3, 31)


def step(home):
    due = open_home(home.folder).progress().next_step()
    return None if due is None else (due.kind, due.as_of)


def acts(home, *wanted):
    return [
        (r.act, r.subject, r.before, r.after) for r in home.ledger.receipts() if r.act in wanted
    ]


def assert_in_production(home, version):
    pointer = open_home(home.folder).releases.pointer()
    assert pointer.version == home.registry.alias(PRODUCTION) == version
    assert home.ledger.verify(pointer.ledger_head) is None


def test_the_version_before_is_back_and_the_one_that_was_left_is_blocked(february_copy):
    home = february_copy
    said = home.rollbacks.roll_back(*BOB)
    for fact in ("Version 1", "version 2, by Bob: Retention complains.", "`churn unblock 2`"):
        assert fact in said
    assert_in_production(home, 1)
    assert home.releases.pointer().previous_version == 2
    assert acts(home, "rollback intent", "version blocked", "rollback done") == [
        ("rollback intent", "version 1", "version 2", "version 1"),
        ("version blocked", "version 2", None, None),
        ("rollback done", "version 1", "version 2", "version 1"),
    ]
    (done,) = home.ledger.receipts("rollback done")
    first = home.ledger.receipts("promotion done")[0]
    assert (done.actor, done.reason) == BOB
    assert done.evidence["activate_at"] == home.releases.pointer().activate_at
    for name in ("decision", "candidate", "as_of"):
        assert done.evidence[name] == first.evidence[name]
    assert home.ledger.state().blocked[2].by == "Bob"
    assert step(home) == ("scores", FEBRUARY)
    home = open_home(home.folder)
    assert home.scoring.score(FEBRUARY).record.version == 1
    assert step(home) is None


def test_forward_again_by_hand_unblocks_and_says_so(february_copy):
    home = february_copy
    home.rollbacks.roll_back(*BOB)
    said = home.rollbacks.roll_back("Ann", "It was the campaign.", to=2)
    assert "no longer blocked (Bob" in said
    assert_in_production(home, 2)
    assert home.ledger.state().blocked == {}
    assert acts(home, "version unblocked") == [("version unblocked", "version 2", None, None)]
    with pytest.raises(UsageError) as refused:
        home.rollbacks.unblock(2, *BOB)
    assert refused.value.code == "VERSION_NOT_BLOCKED"


def test_a_decision_that_was_carried_out_is_not_carried_out_again_after_a_rollback(february_copy):
    home = february_copy
    home.rollbacks.roll_back(*BOB)
    assert "decide again" in home.decision_maker.carry_out().sentence
    home.rollbacks.unblock(2, "Ann", "Fine again.")
    assert "decide again" in home.decision_maker.carry_out().sentence
    assert_in_production(home, 1)


@pytest.mark.parametrize("mode", ["automatic", "approval"])
def test_once_it_is_free_again_the_same_decision_is_made_anew_and_carried_out(february_copy, mode):
    home = with_policy(february_copy, mode=mode)
    for _ in range(2):
        home.rollbacks.roll_back(*BOB)
        home.rollbacks.unblock(2, "Ann", "Fine again.")
        made = home.decision_maker.decide(FEBRUARY, "manual")
        assert home.decision_maker.decide(FEBRUARY, "manual") == made
        assert home.decisions.unfinished() == "manual"
        said = home.decision_maker.carry_out().sentence
        if mode == "approval":
            assert "Version 2 passed and waits for an approval" in said
            home.approvals.approve(2, "Ann", "Once more.")
        assert_in_production(home, 2)
        assert home.decisions.unfinished() is None
    receipts = home.ledger.receipts()
    recorded = [r.evidence["decision"] for r in receipts if r.act == "decision"]
    assert recorded[-1] == recorded[-2] == made.digest
    assert [finding.state for finding in check_decisions(home, home.records, receipts)] == ["holds"]


@pytest.mark.parametrize("mode", ["automatic", "approval"])
def test_a_blocked_version_is_promoted_neither_by_itself_nor_by_an_approval(february_copy, mode):
    february_copy.rollbacks.roll_back(*BOB)
    home = with_policy(february_copy, delta=0.02, mode=mode)
    home.decision_maker.decide(FEBRUARY, "manual")
    decision = home.decisions.newest()
    assert (decision.candidate_version, decision.production_version) == (2, 1)
    said = home.decision_maker.carry_out().sentence
    assert said.startswith("Kept version 1: Version 2 is blocked since Bob")
    for override in (False, True):
        with pytest.raises(UsageError) as refused:
            home.approvals.approve(2, "Ann", "I like it.", override=override)
        assert refused.value.code == "VERSION_BLOCKED"
    assert home.decisions.unfinished() is None
    assert home.ledger.state().pending is None
    home.rollbacks.unblock(2, "Ann", "Checked.")
    if mode == "automatic":
        assert home.decision_maker.carry_out().sentence.startswith("Promoted version 2: ")
        assert_in_production(home, 2)


def test_after_a_rollback_the_next_month_compares_with_what_is_back_and_may_be_promoted(
    february_copy,
):
    home = february_copy
    home.rollbacks.roll_back(*BOB)
    home.scoring.score(FEBRUARY)
    deliver(home, MARCH, month_tables(MARCH))
    monthly(home, MARCH)
    home = open_home(home.folder)
    assert home.records.read("drift_report", MARCH)["production_version"] == 1
    due = home.progress().next_step()
    assert (due.kind, due.as_of, due.trigger) == ("retraining", MARCH, "performance")
    assert candidate(home, MARCH) == 3
    decision = home.decision_maker.decide(MARCH, due.trigger)
    assert (decision.production_version, decision.decision) == (1, "promoted")
    assert home.decision_maker.carry_out().sentence.startswith("Promoted version 3: ")
    assert_in_production(home, 3)
    home.rollbacks.roll_back(*BOB)
    assert_in_production(home, 1)
    assert set(home.ledger.state().blocked) == {2, 3}


def test_a_candidate_of_the_same_month_may_replace_what_is_back(february_copy):
    home = february_copy
    home.rollbacks.roll_back(*BOB)
    assert candidate(home, FEBRUARY, "other code") == 3
    decision = home.decision_maker.decide(FEBRUARY, "manual")
    assert (decision.production_version, decision.decision) == (1, "promoted")
    assert home.decision_maker.carry_out().sentence.startswith("Promoted version 3: ")


def test_a_pending_approval_lapses_with_a_rollback(february_copy):
    home = with_policy(february_copy, mode="approval")
    assert candidate(home, FEBRUARY, "other code") == 3
    home.decision_maker.decide(FEBRUARY, "manual")
    home.records.add_decision(
        home.records.decisions()[-1] | {"decision": "pending", "reason": "As if it were better."}
    )
    assert "waits for an approval" in home.decision_maker.carry_out().sentence
    home.rollbacks.roll_back(*BOB)
    (lapsed,) = home.ledger.receipts("approval lapsed")
    assert "from version 2 to version 1" in lapsed.reason
    with pytest.raises(UsageError, match="lapsed at"):
        home.approvals.approve(3, "Ann", "Go.")


@pytest.mark.parametrize("name", ["model.skops", "manifest.json"])
def test_a_damaged_release_is_refused_before_anything_moves(february_copy, name):
    home = february_copy
    path = home.releases.folder / "1" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    before = home.releases.pointer_file.read_bytes(), home.ledger.head()
    with pytest.raises(IntegrityError) as refused:
        home.rollbacks.roll_back(*BOB)
    assert refused.value.code == "MODEL_UNREADABLE"
    assert (home.releases.pointer_file.read_bytes(), home.ledger.head()) == before
    assert home.registry.alias(PRODUCTION) == 2


def test_a_missing_release_and_a_version_that_mlflow_lost_are_refused_before_anything_moves(
    february_copy,
):
    home = february_copy
    home.registry._client().delete_model_version("gym_churn", "1")
    head = home.ledger.head()
    with pytest.raises(IntegrityError, match="gym_churn has no version 1 in MLflow"):
        home.rollbacks.roll_back(*BOB)
    (home.releases.folder / "1").rename(home.folder / "away")
    with pytest.raises(IntegrityError) as refused:
        home.rollbacks.roll_back(*BOB)
    assert refused.value.code == "RELEASE_MISSING"
    assert home.ledger.head() == head
    assert_in_production(home, 2)


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_production_whose_own_release_is_damaged_can_be_rolled_back(february_copy, damage):
    home, folder = february_copy, february_copy.releases.folder / "2"
    (folder / "model.skops").write_bytes(b"") if damage == "changed" else folder.rename(
        home.folder / "away"
    )
    home.rollbacks.roll_back(*BOB)
    assert_in_production(home, 1)
    assert production_candidate(home.releases).version == 1


@pytest.mark.parametrize(
    ("stage", "to", "code"),
    [
        ("january_decided", None, "NO_PRODUCTION"),
        ("january", None, "VERSION_NOT_PROMOTED"),
        ("february", 2, "VERSION_IN_PRODUCTION"),
        ("february", 9, "VERSION_NOT_PROMOTED"),
    ],
)
def test_there_must_be_something_to_roll_back_to(request, stage, to, code):
    with pytest.raises(UsageError) as refused:
        request.getfixturevalue(stage).rollbacks.roll_back(*BOB, to=to)
    assert refused.value.code == code


CUTS = {
    **{name: cut for name, cut in STEPS.items() if name in ("alias", "pointer", "anchor")},
    "intent": lambda home: cut_at_receipt(home, "rollback intent"),
    "blocked": lambda home: cut_at_receipt(home, "version blocked"),
    "done": lambda home: cut_at_receipt(home, "rollback done"),
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_rollback_that_was_cut_off_is_completed_once(february_copy, monkeypatch, cut):
    home = february_copy
    with monkeypatch.context() as patch:
        patch.setattr(*CUTS[cut](home))
        with pytest.raises(PowerCut):
            home.rollbacks.roll_back(*BOB)
    home = open_home(home.folder)
    said = home.promotions.recover()
    assert (said is None) == (cut in ("intent", "anchor"))
    if cut == "intent":
        assert_in_production(home, 2)
        return
    assert_in_production(home, 1)
    written = ["rollback intent", "version blocked", "rollback done"]
    assert [act for act, *_ in acts(home, *written, "rollback void")] == written
    assert home.promotions.recover() is None


def test_a_rollback_that_was_cut_off_is_voided_when_its_release_was_lost_since(
    february_copy, monkeypatch
):
    home = february_copy
    with monkeypatch.context() as patch:
        patch.setattr(*CUTS["pointer"](home))
        with pytest.raises(PowerCut):
            home.rollbacks.roll_back(*BOB)
    (home.releases.folder / "1" / "model.skops").write_bytes(b"")
    home = open_home(home.folder)
    assert "cannot be completed: release 1 was changed" in home.promotions.recover()
    assert_in_production(home, 2)
    assert acts(home, "version blocked") == []
    assert acts(home, "rollback void") == [("rollback void", "version 1", "version 2", "version 2")]
    named = {"decision", "candidate", "as_of", "blocks", "unblocks"}
    void = home.ledger.receipts("rollback void")[0].evidence
    assert set(void) == named | {"intent", "code", "lock"}


@pytest.mark.slow
def test_running_servers_follow_a_rollback_within_3_seconds_without_a_failed_request(february_copy):
    home = february_copy
    server = Running(home, "--workers", "2").wait()
    try:
        for arguments, old, new in (((), 2, 1), (("--to", "2"), 1, 2)):
            found = answers_during(
                server, ["rollback", *arguments, "--by", "Bob", "--reason", "Slow."]
            )
            done = open_home(home.folder).ledger.receipts("rollback done")[-1]
            moved = dt.datetime.fromisoformat(done.time).timestamp()
            assert {answer.status for answer in found} == {200}
            assert {answer.version for answer in found} == {old, new}
            # who asked before the change may be answered after it
            last = max(answer.moment - answer.seconds for answer in found if answer.version == old)
            assert last - moved < 3
            assert open_home(home.folder).registry.alias(PRODUCTION) == new
    finally:
        server.end()


def answers_during(server, command):
    """Every answer under load while a command runs, and for four seconds after it."""
    found = []

    async def all_of_it():
        loading = asyncio.create_task(
            load(server.url, 60, found, connections=2, fresh=True, pause=0.02)
        )
        program = [str(PROGRAMS / "churn"), *command, "--home", str(server.home.folder)]
        running = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.DEVNULL)
        assert await running.wait() == 0
        await asyncio.sleep(4)
        loading.cancel()

    asyncio.run(all_of_it())
    return found
