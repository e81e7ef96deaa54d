"""Random expressions, and random rows that they can read."""

from hypothesis import strategies as st

from churn_platform.contract.expressions import (
    Arithmetic,
    Call,
    ColumnValue,
    ComparedValues,
    IsNull,
    Logical,
    Negative,
    Not,
    NumberValue,
    OneOf,
    TextValue,
    TruthValue,
)

COMPARISONS = ("!=", "<", "<=", "=", ">", ">=")
FINITE = st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, 1.0, 1e308, -1e308, 5e-324])
WORDS = st.sampled_from(["basic", "plus", "", "it's"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "visits": st.none() | st.integers(-5, 5).map(float),
            "fee": st.none() | FINITE,
            "autopay": st.none() | st.booleans(),
            "town": st.none() | WORDS,
        }
    ),
    min_size=1,
    max_size=17,
)
NUMBERS = (
    st.sampled_from([ColumnValue("visits", "number"), ColumnValue("fee", "number")])
    | FINITE.map(abs).map(NumberValue)
)  # fmt: skip
TEXTS = st.just(ColumnValue("town", "text")) | WORDS.map(TextValue)
TRUTHS = st.just(ColumnValue("autopay", "truth")) | st.booleans().map(TruthValue)


def trees(depth):
    """Numbers and truth values of at most this depth."""
    if not depth:
        return NUMBERS, TRUTHS
    number, truth = trees(depth - 1)
    either = number | truth
    numbers = (
        number
        | st.builds(Negative, either)
        | st.builds(Arithmetic, st.sampled_from("+-*/"), either, either)
        | st.builds(lambda a, b: Call("coalesce", (a, b), "number"), number, number)
        | st.builds(lambda a: Call("abs", (a,), "number"), either)
        | st.builds(
            lambda name, some: Call(name, tuple(some), "number"),
            st.sampled_from(["min", "max"]),
            st.lists(either, min_size=2, max_size=3),
        )
    )
    truths = (
        truth
        | st.builds(ComparedValues, st.sampled_from(COMPARISONS), either, either)
        | st.builds(ComparedValues, st.sampled_from(["=", "!="]), TEXTS, TEXTS)
        | st.builds(Logical, st.sampled_from(["and", "or"]), truth, truth)
        | st.builds(Not, truth)
        | st.builds(
            lambda a, v: OneOf(a, tuple(v)), either, st.lists(FINITE, min_size=1, max_size=3)
        )
        | st.builds(lambda a, v: OneOf(a, tuple(v)), TEXTS, st.lists(WORDS, min_size=1, max_size=3))
        | st.builds(IsNull, either | TEXTS)
    )
    return numbers, truths
