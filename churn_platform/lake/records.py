"""Records: what each step of the loop derived for a month, as files next to the lake.

Each record carries the digest of the snapshot it was made from, so "done" is read from the
files and a run that was killed is seen.
"""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from churn_platform.base.digests import digest_of
from churn_platform.base.files import read_json, replacing, sha256_file, write_json

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal[
    "training_dataset",
    "drift_report",
    "performance",
    "scores",
    "contact_plan",
    "campaign_effect",
    "shadow_scores",
    "experiments",
    "monthly_report",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
OF_EVERY_MONTH: tuple[Kind, ...] = ("training_dataset", "drift_report", "performance", "scores")
OF_CONTACTS: tuple[Kind, ...] = ("contact_plan", "campaign_effect")
"""Made for the newest month, where the contract names contacts."""
DIGESTS = "sha256"
"""The key of a record's file under which the digests of the record and of its rows stand."""


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

    def write(
        self,
        kind: Kind,
        as_of: dt.date,
        record: dict[str, Any],
        frame: "pd.DataFrame | None" = None,
    ) -> None:
        """Write a record and its rows; the record last, so it never names rows that are not
        there.

        Without a frame the rows stay as they are. The file carries the digests of both, for
        `broken`.
        """
        path = self.path(kind, as_of, ".json")
        rows = None
        if frame is not None:
            self.write_rows(kind, as_of, frame)
            rows = sha256_file(path.with_suffix(".parquet"))
        elif path.exists():
            rows = (read_json(path).get(DIGESTS) or {}).get("rows")
        write_json(path, record | {DIGESTS: {"record": digest_of(record), "rows": rows}})

    def write_rows(self, kind: Kind, as_of: dt.date, frame: "pd.DataFrame") -> None:
        """Write the rows alone, where something lies between them and their record."""
        with replacing(self.path(kind, as_of, ".parquet")) as temporary:
            frame.to_parquet(temporary, index=False)

    def complete(self, kind: Kind, as_of: dt.date, record: dict[str, Any]) -> None:
        """Write the record of rows that are there already."""
        path = self.path(kind, as_of, ".json")
        rows = sha256_file(path.with_suffix(".parquet"))
        write_json(path, record | {DIGESTS: {"record": digest_of(record), "rows": rows}})

    def read(self, kind: Kind, as_of: dt.date) -> dict[str, Any] | None:
        """A record; None when the step has not run for the month."""
        path = self.path(kind, as_of, ".json")
        if not path.exists():
            return None
        record: dict[str, Any] = read_json(path)
        record.pop(DIGESTS, None)
        return record

    def newest(self, kind: Kind) -> Mapping[str, Any] | None:
        """The record of the newest month that has one; None before the first."""
        months = self.months(kind)
        if months:
            return self.read(kind, months[-1])
        return None

    def broken(self, kind: Kind, as_of: dt.date) -> str | None:
        """None while record and rows are what was written, else the sentence what is not.

        Raises:
            IntegrityError: the record is not valid JSON.
        """
        path = self.path(kind, as_of, ".json")
        record = read_json(path)
        digests = record.pop(DIGESTS, None) or {}
        if digest_of(record) != digests.get("record"):
            return f"{path} is not what was written: it was changed by hand, or is of another make"
        rows = path.with_suffix(".parquet")
        if digests["rows"] is not None and not rows.exists():
            return f"{rows} is gone"
        if digests["rows"] is not None and sha256_file(rows) != digests["rows"]:
            return f"{rows} is not what was written"
        return None

    def frame(self, kind: Kind, as_of: dt.date) -> "pd.DataFrame":
        """The rows of a record; integers and booleans nullable, as in the lake."""
        from churn_platform.lake.arrow_tables import read_frame

        return read_frame(self.path(kind, as_of, ".parquet"))

    def months(self, kind: Kind) -> list[dt.date]:
        """The months that have a record of the kind, oldest first."""
        return sorted(
            dt.date.fromisoformat(path.stem) for path in self.folder(kind).glob("[0-9]*.json")
        )

    def decisions(self) -> list[Mapping[str, Any]]:
        """Every decision, oldest first."""
        return [read_json(path) for path in self.decision_files()]

    def decision_files(self) -> list[Path]:
        """The file of every decision, oldest first."""
        return sorted((self.home / "ledger" / "decisions").glob("[0-9]*.json"))

    def add_decision(self, decision: dict[str, Any]) -> Path:
        """Keep a decision under the next number."""
        number = len(self.decisions()) + 1
        path = self.home / "ledger" / "decisions" / f"{number:06d}.json"
        write_json(path, decision)
        return path
