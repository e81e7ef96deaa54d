"""The contract in Feast's words: one entity, a source and a view a feature view, one service."""

import datetime as dt
from pathlib import Path
from typing import Any

from churn_platform.contract.model import Contract
from churn_platform.features.feast_library import import_feast
from churn_platform.features.online.address import OnlineAddress, PostgresAddress

APPLIED = "applied.json"
"""What was registered last, and where."""
COPIED = "offline"
"""The key of applied.json under which 0.1.0 named the database that it copied the feature
tables to.
"""
DUCKDB = "churn_platform.features.offline_store.SnapshotOfflineStore"
FEATURES_PY = '''"""Feast definitions of {name}, generated from contract.json beside this file. Do not edit."""

from pathlib import Path

from churn_platform.features.feast_repository import feast_objects
from churn_platform.contract.model import Contract

_here = Path(__file__).parent
_contract = Contract.model_validate_json((_here / "contract.json").read_text(encoding="utf-8"))
globals().update(feast_objects(_contract, _here / "offline"))
'''


def repository_files(
    contract: Contract, online: OnlineAddress, registry: PostgresAddress | None
) -> dict[str, str]:
    """Name -> text of feature_store.yaml, features.py and contract.json; without an address it
    is in the home.
    """
    configuration = (
        f"# Generated from the contract of {contract.name}. Do not edit.\n"
        f"project: {contract.name}\n"
        "provider: local\n"
        f"registry: {'registry.db' if registry is None else _flow(registry.registry())}\n"
        f"online_store: {_flow(online.configuration())}\n"
        f"offline_store: {_flow({'type': DUCKDB})}\n"
        "entity_key_serialization_version: 3\n"
    )
    return {
        "feature_store.yaml": configuration,
        "features.py": FEATURES_PY.format(name=contract.name),
        "contract.json": contract.model_dump_json(indent=2) + "\n",
    }


def _flow(values: dict[str, Any]) -> str:
    """A mapping as YAML on one line."""
    import yaml

    return str(yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=1000)).strip()


TTL = {
    "month": dt.timedelta(days=27),
    "week": dt.timedelta(days=6),
    "day": dt.timedelta(hours=23),
}
"""Below one cadence: a customer missing from a snapshot is missing, never silently last
month's.
"""

STAMPS = {"timestamp_field": "event_timestamp", "created_timestamp_column": "created_timestamp"}


def feast_objects(contract: Contract, offline: Path) -> dict[str, Any]:
    """The contract as Feast objects by variable name; the folder `offline` holds the snapshots."""
    feast = import_feast()
    from feast import types, value_type

    kinds = {
        "integer": types.Int64,
        "float": types.Float64,
        "boolean": types.Bool,
        "category": types.String,
    }
    if contract.entity.dtype == "integer":
        key_type = value_type.ValueType.INT64
    else:
        key_type = value_type.ValueType.STRING
    entity = feast.Entity(
        name=contract.entity.column, join_keys=[contract.entity.column], value_type=key_type
    )
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
    return import_feast().FileSource(
        name=f"{name}_source", path=path, file_format=ParquetFormat(), **STAMPS
    )
