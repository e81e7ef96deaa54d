"""Expressions over columns, as a rule writes them: a small typed tree without evaluation.

`expression_parser` reads a text into a tree, `expression_values` evaluates it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from churn_platform.base.errors import UsageError
from churn_platform.contract.columns import Column, Dtype

Kind = Literal["number", "text", "truth"]
"""Of a value; a truth value counts as the number 1 or 0 where a number is needed."""

LONGEST = 500
"""Characters of an expression."""
DEEPEST = 20
"""Brackets within brackets of an expression."""
MOST_NODES = 200
"""Values, columns and operators of an expression."""

KINDS: dict[Dtype, Kind] = {
    "integer": "number", "float": "number", "boolean": "truth", "category": "text",
    "string": "text",
}  # fmt: skip
KEYWORDS = frozenset({"and", "or", "not", "in", "is", "null", "true", "false"})
COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
FUNCTIONS = frozenset({"coalesce", "abs", "min", "max"})

OR, AND, NOT, COMPARED, SUM, TERM, SIGN, VALUE = range(8)
"""How tightly an operator binds, loosest first."""


class RuleInvalid(UsageError):
    """An expression cannot be used; the message names what is wrong and where."""

    code = "RULE_INVALID"


@dataclass(frozen=True)
class ColumnType:
    """What an expression may do with a column."""

    kind: Kind
    values: tuple[str, ...] | None = None
    """The only values of a text column; None where any text is allowed."""


@dataclass(frozen=True)
class ColumnValue:
    """The value of a column."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class NumberValue:
    """A number in the text; finite, without a sign."""

    value: float
    kind: Kind = "number"


@dataclass(frozen=True)
class TextValue:
    """A text in single quotes."""

    value: str
    kind: Kind = "text"


@dataclass(frozen=True)
class TruthValue:
    """`true` or `false`."""

    value: bool
    kind: Kind = "truth"


@dataclass(frozen=True)
class Negative:
    """A number with the other sign."""

    operand: "Expression"
    kind: Kind = "number"


@dataclass(frozen=True)
class Arithmetic:
    """The sum, difference, product or quotient of two numbers."""

    operator: Literal["+", "-", "*", "/"]
    left: "Expression"
    right: "Expression"
    kind: Kind = "number"


@dataclass(frozen=True)
class ComparedValues:
    """Two values of one kind compared; texts by `=` and `!=` only."""

    operator: str
    left: "Expression"
    right: "Expression"
    kind: Kind = "truth"


@dataclass(frozen=True)
class Logical:
    """Two truth values joined by `and` or `or`."""

    operator: Literal["and", "or"]
    left: "Expression"
    right: "Expression"
    kind: Kind = "truth"


@dataclass(frozen=True)
class Not:
    """The opposite truth value."""

    operand: "Expression"
    kind: Kind = "truth"


@dataclass(frozen=True)
class OneOf:
    """Whether a value is in a list; all entries are literals of one kind."""

    operand: "Expression"
    values: tuple[float, ...] | tuple[str, ...]
    kind: Kind = "truth"


@dataclass(frozen=True)
class IsNull:
    """Whether a value is missing."""

    operand: "Expression"
    kind: Kind = "truth"


@dataclass(frozen=True)
class Call:
    """A function of values of one kind: the first that is not null, the absolute value, the
    smallest or the largest.
    """

    function: str
    arguments: tuple["Expression", ...]
    kind: Kind


Expression = (
    ColumnValue | NumberValue | TextValue | TruthValue | Negative | Arithmetic
    | ComparedValues | Logical | Not | OneOf | IsNull | Call
)  # fmt: skip


def column_types(
    columns: Mapping[str, Column], *, other_values: bool = False
) -> dict[str, ColumnType]:
    """The types of a contract's columns; dates have none.

    Args:
        columns: name -> column.
        other_values: whether a category may have values that its column does not list.
    """
    return {
        name: ColumnType(KINDS[column.dtype], None if other_values else column.values)
        for name, column in columns.items()
        if column.dtype in KINDS
    }


def parts(expression: Expression) -> tuple[Expression, ...]:
    """The expressions that an expression is made of."""
    match expression:
        case Arithmetic() | ComparedValues() | Logical():
            return expression.left, expression.right
        case Negative() | Not() | OneOf() | IsNull():
            return (expression.operand,)
        case Call():
            return expression.arguments
        case _:
            return ()


def all_parts(expression: Expression) -> Iterator[Expression]:
    """An expression and everything that it is made of."""
    yield expression
    for part in parts(expression):
        yield from all_parts(part)


def columns_of(expression: Expression) -> dict[str, Kind]:
    """The columns that an expression reads, in the order in which they occur."""
    return {part.name: part.kind for part in all_parts(expression) if isinstance(part, ColumnValue)}


def written(expression: Expression) -> str:
    """The one text of an expression: equal trees give equal text, and it parses to the tree."""
    return _written(expression)[0]


def _written(  # noqa: C901, PLR0911, PLR0912 - one case per part of the language
    expression: Expression,
) -> tuple[str, int]:
    """The text, and how tightly its outermost operator binds."""
    match expression:
        case ColumnValue():
            return _name(expression.name), VALUE
        case NumberValue():
            return _number(expression.value), VALUE
        case TextValue():
            return _quoted(expression.value), VALUE
        case TruthValue():
            return str(expression.value).lower(), VALUE
        case Negative():
            return f"-{_within(expression.operand, SIGN)}", SIGN
        case Arithmetic():
            level = SUM if expression.operator in "+-" else TERM
            return _joined(expression, level), level
        case ComparedValues():
            left = _within(expression.left, SUM)
            return f"{left} {expression.operator} {_within(expression.right, SUM)}", COMPARED
        case Logical():
            level = OR if expression.operator == "or" else AND
            return _joined(expression, level), level
        case Not(OneOf() | IsNull() as opposite):
            negative = {"in": "not in", "is": "is not"}
            operand = _within(opposite.operand, SUM)
            word, rest = written(opposite)[len(operand) + 1 :].split(" ", 1)
            return f"{operand} {negative[word]} {rest}", COMPARED
        case Not():
            return f"not {_within(expression.operand, NOT)}", NOT
        case OneOf():
            entries = ", ".join(_literal(value) for value in expression.values)
            return f"{_within(expression.operand, SUM)} in ({entries})", COMPARED
        case IsNull():
            return f"{_within(expression.operand, SUM)} is null", COMPARED
        case Call():
            arguments = ", ".join(written(argument) for argument in expression.arguments)
            return f"{expression.function}({arguments})", VALUE


def _joined(expression: Arithmetic | Logical, level: int) -> str:
    """Two operands; equal operators are read from the left."""
    left = _within(expression.left, level)
    return f"{left} {expression.operator} {_within(expression.right, level + 1)}"


def _within(expression: Expression, level: int) -> str:
    """The text of an operand, in brackets where its operator binds less tightly."""
    text, own = _written(expression)
    return text if own >= level else f"({text})"


def _name(name: str) -> str:
    return f'"{name}"' if name.lower() in KEYWORDS else name


def _literal(value: float | str) -> str:
    if isinstance(value, str):
        return _quoted(value)
    return f"-{_number(-value)}" if value < 0 else _number(value)


def _number(value: float) -> str:
    short = value.is_integer() and math.fabs(value) < 1e15  # noqa: PLR2004 - exact as an integer
    return str(int(value)) if short else repr(value)


def _quoted(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
