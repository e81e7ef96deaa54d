"""One column before a distance is measured: its values, its method, nulls and new categories."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from churn_platform.base.errors import ContractError, DataError
from churn_platform.base.text import percent
from churn_platform.contract.model import Column
from churn_platform.contract.policy import DriftMethod, DriftPolicy
from churn_platform.drift.statistics import (
    Values,
    chance_only_current,
    has_more_values,
    share_noise,
)


@dataclass(frozen=True, eq=False)
class Side:
    """One column of one side: its values without nulls, shape (n,), and its rows with nulls."""

    values: Values
    rows: int

    @property
    def null_share(self) -> float:
        """The share of rows without a value."""
        return 1 - len(self.values) / self.rows


@dataclass(frozen=True)
class ColumnCheck:
    """What is known about a column without a distance.

    `method` is None if one side has no value: Evidently crashes on such a column. With one of
    the `reasons` it has drifted, whatever its distance. `note` describes constants and empty
    sides.
    """

    column: str
    method: DriftMethod | None
    null_share_reference: float
    null_share_current: float
    reasons: tuple[str, ...] = ()
    note: str = ""
    unknown: Mapping[str, float] = field(default_factory=dict)
    """New categories -> their share of the rows now."""


def plain_values(name: str, column: Column, series: pd.Series) -> Values:
    """The column as float64 with NaN (numbers; booleans as 0 and 1) or as str objects with None
    (categories).

    Infinities count as null, as they do in Evidently.

    Raises:
        DataError: a value is not of the contract's dtype.
    """
    try:
        if column.dtype == "category":
            texts = series.astype("string").astype(object)
            return np.asarray(texts.where(texts.notna(), None))
        if column.dtype == "boolean":
            typed = series.astype("boolean")
        else:
            typed = pd.to_numeric(series)
        numbers = typed.to_numpy(float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        message = (
            f"Feature {name!r} does not hold {column.dtype} values, as the contract requires:"
            f" {error}."
        )
        raise DataError(message) from None
    return np.where(np.isfinite(numbers), numbers, np.nan)


def side(name: str, column: Column, series: pd.Series) -> Side:
    """The column's `plain_values` without nulls."""
    values = plain_values(name, column, series)
    return Side(values[~pd.isna(values)], len(values))


def column_method(name: str, column: Column, reference: Values, policy: DriftPolicy) -> DriftMethod:
    """The distance for a column: the policy's if it names one, else by dtype and distinct
    reference values.

    A constant reference always gets Jensen-Shannon: it has no standard deviation to divide by.

    Args:
        name: the feature.
        column: its column of the contract.
        reference: its values there without nulls, shape (n,).
        policy: `methods` and `few_values`.

    Raises:
        ContractError: the policy names wasserstein for a category or a boolean.
    """
    is_number = column.dtype in ("integer", "float")
    named = policy.methods.get(name)
    if named == "wasserstein" and not is_number:
        raise ContractError(
            f"policy.drift.methods: {name!r} is a {column.dtype}, but wasserstein needs numbers."
        )
    if named is not None and has_more_values(reference, 1):
        return named
    if is_number and has_more_values(reference, policy.few_values):
        return "wasserstein"
    return "jensenshannon"


def precheck(
    name: str, column: Column, policy: DriftPolicy, reference: Side, current: Side, level: float
) -> ColumnCheck:
    """Check nulls, new categories, empty and constant columns.

    Args:
        name: the feature.
        column: its column of the contract.
        policy: thresholds.
        reference: the column there.
        current: the column now.
        level: the false-alarm rate of one test.
    """
    comparable = len(reference.values) > 0 and len(current.values) > 0
    reasons = _null_move(policy, reference, current, level)
    unknown = {}
    if comparable and column.dtype == "category":
        unknown = _new_categories(policy, reference, current, level)
        reasons += [
            f"new category {category!r} in {percent(share)} of rows"
            for category, share in unknown.items()
        ]
    return ColumnCheck(
        column=name,
        method=column_method(name, column, reference.values, policy) if comparable else None,
        null_share_reference=reference.null_share,
        null_share_current=current.null_share,
        reasons=tuple(reasons),
        note=_note(column, reference.values, current.values),
        unknown=unknown,
    )


def _null_move(policy: DriftPolicy, reference: Side, current: Side, level: float) -> list[str]:
    """A reason when the null share moved by more than the policy allows and by more than chance
    does.
    """
    nulls = reference.rows - len(reference.values) + current.rows - len(current.values)
    noise = share_noise(
        nulls / (reference.rows + current.rows), reference.rows, current.rows, level
    )
    if abs(current.null_share - reference.null_share) <= max(policy.null_share, noise):
        return []
    return [f"{percent(current.null_share)} null, was {percent(reference.null_share)}"]


def _new_categories(
    policy: DriftPolicy, reference: Side, current: Side, level: float
) -> dict[str, float]:
    """The categories that the reference never had, in more rows than the policy allows and
    chance gives.
    """
    counts = pd.Series(current.values).value_counts()
    new = counts[
        ~counts.index.isin(pd.unique(reference.values))
        & (counts / current.rows > policy.new_category_share)
    ]
    return {
        str(category): count / current.rows
        for category, count in new.items()
        if chance_only_current(int(count), len(reference.values), len(current.values))
        <= level / len(counts)
    }


def _note(column: Column, before: Values, now: Values) -> str:
    if not len(before) and not len(now):
        return "empty in both"
    if not len(now):
        return "empty now"
    if not len(before):
        return "empty before"
    always_before = _constant(column, before)
    always_now = _constant(column, now)
    if always_before is not None and always_before == always_now:
        return f"always {always_now} in both"
    if always_before is not None:
        differing = percent(float(np.mean(now != before[0])))
        return f"always {always_before} in the reference, {differing} of rows differ now"
    if always_now is None:
        return ""
    return f"always {always_now} now"


def _constant(column: Column, values: Values) -> str | None:
    """The one value of a constant column as people write it."""
    if (values != values[0]).any():
        return None
    if column.dtype == "category":
        return repr(values[0])
    if column.dtype == "boolean":
        return str(bool(values[0]))
    return f"{values[0]:.6g}"
