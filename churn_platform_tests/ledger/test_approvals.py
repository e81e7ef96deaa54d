"""Requests for approval: whatever happens in whatever order, at most one waits, and nothing passes without an approval."""

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.promotion.approvals import lapse
from churn_platform_tests.ledger.office import DAYS, START, Office

EVENTS = ["decide", "decide", "approval", "approval", "rejection", "days", "policy", "tamper"]
MORE = [*EVENTS, "remake", "roll back"]


def after(events):
    office = Office()
    for event, value in events:
        office.happen(event, value)
        assert sum(request.state == "pending" for request in office.state.requests) <= 1
    return office


@given(st.lists(st.tuples(st.sampled_from(MORE), st.integers(0, 20)), max_size=40))
@settings(max_examples=200, deadline=None)
def test_nothing_moves_without_an_approval_of_exactly_it_and_each_request_has_one_answer(events):
    office = after(events)
    approvals = [receipt for receipt in office.receipts if receipt.act == "approval"]
    for (asked, present, now, request), approval in zip(office.moved, approvals, strict=True):
        assert asked == present
        assert now <= dt.datetime.fromisoformat(request.until)
        assert approval.evidence["request"] == request.receipt
    answers = [r.evidence["request"] for r in office.receipts if "request" in r.evidence]
    assert len(answers) == len(set(answers))


@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from([0, 1, 4, 5])), max_size=20))
@settings(max_examples=200, deadline=None)
def test_a_rejected_candidate_is_not_asked_for_again_on_the_same_evidence(events):
    answers = {}
    for request in after(events).state.requests:
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
    ("changes", "fact"),
    [
        ({"version": 3}, "Version 3 is the candidate"),
        ({"policy": "p9"}, "policy"),
        ({"candidate": "c9"}, "digest of version 2"),
        ({"dataset": "t9"}, "data that version 2"),
        ({"decision": "d9"}, "decision on version 2"),
    ],
)
def test_each_change_of_what_was_judged_lapses_the_request(changes, fact):
    office, request = asked(**changes)
    assert fact in lapse(request, office.present(), office.now)


def test_a_request_lapses_when_production_moves_elsewhere_or_its_days_are_over():
    office, request = asked()
    present = office.present()
    assert "from version 1 to no model" in lapse(
        request, replace(present, production=None), office.now
    )
    assert lapse(request, replace(present, production=2), office.now) is None
    last = START + dt.timedelta(days=DAYS)
    assert lapse(request, present, last) is None
    assert "2024-03-15 06:00 UTC" in lapse(request, present, last + dt.timedelta(seconds=1))


@pytest.mark.parametrize(
    ("act", "state"),
    [(None, "pending"), ("rejection", "rejected"), ("approval", "approved"), ("days", "lapsed")],
)
def test_the_record_of_a_request_has_its_answer(act, state):
    office, _ = asked()
    if act == "days":
        office.now += dt.timedelta(days=DAYS + 1)
        office.settle()
    elif act is not None:
        office.answer(act, 2)
    found = office.state.answers("d1").approval
    assert (found.version, found.state, found.since) == (2, state, START.isoformat())
    assert found.until == "2024-03-15T06:00:00+00:00"
    answered = {"pending": None, "lapsed": "tester"}.get(state, "Ann")
    assert (found.by, found.reason) == (answered, answered and "why")
    assert (office.state.why_not_waiting(2) is None) == (state == "pending")
    if answered:
        assert office.state.why_not_waiting(2) == found.sentence
        assert found.at in (START.isoformat(), office.now.isoformat())
    assert "version 3" in office.state.why_not_waiting(3).lower()


def test_a_newer_request_closes_an_older_one_and_an_answer_to_another_answers_nothing():
    office, older = asked()
    office.write("approval", 2, "Ann", request="0" * 64, override=False)
    assert office.state.pending == older
    office.ask(replace(office.present(), version=3))
    first, second = office.state.requests
    assert (first.receipt, first.state, second.state) == (older.receipt, "lapsed", "pending")
    assert "Version 3" in first.answer.reason


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
    office.answer("rejection", 2)
    assert office.state.standing_request(office.present()).state == "rejected"
    office.write("approval", 2, "Ann", request=None, override=True)  # against the rejection
    assert office.state.standing_request(office.present()) is None


@pytest.mark.parametrize("act", ["promotion intent", "approval lapsed"])
def test_an_approval_is_unused_until_a_change_or_a_lapse_names_it(act):
    office = Office()
    assert office.state.unused_approval is None
    approval = office.write("approval", 2, "Ann", request=None, override=False)
    office.write("version blocked", 3)
    assert office.state.unused_approval == approval
    office.write(act, 2, approval=approval.digest)
    assert office.state.unused_approval is None
