"""What was in production then: the version, since when, who, why, by which decision, in place of what."""

import datetime as dt
from functools import partial

import pytest

from churn_platform.audit.past import was_in_production
from churn_platform.base.errors import UsageError
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import open_home


def text(moment):
    return moment.isoformat()


@pytest.fixture
def promoted_twice(february_decided_copy):
    february_decided_copy.decision_maker.carry_out()
    return open_home(february_decided_copy.folder)


def asked(home, moment):
    return was_in_production(home.ledger, home.records, home.now(), moment)


def test_each_version_answers_for_its_own_time_with_its_decision(promoted_twice):
    first, second = promoted_twice.ledger.receipts("promotion done")
    turned = dt.datetime.fromisoformat(second.evidence["activate_at"])
    home = open_home(promoted_twice.folder, now=lambda: turned + dt.timedelta(hours=1))
    before = asked(home, text(turned - dt.timedelta(microseconds=1)))
    assert (before["version"], before["before"], before["until"]) == (1, None, turned.isoformat())
    assert before["receipt"]["digest"] == first.digest
    assert before["decision"]["as_of"] == "2024-01-31"
    now = asked(home, text(turned))
    assert (now["version"], now["before"], now["until"], now["by"]) == (2, 1, None, "tester")
    decision = home.decisions.newest()
    assert now["decision"]["digest"] == decision.digest
    assert (now["decision"]["as_of"], now["reason"]) == ("2024-02-29", decision.reason)
    assert now["sentence"].startswith(
        "Version 2 was in production: tester put it there by a promotion"
    )
    assert "in place of version 1. It is in production to this day." in now["sentence"]


def test_before_the_first_promotion_the_answer_is_that_nothing_was(january, january_decided):
    found = asked(january, "2024-02-15")
    assert found["version"] is None
    assert found["sentence"].startswith(
        "Nothing was in production on 2024-02-15 23:59:59 UTC: the first was version 1"
    )
    never = asked(january_decided, "2024-02-15")
    assert never["sentence"].endswith("no model has ever been promoted in this home.")


def test_today_is_now_and_the_future_is_wrong_use(january):
    moment = dt.datetime.fromisoformat(january.releases.pointer().activate_at) + dt.timedelta(
        seconds=1
    )
    home = open_home(january.folder, now=lambda: moment)
    found = asked(home, moment.date().isoformat())
    assert (found["version"], found["at"]) == (1, moment.isoformat())
    with pytest.raises(UsageError, match="is in the future"):
        asked(home, (moment.date() + dt.timedelta(days=1)).isoformat())


def test_a_decision_whose_record_is_gone_is_named_by_its_digest_alone(promoted_twice):
    for path in (promoted_twice.folder / "ledger" / "decisions").iterdir():
        path.unlink()
    moment = dt.datetime.fromisoformat(
        promoted_twice.releases.pointer().activate_at
    ) + dt.timedelta(seconds=1)
    home = open_home(promoted_twice.folder, now=lambda: moment)
    assert list(asked(home, moment.isoformat())["decision"]) == ["digest"]


def test_who_approved_the_decision_is_told(promoted_twice):
    """An approval that came before the move and names its decision, made into a second move."""
    first, second = promoted_twice.ledger.receipts("promotion done")
    evidence = {"decision": second.evidence["decision"], "override": True}
    append = partial(record_act, promoted_twice.ledger)
    append(
        actor="Ann",
        act="approval",
        subject="version 2",
        reason="I looked at it.",
        evidence=evidence,
    )
    append(
        actor="Bob",
        act="approval",
        subject="version 1",
        reason="Another.",
        evidence={"decision": "other"},
    )
    moment = promoted_twice.now() + dt.timedelta(seconds=5)
    done = {
        "subject": "version 2",
        "before": "version 1",
        "after": "version 2",
        "reason": "Approved by Ann.",
    }
    append(
        actor="Ann",
        act="promotion done",
        **done,
        evidence={"decision": second.evidence["decision"]},
    )
    home = open_home(promoted_twice.folder, now=lambda: moment)
    found = asked(home, moment.isoformat())
    assert (found["approval"]["by"], found["approval"]["override"]) == ("Ann", True)
    earlier = asked(home, first.evidence["activate_at"])
    assert earlier["approval"] is None
