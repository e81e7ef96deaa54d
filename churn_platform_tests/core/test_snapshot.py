"""What a drop's tables become, and every fault that keeps one out."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from churn_platform.core.snapshot import (
    NULL_WORDS,
    Fault,
    canonical_dtypes,
    conform,
    feature_frame,
    missing_tables,
)

WHOLE = st.integers(-(2**63), 2**63 - 1)


@pytest.fixture(scope="session")
def read_as(declare):
    """Conforms values as the only column of a table: the typed values and the faults."""

    def read(given_forms, **spec):
        contract = declare(
            tables={
                "t": {"columns": {"x": spec, "y": {"dtype": "float", "nullable": True}}},
                "leavers": {"columns": {"has_left": {"dtype": "boolean"}}},
            },
            feature_views={"v": {"table": "t", "features": ["y"]}},
            slices=[],
        )
        values = given_forms if isinstance(given_forms, pd.Series) else pd.Series(given_forms, dtype=object)
        raw = pd.DataFrame({"member": [f"m{n:03d}" for n in range(len(values))], "x": values, "y": None})
        frame, faults = conform(contract, "t", raw)
        return frame["x"], faults

    return read


@pytest.fixture
def visits():
    """A sound table of visits, as strings."""
    return pd.DataFrame({"member": ["b", "a", "c"], "visits": ["1", "2", "3"], "minutes": ["10.5", "", "7"]})


def plain(values):
    """Values of a column with None for null."""
    return [None if pd.isna(value) else value for value in values]


def test_booleans_are_read_from_every_usual_word(read_as):
    yes = ["true", "True", "TRUE", "t", "yes", "Yes", "y", "1", "1.0", 1, 1.0, True, " yes "]
    no = ["false", "False", "f", "no", "No", "n", "N", "0", "0.0", 0, 0.0, False, "NO"]
    typed, faults = read_as([*yes, None, *no], dtype="boolean", nullable=True)
    assert (typed.dtype, plain(typed), faults) == ("boolean", [True] * 13 + [None] + [False] * 13, [])


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([True, False]),
        pd.Series([True, False], dtype="boolean"),
        pd.Series([1, 0], dtype="Int64"),
        pd.Series([1.0, 0.0]),
    ],
)
def test_booleans_that_are_typed_already_stay_what_they_are(read_as, values):
    typed, faults = read_as(values, dtype="boolean")
    assert (typed.dtype, plain(typed), faults) == ("boolean", [True, False], [])


def test_what_is_neither_true_nor_false_is_a_fault(read_as):
    bad = ["maybe", "2", 2, 0.5, "yess", "-1"]
    _, faults = read_as(["yes", *bad], dtype="boolean")
    assert [fault.sentence() for fault in faults] == [
        "table 't', column 'x': 6 values not true or false (found 'maybe', '2', '2' in rows 2, 3, 4, ...); mend the value."
    ]


@pytest.mark.parametrize("dtype", ["boolean", "integer", "float", "date"])
def test_a_null_that_the_contract_allows_stays_null_and_is_never_true(read_as, dtype):
    words = [*NULL_WORDS, "NULL", "NaN", " N/A ", None, np.nan, pd.NA, pd.NaT]
    typed, faults = read_as(words, dtype=dtype, nullable=True)
    assert (plain(typed), faults) == ([None] * len(words), [])
    _, refused = read_as(words, dtype=dtype)
    assert [(f.problem, f.examples) for f in refused] == [(f"{len(words)} values empty", ())]
    assert refused[0].rows == tuple(range(1, len(words) + 1))


@pytest.mark.parametrize("dtype", ["string", "category"])
def test_text_is_null_only_where_it_is_empty(read_as, dtype):
    typed, faults = read_as(["", None, np.nan, "No", "nan", 7], dtype=dtype, nullable=True)
    assert (plain(typed), faults) == ([None, None, None, "No", "nan", "7"], [])


def test_typed_nulls_stay_null_in_every_dtype(read_as):
    for dtype, typed in (
        ("boolean", "boolean"),
        ("integer", "Int64"),
        ("float", "Float64"),
        ("date", "datetime64[ns]"),
    ):
        values, faults = read_as(pd.Series([None, None], dtype=typed), dtype=dtype, nullable=True)
        assert (plain(values), faults) == ([None, None], [])


def test_whole_numbers_are_read_in_every_form(read_as):
    typed, faults = read_as(["3", "3.0", " -7 ", "+4", "1e3", 3.0, 3, "0", None], dtype="integer", nullable=True)
    assert (typed.dtype, plain(typed), faults) == ("Int64", [3, 3, -7, 4, 1000, 3, 3, 0, None], [])


def test_what_is_no_whole_number_of_64_bits_is_a_fault(read_as):
    bad = [
        "2.5",
        2.5,
        "three",
        "1,000",
        "0x1F",
        "inf",
        "-inf",
        "1e300",
        1e300,
        str(2**63),
        str(-(2**63) - 1),
        "9" * 400,
    ]
    typed, faults = read_as(["1", *bad, None], dtype="integer", nullable=True)
    assert [(fault.problem, fault.rows) for fault in faults] == [("12 values not a whole number", tuple(range(2, 14)))]
    assert plain(typed) == [1, *[None] * 13]


@given(numbers=st.lists(WHOLE, min_size=1, max_size=8), typed=st.booleans())
@example(numbers=[2**53 + 1, -(2**53) - 1], typed=False)
@example(numbers=[2**53 + 1, -(2**53) - 1], typed=True)
@settings(deadline=None, max_examples=15)
def test_no_whole_number_ever_becomes_its_neighbour(read_as, numbers, typed):
    values = pd.Series(pd.array(numbers, dtype="Int64")) if typed else [*map(str, numbers), ""]
    read, faults = read_as(values, dtype="integer", nullable=True)
    assert faults == []
    assert plain(read) == ([*numbers] if typed else [*numbers, None])


def test_numbers_are_read_in_every_form(read_as):
    typed, faults = read_as(["3.5", " 2", "-1e-3", 4, "1e308", None], dtype="float", nullable=True)
    assert (typed.dtype, plain(typed), faults) == ("float64", [3.5, 2.0, -0.001, 4.0, 1e308, None], [])


def test_an_infinity_or_a_decimal_comma_is_a_fault(read_as):
    typed, faults = read_as(["inf", "-Infinity", np.inf, -np.inf, "1,5", "abc", "1e400", "1"], dtype="float")
    assert [(fault.problem, fault.rows) for fault in faults] == [("7 values not a number", (1, 2, 3, 4, 5, 6, 7))]
    assert plain(typed) == [None] * 7 + [1.0]


def test_a_typed_infinity_is_a_fault(read_as):
    _, faults = read_as(pd.Series([1.0, np.inf, np.nan]), dtype="float", nullable=True)
    assert [(fault.problem, fault.rows, fault.examples) for fault in faults] == [
        ("1 value not a number", (2,), ("inf",))
    ]


def test_dates_are_read_as_written_whatever_their_time_and_zone(read_as):
    forms = [
        "2024-01-31", "20240131", "2024-01-31T23:30:00", "2024-01-31 23:30:00.25", "2024-01-31T23:30:00Z",
        "2024-01-31T00:30:00+02:00", "2024-01-31 23:30:00 -0500", "2024-01-31T23:30+01", dt.date(2024, 1, 31),
        dt.datetime(2024, 1, 31, 12), pd.Timestamp("2024-01-31T00:30:00", tz="Europe/Berlin"),
    ]  # fmt: skip
    typed, faults = read_as([*forms, None, "2024-02-29"], dtype="date", nullable=True)
    assert faults == []
    assert plain(typed) == [*[pd.Timestamp("2024-01-31")] * 11, None, pd.Timestamp("2024-02-29")]


def test_typed_dates_keep_their_date(read_as):
    for zone in (None, "UTC", "Asia/Tokyo"):
        values = pd.Series(pd.to_datetime(["2024-01-31T00:30", None])).dt.tz_localize(zone)
        typed, faults = read_as(values, dtype="date", nullable=True)
        assert (typed.dtype, plain(typed), faults) == ("datetime64[ns]", [pd.Timestamp("2024-01-31"), None], [])


def test_what_is_no_iso_date_is_a_fault(read_as):
    bad = ["31/01/2024", "2024-02-30", "45322", "soon", "2024-13-01", 45322]
    _, faults = read_as(["2024-01-31", *bad], dtype="date", nullable=True)
    assert [(fault.problem, fault.rows) for fault in faults] == [
        ("6 values not a date as 2024-01-31", (2, 3, 4, 5, 6, 7)),
    ]  # fmt: skip


def test_ranges_are_inclusive_and_name_their_bound(read_as):
    _, faults = read_as(["0", "10", "-1", "11", "12", ""], dtype="integer", min=0, max=10, nullable=True)
    assert [fault.sentence() for fault in faults] == [
        (
            "table 't', column 'x': 1 value below the minimum 0 (found '-1' in row 3); mend the file or widen min in the "
            "contract."
        ),
        (
            "table 't', column 'x': 2 values above the maximum 10 (found '11', '12' in rows 4, 5); mend the file or widen max "
            "in the contract."
        ),
    ]
    _, faults = read_as([0.5, 2.25, 2.5], dtype="float", min=0.5, max=2.25)
    assert [(f.problem, f.rows, f.examples) for f in faults] == [("1 value above the maximum 2.25", (3,), ("2.5",))]


def test_an_unknown_category_is_named_with_the_allowed_ones(read_as):
    _, faults = read_as(["basic", "gold", "", "Basic"], dtype="category", values=["basic", "plus"], nullable=True)
    assert [fault.sentence() for fault in faults] == [
        (
            "table 't', column 'x': 2 values outside the allowed basic, plus (found 'gold', 'Basic' in rows 2, 4); add the "
            "value to the contract or mend the file."
        )
    ]


def test_a_category_without_listed_values_takes_any(read_as):
    assert read_as(["anything", "else"], dtype="category")[1] == []


def test_only_the_first_three_rows_are_shown_and_all_are_kept(read_as):
    _, faults = read_as([f"x{n}" for n in range(7)], dtype="float")
    assert faults[0].rows == (1, 2, 3, 4, 5, 6, 7)
    assert faults[0].sentence() == (
        "table 't', column 'x': 7 values not a number (found 'x0', 'x1', 'x2' in rows 1, 2, 3, ...); mend the value."
    )


def test_a_long_value_is_shown_cut(read_as):
    _, faults = read_as(["x" * 10_000], dtype="float")
    assert len(faults[0].sentence()) < 150


def test_a_sound_table_comes_out_typed_sorted_and_without_other_columns(gym, visits):
    frame, faults = conform(gym, "visits", visits.assign(shoe_size="43")[["minutes", "shoe_size", "visits", "member"]])
    assert faults == []
    assert frame.columns.tolist() == ["member", "visits", "minutes"]
    assert frame["member"].tolist() == ["a", "b", "c"]
    assert frame["visits"].tolist() == [2, 1, 3]
    assert plain(frame["minutes"]) == [None, 10.5, 7.0]
    assert frame.index.tolist() == [0, 1, 2]


def test_a_typed_table_reads_like_the_same_table_as_strings(gym, visits):
    typed = visits.assign(
        visits=pd.array([1, 2, 3], dtype="Int64"), minutes=[10.5, np.nan, 7.0], member=visits["member"].astype("string")
    )
    pd.testing.assert_frame_equal(conform(gym, "visits", typed)[0], conform(gym, "visits", visits)[0])


def test_all_faults_of_a_table_are_found_at_once_with_rows_and_examples(declare):
    raw = pd.DataFrame(
        {
            "member": ["1", "x", "", "3", "3", "4"],
            "tier": ["basic", "gold", "plus", "", "plus", "plus"],
            "autopay": ["yes", "", "perhaps", "no", "no", "no"],
            "monthly_fee": ["9.5", "", "-1", "free", "2", "3"],
        }
    )
    contract = declare(entity={"column": "member", "dtype": "integer"})
    _, faults = conform(contract, "plans", raw)
    assert {(f.column, f.problem, f.rows, f.examples) for f in faults} == {
        ("member", "1 value not a whole number", (2,), ("x",)),
        ("member", "1 value empty", (3,), ()),
        ("member", "2 values of a key that must be unique repeated", (4, 5), ("3", "3")),
        ("tier", "1 value outside the allowed basic, plus", (2,), ("gold",)),
        ("tier", "1 value empty", (4,), ()),
        ("autopay", "1 value not true or false", (3,), ("perhaps",)),
        ("monthly_fee", "1 value not a number", (4,), ("free",)),
        ("monthly_fee", "1 value empty", (2,), ()),
        ("monthly_fee", "1 value below the minimum 0", (3,), ("-1.0",)),
    }
    assert all(fault.table == "plans" for fault in faults)


def test_a_repeated_key_is_a_fault_and_says_what_to_do(gym, visits):
    frame, faults = conform(gym, "visits", visits.assign(member=["b", "a", "b"]))
    assert [fault.sentence() for fault in faults] == [
        (
            "table 'visits', column 'member': 2 values of a key that must be unique repeated (found 'b', 'b' in rows 1, 3); "
            "deliver one row a customer."
        )
    ]
    assert frame["member"].tolist() == ["b", "a", "b"]


def test_an_empty_key_is_a_fault_and_shows_no_value(gym, visits):
    _, faults = conform(gym, "visits", visits.assign(member=["b", "", None]))
    assert [fault.sentence() for fault in faults] == [
        "table 'visits', column 'member': 2 values empty (in rows 2, 3); fill them or set nullable: true in the contract."
    ]


def test_faults_of_the_header_come_together_and_before_any_value_is_judged(gym, visits):
    raw = visits.assign(visits="many").drop(columns="minutes")
    raw = pd.concat([raw, raw[["visits"]]], axis=1)
    assert [fault.sentence() for fault in conform(gym, "visits", raw)[1]] == [
        "table 'visits', column 'visits': the header names this column twice; name every column once.",
        (
            "table 'visits', column 'minutes': the column is missing; the file has the columns member, visits, visits: rename "
            "or add it."
        ),
    ]


def test_a_column_that_the_contract_does_not_know_may_not_repeat_either(gym, visits):
    raw = pd.concat(
        [visits, visits[["visits"]].set_axis(["x"], axis=1), visits[["visits"]].set_axis(["x"], axis=1)], axis=1
    )
    assert [fault.column for fault in conform(gym, "visits", raw)[1]] == ["x"]


def test_an_empty_table_is_a_fault(gym, visits):
    assert [fault.sentence() for fault in conform(gym, "visits", visits.iloc[:0])[1]] == [
        "table 'visits': the table has no rows; deliver the month's rows."
    ]


def test_a_fault_of_one_row_says_row_and_one_without_rows_says_none():
    assert Fault("t", "c", "1 value odd", "mend it", (4,), ("q",)).sentence() == (
        "table 't', column 'c': 1 value odd (found 'q' in row 4); mend it."
    )
    assert Fault("t", "", "there is no file", "deliver it").sentence() == "table 't': there is no file; deliver it."


def test_a_first_delivery_needs_every_table_but_the_labels(gym):
    faults = missing_tables(gym, {"plans"})
    assert [fault.table for fault in faults] == ["people", "visits"]
    assert faults[0].sentence() == (
        "table 'people': there is no file for this table; deliver people.csv or people.parquet."
    )
    assert missing_tables(gym, {"plans", "people", "visits"}) == []


def test_the_key_comes_before_a_table_s_own_columns(gym):
    columns = gym.delivered("plans")
    assert list(columns) == ["member", "tier", "autopay", "monthly_fee"]
    assert (columns["member"].dtype, columns["member"].nullable) == ("string", False)


def test_every_feature_has_one_dtype_whichever_store_it_came_from(gym):
    assert canonical_dtypes(gym) == {
        "monthly_fee": "float64", "tier": "object", "autopay": "boolean", "visits": "Int64", "minutes": "float64",
    }  # fmt: skip


@pytest.fixture
def tables():
    """A month's published tables; a is missing in plans, b in visits, c in people."""
    return {
        "people": pd.DataFrame({"member": ["a", "b"], "joined": pd.NaT, "region": ["north", "south"]}),
        "visits": pd.DataFrame(
            {"member": ["a", "c"], "visits": pd.array([3, 4], dtype="Int64"), "minutes": [30.0, 40.0]}
        ),
        "plans": pd.DataFrame(
            {
                "member": ["c", "b"],
                "tier": ["plus", "basic"],
                "autopay": pd.array([True, None], dtype="boolean"),
                "monthly_fee": [20.0, 10.0],
            }
        ),
    }


