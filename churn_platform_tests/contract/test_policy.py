"""The defaults a business gets without saying anything, and the thresholds no policy may hold."""

import pytest
from pydantic import ValidationError

from churn_platform.contract.policy import Policy


def test_the_defaults_are_the_ones_that_the_documents_name():
    policy = Policy()
    training, promotion, drift, retraining = (
        policy.training,
        policy.promotion,
        policy.drift,
        policy.retraining,
    )
    assert (training.algorithm, training.trailing_months, training.holdout_fraction) == (
        "lightgbm",
        1,
        0.25,
    )
    assert (training.holdout_months, training.churn_rate_min, training.churn_rate_max) == (
        1,
        0.005,
        0.6,
    )
    assert training.leak_auc == 0.95
    assert (promotion.delta, promotion.level, promotion.power, promotion.min_holdout_churners) == (
        0.01,
        0.95,
        0.8,
        50,
    )
    assert (promotion.mode, promotion.approval_days) == ("automatic", 14)
    assert (drift.share, drift.target, drift.prediction, drift.column_threshold) == (
        0.05,
        0.05,
        0.1,
        0.1,
    )
    assert (drift.few_values, drift.alarm_rate) == (5, 0.05)
    assert (retraining.cooldown_cadences, retraining.hysteresis, retraining.max_age_cadences) == (
        1,
        0.8,
        None,
    )
    assert (policy.scoring.listed, policy.scoring.reasons) == (500, 3)
    verdict = policy.verdict
    assert (verdict.followed_versions, verdict.months, verdict.looks, verdict.judged_months) == (
        6,
        3,
        12,
        6,
    )
    assert verdict.automatic is False


@pytest.mark.parametrize(
    ("part", "name", "wrong"),
    [
        ("training", "algorithm", "neural_network"),
        ("training", "trailing_months", 0),
        ("training", "holdout_months", 0),
        ("training", "holdout_fraction", 0),
        ("training", "holdout_fraction", 1),
        ("training", "salt", ""),
        ("training", "seed", -1),
        ("training", "leak_auc", 0.5),
        ("training", "leak_auc", 1.1),
        ("promotion", "delta", -0.01),
        ("promotion", "level", 0.5),
        ("promotion", "level", 1),
        ("promotion", "power", 1),
        ("promotion", "min_holdout_churners", 1),
        ("promotion", "mode", "manual"),
        ("promotion", "approval_days", 0),
        ("verdict", "followed_versions", -1),
        ("verdict", "months", 0),
        ("verdict", "looks", 0),
        ("drift", "share", 0),
        ("drift", "methods", {"visits": "psi"}),
        ("drift", "resamples", 49),
        ("retraining", "hysteresis", 0),
        ("retraining", "hysteresis", 1.1),
        ("retraining", "cooldown_cadences", -1),
        ("retraining", "max_age_cadences", 0),
        ("scoring", "listed", 0),
        ("scoring", "reasons", 0),
        ("serving", "stale_features", "ignore"),
        ("promotion", "detla", 0.01),
    ],
)
def test_a_threshold_out_of_range_or_misspelt_is_refused(part, name, wrong):
    with pytest.raises(ValidationError) as refused:
        Policy.model_validate({part: {name: wrong}})
    assert refused.value.errors()[0]["loc"][:2] == (part, name)


def test_a_policy_cannot_be_changed_once_it_is_read():
    with pytest.raises(ValidationError, match="frozen"):
        Policy().promotion.delta = 0.5
