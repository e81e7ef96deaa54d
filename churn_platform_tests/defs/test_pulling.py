"""The schedule that reads a month that is over from the customers' database, and what people hear of it."""

import datetime as dt

import dagster as dg
import pytest

from churn_platform.definitions import defs
from churn_platform.defs.automation import pull_schedule
from churn_platform.defs.resources import HomeResource
from churn_platform_tests.databases import run_sql, store
from churn_platform_tests.small_business import (
    DECLARED,
    FEBRUARY,
    JANUARY,
    make_home,
    month_tables,
    open_home,
)
from churn_platform_tests.system.receiver import receiving

SOURCE = {"url": "${CRM_URL}", "as_of_column": "valid_on"}


@pytest.fixture
def crm(tmp_path, monkeypatch):
    """A database with January and February of the gym."""
    url = f"sqlite:///{tmp_path / 'crm.db'}"
    for month in (JANUARY, FEBRUARY):
        store(url, month, month_tables(month, 60))
    monkeypatch.setenv("CRM_URL", url)
    return url


@pytest.fixture
def home(tmp_path, crm):
    """A home whose tables are all in the database; January is published."""

    tables = {n: {**t, "source": {**SOURCE, "table": n}} for n, t in DECLARED["tables"].items()}
    made = make_home(tmp_path / "home", {**DECLARED, "tables": tables})
    made.ingestion.pull(JANUARY)
    made.ingestion.publish(JANUARY)
    return made


def morning(home, today):
    """The answer of the schedule on one day."""
    then = open_home(home.folder, lambda: dt.datetime.combine(today, dt.time(5), dt.UTC))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HomeResource, "open", lambda _: then)
        resource = HomeResource(folder=str(home.folder))
        with dg.build_schedule_context(resources={"home": resource}) as context:
            return pull_schedule(context)


def ran(home, request):
    """Run what was requested; whether it succeeded, and what failed it."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = (
            defs()
            .resolve_job_def("pull")
            .execute_in_process(
                instance=instance,
                run_config={
                    **request.run_config,
                    "resources": {"home": {"config": {"folder": str(home.folder)}}},
                },
                raise_on_error=False,
            )
        )
    failures = [
        event.event_specific_data.user_failure_data for event in result.get_step_failure_events()
    ]
    return result.success, [failure.description for failure in failures if failure]


def test_a_month_that_is_over_is_read_and_becomes_a_drop(home):
    assert morning(home, FEBRUARY).skip_message == "The next month is 2024-02-29."
    request = morning(home, dt.date(2024, 3, 1))
    assert ran(home, request) == (True, [])
    assert home.ingestion.publish(FEBRUARY).rows == {"members": 60, "visits": 60, "leavers": 60}
    assert morning(home, dt.date(2024, 3, 2)).skip_message == "The next month is 2024-03-31."


def test_a_month_that_could_not_be_read_is_told_once_and_tried_the_next_morning(
    home, crm, monkeypatch
):
    with receiving() as receiver:
        monkeypatch.setenv("CHURN_ALERT_URLS", receiver.url)
        alerter = open_home(home.folder, alert_urls=receiver.url).alerts
        alerter.begin()
        monkeypatch.setenv("CRM_URL", "sqlite:////nowhere/crm.db")
        keys = set()
        for day in (1, 2):
            request = morning(home, dt.date(2024, 3, day))
            keys.add(request.run_key)
            said = "tables.members.source: there is no SQLite file /nowhere/crm.db."
            assert ran(home, request) == (False, [said])
        assert len(keys) == 2
        monkeypatch.setenv("CRM_URL", crm)
        assert ran(home, request) == (True, [])
        alerter.send()
    assert receiver.titles == [
        "gym: the customers' database is down",
        "gym: the customers' database runs again",
    ]


def test_rows_that_break_the_contract_refuse_the_drop_with_a_receipt(home, crm):
    run_sql(crm, "UPDATE members SET plan = 'gold' WHERE valid_on = '2024-02-29'")
    success, [said] = ran(home, morning(home, dt.date(2024, 3, 1)))
    assert (success, "gold" in said) == (False, True)
    assert [r.subject for r in home.ledger.receipts("drop refused")] == ["2024-02-29"]
    assert not (home.drops / "2024-02-29").exists()


def test_labels_that_are_not_there_yet_are_waited_for(home, crm):
    run_sql(crm, "DELETE FROM leavers WHERE valid_on = '2024-02-29'")
    assert ran(home, morning(home, dt.date(2024, 3, 1))) == (True, [])
    assert home.ingestion.publish(FEBRUARY).rows == {"members": 60, "visits": 60}
    assert not home.lake.has_labels(FEBRUARY)
