"""The result says what moved, by how much, against what, and why, in plain JSON."""

import json
import math

import pytest

from churn_platform.drift.measure import Measured
from churn_platform_tests.drift.judged import check, judged

NULLS = "60% null, was 2%"


def _one(checked, measured, values=None):
    return judged((checked, measured), values=values).columns[0]


@pytest.mark.parametrize(
    ("checked", "value", "threshold", "drifted", "reason"),
    [
        (check(), 0.205, 0.1, True, "normed Wasserstein 0.205 is above 0.1"),
        (check(), 0.0887, 0.1, False, "normed Wasserstein 0.0887 is below 0.1"),
        (check(), 0.1, 0.1, True, "normed Wasserstein 0.1 is above 0.1"),
        (check(method="jensenshannon"), 0.14, 0.18, False,
         "Jensen-Shannon 0.14 is within the noise of so few rows (0.18)"),
        (check(), 0.3, 0.18, True, "normed Wasserstein 0.3 is above 0.18, the noise of so few rows"),
        (check(reasons=(NULLS,)), 0.04, 0.1, True, NULLS),
        (check(reasons=(NULLS,)), 0.4, 0.1, True, f"{NULLS}; normed Wasserstein 0.4 is above 0.1"),
        (check(method="jensenshannon", note="always 1 in both"), 0.0, 0.1, False,
         "Jensen-Shannon 0 is below 0.1; always 1 in both"),
    ],
)  # fmt: skip
def test_a_column_has_drifted_by_its_distance_or_by_a_check_and_says_which(
    checked, value, threshold, drifted, reason
):
    column = _one(checked, Measured(value, threshold))
    assert (column.drifted, column.reason) == (drifted, reason)


@pytest.mark.parametrize("reasons", [(), ("100% null, was 0%",)])
def test_a_column_without_a_distance_shows_the_policys_threshold(reasons):
    column = _one(check(method=None, reasons=reasons, note="empty now"), None)
    assert (column.value, column.threshold, column.drifted) == (None, 0.1, bool(reasons))
    assert column.reason == "; ".join([*reasons, "empty now"])


def test_given_values_stand_in_place_of_our_own_but_nan_does_not():
    assert _one(check(), Measured(0.09, 0.1), {"x": 0.11}).drifted
    passed_over = _one(check(), Measured(0.09, 0.1), {"x": math.nan})
    assert (passed_over.value, passed_over.drifted) == (0.09, False)


@pytest.mark.parametrize(("features", "exceeded"), [(20, False), (14, True)])
def test_the_share_is_of_all_features_and_must_be_above_the_policys(features, exceeded):
    pairs = [(check(f"x{n}"), Measured(0.2 if n == 3 else 0.0, 0.1)) for n in range(features)]
    result = judged(*pairs)
    assert result.drifted_columns == ("x3",)
    assert result.share == pytest.approx(1 / features)
    assert result.share_exceeded == result.drift_detected == exceeded


@pytest.mark.parametrize(("value", "exceeded"), [(0.0239, False), (0.05, True), (0.07, True)])
def test_target_and_prediction_drift_count_from_their_thresholds_on(value, exceeded):
    quiet = (check(), Measured(0.0, 0.1))
    target = judged(quiet, target=value)
    prediction = judged(quiet, prediction=2 * value)
    assert (target.target_exceeded, target.prediction_exceeded) == (exceeded, False)
    assert (prediction.target_exceeded, prediction.prediction_exceeded) == (False, exceeded)
    assert target.drift_detected == prediction.drift_detected == exceeded
    assert (target.prediction_drift, target.prediction_threshold) == (None, 0.1)
    assert (prediction.target_drift, prediction.target_threshold) == (None, 0.05)


def test_the_record_is_plain_json_with_every_figure():
    found = judged((check(), Measured(0.205, 0.1)), (check("y", None), None), target=0.0239)
    told = found.as_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert list(told) == [
        "share", "drifted_columns", "drift_detected", "share_exceeded", "target_exceeded",
        "prediction_exceeded", "columns", "rows_reference", "rows_current", "share_threshold",
        "target_drift", "target_threshold", "prediction_drift", "prediction_threshold",
    ]  # fmt: skip
    assert told["columns"][1] == {
        "column": "y", "method": None, "value": None, "threshold": 0.1, "drifted": False,
        "reason": "", "null_share_reference": 0.02, "null_share_current": 0.6,
        "unknown_categories": {},
    }  # fmt: skip
    assert type(found).read(told, "x") == found