def test_the_feature_frame_has_every_customer_and_null_where_a_table_lacks_one(gym, tables):
    frame = feature_frame(gym, tables)
    assert frame.columns.tolist() == ["member", "monthly_fee", "tier", "autopay", "visits", "minutes", "region"]
    assert [plain(row) for row in frame.itertuples(index=False)] == [
        ["a", None, None, None, 3, 30.0, "north"],
        ["b", 10.0, "basic", None, None, None, "south"],
        ["c", 20.0, "plus", True, 4, 40.0, None],
    ]
    assert (frame["autopay"].dtype, frame["visits"].dtype) == ("boolean", "Int64")


def test_a_slice_that_is_a_feature_too_is_one_column_even_where_two_tables_have_the_name(declared, declare, tables):
    two = {
        **declared["tables"],
        "people": {"columns": {"tier": {"dtype": "category"}, "region": {"dtype": "category"}}},
    }
    contract = declare(tables=two)
    assert contract.carried == {"region": "people"}
    frame = feature_frame(contract, {**tables, "people": tables["people"].assign(tier="other")})
    assert frame.columns.tolist() == ["member", "monthly_fee", "tier", "autopay", "visits", "minutes", "region"]
    assert plain(frame["tier"]) == [None, "basic", "plus"]


def test_a_business_without_slices_has_no_slice_columns(declare, tables):
    assert feature_frame(declare(slices=[]), tables).columns.tolist() == [
        "member", "monthly_fee", "tier", "autopay", "visits", "minutes",
    ]  # fmt: skip
