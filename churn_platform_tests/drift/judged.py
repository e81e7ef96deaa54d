"""Results of drift made from checks and distances, without rows."""

from churn_platform.contract.policy import DriftPolicy
from churn_platform.drift.columns import ColumnCheck
from churn_platform.drift.measure import DriftEvidence, Measured
from churn_platform.drift.result import DriftResult, judge


def check(column="x", method="wasserstein", **changes) -> ColumnCheck:
    return ColumnCheck(column, method, 0.02, 0.6, **changes)


def judged(*pairs, values=None, target=None, prediction=None) -> DriftResult:
    """The result of (check, measured) pairs, and of a target and a prediction drift."""
    checks = tuple(check for check, _ in pairs)
    distances = {check.column: measured for check, measured in pairs if measured is not None}
    evidence = DriftEvidence(
        checks,
        distances,
        rows_reference=7043,
        rows_current=6000,
        target=target and Measured(target, 0.05),
        prediction=prediction and Measured(prediction, 0.1),
    )
    return judge(DriftPolicy(), evidence, values)
