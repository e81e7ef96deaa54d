"""Approval rules: whatever happens in whatever order, one request at most waits, and nothing passes without its yes."""

import datetime as dt
from dataclasses import replace

import pytest
from churn_platform.ledger.approvals import (
    lapse,
    until,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.state import ProductionState
from churn_platform.ledger.version_acts import ApprovalRequested, Bound

START = dt.datetime(2024, 3, 1, 6, tzinfo=dt.UTC)
DAYS = 14


class Office:
    """A ledger, a clock and the present, driven as the adapters drive them; knows nothing of how requests are read."""

    def __init__(self):
        self.receipts, self.now, self.production = [], START, 1
        self.bound = Bound(2, "c2", "d0", "t0", "p0", 1)
        self.judged = False
        self.moved = []

    @property
    def state(self):
        return ProductionState.from_receipts(self.receipts)

    def write(self, act, subject, actor="tester", **evidence):
        fields = {"act": act, "subject": subject, "actor": actor, "evidence": evidence}
        return self.record(fields | {"reason": "why"})

    def ask(self, bound):
        request = ApprovalRequested(
            **bound.act_fields(),
            actor="tester",
            reason="why",
            as_of="2024-02-29",
            until=until(self.now, DAYS),
        )
        self.record(request.receipt_fields())

    def record(self, fields):
        head = self.receipts[-1] if self.receipts else None
        self.receipts.append(ledger.append(head, time=self.now.isoformat(), **fields))
        return self.receipts[-1]

    def present(self):
        return replace(self.bound, production=self.production)

    def settle(self):
        """Record what has lapsed, as every command does first."""
        request = self.state.pending
        if request is not None and lapse(request, self.present(), self.now) is not None:
            self.write("approval lapsed", f"version {request.version}", request=request.receipt)

    def decide(self, version, tag):
        """A decision on a candidate passes and asks."""
        self.bound = Bound(
            version, f"c{version}", f"d{tag}", "t0", self.bound.policy, self.production
        )
        self.settle()
        if version != self.production and self.state.standing_request(self.present()) is None:
            self.ask(self.present())

    def answer(self, act, version):
        self.settle()
        if version == self.production or self.state.why_not_waiting(version) is not None:
            return
        request = self.state.pending
        self.write(act, f"version {version}", "Ann", request=request.receipt, override=False)
        if act == "approval":
            self.moved.append((request.bound, self.present(), self.now, request))
            self.production = version

    def happen(self, event, value):
        match event:
            case "decide":
                self.decide(2 + value % 4, value)
            case "approve":
                self.answer("approval", 2 + value % 4)
            case "reject":
                self.answer("rejection", 2 + value % 4)
            case "days":
                self.now += dt.timedelta(days=value)
            case "policy":
                self.bound = replace(self.bound, policy=f"p{value % 3}")
            case "tamper":
                self.bound = replace(self.bound, candidate=f"x{value}")
            case "remake":
                self.bound = replace(self.bound, dataset=f"t{value % 2}")
            case "roll back":
                self.production = 1


EVENTS = st.tuples(
    st.sampled_from(
        [
            "decide",
            "decide",
            "approve",
            "approve",
            "reject",
            "days",
            "policy",
            "tamper",
            "remake",
            "roll back",
        ]
    ),
    st.integers(0, 20),
)


@given(st.lists(EVENTS, max_size=40))
@settings(max_examples=300, deadline=None)
def test_never_two_wait_and_nothing_moves_without_an_approval_of_exactly_it(events):
    office = Office()
    for event, value in events:
        office.happen(event, value)
        assert sum(request.state == "pending" for request in office.state.requests) <= 1
        last = office.state.requests[-1] if office.state.requests else None
        assert office.state.pending == (
            last if last is not None and last.state == "pending" else None
        )
    approvals = [receipt for receipt in office.receipts if receipt.act == "approval"]
    assert len(approvals) == len(office.moved)
    for (asked, present, now, request), approval in zip(office.moved, approvals, strict=True):
        assert asked == present
        assert now <= dt.datetime.fromisoformat(request.until)
        assert approval.evidence["request"] == request.receipt
    answers = [
        receipt.evidence["request"] for receipt in office.receipts if "request" in receipt.evidence
    ]
    assert len(answers) == len(set(answers))


FEW = st.tuples(
    st.sampled_from(["decide", "reject", "approve", "days", "policy"]),
    st.sampled_from([0, 1, 4, 5]),
)


@given(st.lists(FEW, max_size=20))
@settings(max_examples=200, deadline=None)
def test_a_candidate_that_was_rejected_is_not_asked_for_again_on_the_same_evidence(events):
    office = Office()
    for event, value in events:
        office.happen(event, value)
    answers = {}
    for request in office.state.requests:
        question = replace(request.bound, decision="")
        assert answers.get(question) != "rejected"
        answers[question] = request.state


def asked(**changes):
    """An office in which version 2 waits, and the request with some of the present changed."""
    office = Office()
    office.decide(2, 1)
    office.bound = replace(office.bound, **changes)
    return office, office.state.pending


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 3}, "Version 3 is the candidate now."),
        ({"policy": "p9"}, "The policy has changed since the decision."),
        ({"candidate": "c9"}, "The digest of version 2 is no longer what was judged."),
        ({"dataset": "t9"}, "The data that version 2 was judged on has changed."),
        ({"decision": "d9"}, "The decision on version 2 has changed."),
    ],
)
def test_each_change_of_what_was_judged_lapses_the_request_with_its_sentence(changes, sentence):
    office, request = asked(**changes)
    assert lapse(request, office.present(), office.now) == sentence


