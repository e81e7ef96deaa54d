"""Judges all files of a drop: valid tables, quarantined rows, and every fault of every file."""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from churn_platform.base.errors import ContractError
from churn_platform.base.text import EXAMPLES, counted, percent
from churn_platform.contract.model import Contract
from churn_platform.ingestion.conversion import Writing, convert
from churn_platform.ingestion.delivered_file import is_text
from churn_platform.ingestion.drop import Drop
from churn_platform.ingestion.faults import EXAMPLE_LENGTH, Fault, Positions, fault
from churn_platform.ingestion.month_warnings import MonthWarning
from churn_platform.ingestion.rules import conform, missing_tables, read_keys
from churn_platform.ingestion.table_reader import listing, read_table
from churn_platform.lake.deliveries import QuarantineRecord, quarantined_sentence
from churn_platform.lake.instants import days
from churn_platform.lake.keys import everyone, lacking, near_tables
from churn_platform.lake.month_comparison import MonthComparison

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
        allowed: Share of the rows that may be quarantined.
        later: Events after the as_of in a complete log, which were left out.
    """

    table: str
    file: str
    rows: int
    duplicates: int
    faults: tuple[Fault, ...]
    allowed: float
    later: int = 0

    @cached_property
    def faulty(self) -> Positions:
        """Rows with a fault, counted from 0, ascending."""
        positions = [fault.positions for fault in self.faults if fault.of_cells]
        return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *positions]))

    @cached_property
    def refusals(self) -> tuple[Fault, ...]:
        """The faults that refuse the drop: those of the file, and too many faulty rows."""
        found = tuple(fault for fault in self.faults if not fault.of_cells)
        if len(self.faulty) <= self.allowed * self.rows:
            return found
        too_many = fault(
            "too_many_faulty_rows",
            self.table,
            file=self.file,
            faulty=f"{len(self.faulty):,}",
            rows=f"{self.rows:,}",
            share=percent(len(self.faulty) / self.rows),
            allowed=percent(self.allowed),
        )
        return (*found, too_many)

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


@dataclass(frozen=True)
class ValidatedTable:
    """One file of a drop after validation."""

    report: TableReport
    valid: pd.DataFrame
    """The rows without a fault, typed, sorted by entity."""
    quarantined: pd.DataFrame | None
    """The rows with a fault as they were in the file, with number and reasons; None without
    any.
    """
    keys: pd.Series
    """Every key that can be read, of faulty rows too."""


@dataclass(frozen=True)
class ValidatedDrop:
    """A drop after validation; nothing is published or refused yet."""

    as_of: dt.date
    tables: dict[str, ValidatedTable]
    of_the_drop: tuple[Fault, ...]
    """Faults that do not belong to a single file."""
    comparison: MonthComparison | None = None
    """The month next to those published before; None for a drop that is refused."""
    warnings: tuple[MonthWarning, ...] = ()
    """What the comparison shows and does not refuse."""

    @cached_property
    def refusals(self) -> tuple[Fault, ...]:
        """What refuses the drop; empty when it can be published."""
        return (
            *self.of_the_drop,
            *(f for table in self.tables.values() for f in table.report.refusals),
        )

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Every fault that the drop has: the drop's, then each file's."""
        files = (
            f for t in self.tables.values() for f in (*t.report.refusals, *t.report.worst_first)
        )
        return (*self.of_the_drop, *files)

    @property
    def quarantined_sentence(self) -> str:
        """How many rows of which tables are quarantined; empty when none are."""
        return quarantined_sentence({name: len(t.report.faulty) for name, t in self.tables.items()})


class DropRefused(ContractError):
    """A drop broke the contract, and nothing of it was published."""

    code = "DROP_REFUSED"

    def __init__(
        self, message: str, faults: tuple[Fault, ...] = (), page: Path | None = None
    ) -> None:
        super().__init__(message)
        self.faults = faults
        self.page = page
        """The HTML file that shows the faults."""


def validate(
    contract: Contract,
    drop: Drop,
    *,
    today: dt.date,
    known: Mapping[str, pd.Series] | None,
    published: Collection[dt.date] = (),
) -> ValidatedDrop:
    """Read and judge every file of a drop.

    Args:
        contract: the contract.
        drop: the drop.
        today: a month further ahead than one cadence is a slip of the pen.
        known: keys of the month's feature tables that were published before; None for a first
            delivery, which must bring every feature table.
        published: the months that the lake holds; a new one may not lie within one cadence of
            another.
    """
    month = contract.at(drop.as_of)
    parts = {stem for table in month.tables.values() for stem in table.parts}
    contract = contract.delivery(drop.as_of)
    of_the_drop = list(_of_the_as_of(contract, drop.as_of, today, published))
    if known is None:
        of_the_drop += missing_tables(contract, set(drop.files), listing(drop.folder))
    for name, other in drop.doubles.items():
        of_the_drop.append(fault("two_files", name, examples=[drop.files[name].name, other.name]))
    tables = {
        # Rows of a part are joined to those of another file, so none is set aside.
        name: _validated(contract, name, path, drop.as_of, quarantines=name not in parts)
        for name, path in drop.files.items()
        if name not in drop.doubles
    }
    delivered = {name: table.keys for name, table in tables.items() if len(table.keys)}
    # The drop's own last: of two tables that differ by case alone the later one is named.
    made = {table for log in contract.logs for table in (log, contract.lake_name(log))}
    published_keys = {n: own for n, own in (known or {}).items() if n not in {*delivered, *made}}
    keys = published_keys | delivered
    if len(keys) > 1 and set(keys) & set(tables):
        of_the_drop += _between_tables(
            contract, keys, tables, {name: path.name for name, path in drop.files.items()}
        )
    return ValidatedDrop(drop.as_of, tables, tuple(of_the_drop))


