"""Rules: what they may say, how they are refused, and that every way to evaluate one agrees."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.contract.expression_parser import parse_expression
from churn_platform.contract.expression_values import column_values, evaluate
from churn_platform.contract.expressions import (
    DEEPEST,
    LONGEST,
    MOST_NODES,
    Arithmetic,
    Call,
    ColumnType,
    ColumnValue,
    ComparedValues,
    Expression,
    IsNull,
    Logical,
    Negative,
    Not,
    NumberValue,
    OneOf,
    RuleInvalid,
    TextValue,
    TruthValue,
    column_types,
    columns_of,
    written,
)
from churn_platform_tests.expression_trees import ROWS, trees

COLUMNS = {
    "visits": ColumnType("number"),
    "fee": ColumnType("number"),
    "autopay": ColumnType("truth"),
    "tier": ColumnType("text", ("basic", "plus")),
    "town": ColumnType("text"),
    "is": ColumnType("number"),
}
SIGNS = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def scores(text, rows):
    """The values of a rule for rows given as dictionaries."""
    parsed = parse_expression(text, COLUMNS)
    columns = {
        name: column_values(kind, [row.get(name) for row in rows])
        for name, kind in columns_of(parsed).items()
    }
    return evaluate(parsed, columns, len(rows)).tolist()


def score(text, **row):
    (found,) = scores(text, [row])
    return None if math.isnan(found) else found


@pytest.mark.parametrize(
    ("text", "row", "value"),
    [
        ("visits + 2 * fee - 1", {"visits": 3, "fee": 5.0}, 12),
        ("(visits + 2) * fee", {"visits": 3, "fee": 5.0}, 25),
        ("-visits - -fee", {"visits": 3, "fee": 5.0}, 2),
        ("10 - 4 - 3", {}, 3),
        ("8 / 4 / 2", {}, 1),
        ("fee / visits", {"visits": 0, "fee": 5.0}, None),
        ("1e308 * 10", {}, None),
        ("visits + fee", {"visits": 3}, None),
        ("visits > 2 and fee > 2", {"visits": 1}, 0),
        ("visits > 2 and fee > 2", {"visits": 3}, None),
        ("visits > 2 or fee > 2", {"visits": 3}, 1),
        ("visits > 2 or fee > 2", {"visits": 1}, None),
        ("not fee > 2", {}, None),
        ("NOT visits = 3 OR autopay", {"visits": 3, "autopay": True}, 1),
        ("not autopay", {"autopay": False}, 1),
        ("tier = 'plus'", {"tier": "plus"}, 1),
        ("tier != 'plus'", {}, None),
        ("tier in ('plus', 'basic')", {"tier": "basic"}, 1),
        ("tier not in ('plus', 'basic')", {"tier": "basic"}, 0),
        ("visits in (1, -2, 3)", {"visits": -2}, 1),
        ("visits in (1, 2)", {}, None),
        ("visits is null", {}, 1),
        ("visits is not null", {}, 0),
        ("town = 'St. John''s'", {"town": "St. John's"}, 1),
        ("town is null", {"town": float("nan")}, 1),
        ("coalesce(fee, visits, 7)", {"visits": 3}, 3),
        ("coalesce(town, 'none') = 'none'", {}, 1),
        ("abs(visits - 10)", {"visits": 3}, 7),
        ("min(visits, 4) + max(visits, 4, 9)", {"visits": 3}, 12),
        ("min(visits, fee)", {"visits": 3}, None),
        ("visits - 3 * autopay", {"visits": 3, "autopay": True}, 0),
        ("visits == 3 and fee <> 4", {"visits": 3, "fee": 5.0}, 1),
        ('"is" * 2', {"is": 4}, 8),
        (".5 + 1.5e1", {}, 15.5),
        ("7", {}, 7),
    ],
)
def test_a_rule_reads_like_sql(text, row, value):
    assert score(text, **row) == value
    canonical = written(parse_expression(text, COLUMNS))
    assert parse_expression(canonical, COLUMNS) == parse_expression(text, COLUMNS)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("", ["empty"]),
        ("  ", ["empty"]),
        ("visits +", ["character 9"]),
        ("tenure + 1", ["tenure", "character 1", "visits"]),
        ("visits > fee > 1", ["character 14", "and"]),
        ("visits + tier", ["+", "character 8", "tier", "text"]),
        ("visits and autopay", ["and", "visits", "number"]),
        ("not visits", ["not", "visits", "number"]),
        ("-tier", ["tier", "text"]),
        ("tier = 3", ["tier", "text", "number"]),
        ("coalesce(tier, 0) = 'a'", ["tier", "text", "number"]),
        ("tier < 'plus'", ["tier", "order"]),
        ("tier = 'gold'", ["tier", "gold", "basic, plus"]),
        ("tier in ('basic', 'gold')", ["gold"]),
        ("tier in (1)", ["tier", "text", "number"]),
        ("visits in (fee)", ["fee", "character 12"]),
        ("visits in (-'a')", ["character 12"]),
        ('tier = "plus"', ["'plus'", "single quotes"]),
        ("tier", ["tier", "text"]),
        ("visits = null", ["null", "is null"]),
        ("visits is 3", ["null"]),
        ("visits not 3", ["in"]),
        ("(visits + 1", ["')'", "character 1"]),
        ("visits + 1)", ["character 11"]),
        ("visits fee", ["fee", "character 8"]),
        ("sqrt(visits)", ["sqrt", "abs"]),
        ("abs(visits, 1)", ["abs", "one"]),
        ("max(visits)", ["max", "two"]),
        ("visits ** 2", ["character 9"]),
        ("visits; drop table x", [";", "character 7"]),
        ("town = 'open", ["character 8", "quote"]),
        ("__import__('os')", ["'_'", "character 1"]),
        ("visits.real", ["character 7"]),
        ("lambda: 1", [":"]),
        ("1e999", ["1e999"]),
        ("x" * (LONGEST + 1), [f"{LONGEST + 1}"]),
        ("(" * 60 + "1" + ")" * 60, [str(DEEPEST)]),
        ("+".join("1" * (MOST_NODES // 2 + 2)), [str(MOST_NODES)]),
    ],
)
def test_a_wrong_rule_is_refused_in_a_sentence_with_the_place(text, facts):
    with pytest.raises(RuleInvalid) as refused:
        parse_expression(text, COLUMNS)
    assert refused.value.code == "RULE_INVALID"
    message = str(refused.value)
    assert [fact for fact in facts if fact not in message] == []
    assert message.endswith(".")


def test_the_types_are_those_of_the_contract(gym):
    types = column_types(gym.features)
    assert types["tier"] == ColumnType("text", ("basic", "plus"))
    assert {name: one.kind for name, one in types.items()} == {
        "monthly_fee": "number",
        "tier": "text",
        "autopay": "truth",
        "visits": "number",
        "minutes": "number",
    }
    with pytest.raises(RuleInvalid):
        parse_expression("tier = 'gold'", types)
    parse_expression("tier = 'gold'", column_types(gym.features, other_values=True))


def reference(expression: Expression, row):  # noqa: C901, PLR0911, PLR0912 - one case per part of the language
    """The value of an expression for one row in plain Python; None is null."""

    def of(part):
        return reference(part, row)

    match expression:
        case ColumnValue():
            value = row[expression.name]
            return float(value) if isinstance(value, bool) else value
        case NumberValue() | TextValue():
            return expression.value
        case TruthValue():
            return float(expression.value)
        case Negative():
            value = of(expression.operand)
            return None if value is None else -value
        case Arithmetic():
            left, right = of(expression.left), of(expression.right)
            if left is None or right is None:
                return None
            try:
                found = {
                    "+": lambda: left + right,
                    "-": lambda: left - right,
                    "*": lambda: left * right,
                    "/": lambda: left / right,
                }[expression.operator]()
            except ZeroDivisionError:
                return None
            return found if math.isfinite(found) else None
        case ComparedValues():
            left, right = of(expression.left), of(expression.right)
            if left is None or right is None:
                return None
            return float(SIGNS[expression.operator](left, right))
        case Logical():
            sides = [of(expression.left), of(expression.right)]
            decides = 0.0 if expression.operator == "and" else 1.0
            if decides in sides:
                return decides
            return None if None in sides else 1.0 - decides
        case Not():
            value = of(expression.operand)
            return None if value is None else 1.0 - value
        case OneOf():
            value = of(expression.operand)
            return None if value is None else float(value in expression.values)
        case IsNull():
            return float(of(expression.operand) is None)
        case Call():
            values = [of(argument) for argument in expression.arguments]
            if expression.function == "coalesce":
                return next((value for value in values if value is not None), None)
            if None in values:
                return None
            return {"abs": abs, "min": min, "max": max}[expression.function](
                *values if expression.function == "abs" else (values,)
            )
    raise AssertionError(expression)


@settings(max_examples=150, deadline=None)
@given(tree=st.one_of(*trees(3)), rows=ROWS)
def test_every_expression_agrees_with_plain_python_row_by_row(tree, rows):
    def values(some):
        columns = {
            name: column_values(COLUMNS[name].kind, [row[name] for row in some])
            for name in ("visits", "fee", "autopay", "town")
        }
        return evaluate(tree, columns, len(some))

    together = values(rows)
    alone = np.concatenate([values([row]) for row in rows])
    assert together.tobytes() == alone.tobytes()
    expected = [reference(tree, row) for row in rows]
    assert [None if math.isnan(value) else value for value in together] == expected


@settings(max_examples=150, deadline=None)
@given(tree=st.one_of(*trees(3)))
def test_the_text_of_a_tree_parses_to_it(tree):
    text = written(tree)
    if len(text) <= LONGEST:
        try:
            again = parse_expression(text, COLUMNS)
        except RuleInvalid as refused:  # only for its size
            assert str(DEEPEST) in str(refused) or str(MOST_NODES) in str(refused)  # noqa: PT017
            return
        assert written(again) == text
        assert again == parse_expression(written(again), COLUMNS)


def test_zero_has_no_sign():
    assert math.copysign(1, score("0 * -visits", visits=3)) == 1


def test_a_million_customers_are_scored_as_one_is():
    random = np.random.default_rng(3)
    count = 1_000_000
    fee = np.where(random.random(count) < 0.1, np.nan, random.normal(20, 5, count))
    town = random.choice(np.array(["north", "south", None], dtype=object), count)
    columns = {"fee": fee, "town": town}
    rule = parse_expression("coalesce((town = 'north') * 0.3, 0.1) + fee / (fee - 20)", COLUMNS)
    found = evaluate(rule, columns, count)
    for place in (0, 1, 77, 999_999):
        row = {"fee": fee[place], "town": town[place]}
        one = scores("coalesce((town = 'north') * 0.3, 0.1) + fee / (fee - 20)", [row])
        assert np.float64(one[0]).tobytes() == found[place].tobytes()
