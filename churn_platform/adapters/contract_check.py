"""What would fail if a folder were delivered: each table and column against the contract, without a home.

Belongs here: a line for each part of a contract or a drop, as plain values. Does not: the rules (`core/snapshot.py`),
how the lines look (`cli_contract.py`).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from churn_platform.adapters.draft_files import data_files, drops_in
from churn_platform.adapters.drop_reader import Drop, open_drop, read_table
from churn_platform.core.contract import Contract
from churn_platform.core.snapshot import Fault, conform, missing_tables
from churn_platform.errors import DropRefused, UsageError

Line = dict[str, Any]
"""`state` ("ok", "fail" or "note"), `drop`, `where` ("table" or "table.column") and `says`."""
UNDATED = "1970-01-01"


def check_contract(contract: Contract) -> list[Line]:
    """What the contract holds, a line a part; a contract that can be read has no fault left."""
    tables = ", ".join(f"{name} ({len(table.columns)})" for name, table in contract.tables.items())
    views = len(contract.feature_views)
    horizon = contract.label.horizon.model_dump(exclude_defaults=True)
    after = " and ".join(f"{n} {unit if n > 1 else unit[:-1]}" for unit, n in horizon.items())
    known = f"known {after} after its as_of" if after else "known at its as_of"
    said = {
        "entity": f"{contract.entity.column}, {contract.entity.dtype}",
        "tables": f"{tables} columns",
        "features": f"{len(contract.features)} in {views} view{'s' if views > 1 else ''}",
        "label": f"{contract.label.table}.{contract.label.column}, {known}",
        "slices": ", ".join(contract.slices) or "none",
    }
    return [{"state": "ok", "drop": None, "where": part, "says": says} for part, says in said.items()]


def check_drops(contract: Contract, folder: Path) -> list[Line]:
    """What would be said of each drop under `folder`, a line a table and column, oldest drop first.

    Raises:
        UsageError: there is no file, or none is a table of the contract.
    """
    import datetime as dt

    lines: list[Line] = []
    for as_of, path in drops_in(folder).items():
        drop = open_drop(path, as_of or dt.date.fromisoformat(UNDATED), contract)
        if not drop.files:
            wanted = ", ".join(f"{contract.file_stem(name)}.csv" for name in contract.tables)
            raise UsageError(f"{path} holds none of the contract's tables: expected {wanted} (or .parquet).")
        lines += [{"drop": path.name, **line} for line in _check_drop(contract, drop)]
    return lines


def _check_drop(contract: Contract, drop: Drop) -> Iterator[Line]:
    for fault in missing_tables(contract, {*drop.files}):
        yield _failed(fault)
    if contract.label_table not in drop.files and contract.label.table not in drop.files:
        yield {"state": "note", "where": contract.label_table, "says": "no labels yet: they may come later"}
    for name, path in drop.files.items():
        try:
            _, faults = conform(contract, name, read_table(path, contract, name))
        except DropRefused as refusal:
            yield from ({"state": "fail", "where": name, "says": fault} for fault in refusal.faults)
        else:
            yield from _columns(contract, name, path, faults)
    known = {path.name for path in drop.files.values()}
    for path in data_files(drop.folder).values():
        if path.name not in known:
            yield {"state": "note", "where": path.name, "says": "no table of the contract: it is left alone"}


def _columns(contract: Contract, name: str, path: Path, faults: Iterable[Fault]) -> Iterator[Line]:
    """Each column of a table that is sound, or its faults; a table that failed whole has no sound columns."""
    found = [fault for fault in faults if fault.table == name]
    whole = [fault for fault in found if not fault.column]
    yield from (_failed(fault) for fault in whole)
    for column, spec in contract.delivered(name).items():
        mine = [fault for fault in found if fault.column == column]
        yield from (_failed(fault) for fault in mine)
        if not mine and not whole:
            yield {"state": "ok", "where": f"{name}.{column}", "says": f"{spec.dtype} in {path.name}"}


def _failed(fault: Fault) -> Line:
    where = f"{fault.table}.{fault.column}" if fault.column else fault.table
    return {"state": "fail", "where": where, "says": fault.sentence()}
