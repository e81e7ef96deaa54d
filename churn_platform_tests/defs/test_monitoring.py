"""Drift report and performance, as the UI shows them."""

import pytest

from churn_platform.defs.monitoring import drift_report, performance
from churn_platform.monitoring.estimate_history import EstimateHistory
from churn_platform_tests.late_business import APRIL, late_home, month, next_month
from churn_platform_tests.small_business import FEBRUARY, JANUARY, MARCH, deliver, month_tables


def test_before_there_is_a_model_both_say_why_there_is_nothing_to_show(january_decided_copy, shown):
    assert shown(january_decided_copy, JANUARY, drift_report) == {
        "note": "There is no production model yet, so there is nothing to compare with."
    }
    assert shown(january_decided_copy, JANUARY, performance) == {
        "note": "No version has matured labels to be measured on yet.",
        "proposal": "none",
    }


def test_a_drifted_month_shows_its_columns_and_a_link_to_the_report(january_copy, shown):
    tables = month_tables(FEBRUARY)
    tables["visits"]["hours"] = tables["visits"]["hours"] * 3
    deliver(january_copy, FEBRUARY, tables)
    january_copy.ingestion.publish(FEBRUARY)
    values = shown(january_copy, FEBRUARY, drift_report)
    assert values["drift share"] == 0.25
    assert values["drifted columns"].startswith("- hours: ")
    assert "Drift share 25.0% is above 5.0% (hours)".lower() in values["alarms"].lower()
    assert values["reference"] == "1,500 rows of 2024-01-31"
    assert "data:image/png;base64," in values["plot"]
    assert values["report"] == "http://127.0.0.1:3001/2024-02-29/drift.html"
    assert values["report file"] == str(january_copy.reports / "2024-02-29" / "drift.html")
    assert "hours" in (january_copy.reports / "2024-02-29" / "drift.html").read_text(
        encoding="utf-8"
    )


def test_performance_shows_the_realised_figures_of_each_version(january_copy, shown):
    deliver(january_copy, FEBRUARY)
    january_copy.ingestion.publish(FEBRUARY)
    values = shown(january_copy, FEBRUARY, performance)
    [entry] = january_copy.records.read("performance", FEBRUARY)["evaluated"]
    assert values["realised AUC"] == pytest.approx(entry["metrics"]["auc"])
    assert (
        f"| 1 | production | 2024-02-29 | 1,500 | {entry['metrics']['auc']:.3f} | ["
        in values["performance"]
    )


def test_performance_shows_the_corrected_and_the_naive_auc(worked_copy, shown):
    values = shown(worked_copy, MARCH, performance)
    newest = worked_copy.performance_history.all()[-1]
    assert values["realised AUC"] == newest.metrics.auc
    assert values["naive AUC"] == newest.contacts.naive_auc
    figures = f"{newest.metrics.auc:.3f} | {newest.contacts.naive_auc:.3f} | 400 | 144 | 0 | -"
    assert figures in values["corrected and naive"]


def test_performance_shows_what_is_estimated_and_never_as_realised(tmp_path, shown):
    home = late_home(tmp_path / "home")
    home = next_month(home, (FEBRUARY, month(FEBRUARY)), (MARCH, month(MARCH)))
    home = next_month(home, (MARCH, month(MARCH)), (APRIL, month(APRIL)))
    values = shown(home, APRIL, performance)
    found = EstimateHistory(home.records).newest()
    assert values["estimated, before labels"] == found.sentence
    assert values["estimated AUC"] == pytest.approx(found.auc.value)
    assert values["realised AUC"] == pytest.approx(found.checked[0].realised)
    assert f"{found.checked[0].estimated:.3f}" in values["estimates and later labels"]
    assert "2024-04-30" not in values["performance"]
    assert "why performance fell" not in values
