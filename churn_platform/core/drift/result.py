"""What counts as drifted, and the result of a month.

Belongs here: `judge`, and the findings with their sentences. Does not: measuring (`core/drift/measure.py`),
Evidently and its page (`adapters/drift/report.py`), whether to retrain.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from churn_platform.core.drift.columns import ColumnCheck
from churn_platform.core.drift.measure import Evidence, Measured
from churn_platform.core.policy import DriftMethod, DriftPolicy

METHOD_NAMES: dict[DriftMethod, str] = {"wasserstein": "normed Wasserstein", "jensenshannon": "Jensen-Shannon"}


@dataclass(frozen=True)
class ColumnDrift:
    """One feature's finding; `method` and `value` are None where one side has no value to compare."""

    column: str
    method: DriftMethod | None
    value: float | None
    threshold: float
    drifted: bool
    reason: str
    null_share_reference: float
    null_share_current: float
    unknown_categories: Mapping[str, float] = field(default_factory=dict)
    """Categories that the reference never had -> their share of the rows now."""


@dataclass(frozen=True)
class DriftResult:
    """What moved; every figure comes with its threshold. A drift is None where it cannot be measured."""

    columns: tuple[ColumnDrift, ...]
    rows_reference: int
    rows_current: int
    share_threshold: float
    target_drift: float | None
    target_threshold: float
    prediction_drift: float | None
    prediction_threshold: float

    @property
    def drifted_columns(self) -> list[str]:
        """Names of the drifted features, in the contract's order."""
        return [column.column for column in self.columns if column.drifted]

    @property
    def share(self) -> float:
        """Drifted features as a share of all features."""
        return len(self.drifted_columns) / len(self.columns)

    @property
    def share_exceeded(self) -> bool:
        """More features drifted than the policy allows."""
        return self.share > self.share_threshold

    @property
    def target_exceeded(self) -> bool:
        """The churn rate moved as far as its threshold."""
        return self.target_drift is not None and self.target_drift >= self.target_threshold

    @property
    def prediction_exceeded(self) -> bool:
        """Production's probabilities moved as far as their threshold."""
        return self.prediction_drift is not None and self.prediction_drift >= self.prediction_threshold

    @property
    def drift_detected(self) -> bool:
        """Any of the three."""
        return self.share_exceeded or self.target_exceeded or self.prediction_exceeded

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: no numpy scalars, None rather than NaN."""
        return {
            **{name: getattr(self, name) for name in ("share", "drifted_columns", "drift_detected")},
            **{name: getattr(self, name) for name in ("share_exceeded", "target_exceeded", "prediction_exceeded")},
            **asdict(self),
            "columns": [asdict(column) for column in self.columns],
        }


def judge(policy: DriftPolicy, evidence: Evidence, values: Mapping[str, float] | None = None) -> DriftResult:
    """The result: a column has drifted when its distance reaches its threshold or a check says so.

    Args:
        policy: thresholds.
        evidence: from `measure`.
        values: distances by column that stand in place of our own (Evidently's); a NaN is passed over.
    """
    given = {name: value for name, value in (values or {}).items() if math.isfinite(value)}
    target, prediction = evidence.target, evidence.prediction
    return DriftResult(
        columns=tuple(
            _judged(check, evidence.distances.get(check.column), given.get(check.column), policy)
            for check in evidence.checks
        ),
        rows_reference=evidence.rows_reference,
        rows_current=evidence.rows_current,
        share_threshold=policy.share,
        target_drift=None if target is None else target.value,
        target_threshold=policy.target if target is None else target.threshold,
        prediction_drift=None if prediction is None else prediction.value,
        prediction_threshold=policy.prediction if prediction is None else prediction.threshold,
    )


def _judged(check: ColumnCheck, own: Measured | None, given: float | None, policy: DriftPolicy) -> ColumnDrift:
    value = None if own is None else own.value if given is None else given
    threshold = policy.column_threshold if own is None else own.threshold
    reached = value is not None and value >= threshold
    return ColumnDrift(
        column=check.column,
        method=check.method,
        value=None if value is None else float(value),
        threshold=float(threshold),
        drifted=reached or bool(check.reasons),
        reason=_reason(check, value, threshold, policy),
        null_share_reference=check.null_share_reference,
        null_share_current=check.null_share_current,
        unknown_categories=dict(check.unknown),
    )


def _reason(check: ColumnCheck, value: float | None, threshold: float, policy: DriftPolicy) -> str:
    """The sentence: the checks' reasons, the distance where it decides or nothing else is said, the note."""
    said = list(check.reasons)
    if value is not None and check.method is not None and (value >= threshold or not said):
        said.append(f"{METHOD_NAMES[check.method]} {value:.3g} {_against(value, threshold, policy)}")
    return "; ".join([*said, *([check.note] if check.note else [])])


def _against(value: float, threshold: float, policy: DriftPolicy) -> str:
    by_noise = threshold > policy.column_threshold
    if value >= threshold:
        return f"is above {threshold:.3g}" + (", the noise of so few rows" if by_noise else "")
    return f"is within the noise of so few rows ({threshold:.3g})" if by_noise else f"is below {threshold:.3g}"
