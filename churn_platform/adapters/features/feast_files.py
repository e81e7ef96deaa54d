"""The files of a Feast repository, generated from the contract and the settings: no password is in them.

Belongs here: their text. Does not: writing them (`adapters/features/feature_store.py`).
"""

from typing import Any

from churn_platform.adapters.features.postgres_address import PostgresAddress
from churn_platform.adapters.online.address import OnlineAddress
from churn_platform.core.contract import Contract

APPLIED = "applied.json"
"""What was registered last, and where."""
COPIED = "offline"
"""The key of applied.json under which 0.1.0 named the database that it copied the feature tables to."""
DUCKDB = "churn_platform.adapters.features.offline_store.SnapshotOfflineStore"
FEATURES_PY = '''"""Feast definitions of {name}, generated from contract.json beside this file. Do not edit."""

from pathlib import Path

from churn_platform.adapters.features.feast_objects import feast_objects
from churn_platform.core.contract import Contract

_here = Path(__file__).parent
_contract = Contract.model_validate_json((_here / "contract.json").read_text(encoding="utf-8"))
globals().update(feast_objects(_contract, _here / "offline"))
'''


def repository_files(contract: Contract, online: OnlineAddress, registry: PostgresAddress | None) -> dict[str, str]:
    """Name -> text of feature_store.yaml, features.py and contract.json; without an address it is in the home."""
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
