"""What a drop's tables become, and every fault that keeps a row or a complete table out."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from churn_platform.ingestion.rules import conform, header_faults, missing_tables
from churn_platform_tests.gym import plain

JANUARY = dt.date(2024, 1, 31)


@pytest.fixture
def visits():
    """A valid table of visits, as strings."""
    return pd.DataFrame(
        {"member": ["b", "a", "c"], "visits": ["1", "2", "3"], "minutes": ["10.5", "", "7"]}
    )


@pytest.fixture
def wide(declare):
    """One table that holds the label, too; `nullable`: whether labels may come later."""

    def make(nullable):
        columns = {"fee": {"dtype": "float"}, "gone": {"dtype": "boolean", "nullable": nullable}}
        return declare(
            tables={"all": {"columns": columns}},
            label={"table": "all", "column": "gone"},
            feature_views={"v": {"table": "all", "features": ["fee"]}},
            slices=[],
        )

    return make


def found(faults):
    """Each fault as column, code and rows."""
    return {(fault.column, fault.code, fault.rows) for fault in faults}


def test_a_valid_table_comes_out_typed_sorted_and_without_other_columns(gym, visits):
    before = visits.copy()
    raw = visits.assign(shoe_size="43")[["minutes", "shoe_size", "visits", "member"]]
    frame, faults = conform(gym, "visits", raw)
    assert faults == []
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "member": "string", "visits": "Int64", "minutes": "float64",
    }  # fmt: skip
    assert frame["member"].tolist() == ["a", "b", "c"]
    assert frame["visits"].tolist() == [2, 1, 3]
    assert plain(frame["minutes"]) == [None, 10.5, 7.0]
    assert frame.index.tolist() == [0, 1, 2]
    pd.testing.assert_frame_equal(visits, before)


def test_all_faults_of_a_table_are_found_at_once_and_its_valid_rows_come_out(declare):
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


def test_a_fault_names_the_file_its_header_the_values_and_what_is_allowed(declared, declare):
    columns = dict(declared["tables"]["plans"]["columns"])
    columns["tier"] = {"dtype": "category", "values": ["basic", "plus"], "source": "Your Tier"}
    contract = declare(tables={**declared["tables"], "plans": {"columns": columns}})
    raw = pd.DataFrame(
        {
            "member": ["a", "b"],
            "Your Tier": ["gold", "plus"],
            "autopay": "",
            "monthly_fee": ["1", "-2"],
        }
    )
    tier, fee = conform(contract, "plans", raw, file="plans.csv")[1]
    assert (tier.file, tier.column, tier.examples) == ("plans.csv", "Your Tier", ("gold",))
    assert "basic, plus" in tier.says
    assert (fee.column, fee.examples, fee.rows) == ("monthly_fee", ("-2",), (2,))
    assert "minimum 0" in fee.says


def test_excel_s_number_of_a_date_is_translated(declare):
    raw = pd.DataFrame({"member": ["a", "b"], "joined": ["45322", "2024-01-31"], "region": "x"})
    [fault] = conform(declare(), "people", raw)[1]
    assert (fault.code, fault.column, fault.rows) == ("excel_date", "joined", (1,))
    assert "2024-01-31" in fault.says
    assert "date_format: excel" in fault.remedy


@pytest.mark.parametrize(
    ("again", "values", "faults", "left"),
    [
        ([0, 0, 2], {"visits": ["1", "2", "3", "1", "1.0", "3"]}, set(), ["a", "b", "c"]),
        ([0, 0], {"visits": ["99", "2", "3", "99", "99"]}, {("visits", "above_max", (1,))}, ["a", "c"]),
        ([0, 0], {"visits": ["1", "2", "3", "1", "9"]}, {("member", "conflicting_key", (1, 5))}, ["a", "c"]),
        (
            [0],
            {"visits": ["one", "2", "3", "eins"]},
            {("visits", "not_a_whole_number", (1, 4)), ("member", "conflicting_key", (1, 4))},
            ["a", "c"],
        ),
        ([], {"member": ["b", "", None]}, {("member", "empty_key", (2, 3))}, ["b"]),
        ([], {"member": ["007", "07", "7 "]}, {("member", "key_with_spaces", (3,))}, ["007", "07"]),
    ],
    ids=["exact", "faulty", "other values", "unreadable", "empty keys", "text keys"],
)  # fmt: skip
def test_repeated_rows_and_keys(gym, visits, again, values, faults, left):
    frame, seen = conform(gym, "visits", pd.concat([visits, visits.iloc[again]]).assign(**values))
    assert found(seen) == faults
    assert frame["member"].tolist() == left


def test_a_header_between_the_rows_is_not_a_customer(gym, visits):
    header = pd.DataFrame([list(visits.columns)] * 2, columns=visits.columns)
    frame, faults = conform(gym, "visits", pd.concat([visits, header], ignore_index=True))
    assert (frame["member"].tolist(), faults) == (["a", "b", "c"], [])
    # A customer of that name has values of its own.
    named = conform(gym, "visits", visits.assign(member=["member", "a", "c"]))[0]
    assert named["member"].tolist() == ["a", "c", "member"]


def test_a_whole_number_key_has_neither_leading_zeros_nor_spaces(declare, visits):
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
    single = visits.assign(member=np.array([2**24, 7, 8], dtype="float32"))
    assert found(conform(contract, "visits", single)[1]) == {
        ("member", "key_with_lost_digits", (1,))
    }


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


def test_faults_of_the_header_come_together_and_before_any_value_is_judged(gym, visits):
    raw = visits.assign(visits="many").drop(columns="minutes")
    raw = pd.concat([raw, raw[["visits"]]], axis=1)
    assert found(conform(gym, "visits", raw)[1]) == {
        ("visits", "repeated_column", ()),
        ("minutes", "missing_column", ()),
    }
    assert found(header_faults(gym, "visits", ["member", "visits", "minutes", "x", "x"])) == {
        ("x", "repeated_column", ())
    }
    assert found(conform(gym, "visits", visits[:0])[1]) == {("", "no_rows", ())}


def test_the_label_of_a_wide_table_is_absent_or_empty_only_where_it_may_be_null(wide):
    raw = pd.DataFrame({"member": ["a", "b"], "fee": ["1", "2"]})
    for later in (raw, raw.assign(gone="")):
        frame, faults = conform(wide(nullable=True), "all", later)
        assert (plain(frame["gone"]), frame["gone"].dtype, faults) == ([None, None], "boolean", [])
    assert found(conform(wide(nullable=False), "all", raw)[1]) == {("gone", "missing_column", ())}
    assert found(conform(wide(nullable=False), "all", raw.assign(gone=["yes", ""]))[1]) == {
        ("gone", "empty", (2,))
    }
    alone = conform(wide(nullable=True), "all_label", raw[["member"]])[1]
    assert found(alone) == {("gone", "missing_column", ())}


def test_a_first_delivery_needs_every_table_but_the_labels(gym):
    faults = missing_tables(gym, {"plans"}, ("people.CSV", "plans.csv"))
    assert [(fault.code, fault.table) for fault in faults] == [
        ("missing_table", "people"),
        ("missing_table", "visits"),
    ]
    assert "people.parquet" in faults[0].remedy
    assert "people.CSV, plans.csv" in faults[0].remedy
    assert missing_tables(gym, {"plans", "people", "visits"}) == []
