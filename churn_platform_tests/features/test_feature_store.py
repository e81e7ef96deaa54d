"""Feast on the real thing: what was known then, joined to what was asked; random histories: test_point_in_time.py."""

import datetime as dt
import runpy
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pandas as pd
import pytest

from churn_platform.features.feast_repository import import_feast
from churn_platform.features.feature_store import FeatureStore
from churn_platform.ingestion.rules import conform
from churn_platform.lake.lake import Lake, instant
from churn_platform_tests.small_business import DECLARED, FEBRUARY, JANUARY, declared
from churn_platform_tests.stores import online

FAR = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
FEATURES = ["months", "plan", "has_app", "hours"]
ANN = ("ann", 3, "basic", True)


class Business:
    """A lake and its feature store; months are given as plain rows."""

    def __init__(self, folder, contract):
        self.contract = contract
        self.lake = Lake(folder / "lake", contract)
        self.store = FeatureStore(folder / "feast", contract)

    def deliver(self, as_of, members, visits, arrived=None):
        """Publish rows of members (member, months, plan, has_app) and visits (member, hours)."""
        raw = {
            "members": pd.DataFrame(
                members, columns=["member", "months", "plan", "has_app"]
            ).assign(town="north"),
            "visits": pd.DataFrame(visits, columns=["member", "hours"]),
        }
        typed = {}
        for name, table in raw.items():
            typed[name], faults = conform(self.contract, name, table)
            assert faults == []
        return self.lake.publish(as_of, typed, arrived or instant(as_of), f"{arrived}")

    def historical(self, asked, known_at=FAR):
        """Features of (member, month) pairs as known at scoring, by pair."""
        spine = pd.DataFrame(asked, columns=["member", "as_of"])
        spine["as_of"] = [month.isoformat() for month in spine["as_of"]]
        found = self.store.historical(self.view(known_at), spine)
        values = found[FEATURES].astype(object).where(found[FEATURES].notna(), None)
        keys = zip(found["member"], found["as_of"], strict=True)
        return dict(zip(keys, values.to_numpy().tolist(), strict=True))

    def view(self, known_at=FAR):
        return self.lake.view(known_at, as_at_scoring=True)

    def online(self, key):
        """The features of a customer as a list; None for an unknown one."""
        found = online(self.store, key)
        return found and [found.get(name) for name in FEATURES]

    def january(self):
        """Deliver January with ann alone."""
        self.deliver(JANUARY, [ANN], [("ann", 1.0)])
        return self.view()

    def materialize(self, as_of):
        """Bring a month to the online store."""
        return self.store.materialize(self.lake.view(FAR, as_at_scoring=False), as_of)


@pytest.fixture
def business(tmp_path, small_contract):
    return Business(tmp_path, small_contract)


@pytest.fixture(scope="module")
def two_months(tmp_path_factory, small_contract):
    """January with ann, bob and cy; February without bob; both online. Read only."""
    built = Business(tmp_path_factory.mktemp("two_months"), small_contract)
    built.deliver(
        JANUARY,
        [("ann", 3, "basic", True), ("bob", 7, "plus", False), ("cy", 9, "family", None)],
        [("ann", 1.5), ("bob", 2.5), ("cy", None)],
    )
    assert built.materialize(JANUARY)
    built.deliver(
        FEBRUARY,
        [("ann", 4, "basic", None), ("cy", 10, "plus", False)],
        [("ann", None), ("cy", 0.0)],
    )
    assert built.materialize(FEBRUARY)
    return built


def test_a_correction_after_the_delivery_days_never_reaches_a_training_row(business):
    business.deliver(JANUARY, [ANN], [("ann", 1.0)])
    day = instant(JANUARY)
    business.deliver(
        JANUARY, [("ann", 4, "basic", True)], [("ann", 2.0)], day + dt.timedelta(days=4)
    )
    business.deliver(
        JANUARY, [("ann", 5, "plus", None)], [("ann", 3.0)], day + dt.timedelta(days=40)
    )
    early = day + dt.timedelta(days=3)
    for known_at, expected in ((FAR, [4, "basic", True, 2.0]), (early, [3, "basic", True, 1.0])):
        found = business.historical([("ann", JANUARY)], known_at)
        assert found == {("ann", "2024-01-31"): expected}