def test_production_that_moved_lapses_the_request():
    office, request = asked()
    assert lapse(request, replace(office.present(), production=None), office.now) == (
        "Production moved from version 1 to no model."
    )
    assert lapse(request, replace(office.present(), production=2), office.now) is None


def test_a_request_holds_to_the_last_second_of_the_policys_days():
    office, request = asked()
    last = START + dt.timedelta(days=DAYS)
    assert lapse(request, office.present(), last) is None
    assert lapse(request, office.present(), last + dt.timedelta(seconds=1)) == (
        "Nobody answered until 2024-03-15 06:00 UTC."
    )


def test_a_request_says_what_has_become_of_it():
    office, request = asked()
    assert (
        request.sentence()
        == "Version 2 passed and waits for an approval until 2024-03-15 06:00 UTC."
    )
    assert office.state.why_not_waiting(2) is None
    assert office.state.why_not_waiting(3) == "Version 3 does not wait for an approval."
    office.answer("rejection", 2)
    assert (
        office.state.why_not_waiting(2)
        == "Version 2 was rejected by Ann at 2024-03-01 06:00 UTC: why."
    )
    office, _ = asked(policy="p9")
    office.settle()
    assert (
        office.state.why_not_waiting(2)
        == "The request to approve version 2 lapsed at 2024-03-01 06:00 UTC: why."
    )
    office, _ = asked()
    office.answer("approval", 2)
    assert (
        office.state.why_not_waiting(2)
        == "Version 2 was approved by Ann at 2024-03-01 06:00 UTC: why."
    )


def test_a_newer_request_closes_an_older_one_that_was_left_open():
    office, older = asked()
    office.ask(replace(office.present(), version=3))
    first, second = office.state.requests
    assert (first.receipt, first.state, second.state) == (older.receipt, "lapsed", "pending")
    assert first.answer.reason == "Version 3 is a newer candidate."


def test_an_answer_to_another_request_answers_nothing():
    office, request = asked()
    office.write("approval", "version 2", "Ann", request="0" * 64, override=False)
    assert office.state.pending == request


def test_a_lapsed_request_may_be_made_again_and_another_trigger_is_no_other_question():
    office, request = asked()
    other = replace(office.present(), decision="another trigger")
    assert office.state.standing_request(other) == request
    assert office.state.standing_request(replace(other, policy="p9")) is None
    no, _ = asked()
    no.answer("rejection", 2)
    assert no.state.standing_request(other).state == "rejected"
    office.now += dt.timedelta(days=DAYS + 1)
    office.settle()
    assert office.state.standing_request(other) is None


def test_what_was_approved_and_has_left_production_is_a_new_question():
    office, _ = asked()
    office.answer("approval", 2)
    office.production = 1
    assert office.state.standing_request(office.present()) is None
    office.decide(2, 1)
    assert office.state.pending.version == 2
    office.answer("rejection", 2)
    assert office.state.standing_request(office.present()).state == "rejected"
    office.write(
        "approval", "version 2", "Ann", request=None, override=True
    )  # against the rejection
    assert office.state.standing_request(office.present()) is None


@pytest.mark.parametrize("act", ["promotion intent", "approval lapsed"])
def test_an_approval_is_unused_until_a_move_or_a_lapse_names_it(act):
    office = Office()
    assert office.state.unused_approval is None
    approval = office.write("approval", "version 2", "Ann", request=None, override=False)
    office.write("drop accepted", "2024-04-30")
    assert office.state.unused_approval == approval
    office.write(act, "version 2", approval=approval.digest)
    assert office.state.unused_approval is None
