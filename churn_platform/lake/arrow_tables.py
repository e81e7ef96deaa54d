"""Typed tables in Arrow: the one digest of a table's content, computed over the memory that is
written.
"""

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from churn_platform.base.digests import canonical_json
from churn_platform.base.files import replacing
from churn_platform.contract.columns import Column, Dtype

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

STAMPS: Final = ("event_timestamp", "created_timestamp")
"""Columns of every file of the lake, for Feast."""


def arrow_type(dtype: Dtype) -> "pa.DataType":
    """The type in which Arrow holds a dtype of the contract."""
    import pyarrow as pa

    kinds = {
        "integer": pa.int64(),
        "float": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }
    return kinds.get(dtype, pa.string())


def to_arrow(frame: pd.DataFrame, columns: Mapping[str, Column]) -> "pa.Table":
    """A table in the types that the lake keeps, one column for each of `columns`; the index is
    left out.
    """
    import pyarrow as pa

    schema = pa.schema([(name, arrow_type(column.dtype)) for name, column in columns.items()])
    # Without pandas' own notes: how a frame held its text in memory is nothing that a reader
    # should see.
    return pa.Table.from_pandas(frame, schema=schema, preserve_index=False).replace_schema_metadata(
        None
    )


def write_stamped(
    table: "pa.Table", path: Path, *, event: dt.datetime, created: dt.datetime
) -> None:
    """Write a table with its two timestamps as Parquet, atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Microseconds: DuckDB will not cast Feast's nanosecond Parquet.
    moment = pa.timestamp("us", tz="UTC")
    for column, value in zip(STAMPS, (event, created), strict=True):
        table = table.append_column(
            column, pa.repeat(pa.scalar(value, type=moment), table.num_rows)
        )
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_frame(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """One Parquet file of the lake without its timestamps; integers and booleans are nullable."""
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path).read(columns=columns)
    return to_frame(table.drop_columns([name for name in STAMPS if name in table.column_names]))


def to_frame(table: "pa.Table") -> pd.DataFrame:
    """A table as a frame with nullable integers and booleans."""
    import pyarrow as pa

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    return frame


def written_columns(path: Path) -> list[str]:
    """The columns of one Parquet file of the lake, without its timestamps."""
    import pyarrow.parquet as pq

    return [name for name in pq.read_schema(path).names if name not in STAMPS]


def row_order(frame: pd.DataFrame, first: str) -> "npt.NDArray[np.int64]":
    """The positions of the rows (rows,) in order of all columns, one of them before the others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # Of the columns alone: a frame of 10,000,000 rows in between takes longer than sorting.
    others = [name for name in frame.columns if name != first]
    columns = {name: pa.array(frame[name], from_pandas=True) for name in (first, *others)}
    order = pc.sort_indices(pa.table(columns), [(name, "ascending") for name in columns])
    return np.asarray(order, dtype=np.int64)


def table_digest(table: "pa.Table") -> str:
    """Hex sha256 over names, types and values, row order included: equal content has an equal
    digest.

    What Arrow leaves open is settled first: the value below a null, chunks, the sign of zero.
    1,000,000 rows of 15 columns take a tenth of a second; hashing them row by row took a
    second.
    """
    digest = hashlib.sha256(
        canonical_json([[field.name, str(field.type)] for field in table.schema]).encode()
    )
    digest.update(str(table.num_rows).encode())
    with ThreadPoolExecutor() as threads:  # hashing does not hold the interpreter
        for column in threads.map(_column_digest, table.columns):
            digest.update(column)
    return digest.hexdigest()


def _column_digest(column: "pa.ChunkedArray") -> bytes:
    digest = hashlib.sha256()
    for part in _memory(column.combine_chunks()):
        digest.update(part)
    return digest.digest()


def _memory(column: "pa.Array") -> Iterator[Any]:
    """The validity, then the values as contiguous bytes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    yield pc.cast(column.is_valid(), pa.uint8()).to_numpy()
    if pa.types.is_string(column.type):
        text = column.fill_null("")
        yield pc.binary_length(text).to_numpy()
        first = text.offset
        last = text.offset + len(text)
        offsets = np.frombuffer(text.buffers()[1], dtype=np.int32)
        if last > first and text.buffers()[2] is not None:
            yield memoryview(text.buffers()[2])[offsets[first] : offsets[last]]
    elif pa.types.is_floating(column.type):
        yield column.fill_null(0.0).to_numpy() + 0.0
    elif pa.types.is_boolean(column.type):
        yield pc.cast(column.fill_null(False), pa.uint8()).to_numpy()  # noqa: FBT003 - Arrow's own
    else:
        number = pa.int32() if pa.types.is_date32(column.type) else pa.int64()
        yield column.cast(number).fill_null(0).to_numpy()
