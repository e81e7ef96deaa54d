"""Evaluates expressions over columns, one customer or a million at once, with equal results.

Nulls propagate as in SQL: `and`, `or` and `not` follow its three-valued logic. A result of
arithmetic that is not a finite number, as after a division by zero, is null.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from churn_platform.contract.expressions import (
    Arithmetic,
    Call,
    ColumnValue,
    ComparedValues,
    Expression,
    IsNull,
    Kind,
    Logical,
    Negative,
    Not,
    NumberValue,
    OneOf,
    TextValue,
    TruthValue,
)

Values = npt.NDArray[np.float64] | npt.NDArray[np.object_]
"""Numbers and truth values (1 or 0) as float64 with NaN for null; texts with None for null."""

ARITHMETIC: Mapping[str, Callable[..., npt.NDArray[np.float64]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}
COMPARED: Mapping[str, Callable[..., npt.NDArray[np.bool_]]] = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def column_values(kind: Kind, values: Sequence[object]) -> Values:
    """The values of a column (rows,) as an expression reads them; None and NaN are null."""
    if kind == "text":
        found = np.empty(len(values), dtype=object)
        found[:] = [None if _is_null(value) else str(value) for value in values]
        return found
    numbers = np.array([np.nan if _is_null(value) else value for value in values], dtype=np.float64)
    return _finite(numbers)


def evaluate(
    expression: Expression, columns: Mapping[str, Values], rows: int
) -> npt.NDArray[np.float64]:
    """The value of an expression for each row (rows,), NaN where it is null; true is 1.

    Args:
        expression: a number or a truth value.
        columns: the columns that it reads, each (rows,), as from `column_values`.
        rows: how many rows there are.
    """
    with np.errstate(all="ignore"):
        found = np.asarray(_values(expression, columns), dtype=np.float64)
    # 0.0 is added because two zeros that differ in sign are one score.
    return np.broadcast_to(found, (rows,)) + 0.0


def _values(  # noqa: C901, PLR0911 - one case per part of the language
    expression: Expression, columns: Mapping[str, Values]
) -> Values:
    """The values of an expression: (rows,), or of shape () if it reads no column."""
    match expression:
        case ColumnValue():
            return columns[expression.name]
        case NumberValue() | TruthValue():
            return np.float64(expression.value)  # type: ignore[return-value]
        case TextValue():
            return np.array(expression.value, dtype=object)
        case Negative():
            return -_values(expression.operand, columns)
        case Arithmetic():
            left = _values(expression.left, columns)
            return _finite(
                ARITHMETIC[expression.operator](left, _values(expression.right, columns))
            )
        case ComparedValues():
            left = _values(expression.left, columns)
            right = _values(expression.right, columns)
            found = COMPARED[expression.operator](left, right)
            return np.where(_nulls(left) | _nulls(right), np.nan, found)
        case Logical():
            left = _values(expression.left, columns)
            right = _values(expression.right, columns)
            # `and` is false if one side is, `or` is true if one side is, whatever the other is.
            decides = 0.0 if expression.operator == "and" else 1.0
            decided = (left == decides) | (right == decides)
            unknown = _nulls(left) | _nulls(right)
            return np.where(decided, decides, np.where(unknown, np.nan, 1 - decides))
        case Not():
            return 1.0 - _values(expression.operand, columns)
        case OneOf():
            operand = _values(expression.operand, columns)
            equal = [np.equal(operand, value) for value in expression.values]
            return np.where(_nulls(operand), np.nan, np.logical_or.reduce(equal))
        case IsNull():
            return _nulls(_values(expression.operand, columns)).astype(np.float64)
        case Call():
            return _called(expression.function, [_values(a, columns) for a in expression.arguments])


def _called(function: str, arguments: Sequence[Values]) -> Values:
    found = arguments[0]
    if function == "abs":
        return np.abs(found)
    for other in arguments[1:]:
        if function == "coalesce":
            found = np.where(_nulls(found), other, found)
            continue
        # Not np.minimum: of 0.0 and -0.0 it gives either, by the length of the array.
        other_wins = other < found if function == "min" else other > found
        chosen = np.where(other_wins, other, found)
        found = np.where(_nulls(found) | _nulls(other), np.nan, chosen)
    return found


def _nulls(values: Values) -> npt.NDArray[np.bool_]:
    if values.dtype == object:
        return np.asarray(np.equal(values, np.array(None, dtype=object)), dtype=bool)
    return np.isnan(values.astype(np.float64, copy=False))


def _finite(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)


def _is_null(value: object) -> bool:
    """Whether a value of a row is missing: None, NaN or pandas' NA."""
    return value is None or type(value).__name__ == "NAType" or value != value  # noqa: PLR0124
