"""What a drop's tables become, and every fault that keeps a row or a whole table out."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from churn_platform.ingestion.rules import conform, header_faults, missing_tables
from churn_platform.lake.tables import canonical_dtypes, feature_frame

JANUARY = dt.date(2024, 1, 31)


@pytest.fixture
def visits():
    """A sound table of visits, as strings."""
    return pd.DataFrame(
        {"member": ["b", "a", "c"], "visits": ["1", "2", "3"], "minutes": ["10.5", "", "7"]}
    )


@pytest.fixture
def wide(declare):
    """One table that holds the label, too; `nullable` says whether labels may come later."""

    def make(nullable):
        columns = {"fee": {"dtype": "float"}, "gone": {"dtype": "boolean", "nullable": nullable}}
        return declare(
            tables={"all": {"columns": columns}},
            label={"table": "all", "column": "gone"},
            feature_views={"v": {"table": "all", "features": ["fee"]}},
            slices=[],
        )

    return make


def plain(values):
    """Values of a column with None for null."""
    return [None if pd.isna(value) else value for value in values]


def found(faults):
    """Each fault as column, code and rows."""
    return {(fault.column, fault.code, fault.rows) for fault in faults}


def test_a_sound_table_comes_out_typed_sorted_and_without_other_columns(gym, visits):
    frame, faults = conform(
        gym, "visits", visits.assign(shoe_size="43")[["minutes", "shoe_size", "visits", "member"]]
    )
    assert faults == []
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "member": "string", "visits": "Int64", "minutes": "float64",
    }  # fmt: skip
    assert frame["member"].tolist() == ["a", "b", "c"]
    assert frame["visits"].tolist() == [2, 1, 3]
    assert plain(frame["minutes"]) == [None, 10.5, 7.0]
    assert frame.index.tolist() == [0, 1, 2]


def test_a_typed_table_reads_like_the_same_table_as_strings(gym, visits):
    typed = visits.assign(
        visits=pd.array([1, 2, 3], dtype="Int64"),
        minutes=[10.5, np.nan, 7.0],
        member=visits["member"].astype("string"),
    )
    typed.index = [7, 8, 9]
    pd.testing.assert_frame_equal(
        conform(gym, "visits", typed)[0], conform(gym, "visits", visits)[0]
    )


def test_the_raw_table_is_left_as_it_was(gym, visits):
    before = visits.copy()
    conform(gym, "visits", visits)
    pd.testing.assert_frame_equal(visits, before)


def test_all_faults_of_a_table_are_found_at_once_and_its_sound_rows_come_out(declare):
    raw = pd.DataFrame(
        {
            "member": ["1", "x", "", "3", "3", "4", "5"],
            "tier": ["basic", "gold", "plus", "", "plus", "plus", "plus"],
            "autopay": ["yes", "", "perhaps", "no", "no", "no", ""],
            "monthly_fee": ["9.5", "", "-1", "free", "2", "1,5", "3"],
        }
    )
    contract = declare(entity={"column": "member", "dtype": "integer"})
    frame, faults = conform(contract, "plans", raw)
    assert found(faults) == {
        ("member", "not_a_whole_number", (2,)),
        ("member", "empty_key", (3,)),
        ("member", "conflicting_key", (4, 5)),
        ("tier", "unknown_category", (2,)),
        ("tier", "empty", (4,)),
        ("autopay", "not_a_boolean", (3,)),
        ("monthly_fee", "not_a_number", (4,)),
        ("monthly_fee", "decimal_comma", (6,)),
        ("monthly_fee", "empty", (2,)),
        ("monthly_fee", "below_min", (3,)),
    }
    assert all((fault.table, fault.of_cells) == ("plans", True) for fault in faults)
    assert frame["member"].tolist() == [1, 5]


def test_a_sentence_names_the_file_its_header_the_values_and_what_is_allowed(declared, declare):
    tables = {
        **declared["tables"],
        "plans": {"columns": {**declared["tables"]["plans"]["columns"]}},
    }
    tables["plans"]["columns"]["tier"] = {
        "dtype": "category",
        "values": ["basic", "plus"],
        "source": "Your Tier",
    }
    raw = pd.DataFrame(
        {
            "member": ["a", "b"],
            "Your Tier": ["gold", "plus"],
            "autopay": ["", ""],
            "monthly_fee": ["1", "-2"],
        }
    )
    _, faults = conform(declare(tables=tables), "plans", raw, file="plans.csv")
    assert [fault.sentence() for fault in faults] == [
        (
            "plans.csv, column 'Your Tier': 1 value outside the allowed basic, plus (found 'gold' in row 1); add the value "
            "to the contract or fix the file."
        ),
        (
            "plans.csv, column 'monthly_fee': 1 value below the minimum 0 (found '-2' in row 2); fix the file or widen min "
            "in the contract."
        ),
    ]


def test_excel_s_number_of_a_date_is_translated(declare):
    contract = declare()
    raw = pd.DataFrame(
        {"member": ["a", "b"], "joined": ["45322", "2024-01-31"], "region": ["x", "y"]}
    )
    [fault] = conform(contract, "people", raw)[1]
    assert (fault.code, fault.column, fault.rows) == ("excel_date", "joined", (1,))
    assert "2024-01-31" in fault.says
    assert "date_format: excel" in fault.remedy


def test_a_decimal_comma_is_read_where_the_contract_says_so(declare, visits):
    raw = visits.assign(minutes=["10,5", "", "7"])
    assert found(conform(declare(), "visits", raw)[1]) == {("minutes", "decimal_comma", (1,))}
    frame, faults = conform(declare(files={"delimiter": ";", "decimal": ","}), "visits", raw)
    assert (plain(frame["minutes"]), faults) == ([None, 10.5, 7.0], [])


def test_exact_duplicates_leave_one_row_and_no_fault(gym, visits):
    twice = pd.concat([visits, visits.iloc[[0, 0, 2]].assign(visits=["1", "1.0", "3"])])
    frame, faults = conform(gym, "visits", twice)
    assert faults == []
    assert frame["member"].tolist() == ["a", "b", "c"]


def test_a_header_between_the_rows_is_no_customer(gym, visits):
    header = pd.DataFrame([list(visits.columns)] * 2, columns=visits.columns)
    frame, faults = conform(gym, "visits", pd.concat([visits, header], ignore_index=True))
    assert (frame["member"].tolist(), faults) == (["a", "b", "c"], [])
    named = visits.assign(
        member=["member", "a", "c"]
    )  # a customer of that name has values of its own
    assert conform(gym, "visits", named)[0]["member"].tolist() == ["a", "c", "member"]


def test_of_exact_duplicates_with_a_fault_one_is_faulty(gym, visits):
    raw = pd.concat([visits, visits.iloc[[0, 0]]]).assign(visits=["99", "2", "3", "99", "99"])
    frame, faults = conform(gym, "visits", raw)
    assert found(faults) == {("visits", "above_max", (1,))}
    assert frame["member"].tolist() == ["a", "c"]


def test_every_row_of_a_key_with_other_values_is_a_fault(gym, visits):
    raw = pd.concat([visits, visits.iloc[[0, 0]].assign(visits=["1", "9"])])
    frame, faults = conform(gym, "visits", raw)
    assert [fault.sentence() for fault in faults] == [
        (
            "table 'visits', column 'member': 2 values of a key repeated with other values (found 'b', 'b' in rows 1, 5); "
            "deliver one row per customer."
        )
    ]
    assert frame["member"].tolist() == ["a", "c"]


def test_two_rows_that_cannot_be_read_are_no_exact_duplicates(gym, visits):
    raw = pd.concat([visits, visits.iloc[[0]]]).assign(visits=["one", "2", "3", "eins"])
    frame, faults = conform(gym, "visits", raw)
    assert found(faults) == {
        ("visits", "not_a_whole_number", (1, 4)),
        ("member", "conflicting_key", (1, 4)),
    }
    assert frame["member"].tolist() == ["a", "c"]


def test_empty_keys_are_faults_of_their_own_and_never_duplicates(gym, visits):
    _, faults = conform(gym, "visits", visits.assign(member=["b", "", None]))
    assert [fault.sentence() for fault in faults] == [
        "table 'visits', column 'member': 2 values empty (in rows 2, 3); every row needs its key."
    ]


def test_a_text_key_keeps_its_leading_zeros_and_may_have_no_spaces_around_it(gym, visits):
    frame, faults = conform(gym, "visits", visits.assign(member=["007", "07", "7 "]))
    assert frame["member"].tolist() == ["007", "07"]
    assert found(faults) == {("member", "key_with_spaces", (3,))}


def test_a_whole_number_key_may_have_neither(declare, visits):
    contract = declare(entity={"column": "member", "dtype": "integer"})
    raw = pd.concat([visits, visits])[:5].assign(member=["007", " 8", "-09", "0", "10"])
    frame, faults = conform(contract, "visits", raw)
    assert frame["member"].tolist() == [0, 10]
    assert found(faults) == {
        ("member", "key_with_leading_zeros", (1, 3)),
        ("member", "key_with_spaces", (2,)),
    }


@pytest.mark.parametrize("dtype", ["string", "integer"])
def test_a_key_of_floating_point_numbers_is_whole_or_a_fault(declare, visits, dtype):
    contract = declare(entity={"column": "member", "dtype": dtype})
    whole = conform(contract, "visits", visits.assign(member=[100938.0, 7.0, 2.0**53 - 1]))[0]
    assert sorted(str(key) for key in whole["member"]) == ["100938", "7", "9007199254740991"]
    for keys, code in (
        ([1.5, 7.0, np.inf], "key_with_fraction"),
        ([2.0**53, 7.0, -(2.0**60)], "key_with_lost_digits"),
    ):
        frame, faults = conform(contract, "visits", visits.assign(member=keys))
        assert found(faults) == {("member", code, (1, 3))}
        assert frame["member"].tolist() == ["7" if dtype == "string" else 7]
    single = conform(
        contract, "visits", visits.assign(member=np.array([2**24, 7, 8], dtype="float32"))
    )[1]
    assert found(single) == {("member", "key_with_lost_digits", (1,))}


@pytest.mark.parametrize("dtype", ["integer", "float"])
def test_a_label_other_than_0_and_1_is_a_fault_unless_it_is_declared_missing(declare, dtype):
    def contract(**more):
        column = {"dtype": dtype, "nullable": True, **more}
        return declare(
            tables={
                "visits": {"columns": {"visits": {"dtype": "integer"}}},
                "outcome": {"columns": {"left": column}},
            },
            label={"table": "outcome", "column": "left"},
            feature_views={"v": {"table": "visits", "features": ["visits"]}},
            slices=[],
        )

    raw = pd.DataFrame({"member": ["a", "b", "c", "d"], "left": ["0", "9", "1", "2"]})
    [fault] = conform(contract(), "outcome", raw)[1]
    assert (fault.code, fault.rows) == ("label_not_binary", (2, 4))
    assert "missing" in fault.remedy
    frame, faults = conform(contract(missing=["9"]), "outcome", raw)
    assert found(faults) == {("left", "label_not_binary", (4,))}
    assert plain(frame["left"]) == [0, None, 1]


def test_a_single_customer_is_a_table(gym, visits):
    frame, faults = conform(gym, "visits", visits[:1])
    assert (frame["member"].tolist(), faults) == (["b"], [])


def test_a_date_with_an_age_after_the_as_of_was_not_known_then(declared, declare):
    tables = {**declared["tables"]}
    tables["people"] = {**tables["people"], "ages": {"tenure": {"of": "joined", "unit": "months"}}}
    raw = pd.DataFrame(
        {"member": ["a", "b"], "joined": ["2024-01-31", "2024-02-01"], "region": ["x", "y"]}
    )
    frame, faults = conform(declare(tables=tables), "people", raw, as_of=JANUARY)
    assert frame["member"].tolist() == ["a"]
    assert [fault.problem for fault in faults] == [
        "1 value after the as_of 2024-01-31: not known then"
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


def test_a_column_that_the_contract_does_not_know_may_not_repeat_either(gym):
    header = ["member", "visits", "minutes", "x", "x"]
    assert [(f.code, f.column) for f in header_faults(gym, "visits", header)] == [
        ("repeated_column", "x")
    ]


def test_a_first_line_that_names_no_column_is_no_header(gym):
    [fault] = header_faults(gym, "visits", ["m1", "3", "7.5"], "visits.csv")
    assert fault.sentence() == (
        "visits.csv: the first line names no column of the contract (found 'm1, 3, 7.5'); begin with a header line: "
        "member, visits, minutes."
    )


def test_the_label_of_a_wide_table_may_be_absent_or_empty_only_where_it_may_be_null(wide):
    raw = pd.DataFrame({"member": ["a", "b"], "fee": ["1", "2"]})
    for later in (raw, raw.assign(gone="")):
        frame, faults = conform(wide(nullable=True), "all", later)
        assert (plain(frame["gone"]), str(frame["gone"].dtype), faults) == (
            [None, None],
            "boolean",
            [],
        )
    assert found(conform(wide(nullable=False), "all", raw)[1]) == {("gone", "missing_column", ())}
    assert found(conform(wide(nullable=False), "all", raw.assign(gone=["yes", ""]))[1]) == {
        ("gone", "empty", (2,))
    }


def test_labels_of_a_wide_table_that_come_alone_must_be_there(wide):
    raw = pd.DataFrame({"member": ["a"]})
    assert found(conform(wide(nullable=True), "all_label", raw)[1]) == {
        ("gone", "missing_column", ())
    }


def test_an_empty_table_is_a_fault(gym, visits):
    assert [fault.sentence() for fault in conform(gym, "visits", visits.iloc[:0])[1]] == [
        "table 'visits': the table has no rows; deliver the month's rows."
    ]


def test_a_first_delivery_needs_every_table_but_the_labels(gym):
    faults = missing_tables(gym, {"plans"}, ("people.CSV", "plans.csv"))
    assert [fault.table for fault in faults] == ["people", "visits"]
    assert faults[0].sentence() == (
        "table 'people': there is no file for this table; deliver people.csv or people.parquet; the folder holds "
        "people.CSV, plans.csv."
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
        "people": pd.DataFrame(
            {"member": ["a", "b"], "joined": pd.NaT, "region": ["north", "south"]}
        ),
        "visits": pd.DataFrame(
            {
                "member": ["a", "c"],
                "visits": pd.array([3, 4], dtype="Int64"),
                "minutes": [30.0, 40.0],
            }
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
    assert frame.columns.tolist() == [
        "member",
        "monthly_fee",
        "tier",
        "autopay",
        "visits",
        "minutes",
        "region",
    ]
    assert [plain(row) for row in frame.itertuples(index=False)] == [
        ["a", None, None, None, 3, 30.0, "north"],
        ["b", 10.0, "basic", None, None, None, "south"],
        ["c", 20.0, "plus", True, 4, 40.0, None],
    ]
    assert (frame["autopay"].dtype, frame["visits"].dtype) == ("boolean", "Int64")


def test_a_slice_that_is_a_feature_too_is_one_column_even_where_two_tables_have_the_name(
    declared, declare, tables
):
    two = {
        **declared["tables"],
        "people": {"columns": {"tier": {"dtype": "category"}, "region": {"dtype": "category"}}},
    }
    contract = declare(tables=two)
    assert contract.carried == {"region": "people"}
    frame = feature_frame(contract, {**tables, "people": tables["people"].assign(tier="other")})
    assert frame.columns.tolist() == [
        "member",
        "monthly_fee",
        "tier",
        "autopay",
        "visits",
        "minutes",
        "region",
    ]
    assert plain(frame["tier"]) == [None, "basic", "plus"]


def test_a_business_without_slices_has_no_slice_columns(declare, tables):
    assert feature_frame(declare(slices=[]), tables).columns.tolist() == [
        "member", "monthly_fee", "tier", "autopay", "visits", "minutes",
    ]  # fmt: skip
