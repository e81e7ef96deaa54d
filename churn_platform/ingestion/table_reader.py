"""Reads one file of a drop into a frame: a column is typed at pyarrow's speed where every value
fits, else text.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from churn_platform.contract.model import Contract
from churn_platform.contract.parts import Column, FileFormat
from churn_platform.ingestion.conversion import FALSE_WORDS, NULL_SPELLINGS, TRUE_WORDS
from churn_platform.ingestion.delivered_file import BrokenText, Text, suffix_of
from churn_platform.ingestion.faults import Fault, fault
from churn_platform.ingestion.inspection import broken_fault, encoding_fault, inspect
from churn_platform.ingestion.snapshot import header_faults

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv

MIXED = 4
"""Columns with a bad value, from which on all are read as text: each costs another try."""


def read_table(
    path: Path, contract: Contract, name: str, *, as_text: bool = False
) -> tuple[pd.DataFrame, list[Fault]]:
    """The rows in `path` in the file's order, and the faults that keep them from being read.

    Args:
        path: a CSV or Parquet file.
        contract: the contract.
        name: the table.
        as_text: every column of a CSV as it is; else the contract's columns, typed where every
            value fits.

    Returns:
        The rows under the file's own headers, empty when there is a fault.
    """
    import pyarrow as pa

    text = None
    try:
        text, faults = inspect(path, contract, name)
        if faults:
            return pd.DataFrame(), faults
        if text is None:
            table, faults = _read_parquet(path, contract, name)
        else:
            table, faults = _read_text(text, path, contract, name, as_text=as_text)
    except BrokenText as broken:
        return pd.DataFrame(), [broken_fault(path, name, broken)]
    except PermissionError:
        return pd.DataFrame(), [fault("no_permission", name, file=path.name)]
    except (pa.ArrowException, OSError, UnicodeError) as error:
        if text is not None and (isinstance(error, UnicodeError) or "UTF" in str(error)):
            return pd.DataFrame(), [encoding_fault(path, contract, name)]
        reason = " ".join(str(error).split())[:200]
        return pd.DataFrame(), [
            fault("unreadable", name, file=path.name, suffix=suffix_of(path)[1:], reason=reason)
        ]
    if faults:
        return (pd.DataFrame(), faults)
    return (_frame(table), [])


def _frame(table: "pa.Table") -> pd.DataFrame:
    """Text stays in Arrow's memory, nothing is copied that need not be; dates have one unit."""
    import pyarrow as pa

    dated = [
        pa.field(field.name, pa.timestamp("s") if pa.types.is_date(field.type) else field.type)
        for field in table.schema
    ]
    mapped = {
        pa.int64(): pd.Int64Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
        pa.string(): pd.StringDtype("pyarrow"),
    }
    frame: pd.DataFrame = table.cast(pa.schema(dated)).to_pandas(
        types_mapper=mapped.get, split_blocks=True
    )
    return frame


def _read_text(
    text: Text, path: Path, contract: Contract, name: str, *, as_text: bool
) -> tuple["pa.Table", list[Fault]]:
    import pyarrow as pa
    from pyarrow import csv

    header = text.header
    if as_text:
        strings = csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
        )
        return _rows(text.parse(strings), path, name)
    types = _types(contract, name, header)
    bad = 0
    while True:
        try:
            return _rows(text.parse(_typed(contract, types)), path, name)
        except pa.ArrowInvalid as error:  # a value does not fit its column
            column = re.search(r"In CSV column #([0-9]+)", str(error))
            if column is None or types.get(header[int(column[1])], pa.string()) == pa.string():
                raise
            types[header[int(column[1])]] = pa.string()
            bad += 1
            if bad == MIXED:
                types = dict.fromkeys(types, pa.string())


