"""Reads one file of a drop into a frame.

A column whose values all fit its dtype is typed by pyarrow; another one is read as text.
"""

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from churn_platform.contract.columns import Column
from churn_platform.contract.model import Contract
from churn_platform.contract.parts import FileFormat
from churn_platform.ingestion.conversion import FALSE_WORDS, NULL_WORDS, TRUE_WORDS, spellings
from churn_platform.ingestion.delivered_file import (
    HEAD,
    PARQUET,
    BrokenText,
    Text,
    head_bytes,
    header_of,
    likely_encoding,
    marked_encoding,
    open_text,
    raw_bytes,
    reason_of,
    suffix_of,
)
from churn_platform.ingestion.faults import Fault, Mask, fault
from churn_platform.ingestion.rules import header_faults
from churn_platform.lake.arrow_tables import arrow_type

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

MIXED = 4
"""Columns with a bad value, from which on all are read as text: each costs another try."""
LISTED = 10
DELIMITERS = (",", ";", "\t", "|", " ")
SHOWN = {"\t": "\\t", " ": "a blank"}
"""Delimiters that are not shown as they are."""
OFFICE = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
FORMATS = {b"PAR1": "Parquet", b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z", b"SQLi": "SQLite"}
HTML = (b"<!doctype", b"<html", b"<table", b"<?xml", b"<head")


def read_table(
    path: Path, contract: Contract, name: str, *, as_text: Mask | None = None
) -> tuple[pd.DataFrame, list[Fault]]:
    """The rows in `path` in the file's order, and the faults that keep them from being read.

    Args:
        path: a CSV or Parquet file.
        contract: the contract.
        name: the table.
        as_text: which rows (rows,) of a CSV to return, with every column as it is; None for all
            rows with the contract's columns, typed where every value fits.

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
            table, faults = _parsed(text, path, contract, name, as_text=as_text)
    except BrokenText as broken:
        return pd.DataFrame(), [broken_fault(path, name, broken)]
    except PermissionError:
        return pd.DataFrame(), [fault("no_permission", name, file=path.name)]
    except (pa.ArrowException, OSError, UnicodeError) as error:
        if text is not None and (isinstance(error, UnicodeError) or "UTF" in str(error)):
            return pd.DataFrame(), [encoding_fault(path, contract, name)]
        reason = reason_of(error, path)
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


def _parsed(
    text: Text, path: Path, contract: Contract, name: str, *, as_text: Mask | None
) -> tuple["pa.Table", list[Fault]]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    header = text.header
    if as_text is not None:
        strings = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
        )
        lines = text.of_rows(as_text)
        if lines is not None:
            return _rows(lines.parse(strings), path, name)
        table, faults = _rows(text.parse(strings), path, name)
        return table.filter(pa.array(as_text)), faults
    types = _types(contract, name, header)
    bad = 0
    while True:
        try:
            return _rows(text.parse(_typed(contract, types)), path, name)
        except pa.ArrowInvalid as error:  # a value does not fit its column
            column = re.search(r"In CSV column #([0-9]+)", str(error))
            if column is None or types.get(header[int(column[1])], pa.string()) == pa.string():
                raise
            local = types[header[int(column[1])]] == pa.timestamp("us")
            if local and "expected no zone" in str(error):
                types[header[int(column[1])]] = arrow_type("timestamp")
                continue
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

    A whole-number key is read as text: its leading zeros would be lost. Timestamps have no zone
    at first; `_parsed` tries those with one.
    """
    import pyarrow as pa

    types = {
        spec.source or own: arrow_type(
            spec.dtype if _pyarrow_reads(contract.files, spec) else "string"
        )
        for own, spec in contract.delivered(name).items()
    }
    for own, kind in types.items():
        if kind == arrow_type("timestamp"):
            types[own] = pa.timestamp("us")
    types[contract.key.source or contract.entity.column] = arrow_type("string")
    return {name: kind for name, kind in types.items() if name in header}


def _pyarrow_reads(files: FileFormat, spec: Column) -> bool:
    """Whether the column has no declaration that only `ingestion/conversion.py` can follow."""
    numbers = spec.dtype in ("integer", "float")
    separated = numbers and (
        spec.thousands or files.thousands or spec.decimal not in ("", files.decimal)
    )
    return not (separated or spec.unit or spec.date_format or spec.missing)


def _typed(contract: Contract, types: dict[str, "pa.DataType"]) -> "arrow_csv.ConvertOptions":
    from pyarrow import csv as arrow_csv

    return arrow_csv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        null_values=[*spellings(NULL_WORDS), *contract.files.missing],
        true_values=spellings(TRUE_WORDS),
        false_values=spellings(FALSE_WORDS),
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


def inspect(path: Path, contract: Contract, table: str) -> tuple[Text | None, list[Fault]]:
    """What keeps the file from being read as the table at all; without a fault, the text of a
    CSV file.

    Raises:
        OSError: the file cannot be read or unpacked.
    """
    parquet = suffix_of(path) == PARQUET
    raw = memoryview(head_bytes(path)) if parquet else raw_bytes(path)
    head = bytes(raw[:HEAD])
    if not head.strip(b"\xef\xbb\xbf\xff\xfe\r\n\t \0"):
        return None, [fault("empty_file", table, file=path.name)]
    if parquet:
        return None, []
    if found := _other_format(path, table, head):
        return None, [found]
    try:
        text = open_text(raw, contract.files.encoding, contract.files.delimiter)
        _ = text.quoted
        return text, _header_faults(path, contract, table, text)
    except UnicodeError:
        return None, [encoding_fault(path, contract, table)]
    except BrokenText as broken:
        if broken.code == "nul_bytes" and likely_encoding(raw).startswith("utf-"):
            return None, [encoding_fault(path, contract, table)]
        return None, [broken_fault(path, table, broken)]


def broken_fault(path: Path, table: str, broken: BrokenText) -> Fault:
    """The fault that a text has which cannot be parsed as it is."""
    return fault(
        broken.code, table, file=path.name, line=f"{broken.line:,}", examples=[broken.example]
    )


def _other_format(path: Path, table: str, head: bytes) -> Fault | None:
    start = head.lstrip(b"\xef\xbb\xbf\r\n\t ").lower()
    if head.startswith(OFFICE):
        return fault("excel_file", table, file=path.name)
    if start.startswith(HTML):
        return fault("html_file", table, file=path.name)
    other = [form for magic, form in FORMATS.items() if head.startswith(magic)]
    if other:
        return fault("other_format", table, file=path.name, format=other[0], suffix="csv")
    return None


def encoding_fault(path: Path, contract: Contract, table: str) -> Fault:
    """Where a text leaves its encoding, and which one it is likely to be."""
    raw = raw_bytes(path)
    mark, encoding = marked_encoding(raw, contract.files.encoding)
    content = bytes(raw[len(mark) :])
    likely = likely_encoding(content)
    named = f", likely to {likely}" if likely else ""
    row = ""
    examples = []
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        before = io.StringIO(content[: error.start].decode(encoding), newline="")
        rows = sum(1 for cells in csv.reader(before, delimiter=contract.files.delimiter) if cells)
        row = f" in row {rows - 1}" if rows > 1 else " in the header"
        line = content[content.rfind(b"\n", 0, error.start) + 1 :].split(b"\n", 1)[0].strip()
        examples = [line.decode(likely or "latin-1", errors="replace")]
    return fault(
        "wrong_encoding",
        table,
        file=path.name,
        examples=examples,
        encoding=encoding,
        row=row,
        likely=named,
    )


def _header_faults(path: Path, contract: Contract, table: str, text: Text) -> list[Fault]:
    header = text.header
    wanted = {spec.source or own for own, spec in contract.delivered(table).items()}
    head = bytes(text.content[:HEAD])
    others = (
        d for d in DELIMITERS if d != text.delimiter and wanted & set(header_of(head, "utf-8", d))
    )
    if not wanted & set(header) and (other := next(others, None)):
        return [
            fault(
                "wrong_delimiter",
                table,
                file=path.name,
                examples=[",".join(header)],
                found=SHOWN.get(other, other),
                delimiter=SHOWN.get(text.delimiter, text.delimiter),
            )
        ]
    return header_faults(contract, table, header, path.name)


def listing(folder: Path) -> tuple[str, ...]:
    """The names of the files in a folder, for a person who looks for a misnamed one; the first
    of many.
    """
    names = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_file() and not entry.name.startswith("_")
    )
    return (*names[:LISTED], *(["..."] if len(names) > LISTED else []))
