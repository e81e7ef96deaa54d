"""One customer's rows in a CSV or Parquet file: the same file without them, all other rows as they were.

Belongs here: finding and leaving out rows by key. Does not: which files there are (`adapters/upkeep/forgetting.py`).
"""

import csv
import gzip
import io
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from churn_platform.adapters.drops.delivered_file import PACKED_CSV, PARQUET, SEPARATOR_LINE, raw_bytes, suffix_of
from churn_platform.adapters.drops.encodings import marked_encoding

BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Key:
    """The customer and how files name the column of the key."""

    value: str | int
    columns: Collection[str]

    def named_by(self, cell: str) -> bool:
        """Whether a cell of a text file holds the key, in any form that validation reads as it."""
        if isinstance(self.value, str):
            return cell.strip() == self.value
        try:
            return float(cell) == self.value
        except ValueError:
            return False

    def may_be_in(self, text: str) -> bool:
        """False only where no cell can hold the key: quotes may stand anywhere in one, a number has many forms."""
        return not isinstance(self.value, str) or self.value.replace('"', "") in text.replace('"', "")


def without_customer(path: Path, key: Key, *, delimiter: str, encoding: str) -> tuple[bytes, int] | None:
    """The file's bytes without the customer's rows, and how many rows that leaves out; None when it has none.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a table (pyarrow's errors are ValueErrors), or a text in another encoding.
    """
    if suffix_of(path) == PARQUET:
        return _parquet(path, key)
    content = bytes(raw_bytes(path))
    # The mark stays a character of the text: it is written again as it stood.
    _, encoding = marked_encoding(content, encoding)
    found = _csv(content, key, delimiter, encoding)
    if found is None or suffix_of(path) != PACKED_CSV:
        return found
    return gzip.compress(found[0], mtime=0), found[1]


def _csv(content: bytes, key: Key, delimiter: str, encoding: str) -> tuple[bytes, int] | None:
    text = content.decode(encoding, "surrogateescape")
    if "\0" not in text and not key.may_be_in(text):
        return None
    hint = SEPARATOR_LINE.match(text.lstrip(BYTE_ORDER_MARK).encode("utf-8", "surrogateescape"))
    rows = _records(text, hint[1].decode("latin-1") if hint else delimiter)
    kept = [next(rows)[1]] if hint else []
    header, gone = next(rows, ([], "")), 0
    places = [i for i, name in enumerate(header[0]) if name.strip().lstrip(BYTE_ORDER_MARK).strip('"') in key.columns]
    if not places and "\0" in text:
        raise ValueError(f"no text in {encoding}")
    kept.append(header[1])
    for cells, lines in rows:
        if any(place < len(cells) and key.named_by(cells[place]) for place in places):
            gone += 1
        else:
            kept.append(lines)
    return ("".join(kept).encode(encoding, "surrogateescape"), gone) if gone else None


def _records(text: str, delimiter: str) -> Iterator[tuple[list[str], str]]:
    """Each record's cells, and its lines as they stand; a record with a line end within quotes has several."""
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
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        own = pc.fill_null(pc.equal(_comparable(column, key), key.value), False)  # noqa: FBT003 - Arrow's own
        gone = pc.sum(own).as_py() or 0
        if not gone:
            return None
        kept = file.read().filter(pc.invert(own))
    sink = io.BytesIO()
    pq.write_table(kept, sink, compression="zstd")
    return sink.getvalue(), gone


def _comparable(column: "pa.ChunkedArray", key: Key) -> "pa.ChunkedArray":
    if isinstance(key.value, str):
        return pc.utf8_trim_whitespace(column.cast(pa.string()))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return pa.chunked_array([pa.array([_number(text) for text in column.to_pylist()], pa.float64())])
    return column.cast(pa.float64())


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
