"""What would fail if files were delivered: each table and column against the contract, without
a home.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from churn_platform.base.errors import UsageError
from churn_platform.base.text import counted
from churn_platform.contract.model import Contract
from churn_platform.drafting.drop_files import data_files, drops_in
from churn_platform.ingestion.drop import Drop, open_drop, source_folder
from churn_platform.ingestion.faults import Fault
from churn_platform.ingestion.validation import ValidatedDrop, ValidatedTable, validate
from churn_platform.lake.keys import apart, everyone

LONG_AGO = 5 * 365
"""Days before the as_of; an earlier contact may have a mistyped year."""
UNDATED = dt.date(9000, 1, 1)
"""The as_of of a folder whose name is not a date: no date in its files lies after it."""


@dataclass(frozen=True)
class CheckLine:
    """One result of a check; `where` is a part of the contract, a table, or "table.column"."""

    state: Literal["ok", "fail", "note"]
    drop: str | None
    where: str
    says: str
    code: str | None = None
    """The code of the error, if it has one of its own."""


def check_contract(contract: Contract) -> list[CheckLine]:
    """What the contract contains, one line per part; a contract that can be read has no fault."""
    tables = ", ".join(f"{name} ({len(table.columns)})" for name, table in contract.tables.items())
    horizon = contract.label.horizon.model_dump(exclude_defaults=True)
    known = "known at its as_of"
    if horizon:
        after = " and ".join(counted(n, unit.removesuffix("s")) for unit, n in horizon.items())
        known = f"known {after} after its as_of"
    parts = {
        "entity": f"{contract.entity.column}, {contract.entity.dtype}",
        "tables": f"{tables} columns",
        "features": f"{len(contract.features)} in {counted(len(contract.feature_views), 'view')}",
        "label": f"{contract.label.in_words}, {known}",
        "slices": ", ".join(contract.slices) or "none",
    }
    if contract.contacts is not None:
        parts["contacts"] = f"in {contract.contacts.table}, by {contract.contacts.action}"
        parts["do_not_contact"] = contract.do_not_contact or "no column"
    return [CheckLine("ok", None, part, says) for part, says in parts.items()]


def check_files(contract: Contract, named: Sequence[Path]) -> list[CheckLine]:
    """As `check_drops`, for a folder, files or zip archives that a person names."""
    with source_folder(named, contract) as given:
        return check_drops(contract, given.folder)


def check_drops(
    contract: Contract, folder: Path, *, undated: dt.date | None = None
) -> list[CheckLine]:
    """What would be reported for each drop under `folder`, one line per table and column,
    oldest drop first.

    Args:
        contract: the contract.
        folder: a drop, or a folder of drops.
        undated: the as_of of a folder whose name is not a date, if it is known.

    Raises:
        UsageError: there is no file, or none is a table of the contract.
    """
    lines: list[CheckLine] = []
    customers: list[pd.Series] = []
    contacts: list[_ContactFile] = []
    for as_of, path in drops_in(folder).items():
        drop = open_drop(path, as_of or undated or UNDATED, contract)
        if not drop.files:
            wanted = ", ".join(f"{contract.file_stem(name)}.csv" for name in contract.tables)
            raise UsageError(
                f"None of the contract's tables is in {path}: expected {wanted} (or .parquet).",
                code="DROP_MISSING",
            )
        found = validate(contract, drop, today=drop.as_of, known=None)
        lines += _check_drop(contract, drop, found, path.name)
        month = contract.at(drop.as_of)
        customers += [
            table.keys
            for name, table in found.tables.items()
            if month.contacts is not None and name in month.feature_tables and len(table.keys)
        ]
        table = None if month.contacts is None else found.tables.get(month.contacts.table)
        if table is not None and table.report.rows and not table.report.refusals:
            contacts.append(_ContactFile(month, path.name, drop.as_of, table))
    everybody = everyone({str(n): keys for n, keys in enumerate(customers)})
    for file in contacts:
        lines += _contact_lines(file, everybody)
    days = list(dict.fromkeys(line.drop for line in lines))
    return sorted(lines, key=lambda line: days.index(line.drop))


@dataclass(frozen=True)
class _ContactFile:
    """The contacts of one drop, under the contract of its month."""

    contract: Contract
    day: str
    as_of: dt.date
    table: ValidatedTable


def _contact_lines(file: _ContactFile, customers: pd.Series) -> Iterator[CheckLine]:
    """What a table of contacts holds, and what in it a person should look at.

    Args:
        file: the contacts.
        customers: the distinct keys in the feature tables of all drops that are checked.
    """
    contacts = file.contract.contacts
    assert contacts is not None  # noqa: S101 - only such files are collected
    rows = file.table.valid
    days = pd.to_datetime(rows[contacts.contacted_on]).dropna()
    keys = rows[file.contract.entity.column]
    says = f"{counted(len(rows), 'contact')} of {counted(keys.nunique(), 'customer')}"
    if len(days):
        says += f", from {days.min().date()} to {days.max().date()}"
    aside = len(file.table.report.faulty)
    if aside:
        says += f"; {counted(aside, 'row')} would be quarantined"
    yield CheckLine("ok", file.day, contacts.table, says)
    unknown = apart(keys.drop_duplicates(ignore_index=True), customers)[0]
    if len(unknown):
        many = counted(int(keys.isin(unknown).sum()), "contact")
        yield CheckLine(
            "note",
            file.day,
            contacts.table,
            f"{many} of {counted(len(unknown), 'customer')} who are in none of the other files",
        )
    where = f"{contacts.table}.{contacts.contacted_on}"
    newest = days.max().date() if len(days) and file.as_of == UNDATED else file.as_of
    after = int((days > pd.Timestamp(newest)).sum())
    if after:
        yield CheckLine(
            "note", file.day, where, f"{counted(after, 'contact')} dated after {newest}"
        )
    first = newest - dt.timedelta(days=LONG_AGO)
    before = int((days < pd.Timestamp(first)).sum())
    if before:
        yield CheckLine(
            "note", file.day, where, f"{counted(before, 'contact')} dated before {first}"
        )


def _check_drop(
    contract: Contract, drop: Drop, found: ValidatedDrop, day: str
) -> Iterator[CheckLine]:
    for fault in found.of_the_drop:
        pulled = fault.code == "missing_table" and fault.table in contract.pulled
        if fault.table not in drop.files and not pulled:
            yield _fault_line(day, fault, refuses=True)
    for name in contract.pulled:
        if name not in drop.files:
            yield CheckLine("note", day, name, "it is read from its database by `churn ingest`")
    files = {contract.label_table, contract.label.table}
    if contract.label.no_event is None and not files & set(drop.files):
        yield CheckLine("note", day, contract.label_table, "no labels yet: they may come later")
    for name, path in drop.files.items():
        yield from _table_lines(contract, found, name, path, day)
    known = {path.name for path in drop.files.values()}
    for path in data_files(drop.folder).values():
        if path.name not in known:
            yield CheckLine("note", day, path.name, "no table of the contract: it is left alone")


def _table_lines(
    contract: Contract, found: ValidatedDrop, name: str, path: Path, day: str
) -> Iterator[CheckLine]:
    """The faults of a table, and a line for each valid column if every column was checked."""
    faults = [(fault, True) for fault in found.of_the_drop if fault.table == name]
    complete = False
    if name in found.tables:
        report = found.tables[name].report
        faults += [(fault, True) for fault in report.refusals]
        faults += [(fault, bool(report.refusals)) for fault in report.worst_first]
        complete = all(fault.of_cells for fault in report.faults)
    for fault, refuses in faults:
        yield _fault_line(day, fault, refuses=refuses)
    faulty = {fault.column for fault, _ in faults}
    for column, spec in contract.delivered(name).items():
        if complete and not faulty & {column, spec.source or column}:
            yield CheckLine("ok", day, f"{name}.{column}", f"{spec.dtype} in {path.name}")


def _fault_line(day: str, fault: Fault, *, refuses: bool) -> CheckLine:
    """A refusal, or a note about rows that would be quarantined."""
    where = ".".join(filter(None, [fault.table, fault.column]))
    if refuses:
        return CheckLine("fail", day, where, fault.sentence())
    return CheckLine("note", day, where, f"would be quarantined: {fault.sentence()}")
