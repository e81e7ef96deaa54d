"""Killed while monthly reports are written or made again without a customer, the next run completes them."""

import contextlib

import pytest

from churn_platform.base.errors import UsageError
from churn_platform_tests.contacts_business import LATER
from churn_platform_tests.maintenance.test_erasure import places
from churn_platform_tests.small_business import FEBRUARY, MARCH, copied, open_home
from churn_platform_tests.system.crash_points import Command, points_of, survived

pytestmark = pytest.mark.slow
SAMPLE = 3


@pytest.fixture(scope="module")
def home(worked, tmp_path_factory):
    """The gym in March with the report of February."""
    folder = tmp_path_factory.mktemp("reported") / "home"
    home = open_home(copied(worked, folder).folder, lambda: LATER)
    home.monthly_reports.make(FEBRUARY)
    return home


def write_report(home):
    home.monthly_reports.make(MARCH)


def continue_run(home):
    with home.exclusive():
        home.run_start.complete()


def readable(home):
    """The report of February stands; that of March is complete or not there."""
    assert home.monthly_reports.record(FEBRUARY) is not None
    report = home.monthly_reports.record(MARCH)
    assert report is None or home.monthly_reports.faults(MARCH, report) == {}


def reported(home):
    checks = home._check_reports(home.ledger.receipts(), True)
    report = home.monthly_reports.record(MARCH)
    return [[one.state for one in checks], report.pages, report.content.as_json()]


def test_a_report_is_complete_or_not_there_and_the_next_run_makes_it(home, tmp_path):
    command = Command("report", home, write_report, continue_run)
    passed, repeats = points_of(command, tmp_path)
    points = [point for point in range(len(passed)) if point not in repeats]
    undisturbed = copied(home, tmp_path / "undisturbed")
    write_report(open_home(undisturbed.folder))
    wanted = reported(open_home(undisturbed.folder))
    assert wanted[0] == ["holds"]
    found = dict(survived(command, points, tmp_path, readable, reported))
    assert {point: one for point, one in found.items() if one != wanted} == {}
    assert len(found) >= len(("three pages", "a record"))


def test_an_erasure_reaches_the_pages_wherever_it_was_killed(home, tmp_path):
    start = copied(home, tmp_path / "start")
    write_report(start)
    key = start.monthly_reports.gathering.keys(FEBRUARY, planned=True).iloc[0]

    def forget(home):
        home.erasure.erase(key, "ann", "asked")

    def forget_again(home):
        with contextlib.suppress(UsageError):  # it was forgotten
            forget(home)
        continue_run(home)

    def left(home):
        checks = home._check_reports(home.ledger.receipts(), True)
        return [places(home, key), [one.state for one in checks]]

    command = Command("forget", start, forget, forget_again)
    passed, repeats = points_of(command, tmp_path)
    different = [point for point in range(len(passed)) if point not in repeats]
    points = different[:: max(1, len(different) // SAMPLE)]
    found = dict(survived(command, points, tmp_path, lambda _: None, left))
    assert {point: one for point, one in found.items() if one != [[], ["holds"]]} == {}
