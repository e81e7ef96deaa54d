"""Records: what each step of the loop derived for a month, as files beside the lake.

Each record carries the digest of the snapshot it was made from, so that "done" is read from the files and a run
that was killed is seen. Belongs here: their paths and atomic writing. Does not: their meaning (`core/`).
"""

import datetime as dt
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from churn_platform.adapters.files import read_json, replacing, write_json

Kind = Literal["training_dataset", "drift_report", "performance", "scores"]
KINDS: tuple[Kind, ...] = ("training_dataset", "drift_report", "performance", "scores")


class Records:
    """The records of one home."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def folder(self, kind: Kind) -> Path:
        """Where the records of a kind are."""
        return self.home / "lake" / "derived" / kind

    def path(self, kind: Kind, as_of: dt.date, suffix: str) -> Path:
        """The file of one record."""
        return self.folder(kind) / f"{as_of}{suffix}"

    def write(self, kind: Kind, as_of: dt.date, record: dict[str, Any], frame: pd.DataFrame | None = None) -> None:
        """Write a record and its rows; the record last, so that it never names rows that are not there."""
        if frame is not None:
            with replacing(self.path(kind, as_of, ".parquet")) as temporary:
                frame.to_parquet(temporary, index=False)
        write_json(self.path(kind, as_of, ".json"), record)

    def read(self, kind: Kind, as_of: dt.date) -> dict[str, Any] | None:
        """A record; None when the step has not run for the month."""
        path = self.path(kind, as_of, ".json")
        record: dict[str, Any] | None = read_json(path) if path.exists() else None
        return record

    def frame(self, kind: Kind, as_of: dt.date) -> pd.DataFrame:
        """The rows of a record; integers and booleans nullable, as in the lake."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
        table = pq.ParquetFile(self.path(kind, as_of, ".parquet")).read()
        frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
        return frame

    def months(self, kind: Kind) -> list[dt.date]:
        """The months that have a record of the kind, oldest first."""
        return sorted(dt.date.fromisoformat(path.stem) for path in self.folder(kind).glob("[0-9]*.json"))

    def decisions(self) -> list[dict[str, Any]]:
        """Every decision, oldest first."""
        return [read_json(path) for path in sorted((self.home / "ledger" / "decisions").glob("[0-9]*.json"))]

    def add_decision(self, decision: dict[str, Any]) -> Path:
        """Keep a decision under the next number; the same decision again keeps its place."""
        for path in sorted((self.home / "ledger" / "decisions").glob("[0-9]*.json")):
            if read_json(path) == decision:
                return path
        number = len(self.decisions()) + 1
        path = self.home / "ledger" / "decisions" / f"{number:06d}.json"
        write_json(path, decision)
        return path
