"""Reads a list that the retention team has worked through: CSV, Excel or Parquet, every cell as
text in the writing of the contract.
"""

import datetime as dt
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from churn_platform.base.cells import plain
from churn_platform.base.errors import UsageError
from churn_platform.contract.columns import Column
from churn_platform.contract.model import Contract
from churn_platform.ingestion.conversion import EXCEL_EPOCH, TEXT, Writing
from churn_platform.ingestion.delivered_file import (
    HEAD,
    PARQUET,
    BrokenText,
    header_of,
    is_encoded,
    likely_encoding,
    marked_encoding,
    open_text,
    raw_bytes,
    reason_of,
    suffix_of,
)
from churn_platform.ingestion.faults import Fault, fault
from churn_platform.ingestion.table_reader import DELIMITERS, broken_fault

if TYPE_CHECKING:
    import pyarrow as pa

EXCEL: Final = ".xlsx"


def read_worked_list(
    path: Path, month: Contract, table: str, *, marked: bool = True
) -> tuple[pd.DataFrame, list[Fault]]:
    """The rows of a worked list as texts under its own headers, and the faults of the file.

    People save it with the settings of their own Excel, so delimiter and encoding are found
    out if they are not the contract's.

    Args:
        path: the file.
        month: the contract of a month as delivered.
        table: the table of contacts.
        marked: whether texts that begin like a formula have an apostrophe in front.

    Raises:
        UsageError: there is no such file, or its format is unknown.
    """
    if not path.is_file():
        raise UsageError(f"There is no file {path}: check the path.", code="DROP_MISSING")
    headers = {spec.source or own: spec for own, spec in month.delivered(table).items()}
    try:
        if path.suffix.lower() == EXCEL:
            return _excel(path, month, headers), []
        if suffix_of(path) == PARQUET:
            return _typed(_parquet(path), month, headers), []
        if suffix_of(path):
            frame, faults = _csv(path, month, table, headers)
            return _plain(frame) if marked else frame, faults
    except PermissionError:
        return pd.DataFrame(), [fault("no_permission", table, file=path.name)]
    except BrokenText as broken:
        return pd.DataFrame(), [broken_fault(path, table, broken)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = reason_of(error, path)
        suffix = path.suffix[1:]
        made = fault("unreadable", table, file=path.name, suffix=suffix, reason=reason)
        return pd.DataFrame(), [made]
    raise UsageError(
        f"{path} is not a list of contacts: name a .csv, .csv.gz, .xlsx or .parquet file.",
        code="FILE_UNREADABLE",
    )


def written(value: Any, writing: Writing) -> str:  # noqa: ANN401 - whatever a cell holds
    """A typed value as the contract's files write it; empty for none."""
    if value is None or value is pd.NaT or value is pd.NA or value != value:  # noqa: PLR0124 - NaN
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.date):
        return _written_day(value, writing.date_format)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, float):
        return repr(value).replace(".", writing.decimal)
    return str(value)


def _written_day(day: dt.date, date_format: str) -> str:
    date = dt.date(day.year, day.month, day.day)
    if date_format == "excel":
        return str((date - EXCEL_EPOCH).days)
    if date_format == "epoch_seconds":
        return str(int(dt.datetime.combine(date, dt.time(), dt.UTC).timestamp()))
    return date.strftime(date_format) if date_format else date.isoformat()


def _csv(
    path: Path, month: Contract, table: str, headers: dict[str, Column]
) -> tuple[pd.DataFrame, list[Fault]]:
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    raw = raw_bytes(path)
    if not bytes(raw[:HEAD]).strip(b"\xef\xbb\xbf\xff\xfe\r\n\t \0"):
        return pd.DataFrame(), [fault("empty_file", table, file=path.name)]
    mark, encoding = marked_encoding(raw, month.files.encoding)
    if not mark and not is_encoded(raw, encoding):
        encoding = likely_encoding(raw) or "utf-8"
    text = open_text(raw, encoding, month.files.delimiter)
    head = bytes(text.content[:HEAD])
    for delimiter in (text.delimiter, *DELIMITERS):
        if set(header_of(head, "utf-8", delimiter)) & set(headers):
            text = open_text(raw, encoding, delimiter)
            break
    options = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(text.header, pa.string()), strings_can_be_null=False
    )
    parsed, ragged = text.parse(options)
    if ragged:
        positions = np.array([row.number - 2 for row in ragged])
        examples = [row.text for row in ragged[:3]]
        found = fault("ragged_rows", table, file=path.name, positions=positions, examples=examples)
        return pd.DataFrame(), [found]
    frame: pd.DataFrame = parsed.to_pandas().astype(TEXT)
    return frame, []


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The texts as they were before a spreadsheet was kept from executing them."""
    if frame.empty:
        return frame
    texts: pd.DataFrame = frame.rename(columns=plain).map(plain)
    return texts.astype(TEXT)


def _excel(path: Path, month: Contract, headers: dict[str, Column]) -> pd.DataFrame:
    """The first sheet that has one of the headers in its first filled row, else the first."""
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        found = [_sheet(sheet.values) for sheet in book.worksheets]
    finally:
        book.close()
    named = [frame for frame in found if set(frame.columns) & set(headers)]
    return _typed((named or found)[0], month, headers)


def _sheet(rows: Any) -> pd.DataFrame:  # noqa: ANN401 - openpyxl's generator
    """A sheet from its first filled row on; columns without a header are left out."""
    filled = iter(rows)
    header = next((row for row in filled if any(cell is not None for cell in row)), ())
    names = [None if cell is None else str(cell).strip() for cell in header]
    places = [place for place, name in enumerate(names) if name]
    cells = [[row[place] for place in places] for row in filled]
    return pd.DataFrame(cells, columns=[names[place] for place in places], dtype=object)


def _parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet as pq

    table: pa.Table = pq.read_table(path)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    return pd.DataFrame(columns, dtype=object)


def _typed(frame: pd.DataFrame, month: Contract, headers: dict[str, Column]) -> pd.DataFrame:
    """Typed cells as texts in the writing of their columns."""
    texts = []
    for place, name in enumerate(frame.columns):
        spec = headers.get(name)
        writing = Writing() if spec is None else Writing.of(month.files, spec)
        cells = [written(value, writing) for value in frame.iloc[:, place]]
        texts.append(pd.Series(cells, dtype=TEXT, name=name))
    if not texts:
        return pd.DataFrame()
    return pd.concat(texts, axis=1)
