"""Reads the files of a drop: CSV or Parquet to frames, and the fingerprint by which a change is seen.

Belongs here: finding a drop's files, reading them, whether a drop is complete. Does not: judging the values.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from churn_platform.adapters.files import sha256_file
from churn_platform.core.contract import Contract
from churn_platform.core.digest import digest_of
from churn_platform.core.snapshot import FALSE_WORDS, NULL_WORDS, TRUE_WORDS
from churn_platform.errors import DropRefused

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".csv", ".parquet")
SUCCESS, INCOMING = "_SUCCESS", "_INCOMING"


@dataclass(frozen=True)
class Drop:
    """The files delivered for one as_of."""

    as_of: dt.date
    folder: Path
    files: dict[str, Path]
    last_change: float
    """Newest modification time of its files, seconds since the epoch."""
    marked_complete: bool

    @property
    def fingerprint(self) -> str:
        """Changes when a file is added, removed, resized or rewritten; cheap, it reads no content."""
        stats = {name: (path.name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in self.files.items()}
        return digest_of({name: list(stat) for name, stat in stats.items()})

    def content_digest(self) -> str:
        """Digest over the bytes of every file."""
        return digest_of({name: sha256_file(path) for name, path in self.files.items()})


def find_drops(folder: Path, contract: Contract) -> list[Drop]:
    """Every drop under `folder` (one sub-folder an as_of, named by its date), oldest first.

    A folder that is still being written by `churn ingest` is not a drop yet.
    """
    drops = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            as_of = dt.date.fromisoformat(entry.name)
        except ValueError:
            continue
        if entry.is_dir() and not (entry / INCOMING).exists() and (drop := open_drop(entry, as_of, contract)).files:
            drops.append(drop)
    return drops


def open_drop(folder: Path, as_of: dt.date, contract: Contract) -> Drop:
    """The drop in `folder`; files that are no table of the contract are left alone."""
    files = {
        table: path
        for table in contract.deliverable
        for suffix in SUFFIXES
        if (path := folder / f"{contract.file_stem(table)}{suffix}").is_file()
    }
    newest = max((path.stat().st_mtime for path in files.values()), default=0.0)
    return Drop(as_of, folder, files, newest, (folder / SUCCESS).exists())


def read_table(path: Path, contract: Contract, name: str) -> pd.DataFrame:
    """The table in `path`: typed when every value can be read as the contract's dtype, else strings.

    Raises:
        DropRefused: the file cannot be read as CSV or Parquet at all.
    """
    import pyarrow as pa

    try:
        table = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path, contract, name)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        fault = f"{path.name}: the file cannot be read as {path.suffix[1:]}: {reason}; deliver it again."
        raise DropRefused(fault, (fault,)) from None
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    return frame


def _read_parquet(path: Path) -> "pa.Table":
    import pyarrow.parquet as pq

    return pq.ParquetFile(path).read()


def _read_csv(path: Path, contract: Contract, name: str) -> "pa.Table":
    """Typed at pyarrow's speed; a file with any value that does not fit is read again as strings."""
    import pyarrow as pa
    from pyarrow import csv

    arrow = {"integer": pa.int64(), "float": pa.float64(), "boolean": pa.bool_(), "date": pa.date32()}
    columns = contract.delivered(name)
    try:
        return csv.read_csv(
            path,
            convert_options=csv.ConvertOptions(
                column_types={c.source or n: arrow.get(c.dtype, pa.string()) for n, c in columns.items()},
                null_values=["", *(w for w in NULL_WORDS if w), *(w.upper() for w in NULL_WORDS if w), "NaN", "None"],
                true_values=[form for word in TRUE_WORDS for form in (word, word.capitalize(), word.upper())],
                false_values=[form for word in FALSE_WORDS for form in (word, word.capitalize(), word.upper())],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        with csv.open_csv(path) as reader:
            header = reader.schema.names
        strings = csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False)
        return csv.read_csv(path, convert_options=strings)
