"""Following the ledger: every event once to every receiver, whatever fails; tested against real HTTP receivers."""

import datetime as dt
import json
import threading
import time

import pytest
from pydantic import SecretStr

from churn_platform.alerting import alerts, channels
from churn_platform.alerting.dagster_ui import free_port
from churn_platform.alerting.messages import MOST_TRIES, OLDEST
from churn_platform.base.settings import Settings
from churn_platform.ingestion.validation import DropRefused
from churn_platform.services import Services
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import JANUARY, deliver, make_home, month_tables, open_home
from churn_platform_tests.system.receiver import mute, receiving


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = dt.datetime(2024, 2, 1, 6, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += dt.timedelta(**span)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watched(tmp_path, clock):
    """Make the home's alerts for some URLs, as a new process would."""
    make_home(tmp_path / "home")

    def opened(*urls, **settings):
        chosen = Settings(
            home=tmp_path / "home", actor="ada", alert_urls=SecretStr("\n".join(urls)), **settings
        )
        return Services(chosen, clock).alerts

    return opened


@pytest.fixture
def receiver():
    with receiving() as made:
        yield made


def promoted(alerter, *versions):
    for version in versions or (1,):
        record_act(alerter.ledger, act="promotion done", subject=f"version {version}")


@pytest.fixture
def alerter(watched, receiver):
    """The alerts of a home with one channel that is followed already."""
    made = watched(receiver.url)
    made.begin()
    return made


def test_every_event_is_told_once_in_order_also_by_the_next_process(alerter, watched, receiver):
    promoted(alerter)
    record_act(alerter.ledger, act="drop accepted", subject="2024-01-31")
    promoted(alerter, 2)
    assert alerter.send().sent == 2
    assert watched(receiver.url).send().sent == 0
    assert receiver.titles == ["gym: promoted version 1", "gym: promoted version 2"]


def test_a_decision_is_told_with_the_sentences_of_its_findings(february_decided_copy, receiver):
    home = open_home(february_decided_copy.folder, alert_urls=receiver.url)
    home.alerts.begin()
    home.decision_maker.carry_out()
    home.alerts.send()
    assert receiver.titles == ["gym: promoted version 2"]
    found = [f.detail for f in home.decisions.newest().findings if f.outcome != "not_applicable"]
    assert len(found) > 5
    assert all(detail in receiver.got[0]["body"] for detail in found)


def test_the_history_of_an_old_home_is_not_sent(watched, receiver):
    promoted(watched(), *range(1, 200))
    assert watched(receiver.url).send().sent == 0
    promoted(watched(), 200)
    assert watched(receiver.url).send().sent == 1
    assert receiver.titles == ["gym: promoted version 200"]


def test_a_receiver_that_is_added_later_hears_of_what_follows(alerter, watched, receiver):
    promoted(alerter)
    alerter.send()
    with receiving() as second:
        assert watched(receiver.url, second.url).send().sent == 0
        promoted(alerter, 2)
        assert watched(receiver.url, second.url).send().sent == 2
        assert second.titles == ["gym: promoted version 2"]


def test_what_could_not_be_sent_waits_and_is_sent_when_the_receiver_is_back(watched, clock):
    port = free_port()
    url = f"json://127.0.0.1:{port}/hook"
    alerter = watched(url)
    alerter.begin()
    promoted(alerter, 1, 2)
    [problem] = alerter.send().problems
    assert "json 1: it could not be reached" in problem
    (state,) = alerter.waiting()
    assert (state.unsent, state.failures, state.error) == (2, 1, "could not be reached")
    assert state.next_try == "2024-02-01T06:01:00+00:00"
    with receiving(port) as back:
        assert watched(url).send().sent == 0  # its time has not come
        clock.forward(minutes=2)
        assert watched(url).send().sent == 2
        assert back.titles == ["gym: promoted version 1", "gym: promoted version 2"]
    assert watched(url).waiting()[0].error == ""


def test_asking_by_hand_does_not_wait(alerter, receiver):
    promoted(alerter)
    receiver.status = 500
    alerter.send()
    receiver.status = 200
    assert alerter.send(anyway=True).sent == 1


def test_one_receiver_that_fails_takes_nothing_from_the_others(watched, receiver):
    alerter = watched(f"json://127.0.0.1:{free_port()}/x", receiver.url)
    alerter.begin()
    promoted(alerter, *(1, 2, 3))
    done = alerter.send()
    assert (done.sent, len(done.problems)) == (3, 1)
    assert [state.unsent for state in alerter.waiting()] == [3, 0]


def test_a_message_that_is_never_taken_makes_way_after_a_bounded_number_of_tries(
    alerter, clock, receiver
):
    promoted(alerter)
    receiver.status = 400
    rounds = 0
    while alerter.waiting()[0].unsent:
        alerter.send()
        clock.forward(hours=6)
        rounds += 1
        assert rounds <= MOST_TRIES
    assert rounds == MOST_TRIES
    receiver.status = 200
    promoted(alerter, 2)
    alerter.send()
    assert receiver.titles == ["gym: promoted version 2"]
    assert alerter.waiting()[0].lost == 1


def test_what_is_older_than_a_week_is_no_news(alerter, clock, receiver):
    promoted(alerter)
    clock.now += OLDEST + dt.timedelta(seconds=1)
    promoted(alerter, 2)
    alerter.send()
    assert receiver.titles == ["gym: promoted version 2"]
    assert alerter.waiting()[0].lost == 1


def test_a_receiver_that_never_answers_costs_one_wait_and_then_none(watched, monkeypatch):
    monkeypatch.setattr(channels, "SECONDS", 0.5)
    with mute() as url:
        alerter = watched(url)
        alerter.begin()
        for version in range(10):
            promoted(alerter, version + 1)
        started = time.monotonic()
        assert len(alerter.send().problems) == 1
        assert time.monotonic() - started < 3
        started = time.monotonic()
        for _ in range(20):
            assert alerter.send().problems == []
        assert time.monotonic() - started < 1


def test_two_processes_that_send_at_once_tell_every_event_once(watched, receiver):
    watched(receiver.url).begin()
    promoted(watched(), *range(1, 11))
    threads = [threading.Thread(target=lambda: watched(receiver.url).send()) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    watched(receiver.url).send()
    assert receiver.titles == [f"gym: promoted version {version}" for version in range(1, 11)]


def test_a_kill_between_two_messages_repeats_none_that_was_counted(watched, receiver, monkeypatch):
    class Killed(BaseException):
        pass

    def dies(*message):
        if receiver.got:
            raise Killed
        return sound(*message)

    sound = channels.send
    alerter = watched(receiver.url)
    alerter.begin()
    promoted(alerter, 1, 2)
    monkeypatch.setattr(channels, "send", dies)
    with pytest.raises(Killed):
        alerter.send()
    monkeypatch.undo()
    watched(receiver.url).send()
    assert receiver.titles == ["gym: promoted version 1", "gym: promoted version 2"]


def test_a_home_that_cannot_be_written_sends_nothing_rather_than_the_same_for_ever(
    watched, receiver, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    alerter = watched(receiver.url)
    alerter.begin()
    promoted(alerter)
    monkeypatch.setattr(alerts, "write_state", full)
    [problem] = alerter.send().problems
    assert "No space left on device" in problem
    assert receiver.got == []


def test_no_secret_of_a_url_is_in_any_file_of_the_home_or_in_a_settings_text(watched, receiver):
    alerter = watched(receiver.url, f"json://u:pa55word@127.0.0.1:{free_port()}/s3cret-token")
    alerter.begin()
    promoted(alerter)
    alerter.send()
    assert receiver.got
    written = b"".join(
        path.read_bytes() for path in alerter.home.folder.rglob("*") if path.is_file()
    )
    shown = (
        f"{alerter.home.settings!r} {alerter.waiting()} {alerter.home.settings.model_dump_json()}"
    )
    for secret in ("pa55word", "s3cret-token"):
        assert secret.encode() not in written
        assert secret not in shown


def test_receivers_can_stand_in_a_file_with_comments(watched, receiver, tmp_path):
    (tmp_path / "urls").write_text(
        f"# ops\n{receiver.url}\n\n  # off: json://127.0.0.1/x\n", encoding="utf-8"
    )
    alerter = watched(alert_urls_file=tmp_path / "urls")
    assert list(alerter.channels()) == ["json 1"]
    assert alerter.test() == [{"receiver": "json 1", "error": ""}]
    assert receiver.titles == ["gym: a test"]


def test_a_file_of_receivers_that_is_gone_is_said_and_stops_nothing(watched, tmp_path):
    alerter = watched(alert_urls_file=tmp_path / "gone")
    (problem,) = alerter.send().problems
    assert "CHURN_ALERT_URLS_FILE" in problem
    assert str(tmp_path / "gone") in problem


def test_the_same_refused_files_are_told_once_however_often_they_are_tried(alerter, receiver):
    tables = month_tables(JANUARY, 30)
    tables["members"]["months"] = "soon"
    deliver(alerter.home, JANUARY, tables)
    for _ in range(3):
        with pytest.raises(DropRefused):
            alerter.home.ingestion.publish(JANUARY)
        alerter.send()
    assert receiver.titles == ["gym: the drop of 2024-01-31 is refused"]
    assert "months" in receiver.got[0]["body"]
    deliver(alerter.home, JANUARY, {"members": tables["members"].head(20)})
    with pytest.raises(DropRefused):
        alerter.home.ingestion.publish(JANUARY)
    assert alerter.send().sent == 1


def test_what_stops_and_what_comes_back_is_told_once_each(alerter, watched, receiver):
    for up in (True, False, False, True, True, False):
        watched(receiver.url).seen("The daemon", up=up, sentence="No heartbeat for 300 s.")
    alerter.send()
    assert receiver.titles == [
        "gym: the daemon is down",
        "gym: the daemon runs again",
        "gym: the daemon is down",
    ]
    assert [message["type"] for message in receiver.got] == ["failure", "success", "failure"]
    assert receiver.got[0]["body"] == "No heartbeat for 300 s."
    promoted(alerter)
    assert watched(receiver.url).send().sent == 1
    assert receiver.titles[-1] == "gym: promoted version 1"


def test_a_ledger_that_was_put_back_from_a_backup_is_followed_from_there(alerter, receiver):
    promoted(alerter)
    files = (alerter.ledger.file, alerter.ledger.anchor_file)
    backup = [path.read_bytes() for path in files]
    promoted(alerter, 2)
    alerter.send()
    for path, content in zip(files, backup, strict=True):
        path.write_bytes(content)
    alerter.send()
    promoted(alerter, 3)
    assert alerter.send().sent == 1
    assert receiver.titles[-1] == "gym: promoted version 3"


def test_without_receivers_nothing_is_done_and_nothing_written(watched):
    alerter = watched()
    promoted(alerter)
    alerter.begin()
    alerter.seen("The daemon", up=False, sentence="")
    assert alerter.send() == alerts.Sent()
    assert alerter.waiting() == []
    assert not [path for path in alerter.home.folder.iterdir() if path.name.startswith("alerts")]


def test_a_quiet_round_writes_nothing(alerter, receiver):
    promoted(alerter)
    alerter.send()
    before = alerter.file.stat().st_mtime_ns
    for _ in range(5):
        alerter.send()
    assert alerter.file.stat().st_mtime_ns == before
    assert json.loads(alerter.file.read_text())["receivers"]["json 1"]["sent"] == 1


def test_what_is_given_up_is_told_once_for_one_piece_of_evidence(january_copy):
    with receiving() as receiver:
        home = open_home(january_copy.folder, alert_urls=receiver.url)
        home.alerts.begin()
        for evidence in ("files", "files", "mended files", "mended files"):
            home.alerts.gave_up("the monthly of 2024-02-29", evidence, "It failed 3 times.")
            home.alerts.send()
    assert receiver.titles == ["gym: the monthly of 2024-02-29 failed"] * 2
    assert receiver.got[0]["body"] == "It failed 3 times."


def test_a_refused_contract_is_told_once_until_it_was_accepted(january_copy):
    with receiving() as receiver:
        home = open_home(january_copy.folder, alert_urls=receiver.url)
        home.alerts.begin()
        for sentence in ("It lacks a.", "It lacks a.", "", "It lacks a."):
            if sentence:
                home.alerts.contract_refused(sentence)
            else:
                home.alerts.contract_accepted()
            home.alerts.send()
    assert receiver.titles == ["gym: the contract is refused"] * 2
    assert receiver.got[0]["body"] == "It lacks a."