def _rows(
    parsed: tuple["pa.Table", list[Any]], path: Path, name: str
) -> tuple["pa.Table", list[Fault]]:
    """The rows, or the fault that some have more or fewer cells than the header."""
    table, ragged = parsed
    if not ragged:
        return table, []
    positions = np.array([row.number - 2 for row in ragged])
    examples = [row.text for row in ragged[:3]]
    return table, [
        fault("ragged_rows", name, file=path.name, positions=positions, examples=examples)
    ]


def _types(contract: Contract, name: str, header: list[str]) -> dict[str, "pa.DataType"]:
    """Columns of the contract alone.

    A whole-number key is read as text: its leading zeros would be lost.
    """
    import pyarrow as pa

    arrow = {
        "integer": pa.int64(),
        "float": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
    }
    columns = contract.delivered(name).items()
    types = {
        spec.source or own: (
            arrow.get(spec.dtype, pa.string())
            if _pyarrow_reads(contract.files, spec)
            else pa.string()
        )
        for own, spec in columns
    }
    types[contract.key.source or contract.entity.column] = pa.string()
    return {name: kind for name, kind in types.items() if name in header}


def _pyarrow_reads(files: FileFormat, spec: Column) -> bool:
    """Whether the column has no declaration that only `ingestion/conversion.py` can follow."""
    numbers = spec.dtype in ("integer", "float")
    separated = numbers and (
        spec.thousands or files.thousands or spec.decimal not in ("", files.decimal)
    )
    return not (separated or spec.unit or spec.date_format or spec.missing)


def _typed(contract: Contract, types: dict[str, "pa.DataType"]) -> "csv.ConvertOptions":
    from pyarrow import csv

    return csv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        null_values=[*NULL_SPELLINGS, *contract.files.missing],
        true_values=[
            form for word in TRUE_WORDS for form in (word, word.capitalize(), word.upper())
        ],
        false_values=[
            form for word in FALSE_WORDS for form in (word, word.capitalize(), word.upper())
        ],
        strings_can_be_null=False,
        decimal_point=contract.files.decimal,
    )


def _read_parquet(path: Path, contract: Contract, name: str) -> tuple["pa.Table", list[Fault]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        faults = header_faults(contract, name, file.schema_arrow.names, path.name)
        wanted = [spec.source or own for own, spec in contract.delivered(name).items()]
        fields = [
            file.schema_arrow.field(header)
            for header in wanted
            if header in file.schema_arrow.names
        ]
        faults += [
            fault("nested_column", name, field.name, file=path.name, type=str(field.type))
            for field in fields
            if pa.types.is_nested(field.type)
        ]
        if faults:
            return None, faults
        table = file.read(columns=[field.name for field in fields])
    return pa.table({field.name: _plain(table[field.name]) for field in fields}), []


def delivered_values(column: "pa.ChunkedArray") -> pd.Series:
    """The values (rows,) of a column of a Parquet file as validation gets them."""
    import pyarrow as pa

    return _frame(pa.table({"values": _plain(column)}))["values"]


def _plain(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """The same values in one of the few types that validation knows, whichever the writer of
    the file chose.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if pa.types.is_integer(kind):
        if kind == pa.uint64():
            return column
        return column.cast(pa.int64())
    if pa.types.is_floating(kind):
        if kind == pa.float32():
            return column
        return column.cast(pa.float64())
    if pa.types.is_decimal(kind):
        return _plain_decimal(column)
    known = pa.types.is_boolean(kind) or pa.types.is_temporal(kind) or pa.types.is_null(kind)
    if known and not pa.types.is_time(kind):
        return column
    return column.cast(pa.string())


def _plain_decimal(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Whole numbers of up to 64 bits, text where whole numbers are longer, else floating-point
    numbers.
    """
    import pyarrow as pa

    widest = pa.decimal256(76, 0)
    for kinds in ((pa.int64(),), (widest, pa.string())):
        try:
            whole = column
            for kind in kinds:
                whole = whole.cast(kind)
        except pa.ArrowInvalid:
            continue
        return whole
    return column.cast(pa.float64())
