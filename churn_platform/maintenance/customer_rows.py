"""A CSV, Excel or Parquet file without one customer's rows; all other rows stay as they were."""

import csv
import gzip
import io
import sys
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from churn_platform.base.cells import plain
from churn_platform.base.digests import readable
from churn_platform.contract.parts import KeySpelling
from churn_platform.ingestion.conversion import TEXT, Writing, convert
from churn_platform.ingestion.delivered_file import (
    PACKED_CSV,
    PARQUET,
    SEPARATOR_LINE,
    marked_encoding,
    raw_bytes,
    suffix_of,
)
from churn_platform.ingestion.table_reader import delivered_values
from churn_platform.ingestion.worked_list import EXCEL

BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Key:
    """The customer's key, the columns that contain it, and how files write it."""

    value: str | int
    columns: Collection[str]
    writing: Writing = field(default_factory=Writing)
    quarantined: bool = False
    """Whether the file contains quarantined rows: from Parquet, 7 may be written `7.0`."""
    spelling: KeySpelling | None = None
    """How the file spells the key, if not as the home does."""
    marked: bool = False
    """Whether a key that begins like a formula has an apostrophe in front."""

    def named_by(self, values: pd.Series) -> npt.NDArray[np.bool_]:
        """Which values (rows,) are the key, read as validation reads it.

        As text or as a whole number, never as a float: from 2**53 on, a float is also the key
        of the neighbours.
        """
        if self.marked:
            unmarked = values.astype(object).map(lambda k: plain(str(k)), na_action="ignore")
            return replace(self, marked=False).named_by(pd.Series(unmarked, dtype=TEXT))
        spelling = self.spelling
        if spelling is not None:
            own = values.astype(object).map(lambda k: spelling.read(str(k)), na_action="ignore")
            return replace(self, spelling=None).named_by(pd.Series(own, dtype=TEXT))
        if isinstance(self.value, str):
            keys = convert(values, "string", self.writing)[0].str.strip()
        else:
            keys, _ = convert(values, "integer", self.writing)
        found: npt.NDArray[np.bool_] = (keys == self.value).fillna(value=False).to_numpy(dtype=bool)
        if self.quarantined:
            found |= replace(self, quarantined=False).named_by(values.str.removesuffix(".0"))
        return found

    def may_be_in(self, text: str) -> bool:
        """False only if no cell can contain the key; quotes may stand anywhere in a cell."""
        if not isinstance(self.value, str):  # a number can be written in many ways
            return True
        if self.spelling is not None:
            return True
        return self.value.replace('"', "") in text.replace('"', "")


def without_customer(
    path: Path, key: Key, *, delimiter: str, encoding: str
) -> tuple[bytes, int] | None:
    """The file's bytes without the customer's rows, and how many rows; None if there are none.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a table (pyarrow's errors are ValueErrors), or its text has another
            encoding.
    """
    if suffix_of(path) == PARQUET:
        return _parquet(path, key)
    if path.suffix.lower() == EXCEL:
        return _excel(path, key)
    content = bytes(raw_bytes(path))
    # The mark stays a character of the text, so it is written again.
    _, encoding = marked_encoding(content, encoding)
    found = _csv(content, key, delimiter, encoding)
    if found is None or suffix_of(path) != PACKED_CSV:
        return found
    return gzip.compress(found[0], mtime=0), found[1]


def _excel(path: Path, key: Key) -> tuple[bytes, int] | None:
    """Every sheet without the rows; what people have filled in elsewhere stays."""
    import openpyxl

    try:
        book = openpyxl.load_workbook(path)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"no Excel file: {error}") from None
    gone = 0
    for sheet in book.worksheets:
        header = [str(cell.value).strip() for cell in next(sheet.iter_rows(max_row=1), ())]
        named = np.zeros(sheet.max_row, dtype=bool)
        for place, name in enumerate(header, start=1):
            if name in key.columns:
                cells = [sheet.cell(row, place).value for row in range(1, sheet.max_row + 1)]
                texts = [None if cell is None else str(cell) for cell in cells]
                named |= key.named_by(pd.Series(texts, dtype=TEXT))
        named[:1] = False
        for row in reversed((np.flatnonzero(named) + 1).tolist()):
            sheet.delete_rows(row)
        gone += int(named.sum())
    if not gone:
        return None
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue(), gone


def _csv(content: bytes, key: Key, delimiter: str, encoding: str) -> tuple[bytes, int] | None:
    text = content.decode(encoding, "surrogateescape")
    if "\0" not in text and not key.may_be_in(text):
        return None
    hint = SEPARATOR_LINE.match(text.lstrip(BYTE_ORDER_MARK).encode("utf-8", "surrogateescape"))
    records = list(_records(text, hint[1].decode("latin-1") if hint else delimiter))
    start = 1 if hint else 0
    first = next(
        (place for place in range(start, len(records)) if records[place][0]), len(records)
    )  # not blank
    header = records[first][0] if first < len(records) else []
    places = [
        i
        for i, name in enumerate(header)
        if name.strip().lstrip(BYTE_ORDER_MARK).strip('"') in key.columns
    ]
    if not places and "\0" in text:
        raise ValueError(f"no text in {encoding}")
    rows = records[first + 1 :]
    own = np.zeros(len(rows), dtype=bool)
    for place in places:
        own |= key.named_by(_cells(rows, place))
    gone = int(own.sum())
    if not gone:
        return None
    head = [lines for _, lines in records[: first + 1]]
    kept = [lines for (_, lines), left_out in zip(rows, own.tolist(), strict=True) if not left_out]
    return "".join([*head, *kept]).encode(encoding, "surrogateescape"), gone


def _cells(rows: Sequence[tuple[list[str], str]], place: int) -> pd.Series:
    """One column of the records; null where a record is shorter."""
    return pd.Series(
        [readable(cells[place]) if place < len(cells) else None for cells, _ in rows],
        dtype=TEXT,
    )


def _records(text: str, delimiter: str) -> Iterator[tuple[list[str], str]]:
    """Each record's cells, and its lines; a record with a quoted line end has several."""
    lines: list[str] = []

    def feed() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            lines.append(line)
            yield line

    csv.field_size_limit(sys.maxsize)
    for cells in csv.reader(feed(), delimiter=delimiter):
        yield cells, "".join(lines)
        lines.clear()


def _parquet(path: Path, key: Key) -> tuple[bytes, int] | None:
    with pq.ParquetFile(path) as file:
        named = [name for name in file.schema_arrow.names if name in key.columns]
        if not named:
            return None
        column = file.read(columns=named[:1]).column(0)
        if pa.types.is_nested(column.type):
            raise ValueError(f"the key's column holds {column.type}")
        own = key.named_by(delivered_values(column))
        gone = int(own.sum())
        if not gone:
            return None
        kept = file.read().filter(pa.array(~own))
    sink = io.BytesIO()
    pq.write_table(kept, sink, compression="zstd")
    return sink.getvalue(), gone
