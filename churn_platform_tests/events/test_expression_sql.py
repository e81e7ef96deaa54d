"""Expressions as SQL mean what they mean in Python, and can be nothing but data."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_platform.contract.expression_parser import parse_expression
from churn_platform.contract.expression_values import column_values, evaluate
from churn_platform.contract.expressions import (
    Call,
    ColumnType,
    ColumnValue,
    ComparedValues,
    TextValue,
)
from churn_platform.events.expression_sql import expression_sql, quoted_name
from churn_platform_tests.expression_trees import ROWS, trees

KINDS = {"visits": "number", "fee": "number", "autopay": "truth", "town": "text"}
ARROW = pa.schema(
    {"visits": pa.int64(), "fee": pa.float64(), "autopay": pa.bool_(), "town": pa.string()}
)
TREES = st.one_of(*trees(3))


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"error_on_division_by_zero": False}) as opened:
        yield opened


def by_sql(connection, expressions, rows):
    """The values of each expression, as float64 with NaN for null."""
    table = pa.Table.from_pylist(rows, schema=ARROW)
    connection.register("rows", table)
    columns = [
        f"CAST({expression_sql(one)} AS DOUBLE) AS c{n}" for n, one in enumerate(expressions)
    ]
    found = connection.sql(f"SELECT {', '.join(columns)} FROM rows").fetchnumpy()
    return [np.ma.filled(found[f"c{n}"], np.nan) + 0.0 for n in range(len(expressions))]


def by_numpy(expressions, rows):
    columns = {
        name: column_values(kind, [row[name] for row in rows]) for name, kind in KINDS.items()
    }
    return [evaluate(one, columns, len(rows)) for one in expressions]


@settings(max_examples=40, deadline=None)
@given(some=st.lists(TREES, min_size=15, max_size=25), rows=ROWS)
def test_random_trees_have_equal_values(connection, some, rows):
    for one, sql, numpy in zip(
        some, by_sql(connection, some, rows), by_numpy(some, rows), strict=True
    ):
        assert np.array_equal(sql, numpy, equal_nan=True), one


@pytest.mark.parametrize(
    "text",
    [
        "0.1 + 0.2 = 0.3",
        "fee = 0.12345678901234567",
        "visits = 9007199254740993",
        "visits / 0 is null",
        "1e308 * 10 is null",
        "(1 / (1e308 * 10)) is null",
        "- - visits > 0",
        "not not autopay",
        "autopay + 1 = 2",
        "coalesce(autopay, false)",
        "coalesce(autopay, visits) = 1",
        "min(visits, fee, 2) is null",
        "max(autopay, false) = 1",
        "town in ('it''s', '')",
        "town not in ('basic')",
        "visits in (1, -2, 9007199254740992)",
    ],
)
def test_an_expression_means_in_sql_what_it_means_in_numpy(connection, text):
    types = {name: ColumnType(kind) for name, kind in KINDS.items()}
    rows = [
        {"visits": visits, "fee": fee, "autopay": autopay, "town": town}
        for visits in (None, 0, -2, 9007199254740993)
        for fee in (None, 0.1, 0.12345678901234567)
        for autopay in (None, True, False)
        for town in (None, "", "it's", "basic")
    ]
    parsed = [parse_expression(text, types)]
    (sql,), (numpy,) = by_sql(connection, parsed, rows), by_numpy(parsed, rows)
    assert np.array_equal(sql, numpy, equal_nan=True)


@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=20))
@settings(max_examples=15, deadline=None)
def test_a_text_is_always_only_text(connection, texts):
    rows = [{"visits": 1, "fee": 1.0, "autopay": True, "town": text} for text in texts]
    column = ColumnValue("town", "text")
    same = [ComparedValues("=", column, TextValue(text)) for text in texts]
    other = [ComparedValues("=", column, TextValue(f"{text}' OR 1=1 --")) for text in texts]
    found = by_sql(connection, same + other, rows)
    expected = [[float(text == one) for one in texts] for text in texts]
    assert [one.tolist() for one in found[: len(texts)]] == expected
    assert not np.any(found[len(texts) :])


def test_a_name_is_always_only_a_name(connection):
    name = 'a" FROM secrets; DROP TABLE x --'
    assert connection.sql(
        f"SELECT {quoted_name(name)} FROM (SELECT 5 AS {quoted_name(name)})"
    ).fetchall() == [(5,)]


def test_the_text_of_deep_expressions_grows_with_their_size_only():
    number = ColumnValue("fee", "number")
    deep = number
    for _ in range(40):
        deep = Call("min", (Call("abs", (deep,), "number"), number), "number")
    chain = parse_expression(
        " + ".join(["visits * 2"] * 30) + " > 1", {"visits": ColumnType("number")}
    )
    assert len(expression_sql(deep)) < 40 * 120
    assert len(expression_sql(chain)) < 60 * 160
