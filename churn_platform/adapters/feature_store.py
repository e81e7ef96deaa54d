"""Feast: the repository generated from the contract, point-in-time joins, the online store.

Belongs here: everything that speaks Feast. Does not: which months or rows are asked for (`core/training_dataset.py`).
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from churn_platform.adapters.feast_library import import_feast, open_feast, quiet
from churn_platform.adapters.files import read_json, write_json, write_text
from churn_platform.adapters.lake import View, instant
from churn_platform.adapters.online_address import OnlineAddress
from churn_platform.adapters.online_reader import MARKER, read_month
from churn_platform.core.contract import Contract
from churn_platform.core.digest import digest_of
from churn_platform.errors import StoreDown

if TYPE_CHECKING:
    import feast

TTL = {"month": dt.timedelta(days=27), "week": dt.timedelta(days=6), "day": dt.timedelta(hours=23)}
"""Below one cadence: a customer missing from a snapshot is missing, never silently last month's."""

ROW = "row asked"
"""Feast answers in any order; no name of a contract holds a space."""

FEATURES_PY = '''"""Feast definitions of {name}, generated from contract.json beside this file. Do not edit."""

from pathlib import Path

from churn_platform.adapters.feature_store import feast_objects
from churn_platform.core.contract import Contract

_here = Path(__file__).parent
_contract = Contract.model_validate_json((_here / "contract.json").read_text(encoding="utf-8"))
globals().update(feast_objects(_contract, _here / "offline"))
'''


class FeatureStore:
    """The Feast repository of one home; the online store is at `address`."""

    def __init__(self, folder: Path, contract: Contract, address: OnlineAddress | None = None) -> None:
        self.folder = folder
        self.contract = contract
        self.address = address or OnlineAddress()

    def generate(self) -> bool:
        """Write the repository's files (feature_store.yaml, features.py, contract.json); True if any changed."""
        wanted = {
            "feature_store.yaml": self._configuration(),
            "features.py": FEATURES_PY.format(name=self.contract.name),
            "contract.json": self.contract.model_dump_json(indent=2) + "\n",
        }
        changed = [n for n, text in wanted.items() if not _holds(self.folder / n, text)]
        for name in changed:
            write_text(self.folder / name, wanted[name])
        return bool(changed)

    def apply(self, view: View) -> list[str]:
        """Generate the repository, point its sources at `view` and register its objects when they changed.

        Returns:
            The names of the feature views.
        """
        self.generate()
        self._link(view)
        # The registry holds absolute paths: a copied home would go on reading the original's months. Written last, so
        # that a kill before it registers again.
        marker = self.folder / "applied.json"
        wanted = {"contract": digest_of(self.contract.as_mapping()), "folder": str(self.folder.resolve())}
        if self.address.said:  # another store has none of the tables yet
            wanted["store"] = self.address.said
        known = read_json(marker) if marker.exists() and (self.folder / "registry.db").exists() else None
        if known != wanted:
            store, objects = self._store(), feast_objects(self.contract, self.folder / "offline")
            gone = [view for view in store.list_feature_views() if view.name not in self.contract.feature_views]
            with self._written():
                store.apply(list(objects.values()), objects_to_delete=gone, partial=False)
            write_json(marker, wanted)
        return list(self.contract.feature_views)

    def historical(self, view: View, spine: pd.DataFrame) -> pd.DataFrame:
        """Point-in-time features for `spine` (rows,): entity and as_of (ISO date).

        `view` already holds only what was known: Feast's own creation filter compares with the entity's timestamp
        and would empty every row whose file arrived after as_of.

        Returns:
            (rows, 2 + features) entity, as_of, features, in the order of `spine`.
        """
        import pyarrow as pa

        key = self.contract.entity.column
        self.apply(view)
        codes, months = pd.factorize(spine["as_of"])
        moments = pd.to_datetime(pd.Index(months)).tz_localize("UTC").as_unit("us")
        asked = pd.DataFrame({key: spine[key].to_numpy(), "event_timestamp": moments[codes], ROW: range(len(spine))})
        answer = self._store().get_historical_features(entity_df=asked, features=self._references()).to_arrow()
        # Not to_df(): Feast's makes floats of integers and objects of booleans where a value is missing.
        nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
        frame: pd.DataFrame = answer.sort_by(ROW).to_pandas(types_mapper=nullable.get)
        codes, moments = pd.factorize(frame["event_timestamp"])
        frame["as_of"] = np.array([moment.date().isoformat() for moment in moments], dtype=object)[codes]
        return frame[[key, "as_of", *self.contract.features]]

    def materialize(self, view: View, as_of: dt.date) -> bool:
        """Write a month's features to the online store, unless it already holds a newer month.

        Returns:
            False when the online store was left alone: SQLite would go back in time, it keeps no newest timestamp.
        """
        newest = self.online_as_of()
        if newest is not None and as_of < newest:
            return False
        self.apply(view)
        moment = instant(as_of)
        with quiet(), self._written():
            self._store().materialize(start_date=moment - dt.timedelta(hours=1), end_date=moment)
        named = {"store": self.address.said} if self.address.said else {}
        write_json(self.folder / MARKER, {"as_of": as_of.isoformat()} | named)
        return True

    def online_as_of(self) -> dt.date | None:
        """The newest month in the online store; None too where that month went to another store."""
        if not (self.folder / MARKER).exists():
            return None
        month = read_month(self.folder)
        return month.as_of if month.store == self.address.said else None

    def online(self, entity: str | int) -> dict[str, Any] | None:
        """The features of one customer in the newest month of the online store; None when that month has no row of it.

        The store ignores the TTL and goes on answering with an older month: such values are missing, as they are in
        `historical`.
        """
        key, newest = self.contract.entity.column, self.online_as_of()
        if newest is None:
            return None
        with quiet():
            response = self._store().get_online_features(
                features=self._references(), entity_rows=[{key: entity}], include_feature_view_version_metadata=False
            )
        values, moment = response.to_dict(include_event_timestamps=True), int(instant(newest).timestamp())
        current = {name for name in self.contract.features if values[f"{name}__ts"][0] == moment}
        if not current:
            return None
        return {name: values[name][0] if name in current else None for name in self.contract.features}

    def _references(self) -> list[str]:
        return [f"{name}:{f}" for name, view in self.contract.feature_views.items() for f in view.features]

    def _store(self) -> "feast.FeatureStore":
        return open_feast(self.folder, self.address)

    @contextmanager
    def _written(self) -> Iterator[None]:
        """What the clients of network stores raise, as one sentence."""
        try:
            yield
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("redis", "psycopg", "psycopg_pool"):
                raise
            said = " ".join(str(error).split())
            raise StoreDown(f"The online store {self.address.said} cannot be written ({said}): try again.") from None

    def _configuration(self) -> str:
        return (
            f"# Generated from the contract of {self.contract.name}. Do not edit.\n"
            f"project: {self.contract.name}\n"
            "provider: local\n"
            "registry: registry.db\n"
            f"online_store: {_flow(self.address.configuration())}\n"
            "offline_store: {type: churn_platform.adapters.offline_store.SnapshotOfflineStore}\n"
            "entity_key_serialization_version: 3\n"
        )

    def _link(self, view: View) -> None:
        """Make offline/<table>/<as_of>.parquet point at the files of `view`, and nothing else."""
        for table in dict.fromkeys(v.table for v in self.contract.feature_views.values()):
            folder = self.folder / "offline" / table
            folder.mkdir(parents=True, exist_ok=True)
            wanted = {f"{as_of}.parquet": path.resolve() for as_of, path in view[table].items()}
            for stale in [path for path in folder.iterdir() if path.name not in wanted]:
                stale.unlink()
            for name, target in wanted.items():
                link = folder / name
                if not link.is_symlink() or link.readlink() != target:
                    link.unlink(missing_ok=True)
                    link.symlink_to(target)