def _between_tables(
    contract: Contract,
    keys: Mapping[str, pd.Series],
    delivered: Collection[str],
    files: Mapping[str, str],
) -> list[Fault]:
    """Keys that are written in two ways, else customers that a feature table lacks.

    A table that was published before is not named for its keys: this drop cannot repair it.
    """
    policy = contract.policy.ingestion
    differ = differing(keys, files, policy.near_key_share)
    if differ or not set(contract.snapshot_tables) & set(delivered):
        return [found for found in differ if found.table in delivered]
    features = {name: own for name, own in keys.items() if name in contract.snapshot_tables}
    return unmatched(features, files, policy.unmatched_share)


def _of_the_as_of(
    contract: Contract, as_of: dt.date, today: dt.date, published: Collection[dt.date]
) -> Iterator[Fault]:
    cadence = contract.cadence
    if as_of > contract.step.after(today):
        yield fault("future", "", as_of=as_of, cadence=cadence, year=as_of.year)
    other = None if as_of in published else contract.too_close(as_of, published)
    if other is not None:
        days = counted(abs((as_of - other).days), "day")
        yield fault("as_of_too_close", "", as_of=as_of, other=other, days=days, cadence=cadence)


def _validated(
    contract: Contract, name: str, path: Path, as_of: dt.date, *, quarantines: bool
) -> ValidatedTable:
    rows, valid, faulty, faults = _conformed(contract, name, path, as_of)
    allowed = contract.policy.ingestion.quarantine_share if quarantines else 0.0
    report = TableReport(name, path.name, rows, 0, tuple(faults), allowed)
    if not all(found.of_cells for found in faults):
        return ValidatedTable(report, valid, None, pd.Series(dtype=object))
    report = replace(report, duplicates=rows - len(valid) - len(report.faulty))
    log = contract.logs.get(name)
    if log is not None and log.delivery == "replace":
        later = days(valid[log.time], log.time_zone) > pd.Timestamp(as_of)
        valid = valid[~later].reset_index(drop=True)
        report = replace(report, later=int(later.sum()))
    keys = valid[contract.entity.column]
    if contract.has_many_rows(name):
        keys = keys.drop_duplicates(ignore_index=True)
    quarantined = None
    if len(report.faulty):
        lost = faulty[contract.key.source or contract.entity.column]
        delivered = read_keys(contract, name, lost.reset_index(drop=True))
        readable = convert(
            delivered, contract.entity.dtype, Writing.of(contract.files, contract.key)
        )[0].dropna()
        keys = pd.Series(pd.concat([keys, readable]).unique(), name=keys.name)
        quarantined = None if report.refusals else quarantined_rows(report, faulty)
    return ValidatedTable(report, valid, quarantined, keys)


def _conformed(
    contract: Contract, name: str, path: Path, as_of: dt.date
) -> tuple[int, pd.DataFrame, pd.DataFrame, list[Fault]]:
    """How many rows there are, the valid ones, the faulty ones as delivered by position, and
    the faults, those of a CSV in the words of the file.
    """
    raw, faults = read_table(path, contract, name)
    if faults:
        return 0, raw, raw, faults
    valid, faults = conform(contract, name, raw, as_of=as_of, file=path.name)
    faulty = np.zeros(len(raw), dtype=bool)
    for found in faults:
        if found.of_cells:
            faulty[found.positions] = True
    if not faulty.any() or not is_text(path):
        return len(raw), valid, raw[faulty], faults
    text, unreadable = read_table(path, contract, name, as_text=faulty)
    if unreadable:
        return 0, text, text, unreadable
    text.index = pd.Index(np.flatnonzero(faulty))
    return len(raw), valid, text, [in_words_of(text, found) for found in faults]


def quarantined_rows(report: TableReport, delivered: pd.DataFrame) -> pd.DataFrame:
    """The faulty rows as they were in the file, after their number (from 1) and their reasons.

    Args:
        report: the table's report.
        delivered: (rows, columns) the faulty rows by position in the file.
    """
    quarantined = delivered.loc[report.faulty].reset_index(drop=True)
    reasons = [
        pd.Series(f"{found.column}: {found.says}", index=found.positions)
        for found in report.faults
        if found.of_cells
    ]
    said = pd.concat(reasons).groupby(level=0, sort=True).agg("; ".join)
    quarantined.insert(0, REASONS, said.to_numpy(), allow_duplicates=True)
    quarantined.insert(0, ROW, report.faulty + 1, allow_duplicates=True)
    return quarantined


def in_words_of(delivered: pd.DataFrame, found: Fault) -> Fault:
    """The fault with its examples as they stand in the file, not as they were read: -1.50, not
    -1.5.

    Args:
        delivered: (rows, columns) the faulty rows by position in the file.
        found: the fault.
    """
    if not found.examples:
        return found
    shown = delivered[found.column].loc[found.positions[:EXAMPLES].tolist()]
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
            faults.append(
                fault(
                    "keys_differ_between_tables",
                    table,
                    file=files.get(table, ""),
                    examples=near.examples,
                    near=f"{near.count:,}",
                    all=f"{len(keys[table]):,}",
                    how=near.spelling.how,
                    repair=near.spelling.repair,
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
    customers = len(everyone(keys))
    faults = []
    for table, absent in lacking(keys).items():
        if len(absent) > share * customers:
            faults.append(
                fault(
                    "unmatched_customers",
                    table,
                    file=files.get(table, ""),
                    examples=absent.head(EXAMPLES).tolist(),
                    absent=f"{len(absent):,}",
                    all=f"{customers:,}",
                    share=percent(len(absent) / customers),
                    allowed=percent(share),
                )
            )
    return faults
