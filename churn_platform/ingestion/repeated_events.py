"""Events that several drops of a log deliver: what is new in a drop, and what it corrects."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from churn_platform.contract.events import EVENT_DAY
from churn_platform.contract.model import Contract
from churn_platform.ingestion.faults import Mask, Positions
from churn_platform.lake.arrow_tables import read_frame, to_arrow
from churn_platform.lake.lake import Lake

if TYPE_CHECKING:
    import duckdb

    Connection = duckdb.DuckDBPyConnection

ROW: Final = "row number"
"""No contract has such a name."""


@dataclass(frozen=True)
class NewEvents:
    """The events of a drop that no other drop has delivered."""

    rows: pd.DataFrame
    repeated: int = 0
    """Events that another drop has delivered with equal values."""
    outdated: int = 0
    """Events that the drop of a later month has delivered with other values."""
    corrected: dict[dt.date, list[Any]] = field(default_factory=dict)
    """As_of of an earlier drop -> the ids of its events that this drop delivers with other
    values.
    """


def new_events(
    contract: Contract, name: str, as_of: dt.date, rows: pd.DataFrame, files: Mapping[dt.date, Path]
) -> NewEvents:
    """Leave out the events of a drop that other drops have delivered.

    Events with an id are found in every file, as a correction may move an event to another
    day. Of several drops with an event that of the latest month counts, whenever it arrives: a
    drop that is delivered again does not undo a later correction. Events without an id are
    equal where all columns are that both files have; only the days of the drop are read.

    Args:
        contract: the contract of the month.
        name: the log.
        as_of: the month of the drop.
        rows: the events of the drop as the lake keeps them (`lake_tables`).
        files: as_of -> the newest file of the log in the lake; that of this month is ignored.
    """
    import duckdb
    import pyarrow as pa

    others = {month: path for month, path in files.items() if month != as_of}
    if rows.empty or not others:
        return NewEvents(rows)
    log = contract.logs[name]
    columns = contract.published[contract.lake_name(name)]
    table = to_arrow(rows, {own: column for own, column in columns.items() if own in rows})
    table = table.append_column(ROW, pa.array(np.arange(len(rows))))
    apart = (log.id, EVENT_DAY, ROW)
    never_empty = (contract.entity.column, log.time or "")
    newest = np.full(len(rows), dt.date.min.toordinal())
    equal = np.zeros(len(rows), dtype=bool)
    replaced: dict[dt.date, Positions] = {}
    with duckdb.connect() as connection:
        connection.register("delivered", table)
        for month in _with_hits(connection, log.id, others):
            known = connection.read_parquet(str(others[month])).columns
            compared = [own for own in table.column_names if own in known and own not in apart]
            same_values = " AND ".join(
                _equal(own, never_empty=own in never_empty) for own in compared
            )
            found, same = _hits(connection, log.id, others[month], same_values)
            newest[found] = month.toordinal()
            equal[found] = same
            if month < as_of:
                replaced[month] = found[~same]
    outdated = (newest > as_of.toordinal()) & ~equal
    left = ~(equal | outdated)
    corrected = {}
    for month, found in replaced.items():
        counted = found[newest[found] < as_of.toordinal()]
        if len(counted) and log.id is not None:
            corrected[month] = rows[log.id].iloc[np.sort(counted)].tolist()
    return NewEvents(
        rows if left.all() else rows[left].reset_index(drop=True),
        int(equal.sum()),
        int(outdated.sum()),
        corrected,
    )


def apart_from_other_drops(
    lake: Lake, as_of: dt.date, tables: Mapping[str, pd.DataFrame]
) -> dict[str, NewEvents]:
    """Log -> its events that no other drop has delivered, of the logs whose drops hold what is
    new; a complete log replaces what was known.

    Args:
        lake: the lake.
        as_of: the month of a drop that is about to be published.
        tables: the tables of the drop as the lake keeps them (`lake_tables`).
    """
    contract = lake.contract.at(as_of)
    found = {}
    for name, log in contract.logs.items():
        events = contract.lake_name(name)
        if log.delivery == "append" and events in tables:
            entries = {month: lake.entries(month).get(events) for month in lake.months()}
            files = {m: lake.path(entry) for m, entry in entries.items() if entry}
            found[name] = new_events(contract, name, as_of, tables[events], files)
    return found


def corrected_deliveries(
    lake: Lake, found: Mapping[str, NewEvents]
) -> dict[dt.date, dict[str, pd.DataFrame]]:
    """As_of of an earlier drop -> its logs without the events that a later drop corrects."""
    deliveries: dict[dt.date, dict[str, pd.DataFrame]] = {}
    for name, new in found.items():
        for month, ids in new.corrected.items():
            contract = lake.contract.at(month)
            events = contract.lake_name(name)
            path = lake.path(lake.entries(month)[events])
            rows = without_events(path, contract.logs[name].id or "", ids)
            deliveries.setdefault(month, {})[events] = rows
    return deliveries


def without_events(path: Path, id_: str, ids: Sequence[Any]) -> pd.DataFrame:
    """The events of an earlier drop as the lake keeps them, without those that were corrected."""
    frame = read_frame(path)
    kept: pd.DataFrame = frame[~frame[id_].isin(ids)].reset_index(drop=True)
    return kept


def _equal(own: str, *, never_empty: bool) -> str:
    sign = "=" if never_empty else "IS NOT DISTINCT FROM"
    return f'known."{own}" {sign} delivered."{own}"'


def _with_hits(
    connection: "Connection", id_: str | None, files: Mapping[dt.date, Path]
) -> list[dt.date]:
    """The months whose files may have an event of the drop, oldest first."""
    days = f'SELECT min("{EVENT_DAY}"), max("{EVENT_DAY}") FROM delivered'  # noqa: S608 - a name
    first, last = connection.execute(days).fetchall()[0]
    conditions = [f"\"{EVENT_DAY}\" BETWEEN '{first}' AND '{last}'"]
    if id_ is not None:
        conditions = [
            f'"{id_}" IN (SELECT "{id_}" FROM delivered)',  # noqa: S608 - a name
            f'"{id_}" IS NULL AND {conditions[0]}',
        ]
    files_read = "read_parquet($files, filename = true, union_by_name = true)"
    query = " UNION ".join(
        f"SELECT DISTINCT filename FROM {files_read} WHERE {condition}"  # noqa: S608 - names
        for condition in conditions
    )
    months = {str(path): month for month, path in files.items()}
    found = connection.execute(query, {"files": [*months]}).fetchall()
    return sorted(months[file] for [file] in found)


def _hits(
    connection: "Connection", id_: str | None, path: Path, same: str
) -> tuple[Positions, Mask]:
    """The rows of the drop that a file has, and whether all values of each are equal."""
    known = "delivered JOIN read_parquet($file) AS known"
    query = f'SELECT DISTINCT "{ROW}" AS found, true AS same FROM {known} ON {same}'  # noqa: S608 - names
    if id_ is not None:
        query += f' AND known."{id_}" IS NULL AND delivered."{id_}" IS NULL'
        query += f' UNION ALL SELECT "{ROW}", {same} FROM {known} USING ("{id_}")'  # noqa: S608 - names
    columns = connection.execute(query, {"file": str(path)}).fetchnumpy()
    return np.asarray(columns["found"]), np.asarray(columns["same"], dtype=bool)
