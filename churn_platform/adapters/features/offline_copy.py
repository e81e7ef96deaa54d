"""The feature tables of the lake in a Postgres database, where training rows are joined and others may read them.

A snapshot is a table named by a digest of its content and columns: one that is there is whole, and nothing names what
the lake has not. A view a feature table shows the snapshots that were known. Only key and features are copied.
Belongs here: what is copied, shown, dropped and compared. Does not: the join (`adapters/features/offline_postgres.py`).
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_platform.adapters.arrow_tables import table_digest
from churn_platform.adapters.features.feast_registry import owner_of
from churn_platform.adapters.features.postgres_address import PostgresAddress
from churn_platform.adapters.features.postgres_rows import (
    NAME_BYTES,
    PG_TYPES,
    connected,
    copy_in,
    copy_out,
    identifier,
)
from churn_platform.adapters.lake import Lake, View
from churn_platform.core.contract import Contract
from churn_platform.core.digest import digest_of
from churn_platform.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from churn_platform.adapters.features.postgres_rows import Connection

Shown = dict[str, dict[str, list[str]]]
"""A view -> as_of -> the table of the snapshot and when that became known; both names as SQL, with their schema."""
STAMPS = ["event_timestamp", "created_timestamp"]
KINDS = {"integer": "bigint", "float": "double precision", "boolean": "boolean"}
LOCK_SECONDS = 60
DIGEST_LENGTH = 40


def view_of(contract: Contract, table: str) -> str:
    """The view of a feature table, as SQL; a schema of this name is no part of any other tool's."""
    return identifier(f"churn_{contract.name}", table)


def query_of(view: str) -> str:
    """All that a view shows, as a query; Feast's source."""
    return f"SELECT * FROM {view}"  # noqa: S608 - a name of ours


def rows_of(columns: list[str], months: Mapping[str, list[str]]) -> str:
    """The rows of some snapshots, each with its two timestamps, as a query."""
    listed = ", ".join(identifier(column) for column in columns)
    return " UNION ALL ".join(
        f"SELECT {listed}, timestamptz '{as_of} 00:00:00+00' AS event_timestamp, "  # noqa: S608 - names of the contract
        f"timestamptz '{created}' AS created_timestamp FROM {name}"
        for as_of, (name, created) in months.items()
    )


