"""A Feast registry that others read too: whose a project in it is, and whether it still has
what was registered.
"""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_platform.base.digests import digest_of
from churn_platform.base.errors import UsageError
from churn_platform.base.files import read_json, write_json
from churn_platform.features.feast_library import import_feast

if TYPE_CHECKING:
    import feast

MARKER = "owner.json"
"""In the Feast repository of a home that uses a shared database: the name under which it owns
its part there.
"""
OWNER = "churn.home"


def owner_of(folder: Path) -> str:
    """The name under which the home of this Feast repository owns what it keeps in shared
    databases; made once.
    """
    marker = folder / MARKER
    if not marker.exists():
        write_json(marker, {"owner": secrets.token_hex(8)})
    return str(read_json(marker)["owner"])


def claimed_project(store: "feast.FeatureStore", owner: str, said: str) -> Any:  # noqa: ANN401 - Feast's project
    """The project of the store's configuration with its owner's name, to be applied.

    Raises:
        UsageError: the project there is another home's, or someone's who is not a home.
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
            f"The project {name} in the Feast registry {said} belongs to another home: give"
            " this one a database of its own, or its contract another name; if that home is"
            f" gone, `feast projects delete {name}` frees it.",
            code="NAME_TAKEN",
        )
    return feast.Project(name=name, tags={OWNER: owner})


def clear_history(store: "feast.FeatureStore") -> None:
    """Remove what deleting a project leaves of its views: Feast counts versions from 0 again,
    and would fail there.
    """
    from feast.infra.registry.sql import feature_view_version_history as history

    project = store.config.project
    held = [view.name for view in store.registry.list_all_feature_views(project, allow_cache=False)]
    left = history.delete().where(
        history.c.project_id == project, history.c.feature_view_name.not_in(held)
    )
    with store.registry.write_engine.begin() as connection:
        connection.execute(left)


def registered(store: "feast.FeatureStore") -> str:
    """Digest of what the registry records of the store's project, without the times at which it
    was written.
    """
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
    for field in (
        "meta",
        "batch_source",
    ):  # the source is told as one of its own, with its own times
        if field in spec.DESCRIPTOR.fields_by_name:
            spec.ClearField(field)
    return str(spec)
