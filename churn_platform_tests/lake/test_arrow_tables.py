"""Equal content has one digest, however it is held in memory; any difference shows."""

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn_platform.contract.model import Column
from churn_platform.lake.arrow_tables import table_digest, to_arrow, write_stamped

COLUMNS = {
    "member": Column(dtype="string"),
    "visits": Column(dtype="integer"),
    "fee": Column(dtype="float"),
    "autopay": Column(dtype="boolean"),
    "tier": Column(dtype="category"),
    "joined": Column(dtype="date"),
}
FRAME = pd.DataFrame(
    {
        "member": ["m1", "m2", "m3"],
        "visits": pd.array([3, None, 5], dtype="Int64"),
        "fee": [9.5, np.nan, 0.1 + 0.2],
        "autopay": pd.array([True, False, None], dtype="boolean"),
        "tier": ["basic", None, "plus"],
        "joined": pd.Series(["2020-01-01", None, "2021-06-30"]).astype("datetime64[s]"),
    }
)
CHANGED = {
    "member": "mx", "visits": 4, "fee": 0.3, "autopay": True, "tier": "x", "joined": pd.Timestamp("2022-01-01"),
}  # fmt: skip
EMPTY = {
    "member": "",
    "visits": 0,
    "fee": 0.0,
    "autopay": False,
    "tier": "",
    "joined": pd.Timestamp("1970-01-01"),
}


def table(frame=FRAME, columns=COLUMNS):
    return to_arrow(frame, columns)


def test_a_table_has_the_types_of_the_contract_and_nothing_of_pandas():
    made = table(FRAME.set_axis([9, 8, 7]))
    assert [str(kind) for kind in made.schema.types] == [
        "string",
        "int64",
        "double",
        "bool",
        "string",
        "date32[day]",
    ]
    assert made.schema.metadata is None
    assert made["fee"].null_count == 1


@pytest.mark.parametrize(
    "frame",
    [
        FRAME.set_axis([9, 7, 8]),
        FRAME.astype(
            {"member": "string[pyarrow]", "tier": "string[pyarrow]", "joined": "datetime64[ns]"}
        ),
        FRAME.astype({"fee": "Float64"}),
        pd.concat([FRAME[:1], FRAME[1:]]),
    ],
    ids=["index", "types in memory", "masked", "pieces"],
)
def test_the_same_values_have_the_same_digest(frame):
    assert table_digest(table(frame)) == table_digest(table())


def test_chunks_offsets_what_lies_below_a_null_and_the_sign_of_zero_do_not_matter():
    columns = {
        "n": Column(dtype="integer"),
        "x": Column(dtype="float"),
        "t": Column(dtype="string"),
    }
    schema = table(pd.DataFrame({"n": [1], "x": [1.0], "t": ["a"]}), columns).schema
    numbers = pa.array([7, 1, None, 3])
    hidden = pa.Array.from_buffers(
        pa.int64(), 3, [pa.py_buffer(b"\x05"), pa.array([1, 99, 3]).buffers()[1]]
    )
    texts, zeros = pa.array(["no", "a", None, "ccc"]), pa.array([0.0, 0.5, -0.0])
    plain = pa.table([numbers[1:], pa.array([0.0, 0.5, 0.0]), texts[1:]], schema=schema)
    other = pa.table(
        [pa.chunked_array([hidden[:2], hidden[2:]]), zeros, pa.array(["a", None, "ccc"])],
        schema=schema,
    )
    assert table_digest(plain) == table_digest(other)


@pytest.mark.parametrize("values", [CHANGED, EMPTY], ids=["changed", "empty"])
@pytest.mark.parametrize("column", FRAME.columns)
@pytest.mark.parametrize("row", [0, 1, 2])
def test_any_changed_cell_changes_the_digest_and_null_is_no_zero(values, column, row):
    other = FRAME.copy()
    other.loc[row, column] = values[column]
    same = not pd.isna(FRAME.loc[row, column]) and FRAME.loc[row, column] == values[column]
    assert (table_digest(table(other)) == table_digest(table())) == same


def test_rows_names_types_and_order_are_part_of_the_digest():
    renamed = {("price" if name == "fee" else name): spec for name, spec in COLUMNS.items()}
    others = [
        table(FRAME.iloc[::-1]),
        table(FRAME.iloc[:2]),
        table(FRAME, dict(reversed(COLUMNS.items()))),
        table(FRAME.rename(columns={"fee": "price"}), renamed),
        table(FRAME, COLUMNS | {"visits": Column(dtype="float")}),
        table(FRAME.iloc[:0]),
    ]
    moved = FRAME.assign(member=["m1m", "2", "m3"])  # text that moves to the next cell
    assert len({table_digest(other) for other in [table(), table(moved), *others]}) == 8


def test_a_stamped_file_says_when_its_rows_were_true_and_known(tmp_path):
    event, created = (dt.datetime(2024, 1, day, 5, 6, 7, 891, tzinfo=dt.UTC) for day in (1, 2))
    write_stamped(table(), tmp_path / "t.parquet", event=event, created=created)
    found = pq.ParquetFile(tmp_path / "t.parquet").read()
    assert found["event_timestamp"].type == pa.timestamp("us", tz="UTC")
    assert found["event_timestamp"].to_pylist() == [event] * 3
    assert found["created_timestamp"].to_pylist() == [created] * 3
    assert table_digest(found.select(list(COLUMNS))) == table_digest(table())
