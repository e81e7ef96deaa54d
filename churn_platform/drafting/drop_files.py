"""The files of drops that no contract describes yet: which drops there are, how their files are
written, and their tables.
"""

import csv
import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.base.text import counted
from churn_platform.contract.parts import FileFormat
from churn_platform.ingestion.delivered_file import (
    BrokenText,
    Text,
    is_text,
    likely_encoding,
    marked_encoding,
    open_text,
    raw_bytes,
    reason_of,
    suffix_of,
    table_files,
    without_alignment,
)
from churn_platform.ingestion.faults import EXAMPLE_LENGTH
from churn_platform.ingestion.table_reader import DELIMITERS, broken_fault
from churn_platform.lake.arrow_tables import to_frame

SAMPLE_LINES = 50
SAMPLE_BYTES = 1 << 20
DATE_IN_NAME = r"[-_ ]*(?:19|20)[0-9]{2}[-_ ]?[0-9]{2}(?:[-_ ]?[0-9]{2})?[-_ ]*"
NO_NAME = re.compile(r"[+-]?[0-9]+([.,][0-9]+)*|[0-9]{1,4}[-./][0-9]{1,2}[-./][0-9]{1,4}.*")
"""A number or a date in place of a column's name."""


def drops_in(folder: Path) -> dict[dt.date | None, Path]:
    """The drops under `folder`, oldest first; or `folder` itself if it contains files, with the
    date in its name, if any.

    Raises:
        UsageError: there is no such folder, or no CSV or Parquet file in it.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is not a folder: name the folder that contains a month's files, or one"
            " folder per month.",
            code="DROP_MISSING",
        )
    if data_files(folder):
        return {_date(folder.absolute()): folder}
    dated = {
        date: entry for entry in folder.iterdir() if (date := _date(entry)) and data_files(entry)
    }
    if not dated:
        raise UsageError(
            f"{folder} contains no CSV or Parquet file, and no folder named by a date"
            " (2024-01-31) that contains one.",
            code="DROP_MISSING",
        )
    return dict(sorted(dated.items()))


def data_files(folder: Path) -> dict[str, Path]:
    """The tables of a drop by file stem; Parquet if there are both, as in `open_drop`."""
    if not folder.is_dir():
        return {}
    return {stem: paths[-1] for stem, paths in table_files(folder).items()}


def detect_format(paths: Iterable[Path]) -> FileFormat:
    """Delimiter and encoding of the CSV files among `paths` that do not declare them by a mark
    or a first line `sep=;`.

    The decimal sign keeps its default: each column shows its own (`drafting/texts.py`).

    Raises:
        UsageError: two of them are written differently, or one is not a CSV file.
    """
    raws = {path: _raw(path) for path in paths if is_text(path)}
    unmarked = {path: raw for path, raw in raws.items() if not marked_encoding(raw, "")[0]}
    encodings = {path: code for path, raw in unmarked.items() if (code := likely_encoding(raw))}
    encoding = _agreed("encoding", encodings) or "utf-8"
    texts = {path: _sample(path, raw, encoding) for path, raw in raws.items()}
    delimiters = {path: found for path, text in texts.items() if (found := _delimiter(text))}
    delimiter = _agreed("delimiter", delimiters) or ","
    return FileFormat(delimiter=delimiter, encoding=encoding)


def read_tables(files: Mapping[str, Path], written: FileFormat) -> dict[str, pd.DataFrame]:
    """Every table as strings (CSV) or as typed (Parquet), columns by their headers.

    Raises:
        UsageError: a file cannot be read, or names a column twice.
    """
    import pyarrow as pa

    tables = {}
    for stem, path in files.items():
        try:
            tables[stem] = _read_csv(path, written) if is_text(path) else _read_parquet(path)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            reason = reason_of(error, path)
            raise UsageError(
                f"{path.name} cannot be read as {suffix_of(path)[1:]}: {reason}.",
                code="FILE_UNREADABLE",
            ) from None
        no_names = _why_no_names(path.name, tables[stem])
        if no_names:
            raise UsageError(no_names, code="HEADER_MISSING")
        repeated = tables[stem].columns[tables[stem].columns.duplicated()].tolist()
        if repeated:
            raise UsageError(
                f"{path.name} names the column {repeated[0]!r} twice: name every column once.",
                code="FILE_UNREADABLE",
            )
    return tables


def _why_no_names(file: str, frame: pd.DataFrame) -> str:
    """Why the first line cannot be the names of the columns, and what to add; empty if it can:
    each is a number, a date or a value of its column, and one is a number or a date.
    """
    first = [str(header).strip() for header in frame.columns]
    odd = [bool(NO_NAME.fullmatch(header)) for header in first]
    if not any(odd):
        return ""
    for place, is_odd in enumerate(odd):
        texts = frame.iloc[:, place].astype(str).str.strip()
        if not is_odd and not (texts == first[place]).any():
            return ""
    names = ["customer_id", *(f"column_{place + 2}" for place in range(len(first) - 1))]
    shown = " ".join(first)[:EXAMPLE_LENGTH]
    return (
        f"{file} has no line with the names of its columns: its first line is {shown!r}. Add a"
        f" line above it with {counted(len(first), 'name')}, as {','.join(names)} with better"
        " words, in the same form as the other lines."
    )


def monthly_files(stems: Iterable[str]) -> dict[str, list[str]]:
    """Files whose names differ in a date alone: the name without it -> the files."""
    found: dict[str, list[str]] = {}
    for stem in stems:
        name = re.sub(DATE_IN_NAME, "", stem)
        if name and name != stem:
            found.setdefault(name, []).append(stem)
    return {name: sorted(files) for name, files in found.items() if len(files) > 1}


def _date(path: Path) -> dt.date | None:
    try:
        return dt.date.fromisoformat(path.name)
    except ValueError:
        return None


def _raw(path: Path) -> "memoryview[int]":
    try:
        return raw_bytes(path)
    except OSError as error:
        raise UsageError(
            f"{path.name} cannot be read as CSV: {reason_of(error, path)}.",
            code="FILE_UNREADABLE",
        ) from None


def _sample(path: Path, raw: "memoryview[int]", encoding: str) -> str:
    """The start of a file as text."""
    content = _opened(path, raw, FileFormat(encoding=encoding)).content
    return str(content[:SAMPLE_BYTES], "utf-8", "replace")


def _opened(path: Path, raw: "memoryview[int]", written: FileFormat) -> Text:
    try:
        return open_text(raw, written.encoding, written.delimiter)
    except UnicodeError as error:
        raise UsageError(
            f"{path.name} is not text in {written.encoding}: {error}.", code="FILE_UNREADABLE"
        ) from None


def _delimiter(text: str) -> str:
    """The delimiter that splits most of the first lines into the same number of fields; empty
    if none splits them.
    """
    lines = text.splitlines()[:SAMPLE_LINES]
    best = (0.0, 1)
    chosen = ""
    for delimiter in DELIMITERS:
        if delimiter == " ":
            aligned = memoryview("\n".join(lines).encode())
            lines = str(without_alignment(aligned), "utf-8").split("\n")
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
        if not widths:
            continue
        width, count = widths.most_common(1)[0]
        if width > 1 and (count / widths.total(), width) > best:
            best = (count / widths.total(), width)
            chosen = delimiter
    return chosen


def _agreed(what: str, found: Mapping[Path, str]) -> str:
    """The one answer of all files that have one; empty without any."""
    answers = {answer: path for path, answer in sorted(found.items(), reverse=True)}
    if len(answers) > 1:
        said = ", ".join(f"{path.name} has {answer!r}" for answer, path in answers.items())
        raise UsageError(
            f"The CSV files do not have the same {what}: {said}; write them all in the same way.",
            code="FILE_UNREADABLE",
        )
    return next(iter(answers), "")


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet as pq

    return to_frame(pq.ParquetFile(path).read())


def _read_csv(path: Path, written: FileFormat) -> pd.DataFrame:
    import pyarrow as pa
    from pyarrow.csv import ConvertOptions

    text = _opened(path, raw_bytes(path), written)
    strings = dict.fromkeys(text.header, pa.string())
    try:
        table, ragged = text.parse(ConvertOptions(column_types=strings, strings_can_be_null=False))
    except BrokenText as broken:
        raise UsageError(
            broken_fault(path, path.name, broken).sentence(), code="FILE_UNREADABLE"
        ) from None
    if ragged:
        rows = counted(len(ragged), "row")
        first = f"the first is row {ragged[0].number - 1}: {ragged[0].text[:EXAMPLE_LENGTH]!r}"
        raise UsageError(
            f"{path.name} cannot be read as csv: {rows} with more or fewer cells than the header"
            f" ({first}); quote cells that hold a delimiter or a line end.",
            code="FILE_UNREADABLE",
        )
    frame: pd.DataFrame = table.to_pandas()
    header = (frame == list(frame.columns)).all(axis=1)
    if header.any():
        return frame[~header].reset_index(drop=True)
    return frame
