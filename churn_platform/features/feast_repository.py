"""The Feast repository of a home: Feast imported and opened, and the contract in Feast's terms."""

import atexit
import datetime as dt
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_platform.base.errors import UsageError
from churn_platform.base.files import read_json
from churn_platform.contract.model import Contract
from churn_platform.features.online.address import OnlineAddress, PostgresAddress

if TYPE_CHECKING:
    import feast

APPLIED = "applied.json"
"""The file with the last registration and its place."""
COPIED = "offline"
"""The key of applied.json that names the database to which 0.1.0 copied feature tables."""
DUCKDB = "churn_platform.features.offline_store.SnapshotOfflineStore"
FEATURES_PY = '''"""Feast definitions of {name}, made from contract.json in this folder."""

from pathlib import Path

from churn_platform.features.feast_repository import feast_objects
from churn_platform.contract.model import Contract

_here = Path(__file__).parent
_contract = Contract.model_validate_json((_here / "contract.json").read_text(encoding="utf-8"))
globals().update(feast_objects(_contract, _here / "offline"))
'''
TTL = {
    "month": dt.timedelta(days=27),
    "week": dt.timedelta(days=6),
    "day": dt.timedelta(hours=23),
}
"""Below one cadence, so a customer who is missing from a snapshot never gets older values."""


def registration(applied: Path) -> dict[str, str]:
    """What applied.json holds; empty before the first registration."""
    if not applied.exists():
        return {}
    return dict(read_json(applied))


def repository_files(
    contract: Contract, online: OnlineAddress, registry: PostgresAddress | None
) -> dict[str, str]:
    """Name -> text of feature_store.yaml, features.py and contract.json."""
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


def _flow(values: Mapping[str, object]) -> str:
    """A mapping as YAML on one line."""
    import yaml

    return str(
        yaml.safe_dump({**values}, default_flow_style=True, sort_keys=False, width=1000)
    ).strip()


def feast_objects(
    contract: Contract, offline: Path
) -> "dict[str, feast.Entity | feast.FeatureView | feast.FeatureService]":
    """The contract as Feast objects by variable name; the folder `offline` has the snapshots."""
    feast = import_feast()
    from feast import types, value_type
    from feast.data_format import ParquetFormat

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
            source=feast.FileSource(
                name=f"{name}_source", path=str((offline / spec.table).resolve() / "*.parquet"),
                file_format=ParquetFormat(), timestamp_field="event_timestamp",
                created_timestamp_column="created_timestamp",
            ),
            description=spec.description or contract.tables[spec.table].description,
        )  # fmt: skip
    service = feast.FeatureService(name=contract.model_name, features=list(views.values()))
    return {"entity": entity, **views, "service": service}


def import_feast() -> Any:  # noqa: ANN401 - the module
    """Import Feast without typeguard's decorator: 2.4 s instead of 7.4 s."""
    if "feast" not in sys.modules:
        import typeguard

        atexit.register(_mute_interpreter_exit)

        checked = typeguard.typechecked
        typeguard.typechecked = _unchecked
        try:
            # Feast turns on deprecation warnings for the whole process.
            with warnings.catch_warnings():
                import feast  # noqa: F401
        finally:
            typeguard.typechecked = checked
    return sys.modules["feast"]


def _mute_interpreter_exit() -> None:
    """Hide the harmless "leaked" objects that DuckDB 2.0 reports when Python exits."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _unchecked(target: Any = None, **_: object) -> Any:  # noqa: ANN401 - stands in for a decorator of anything
    if target is not None:
        return target
    return lambda decorated: decorated


def open_feast(
    folder: Path, address: OnlineAddress, registry: PostgresAddress | None = None
) -> "feast.FeatureStore":
    """Feast on a repository, with the passwords that its files do not contain.

    Raises:
        UsageError: a package of the store is not installed.
    """
    feast = import_feast()
    if address.kind == "sqlite" and registry is None:
        return feast.FeatureStore(repo_path=str(folder))
    import yaml
    from feast.repo_config import RepoConfig

    named = yaml.safe_load((folder / "feature_store.yaml").read_text(encoding="utf-8"))
    what = f"The online store {address.url}"
    extra = address.kind
    if address.kind == "sqlite":
        what = "Feast on Postgres"
        extra = "postgres"
    named["online_store"] = address.configuration(secret=True)
    if registry is not None:
        named["registry"] = registry.registry(secret=True)
    try:
        configuration = RepoConfig(**named, repo_path=folder)
        _ = configuration.online_store, configuration.offline_store, configuration.registry
    except ImportError:  # also Feast's own kind
        raise UsageError(
            f"{what} needs more packages: install churn-platform[{extra}].", code="PACKAGE_MISSING"
        ) from None
    store = feast.FeatureStore(config=configuration)
    store.repo_path = folder
    return store
