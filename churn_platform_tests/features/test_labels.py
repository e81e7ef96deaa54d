"""Which labels look like churn, and the sentence for each that do not."""

import numpy as np
import pandas as pd
import pytest

from churn_platform.contract.policy import TrainingPolicy
from churn_platform.features.labels import judge_labels

POLICY = TrainingPolicy()


def labels(values, start=0):
    """Labels of the members m0, m1, ... as the lake gives them."""
    return pd.Series(
        list(values), index=[f"m{n}" for n in range(start, start + len(values))], dtype=bool
    )


def drawn(rate, customers=4000, seed=0):
    return labels(np.random.default_rng(seed).random(customers) < rate)


@pytest.mark.parametrize(
    ("churners", "plausible"), [(0, False), (4, False), (5, True), (600, True), (601, False)]
)
def test_a_churn_rate_outside_the_policy_s_range_warns(churners, plausible):
    found = judge_labels(labels([True] * churners + [False] * (1000 - churners)), None, POLICY)
    assert (found.rows, found.churners, found.churn_rate) == (1000, churners, churners / 1000)
    assert (found.returned, found.churned_before, found.agreement, found.chance) == (None,) * 4
    assert (not found.warnings) is plausible
    assert found.doubts == found.warnings
    assert all(f"{churners / 1000:.1%} lies outside 0.5% to 60%" in one for one in found.warnings)


def test_churners_that_return_are_warned_of_and_those_that_are_gone_are_not():
    before = labels([True] * 20 + [False] * 80)
    found = judge_labels(before & (np.arange(100) >= 7), before, POLICY)
    assert (found.returned, found.churned_before) == (7, 20)
    assert (len(found.warnings), found.doubts) == (1, ())
    assert found.warnings[0].startswith("7 of 20 customers")
    gone = judge_labels(labels([False] * 78 + [True] * 2, start=20), before, POLICY)
    assert (gone.returned, gone.churned_before, gone.warnings) == (0, 20, ())


def test_whoever_was_only_inactive_may_return():
    before = labels([True] * 20 + [False] * 80)
    found = judge_labels(before & (np.arange(100) >= 7), before, POLICY, may_return=True)
    assert (found.returned, found.warnings) == (7, ())


def test_labels_that_agree_at_chance_warn_with_the_figures():
    before, now = drawn(0.3, seed=1), drawn(0.2, seed=2)
    found = judge_labels(now, before, POLICY)
    p, q = float(now.mean()), float(before.mean())
    assert found.agreement == float((now == before).mean())
    assert found.chance == pytest.approx(p * q + (1 - p) * (1 - q), abs=1e-12)
    assert abs(found.agreement - found.chance) < 0.02
    for figure in (f"on {found.agreement:.1%} of 4,000", f"on {found.chance:.1%}"):
        assert figure in found.warnings[-1]


def test_related_labels_do_not_warn():
    random = np.random.default_rng(3)
    before = drawn(0.3, seed=1)
    now = before | labels(random.random(4000) < 0.05)
    found = judge_labels(now, before, POLICY)
    assert (found.returned, found.warnings) == (0, ())
    assert found.agreement > found.chance + 0.3
    opposite = judge_labels(~before, before, TrainingPolicy(churn_rate_max=1))
    assert (opposite.agreement, len(opposite.warnings)) == (0, 1)


def test_a_weak_relation_is_told_from_chance_by_its_size_and_the_rows():
    random = np.random.default_rng(5)
    before = drawn(0.3, customers=20_000, seed=1)
    now = labels(random.random(20_000) < np.where(before, 0.26, 0.2))
    few = labels(now.to_numpy()[:300])
    assert not any("agree" in warning for warning in judge_labels(now, before, POLICY).warnings)
    assert any(
        "agree" in warning for warning in judge_labels(few, before.iloc[:300], POLICY).warnings
    )


def test_agreement_is_measured_on_the_entities_of_both_months():
    before, now = (
        labels([True, True, False, False]),
        labels([False, False, True, True, False], start=2),
    )
    found = judge_labels(now, before, TrainingPolicy(churn_rate_max=1))
    assert found.agreement is None
    assert (found.returned, found.churned_before) == (0, 2)
    overlapping = judge_labels(labels([True, False, True, False, True], start=1), before, POLICY)
    assert overlapping.agreement == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("now", "before"),
    [([True] * 4, [True, False] * 2), ([False] * 4, [True, False] * 2), ([True, False] * 2, [True] * 4),
     ([True, False] * 2, [False] * 4)],
)  # fmt: skip
def test_one_class_in_either_month_has_no_agreement(now, before):
    found = judge_labels(
        labels(now), labels(before), TrainingPolicy(churn_rate_min=0, churn_rate_max=1)
    )
    assert (found.agreement, found.chance) == (None, None)
    assert not any("agree" in warning for warning in found.warnings)
