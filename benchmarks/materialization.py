"""A month of 1,000,000 customers into an online store: SQLite, Redis, Postgres, each empty at
first.

Floor: a bare pipeline of the same rows: pyarrow reads them, their bytes are ready, and the
store's usual client takes them (`executemany`, a redis-py pipeline with one HSET a customer,
COPY). Peer: Feast's own `materialize`, at a size of its own, for it takes long; its figures are
scaled by proportion. Ours: `FeatureStore.materialize`. *Again*: the same month once more, over
the rows that are there. Imports, registering and the encoding for the floor are not counted;
the processor time is the client's alone.
"""

import argparse
import datetime as dt
import io
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.business import fill, months_of
from benchmarks.serving import stores
from churn_platform.contract.reading import default_contract_path, read_contract
from churn_platform.features.feature_store import FeatureStore
from churn_platform.features.online.address import online_address
from churn_platform.features.online.rows import encoded_seconds, field_name
from churn_platform.features.online.writer import COLUMNS, Batch, batches, cells
from churn_platform.lake.lake import Lake, View, instant

CUSTOMERS = 1_000_000
PEER_CUSTOMERS = 100_000
QUICK_CUSTOMERS = 5_000
GOAL = 3.0
CONTRACT = read_contract(default_contract_path())
MONTH = months_of(CONTRACT, 1)[0]
STORES = ("sqlite", "redis", "postgres")
FLOOR = "floor: bare pipeline"
OURS = "ours"
AGAIN = "ours again"
PEER = "Feast's own"


def _opened(options: argparse.Namespace, kind: str) -> tuple[FeatureStore, View]:
    """The store registered, with nothing in it; the lake's files."""
    lake = Lake(options.lake, CONTRACT)
    store = FeatureStore(
        options.folder / "feast",
        CONTRACT,
        online_address("" if kind == "sqlite" else options.address),
    )
    view = lake.view(dt.datetime(2100, 1, 1, tzinfo=dt.UTC), as_at_scoring=False)
    with redirect_stderr(io.StringIO()):
        store.apply(view)
    return store, view


