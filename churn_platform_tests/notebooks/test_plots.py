"""The plots show what is recorded, on the axes that were given, and say it in their title."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

import churn_platform as churn
from churn_platform.drift.result import DriftResult
from churn_platform.monitoring.drift import DriftRecord
from churn_platform.notebooks import datasets
from churn_platform_tests.small_business import MARCH


def drifted(home):
    """The home with a drift record of March: one of its four features moved, one has no value."""
    column = {"method": "wasserstein", "value": 0.05, "threshold": 0.1, "drifted": False, "reason": "",
              "null_share_reference": 0.0, "null_share_current": 0.0}  # fmt: skip
    columns = [
        {**column, "column": "months"},
        {**column, "column": "plan", "method": "jensenshannon", "value": 0.02},
        {**column, "column": "has_app", "method": None, "value": None, "reason": "all null"},
        {**column, "column": "hours", "value": 0.3, "drifted": True},
    ]
    result = DriftResult.model_validate(
        {
            "share": 0.25, "drifted_columns": ["hours"], "drift_detected": False, "share_exceeded": False,
            "target_exceeded": False, "prediction_exceeded": False, "columns": columns, "rows_reference": 1500,
            "rows_current": 1500, "share_threshold": 0.5, "target_drift": None, "target_threshold": 0.05,
            "prediction_drift": 0.01, "prediction_threshold": 0.1,
        }
    )  # fmt: skip
    made_from = home.labels.months().made_from(MARCH)
    record = DriftRecord(**made_from, production_version=1, result=result)
    home.records.write("drift_report", MARCH, record.as_json())
    return churn.open(home.folder)


@pytest.mark.parametrize("name", ["performance", "churn_rate", "calibration", "effect"])
def test_each_plot_draws_on_the_axes_that_are_given_and_returns_them(worked, name):
    axes = Figure().add_subplot()
    assert getattr(churn.open(worked.folder).plot, name)(ax=axes) is axes
    assert axes.get_title(loc="left")
    assert axes.get_xlabel()


def test_a_notebook_shows_the_picture_of_the_axes(worked):
    axes = churn.open(worked.folder).plot.churn_rate()
    assert axes._repr_png_().startswith(b"\x89PNG")


def test_the_performance_of_production_and_its_estimate_are_drawn(worked):
    home = churn.open(worked.folder)
    axes = home.plot.performance()
    frame = home.performance()
    drawn = {line.get_label(): line for line in axes.get_lines()}
    points = [container for container in axes.containers if container.get_label() == "on labels"]
    assert points[0].lines[0].get_ydata().tolist() == frame["auc"].tolist()
    assert "0.46" in axes.get_title(loc="left")
    assert len(drawn) >= 1


def test_calibration_leaves_out_customers_that_the_version_was_trained_on(worked):
    home = churn.open(worked.folder)
    january = home.plot.calibration(as_of="2024-02-29").containers[0].lines[0]
    held = home.training_dataset("2024-02-29").query("part == 'holdout'")
    expected = home.model().predict_proba(held)[:, 1]
    assert january.get_xdata().min() == pytest.approx(np.sort(expected)[:37].mean(), abs=0.01)


def test_a_version_of_unknown_training_rows_is_not_calibrated(worked, monkeypatch):
    unknown = dataclasses.replace(worked.versions().load(1), training_entities=np.array([]))
    monkeypatch.setattr(datasets, "candidate_of_version", lambda *_: unknown)
    with pytest.raises(churn.ChurnError) as refused:
        churn.open(worked.folder).plot.calibration()
    assert refused.value.code == "NOT_MEASURED"


def test_drift_is_drawn_in_thresholds_the_most_moved_first(worked_copy):
    home = drifted(worked_copy)
    frame = home.drift()
    assert frame["column"].tolist() == [
        "hours",
        "months",
        "plan",
        "has_app",
        "churn label",
        "predictions",
    ]
    axes = home.plot.drift()
    assert axes.get_title(loc="left").startswith("1 of 4 features of 2024-03-31")
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == pytest.approx([3, 0.5, 0.2, 0, 0, 0.1])
    labels = [text.get_text() for text in axes.texts]
    assert labels == ["all null", "not measured"]


def test_the_effect_has_one_line_per_group_and_hollow_points_for_comparisons(worked):
    home = churn.open(worked.folder)
    axes = home.plot.effect()
    frame = home.effect()
    points = [line for line in axes.get_lines() if line.get_marker() == "o"]
    hollow = [line.get_markerfacecolor() == "white" for line in points]
    assert [float(line.get_xdata()[0]) for line in points] == frame["prevented"].tolist()
    assert hollow == (~frame["randomised"]).tolist()
