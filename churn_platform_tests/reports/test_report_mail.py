"""The monthly report by mail: once for a new month, to its readers, without keys unless allowed."""

import base64
import io

import pandas as pd
import pytest
import yaml
from pydantic import SecretStr

from churn_platform.alerting import channels
from churn_platform.alerting.dagster_ui import free_port
from churn_platform.reports.monthly.mailing import WITHOUT_KEYS
from churn_platform.services import Services
from churn_platform_tests.contacts_business import NOW
from churn_platform_tests.gym import record_act
from churn_platform_tests.small_business import FEBRUARY, JANUARY
from churn_platform_tests.system.receiver import mailbox, receiving


@pytest.fixture
def home(planned_copy):
    """A home whose policy sends the team's and the manager's page; nothing of it is due."""
    write_policy(planned_copy, send=["team", "manager"])
    return planned_copy


def write_policy(home, **reports):
    file = home.folder / "contract.yaml"
    declared = yaml.safe_load(file.read_text())
    declared["policy"]["reports"] = reports
    file.write_text(yaml.safe_dump(declared, sort_keys=False))


def opened(home, *urls, now=NOW, **settings):
    """The home as a new process with these channels opens it."""
    chosen = home.settings.model_copy(update={"alert_urls": SecretStr(" ".join(urls)), **settings})
    return Services(chosen, lambda: now)


def begun(home, *urls):
    """The channels are followed since before February."""
    opened(home, *urls).alerts.begin()
    state = home.folder / "alerts.json"
    state.write_text(state.read_text().replace(str(FEBRUARY), str(JANUARY)))


def test_each_reader_is_sent_a_new_report_once(home):
    with mailbox() as (mail, got), receiving() as ops:
        team = f"team={mail}"
        begun(home, team, ops.url)
        home.monthly_reports.make(FEBRUARY)
        assert opened(home, team, ops.url).alerts.send().sent == 2
        assert opened(home, team, ops.url).alerts.send().sent == 0
        # Made again because more is known: not a new month.
        record = home.monthly_reports.record(FEBRUARY)
        home.monthly_reports.write(FEBRUARY, record.model_copy(update={"business": "other"}))
        assert opened(home, team, ops.url).alerts.send().sent == 0
    assert {one["Subject"] for one in got} == {"gym: report of 2024-02-29 for the team"}
    assert ops.titles == ["gym: report of 2024-02-29 for the manager"]


def test_the_answers_are_in_the_text_and_the_page_is_attached(home):
    with receiving() as manager:
        url = f"manager={manager.url}"
        begun(home, url)
        report = home.monthly_reports.make(FEBRUARY)
        opened(home, url).alerts.send()
    [message] = manager.got
    for answer in report.manager:
        assert answer.question in message["body"]
        assert all(sentence.plain in message["body"] for sentence in answer.sentences)
    [page] = message["attachments"]
    assert (page["filename"], page["mimetype"]) == ("report_manager_2024-02-29.html", "text/html")
    file = home.monthly_reports.file(FEBRUARY, "manager")
    assert base64.b64decode(page["base64"]) == file.read_bytes()
    assert "churn report 2024-02-29 --for manager" in message["body"]


def test_no_key_leaves_unless_the_policy_allows_it(home):
    keys = home.contact_plans.rows(FEBRUARY)["member"]
    with mailbox() as (mail, got), receiving() as team:
        urls = (f"team={mail}", f"team={team.url}")
        begun(home, *urls)
        home.monthly_reports.make(FEBRUARY)
        assert opened(home, *urls).alerts.send().sent == 2
        everything = "".join(one.as_string() for one in got)
        parts = [part for one in got for part in one.walk() if not part.is_multipart()]
        everything += "".join(part.get_payload(decode=True).decode() for part in parts)
        everything += str(team.got)
        files = team.got[0]["attachments"]
        everything += "".join(base64.b64decode(one["base64"]).decode() for one in files)
    assert len(files) == 1
    assert WITHOUT_KEYS in team.got[0]["body"]
    assert not any(key in everything for key in keys)


