"""What counts as drifted: aged reference rows, the result of a month, and its alarms."""

import datetime as dt
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from churn_platform.base.stored import Stored
from churn_platform.contract.columns import AgeUnit
from churn_platform.contract.model import Contract
from churn_platform.contract.policy import DriftMethod, DriftPolicy
from churn_platform.drift.columns import ColumnCheck
from churn_platform.drift.measure import DriftEvidence, Measured

Floats = NDArray[np.float64]
DAYS_A_MONTH = 365.25 / 12
DAYS = {"days": 1, "weeks": 7}
MONTHS = {"months": 1, "years": 12}


def age_units(contract: Contract) -> dict[str, AgeUnit]:
    """The features that are ages, each with its unit."""
    ages = {
        name: age.unit for table in contract.tables.values() for name, age in table.ages.items()
    }
    return {name: unit for name, unit in ages.items() if name in contract.features}


def aged_reference(
    contract: Contract,
    reference: pd.DataFrame,
    months: Sequence[dt.date],
    current: pd.DataFrame,
    as_of: dt.date,
) -> pd.DataFrame:
    """The reference rows with every age increased by the time that has passed, as far as the
    current month shows it.

    Without new customers everyone is older by all of that time; if new customers replace those
    who leave, ages stay the same. In between, ages increase by the difference of the means,
    never below 0 and never by more than has passed. The remaining difference, for example many
    new customers, is drift.

    Args:
        contract: the contract.
        reference: (rows, any columns) holding at least the age features.
        months: the as_of of each reference row, (rows,).
        current: the month's rows, with the same columns.
        as_of: the month.
    """
    units = age_units(contract)
    if not units:
        return reference
    aged = reference.copy(deep=False)
    for name, unit in units.items():
        passed = pd.Series(months).map(
            {month: elapsed(month, as_of, unit) for month in set(months)}
        )
        aged[name] = _moved_on(reference[name], passed.to_numpy(dtype=float), current[name])
    return aged


def elapsed(start: dt.date, end: dt.date, unit: AgeUnit) -> float:
    """The units from `start` to `end`, at least 0; month ends are full months apart."""
    if unit in DAYS:
        return max(0.0, (end - start).days / DAYS[unit])
    months = (end.year - start.year) * 12.0 + end.month - start.month
    if not (pd.Timestamp(start).is_month_end and pd.Timestamp(end).is_month_end):
        months += (end.day - start.day) / DAYS_A_MONTH
    return max(0.0, months / MONTHS[unit])


def _moved_on(ages: pd.Series, passed: Floats, current: pd.Series) -> pd.Series:
    known = ages.notna().to_numpy()
    if not known.any() or not current.notna().any() or not passed[known].any():
        return ages
    older = float(current.mean()) - float(ages.mean())
    share = min(max(older / float(passed[known].mean()), 0.0), 1.0)
    moved = ages.astype("Float64") + _whole_steps(ages, share * passed)
    return moved.astype(ages.dtype)


def _whole_steps(ages: pd.Series, steps: Floats) -> Floats:
    """Whole units with the mean of `steps` (rows,): a fraction becomes one unit for that share
    of rows, evenly over ages.
    """
    order = np.argsort(ages.to_numpy(dtype=float, na_value=np.nan), kind="stable")
    placed = np.empty(len(order))
    # The golden ratio spreads any share evenly.
    placed[order] = (np.arange(len(order)) * 0.6180339887498949) % 1.0
    whole = np.floor(steps + 1e-9)
    return whole + (placed < steps - whole)


METHOD_NAMES: dict[DriftMethod, str] = {
    "wasserstein": "normed Wasserstein",
    "jensenshannon": "Jensen-Shannon",
}


class ColumnDrift(Stored):
    """One feature's result; `method` and `value` are None if one side has no value."""

    column: str
    method: DriftMethod | None
    value: float | None
    threshold: float
    drifted: bool
    reason: str
    null_share_reference: float
    null_share_current: float
    unknown_categories: dict[str, float] = Field(default_factory=dict)
    """New categories -> their share of the rows now."""


class DriftResult(Stored):
    """What moved; every figure comes with its threshold.

    A drift is None where it cannot be measured.
    """

    share: float
    """Drifted features as a share of all features."""
    drifted_columns: tuple[str, ...]
    """Names of the drifted features, in the contract's order."""
    drift_detected: bool
    """Any of the three."""
    share_exceeded: bool
    """More features drifted than the policy allows."""
    target_exceeded: bool
    """The churn rate moved as far as its threshold."""
    prediction_exceeded: bool
    """Production's probabilities moved as far as their threshold."""
    columns: tuple[ColumnDrift, ...]
    rows_reference: int
    rows_current: int
    share_threshold: float
    target_drift: float | None
    target_threshold: float
    prediction_drift: float | None
    prediction_threshold: float
    not_applicable: dict[str, str] = Field(default_factory=dict)
    """What cannot be compared, each with the reason: columns that one side does not have, and
    those that production does not read.
    """


