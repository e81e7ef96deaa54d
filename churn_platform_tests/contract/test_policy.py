"""The thresholds that a policy cannot have; the page of the contract shows the defaults."""

import pytest
from pydantic import ValidationError

from churn_platform.contract.policy import Policy


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
