"""Which receipts are news for people, in which words, and how long a receiver that failed is left alone."""

import datetime as dt

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
)
from churn_platform.ledger.receipts import ACTS
from churn_platform_tests.gym import Written

NOW = dt.datetime(2024, 2, 1, 6, tzinfo=dt.UTC)
FINDINGS = [
    {"code": code, "title": title, "outcome": outcome, "detail": detail}
    for code, title, outcome, detail in (
        ("GATE001", "Beats production", "pass", "It is better."),
        ("GATE002", "Interval above zero", "fail", "It may be luck."),
        ("GATE008", "Forward value", "warn", "It may not last."),
        ("GATE009", "No slice worse", "not_applicable", "No slice."),
    )
]


def receipt(act, subject="version 2", **fields):
    written = Written(**{"act": act, "subject": subject, "reason": "Because."} | fields)
    return written.receipt(None, NOW.isoformat(), "ada")


def message(act, subject="version 2", decision=None, **fields):
    """The message of a receipt for the gym."""
    return message_of(receipt(act, subject, **fields), "gym", decision and decided(decision))


def decided(outcome):
    return {"decision": outcome, "candidate_version": 2, "findings": FINDINGS}


def test_a_refusal_has_its_findings_and_what_stays():
    made = message(
        "decision",
        decision="refused",
        before="version 1",
        after="refused",
        reason="It may be luck.",
    )
    assert (made.title, made.severity) == ("gym: version 2 is refused", "warning")
    reason, action, *results, signed = made.body.split("\n\n")
    assert reason == "It may be luck."
    assert "Version 1" in action
    assert "`churn decision`" in action
    assert results == [
        "GATE002 Interval above zero: FAIL. It may be luck.",
        "GATE008 Forward value: warn. It may not last.",
        "GATE001 Beats production: pass. It is better.",
    ]
    assert signed == "Alert CANDIDATE_REFUSED, receipt 1, 2024-02-01 06:00:00 UTC, by ada."
    first = message("decision", decision="refused", after="refused")
    assert "no model in production" in first.body


def test_a_promotion_is_one_message_of_the_four_receipts_that_it_writes():
    acts = ["decision", "promotion intent", "release published", "promotion done"]
    sent = [message(act, decision="promoted", after="promoted") for act in acts]
    assert [made.title for made in sent if made] == ["gym: promoted version 2"]
    assert "GATE001 Beats production: pass. It is better." in sent[-1].body


@pytest.mark.parametrize(
    ("act", "fields", "title", "severity"),
    [
        ("promotion done", {}, "promoted version 2", "success"),
        ("approval requested", {}, "version 2 waits for approval", "warning"),
        ("drop refused", {}, "the drop of version 2 is refused", "failure"),
        ("training refused", {}, "no candidate can be trained for version 2", "warning"),
        ("stand-down began", {}, "version 2 stands down", "failure"),
        ("canary completed", {}, "the canary version 2 passed its last step", "info"),
        ("stand-down ended", {}, "version 2 no longer stands down", "success"),
        ("warnings raised", {}, "warnings about version 2", "warning"),
        ("rollback done", {"after": "version 1"}, "rolled back to version 1", "warning"),
        ("promotion proposed", {}, "a promotion is proposed: version 2", "info"),
        ("rollback proposed", {}, "a rollback is proposed: version 2", "warning"),
    ],
)
def test_each_event_of_the_list_has_its_message(act, fields, title, severity):
    made = message(act, **fields)
    assert (made.title, made.severity) == (f"gym: {title}", severity)
    assert made.body.startswith("Because.")
    assert f"Alert {act.upper().replace(' ', '_').replace('-', '_')}, receipt 1, " in made.body


@pytest.mark.parametrize(
    ("act", "evidence", "decision", "code"),
    [
        ("production kept", {}, "refused", None),
        ("production kept", {}, None, None),
        ("production kept", {}, "promoted", "PROMOTION_NOT_DONE"),
        ("retraining requested", {"trigger": "drift"}, None, None),
        ("retraining requested", {"trigger": "performance"}, None, "PERFORMANCE_FELL"),
        ("retraining skipped", {"fallen": None}, None, None),
        ("retraining skipped", {"fallen": "It fell."}, None, "PERFORMANCE_FELL"),
        ("canary ended", {"outcome": "stopped"}, None, "CANARY_STOPPED"),
        ("canary ended", {"outcome": "release changed"}, None, "CANARY_RELEASE_CHANGED"),
        ("canary ended", {"outcome": "production changed"}, None, "CANARY_PRODUCTION_CHANGED"),
        ("canary ended", {"outcome": "promoted"}, None, None),
        ("canary ended", {"outcome": "ended"}, None, None),
    ],
)
def test_some_acts_are_news_only_with_their_evidence(act, evidence, decision, code):
    made = message(act, decision=decision, evidence=evidence)
    assert (made is None) == (code is None)
    assert made is None or f"Alert {code}, " in made.body


def test_every_act_in_the_list_is_one_of_the_ledger():
    assert set(RULES) <= set(ACTS)


@given(act=st.sampled_from(ACTS), after=st.sampled_from([None, "refused", "promoted", "version 1"]))
def test_any_receipt_gives_a_whole_message_or_none(act, after):
    made = message(act, decision="promoted", after=after)
    assert made is None or (
        "None" not in made.title + made.body
        and "{" not in made.title
        and made.body.count("\n\nAlert ") == 1
    )


def test_the_same_files_refused_again_repeat_and_changed_files_do_not():
    def refused(month, files):
        return receipt("drop refused", month, evidence={"fingerprint": files})

    first = refused("2024-01-31", "a")
    assert repeats(refused("2024-01-31", "a"), first)
    assert not repeats(refused("2024-01-31", "b"), first)
    assert not repeats(refused("2024-02-29", "a"), first)
    promotion = receipt("promotion done")
    assert not repeats(promotion, promotion)


@given(failures=st.integers(1, 10_000))
def test_a_receiver_that_goes_on_failing_is_asked_ever_later_up_to_a_limit(failures):
    wait = next_try(failures, NOW) - NOW
    assert FIRST_WAIT <= wait <= LONGEST_WAIT
    assert wait <= next_try(failures + 1, NOW) - NOW <= max(2 * wait, FIRST_WAIT)
    assert [(next_try(n, NOW) - NOW) // FIRST_WAIT for n in (1, 2, 3, 4)] == [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("about", "state", "code", "severity"),
    [
        ("effect", "shown", "CAMPAIGN_EFFECT_SHOWN", "success"),
        ("effect", "harmful", "CAMPAIGN_EFFECT_HARMFUL", "failure"),
        ("effect", "withheld", "CAMPAIGN_EFFECT_WITHHELD", "warning"),
        ("contamination", "high", "CAMPAIGN_CONTAMINATION_HIGH", "warning"),
    ],
)
def test_what_is_known_of_contacting_is_news(about, state, code, severity):
    made = message(
        "campaign effect changed", "2024-03-31", evidence={"about": about, "state": state}
    )
    assert made.severity == severity
    assert "2024-03-31" in made.title
    assert f"Alert {code}, " in made.body


@pytest.mark.parametrize(
    ("about", "state"), [("effect", "not yet shown"), ("contamination", "low")]
)
def test_the_end_of_it_is_no_news(about, state):
    assert (
        message("campaign effect changed", "2024-03-31", evidence={"about": about, "state": state})
        is None
    )