def judge(
    policy: DriftPolicy, evidence: DriftEvidence, values: Mapping[str, float] | None = None
) -> DriftResult:
    """The result: a column has drifted if its distance reaches its threshold or a check has a
    reason.

    Args:
        policy: thresholds.
        evidence: from `measure`.
        values: Evidently's distances by column, used instead of our own; a NaN is ignored.
    """
    given = {name: float(value) for name, value in (values or {}).items() if math.isfinite(value)}
    columns = tuple(
        _judged(check, evidence.distances.get(check.column), given.get(check.column), policy)
        for check in evidence.checks
    )
    drifted = tuple(column.column for column in columns if column.drifted)
    share = len(drifted) / max(len(columns), 1)
    target = evidence.target
    prediction = evidence.prediction
    target_drift, target_threshold = _figure(target, policy.target)
    prediction_drift, prediction_threshold = _figure(prediction, policy.prediction)
    exceeded = {
        "share_exceeded": share > policy.share,
        "target_exceeded": target is not None and target.reached,
        "prediction_exceeded": prediction is not None and prediction.reached,
    }
    return DriftResult(
        share=share,
        drifted_columns=drifted,
        drift_detected=any(exceeded.values()),
        **exceeded,
        columns=columns,
        rows_reference=evidence.rows_reference,
        rows_current=evidence.rows_current,
        share_threshold=policy.share,
        target_drift=target_drift,
        target_threshold=target_threshold,
        prediction_drift=prediction_drift,
        prediction_threshold=prediction_threshold,
    )


def _figure(measured: Measured | None, threshold: float) -> tuple[float | None, float]:
    """A value and its threshold; without a measurement, no value and the policy's threshold."""
    if measured is None:
        return None, threshold
    return measured.value, measured.threshold


def _judged(
    check: ColumnCheck, own: Measured | None, given: float | None, policy: DriftPolicy
) -> ColumnDrift:
    value = None
    threshold = policy.column_threshold
    if own is not None:
        value = own.value if given is None else given
        threshold = own.threshold
    reached = value is not None and value >= threshold
    return ColumnDrift(
        column=check.column,
        method=check.method,
        value=value,
        threshold=threshold,
        drifted=reached or bool(check.reasons),
        reason=_reason(check, value, threshold, policy),
        null_share_reference=check.null_share_reference,
        null_share_current=check.null_share_current,
        unknown_categories=dict(check.unknown),
    )


def _reason(check: ColumnCheck, value: float | None, threshold: float, policy: DriftPolicy) -> str:
    """The checks' reasons; the distance, if it decides or there is no other reason; the note."""
    reasons = list(check.reasons)
    if value is not None and check.method is not None and (value >= threshold or not reasons):
        by_noise = threshold > policy.column_threshold
        if value >= threshold and by_noise:
            compared = f"is above {threshold:.3g}, the noise of so few rows"
        elif value >= threshold:
            compared = f"is above {threshold:.3g}"
        elif by_noise:
            compared = f"is within the noise of so few rows ({threshold:.3g})"
        else:
            compared = f"is below {threshold:.3g}"
        reasons.append(f"{METHOD_NAMES[check.method]} {value:.3g} {compared}")
    if check.note:
        reasons.append(check.note)
    return "; ".join(reasons)


class DriftFigures(BaseModel):
    """The drift report's result when the decision was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    drift_share: float | None = None
    drifted_columns: tuple[str, ...] = ()
    target_drift: float | None = None
    prediction_drift: float | None = None

    @classmethod
    def of(cls, result: DriftResult) -> "DriftFigures":
        """The figures of a month's drift."""
        return cls(
            drift_share=result.share,
            drifted_columns=result.drifted_columns,
            target_drift=result.target_drift,
            prediction_drift=result.prediction_drift,
        )


def drift_alarms(result: DriftResult, hysteresis: float, *, alarmed: bool) -> tuple[str, ...]:
    """Sentences for the drift figures that ask for a new model.

    A figure raises the alarm above its threshold. Once on, it stays on until it falls below
    `hysteresis` times the threshold, so it does not flap.

    Args:
        result: the month's drift.
        hysteresis: the policy's.
        alarmed: whether the month before raised an alarm for the same production model.
    """
    ease = hysteresis if alarmed else 1.0
    columns = f" ({', '.join(result.drifted_columns)})" if result.drifted_columns else ""
    checks = (
        ("drift share", result.share, result.share_threshold, ".1%", columns),
        ("target drift", result.target_drift, result.target_threshold, ".4f", ""),
        ("prediction drift", result.prediction_drift, result.prediction_threshold, ".3f", ""),
    )
    return tuple(
        f"{name} {value:{form}} is above {limit * ease:{form}}{note}"
        for name, value, limit, form, note in checks
        if value is not None and value > limit * ease
    )
