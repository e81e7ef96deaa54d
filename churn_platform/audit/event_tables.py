"""Makes window tables and inactivity labels again from the lake's events, and compares each
delivery of them.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from churn_platform.audit.checks import CheckResult, broken, holds
from churn_platform.base.text import counted
from churn_platform.contract.model import Contract
from churn_platform.events.derived_changes import made_from_logs
from churn_platform.events.derived_tables import DerivedTables
from churn_platform.events.log_files import Days
from churn_platform.lake.contract_history import recorded_contract
from churn_platform.lake.deliveries import SnapshotManifest, TableEntry
from churn_platform.lake.lake import Lake
from churn_platform.lake.past import PastLake, manifests_of
from churn_platform.ledger.acts import ContractChanged
from churn_platform.ledger.erasures import current
from churn_platform.ledger.receipts import DELIVERED, Receipt

EVENT_TABLES = "event tables"
"""The name of the check."""
Place = tuple[dt.date, int]
"""The month and the number of a delivery."""


def check_event_tables(lake: Lake, receipts: Sequence[Receipt]) -> Iterator[CheckResult]:
    """Every delivery of a window table or an inactivity label against what the events that the
    lake held at that moment give.
    """
    manifests = manifests_of(lake)
    sequences = _sequences(manifests, receipts)
    days: dict[str, Days] = {}
    checked = 0
    faults: list[str] = []
    for (as_of, number), sequence in sequences.items():
        contract = _contract_then(lake.contract, receipts, sequence)
        delivery = manifests[as_of].deliveries[number - 1]
        names = made_from_logs(contract.at(as_of)) & set(delivery.tables)
        if not names:
            continue
        past = _lake_then(lake, contract, manifests, sequences, (as_of, number))
        then = DerivedTables(past, days)
        for name in sorted(names):
            checked += 1
            faults += _faults(lake, then, as_of, name, delivery.tables[name])
    yield from (broken(EVENT_TABLES, fault) for fault in faults)
    if checked and not faults:
        yield holds(
            EVENT_TABLES,
            f"{checked:,} window tables and labels are what the events of the lake give",
            checked,
        )


def _sequences(
    manifests: Mapping[dt.date, SnapshotManifest], receipts: Sequence[Receipt]
) -> dict[Place, int]:
    """Every delivery with the sequence of its receipt; those without a receipt come last."""
    recorded = {
        (r.subject, current(receipts, r.evidence["delivery"], r.sequence)): r.sequence
        for r in receipts
        if r.act in DELIVERED
    }
    last = len(receipts) + 1
    return {
        (as_of, delivery.number): recorded.get((as_of.isoformat(), delivery.record_digest), last)
        for as_of, manifest in manifests.items()
        for delivery in manifest.deliveries
    }


def _contract_then(now: Contract, receipts: Sequence[Receipt], sequence: int) -> Contract:
    """The contract by which a delivery was made.

    Args:
        now: the contract in use, with the windows of every released version.
        receipts: the ledger.
        sequence: of the delivery's receipt.
    """
    changes = [receipt for receipt in receipts if receipt.act == "contract changed"]
    before = [receipt for receipt in changes if receipt.sequence < sequence]
    if not before or before[-1] is changes[-1]:
        return now
    return recorded_contract(ContractChanged.of(before[-1]))


def _lake_then(
    lake: Lake,
    contract: Contract,
    manifests: Mapping[dt.date, SnapshotManifest],
    sequences: Mapping[Place, int],
    place: Place,
) -> PastLake:
    """The lake as it was once a delivery was published, and no later one."""
    past = {}
    for as_of, manifest in manifests.items():
        known = sum(
            sequences[as_of, delivery.number] <= sequences[place]
            for delivery in manifest.deliveries
        )
        past[as_of] = manifest.first(place[1] if as_of == place[0] else known)
    return PastLake(lake, contract, past)


def _faults(
    lake: Lake, then: DerivedTables, as_of: dt.date, name: str, entry: TableEntry
) -> Iterator[str]:
    """How a published table differs from what its events give."""
    path = lake.path(entry)
    made = then.made_again(as_of, name, entry)
    stored = pq.ParquetFile(path).read()
    key = lake.contract.entity.column
    if not _equal(stored[key], made[key]):
        yield f"{path}: the events of the lake give other customers for {name} of {as_of}"
        return
    for column in made.column_names:
        if column in stored.column_names and not _equal(stored[column], made[column]):
            cells = _unequal(stored[column], made[column])
            yield (
                f"{path}: {counted(cells, 'value')} of {column} in {name} of {as_of} are not those"
                " that the events of the lake give"
            )


def _equal(stored: pa.ChunkedArray, made: pa.ChunkedArray) -> bool:
    return len(stored) == len(made) and _unequal(stored, made) == 0


def _unequal(stored: pa.ChunkedArray, made: pa.ChunkedArray) -> int:
    """How many cells differ; null equals null."""
    same = pc.fill_null(pc.equal(stored, made), False)  # noqa: FBT003 - Arrow's own
    neither = pc.and_(pc.is_null(stored), pc.is_null(made))
    return int(len(stored) - (pc.sum(pc.or_(same, neither)).as_py() or 0))
