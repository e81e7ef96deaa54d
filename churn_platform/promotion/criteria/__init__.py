"""The promotion criteria, GATE001 to GATE012, in the order in which people read them."""

from churn_platform.promotion.criteria import (
    beats_production,
    calibration_not_worse,
    comparable,
    enough_churners,
    forward_value,
    interval_above_zero,
    newer_than_production,
    no_leak,
    no_slice_worse,
    plausible_labels,
    self_test,
    stands_on_its_own,
)
from churn_platform.promotion.criteria.base import Criterion, CriterionResult, Outcome

CRITERIA: tuple[Criterion, ...] = (
    beats_production.CRITERION,
    interval_above_zero.CRITERION,
    stands_on_its_own.CRITERION,
    comparable.CRITERION,
    self_test.CRITERION,
    calibration_not_worse.CRITERION,
    no_slice_worse.CRITERION,
    enough_churners.CRITERION,
    forward_value.CRITERION,
    newer_than_production.CRITERION,
    no_leak.CRITERION,
    plausible_labels.CRITERION,
)

__all__ = ["CRITERIA", "Criterion", "CriterionResult", "Outcome"]
