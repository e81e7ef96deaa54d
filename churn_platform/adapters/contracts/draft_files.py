"""Reads the files of a drop that no contract describes yet: which drops there are, how they are written, their tables.

Belongs here: finding drops, detecting delimiter, decimal and encoding, reading without guessing a dtype.
Does not: what the values mean (`core/draft`); reading by a contract (`adapters/drops/reader.py`).
"""

import csv as text_csv
import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from churn_platform.adapters.drops.reader import SUFFIXES
from churn_platform.core.contract_parts import FileFormat
from churn_platform.errors import UsageError

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_LINES, SAMPLE_BYTES = 50, 1 << 20
COMMA, POINT = r"[+-]?[0-9]+,[0-9]+", r"[+-]?[0-9]+\.[0-9]+"


def drops_in(folder: Path) -> dict[dt.date | None, Path]:
    """The drops under `folder`, oldest first; or `folder` itself where it holds files, dated by its name if it can be.

    Raises:
        UsageError: there is no such folder, or no CSV or Parquet file in it.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: name the folder with a month's files, or with one folder a month.")
    if data_files(folder):
        return {_date(folder.absolute()): folder}
    dated = {date: entry for entry in folder.iterdir() if (date := _date(entry)) and data_files(entry)}
    if not dated:
        raise UsageError(f"{folder} holds no CSV or Parquet file, nor folders named by a date (2024-01-31) that do.")
    return dict(sorted(dated.items()))


def data_files(folder: Path) -> dict[str, Path]:
    """The tables of a drop by file stem; Parquet where there are both, as `open_drop` has it."""
    if not folder.is_dir():
        return {}
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    return {path.stem: path for path in found}


def detect_format(paths: Iterable[Path]) -> FileFormat:
    """How the CSV files among `paths` are written.

    Raises:
        UsageError: two of them are written differently.
    """
    samples = {path: _sample(path) for path in paths if path.suffix == ".csv"}
    encodings = {path: code for path, raw in samples.items() if (code := _encoding(raw))}
    encoding = _agreed("encoding", encodings) or "utf-8"
    texts = {path: raw.decode(encoding, errors="replace") for path, raw in samples.items()}
    delimiters = {path: found for path, text in texts.items() if (found := _delimiter(text))}
    delimiter = _agreed("delimiter", delimiters) or ","
    decimals = {path: found for path, text in texts.items() if (found := _decimal(text, delimiter))}
    return FileFormat(delimiter=delimiter, decimal=_agreed("decimal sign", decimals) or ".", encoding=encoding)


def read_tables(files: Mapping[str, Path], written: FileFormat) -> dict[str, pd.DataFrame]:
    """Every table as strings (CSV) or as typed (Parquet), columns by their headers; decimal commas become points.

    Raises:
        UsageError: a file cannot be read, or names a column twice.
    """
    import pyarrow as pa

    tables = {}
    for stem, path in files.items():
        try:
            tables[stem] = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path, written)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UsageError(f"{path.name} cannot be read as {path.suffix[1:]}: {reason}.") from None
        repeated = tables[stem].columns[tables[stem].columns.duplicated()].tolist()
        if repeated:
            raise UsageError(f"{path.name} names the column {repeated[0]!r} twice: name every column once.")
    return tables


def _date(path: Path) -> dt.date | None:
    try:
        return dt.date.fromisoformat(path.name)
    except ValueError:
        return None


def _sample(path: Path) -> bytes:
    """Whole lines from the start of a file."""
    with path.open("rb") as file:
        raw = file.read(SAMPLE_BYTES)
        return raw + file.readline()


def _encoding(raw: bytes) -> str:
    """Empty where every encoding reads the same."""
    if raw.isascii():
        return ""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _delimiter(text: str) -> str:
    """The delimiter that splits the first lines into the same number of fields, most of them; empty where none does."""
    found = []
    for delimiter in DELIMITERS:
        widths = Counter(len(row) for row in _rows(text, delimiter) if row)
        if widths:
            width, lines = widths.most_common(1)[0]
            found.append((lines / widths.total(), width, delimiter))
    split = [candidate for candidate in found if candidate[1] > 1]
    return max(split, key=lambda candidate: candidate[:2])[2] if split else ""


def _rows(text: str, delimiter: str) -> list[list[str]]:
    return list(text_csv.reader(text.splitlines()[:SAMPLE_LINES], delimiter=delimiter))


def _decimal(text: str, delimiter: str) -> str:
    """The sign by which whole columns are numbers; empty where there is none with a fraction."""
    columns: list[tuple[str, ...]] = list(zip(*_rows(text, delimiter)[1:], strict=False))
    cells = pd.Series([[cell for cell in column if cell] for column in columns], dtype=object)
    for sign, form in ((".", POINT), (",", COMMA)):
        for column in cells:
            numbers = pd.Series(column, dtype=str).str.fullmatch(rf"{form}|[+-]?[0-9]+")
            if column and numbers.all() and pd.Series(column).str.contains(sign, regex=False).any():
                return sign
    return ""


def _agreed(what: str, found: Mapping[Path, str]) -> str:
    """The one answer of all files that have one; empty without any."""
    answers = {answer: path for path, answer in sorted(found.items(), reverse=True)}
    if len(answers) > 1:
        said = ", ".join(f"{path.name} has {answer!r}" for answer, path in answers.items())
        raise UsageError(f"The CSV files are not written with one {what}: {said}; write them all alike.")
    return next(iter(answers), "")


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = pq.ParquetFile(path).read().to_pandas(types_mapper=nullable.get)
    return frame


def _read_csv(path: Path, written: FileFormat) -> pd.DataFrame:
    import pyarrow as pa
    from pyarrow import csv

    options = {
        "parse_options": csv.ParseOptions(delimiter=written.delimiter),
        "read_options": csv.ReadOptions(encoding=written.encoding),
    }
    with csv.open_csv(path, **options) as reader:
        strings = dict.fromkeys(reader.schema.names, pa.string())
    convert = csv.ConvertOptions(column_types=strings, strings_can_be_null=False)
    frame: pd.DataFrame = csv.read_csv(path, convert_options=convert, **options).to_pandas()
    return frame if written.decimal == "." else frame.apply(_with_points)


def _with_points(texts: pd.Series) -> pd.Series:
    filled = texts[texts != ""].str.strip()
    number = filled.str.fullmatch(rf"{COMMA}|[+-]?[0-9]+").all() and len(filled)
    return texts.str.replace(",", ".", regex=False) if number else texts
