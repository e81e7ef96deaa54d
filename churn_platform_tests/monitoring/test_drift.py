"""Drift of a month against what production was trained on, on a home."""

import pytest

from churn_platform.drift.result import drift_alarms
from churn_platform_tests.small_business import FEBRUARY, JANUARY, copied


@pytest.fixture(scope="module")
def reported(february_decided, tmp_path_factory):
    """February's real drift report on a home with version 1 in production: the home and the outcome."""
    home = copied(february_decided, tmp_path_factory.mktemp("reported") / "home")
    return home, home.drift_monitor.report(FEBRUARY)


def test_before_there_is_a_production_model_there_is_a_note_and_a_record(january_decided_copy):
    outcome = january_decided_copy.drift_monitor.report(JANUARY)
    assert (outcome.result, outcome.alarms) == (None, ())
    assert outcome.note == "There is no production model yet, so there is nothing to compare with."
    assert not outcome.html.exists()
    assert january_decided_copy.records.read("drift_report", JANUARY) == {
        **january_decided_copy.progress().made_from(JANUARY),
        "production_version": None,
        "alarms": [],
        "result": None,
    }


def test_the_reference_is_every_row_of_the_months_that_production_was_trained_on(reported):
    home, outcome = reported
    assert outcome.note == "1,500 rows of 2024-01-31"
    assert outcome.html == home.reports / "2024-02-29" / "drift.html"
    assert outcome.html.stat().st_size > 10_000
    assert outcome.html.with_suffix(".json").exists()
    assert [column.column for column in outcome.result.columns] == [
        "months",
        "plan",
        "has_app",
        "hours",
    ]


def test_the_report_is_kept_with_figures_alarms_and_version(reported):
    home, outcome = reported
    record = home.records.read("drift_report", FEBRUARY)
    assert record["inputs"] == home.progress().inputs(FEBRUARY)
    assert record["production_version"] == 1
    assert record["alarms"] == list(outcome.alarms)
    assert record["result"]["share"] == outcome.result.share
    # the two months are drawn alike, column by column: only what the columns mean has changed
    assert (outcome.result.share, outcome.alarms) == (0.0, ())
    assert (
        0 < outcome.result.target_drift < 0.05
    )  # against January's own labels: a month is no distance from itself
    assert outcome.result.prediction_drift > 0


def test_an_alarm_of_the_month_before_eases_the_threshold_for_the_same_version(reported, tmp_path):
    home, result = copied(reported[0], tmp_path / "home"), reported[1].result
    near = result.model_copy(update={"target_drift": 0.9 * result.target_threshold})

    def alarms(as_of, version):
        alarmed = home.drift_monitor._alarmed_before(as_of, version)
        return drift_alarms(near, home.contract.policy.retraining.hysteresis, alarmed=alarmed)

    alarm = f"target drift {near.target_drift:.4f} is above {0.8 * result.target_threshold:.4f}"
    for before, version, expected in (
        (["target drift"], 1, (alarm,)),
        (["target drift"], 2, ()),
        ([], 1, ()),
    ):
        home.records.write("drift_report", JANUARY, {"production_version": 1, "alarms": before})
        assert alarms(FEBRUARY, version) == expected
    home.records.write(
        "drift_report", JANUARY, {"production_version": 1, "alarms": ["target drift"]}
    )
    assert alarms(JANUARY, 1) == ()  # its own earlier report is not the month before