def test_only_the_newest_month_counts_and_null_is_not_unknown(two_months):
    asked = [("bob", JANUARY), ("bob", FEBRUARY), ("cy", JANUARY), ("nobody", FEBRUARY)]
    assert list(two_months.historical(asked).values()) == [
        [7, "plus", False, 2.5], [None] * 4, [9, "family", None, None], [None] * 4,
    ]  # fmt: skip
    assert two_months.store.online_as_of() == FEBRUARY
    assert two_months.online("cy") == [10, "plus", False, 0.0]
    assert two_months.online("ann") == [4, "basic", None, None]
    assert two_months.online("bob") is two_months.online("nobody") is None


def test_a_table_that_lacks_the_customer_this_month_is_null_online(business):
    business.deliver(JANUARY, [ANN], [("ann", 1.0), ("bob", 2.0)])
    business.materialize(JANUARY)
    business.deliver(FEBRUARY, [("ann", 4, "basic", True)], [("bob", 5.0)])
    business.materialize(FEBRUARY)
    assert business.online("ann") == [4, "basic", True, None]
    assert business.online("bob") == [None, None, None, 5.0]


def test_the_online_store_never_goes_back_in_time_and_takes_a_correction_of_its_month(business):
    """Nor does an empty store begin with an old month, as after a restore."""
    business.january()
    business.deliver(FEBRUARY, [("ann", 4, "basic", True)], [("ann", 2.0)])
    assert not business.materialize(JANUARY)
    assert business.store.online_as_of() is business.online("ann") is None
    assert business.materialize(FEBRUARY)
    assert not business.materialize(JANUARY)
    assert business.store.online_as_of() == FEBRUARY
    assert business.online("ann")[0] == 4
    business.deliver(FEBRUARY, [("ann", 40, "basic", True)], [("ann", 2.0)], FAR)
    assert business.materialize(FEBRUARY)
    assert business.online("ann")[0] == 40


def test_a_numeric_key_works_offline_and_online(tmp_path):
    contract = declared(entity={"column": "member", "dtype": "integer"})
    business = Business(tmp_path, contract)
    business.deliver(JANUARY, [(7, 3, "basic", True)], [(7, 1.0)])
    assert business.historical([(7, JANUARY), (8, JANUARY)]) == {
        (7, "2024-01-31"): [3, "basic", True, 1.0],
        (8, "2024-01-31"): [None] * 4,
    }
    business.materialize(JANUARY)
    assert business.online(7) == [3, "basic", True, 1.0]
    assert business.online(8) is None


def spec_of(view):
    """A view as Feast writes it down, without the times at which it did and the key's type that it infers then."""
    written = view.to_proto().spec
    written.batch_source.ClearField("meta")
    written.ClearField("entity_columns")
    return str(written)


def test_the_generated_features_module_is_what_was_applied(business):
    view = business.january()
    assert business.store.apply(view) == ["members_fv", "visits_fv"]
    registry = business.store.folder / "registry.db"
    before = registry.stat().st_mtime_ns
    business.store.apply(view)
    assert registry.stat().st_mtime_ns == before  # nothing is registered again
    module = types.SimpleNamespace(**runpy.run_path(business.store.folder / "features.py"))
    store = import_feast().FeatureStore(repo_path=str(business.store.folder))
    for view in (module.members_fv, module.visits_fv):
        assert spec_of(store.get_feature_view(view.name)) == spec_of(view)
        assert store.get_data_source(view.batch_source.name) == view.batch_source
        assert view.ttl == dt.timedelta(days=27)
    assert store.get_entity("member") == module.entity
    assert store.get_feature_service("gym_churn") == module.service
    fields = [*module.members_fv.schema, *module.visits_fv.schema]
    kinds = {field.name: str(field.dtype) for field in fields if field.name != "member"}
    assert kinds == dict(zip(FEATURES, ["Int64", "String", "Bool", "Float64"], strict=True))


def with_views(**views):
    return declared(feature_views={**DECLARED["feature_views"], **views})


