"""An erased customer is on no page of a monthly report, and the reports still verify."""

import base64

import pytest
import yaml
from pydantic import SecretStr

from churn_platform.base.files import sha256_file
from churn_platform.maintenance.erasure import PLAN
from churn_platform.reports.monthly.making import KIND
from churn_platform.services import Services
from churn_platform_tests.contacts_business import LATER
from churn_platform_tests.maintenance.test_erasure import places
from churn_platform_tests.small_business import FEBRUARY, MARCH, open_home
from churn_platform_tests.system.receiver import receiving


@pytest.fixture
def home(worked_copy):
    """The gym in March, its reports made."""
    for month in (FEBRUARY, MARCH):
        worked_copy.monthly_reports.make(month)
    return worked_copy


def page(home):
    return home.monthly_reports.file(FEBRUARY, "team")


def first_on_the_list(home):
    key = home.monthly_reports.gathering.keys(FEBRUARY, planned=True).iloc[0]
    assert key in page(home).read_text()
    return key


def report_breaks(home):
    home = open_home(home.folder, lambda: LATER)
    found = home.verification.verify(deep=True)
    return [one.detail for one in found if one.state == "broken" and one.check == "monthly reports"]


def test_the_pages_are_made_again_without_the_customer(home):
    key = first_on_the_list(home)
    before = sha256_file(page(home))
    said = home.monthly_reports.record(FEBRUARY).content.team[1].sentences
    home.erasure.erase(key, "ann", "asked by letter")
    home = open_home(home.folder, lambda: LATER)
    assert places(home, key) == []
    report = home.monthly_reports.record(FEBRUARY)
    assert report.pages["team"] == sha256_file(page(home)) != before
    assert (
        home.ledger.receipts("customer forgotten")[-1].evidence["digests"][before]
        == (report.pages["team"])
    )
    # What was counted then stays; the next customer of the list takes the place.
    assert [one.plain for one in report.team[1].sentences] == [one.plain for one in said]
    assert home.monthly_reports.gathering.keys(FEBRUARY, planned=True).iloc[0] in (
        page(home).read_text()
    )
    assert report_breaks(home) == []
    assert home.records.broken(KIND, FEBRUARY) is None


def test_the_sources_of_the_figures_follow(home):
    key = first_on_the_list(home)
    home.erasure.erase(key, "ann", "asked by letter")
    home = open_home(home.folder, lambda: LATER)
    checks = home._check_reports(home.ledger.receipts(), True)
    assert [one.state for one in checks] == ["holds"]


def test_an_erasure_that_was_killed_half_way_is_completed_with_its_pages(home, monkeypatch):
    key = first_on_the_list(home)

    class Killed(BaseException):
        pass

    def dies(self, name, change):
        if name.endswith(f"{KIND}/{FEBRUARY}.json"):
            raise Killed
        return replace(self, name, change)

    replace = type(home.erasure)._replace
    monkeypatch.setattr(type(home.erasure), "_replace", dies)
    with pytest.raises(Killed):
        home.erasure.erase(key, "ann", "asked by letter")
    monkeypatch.undo()
    assert (home.erasure.folder / PLAN).exists()
    home = open_home(home.folder, lambda: LATER)
    home.run_start.complete()
    assert places(home, key) == []
    assert report_breaks(home) == []


def test_a_page_without_a_report_keeps_no_customer(home):
    key = first_on_the_list(home)
    home.records.path(KIND, FEBRUARY, ".json").unlink()
    home.erasure.erase(key, "ann", "asked by letter")
    home = open_home(home.folder, lambda: LATER)
    assert places(home, key) == []
    assert home.monthly_reports.record(FEBRUARY) is None


def test_what_waits_to_be_mailed_does_not_name_the_customer(planned_copy):
    home = planned_copy
    file = home.folder / "contract.yaml"
    declared = yaml.safe_load(file.read_text())
    declared["policy"]["reports"] = {"send": ["team"], "keys_by_mail": True}
    file.write_text(yaml.safe_dump(declared, sort_keys=False))
    with receiving() as team:
        chosen = home.settings.model_copy(update={"alert_urls": SecretStr(f"team={team.url}")})

        def opened():
            return Services(chosen, home.now)

        team.status = 500
        opened().alerts.begin()
        state = home.folder / "alerts.json"
        state.write_text(state.read_text().replace("2024-02-29", "2024-01-31"))
        home.monthly_reports.make(FEBRUARY)
        key = first_on_the_list(home)
        assert opened().alerts.send().problems
        opened().erasure.erase(key, "ann", "asked by letter")
        team.status = 200
        assert opened().alerts.send(anyway=True).sent == 1
    [message] = team.got
    html, excel = (base64.b64decode(one["base64"]) for one in message["attachments"])
    assert key not in message["body"]
    assert key.encode() not in html + excel
    assert places(home, key) == []
