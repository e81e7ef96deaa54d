"""Which receipts are news for people, in which words, and how long a receiver that failed is left alone."""

import datetime as dt
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_platform.alerting.messages import (
    FIRST_WAIT,
    LONGEST_WAIT,
    RULES,
    message_of,
    next_try,
    repeats,
    result_lines,
)
from churn_platform.ledger import receipts as ledger
from churn_platform.ledger.receipts import (
    ApprovalAct,
    DropAct,
    PromotionAct,
    ProposalAct,
    RetrainingAct,
    RollbackAct,
    StateAct,
)

NOW = dt.datetime(2024, 2, 1, 6, tzinfo=dt.UTC)
ACTS = [
    act
    for group in (
        DropAct,
        RetrainingAct,
        ApprovalAct,
        PromotionAct,
        RollbackAct,
        ProposalAct,
        StateAct,
    )
    for act in get_args(group)
]
FINDINGS = [
    {"code": "GATE001", "title": "Beats production", "outcome": "pass", "detail": "It is better."},
    {
        "code": "GATE002",
        "title": "Interval above zero",
        "outcome": "fail",
        "detail": "It may be luck.",
    },
    {"code": "GATE008", "title": "Forward value", "outcome": "warn", "detail": "It may not last."},
    {
        "code": "GATE009",
        "title": "No slice worse",
        "outcome": "not_applicable",
        "detail": "No slice.",
    },
]


def receipt(act, subject="version 2", **fields):
    given_fields = {"reason": "Because.", "evidence": {}, **fields}
    return ledger.append(
        None, time=NOW.isoformat(), actor="ada", act=act, subject=subject, **given_fields
    )


def decided(outcome):
    return {"decision": outcome, "candidate_version": 2, "findings": FINDINGS}


def test_a_refusal_is_told_with_its_findings_and_what_stays():
    made = message_of(
        receipt("decision", before="version 1", after="refused", reason="It may be luck."),
        "gym",
        decided("refused"),
    )
    assert (made.title, made.severity) == ("gym: version 2 is refused", "warning")
    reason, action, *results, signed = made.body.split("\n\n")
    assert reason == "It may be luck."
    assert [fact in action for fact in ("Version 1", "`churn decision`")] == [True, True]
    assert results == [
        "GATE002 Interval above zero: FAIL. It may be luck.",
        "GATE008 Forward value: warn. It may not last.",
        "GATE001 Beats production: pass. It is better.",
    ]
    assert signed == "Alert CANDIDATE_REFUSED, receipt 1, 2024-02-01 06:00:00 UTC, by ada."


def test_a_first_candidate_that_is_refused_leaves_no_model():
    made = message_of(receipt("decision", after="refused"), "gym", decided("refused"))
    assert "no model in production" in made.body


def test_a_promotion_is_one_message_of_the_four_receipts_that_it_writes():
    acts = ["decision", "promotion intent", "release published", "promotion done"]
    told = [message_of(receipt(act, after="promoted"), "gym", decided("promoted")) for act in acts]
    assert [made.title for made in told if made] == ["gym: promoted version 2"]
    assert told[-1].severity == "success"
    assert "GATE001 Beats production: pass. It is better." in told[-1].body


def test_production_that_was_kept_is_news_only_when_the_candidate_had_been_approved():
    kept = receipt("production kept", "version 1", reason="The policy has changed.")
    assert message_of(kept, "gym", decided("refused")) is None
    assert message_of(kept, "gym", None) is None
    assert "Alert PROMOTION_NOT_DONE, " in message_of(kept, "gym", decided("promoted")).body


@pytest.mark.parametrize("trigger", ["first", "drift", "schedule", "performance"])
def test_only_a_retraining_that_performance_asked_for_is_told(trigger):
    made = message_of(
        receipt("retraining requested", "2024-02-29", evidence={"trigger": trigger}), "gym", None
    )
    assert (None if made is None else made.title) == (
        "gym: performance fell" if trigger == "performance" else None
    )


def test_a_retraining_that_was_skipped_is_told_only_when_performance_fell():
    skipped = receipt("retraining skipped", "2024-02-29", evidence={"fallen": None})
    assert message_of(skipped, "gym", None) is None
    fell = receipt("retraining skipped", "2024-02-29", evidence={"fallen": "It fell."})
    made = message_of(fell, "gym", None)
    assert (made.title, made.severity) == ("gym: performance fell", "failure")
    assert "Alert PERFORMANCE_FELL, " in made.body


@pytest.mark.parametrize(
    ("act", "title", "severity"),
    [
        ("approval requested", "version 2 waits for approval", "warning"),
        ("drop refused", "the drop of version 2 is refused", "failure"),
        ("stand-down began", "version 2 stands down", "failure"),
        ("stand-down ended", "version 2 no longer stands down", "success"),
        ("warnings raised", "warnings about version 2", "warning"),
        ("rollback done", "rolled back to version 1", "warning"),
        ("promotion proposed", "a promotion is proposed: version 2", "info"),
        ("rollback proposed", "a rollback is proposed: version 2", "warning"),
    ],
)
def test_each_event_of_the_list_has_its_message(act, title, severity):
    made = message_of(receipt(act, after="version 1"), "gym", None)
    assert (made.title, made.severity) == (f"gym: {title}", severity)
    assert made.body.startswith("Because.")
    assert f"Alert {act.upper().replace(' ', '_').replace('-', '_')}, receipt 1, " in made.body


def test_every_act_in_the_list_is_one_of_the_ledger():
    assert set(RULES) <= set(ACTS)


@given(act=st.sampled_from(ACTS), after=st.sampled_from([None, "refused", "promoted", "version 1"]))
def test_any_receipt_gives_a_whole_message_or_none(act, after):
    made = message_of(receipt(act, after=after), "gym", decided("promoted"))
    assert made is None or (
        "None" not in made.title + made.body
        and "{" not in made.title
        and made.body.count("\n\nAlert ") == 1
    )


def test_not_applicable_findings_are_left_out():
    assert not [line for line in result_lines(decided("refused")) if "GATE009" in line]


def test_the_same_files_refused_again_repeat_and_changed_files_do_not():
    first = receipt("drop refused", "2024-01-31", evidence={"fingerprint": "a"})
    assert repeats(receipt("drop refused", "2024-01-31", evidence={"fingerprint": "a"}), first)
    assert not repeats(receipt("drop refused", "2024-01-31", evidence={"fingerprint": "b"}), first)
    assert not repeats(receipt("drop refused", "2024-02-29", evidence={"fingerprint": "a"}), first)
    promotion = receipt("promotion done")
    assert not repeats(promotion, promotion)


@given(failures=st.integers(1, 10_000))
def test_a_receiver_that_goes_on_failing_is_asked_ever_later_up_to_a_limit(failures):
    wait = next_try(failures, NOW) - NOW
    assert FIRST_WAIT <= wait <= LONGEST_WAIT
    assert wait <= next_try(failures + 1, NOW) - NOW <= max(2 * wait, FIRST_WAIT)


def test_the_first_waits_are_minutes():
    assert [(next_try(n, NOW) - NOW) // FIRST_WAIT for n in (1, 2, 3, 4)] == [1, 2, 4, 8]


def test_a_refused_training_is_told_with_its_reason():
    made = message_of(
        receipt("training refused", "2024-03-31", reason="Too few churners."), "gym", None
    )
    assert (made.title, made.severity) == (
        "gym: no candidate can be trained for 2024-03-31",
        "warning",
    )
    assert made.body.startswith("Too few churners.")
