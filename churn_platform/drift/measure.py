"""Measures the drift of every feature, the target and the predictions, each against its noise."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from churn_platform.base.errors import ContractError, DataError, NotANumber
from churn_platform.contract.model import Column
from churn_platform.contract.policy import DriftMethod, DriftPolicy
from churn_platform.drift.columns import ColumnCheck, Side, precheck, side
from churn_platform.drift.statistics import Floats, Values, distance, noise_floor, share_noise
from churn_platform.evaluation.weights import effective_count, weighted_mean

Pair = tuple[Values, Values]
Sides = tuple[Side, Side]


@dataclass(frozen=True, eq=False)
class Rows:
    """One side of the comparison: complete months, one row per customer and month.

    `features` has one column per feature, nulls allowed. `labels` are 0/1 or boolean, null if not
    known yet. `predictions` are production's probabilities, shape (rows,). `label_weights` are
    how many customers each label stands for, (rows,); None: all alike.
    """

    features: pd.DataFrame
    labels: pd.Series | None = None
    predictions: Floats | None = None
    label_weights: Floats | None = None


@dataclass(frozen=True)
class Measured:
    """A distance and what it must reach to count: the policy's threshold, or the noise floor
    above it.
    """

    value: float
    threshold: float

    @property
    def reached(self) -> bool:
        """Whether the distance counts."""
        return self.value >= self.threshold


@dataclass(frozen=True)
class DriftEvidence:
    """What a result is judged from; `distances` has every column with values on both sides."""

    checks: tuple[ColumnCheck, ...]
    distances: Mapping[str, Measured]
    rows_reference: int
    rows_current: int
    target: Measured | None
    prediction: Measured | None


@dataclass(frozen=True)
class _Noise:
    """How a noise floor is drawn: the false-alarm rate of one test, the deals and the seed."""

    level: float
    resamples: int
    seed: int


def measure(
    features: Mapping[str, Column],
    policy: DriftPolicy,
    reference: Rows,
    current: Rows,
    *,
    seed: int,
) -> DriftEvidence:
    """Check and measure every feature, the target and the predictions.

    A noise floor is drawn only if a distance reaches the policy's threshold.
    `policy.alarm_rate` is divided by the number of tests of the month (Bonferroni), so a quiet
    month alarms at most that often.

    Raises:
        DataError: no rows, a feature is missing, or labels or predictions are not one per row.
        NotANumber: a prediction is NaN or infinite.
        ContractError: the policy names a column that is not a feature, or a method that does
            not fit it.
    """
    unknown = [name for name in policy.methods if name not in features]
    if unknown:
        raise ContractError(
            f"policy.drift.methods: {unknown[0]!r} is not a feature; name a feature or remove it."
        )
    _require_valid(features, reference, "reference")
    _require_valid(features, current, "current month")
    sides = {
        name: (
            side(name, column, reference.features[name]),
            side(name, column, current.features[name]),
        )
        for name, column in features.items()
    }
    labels = _labels(reference, current)
    scores = _scores(reference, current)
    tests = _column_tests(features, sides) + (labels is not None) + (scores is not None)
    level = policy.alarm_rate / max(tests, 1)
    noise = _Noise(level, policy.resamples, seed)
    checks = tuple(
        precheck(name, column, policy, *sides[name], level) for name, column in features.items()
    )
    return DriftEvidence(
        checks=checks,
        distances={
            check.column: _measured(
                check.method, policy.column_threshold, (before.values, now.values), noise
            )
            for check, (before, now) in zip(checks, sides.values(), strict=True)
            if check.method is not None
        },
        rows_reference=len(reference.features),
        rows_current=len(current.features),
        target=None if labels is None else _target(policy, labels, level),
        prediction=(
            None if scores is None else _measured("wasserstein", policy.prediction, scores, noise)
        ),
    )


def predictions_measured(
    policy: DriftPolicy, reference: Floats, current: Floats, *, seed: int
) -> Measured:
    """The distance of two sets of probabilities, as `measure` has it, as the month's only test."""
    noise = _Noise(policy.alarm_rate, policy.resamples, seed)
    return _measured("wasserstein", policy.prediction, (reference, current), noise)


def _require_valid(features: Mapping[str, Column], rows: Rows, where: str) -> None:
    count = len(rows.features)
    if count == 0:
        raise DataError(
            f"Drift: the {where} holds no rows; ingest the month before asking what moved."
        )
    missing = [name for name in features if name not in rows.features]
    if missing:
        raise DataError(
            f"Drift: the {where} lacks the features {', '.join(missing)}; the contract names them."
        )
    for what, values in (("labels", rows.labels), ("predictions", rows.predictions)):
        if values is not None and len(values) != count:
            raise DataError(
                f"Drift: the {where} holds {count} rows but {len(values)} {what}; give one per row."
            )
    if rows.predictions is not None and not np.isfinite(rows.predictions).all():
        row = int(np.flatnonzero(~np.isfinite(rows.predictions))[0])
        raise NotANumber(
            f"Drift: prediction {row} of the {where} is {rows.predictions[row]}, not a probability."
        )


def _labels(reference: Rows, current: Rows) -> "tuple[_ChurnRate, _ChurnRate] | None":
    """The churn rates by the labels that are known; None if a side has none."""
    if reference.labels is None or current.labels is None:
        return None
    before = _ChurnRate.of(reference.labels, reference.label_weights)
    now = _ChurnRate.of(current.labels, current.label_weights)
    return (before, now) if before.rows and now.rows else None


@dataclass(frozen=True)
class _ChurnRate:
    """Churners among rows, in effective numbers where labels have weights."""

    churners: float
    rows: int

    @property
    def rate(self) -> float:
        return self.churners / self.rows

    @classmethod
    def of(cls, labels: pd.Series, weights: Floats | None) -> "_ChurnRate":
        """Of the labels (rows,) that are known."""
        known = labels.notna().to_numpy(dtype=bool)
        values = labels[known].to_numpy(float)
        if weights is None:
            return cls(float(values.sum()), len(values))
        own = weights[known]
        rows = effective_count(own)
        return cls(weighted_mean(values, own) * rows if rows else 0.0, rows)


def _scores(reference: Rows, current: Rows) -> Pair | None:
    if reference.predictions is None or current.predictions is None:
        return None
    return np.asarray(reference.predictions, float), np.asarray(current.predictions, float)


def _column_tests(features: Mapping[str, Column], sides: Mapping[str, Sides]) -> int:
    """Tests that can alarm: a distance per column, nulls if it has any, new values of a
    category.
    """
    return sum(
        1 + any(one.null_share > 0 for one in sides[name]) + (column.dtype == "category")
        for name, column in features.items()
    )


def _measured(method: DriftMethod, fixed: float, values: Pair, noise: _Noise) -> Measured:
    value = distance(method, *values)
    if value < fixed:
        return Measured(value, fixed)
    floor = noise_floor(
        method, *values, level=noise.level, resamples=noise.resamples, seed=noise.seed
    )
    # Evidently compares with >=, the floor needs >: a column of unique keys lies on its floor in
    # every deal.
    return Measured(value, max(fixed, floor * (1 + 1e-9)))


def _target(policy: DriftPolicy, rates: "tuple[_ChurnRate, _ChurnRate]", level: float) -> Measured:
    """The move of the churn rate, against the z test of two shares."""
    before, now = rates
    pooled = (before.churners + now.churners) / (before.rows + now.rows)
    noise = share_noise(pooled, before.rows, now.rows, level)
    return Measured(abs(now.rate - before.rate), max(policy.target, noise))
