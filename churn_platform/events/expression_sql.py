"""Expressions over the columns of a log as DuckDB's SQL, with the meaning that
`contract/expression_values.py` gives them.

Every name and every text of an expression is quoted, so none of it can be read as SQL.
"""

from churn_platform.contract.expressions import (
    Arithmetic,
    Call,
    ColumnValue,
    ComparedValues,
    Expression,
    IsNull,
    Logical,
    Negative,
    Not,
    NumberValue,
    OneOf,
    TextValue,
    TruthValue,
)


def quoted_name(name: str) -> str:
    """A name in SQL."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def quoted_text(text: str) -> str:
    """A text in SQL."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def expression_sql(expression: Expression) -> str:
    """An expression in SQL, of type DOUBLE, BOOLEAN or VARCHAR by its kind.

    The columns have these types or are integers, their numbers are finite, and
    `error_on_division_by_zero` is off. No operand is written twice: the SQL of nested
    operators would double with every level.
    """
    match expression:
        case ColumnValue():
            return quoted_name(expression.name)
        case NumberValue():
            return _number_literal(expression.value)
        case TextValue():
            return quoted_text(expression.value)
        case TruthValue():
            return str(expression.value).lower()
        case _:
            return f"({_operator_sql(expression)})"


def _operator_sql(expression: Expression) -> str:
    match expression:
        case Negative():
            return f"- {_number(expression.operand)}"
        case Arithmetic():
            left = _number(expression.left)
            found = f"{left} {expression.operator} {_number(expression.right)}"
            return f"list_filter([{found}], lambda value: isfinite(value))[1]"
        case ComparedValues():
            left = _comparable(expression.left)
            return f"{left} {expression.operator} {_comparable(expression.right)}"
        case Logical():
            left = expression_sql(expression.left)
            return f"{left} {expression.operator} {expression_sql(expression.right)}"
        case Not():
            return f"NOT {expression_sql(expression.operand)}"
        case OneOf():
            entries = [
                quoted_text(value) if isinstance(value, str) else _number_literal(value)
                for value in expression.values
            ]
            return f"{_comparable(expression.operand)} IN ({', '.join(entries)})"
        case IsNull():
            return f"{expression_sql(expression.operand)} IS NULL"
        case Call():
            return _call_sql(expression)
    raise AssertionError(expression)


def _call_sql(call: Call) -> str:
    of_numbers = call.kind == "number"
    written = [_number(one) if of_numbers else expression_sql(one) for one in call.arguments]
    arguments = ", ".join(written)
    if call.function in ("abs", "coalesce"):
        return f"{call.function}({arguments})"
    # least() and greatest() leave nulls out; here one null makes the result null.
    order = "ASC" if call.function == "min" else "DESC"
    return f"list_sort([{arguments}], '{order}', 'NULLS FIRST')[1]"


def _comparable(expression: Expression) -> str:
    return expression_sql(expression) if expression.kind == "text" else _number(expression)


def _number(expression: Expression) -> str:
    """A number; a truth value counts as 1 or 0."""
    if isinstance(expression, NumberValue):
        return expression_sql(expression)
    return f"CAST({expression_sql(expression)} AS DOUBLE)"


def _number_literal(value: float) -> str:
    """The number itself: without the cast DuckDB reads 0.1 as a decimal."""
    return f"CAST('{value!r}' AS DOUBLE)"
