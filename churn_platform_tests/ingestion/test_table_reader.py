"""How CSV and Parquet become frames: typed at once where every value fits, as they stand where one does not."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn_platform.ingestion.conversion import convert
from churn_platform.ingestion.rules import conform
from churn_platform.ingestion.table_reader import MIXED, read_table
from churn_platform_tests.small_business import declared

HEADER = "member,months,plan,has_app,town\n"


@pytest.fixture
def csv(tmp_path):
    """Write one table as CSV text or bytes; its path."""

    def write(content, name="members"):
        path = tmp_path / f"{name}.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def parquet(tmp_path):
    """Write one table as Parquet; its path."""

    def write(name="members", **columns):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table(columns), path)
        return path

    return write


def read(path, contract, name, **options):
    """The rows of a file that can be read."""
    frame, faults = read_table(path, contract, name, **options)
    assert faults == []
    return frame


def refused(path, contract, name):
    """The one fault of a file that cannot."""
    frame, [fault] = read_table(path, contract, name)
    assert frame.empty
    assert not fault.of_cells
    return fault


def with_files(**files):
    return declared(files=files)


def test_a_csv_is_typed_by_the_contract_and_null_stays_null(csv, small_contract):
    path = csv(HEADER + "007,3,basic,TRUE,north\n008,4,plus,,south\n009,5,family,No,south\n")
    text = pd.StringDtype("pyarrow")
    expected = pd.DataFrame(
        {
            "member": pd.Series(["007", "008", "009"], dtype=text),
            "months": pd.array([3, 4, 5], "Int64"),
            "plan": pd.Series(["basic", "plus", "family"], dtype=text),
            "has_app": pd.array([True, None, False], "boolean"),
            "town": pd.Series(["north", "south", "south"], dtype=text),
        }
    )
    pd.testing.assert_frame_equal(read(path, small_contract, "members"), expected)


def test_only_a_column_with_a_value_that_does_not_fit_is_read_as_it_stands(csv, small_contract):
    path = csv(HEADER + "m1,three,basic,TRUE,north\nm2,,plus,,\n")
    found = read(path, small_contract, "members")
    assert found["months"].tolist() == ["three", ""]
    assert found["has_app"].tolist() == [True, pd.NA]
    assert found["town"].tolist() == ["north", ""]


def test_columns_that_are_not_the_contract_s_never_matter(csv, small_contract):
    path = csv("extra,member,more,hours\n1,m1,2,x\nn,m2,m,2.5\n", "visits")
    assert read(path, small_contract, "visits").to_numpy().tolist() == [["m1", "x"], ["m2", "2.5"]]


def test_a_file_with_many_bad_columns_is_read_as_text(csv):
    tables = declared().as_mapping()["tables"]
    columns = {f"c{n}": {"dtype": "float"} for n in range(MIXED + 3)}
    tables["visits"]["columns"] |= columns
    contract = declared(tables=tables)
    path = csv(
        f"member,hours,{','.join(columns)}\nm1,1.5,{','.join('x' for _ in columns)}\n", "visits"
    )
    found = read(path, contract, "visits")
    assert found.iloc[0].tolist() == ["m1", "1.5", *["x" for _ in columns]]


def test_as_text_every_column_of_the_file_stands_as_it_is(csv, small_contract):
    path = csv("member,hours,note\n007, 1.50,x\n", "visits")
    assert read(
        path, small_contract, "visits", as_text=np.ones(1, dtype=bool)
    ).to_numpy().tolist() == [["007", " 1.50", "x"]]
    assert list(read(path, small_contract, "visits").columns) == ["member", "hours"]


def test_a_whole_number_key_is_read_as_text_so_that_its_leading_zeros_are_seen(csv):
    contract = declared(entity={"column": "member", "dtype": "integer"})
    path = csv("member,hours\n007,1.5\n8,2\n", "visits")
    assert read(path, contract, "visits")["member"].tolist() == ["007", "8"]


def test_delimiter_decimal_and_encoding_are_those_of_the_contract(csv):
    contract = with_files(delimiter=";", decimal=",", encoding="cp1252")
    found = read(csv("member;hours\nJosé;1,5\n".encode("cp1252"), "visits"), contract, "visits")
    assert (found["member"].tolist(), found["hours"].tolist()) == (["José"], [1.5])
    found = read(csv("member\thours\nm1\t1.5\n", "visits"), with_files(delimiter="\t"), "visits")
    assert found["hours"].tolist() == [1.5]
    found = read(
        csv("member,hours\nJosé,1.5\n".encode("utf-16"), "visits"),
        with_files(encoding="utf-16"),
        "visits",
    )
    assert found["member"].tolist() == ["José"]


def test_headers_of_their_own_stay_in_the_frame(csv):
    tables = declared().as_mapping()["tables"]
    tables["visits"]["columns"]["hours"]["source"] = "Hours 30d"
    contract = declared(entity={"column": "member", "source": "Member No."}, tables=tables)
    found = read(csv("Member No.,Hours 30d\nm1,1.5\n", "visits"), contract, "visits")
    assert list(found.columns) == ["Member No.", "Hours 30d"]
    assert conform(contract, "visits", found)[0].to_numpy().tolist() == [["m1", 1.5]]


def test_ragged_rows_are_refused_with_their_numbers(csv, small_contract):
    text = 'member,hours\n"m\n1",1\nm2,2,3\n\nm3,3\nm4\n'
    fault = refused(csv(text, "visits"), small_contract, "visits")
    assert (fault.code, fault.examples, fault.rows) == ("ragged_rows", ("m2,2,3", "m4"), (2, 4))


def test_text_in_another_encoding_is_refused_where_it_begins(csv, small_contract):
    content = b'member,hours\nm1,1.5\n"m\n2",2\n' + "José,3\n".encode("cp1252")
    fault = refused(csv(content, "visits"), small_contract, "visits")
    assert (fault.code, fault.examples) == ("wrong_encoding", ("José,3",))
    assert "row 3" in fault.says
    assert "cp1252" in fault.remedy


def test_a_cut_parquet_file_is_refused(parquet, small_contract):
    path = parquet("visits", member=["m1"], hours=[1.5])
    path.write_bytes(path.read_bytes()[:-20])
    assert refused(path, small_contract, "visits").code == "unreadable"


def test_the_header_of_parquet_is_judged_like_that_of_csv(parquet, small_contract):
    fault = refused(parquet("visits", member=["m1"]), small_contract, "visits")
    assert (fault.code, fault.column) == ("missing_column", "hours")


def test_a_nested_column_of_parquet_is_refused(parquet, small_contract):
    path = parquet("visits", member=["m1"], hours=[[1.5, 2.5]])
    fault = refused(path, small_contract, "visits")
    assert (fault.code, fault.column) == ("nested_column", "hours")
    assert "list<element: double>" in fault.says


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("hours", pa.array([Decimal("1.50"), None]), [1.5, None]),
        ("hours", pa.array([1.5, None], pa.float32()), [1.5, None]),
        ("hours", pa.array([1, None], pa.int8()), [1.0, None]),
        ("hours", pa.array([1, None], pa.uint64()), [1.0, None]),
        ("hours", pa.array([None, None], pa.null()), [None, None]),
        ("has_app", pa.array([1.0, 0.0]), [True, False]),
        ("has_app", pa.array([1, 0], pa.uint8()), [True, False]),
        ("has_app", pa.array(["yes", None]).dictionary_encode(), [True, None]),
        ("months", pa.array([True, False]), [1, 0]),
        ("months", pa.array([3.0, 4.0]), [3, 4]),
        ("months", pa.array([Decimal(7), Decimal(2**60 + 1)]), [7, 2**60 + 1]),
        ("months", pa.array([2**63 - 1, 0], pa.uint64()), [2**63 - 1, 0]),
        ("plan", pa.array(["basic", "plus"]).dictionary_encode(), ["basic", "plus"]),
        ("plan", pa.array(["basic", "plus"], pa.large_string()), ["basic", "plus"]),
        ("plan", pa.array([b"basic", b"plus"], pa.binary()), ["basic", "plus"]),
        ("town", pa.array(["north", "south"], pa.string_view()), ["north", "south"]),
    ],
)
def test_parquet_of_any_physical_type_gives_the_same_values(
    parquet, small_contract, column, values, expected
):
    sound = {
        "months": [1, 2],
        "plan": ["basic", "plus"],
        "has_app": [True, None],
        "town": ["north", "south"],
    }
    table, rest = ("visits", {}) if column == "hours" else ("members", sound)
    path = parquet(table, member=["007", "08"], **{**rest, column: values})
    frame, faults = conform(small_contract, table, read(path, small_contract, table))
    assert faults == []
    assert frame["member"].tolist() == ["007", "08"]
    assert [None if pd.isna(value) else value for value in frame[column]] == expected


@pytest.mark.parametrize(
    "values",
    [
        pa.array([dt.date(2020, 1, 1), None]),
        pa.array([dt.date(2020, 1, 1), None], pa.date64()),
        pa.array([dt.datetime(2020, 1, 1, 23), None], pa.timestamp("ns")),
        pa.array(
            [dt.datetime(2020, 1, 1, 4, tzinfo=dt.UTC), None], pa.timestamp("us", tz="Asia/Tokyo")
        ),
        pa.array(["2020-01-01", None]),
    ],
)
def test_a_date_of_any_physical_type_is_the_date_as_written(parquet, values):
    tables = declared().as_mapping()["tables"]
    tables["visits"]["columns"]["since"] = {"dtype": "date", "nullable": True}
    contract = declared(tables=tables)
    path = parquet("visits", member=["a", "b"], hours=[1.0, 2.0], since=values)
    frame, faults = conform(contract, "visits", read(path, contract, "visits"))
    assert faults == []
    assert frame["since"].tolist() == [pd.Timestamp("2020-01-01"), pd.NaT]


WORDS = [
    "", " ", "0", "1", "-1", " 7 ", "007", "1.0", "1.50", "1,5", "1,234", "1e3", "1e400", "inf", "-Infinity", "nan", "NaN",
    "NULL", "null", "n/a", "true", "TRUE", "Yes", " no", "f", "maybe", "2024-01-31", "2024-02-30", "9999-12-31", "0001-01-01",
    "20240131", "2024-01-31T10:00:00", "31/01/2024", "45322", "0x1F", "0X1F", "1_0", str(2**63 - 1), str(2**63),
    "12345678901234567", "0.1234567890123456", "3e72", "+4", "-0", "-0.0", ".5", "5.", "é", 'say "so"', "a\nb",
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["integer", "float", "boolean", "date", "category"])
def test_a_value_means_the_same_whether_its_file_could_be_read_typed_or_not(csv, dtype):
    tables = declared().as_mapping()["tables"] | {
        "visits": {"columns": {"x": {"dtype": dtype, "nullable": True}}}
    }
    views = {"members_fv": {"table": "members", "features": ["months"]}}
    contract = declared(tables=tables, feature_views=views)

    def meaning(path, as_text):
        values, masks = convert(read(path, contract, "visits", as_text=as_text)["x"], dtype)
        return None if values.isna().all() else values.iloc[0], list(masks), str(values.dtype)

    for word in WORDS:
        path = csv(pd.DataFrame({"member": ["m1"], "x": [word]}).to_csv(index=False), "visits")
        assert meaning(path, as_text=None) == meaning(path, as_text=np.ones(1, dtype=bool)), word


def test_a_decimal_key_of_parquet_keeps_every_digit(parquet, small_contract):
    for digits in ("1582218195625938945", "98765432109876543210"):
        kind = pa.decimal128(38, 2)
        path = parquet(
            member=pa.array([Decimal(digits), None], kind), hours=[1.5, 2.5], name="visits"
        )
        frame, faults = conform(small_contract, "visits", read(path, small_contract, "visits"))
        assert frame["member"].tolist() == [digits]
        assert [fault.code for fault in faults] == ["empty_key"]


def test_a_quote_that_is_not_closed_is_refused_with_its_line_and_swallows_no_row(
    csv, small_contract
):
    path = csv('member,hours,note\nm1,1,a\nm2,2,"b\nm3,3,c\nm4,4,"d"\n', "visits")
    frame, [fault] = read_table(path, small_contract, "visits")
    assert frame.empty
    assert fault.code == "open_quote"
    assert "line 3" in fault.says


def test_declared_signs_and_gaps_are_read_next_to_columns_that_are_typed_at_once(csv):
    spec = {"dtype": "float", "nullable": True}
    columns = {"hours": spec, "paid": {**spec, "unit": "€", "thousands": ","}}
    tables = declared().as_mapping()["tables"] | {"visits": {"columns": columns}}
    contract = declared(tables=tables, files={"missing": ["-", "?"]})
    path = csv('member,hours,paid\nm1,1.5,"€ 1,234.50"\nm2,-1,-\nm3,?,€ 2\n', "visits")
    raw = read(path, contract, "visits")
    assert raw["hours"].dtype == "float64"
    frame, faults = conform(contract, "visits", raw)
    assert faults == []
    assert frame.fillna(0.0).to_numpy().tolist() == [
        ["m1", 1.5, 1234.5],
        ["m2", -1, 0],
        ["m3", 0, 2],
    ]
