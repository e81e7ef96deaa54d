"""Monitoring a home: drift against what production was trained on, and what it was really worth."""

import dataclasses
import datetime as dt
import json

import pytest

from churn_platform.monitoring.drift import alarms_of
from churn_platform.monitoring.prediction_log import PredictionLog, ServedPrediction
from churn_platform_tests.small_business import CUSTOMERS, FEBRUARY, JANUARY, copied
from churn_platform_tests.system.trusted_home import flip


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


def test_a_version_is_judged_on_the_newest_matured_month_with_all_its_customers(
    february_decided_copy,
):
    (entry,) = february_decided_copy.performance_monitor.measure(FEBRUARY).evaluated
    assert (entry.version, entry.as_of, entry.rows) == (1, "2024-02-29", CUSTOMERS)
    low, high = entry.metrics.auc_interval
    assert 0.4 < low < entry.metrics.auc < high < 0.55
    record = february_decided_copy.records.read("performance", FEBRUARY)
    assert entry.state == "production"
    waiting = {"version": 2, "blocked": False, "level": record["verdict"]["compared"][0]["level"]}
    nothing_later = waiting | {"months": [], "difference": None, "interval": None}
    assert record == {
        **february_decided_copy.progress().made_from(FEBRUARY),
        "evaluated": [entry.as_json()],
        "verdict": {"compared": [nothing_later], "proposal": None},
        "answered": [],
    }


def test_the_month_it_was_trained_on_counts_with_the_customers_it_never_saw(january_copy):
    (entry,) = january_copy.performance_monitor.measure(JANUARY).evaluated
    assert (entry.as_of, entry.rows) == ("2024-01-31", 371)
    assert entry.metrics.auc == january_copy.releases.production().metrics["auc"]


def test_without_labels_or_without_a_version_nothing_is_measured(january_decided_copy):
    assert january_decided_copy.performance_monitor.measure(JANUARY).evaluated == ()
    assert january_decided_copy.records.read("performance", JANUARY)["evaluated"] == []


def answer(home, as_of, keys, version=1, days_ago=0, probability=None):
    """Log answers by the API about a month."""
    scores = home.records.frame("scores", JANUARY).set_index("member")["probability"]
    moment = home.now().timestamp() - 86_400 * days_ago
    PredictionLog(home.predictions, "member").write(
        [
            ServedPrediction(
                moment,
                key,
                version,
                as_of,
                probability or scores[key],
                {},
                what_if=False,
                stale=False,
            )
            for key in keys
        ]
    )


def test_what_the_api_answered_is_judged_on_the_labels_of_the_month_that_it_answered_about(
    february_decided_copy,
):
    home = february_decided_copy
    everybody = [f"m{number:05d}" for number in range(CUSTOMERS)]
    answer(home, JANUARY, everybody)
    answer(home, FEBRUARY, everybody[:200])
    answer(home, FEBRUARY, everybody[:200], version=9)  # of no release
    home.performance_monitor.measure(FEBRUARY)
    january, february = home.records.read("performance", FEBRUARY)["answered"]
    assert (january["version"], january["as_of"], january["customers"], january["rows"]) == (
        1,
        "2024-01-31",
        1500,
        371,
    )
    assert january["metrics"]["auc"] == pytest.approx(
        home.releases.manifest(1).metrics["auc"], abs=1e-12
    )
    assert (february["as_of"], february["customers"], february["rows"]) == ("2024-02-29", 200, 200)
    assert [entry.as_json() for entry in home.performance_history.served()] == [january, february]
    assert not january["moved"]
    json.dumps([january, february])


def test_a_retired_release_that_was_damaged_does_not_stop_the_month(february_copy):
    home = february_copy
    assert home.releases.pointer().version == 2
    answer(home, FEBRUARY, ["m00001", "m00002"])
    flip(home.releases.path(1, "model.skops"))
    home.performance_monitor.measure(FEBRUARY)
    record = home.records.read("performance", FEBRUARY)
    [answered] = record["answered"]
    assert (answered["version"], answered["customers"], answered["metrics"]) == (1, 2, None)
    assert "model.skops" in answered["note"]
    assert (
        "model.skops"
        in next(entry for entry in record["evaluated"] if entry["version"] == 1)["note"]
    )


def test_the_prediction_log_is_tidied_by_the_run_and_kept_as_long_as_the_policy_says(january_copy):
    answer(january_copy, JANUARY, ["m00001", "m00002"], days_ago=10)
    answer(january_copy, JANUARY, ["m00001"], days_ago=10)
    answer(january_copy, JANUARY, ["m00001"], days_ago=401)
    january_copy.performance_monitor.measure(JANUARY)
    day = (january_copy.now() - dt.timedelta(days=10)).date()
    assert [path.name for path in january_copy.predictions.iterdir()] == [f"{day}.parquet"]
    [answered] = january_copy.records.read("performance", JANUARY)["answered"]
    assert (answered["customers"], answered["answers"]) == (2, 3)


def test_an_alarm_of_the_month_before_eases_the_threshold_for_the_same_version(reported, tmp_path):
    home, result = copied(reported[0], tmp_path / "home"), reported[1].result
    near = dataclasses.replace(result, target_drift=0.9 * result.target_threshold)

    def alarms(as_of, version):
        alarmed = home.drift_monitor._alarmed_before(as_of, version)
        return alarms_of(near, home.contract.policy.retraining.hysteresis, alarmed=alarmed)

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
