"""The result says what moved, by how much, against what, and why, in plain JSON."""

import json
import math

import pytest

from churn_platform.contract.policy import DriftPolicy
from churn_platform.drift.columns import ColumnCheck
from churn_platform.drift.measure import DriftEvidence, Measured
from churn_platform.drift.result import judge

POLICY = DriftPolicy()


def _check(column="x", method="wasserstein", **changes):
    return ColumnCheck(column, method, 0.02, 0.6, **changes)


def _evidence(*pairs, target=None, prediction=None):
    checks = tuple(check for check, _ in pairs)
    distances = {check.column: measured for check, measured in pairs if measured is not None}
    return DriftEvidence(checks, distances, 7043, 6000, target, prediction)


def _one(check, measured, values=None):
    return judge(POLICY, _evidence((check, measured)), values).columns[0]


@pytest.mark.parametrize(
    ("check", "measured", "drifted", "reason"),
    [
        (_check(), Measured(0.205, 0.1), True, "normed Wasserstein 0.205 is above 0.1"),
        (_check(), Measured(0.0887, 0.1), False, "normed Wasserstein 0.0887 is below 0.1"),
        (_check(), Measured(0.1, 0.1), True, "normed Wasserstein 0.1 is above 0.1"),
        (
            _check(method="jensenshannon"),
            Measured(0.14, 0.18),
            False,
            "Jensen-Shannon 0.14 is within the noise of so few rows (0.18)",
        ),
        (
            _check(),
            Measured(0.3, 0.18),
            True,
            "normed Wasserstein 0.3 is above 0.18, the noise of so few rows",
        ),
        (_check(reasons=("60% null, was 2%",)), Measured(0.04, 0.1), True, "60% null, was 2%"),
        (
            _check(reasons=("60% null, was 2%",)),
            Measured(0.4, 0.1),
            True,
            "60% null, was 2%; normed Wasserstein 0.4 is above 0.1",
        ),
        (_check(method=None, note="empty in both"), None, False, "empty in both"),
        (
            _check(method="jensenshannon", note="always 1 in both"),
            Measured(0.0, 0.1),
            False,
            "Jensen-Shannon 0 is below 0.1; always 1 in both",
        ),
    ],
)
def test_a_column_has_drifted_by_its_distance_or_by_a_check_and_says_which(
    check, measured, drifted, reason
):
    column = _one(check, measured)
    assert (column.drifted, column.reason) == (drifted, reason)


def test_a_column_without_a_distance_shows_the_policys_threshold():
    column = _one(_check(method=None, reasons=("100% null, was 0%",), note="empty now"), None)
    assert (column.value, column.threshold, column.drifted) == (None, 0.1, True)
    assert column.reason == "100% null, was 0%; empty now"


def test_given_values_stand_in_place_of_our_own_but_nan_does_not():
    assert _one(_check(), Measured(0.09, 0.1), {"x": 0.11}).drifted
    passed_over = _one(_check(), Measured(0.09, 0.1), {"x": math.nan})
    assert (passed_over.value, passed_over.drifted) == (0.09, False)


def test_the_share_is_of_all_features_and_must_be_above_the_policys():
    pairs = [
        (_check(f"x{number}"), Measured(0.2 if number == 3 else 0.0, 0.1)) for number in range(20)
    ]
    twentieth = judge(POLICY, _evidence(*pairs))
    assert (twentieth.share, twentieth.share_exceeded, twentieth.drifted_columns) == (
        0.05,
        False,
        ["x3"],
    )
    fourteenth = judge(POLICY, _evidence(*pairs[:14]))
    assert fourteenth.share == pytest.approx(1 / 14)
    assert fourteenth.share_exceeded
    assert fourteenth.drift_detected


@pytest.mark.parametrize(("value", "exceeded"), [(0.0239, False), (0.05, True), (0.07, True)])
def test_target_and_prediction_drift_count_from_their_thresholds_on(value, exceeded):
    quiet = (_check(), Measured(0.0, 0.1))
    target = judge(POLICY, _evidence(quiet, target=Measured(value, 0.05)))
    prediction = judge(POLICY, _evidence(quiet, prediction=Measured(value, 0.05)))
    assert (target.target_exceeded, target.prediction_exceeded) == (exceeded, False)
    assert (prediction.target_exceeded, prediction.prediction_exceeded) == (False, exceeded)
    assert target.drift_detected == prediction.drift_detected == exceeded


def test_what_was_not_measured_is_none_beside_the_policys_threshold():
    result = judge(POLICY, _evidence((_check(), Measured(0.0, 0.1))))
    assert (result.target_drift, result.target_threshold, result.target_exceeded) == (
        None,
        0.05,
        False,
    )
    assert (result.prediction_drift, result.prediction_threshold, result.prediction_exceeded) == (
        None,
        0.1,
        False,
    )


def test_the_dictionary_is_plain_json_with_every_figure():
    evidence = _evidence(
        (_check(), Measured(0.205, 0.1)), (_check("y", None), None), target=Measured(0.0239, 0.05)
    )
    told = judge(POLICY, evidence).as_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["share"] == 0.5
    assert told["drifted_columns"] == ["x"]
    assert told["columns"][0]["threshold"] == 0.1
    assert told["columns"][1]["value"] is None
    assert (told["target_drift"], told["target_threshold"], told["target_exceeded"]) == (
        0.0239,
        0.05,
        False,
    )
    assert (told["rows_reference"], told["rows_current"], told["share_threshold"]) == (
        7043,
        6000,
        0.05,
    )
    assert told["drift_detected"] is True
