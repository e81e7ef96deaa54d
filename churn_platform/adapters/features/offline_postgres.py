"""Feast's Postgres offline store, told which snapshots its sources show: it opens only those in reach, by COPY.

Belongs here: the one join that answers where a timestamp reaches one snapshot, and how rows come out. Does not: what a
point-in-time join means; that is Feast's, and everything unusual is left to Feast's own join over the views.
Only Feast imports this module (`offline_store.type` in feature_store.yaml), so Feast is imported at module level.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import (
    PostgreSQLOfflineStore,
    PostgreSQLOfflineStoreConfig,
    PostgreSQLRetrievalJob,
)
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource

from churn_platform.adapters.features.offline_copy import Shown, query_of, rows_of
from churn_platform.adapters.features.postgres_address import PostgresAddress
from churn_platform.adapters.features.postgres_rows import PG_TYPES, connected, copy_in, copy_out, identifier
from churn_platform.adapters.online.address import OnlineAddress
from churn_platform.core.reach import reached

WORK_MEMORY = "128MB"
"""For the hash of one view; Postgres' own 4 MB would put most of it on disk."""


class SnapshotPostgresOfflineStoreConfig(PostgreSQLOfflineStoreConfig):  # type: ignore[misc]
    """What feature_store.yaml may say of the store, and what the process that opens it knows beside that."""

    type: str = f"{__name__}.SnapshotPostgresOfflineStore"
    shown: dict[str, dict[str, list[str]]] = {}  # noqa: RUF012 - pydantic copies it
    """`offline_copy.Shown`; without it, as in Feast's own commands, every question goes to the views."""


class SnapshotPostgresOfflineStore(PostgreSQLOfflineStore):  # type: ignore[misc]
    """Sources are views over snapshots; every row of a snapshot has its date, midnight UTC, as event timestamp."""

    @staticmethod
    def get_historical_features(
        config: Any,  # noqa: ANN401
        feature_views: list[Any],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str,
        registry: Any,  # noqa: ANN401
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002
        filter_by_created_timestamp: bool = False,  # noqa: FBT001, FBT002
        **others: Any,  # noqa: ANN401
    ) -> PostgreSQLRetrievalJob:
        """The features of each asked row as known then, from the snapshots in reach; Feast's arguments and answer."""
        job = PostgreSQLOfflineStore.get_historical_features(
            config=config,
            feature_views=feature_views,
            feature_refs=feature_refs,
            entity_df=entity_df,
            registry=registry,
            project=project,
            full_feature_names=full_feature_names,
            filter_by_created_timestamp=filter_by_created_timestamp,
            **others,
        )
        usual = not (full_feature_names or filter_by_created_timestamp or job.on_demand_feature_views or others)
        joins = _joins(config, feature_views, feature_refs, entity_df) if usual else None
        return job if joins is None else SnapshotJob(job, entity_df, joins)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: Any,  # noqa: ANN401
        data_source: PostgreSQLSource,
        start_date: dt.datetime,
        end_date: dt.datetime,
        **asked: Any,  # noqa: ANN401
    ) -> PostgreSQLRetrievalJob:
        """The newest row of each entity between two instants, for the online store; Feast's arguments and answer."""
        months = _shown(config, data_source) or {}
        own = {as_of: snapshot for as_of, snapshot in months.items() if start_date <= _instant(as_of) <= end_date}
        columns = [*asked["join_key_columns"], *asked["feature_name_columns"]]
        source = PostgreSQLSource(name="reached", query=rows_of(columns, own)) if own else data_source
        job = PostgreSQLOfflineStore.pull_latest_from_table_or_query(
            config=config, data_source=source, start_date=start_date, end_date=end_date, **asked
        )
        return CopiedJob(job)


class CopiedJob(PostgreSQLRetrievalJob):  # type: ignore[misc]
    """Feast's job, its rows taken out by COPY: Feast's own holds each value twice as an object of Python."""

    def __init__(self, job: PostgreSQLRetrievalJob) -> None:
        self.__dict__.update(job.__dict__)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002 - Feast's
        with self._query_generator() as query, connected(_address(self.config.offline_store)) as connection:
            return copy_out(connection, query)


class SnapshotJob(PostgreSQLRetrievalJob):  # type: ignore[misc]
    """Feast's job with a shorter way to the same answer; where that finds none, Feast's own."""

    def __init__(self, job: PostgreSQLRetrievalJob, entities: Any, joins: "Sequence[Join]") -> None:  # noqa: ANN401
        self.__dict__.update(job.__dict__)
        self._entities, self._own = entities, joins

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        found = _joined(_address(self.config.offline_store), self._entities, self._own)
        return super()._to_arrow_internal(timeout) if found is None else found


