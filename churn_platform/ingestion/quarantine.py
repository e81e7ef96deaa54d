"""What follows from the faults of a drop: quarantined rows, or a refused drop."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from churn_platform.base.text import EXAMPLES, percent
from churn_platform.ingestion.faults import EXAMPLE_LENGTH, Fault, Positions, fault
from churn_platform.lake.deliveries import QuarantineRecord
from churn_platform.lake.keys import everyone, lacking, near_tables

ROW = "row"
REASONS = "reasons"
"""Columns of a quarantine file before those of the table's own file."""


@dataclass(frozen=True)
class TableReport:
    """What validation found in one file of a drop.

    Attributes:
        table: The table.
        file: The file's name.
        rows: Data rows in the file.
        duplicates: Rows that repeated an earlier one exactly and were dropped.
        faults: All faults, of cells and of the file.
        allowed: Share of the rows that may be put aside.
    """

    table: str
    file: str
    rows: int
    duplicates: int
    faults: tuple[Fault, ...]
    allowed: float

    @cached_property
    def faulty(self) -> Positions:
        """Rows with a fault, counted from 0, ascending."""
        return _union([fault.positions for fault in self.faults if fault.of_cells])

    @cached_property
    def refusals(self) -> tuple[Fault, ...]:
        """The faults that refuse the drop: those of the file, and too many faulty rows."""
        found = tuple(fault for fault in self.faults if not fault.of_cells)
        if len(self.faulty) <= self.allowed * self.rows:
            return found
        words: dict[str, Any] = {"faulty": f"{len(self.faulty):,}", "rows": f"{self.rows:,}"}
        words |= {
            "share": percent(len(self.faulty) / self.rows),
            "allowed": percent(self.allowed),
        }
        return (*found, fault("too_many_faulty_rows", self.table, file=self.file, **words))

    @property
    def worst_first(self) -> tuple[Fault, ...]:
        """The faults of cells, those with most rows first."""
        return tuple(
            sorted((f for f in self.faults if f.of_cells), key=lambda found: -len(found.positions))
        )

    def record(self) -> QuarantineRecord:
        """What the lake keeps of it."""
        return QuarantineRecord(
            rows=self.rows,
            quarantined=len(self.faulty),
            duplicates=self.duplicates,
            reasons=tuple(found.sentence() for found in self.worst_first),
        )


def quarantined_rows(report: TableReport, delivered: pd.DataFrame) -> pd.DataFrame:
    """The faulty rows as they were in the file, after their number (from 1) and their reasons.

    Args:
        report: the table's report.
        delivered: (rows, columns) the complete file in its own order.
    """
    aside = delivered.iloc[report.faulty].reset_index(drop=True)
    reasons = [
        pd.Series(f"{found.column}: {found.says}", index=found.positions)
        for found in report.faults
        if found.of_cells
    ]
    said = pd.concat(reasons).groupby(level=0, sort=True).agg("; ".join)
    aside.insert(0, REASONS, said.to_numpy(), allow_duplicates=True)
    aside.insert(0, ROW, report.faulty + 1, allow_duplicates=True)
    return aside


def in_words_of(delivered: pd.DataFrame, found: Fault) -> Fault:
    """The fault with its examples as they stand in the file (rows, columns), not as they were
    read: -1.50, not -1.5.
    """
    if not found.examples:
        return found
    shown = delivered[found.column].iloc[found.positions[:EXAMPLES]]
    return replace(found, examples=tuple(str(value)[:EXAMPLE_LENGTH] for value in shown))


def differing(keys: Mapping[str, pd.Series], files: Mapping[str, str], share: float) -> list[Fault]:
    """A fault for each table of a month that writes the same customers' keys in another way
    than the other tables.

    Args:
        keys: the keys of each table of the month, in any order.
        files: the file of each table.
        share: the share of a table's keys that may do so.
    """
    faults = []
    for table, near in near_tables(keys).items():
        if near.count > share * len(keys[table]):
            words: dict[str, Any] = {"near": f"{near.count:,}", "all": f"{len(keys[table]):,}"}
            words |= {"how": near.spelling.how, "repair": near.spelling.repair}
            file = files.get(table, "")
            faults.append(
                fault(
                    "keys_differ_between_tables",
                    table,
                    file=file,
                    examples=near.examples,
                    **words,
                )
            )
    return faults


def unmatched(keys: Mapping[str, pd.Series], files: Mapping[str, str], share: float) -> list[Fault]:
    """A fault for each feature table that lacks too many of the month's customers.

    Args:
        keys: the keys of each feature table of the month, in any order.
        files: the file of each table.
        share: the share of all customers that one table may lack.
    """
    if not keys:
        return []
    customers = len(everyone(keys))
    faults = []
    for table, absent in lacking(keys).items():
        if len(absent) > share * customers:
            words: dict[str, Any] = {"absent": f"{len(absent):,}", "all": f"{customers:,}"}
            words |= {"share": percent(len(absent) / customers), "allowed": percent(share)}
            examples = absent.head(EXAMPLES).tolist()
            file = files.get(table, "")
            faults.append(
                fault("unmatched_customers", table, file=file, examples=examples, **words)
            )
    return faults


def _union(positions: list[Positions]) -> Positions:
    if positions:
        return np.unique(np.concatenate(positions))
    return np.zeros(0, dtype=np.int64)
