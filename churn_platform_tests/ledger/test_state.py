"""The state of production after any chain of receipts."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.ledger.receipts import named, version_of
from churn_platform.ledger.state import ProductionState
from churn_platform.ledger.version_acts import PromotionIntent, RollbackIntent, done_of, intent_of
from churn_platform_tests.ledger.office import START, Office, chain, state_of

DAY = dt.timedelta(days=1)
SECOND = dt.timedelta(seconds=1)
TIME = "2024-03-01T00:00:00+00:00"
PLAN = {"actor": "ann", "reason": "why", "decision": "d", "candidate": "c", "as_of": "2024-02-29"}


def moved(version, before=None, at=None, act="promotion done"):
    """The fields of a production change."""
    evidence = {"decision": f"d{version}"}
    if at is not None:
        evidence["activate_at"] = at.isoformat()
    changed = {"subject": named(version), "before": named(before), "after": named(version)}
    return {"act": act, **changed, "evidence": evidence}


@given(
    st.sampled_from([PromotionIntent, RollbackIntent]),
    st.integers(1, 99),
    st.none() | st.integers(1, 99),
)
def test_a_change_is_read_back_as_planned_its_end_adds_two_fields_and_a_void_changes_nothing(
    kind, version, before
):
    planned = kind(**PLAN, version=version, before=before, after=version)
    receipt = planned.receipt(None, TIME)
    assert intent_of(receipt) == planned
    end = planned.done("i", TIME).receipt(receipt, TIME)
    assert end.evidence == receipt.evidence | {"intent": "i", "activate_at": TIME}
    assert (end.subject, end.before, end.after) == (receipt.subject, receipt.before, receipt.after)
    assert done_of(end).version == version
    void = planned.void("i", before, "The policy changed.").receipt(end, TIME, "monthly")
    assert (void.act, void.actor) == (f"{planned.kind} void", "monthly")
    assert (void.subject, void.before, void.after) == (receipt.subject, receipt.before, void.before)
    assert void.evidence == receipt.evidence | {"intent": "i"}


def test_versions_are_named_and_read_back():
    assert [named(version) for version in (None, 3)] == [None, "version 3"]
    names = (None, "no model", "version 12", "version x")
    assert [version_of(name) for name in names] == [None, None, 12, None]


@pytest.mark.parametrize(
    ("acts", "open_act"),
    [
        ([], None),
        (["promotion intent"], "promotion intent"),
        (["promotion intent", "promotion done"], None),
        (["promotion intent", "promotion void"], None),
        (["promotion intent", "promotion done", "rollback intent"], "rollback intent"),
        (["rollback intent", "drop accepted"], "rollback intent"),
        (["rollback intent", "rollback void"], None),
    ],
)
def test_only_an_intent_without_an_end_is_open(acts, open_act):
    found = state_of(*({"act": act} for act in acts)).open_intent
    assert (found and found.act) == open_act


def test_a_voided_change_was_not_carried_out_and_the_last_promotion_of_a_version_counts():
    acts = [
        moved(1), moved(2, act="promotion void"), moved(3), moved(1, act="rollback done"), moved(3)
    ]  # fmt: skip
    found = state_of(*acts)
    assert {d: done.sequence for d, done in found.carried_out.items()} == {"d1": 1, "d3": 5}
    assert {v: done.sequence for v, done in found.promotions.items()} == {1: 1, 3: 5}
    assert found.change_to(1).sequence == 4
    assert found.change_to(2) is None
    again = state_of(*acts, moved(3, act="decision"))
    assert set(again.carried_out) == set(again.settled) == {"d1"}


def test_versions_are_blocked_until_they_are_unblocked():
    office = Office()
    for act, version in (("blocked", 2), ("blocked", 3), ("unblocked", 2)):
        office.write(f"version {act}", version, "Bob")
    assert {version: who.by for version, who in office.state.blocked.items()} == {3: "Bob"}
    [(version, why)] = office.state.barred().items()
    assert version == 3
    assert "Bob" in why
    assert "churn unblock 3" in why


def test_a_rejection_bars_a_version_until_it_is_approved_and_an_override_stays_recorded():
    office = Office()
    office.write("rejection", 2, "Bob", request=None)
    assert office.state.rejected[2].by == "Bob"
    assert "Bob" in office.state.barred()[2]
    office.write("approval", 2, "Ann", request=None, override=True, decision="d1")
    office.write("approval", 3, "Ann", request=None, override=False)
    office.write("approval", 2, "Bob", request=None, override=False)
    assert office.state.rejected == office.state.barred() == {}
    assert {version: who.by for version, who in office.state.overridden.items()} == {2: "Ann"}
    answers = office.state.answers("d1")
    assert (answers.approval, answers.overridden.by) == (None, "Ann")
    assert office.state.answers("another").overridden is None


def test_the_files_of_a_version_are_those_that_its_newest_decision_judged():
    decisions = [{"act": "decision", "evidence": {"files": {"a": file}}} for file in ("old", "new")]
    assert state_of(*decisions).judged_files(1) == {"a": "new"}
    assert state_of(*decisions, {"act": "decision"}).judged_files(1) == {}
    assert state_of().judged_files(1) == {}


@pytest.mark.parametrize("answer", ["decision", "training refused"])
def test_a_request_for_a_retraining_is_open_until_a_decision_or_a_refused_training(answer):
    asked = {"act": "manual retraining requested", "subject": "2024-02-29"}
    assert state_of(asked, {"act": "drop accepted"}).retraining_request is not None
    assert state_of(asked, {"act": answer}).retraining_request is None
    assert state_of(asked, {"act": answer}, asked).retraining_request.sequence == 3


def test_months_their_warnings_and_every_act_are_counted():
    found = state_of(
        {"act": "drop accepted", "subject": "2024-02-29"},
        {"act": "warnings raised", "subject": "2024-02-29"},
        {"act": "drop corrected", "subject": "2024-01-31"},
        {"act": "warnings cleared", "subject": "2024-02-29"},
        {"act": "drop corrected", "subject": "2024-01-31"},
    )
    assert (found.month, found.warnings["2024-02-29"].sequence) == ("2024-02-29", 4)
    assert (found.receipts, found.counts["drop corrected"], found.counts["decision"]) == (5, 2, 0)


PROPOSAL = {
    "act": "promotion proposed", "version": 2, "production": 1, "months": ["2024-02-29"], "auc": 0.7,
    "production_auc": 0.6, "difference": 0.1, "interval": [0.05, 0.15], "level": 0.99, "sentence": "s",
}  # fmt: skip


@pytest.mark.parametrize(
    ("acts", "production", "stands"),
    [
        ([], 1, True),
        ([], 2, False),
        ([], None, False),
        ([{"act": "version blocked", "subject": "version 2"}], 1, False),
        ([{"act": "rejection", "subject": "version 2"}], 1, False),
        ([{"act": "rejection", "subject": "version 3"}], 1, True),
    ],
)
def test_a_proposal_lapses_with_production_and_with_a_barred_version(acts, production, stands):
    found = state_of(*acts).standing_proposal({"verdict": {"proposal": PROPOSAL}}, production)
    assert (found is not None) == stands
    assert not stands or found.command == "churn approve 2 --override --by NAME --reason TEXT"


def test_without_an_evaluation_nothing_is_proposed_and_a_rollback_has_its_own_command():
    for record in (None, {}, {"verdict": {"proposal": None}}):
        assert state_of().standing_proposal(record, 1) is None
    rollback = {"verdict": {"proposal": PROPOSAL | {"act": "rollback proposed"}}}
    assert "churn rollback --to 2" in state_of().standing_proposal(rollback, 1).command


def test_what_was_in_production_follows_activations_and_rollbacks():
    acts = [
        moved(1),
        moved(2, 1),
        moved(3, 2, act="promotion intent"),
        moved(3, 2, act="promotion void"),
        moved(1, 2, act="rollback done"),
    ]
    state = state_of(*acts)
    by_day = [state.in_production(START + n * DAY).version for n in range(6)]
    assert by_day == [1, 2, 2, 2, 1, 1]
    assert state.production == 1
    found = state.in_production(START + 3 * DAY)
    assert (found.since, found.before, found.until) == (START + DAY, 1, START + 4 * DAY)
    assert state.in_production(START - SECOND) is None
    assert state_of().production is None


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(-1, 60))
def test_at_any_instant_it_is_the_last_of_the_chain_that_was_active(seconds, asked):
    at = START + asked * SECOND
    moves = [moved(n, n - 1 or None, START + s * SECOND) for n, s in enumerate(seconds, start=1)]
    found = state_of(*moves).in_production(at)
    active = [version for version, second in enumerate(seconds, start=1) if second <= asked]
    assert (None if found is None else found.version) == (active[-1] if active else None)
    if found is not None:
        assert found.since <= at
        assert found.until is None or found.until > at


@given(st.lists(st.tuples(st.sampled_from([1, 2, None]), st.sampled_from([None, "Chance."]))))
def test_through_any_history_the_newest_receipt_shows_what_stands_down_and_none_comes_twice(
    history,
):
    acts = []
    for version, reason in history:
        for first in (True, False):
            state = state_of(*acts)
            act = state.stand_down_act(version, reason)
            assert act is None or first
            if act is not None:
                subject = version if act == "stand-down began" else state.standing_down
                acts.append({"act": act, "subject": f"version {subject}"})
        expected = None if reason is None else version
        assert state_of(*acts).standing_down == expected


def test_a_state_may_follow_the_ledger_receipt_by_receipt():
    receipts = chain(moved(1), {"act": "version blocked"}, moved(2, 1))
    followed = ProductionState()
    for receipt in receipts:
        followed.take(receipt)
    assert followed == ProductionState.from_receipts(receipts)
