"""What was in production then: the version, since when, by whom, why and by which decision."""

import datetime as dt
from functools import partial

import pytest

from churn_platform.audit.past import was_in_production
from churn_platform.base.errors import UsageError
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import open_home

SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def promoted_twice(february_decided_copy):
    february_decided_copy.decision_maker.carry_out()
    return open_home(february_decided_copy.folder)


def activated(home):
    """When the version in production was activated."""
    return dt.datetime.fromisoformat(home.releases.pointer().activate_at)


def asked(home, moment, now=None):
    """The answer for a moment, or for a date, at `now`."""
    text = moment if isinstance(moment, str) else moment.isoformat()
    return was_in_production(home.ledger, home.records, now or home.now(), text)


def test_each_version_answers_for_its_own_time_with_its_decision(promoted_twice):
    home = promoted_twice
    first, _ = home.ledger.receipts("promotion done")
    turned = activated(home)
    later = turned + SECOND
    before = asked(home, turned - dt.timedelta(microseconds=1), later)
    assert (before.version, before.before, before.until) == (1, None, turned.isoformat())
    assert before.receipt.digest == first.digest
    assert before.decision.as_of == "2024-01-31"
    now = asked(home, turned, later)
    assert (now.version, now.before, now.until, now.by) == (2, 1, None, "tester")
    decision = home.decisions.newest()
    assert now.decision.digest == decision.digest
    assert (now.decision.as_of, now.reason) == ("2024-02-29", decision.reason)
    assert now.decision.candidate_auc == decision.candidate_auc


def test_before_the_first_promotion_nothing_was_in_production(january, january_decided):
    found = asked(january, "2024-02-15")
    assert list(found.as_json()) == ["at", "version", "sentence"]
    assert found.version is None
    assert "2024-02-15 23:59:59 UTC: the first was version 1" in found.sentence
    assert asked(january_decided, "2024-02-15").version is None


def test_today_is_now_and_the_future_is_wrong_use(january):
    moment = activated(january) + SECOND
    found = asked(january, moment.date().isoformat(), moment)
    assert (found.version, found.at) == (1, moment.isoformat())
    with pytest.raises(UsageError) as failed:
        asked(january, (moment.date() + dt.timedelta(days=1)).isoformat(), moment)
    assert failed.value.code == "DATE_INVALID"


def test_a_decision_whose_record_is_gone_is_named_by_its_digest_alone(promoted_twice):
    for path in (promoted_twice.folder / "ledger" / "decisions").iterdir():
        path.unlink()
    moment = activated(promoted_twice) + SECOND
    assert list(asked(promoted_twice, moment, moment).decision.as_json()) == ["digest"]


def test_the_approval_of_the_decision_is_part_of_the_answer(promoted_twice):
    """An approval before the change that names its decision, and one of another decision."""
    first, second = promoted_twice.ledger.receipts("promotion done")
    own = {"decision": second.evidence["decision"]}
    two = {"subject": "version 2", "reason": "I looked at it."}
    write = partial(record_act, promoted_twice.ledger)
    write(actor="Ann", act="approval", **two, evidence=own | {"override": True})
    write(actor="Bob", act="approval", **two, evidence={"decision": "other"})
    moves = {"before": "version 1", "after": "version 2"}
    write(actor="Ann", act="promotion done", **two, **moves, evidence=own)
    moment = promoted_twice.now() + 5 * SECOND
    found = asked(promoted_twice, moment, moment)
    assert (found.approval.by, found.approval.override) == ("Ann", True)
    assert asked(promoted_twice, first.evidence["activate_at"], moment).approval is None
