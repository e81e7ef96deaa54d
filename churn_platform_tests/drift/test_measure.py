"""Each distance stands beside what it must reach, and a quiet month stays quiet whatever its size."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.base.errors import ContractError, DataError, NotANumber
from churn_platform.contract.model import Column
from churn_platform.contract.policy import DriftPolicy
from churn_platform.drift.measure import Rows, measure
from churn_platform.drift.result import judge
from churn_platform.drift.statistics import normed_wasserstein, share_noise

FEATURES = {
    "fee": Column(dtype="float"),
    "spent": Column(dtype="float", nullable=True),
    "failures": Column(dtype="integer"),
    "logins": Column(dtype="integer"),
    "paperless": Column(dtype="boolean"),
    "plan": Column(dtype="category"),
}
POLICY = DriftPolicy(resamples=50)


def _month(random, rows, shift=0.0):
    features = pd.DataFrame(
        {
            "fee": random.normal(50 + 10 * shift, 10, rows),
            "spent": np.where(random.random(rows) < 0.2, np.nan, random.lognormal(0, 1.5, rows)),
            "failures": random.choice(4, rows, p=[0.7, 0.2, 0.08, 0.02]),
            "logins": random.poisson(8, rows),
            "paperless": random.random(rows) < 0.3,
            "plan": random.choice(
                ["basic", "plus", "family", "odd"], rows, p=[0.5, 0.3, 0.18, 0.02]
            ),
        }
    )
    return Rows(features, pd.Series(random.random(rows) < 0.26), random.beta(2, 5, rows))


def _pair(seed, rows, **changes):
    random = np.random.default_rng(seed)
    return _month(random, rows), _month(random, rows, **changes)


def _measured(before, now, policy=POLICY):
    return measure(FEATURES, policy, before, now, seed=7)


@pytest.mark.parametrize(("rows", "months"), [(100, 40), (300, 30)])
def test_quiet_months_alarm_about_as_rarely_as_the_policy_allows(rows, months):
    """Expected 5% at most; a tenth is beyond chance for so few months. Without a floor nearly all would alarm."""
    alarms = 0
    for month in range(months):
        alarms += judge(POLICY, _measured(*_pair([rows, month, 2], rows))).drift_detected
    assert alarms <= 0.1 * months


def test_a_shift_of_half_a_deviation_is_seen_at_a_thousand_rows_every_time():
    for month in range(5):
        evidence = _measured(*_pair([1000, month], 1000, shift=0.5))
        assert "fee" in judge(POLICY, evidence).drifted_columns


def test_a_distance_has_the_policys_threshold_or_the_noise_of_few_rows_above_it():
    many = _measured(*_pair(1, 20_000))
    assert {measured.threshold for measured in many.distances.values()} == {0.1}
    assert many.target.threshold == 0.05
    few = _measured(*_pair(1, 60)).distances.values()
    assert any(measured.value >= 0.1 for measured in few)
    assert all((measured.threshold > 0.1) == (measured.value >= 0.1) for measured in few)


def test_a_category_of_keys_that_are_all_new_each_month_is_not_drift():
    keys = [pd.DataFrame({"key": [f"{side}{number}" for number in range(150)]}) for side in "ab"]
    policy = DriftPolicy(resamples=50)
    evidence = measure(
        {"key": Column(dtype="category")}, policy, Rows(keys[0]), Rows(keys[1]), seed=7
    )
    assert evidence.distances["key"].value > 0.8
    assert judge(policy, evidence).drifted_columns == ()


def test_the_false_alarm_rate_is_shared_out_over_every_test_of_the_month():
    """Six distances, one column with nulls, one category, target and predictions: ten tests."""
    random = np.random.default_rng(3)
    before, now = _month(random, 300), _month(random, 200)
    evidence = _measured(before, now)
    pooled = np.concatenate([before.labels, now.labels]).mean()
    assert evidence.target.threshold == pytest.approx(share_noise(pooled, 300, 200, 0.05 / 10))
    assert evidence.target.value == pytest.approx(abs(now.labels.mean() - before.labels.mean()))


def test_prediction_drift_is_the_normed_wasserstein_of_the_probabilities():
    before, now = _pair(5, 500)
    moved = Rows(now.features, None, now.predictions + 0.2)
    evidence = _measured(before, moved)
    assert evidence.prediction.value == pytest.approx(
        normed_wasserstein(before.predictions, moved.predictions)
    )
    assert 0.1 < evidence.prediction.threshold < evidence.prediction.value
    assert evidence.target is None


def test_labels_not_known_yet_are_left_out_and_none_known_is_no_target():
    before, now = _pair(7, 200)
    partly = pd.array([True] * 50 + [False] * 50 + [pd.NA] * 100, dtype="boolean")
    evidence = _measured(before, Rows(now.features, pd.Series(partly)))
    assert evidence.target.value == pytest.approx(abs(0.5 - before.labels.mean()))
    unknown = Rows(now.features, pd.Series([None] * 200, dtype="boolean"))
    assert _measured(before, unknown).target is None


NAN = np.where(np.arange(50) == 8, np.nan, 0.5)


@pytest.mark.parametrize(
    ("change", "error", "facts"),
    [
        (lambda rows: Rows(rows.features.head(0)), DataError, "{} holds no rows"),
        (lambda rows: Rows(rows.features.drop(columns=["fee"])), DataError, "{} lacks .* fee"),
        (lambda rows: Rows(rows.features, rows.labels.head(3)), DataError, "{} .*50 rows but 3 labels"),
        (lambda rows: Rows(rows.features, None, rows.predictions[:4]), DataError, "{} .*but 4 predictions"),
        (lambda rows: Rows(rows.features, None, NAN), NotANumber, "prediction 8 of the {} is nan"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_an_error_that_names_the_side(change, error, facts):
    before, now = _pair(11, 50)
    with pytest.raises(error, match=facts.format("current month")):
        _measured(before, change(now))
    with pytest.raises(error, match=facts.format("reference")):
        _measured(change(before), now)


def test_a_method_for_a_column_that_is_no_feature_is_an_error_of_the_contract():
    with pytest.raises(ContractError, match="'colour' is not a feature"):
        _measured(*_pair(1, 60), DriftPolicy(methods={"colour": "wasserstein"}))
