"""What receipts leave standing, folded one by one, and when a daemon counts as dead."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from churn_platform.alerting.watching import DAEMON_SILENT_SECONDS, DagsterState, Standing
from churn_platform.ledger import receipts as ledger

START = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)


def standing(*acts):
    """The standing after (act, subject) receipts, one a day."""
    found, head = Standing(), None
    for day, (act, subject) in enumerate(acts):
        time = (START + dt.timedelta(days=day)).isoformat()
        head = ledger.append(head, time=time, actor="ada", act=act, subject=subject, reason="So.")
        found.take(head)
    return found


def test_a_request_waits_until_it_is_answered():
    asked = ("approval requested", "version 2")
    assert standing(asked).waiting_since == START
    for answer in ("approval", "rejection", "approval lapsed", "promotion done"):
        assert standing(asked, (answer, "version 2")).waiting is None
        assert standing(asked, (answer, "version 1")).waiting == "version 2"


def test_a_newer_request_takes_the_place_of_an_older_one():
    found = standing(
        ("approval requested", "version 2"),
        ("approval requested", "version 3"),
        ("approval", "version 2"),
    )
    assert (found.waiting, found.waiting_since) == ("version 3", START + dt.timedelta(days=1))


def test_a_stand_down_lasts_until_it_ended():
    began = ("stand-down began", "version 1")
    assert standing(began).stands_down == "version 1"
    assert standing(began, ("stand-down ended", "version 1")).stands_down is None


@given(st.lists(st.sampled_from(["decision", "drop accepted", "promotion done"]), max_size=20))
def test_every_receipt_is_counted_under_its_act_with_the_time_of_the_newest(acts):
    found = standing(*((act, "it") for act in acts))
    assert found.receipts == len(acts)
    assert found.counts == {act: acts.count(act) for act in acts}
    newest = {act: START + dt.timedelta(days=len(acts) - 1 - acts[::-1].index(act)) for act in acts}
    assert found.last == newest


def test_a_daemon_is_dead_once_all_of_its_parts_are_silent():
    assert DagsterState({}, {}).daemon_alive(1000.0) is None
    state = DagsterState({"sensor": 100.0, "scheduler": 50.0}, {})
    assert state.daemon_alive(100.0 + DAEMON_SILENT_SECONDS) is True
    assert state.daemon_alive(100.1 + DAEMON_SILENT_SECONDS) is False
