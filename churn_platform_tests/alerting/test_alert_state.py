"""What is kept of alerts survives, holds no secret, and a damaged file tells nobody the history."""

import datetime as dt

from churn_platform.alerting.alert_state import (
    KEPT_NOTICES,
    Delivered,
    State,
    read_state,
    write_state,
)
from churn_platform.alerting.messages import Message

NOW = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)


def test_a_state_is_read_as_it_was_written(tmp_path):
    state = State(
        receivers={"json 1": Delivered(sequence=3, failures=1, tried=NOW, error="answered 500")},
        down={"The daemon": NOW},
    )
    state.notify(Message("t", "b", "failure"), NOW)
    write_state(tmp_path / "alerts.json", state)
    assert read_state(tmp_path / "alerts.json") == state


def test_a_file_that_is_absent_or_damaged_is_a_new_state(tmp_path):
    assert read_state(tmp_path / "alerts.json") == State()
    (tmp_path / "alerts.json").write_text('{"receivers": {"json 1": {"seq')
    assert read_state(tmp_path / "alerts.json") == State()


def test_of_many_notices_the_newest_stay_with_their_numbers():
    state = State()
    for number in range(KEPT_NOTICES + 5):
        state.notify(Message(f"notice {number}", "", "info"), NOW)
    assert len(state.notices) == KEPT_NOTICES
    assert (state.notices[0].number, state.last_notice) == (6, KEPT_NOTICES + 5)