def feast_objects(contract: Contract, offline: Path) -> dict[str, Any]:
    """The contract as Feast objects by variable name: one entity, a source and a view a feature view, one service."""
    feast = import_feast()
    from feast import types, value_type
    from feast.data_format import ParquetFormat

    kinds = {"integer": types.Int64, "float": types.Float64, "boolean": types.Bool, "category": types.String}
    key_type = value_type.ValueType.INT64 if contract.entity.dtype == "integer" else value_type.ValueType.STRING
    entity = feast.Entity(name=contract.entity.column, join_keys=[contract.entity.column], value_type=key_type)
    views = {}
    for name, spec in contract.feature_views.items():
        columns = contract.published[spec.table]
        source = feast.FileSource(
            name=f"{name}_source",
            path=str((offline / spec.table).resolve() / "*.parquet"),
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        )
        fields = [
            feast.Field(name=f, dtype=kinds[columns[f].dtype], description=columns[f].description)
            for f in spec.features
        ]
        views[name] = feast.FeatureView(
            name=name, entities=[entity], ttl=TTL[contract.cadence], schema=fields, source=source, online=True,
            description=spec.description or contract.tables[spec.table].description,
        )  # fmt: skip
    service = feast.FeatureService(name=contract.model_name, features=list(views.values()))
    return {"entity": entity, **views, "service": service}


def _flow(values: dict[str, Any]) -> str:
    """A mapping as YAML on one line."""
    import yaml

    return str(yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=1000)).strip()


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text
