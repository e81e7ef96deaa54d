"""The state of production after any chain of receipts."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.receipts import named, version_of
from churn_platform.ledger.state import ProductionState, done_of, intent_of, stand_down_act
from churn_platform.ledger.version_acts import PromotionIntent, RollbackIntent
from churn_platform_tests.ledger.test_approvals import Office

START = dt.datetime(2024, 1, 31, 6, 0, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
ACT = {"actor": "Ann", "subject": "version 1", "reason": "It is so."}
TIME = "2024-03-01T00:00:00+00:00"
PLAN = {
    "actor": "ann",
    "reason": "why",
    "decision": "d",
    "candidate": "c",
    "as_of": "2024-02-29",
}


def dated(*recorded):
    """A chain of receipts, one per day."""
    receipts = []
    for number, fields in enumerate(recorded):
        at = {"time": (START + number * dt.timedelta(days=1)).isoformat()}
        head = receipts[-1] if receipts else None
        receipts.append(ledger.append(head, **ACT | at | fields))
    return receipts


def moved(version, before, at=None, act="promotion done"):
    evidence = {} if at is None else {"activate_at": at.isoformat()}
    named = {"subject": f"version {version}", "after": f"version {version}", "evidence": evidence}
    return {"act": act, **named, "before": None if before is None else f"version {before}"}


def chain(*acts):
    """A chain of (act, version) receipts."""
    receipts = []
    for act, version in acts:
        planned = PromotionIntent(
            **PLAN | {"decision": f"d{version}"},
            version=version,
            before=version - 1 or None,
            after=version,
        )
        fields = planned.receipt_fields() | {"act": act}
        receipts.append(ledger.append(receipts[-1] if receipts else None, time=TIME, **fields))
    return receipts


@given(
    st.sampled_from([PromotionIntent, RollbackIntent]),
    st.integers(1, 99),
    st.none() | st.integers(1, 99),
)
def test_a_change_is_read_back_as_planned_and_its_end_adds_two_fields(kind, version, before):
    planned = kind(**PLAN, version=version, before=before, after=version)
    receipt = ledger.append(None, time=TIME, **planned.receipt_fields())
    assert intent_of(receipt) == planned
    end = ledger.append(receipt, time=TIME, **planned.done("i", TIME).receipt_fields())
    assert end.evidence == receipt.evidence | {"intent": "i", "activate_at": TIME}
    assert (end.subject, end.before, end.after) == (receipt.subject, receipt.before, receipt.after)
    assert done_of(end).version == version


@pytest.mark.parametrize("kind", [PromotionIntent, RollbackIntent])
def test_a_cancelled_change_leaves_production_as_it_is(kind):
    planned = kind(**PLAN, version=3, before=2, after=3)
    void = planned.void("i", 2, "The policy changed.").receipt_fields()
    assert void["act"] == f"{planned.kind} void"
    assert (void["subject"], void["before"], void["after"]) == (
        "version 3",
        "version 2",
        "version 2",
    )
    assert void["evidence"] == planned.receipt_fields()["evidence"] | {"intent": "i"}


def test_versions_are_named_and_read_back():
    assert [named(version) for version in (None, 3)] == [None, "version 3"]
    names = (None, "no model", "version 12", "version x")
    assert [version_of(name) for name in names] == [None, None, 12, None]


def test_only_an_intent_without_an_end_is_open():
    begun = chain(("promotion intent", 1))
    assert ProductionState.from_receipts(begun).open_intent == begun[-1]
    for end in ("promotion done", "promotion void"):
        assert (
            ProductionState.from_receipts(chain(("promotion intent", 1), (end, 1))).open_intent
            is None
        )
    again = chain(
        ("promotion intent", 1), ("promotion done", 1), ("rollback intent", 1), ("drop accepted", 2)
    )
    assert ProductionState.from_receipts(again).open_intent.act == "rollback intent"
    assert ProductionState.from_receipts([]).open_intent is None


def test_a_voided_move_was_not_carried_out_and_the_last_promotion_of_a_version_counts():
    receipts = chain(
        ("promotion done", 1), ("promotion void", 2), ("promotion done", 3), ("rollback done", 1), ("promotion done", 3)
    )  # fmt: skip
    carried = {
        digest: done.sequence
        for digest, done in ProductionState.from_receipts(receipts).carried_out.items()
    }
    assert carried == {"d1": 1, "d3": 5}
    again = [*receipts, *chain(("decision", 3))]
    assert set(ProductionState.from_receipts(again).carried_out) == {"d1"}
    last = {
        version: done.sequence
        for version, done in ProductionState.from_receipts(receipts).promotions.items()
    }
    assert last == {1: 1, 3: 5}


def test_versions_are_blocked_until_they_are_unblocked():
    office = Office()
    office.write("version blocked", "version 2", "Bob")
    office.write("version blocked", "version 3", "Bob")
    office.write("version unblocked", "version 2", "Ann")
    assert {version: who.by for version, who in office.state.blocked.items()} == {3: "Bob"}
    assert office.state.barred() == {
        3: "Version 3 is blocked since Bob rolled it back at 2024-03-01 06:00 UTC (why): `churn unblock 3` allows it again."
    }


def test_a_rejection_bars_a_version_until_it_is_approved():
    office = Office()
    office.write("rejection", "version 2", "Bob", request=None)
    assert office.state.rejected[2].by == "Bob"
    assert office.state.barred() == {
        2: "Version 2 was rejected by Bob at 2024-03-01 06:00 UTC: why."
    }
    office.write("approval", "version 2", "Ann", request=None, override=True)
    assert office.state.rejected == office.state.barred() == {}


def test_an_override_is_told_for_ever_and_an_approval_is_none():
    office = Office()
    office.write("approval", "version 2", "Ann", request=None, override=True)
    office.write("approval", "version 3", "Ann", request=None, override=False)
    office.write("approval", "version 2", "Bob", request=None, override=False)
    assert {version: who.by for version, who in office.state.overridden.items()} == {2: "Ann"}


def test_a_decision_is_told_with_its_request_and_who_overrode_it():
    office = Office()
    office.decide(2, 1)
    waits = office.state.answers("d1")
    assert waits["overridden"] is None
    assert {name: waits["approval"][name] for name in ("version", "state", "by", "until")} == {
        "version": 2, "state": "pending", "by": None, "until": "2024-03-15T06:00:00+00:00",
    }  # fmt: skip
    office.answer("rejection", 2)
    assert (office.state.answers("d1")["approval"]["state"], office.state.answers("d1")["approval"]["by"]) == (
        "rejected", "Ann",
    )  # fmt: skip
    office.write("approval", "version 2", "Bob", request=None, override=True, decision="d1")
    assert office.state.answers("d1")["overridden"] == {
        "by": "Bob", "reason": "why", "at": "2024-03-01T06:00:00+00:00",
    }  # fmt: skip
    assert office.state.answers("another") == {"approval": None, "overridden": None}


def test_nothing_was_in_production_before_the_first_was_activated():
    receipts = dated(
        {"act": "drop accepted"}, moved(1, None, START + dt.timedelta(days=1, seconds=2))
    )
    assert ProductionState.from_receipts([]).in_production(START) is None
    assert (
        ProductionState.from_receipts(receipts).in_production(
            START + dt.timedelta(days=1, seconds=1)
        )
        is None
    )
    found = ProductionState.from_receipts(receipts).in_production(
        START + dt.timedelta(days=1, seconds=2)
    )
    assert (found.version, found.before, found.until) == (1, None, None)


def test_an_intent_and_a_void_move_nothing_and_a_rollback_does():
    receipts = dated(
        moved(1, None),
        moved(2, 1),
        {**moved(3, 2), "act": "promotion intent"},
        {**moved(3, 2), "act": "promotion void"},
        moved(1, 2, act="rollback done"),
    )
    by_day = [
        ProductionState.from_receipts(receipts)
        .in_production(START + n * dt.timedelta(days=1))
        .version
        for n in range(6)
    ]
    assert by_day == [1, 2, 2, 2, 1, 1]
    found = ProductionState.from_receipts(receipts).in_production(START + dt.timedelta(days=3))
    assert (found.before, found.until) == (1, START + dt.timedelta(days=4))


def test_without_an_activation_the_receipts_own_time_counts():
    receipts = dated(moved(1, None))
    assert ProductionState.from_receipts(receipts).in_production(START - SECOND) is None
    assert ProductionState.from_receipts(receipts).in_production(START).since == START


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(-1, 60))
def test_at_any_instant_it_is_the_last_of_the_chain_that_was_active(seconds, asked):
    at = START + asked * SECOND
    moves = [moved(n, n - 1 or None, START + s * SECOND) for n, s in enumerate(seconds, start=1)]
    found = ProductionState.from_receipts(dated(*moves)).in_production(at)
    active = [version for version, second in enumerate(seconds, start=1) if second <= asked]
    assert (None if found is None else found.version) == (active[-1] if active else None)
    if found is not None:
        assert found.since <= at
        assert found.until is None or found.until > at


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2]), st.sampled_from([None, "It is no better than chance."]))
    )
)
def test_through_any_history_the_newest_receipt_says_what_holds_and_none_is_written_twice(history):
    receipts, head = [], None
    for version, reason in history:
        for expected in (True, False):
            act = stand_down_act(head, version, reason)
            assert act is None or expected
            if act is not None:
                subject = f"version {version}" if act == "stand-down began" else head.subject
                head = ledger.append(head, **ACT | {"act": act, "subject": subject, "time": TIME})
                receipts.append(head)
        stands = head is not None and head.act == "stand-down began"
        assert stands == (reason is not None)
        assert not stands or head.subject == f"version {version}"


def test_without_a_model_nothing_stands_down():
    assert stand_down_act(None, None, None) is None
