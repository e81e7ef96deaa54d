"""The contract in Feast's words: one entity, a source and a view a feature view, one service.

Belongs here: that. Does not: where the objects are registered (`adapters/features/feature_store.py`).
"""

import datetime as dt
from pathlib import Path
from typing import Any

from churn_platform.adapters.features.feast_library import import_feast
from churn_platform.core.contract import Contract

TTL = {"month": dt.timedelta(days=27), "week": dt.timedelta(days=6), "day": dt.timedelta(hours=23)}
"""Below one cadence: a customer missing from a snapshot is missing, never silently last month's."""

STAMPS = {"timestamp_field": "event_timestamp", "created_timestamp_column": "created_timestamp"}


def feast_objects(contract: Contract, offline: Path) -> dict[str, Any]:
    """The contract as Feast objects by variable name; the folder `offline` holds the snapshots."""
    feast = import_feast()
    from feast import types, value_type

    kinds = {"integer": types.Int64, "float": types.Float64, "boolean": types.Bool, "category": types.String}
    key_type = value_type.ValueType.INT64 if contract.entity.dtype == "integer" else value_type.ValueType.STRING
    entity = feast.Entity(name=contract.entity.column, join_keys=[contract.entity.column], value_type=key_type)
    views = {}
    for name, spec in contract.feature_views.items():
        columns = contract.published[spec.table]
        fields = [
            feast.Field(name=f, dtype=kinds[columns[f].dtype], description=columns[f].description)
            for f in spec.features
        ]
        views[name] = feast.FeatureView(
            name=name, entities=[entity], ttl=TTL[contract.cadence], schema=fields, online=True,
            source=_source(name, offline / spec.table),
            description=spec.description or contract.tables[spec.table].description,
        )  # fmt: skip
    service = feast.FeatureService(name=contract.model_name, features=list(views.values()))
    return {"entity": entity, **views, "service": service}


def _source(name: str, folder: Path) -> Any:  # noqa: ANN401 - Feast's
    from feast.data_format import ParquetFormat

    path = str(folder.resolve() / "*.parquet")
    return import_feast().FileSource(name=f"{name}_source", path=path, file_format=ParquetFormat(), **STAMPS)
