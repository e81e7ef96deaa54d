"""Feast's registry in a real Postgres: read by others, one home's a project, and never needed to serve."""

import asyncio
import importlib

import pytest

from churn_platform.base.errors import StoreDown, UsageError
from churn_platform.features.feast_repository import import_feast
from churn_platform.features.online.reader import open_online_reader
from churn_platform_tests.small_business import JANUARY, copied, declared, open_home
from churn_platform_tests.stores import online


@pytest.fixture
def address(postgres_server):
    return postgres_server.new()


@pytest.fixture
def home(january, tmp_path, address):
    copied(january, tmp_path / "home")
    return open_home(tmp_path / "home", feast_registry=address)


def view(home):
    return home.lake.view(home.now(), as_at_scoring=True)


def others(home):
    """Feast as a notebook or its UI opens the repository."""
    return import_feast().FeatureStore(repo_path=str(home.feature_store.folder))


def registered_at(home):
    return (home.feature_store.folder / "applied.json").stat().st_mtime_ns


def test_others_read_the_definitions_and_nothing_is_registered_again_while_nothing_changes(home):
    home.feature_store.apply(view(home))
    assert {found.name for found in others(home).list_feature_views()} == {
        "members_fv",
        "visits_fv",
    }
    before = registered_at(home)
    home.feature_store.materialize(view(home), JANUARY)
    home.feature_store.apply(view(home))
    assert registered_at(home) == before
    assert online(home.feature_store, "m00001") is not None


@pytest.mark.parametrize("what", ["emptied", "changed", "cut"])
def test_a_registry_that_was_emptied_or_changed_is_made_whole(home, what, postgres_server):
    home.feature_store.apply(view(home))
    store = others(home)
    if what == "emptied":
        store.registry.delete_project("gym")
    elif what == "cut":
        store.delete_feature_view("visits_fv")
    else:
        changed = store.get_feature_view("members_fv")
        changed.ttl *= 2
        store.registry.apply_feature_view(changed, "gym")
    home.feature_store.apply(view(home))
    found = {one.name: one.ttl.days for one in others(home).list_feature_views()}
    assert found == {"members_fv": 27, "visits_fv": 27}


def test_a_project_of_another_home_or_of_a_stranger_is_left_alone(home, january, tmp_path, address):
    home.feature_store.apply(view(home))
    copied(january, tmp_path / "second")
    second = open_home(tmp_path / "second", feast_registry=address)
    with pytest.raises(UsageError, match="belongs to another home"):
        second.feature_store.apply(view(second))
    store = others(home)
    store.registry.apply_project(import_feast().Project(name="gym"))  # a stranger's has no owner
    with pytest.raises(UsageError, match="belongs to another home"):
        second.feature_store.apply(view(second))
    assert {found.name for found in store.list_feature_views()} == {"members_fv", "visits_fv"}


def test_a_view_that_reads_another_table_is_seen_by_the_registry(home, tmp_path, address):
    home.feature_store.apply(view(home))
    assert len(others(home).list_data_sources()) == 2
    home.feature_store.contract = declared(
        feature_views={"members_fv": {"table": "visits", "features": ["hours"]}}
    )
    home.feature_store.apply(view(home))
    found = others(home).get_feature_view("members_fv")
    assert "visits" in str(found.batch_source.path)


def test_serving_does_not_need_the_registry_and_what_does_says_so_in_one_sentence(
    home, address, postgres_server
):
    home.feature_store.materialize(view(home), JANUARY)
    name = address.partition("?")[0].rpartition("/")[2]
    postgres_server.ask(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    away = open_home(home.folder, feast_registry=address)
    with pytest.raises(
        StoreDown, match=r"^The Feast registry postgresql://.* does not answer .*: try again\.$"
    ):
        away.feature_store.apply(view(home))
    assert "does not answer" in away.feature_store.away()
    [row] = asyncio.run(open_online_reader(home.folder / "feast", home.contract).read(["m00001"]))
    assert row.values["months"] is not None


def test_what_feasts_own_ui_imports_is_installed():
    """`feast ui` needs grpcio-reflection, which Feast does not ask for."""
    assert importlib.import_module("feast.ui_server").get_app
