"""What a delivery that no drop holds has changed, in sentences for its receipt."""

import datetime as dt
from collections.abc import Iterator

import pandas as pd

from churn_platform.base.text import counted
from churn_platform.contract.model import Contract
from churn_platform.lake.arrow_tables import written_columns
from churn_platform.lake.deliveries import DeliveryRecord, SnapshotManifest, TableEntry
from churn_platform.lake.lake import Lake


def made_from_logs(month: Contract) -> frozenset[str]:
    """The tables of the lake that no drop holds: window tables, and labels of a log."""
    labels = () if month.label.no_event is None else (month.label_table,)
    return frozenset([*month.logs, *labels])


def delivered_tables(month: Contract, delivery: DeliveryRecord) -> list[str]:
    """The tables of a delivery as the drop has them; none if it was made from logs alone."""
    logs = {month.lake_name(name): name for name in month.logs}
    held = [name for name in delivery.tables if name not in made_from_logs(month)]
    return [logs.get(name, name) for name in held]


def change_sentences(lake: Lake, as_of: dt.date, delivery: DeliveryRecord) -> Iterator[str]:
    """What the newest delivery of a month changed in tables that are made from logs."""
    month = lake.contract.at(as_of)
    manifest = SnapshotManifest(as_of=as_of, deliveries=lake.deliveries(as_of))
    known = manifest.newest(delivery.number - 1)
    for name, entry in delivery.tables.items():
        if name in month.logs:
            yield _of_windows(lake, name, known.get(name), entry)
        elif name in made_from_logs(month) and month.label.no_event is not None:
            log = month.label.no_event.table
            churners = entry.churners or 0
            yield f"Labels made from {log}: {churners:,} of {entry.rows:,} inactive."
            if name in known:
                turned = _changed_customers(lake, known[name], entry)
                yield f"Late or corrected events changed {counted(turned, 'label')}."


def _of_windows(lake: Lake, name: str, before: TableEntry | None, after: TableEntry) -> str:
    if before is None:
        return f"Windows of {name} made from its events."
    known = written_columns(lake.path(before))
    added = [own for own in written_columns(lake.path(after)) if own not in known]
    if added:
        return f"Windows added to {name}: {', '.join(added)}."
    changed = _changed_customers(lake, before, after)
    return f"Late or corrected events changed {name} of {counted(changed, 'customer')}."


def _changed_customers(lake: Lake, before: TableEntry, after: TableEntry) -> int:
    """How many customers have another row, or one in only one of the tables."""
    old = _rows(lake, before)
    new = _rows(lake, after)
    both = old.index.intersection(new.index)
    only_one = len(old) + len(new) - 2 * len(both)
    columns = [name for name in new.columns if name in old.columns]
    left = old.loc[both, columns]
    right = new.loc[both, columns]
    same = (left == right) | (left.isna() & right.isna())
    differing = ~same.fillna(value=False).all(axis=1)
    return only_one + int(differing.sum())


def _rows(lake: Lake, entry: TableEntry) -> pd.DataFrame:
    return lake.read(lake.path(entry)).set_index(lake.contract.entity.column)