def _ours(kind: str, *, again: bool = False) -> harness.Contender:
    def measure(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
        store, view = _opened(options, kind)
        if again:
            store.materialize(view, MONTH)
        with clock.running():
            store.materialize(view, MONTH)
        return {}

    return measure


def _feast(kind: str) -> harness.Contender:
    def measure(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
        store, _ = _opened(options, kind)
        feast = store._store()
        with clock.running(), redirect_stderr(io.StringIO()):
            feast.materialize(instant(MONTH) - dt.timedelta(hours=1), instant(MONTH))
        return {}

    return measure


def _bare(kind: str) -> harness.Contender:
    writers = {"sqlite": _bare_sqlite, "redis": _bare_redis, "postgres": _bare_postgres}

    def measure(options: argparse.Namespace, clock: harness.Clock) -> dict[str, Any]:
        store, view = _opened(options, kind)
        writers[kind](store, _read(batches(CONTRACT, view, MONTH), clock), clock)
        return {}

    return measure


def _read(
    month: Iterator[Batch], clock: harness.Clock
) -> Iterator[tuple[Batch, list[list[tuple[bytes, str | None]]]]]:
    """Batches with their cells; reading counts, encoding does not."""
    while True:
        with clock.running():
            batch = next(month, None)
        if batch is None:
            return
        yield batch, [cells(column, lambda *cell: cell) for column in batch.columns.values()]


def _rows(
    batch: Batch, columns: list[list[tuple[bytes, str | None]]], *stamps: object
) -> list[tuple[object, ...]]:
    names = list(batch.columns)
    return [
        (key, name, *cell, *stamps)
        for key, *row in zip(batch.keys, *columns, strict=True)
        for name, cell in zip(names, row, strict=True)
    ]


def _bare_sqlite(store: FeatureStore, month: Iterator[Any], clock: harness.Clock) -> None:
    import sqlite3

    database = sqlite3.connect(store.folder / "online_store.db")
    for batch, columns in month:
        rows = _rows(batch, columns, int(batch.event.timestamp()), int(batch.created.timestamp()))
        table = f'"{CONTRACT.name}_{batch.view}" ({COLUMNS})'
        with clock.running():
            database.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?)", rows)
    with clock.running():
        database.commit()
        database.close()


def _bare_redis(store: FeatureStore, month: Iterator[Any], clock: harness.Clock) -> None:
    import redis

    client = redis.Redis(
        host=store.address.host, port=store.address.port, db=int(store.address.database)
    )
    for batch, columns in month:
        fields = [
            f"_ts:{batch.view}".encode(),
            *(field_name(batch.view, name) for name in batch.columns),
        ]
        stamp = encoded_seconds(int(batch.event.timestamp()))
        project = CONTRACT.name.encode()
        rows = [
            (
                key + project,
                dict(zip(fields, (stamp, *(value for value, _ in row)), strict=True)),
            )
            for key, *row in zip(batch.keys, *columns, strict=True)
        ]
        with clock.running():
            pipeline = client.pipeline(transaction=False)
            for key, mapping in rows:
                pipeline.hset(key, mapping=mapping)
            pipeline.execute()


def _bare_postgres(store: FeatureStore, month: Iterator[Any], clock: harness.Clock) -> None:
    import psycopg

    where = store.address
    with psycopg.connect(
        host=where.host, port=where.port, dbname=where.database, user=where.user
    ) as database:
        for batch, columns in month:
            rows = _rows(batch, columns, batch.event, batch.created)
            table = (
                f'"{CONTRACT.name}_{batch.view}" (entity_key, feature_name, value, value_text,'
                " event_ts, created_ts)"
            )
            with (
                clock.running(),
                database.cursor().copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy,
            ):
                copy.set_types(["bytea", "text", "bytea", "text", "timestamptz", "timestamptz"])
                for row in rows:
                    copy.write_row(row)
        with clock.running():
            database.commit()


CONTENDERS = {
    f"{kind}, {name}": made
    for kind in STORES
    for name, made in (
        (FLOOR, _bare(kind)),
        (OURS, _ours(kind)),
        (AGAIN, _ours(kind, again=True)),
        (PEER, _feast(kind)),
    )
}


def _measured(name: str, folder: Path, customers: int) -> harness.Measured:
    """One contender on a store of its own that is empty."""
    lake = folder / f"lake-{customers}"
    fill(Lake(lake, CONTRACT), customers, [MONTH])
    kind = name.partition(",")[0]
    with stores() as addresses, tempfile.TemporaryDirectory() as repository:
        given = {"lake": lake, "folder": repository, "address": addresses.get(kind, "none")}
        return harness.run(name, **given)


def _report(options: argparse.Namespace) -> None:
    customers = options.customers or (QUICK_CUSTOMERS if options.quick else CUSTOMERS)
    few = min(customers, PEER_CUSTOMERS)
    print(
        f"{customers:,} customers, {len(CONTRACT.features)} features; Feast's own writer"
        f" {few:,}, by proportion"
    )
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for kind in options.stores or STORES:
            names = [f"{kind}, {name}" for name in (FLOOR, OURS, AGAIN)]
            measures = {
                name: lambda name=name: _measured(name, folder, customers) for name in names
            }
            found = harness.in_turns(measures, 1 if options.quick else options.rounds)
            peer = _measured(f"{kind}, {PEER}", folder, few)
            times = customers / few
            scaled = harness.Measured(peer.seconds * times, peer.cpu * times, peer.megabytes, {})
            harness.table({**found, f"{kind}, {PEER}": [scaled]}, names[0])
            for name in names[1:]:
                ratio = harness.median(found[name]) / harness.median(found[names[0]])
                harness.verdict(f"{name} / floor", ratio, GOAL)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--customers", type=int, help="of the month; default 1,000,000")
    parser.add_argument("--rounds", type=int, default=harness.ROUNDS)
    parser.add_argument("--stores", nargs="*", choices=STORES, help="default all")
    parser.add_argument("--lake", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)


if __name__ == "__main__":
    harness.main(CONTENDERS, _arguments, _report)
