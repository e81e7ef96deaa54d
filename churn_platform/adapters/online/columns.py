"""A month's features as a stream of batches, each column encoded as Feast stores it.

Belongs here: what is read from the lake, and a column's cells from its distinct values. Does not: one value's bytes
(`adapters/online/values.py`), where they go (`adapters/online/writer.py`).
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from churn_platform.adapters.lake import View, instant
from churn_platform.adapters.online.values import encoded, entity_key
from churn_platform.core.contract import Contract

if TYPE_CHECKING:
    import pyarrow as pa

Cell = TypeVar("Cell")

ROWS = 5_000
"""Customers a batch: what is in memory at once, and what one answer of a store confirms."""


@dataclass(frozen=True)
class Batch:
    """Some customers of one feature view.

    Attributes:
        keys: The customers, as Feast writes them.
        columns: A column a feature, in the view's order.
        event: The month's instant, the same for every row.
        created: When the rows became known, the same for every row of a delivery.
    """

    view: str
    keys: list[bytes]
    columns: "dict[str, pa.Array]"
    event: dt.datetime
    created: dt.datetime


def batches(contract: Contract, view: View, as_of: dt.date) -> Iterator[Batch]:
    """The features of a month, view after view; a table that the month lacks has none."""
    import pyarrow.parquet as pq

    key, written = contract.entity.column, entity_key(contract)
    for name, spec in contract.feature_views.items():
        path = view[spec.table].get(as_of)
        if path is None:
            continue
        columns = [key, *spec.features, "created_timestamp"]
        for part in pq.ParquetFile(path).iter_batches(ROWS, columns=columns):
            if part.num_rows:
                yield Batch(
                    name,
                    [written(one) for one in part.column(key).to_pylist()],
                    {feature: part.column(feature) for feature in spec.features},
                    instant(as_of),
                    part.column("created_timestamp")[0].as_py(),
                )


def cells(column: "pa.Array", cell: Callable[[bytes, str | None], Cell]) -> list[Cell]:
    """What `cell` makes of each value's bytes and text (None: null), computed once for each distinct value."""
    import pyarrow as pa

    floating = pa.types.is_floating(column.type)
    # By their bits: Arrow may take the two zeros for one.
    found = (column.view(pa.int64()) if floating else column).dictionary_encode()
    distinct = found.dictionary.view(column.type) if floating else found.dictionary
    made = [_cell(value, cell) for value in distinct.to_pylist()]
    null = len(made)
    made.append(cell(b"", None))
    return [made[index] for index in found.indices.fill_null(null).to_pylist()]


def _cell(value: str | float | bool, cell: Callable[[bytes, str | None], Cell]) -> Cell:  # noqa: FBT001
    written = encoded(value)
    return cell(written, str(value) if written else None)