class OfflineCopy:
    """The copy of one lake in one schema of a database; `folder` is the home's Feast repository."""

    def __init__(self, address: PostgresAddress, lake: Lake, folder: Path) -> None:
        self.address, self.lake, self.contract = address, lake, lake.contract
        self.schema, self._folder = f"churn_{lake.contract.name}", folder
        key, views = self.contract.entity.column, self.contract.feature_views.values()
        self._columns = {
            table: [key, *dict.fromkeys(f for view in views if view.table == table for f in view.features)]
            for table in dict.fromkeys(view.table for view in views)
        }

    def show(self, view: View) -> Shown:
        """Copy the snapshots of `view` that are not there, show those and no others, drop what the lake has no more.

        Raises:
            StoreDown: the database does not answer, or somebody reads what has to change.
            UsageError: the schema is not this home's, or its names are too long.
            IntegrityError: a file of the lake is not what was published.
            DataError: the database cannot keep a value.
        """
        entries = self._entries()
        with self._session() as connection:
            self._claim(connection)
            there = self._there(connection)
            wanted: Shown = {}
            for table in self._columns:
                months = wanted[view_of(self.contract, table)] = {}
                for as_of, path in sorted(view[table].items()):
                    name = self._name(table, entries[path])
                    if name not in there:
                        self._copy(connection, path, entries[path], name)
                        there.add(name)
                    months[str(as_of)] = [name, str(entries[path]["created"])]
            self._define(connection, wanted)
            self._drop(connection, there - self._kept(entries))
        return wanted

    def prune(self) -> None:
        """Drop every snapshot that the lake has no more, as after a customer was forgotten.

        Raises:
            StoreDown: the database does not answer.
        """
        with self._session() as connection:
            gone = self._there(connection) - self._kept(self._entries())
            shown = self._shown(connection)
            left = {view: {m: s for m, s in months.items() if s[0] not in gone} for view, months in shown.items()}
            self._define(connection, left)
            self._drop(connection, gone)

    def count(self, key: str | int) -> int:
        """How many rows of a customer the copy holds.

        Raises:
            StoreDown: the database does not answer.
        """
        column, found = identifier(self.contract.entity.column), 0
        with self._session() as connection:
            for name in self._there(connection):
                asked = f"SELECT count(*) FROM {name} WHERE {column} = %s"  # noqa: S608 - names of the contract
                found += connection.execute(asked, (key,)).fetchone()[0]  # type: ignore[index]
        return found

    def differing(self) -> tuple[list[str], int]:
        """The copied snapshots that are not what the lake has, and how many were compared.

        Raises:
            StoreDown: the database does not answer.
        """
        import pyarrow.parquet as pq

        wrong, compared = [], 0
        with self._session() as connection:
            there = self._there(connection)
            for path, entry in self._entries().items():
                columns = self._columns[entry["table"]]
                if (name := self._name(entry["table"], entry)) in there:
                    compared += 1
                    ours = pq.ParquetFile(path).read(columns=columns)
                    theirs = copy_out(connection, f"SELECT * FROM {name}")  # noqa: S608 - a name of ours
                    if _content(ours, columns[0]) != _content(theirs, columns[0]):
                        wrong.append(f"{name} in {self.address.said} is not what {path} has")
        return wrong, compared

    @contextlib.contextmanager
    def _session(self) -> "Iterator[Connection]":
        """One transaction on the home's own schema."""
        with connected(self.address) as connection:
            connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
            self._claim(connection)
            yield connection

    def _claim(self, connection: "Connection") -> None:
        names = [self.schema, *self._columns, *(name for columns in self._columns.values() for name in columns)]
        if long := [name for name in names if len(name) > NAME_BYTES]:
            raise UsageError(f"Postgres cuts names after {NAME_BYTES} characters, so it cannot keep {long[0]!r}.")
        mark, schema = f"churn.home {owner_of(self._folder)}", identifier(self.schema)
        asked = "SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace WHERE nspname = %s"
        found = connection.execute(asked, (self.schema,)).fetchone()
        if found is None:
            connection.execute(f"CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS '{mark}'")
        elif found[0] != mark:
            raise UsageError(
                f"The schema {self.schema} in {self.address.said} belongs to another home: give this one a database of "
                "its own, or its contract another name; if that home is gone, drop the schema."
            )

    def _entries(self) -> dict[Path, dict[str, Any]]:
        """Every file of a feature table in the lake -> what its manifest says, with its table."""
        return {
            self.lake.folder / entry["file"]: {**entry, "table": table}
            for month in self.lake.months()
            for delivery in self.lake.deliveries(month)
            for table, entry in delivery["tables"].items()
            if table in self._columns
        }

    def _name(self, table: str, entry: Mapping[str, Any]) -> str:
        """The table of a snapshot, as SQL; tables of a contract begin with a letter."""
        kinds = [[column, self.contract.published[table][column].dtype] for column in self._columns[table]]
        return identifier(self.schema, f"_{digest_of([entry['digest'], kinds])[:DIGEST_LENGTH]}")

    def _kept(self, entries: Mapping[Path, Mapping[str, Any]]) -> set[str]:
        return {self._name(entry["table"], entry) for entry in entries.values()}

    def _there(self, connection: "Connection") -> set[str]:
        """The snapshots in the database."""
        asked = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename ~ '^_[0-9a-f]+$'"
        return {identifier(self.schema, name) for (name,) in connection.execute(asked, (self.schema,))}

    def _copy(self, connection: "Connection", path: Path, entry: Mapping[str, Any], name: str) -> None:
        import pyarrow.parquet as pq

        whole = pq.ParquetFile(path).read().drop_columns(STAMPS)
        if table_digest(whole) != entry["digest"]:
            raise IntegrityError(f"{path} is not what the lake published: put it back from a backup.")
        rows = whole.select(self._columns[entry["table"]])
        kinds = ", ".join(f"{identifier(field.name)} {PG_TYPES[str(field.type)]}" for field in rows.schema)
        connection.execute(f"CREATE TABLE {name} ({kinds})")
        copy_in(connection, name, rows, f"a value in {path}")
        connection.execute(f"ANALYZE {name}")

    def _shown(self, connection: "Connection") -> Shown:
        """What each view shows, as its comment says."""
        asked = "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class WHERE relnamespace = %s::regnamespace"
        found = connection.execute(f"{asked} AND relkind = 'v'", (identifier(self.schema),))
        return {identifier(self.schema, name): json.loads(said) for name, said in found if said}

    def _define(self, connection: "Connection", wanted: Shown) -> None:
        """Make each view show these snapshots; one that does stays untouched, for others may be reading it."""
        import psycopg

        shown = self._shown(connection)
        for view in shown.keys() - wanted.keys():  # its table left the contract
            connection.execute(f"DROP VIEW {view}")
        for table, columns in self._columns.items():
            view = view_of(self.contract, table)
            if shown.get(view) == wanted.get(view, {}):
                continue
            rows = self._nothing(table) if not wanted.get(view) else rows_of(columns, wanted[view])
            try:
                with connection.transaction():  # in place: rights that were given on it, and views over it, stay
                    connection.execute(f"CREATE OR REPLACE VIEW {view} AS {rows}")
            except psycopg.errors.InvalidTableDefinition:  # other columns
                connection.execute(f"DROP VIEW {view}; CREATE VIEW {view} AS {rows}")
            connection.execute(f"COMMENT ON VIEW {view} IS '{json.dumps(wanted.get(view, {}))}'")

    def _nothing(self, table: str) -> str:
        """No rows, with the columns that there would be."""
        published, columns = self.contract.published[table], self._columns[table]
        kinds = {column: KINDS.get(published[column].dtype, "text") for column in columns}
        kinds |= dict.fromkeys(STAMPS, "timestamptz")
        return f"SELECT {', '.join(f'NULL::{kind} AS {identifier(c)}' for c, kind in kinds.items())} WHERE false"

    @staticmethod
    def _drop(connection: "Connection", names: set[str]) -> None:
        for name in sorted(names):
            connection.execute(f"DROP TABLE {name}")


def _content(rows: "pa.Table", key: str) -> str:
    """Digest of the rows in the order of their keys."""
    return table_digest(rows.select(sorted(rows.column_names)).sort_by(key))