def test_where_the_policy_allows_it_the_team_alone_is_sent_page_and_list_with_keys(home):
    write_policy(home, send=["team", "manager"], keys_by_mail=True)
    with mailbox() as (mail, got), receiving() as manager:
        urls = (f"team={mail}", f"manager={manager.url}")
        begun(home, *urls)
        home.monthly_reports.make(FEBRUARY)
        assert opened(home, *urls).alerts.send().sent == 2
    _, page, excel = got[0].iter_parts()
    assert page.get_payload(decode=True) == home.monthly_reports.file(FEBRUARY, "team").read_bytes()
    assert excel.get_filename() == "contact_list_2024-02-29.xlsx"
    listed = pd.read_excel(io.BytesIO(excel.get_payload(decode=True)))["member"]
    assert listed.tolist() == home.monthly_reports.gathering.keys(FEBRUARY, planned=True).tolist()
    assert len(manager.got[0]["attachments"]) == 1


def test_nothing_is_sent_before_the_run_of_the_month_is_complete(home):
    with receiving() as manager:
        url = f"manager={manager.url}"
        begun(home, url)
        home.monthly_reports.make(FEBRUARY)
        with home.exclusive():
            assert opened(home, url).alerts.send().sent == 0
        record = home.records.read("scores", FEBRUARY)
        home.records.write("scores", FEBRUARY, record | {"version": 7})
        assert opened(home, url).progress().next_step().kind == "scores"
        assert opened(home, url).alerts.send().sent == 0
        home.records.write("scores", FEBRUARY, record)
        assert opened(home, url).alerts.send().sent == 1


def test_what_a_channel_did_not_take_is_tried_again_and_never_stops_anything(home):
    port = free_port()
    url = f"manager=json://127.0.0.1:{port}/hook"
    begun(home, url)
    home.monthly_reports.make(FEBRUARY)
    [problem] = opened(home, url).alerts.send().problems
    assert "json 1: it could not be reached" in problem
    [status] = opened(home, url).alerts.waiting()
    assert (status.unsent, status.failures) == (1, 1)
    with receiving(port) as manager:
        assert opened(home, url).alerts.send().sent == 0  # its time has not come
        later = NOW.replace(hour=NOW.hour + 1)
        assert opened(home, url, now=later).alerts.send().sent == 1
    assert manager.titles == ["gym: report of 2024-02-29 for the manager"]
    assert opened(home, url).alerts.waiting()[0].unsent == 0


def test_a_kill_between_two_reports_repeats_none_that_was_counted(home, monkeypatch):
    class Killed(BaseException):
        pass

    def dies(*message):
        if ops.got:
            raise Killed
        return sound(*message)

    sound = channels.send
    with receiving() as ops:
        begun(home, ops.url)
        home.monthly_reports.make(FEBRUARY)
        monkeypatch.setattr(channels, "send", dies)
        with pytest.raises(Killed):
            opened(home, ops.url).alerts.send()
        monkeypatch.undo()
        assert opened(home, ops.url).alerts.send().sent == 1
    assert [title.split()[-1] for title in ops.titles] == ["team", "manager"]


def test_a_channel_of_reports_is_sent_no_alert_and_none_is_counted_for_it(home):
    with receiving() as manager, receiving() as ops:
        urls = (f"manager={manager.url}", ops.url)
        opened(home, *urls).alerts.begin()
        record_act(home.ledger, act="promotion done", subject="version 2")
        assert [one.unsent for one in opened(home, *urls).alerts.waiting()] == [0, 1]
        assert opened(home, *urls).alerts.send().sent == 1
    assert (manager.got, ops.titles) == ([], ["gym: promoted version 2"])


def test_a_channel_starts_with_the_next_month(home):
    home.monthly_reports.make(FEBRUARY)
    with receiving() as manager:
        assert opened(home, manager.url).alerts.send().sent == 0
        assert opened(home, manager.url).alerts.send().sent == 0


def test_a_month_whose_run_was_cut_off_before_its_report_is_sent_all_the_same(home):
    with receiving() as manager:
        begun(home, manager.url)
        assert home.monthly_reports.record(FEBRUARY) is None
        assert opened(home, manager.url).alerts.send().sent == 2


def test_a_home_whose_policy_sends_no_report_sends_none(planned_copy):
    with receiving() as ops:
        opened(planned_copy, ops.url).alerts.begin()
        planned_copy.monthly_reports.make(FEBRUARY)
        assert opened(planned_copy, ops.url).alerts.send().sent == 0


def test_alerts_go_out_while_the_contract_is_refused(home):
    with receiving() as ops:
        opened(home, ops.url).alerts.begin()
        (home.folder / "contract.yaml").write_text("name: [")
        refused = opened(home, ops.url)
        refused.alerts.begin()
        assert [one.unsent for one in refused.alerts.waiting()] == [0]
