"""What would fail if a folder were delivered: each table and column against the contract,
without a home.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churn_platform.base.errors import UsageError
from churn_platform.contract.model import Contract
from churn_platform.drafting.drop_files import data_files, drops_in
from churn_platform.ingestion.drop import Drop, open_drop, source_folder
from churn_platform.ingestion.faults import Fault
from churn_platform.ingestion.validation import validate

Line = dict[str, Any]
"""`state` ("ok", "fail" or "note"), `drop`, `where` ("table" or "table.column") and `says`."""
UNDATED = dt.date(9000, 1, 1)
"""The as_of of a folder whose name is not a date: no date in its files lies after it."""


def check_contract(contract: Contract) -> list[Line]:
    """What the contract holds, a line a part; a contract that can be read has no fault left."""
    tables = ", ".join(f"{name} ({len(table.columns)})" for name, table in contract.tables.items())
    views = len(contract.feature_views)
    horizon = contract.label.horizon.model_dump(exclude_defaults=True)
    after = " and ".join(f"{n} {unit if n > 1 else unit[:-1]}" for unit, n in horizon.items())
    if after:
        known = f"known {after} after its as_of"
    else:
        known = "known at its as_of"
    said = {
        "entity": f"{contract.entity.column}, {contract.entity.dtype}",
        "tables": f"{tables} columns",
        "features": f"{len(contract.features)} in {views} view{'s' if views > 1 else ''}",
        "label": f"{contract.label.table}.{contract.label.column}, {known}",
        "slices": ", ".join(contract.slices) or "none",
    }
    return [
        {"state": "ok", "drop": None, "where": part, "says": says} for part, says in said.items()
    ]


def check_files(contract: Contract, named: Sequence[Path]) -> list[Line]:
    """What would be reported for the drops that a person names: a folder, files or zip
    archives; see `check_drops`.
    """
    with source_folder(named, contract) as given:
        return check_drops(contract, given.folder)


def check_drops(contract: Contract, folder: Path, *, undated: dt.date | None = None) -> list[Line]:
    """What would be reported for each drop under `folder`, one line per table and column,
    oldest drop first.

    Args:
        contract: the contract.
        folder: a drop, or a folder of drops.
        undated: the as_of of a folder whose name is not a date, where it is known.

    Raises:
        UsageError: there is no file, or none is a table of the contract.
    """
    lines: list[Line] = []
    for as_of, path in drops_in(folder).items():
        drop = open_drop(path, as_of or undated or UNDATED, contract)
        if not drop.files:
            wanted = ", ".join(f"{contract.file_stem(name)}.csv" for name in contract.tables)
            raise UsageError(
                f"{path} holds none of the contract's tables: expected {wanted} (or .parquet).",
                code="DROP_MISSING",
            )
        lines += [{"drop": path.name, **line} for line in _check_drop(contract, drop)]
    return lines


def _check_drop(contract: Contract, drop: Drop) -> Iterator[Line]:
    judged = _judged(contract, drop)
    yield from (_line(fault) for fault in judged.faults if fault.table not in drop.files)
    for name in contract.pulled:
        if name not in drop.files:
            yield {
                "state": "note",
                "where": name,
                "says": "it is read from its database by `churn ingest`",
            }
    if contract.label_table not in drop.files and contract.label.table not in drop.files:
        yield {
            "state": "note",
            "where": contract.label_table,
            "says": "no labels yet: they may come later",
        }
    for name, path in drop.files.items():
        yield from _columns(contract, name, path, judged)
    known = {path.name for path in drop.files.values()}
    for path in data_files(drop.folder).values():
        if path.name not in known:
            yield {
                "state": "note",
                "where": path.name,
                "says": "no table of the contract: it is left alone",
            }


@dataclass(frozen=True)
class _Said:
    table: str
    column: str
    sentence: str
    refuses: bool


@dataclass(frozen=True)
class _Judged:
    """All findings of validation on a drop, and the tables whose every column was checked."""

    faults: list[_Said]
    whole: set[str]


def _judged(contract: Contract, drop: Drop) -> _Judged:
    """The only place that knows how a drop is validated."""
    found = validate(contract, drop, today=drop.as_of, known=None)
    pulled = contract.pulled
    of_the_drop = [
        f for f in found.of_the_drop if f.code != "missing_table" or f.table not in pulled
    ]
    said = [_said(fault, refuses=True) for fault in of_the_drop]
    for report in (table.report for table in found.tables.values()):
        said += [_said(fault, refuses=True) for fault in report.refusals]
        said += [_said(fault, refuses=bool(report.refusals)) for fault in report.worst_first]
    whole = {
        name for name, t in found.tables.items() if all(fault.of_cells for fault in t.report.faults)
    }
    return _Judged(said, whole)


def _said(fault: Fault, *, refuses: bool) -> _Said:
    return _Said(fault.table, fault.column, fault.sentence(), refuses)


def _columns(contract: Contract, name: str, path: Path, judged: _Judged) -> Iterator[Line]:
    """The faults of a table, and a line for each column without one where all were looked at."""
    faults = [fault for fault in judged.faults if fault.table == name]
    yield from (_line(fault) for fault in faults)
    faulty = {fault.column for fault in faults}
    for own, spec in contract.delivered(name).items() if name in judged.whole else ():
        if not faulty & {own, spec.source or own}:
            yield {
                "state": "ok",
                "where": f"{name}.{own}",
                "says": f"{spec.dtype} in {path.name}",
            }


def _line(fault: _Said) -> Line:
    """A refusal, or rows that would be quarantined: few enough for the drop to be taken in."""
    if fault.column:
        where = f"{fault.table}.{fault.column}"
    else:
        where = fault.table
    if fault.refuses:
        return {"state": "fail", "where": where, "says": fault.sentence}
    return {"state": "note", "where": where, "says": f"would be quarantined: {fault.sentence}"}
