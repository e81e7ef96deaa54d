"""One message to one real receiver, and why it did not arrive, without the secrets of its URL."""

import logging
import subprocess
import sys
import time

import pytest

from churn_platform.alerting import channels
from churn_platform.alerting.channels import Attachment, Channel, named, receives
from churn_platform.alerting.dagster_ui import free_port
from churn_platform.alerting.messages import Message
from churn_platform_tests.system.receiver import mailbox, mute, receiving


def send(url, message, attachments=()):
    return channels.send(Channel(url), message, attachments)


HELLO = Message("gym: promoted version 2", "Better by <0.1> & more.\n\nGATE001: pass.", "success")


def test_a_message_arrives_as_it_is_with_its_severity():
    with receiving() as receiver:
        assert send(receiver.url, HELLO) is None
    assert receiver.got == [{"title": HELLO.title, "body": HELLO.body, "type": "success"}]


def test_a_mail_shows_the_title_as_subject_and_the_body_as_it_is_once_to_each_person():
    long = (
        "GATE001 Beats production: FAIL. "
        + "The candidate's AUC of 0.71 <is> below & für niemanden gut. " * 5
    )
    message = Message(
        "gym: version 2 is refused", f"Version 1 stays in production.\n\n{long.strip()}", "warning"
    )
    with mailbox() as (url, got):
        assert send(url, message) is None
    assert sorted(mail["To"] for mail in got) == ["ann@gym.example", "bob@gym.example"]
    for mail in got:
        assert (mail["Subject"], mail["From"]) == (message.title, "churn@gym.example")
        assert mail.get_content_type() == "text/plain"
        assert mail.get_content().replace("\r\n", "\n").strip() == message.body


@pytest.mark.parametrize("status", [404, 500])
def test_a_receiver_that_answers_an_error_is_named_by_its_status(status):
    with receiving() as receiver:
        receiver.status = status
        assert send(receiver.url, HELLO) == f"answered {status}"


def test_a_receiver_that_is_away_could_not_be_reached():
    assert send(f"json://127.0.0.1:{free_port()}/hook", HELLO) == "could not be reached"


def test_a_receiver_that_never_answers_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr(channels, "SECONDS", 0.5)
    with mute() as url:
        started = time.monotonic()
        assert send(url, HELLO).startswith("did not answer within")
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("url", ["nonsense://xyz", "https://", "slack://bad", "pa55word"])
def test_a_url_that_apprise_does_not_know_is_said(url):
    assert send(url, HELLO) == "is not a URL that Apprise knows"


def test_nothing_of_the_url_reaches_a_log_even_at_the_lowest_level(caplog, capfd):
    with receiving() as receiver, caplog.at_level(logging.DEBUG):
        send(receiver.url, HELLO)
        receiver.status = 500
        send(receiver.url, HELLO)
        send(f"json://tester:pa55word@127.0.0.1:{free_port()}/s3cret-token", HELLO)
        send("nonsense://pa55word", HELLO)
    printed = capfd.readouterr()
    for secret in ("pa55word", "s3cret-token"):
        assert secret not in caplog.text + printed.out + printed.err


def test_a_name_tells_the_kind_and_the_place_of_a_receiver_and_nothing_else():
    urls = ["slack://A/B/s3cret", "json://x:pa55word@host/s3cret", "pa55word", "JSONS://h"]
    assert list(named(urls)) == ["slack 1", "json 2", "receiver 3", "jsons 4"]
    assert [channel.url for channel in named(urls).values()] == urls


def test_tags_say_who_is_sent_what():
    urls = ["mailto://ops", "team=mailto://retention", "alerts,approver=slack://a", "teem=json://x"]
    found = named(urls)
    assert list(found) == ["mailto 1", "mailto 2", "slack 3", "json 4"]
    assert [channel.url for channel in found.values()] == [
        "mailto://ops",
        "mailto://retention",
        "slack://a",
        "json://x",
    ]
    assert [one for one in found if found[one].takes_alerts] == ["mailto 1", "slack 3", "json 4"]
    assert {one: receives(found, one) for one in found} == {
        "mailto 1": ("manager",),  # the others have channels of their own
        "mailto 2": ("team",),
        "slack 3": ("manager", "approver"),
        "json 4": ("manager",),
    }
    # Apprise would ignore the tag and send the team's page to everybody.
    assert "alerts, team, manager, approver" in channels.send(found["json 4"], HELLO)


def test_a_url_with_an_equals_sign_has_no_tag():
    urls = ["json://host/?to=mailto://x", "mailto://h?from=a&to=b"]
    assert [channel.url for channel in named(urls).values()] == urls
    assert all(not channel.tags for channel in named(urls).values())


def test_a_file_arrives_where_the_channel_takes_files_and_the_text_everywhere():
    page = Attachment("report.html", "<p>ä</p>".encode(), "text/html")
    with mailbox() as (url, got):
        assert send(url, HELLO, [page]) is None
    text, file = got[0].iter_parts()
    assert text.get_content().replace("\r\n", "\n").strip() == HELLO.body
    assert (file.get_filename(), file.get_content_type()) == ("report.html", "text/html")
    assert file.get_payload(decode=True) == page.content
    with receiving() as receiver:
        assert send(receiver.url, HELLO, [page]) is None
        assert receiver.got[0]["attachments"][0]["filename"] == "report.html"
        # Gotify takes no files.
        assert send(f"gotify://127.0.0.1:{receiver.port}/s3cret-token", HELLO, [page]) is None
    assert receiver.got[1]["body"] == HELLO.body


def test_apprise_is_imported_only_to_send():
    code = "import sys; import churn_platform.alerting.alerts; assert 'apprise' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
