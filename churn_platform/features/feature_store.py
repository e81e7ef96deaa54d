"""Feast: the repository generated from the contract, point-in-time joins, the online store."""

import datetime as dt
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import StoreDown, UsageError
from churn_platform.base.files import read_json, write_json, write_text
from churn_platform.contract.model import Contract
from churn_platform.features.feast_repository import (
    APPLIED,
    COPIED,
    feast_objects,
    import_feast,
    open_feast,
    registration,
    repository_files,
)
from churn_platform.features.online.address import OnlineAddress, PostgresAddress
from churn_platform.features.online.reader import MARKER, read_month
from churn_platform.features.online.writer import batches, write_month
from churn_platform.lake.arrow_tables import to_frame
from churn_platform.lake.lake import View, instant

if TYPE_CHECKING:
    import feast

OWNER_FILE = "owner.json"
"""Names the home as owner of its part of a shared Feast registry."""
OWNER = "churn.home"
ROW = "row asked"
"""Restores the order of rows, which Feast does not keep. No contract has a name with a space."""


class FeatureStore:
    """The Feast repository of one home.

    Attributes:
        address: Where the online store is.
        registry: Where Feast's registry is; None: a file in the folder.
    """

    def __init__(
        self,
        folder: Path,
        contract: Contract,
        address: OnlineAddress | None = None,
        registry: PostgresAddress | None = None,
    ) -> None:
        self.folder = folder
        self.contract = contract
        self.address = address or OnlineAddress()
        self.registry = registry

    def generate(self) -> bool:
        """Write the repository's files; True if any changed."""
        wanted = repository_files(self.contract, self.address, self.registry)
        changed = False
        for name, text in wanted.items():
            path = self.folder / name
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                write_text(path, text)
                changed = True
        return changed

    def apply(self, view: View) -> list[str]:
        """Generate the repository, point its sources at `view`, and register what changed.

        Returns:
            The names of the feature views.
        """
        self.generate()
        self._link(view)
        with self._written():
            self._register()
        return list(self.contract.feature_views)

    def historical(self, view: View, spine: pd.DataFrame) -> pd.DataFrame:
        """Point-in-time features for `spine` (rows,): entity and as_of (ISO date).

        `view` already has only what was known then. Feast's own filter compares creation with
        as_of, and would empty every row whose file arrived later.

        Returns:
            (rows, 2 + features) entity, as_of, features, in the order of `spine`.
        """
        key = self.contract.entity.column
        self.apply(view)
        codes, months = pd.factorize(spine["as_of"])
        self._fetch(view, [dt.date.fromisoformat(month) for month in months])
        moments = pd.to_datetime(pd.Index(months)).tz_localize("UTC").as_unit("us")
        asked = pd.DataFrame(
            {
                key: spine[key].to_numpy(),
                "event_timestamp": moments[codes],
                ROW: range(len(spine)),
            }
        )
        references = [
            f"{name}:{feature}"
            for name, one in self.contract.feature_views.items()
            for feature in one.features
        ]
        with self._written():
            answer = (
                self._store()
                .get_historical_features(entity_df=asked, features=references)
                .to_arrow()
            )
        # to_df() would make floats of integers, and objects of booleans, with missing values.
        frame = to_frame(answer.sort_by(ROW))
        codes, moments = pd.factorize(frame["event_timestamp"])
        frame["as_of"] = np.array([moment.date().isoformat() for moment in moments], dtype=object)[
            codes
        ]
        return frame[[key, "as_of", *self.contract.features]]

    def materialize(self, view: View, as_of: dt.date) -> bool:
        """Write a month's features to the online store, unless there is a newer month.

        An empty store waits for the newest published month: it would answer with old features.

        Returns:
            False if the online store was not changed.
        """
        online = self.online_as_of()
        tables = [one.table for one in self.contract.feature_views.values()]
        published = {month for table in tables for month in view[table]}
        if any(month > as_of for month in published) or (online and online > as_of):
            return False
        self.apply(view)
        moment = instant(as_of)
        write_month(
            self.address, self.folder, self.contract.name, batches(self.contract, view, as_of)
        )
        with self._written():
            store = self._store()
            for name in self.contract.feature_views:  # as Feast's own command does
                one = store.get_feature_view(name)
                store.registry.apply_materialization(
                    one, store.project, moment - dt.timedelta(hours=1), moment
                )
        # A server finds the features of its version by these, whatever the contract became.
        views = {name: view.features for name, view in self.contract.feature_views.items()}
        marker = {"as_of": as_of.isoformat(), "views": views}
        if self.address.url:
            marker["store"] = self.address.url
        replaced = self._replaced()
        write_json(self.folder / MARKER, marker)
        if replaced:  # no server reads them any more
            with self._written():
                self._register()
        return True

    def online_as_of(self) -> dt.date | None:
        """The newest month in the online store; None if it was written to another store."""
        if not (self.folder / MARKER).exists():
            return None
        month = read_month(self.folder)
        if month.store == self.address.url:
            return month.as_of
        return None

    def _replaced(self) -> list[str]:
        """The views of the online month that the contract no longer names. Servers read them
        until the next month is complete.
        """
        with suppress(StoreDown):
            month = read_month(self.folder)
            if month.store == self.address.url:
                return [
                    name for name in month.views or () if name not in self.contract.feature_views
                ]
        return []

    def _register(self) -> None:
        """Register the objects if the registry does not have them as they are now."""
        # The registry has absolute paths: a copied home would keep reading the original. The
        # marker is written last, so a kill before it registers again.
        marker = self.folder / APPLIED
        wanted = {
            "contract": digest_of(self.contract.as_mapping()),
            "folder": str(self.folder.resolve()),
        }
        places = {"store": self.address, "registry": self.registry}
        wanted |= {name: place.url for name, place in places.items() if place and place.url}
        replaced = self._replaced()
        if replaced:
            wanted["replaced"] = ",".join(replaced)
        known = registration(marker)
        if COPIED in known:
            wanted[COPIED] = known[COPIED]
        registry_file = self.folder / "registry.db"
        if self.registry is None and registry_file.exists() and known == wanted:
            return
        store = self._store()
        project = []
        if self.registry is not None:  # a shared database
            project = [claimed_project(store, owner_of(self.folder), self.registry.url)]
            if known == wanted | {"registered": registered(store)}:
                return
            clear_history(store)
        gone = [
            view
            for view in store.list_feature_views()
            if view.name not in (*self.contract.feature_views, *replaced)
        ]
        objects = feast_objects(self.contract, self.folder / "offline")
        store.apply([*project, *objects.values()], objects_to_delete=gone, partial=False)
        write_json(marker, wanted | ({"registered": registered(store)} if project else {}))

    def away(self) -> str | None:
        """Why Feast's registry cannot be used now, as a sentence; None if it can."""
        if self.registry is None:
            return None
        return self.registry.away()

    def _store(self) -> "feast.FeatureStore":
        return open_feast(self.folder, self.address, self.registry)

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Turn what the clients of network stores raise into our error."""
        try:
            yield
        except Exception as error:
            client = type(error).__module__.partition(".")[0]
            if client not in ("redis", "psycopg", "psycopg_pool", "sqlalchemy"):
                raise
            original = getattr(error, "orig", error)  # without SQL and its parameters
            reason = " ".join(str(original).split())
            if client == "sqlalchemy" and self.registry is not None:
                raise StoreDown(
                    f"The Feast registry {self.registry.url} does not answer as expected"
                    f" ({reason}): try again."
                ) from None
            raise StoreDown(
                f"The online store {self.address.url} cannot be written ({reason}): try again."
            ) from None

    def _fetch(self, view: View, months: Collection[dt.date]) -> None:
        """Have the files of these months on this disk; a view reaches no other month from them."""
        for one in self.contract.feature_views.values():
            files = view[one.table]
            for as_of in files.keys() & set(months):
                files[as_of].fetch()

    def _link(self, view: View) -> None:
        """Make offline/<table>/<as_of>.parquet link to the files of `view`, and no others."""
        for table in dict.fromkeys(v.table for v in self.contract.feature_views.values()):
            folder = self.folder / "offline" / table
            folder.mkdir(parents=True, exist_ok=True)
            wanted = {
                f"{as_of}.parquet": file.local.resolve() for as_of, file in view[table].items()
            }
            for stale in [path for path in folder.iterdir() if path.name not in wanted]:
                stale.unlink()
            for name, target in wanted.items():
                link = folder / name
                if not link.is_symlink() or link.readlink() != target:
                    link.unlink(missing_ok=True)
                    link.symlink_to(target)


def owner_of(folder: Path) -> str:
    """The name under which this home owns its part of a shared Feast registry; made once."""
    marker = folder / OWNER_FILE
    if not marker.exists():
        write_json(marker, {"owner": secrets.token_hex(8)})
    return str(read_json(marker)["owner"])


def claimed_project(store: "feast.FeatureStore", owner: str, url: str) -> Any:  # noqa: ANN401 - Feast's project
    """The project of the store's configuration with its owner's name, to be applied.

    Raises:
        UsageError: the project belongs to another home, or was not made by a home.
    """
    feast = import_feast()
    name = store.config.project
    found = {
        project.name: project for project in store.registry.list_projects(allow_cache=False)
    }.get(name)
    tags = {} if found is None else found.tags
    used = OWNER in tags or bool(store.registry.list_all_feature_views(name, allow_cache=False))
    if used and tags.get(OWNER) != owner:
        raise UsageError(
            f"The project {name} in the Feast registry {url} belongs to another home: give"
            " this one a database of its own, or its contract another name; if that home is"
            f" gone, `feast projects delete {name}` frees it.",
            code="NAME_TAKEN",
        )
    return feast.Project(name=name, tags={OWNER: owner})


def clear_history(store: "feast.FeatureStore") -> None:
    """Remove the history of deleted views, on which Feast fails when it numbers from 0 again."""
    from feast.infra.registry.sql import feature_view_version_history as history

    project = store.config.project
    held = [view.name for view in store.registry.list_all_feature_views(project, allow_cache=False)]
    left = history.delete().where(
        history.c.project_id == project, history.c.feature_view_name.not_in(held)
    )
    with store.registry.write_engine.begin() as connection:
        connection.execute(left)


def registered(store: "feast.FeatureStore") -> str:
    """Digest of the project's objects in the registry, without the times of writing."""
    registry = store.registry
    project = store.config.project
    parts = {
        "projects": [
            found for found in registry.list_projects(allow_cache=False) if found.name == project
        ],
        "entities": registry.list_entities(project, allow_cache=False),
        "sources": registry.list_data_sources(project, allow_cache=False),
        "views": registry.list_all_feature_views(project, allow_cache=False),
        "services": registry.list_feature_services(project, allow_cache=False),
    }
    return digest_of(
        {kind: sorted(_said(found) for found in objects) for kind, objects in parts.items()}
    )


def _said(found: Any) -> str:  # noqa: ANN401 - any object of Feast
    written = found.to_proto()
    spec = written.spec if hasattr(written, "spec") else written
    for field in ("meta", "batch_source"):  # times; a source is listed as an object of its own
        if field in spec.DESCRIPTOR.fields_by_name:
            spec.ClearField(field)
    return str(spec)