def test_a_changed_contract_is_registered_also_after_a_kill_between_writing_and_registering(
    business,
):
    view = business.january()
    business.store.apply(view)
    changed = {
        "members_fv": {"table": "members", "features": ["months"]},
        "app_fv": {"table": "members", "features": ["has_app"]},
    }
    later = FeatureStore(business.store.folder, with_views(**changed))
    assert later.generate()  # and the process died here
    assert not later.generate()
    again = FeatureStore(business.store.folder, with_views(**changed))
    assert again.apply(view) == ["members_fv", "visits_fv", "app_fv"]
    spine = pd.DataFrame({"member": ["ann"], "as_of": ["2024-01-31"]})
    assert again.historical(view, spine).to_numpy().tolist() == [
        ["ann", "2024-01-31", 3, 1.0, True]
    ]


def test_a_view_that_left_the_contract_leaves_the_registry_and_is_not_materialized(business):
    view = business.january()
    business.store.apply(view)
    fewer = declared(feature_views={"members_fv": DECLARED["feature_views"]["members_fv"]})
    later = FeatureStore(business.store.folder, fewer)
    shutil.rmtree(business.store.folder / "offline" / "visits")
    later.apply(view)
    registered = import_feast().FeatureStore(repo_path=str(later.folder)).list_feature_views()
    assert [found.name for found in registered] == ["members_fv"]
    assert later.materialize(view, JANUARY)
    assert online(later, "ann") == {"months": 3, "plan": "basic", "has_app": True}


def test_a_moved_home_reads_its_own_months_and_not_the_originals(tmp_path, small_contract):
    (tmp_path / "old").mkdir()
    old = Business(tmp_path / "old", small_contract)
    old.january()
    old.materialize(JANUARY)
    shutil.copytree(tmp_path / "old", tmp_path / "copy", symlinks=True)
    copy = Business(tmp_path / "copy", small_contract)
    copy.deliver(FEBRUARY, [("ann", 4, "plus", False)], [("ann", 2.0)])
    assert copy.historical([("ann", FEBRUARY)])["ann", "2024-02-29"] == [4, "plus", False, 2.0]
    assert old.historical([("ann", FEBRUARY)])["ann", "2024-02-29"] == [None] * 4
    (tmp_path / "copy").rename(tmp_path / "moved")
    moved = Business(tmp_path / "moved", small_contract)
    assert moved.historical([("ann", JANUARY)])["ann", "2024-01-31"] == [3, "basic", True, 1.0]
    assert moved.materialize(FEBRUARY)
    assert moved.online("ann") == [4, "plus", False, 2.0]


def test_the_offline_folder_holds_the_view_and_nothing_else(two_months):
    view = two_months.lake.view(FAR, as_at_scoring=False)
    two_months.historical([("ann", JANUARY)], instant(JANUARY))
    folder = two_months.store.folder / "offline" / "members"
    assert sorted(path.name for path in folder.iterdir()) == ["2024-01-31.parquet"]
    two_months.historical([("ann", JANUARY)])
    assert {path.name: path.resolve() for path in folder.iterdir()} == {
        f"{month}.parquet": file.path.resolve() for month, file in view["members"].items()
    }


def test_importing_feast_leaves_typeguard_and_the_warnings_as_they_were():
    import_feast()
    import typeguard

    assert typeguard.typechecked.__module__.startswith("typeguard")
    assert Path(sys.modules["feast"].__file__).name == "__init__.py"


@pytest.mark.slow
def test_feasts_own_commands_work_on_the_repository_from_any_folder(two_months, tmp_path):
    def feast(*arguments):
        command = [
            str(Path(sys.executable).parent / "feast"),
            "-c",
            str(two_months.store.folder),
            *arguments,
        ]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=True
        ).stdout

    listed = feast("feature-views", "list")
    assert "members_fv" in listed
    assert "visits_fv" in listed
    feast("apply")  # Feast calls a source updated whenever its own time of creation differs
    assert two_months.historical([("bob", JANUARY)])["bob", "2024-01-31"] == [7, "plus", False, 2.5]
    assert two_months.online("cy")[0] == 10