@dataclass(frozen=True)
class Join:
    """One view: its key, its features and, for each asked timestamp that reaches one, the snapshot."""

    view: str
    key: str
    features: list[str]
    reach: dict[pd.Timestamp, str]

    def rows(self, codes: Mapping[pd.Timestamp, int]) -> str:
        """The snapshots in reach as a query, each with the number of the timestamp that reaches it."""
        columns = ", ".join(identifier(name) for name in (self.key, *self.features))
        parts = [f"SELECT {codes[moment]} AS moment, {columns} FROM {name}" for moment, name in self.reach.items()]  # noqa: S608
        return " UNION ALL ".join(parts or [f"SELECT 0 AS moment, {columns} FROM {self.view} AS none WHERE false"])  # noqa: S608


def _joins(
    config: Any,  # noqa: ANN401 - Feast's
    views: Sequence[Any],
    references: Sequence[str],
    entities: pd.DataFrame | str,
) -> list[Join] | None:
    """How each view is joined; None where a timestamp reaches two snapshots or a source is not what is expected."""
    if not isinstance(entities, pd.DataFrame) or not isinstance(entities["event_timestamp"].dtype, pd.DatetimeTZDtype):
        return None
    asked = list(entities["event_timestamp"].dropna().unique())
    joins = []
    for view in views:
        name, keys = view.projection.name_to_use(), [column.name for column in view.entity_columns]
        months = _shown(config, view.batch_source)
        snapshots = {dt.date.fromisoformat(as_of): table for as_of, (table, _) in (months or {}).items()}
        reach = reached(snapshots, asked, view.ttl)
        renamed = view.batch_source.field_mapping or view.projection.join_key_map
        if months is None or reach is None or renamed or len(keys) != 1 or keys[0] not in entities:
            return None
        features = [reference.split(":")[1] for reference in references if reference.startswith(f"{name}:")]
        tables = {moment: snapshots[day] for moment, day in reach.items()}
        joins.append(Join(view.batch_source.get_table_query_string(), keys[0], features, tables))
    return joins


def _joined(address: PostgresAddress, entities: pd.DataFrame, joins: Sequence[Join]) -> pa.Table | None:
    """Each asked row with the features of the snapshots it reaches, in the order asked.

    None when a snapshot holds a key twice: which row counts is Feast's to say.
    """
    codes, moments = pd.factorize(entities["event_timestamp"])
    keys = pa.Table.from_pandas(entities[list({join.key for join in joins})], preserve_index=False)
    if any(str(field.type) not in PG_TYPES for field in keys.schema):
        return None
    asked = keys.append_column("asked row", pa.array(range(len(entities)), pa.int64()))
    asked = asked.append_column("asked moment", pa.array(codes, pa.int64()))
    numbers, columns, tables = {moment: n for n, moment in enumerate(moments)}, ['asked."asked row"'], ["asked"]
    for n, join in enumerate(joins):
        key, view = identifier(join.key), f"view_{n}"
        same = f'{view}.moment = asked."asked moment" AND {view}.{key} = asked.{key}'
        tables.append(f"LEFT JOIN ({join.rows(numbers)}) AS {view} ON {same}")
        columns += [f"{view}.{identifier(feature)}" for feature in join.features]
    with connected(address) as connection:
        connection.execute(f"SET LOCAL work_mem = '{WORK_MEMORY}'; SET LOCAL jit = off")
        kinds = ", ".join(f"{identifier(field.name)} {PG_TYPES[str(field.type)]}" for field in asked.schema)
        connection.execute(f"CREATE TEMP TABLE asked ({kinds})")
        copy_in(connection, "asked", asked, "an asked key")
        connection.execute("ANALYZE asked")
        found = copy_out(connection, f"SELECT {', '.join(columns)} FROM {' '.join(tables)}")  # noqa: S608 - names of the contract
    if found.num_rows != len(entities):
        return None
    found = found.sort_by("asked row").drop_columns(["asked row"])
    # Microseconds, as Feast answers and as the snapshots have.
    given = entities.assign(event_timestamp=entities["event_timestamp"].dt.as_unit("us"))
    answer = pa.Table.from_pandas(given, preserve_index=False).replace_schema_metadata(None)
    for name, column in zip(found.column_names, found.columns, strict=True):
        answer = answer.append_column(name, column)
    return answer


def _address(config: PostgreSQLOfflineStoreConfig) -> PostgresAddress:
    where = OnlineAddress(
        "postgres", f"{config.host}:{config.port}/{config.database}", config.host, config.port, config.database,
        config.user, config.password, sslmode=str(config.sslmode),
    )  # fmt: skip
    return PostgresAddress(where, "")


def _shown(config: Any, source: PostgreSQLSource) -> dict[str, list[str]] | None:  # noqa: ANN401 - Feast's
    """The snapshots that a source shows; None where the one who asks has not said."""
    shown: Shown = config.offline_store.shown
    return {f"({query_of(view)})": months for view, months in shown.items()}.get(source.get_table_query_string())


def _instant(as_of: str) -> dt.datetime:
    return dt.datetime.fromisoformat(as_of).replace(tzinfo=dt.UTC)
