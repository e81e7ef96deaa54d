"""Feast on the real thing: what was known then, joined to what was asked; random histories: test_point_in_time.py."""

import datetime as dt
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from churn_platform.features.feast_repository import import_feast
from churn_platform.features.feature_store import FeatureStore
from churn_platform.ingestion.rules import conform
from churn_platform.lake.lake import Lake, instant
from churn_platform_tests.small_business import DECLARED, FEBRUARY, JANUARY, declared

MARCH = dt.date(2024, 3, 31)
MONTHS = (JANUARY, FEBRUARY, MARCH)
FAR = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
FEATURES = ["months", "plan", "has_app", "hours"]


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
        return plain(self.store.historical(self.lake.view(known_at, as_at_scoring=True), spine))

    def materialize(self, as_of):
        """Bring a month to the online store."""
        return self.store.materialize(self.lake.view(FAR, as_at_scoring=False), as_of)


def plain(answer):
    """A join's answer as {(member, as_of): [values]} with None for null; a repeated pair is an error."""
    keys = list(zip(answer["member"], answer["as_of"], strict=True))
    assert len(set(keys)) == len(keys)
    values = answer[FEATURES].astype(object).where(answer[FEATURES].notna(), None)
    return dict(zip(keys, values.to_numpy().tolist(), strict=True))


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


def test_rows_in_are_rows_out_also_for_customers_and_months_that_are_not_there(two_months):
    asked = [(member, month) for member in ("ann", "bob", "cy", "nobody") for month in MONTHS]
    found = two_months.historical(asked)
    assert sorted(found) == sorted((member, month.isoformat()) for member, month in asked)
    assert found["nobody", "2024-01-31"] == found["ann", "2024-03-31"] == [None] * 4


def test_a_customer_missing_this_month_is_null_and_not_last_months(two_months):
    found = two_months.historical([("bob", JANUARY), ("bob", FEBRUARY)])
    assert found["bob", "2024-01-31"] == [7, "plus", False, 2.5]
    assert found["bob", "2024-02-29"] == [None] * 4


def test_the_answer_has_the_order_of_the_question_and_nullable_types(two_months):
    asked = [
        (member, month)
        for month in (FEBRUARY, JANUARY)
        for member in ("cy", "nobody", "bob", "ann")
    ]
    spine = pd.DataFrame(
        [(m, month.isoformat()) for m, month in asked],
        columns=["member", "as_of"],
        index=range(8, 0, -1),
    )
    found = two_months.store.historical(two_months.lake.view(FAR, as_at_scoring=True), spine)
    assert list(zip(found["member"], found["as_of"], strict=True)) == [
        (m, month.isoformat()) for m, month in asked
    ]
    assert found[FEATURES].dtypes.astype(str).to_dict() == {
        "months": "Int64",
        "plan": "object",
        "has_app": "boolean",
        "hours": "float64",
    }


def test_null_stays_null_and_never_becomes_another_months_value(two_months):
    found = two_months.historical([("cy", JANUARY), ("ann", FEBRUARY)])
    assert found["cy", "2024-01-31"] == [9, "family", None, None]
    assert found["ann", "2024-02-29"] == [4, "basic", None, None]


def test_a_correction_after_the_delivery_days_never_reaches_a_training_row(business):
    business.deliver(JANUARY, [("ann", 3, "basic", True)], [("ann", 1.0)])
    day = instant(JANUARY)
    business.deliver(
        JANUARY, [("ann", 4, "basic", True)], [("ann", 2.0)], day + dt.timedelta(days=4)
    )
    business.deliver(
        JANUARY, [("ann", 5, "plus", None)], [("ann", 3.0)], day + dt.timedelta(days=40)
    )
    assert business.historical([("ann", JANUARY)])["ann", "2024-01-31"] == [4, "basic", True, 2.0]
    early = day + dt.timedelta(days=3)
    assert business.historical([("ann", JANUARY)], early)["ann", "2024-01-31"] == [
        3,
        "basic",
        True,
        1.0,
    ]
    assert business.historical([("ann", JANUARY)])["ann", "2024-01-31"] == [4, "basic", True, 2.0]


def test_online_features_are_those_of_the_newest_month(two_months):
    assert two_months.store.online_as_of() == FEBRUARY
    assert two_months.store.online("cy") == {
        "months": 10,
        "plan": "plus",
        "has_app": False,
        "hours": 0.0,
    }


def test_an_unknown_customer_is_none_and_a_legal_null_is_not(two_months):
    assert two_months.store.online("ann") == {
        "months": 4,
        "plan": "basic",
        "has_app": None,
        "hours": None,
    }
    assert two_months.store.online("nobody") is None


def test_a_customer_who_is_only_in_an_older_month_is_missing_online_too(two_months):
    assert two_months.store.online("bob") is None


def test_a_table_that_lacks_the_customer_this_month_is_null_online(business):
    business.deliver(JANUARY, [("ann", 3, "basic", True)], [("ann", 1.0), ("bob", 2.0)])
    business.materialize(JANUARY)
    business.deliver(FEBRUARY, [("ann", 4, "basic", True)], [("bob", 5.0)])
    business.materialize(FEBRUARY)
    assert business.store.online("ann") == {
        "months": 4,
        "plan": "basic",
        "has_app": True,
        "hours": None,
    }
    assert business.store.online("bob") == {
        "months": None,
        "plan": None,
        "has_app": None,
        "hours": 5.0,
    }


def test_the_online_store_never_goes_back_in_time_and_takes_a_correction_of_its_month(business):
    business.deliver(JANUARY, [("ann", 3, "basic", True)], [("ann", 1.0)])
    business.deliver(FEBRUARY, [("ann", 4, "basic", True)], [("ann", 2.0)])
    assert business.store.online_as_of() is None
    assert business.store.online("ann") is None
    assert business.materialize(FEBRUARY)
    assert not business.materialize(JANUARY)
    assert business.store.online_as_of() == FEBRUARY
    assert business.store.online("ann")["months"] == 4
    business.deliver(FEBRUARY, [("ann", 40, "basic", True)], [("ann", 2.0)], FAR)
    assert business.materialize(FEBRUARY)
    assert business.store.online("ann")["months"] == 40


def test_an_empty_online_store_waits_for_the_newest_month(business):
    """After a restore with an empty store every month may be processed again, the oldest first."""
    business.deliver(JANUARY, [("ann", 3, "basic", True)], [("ann", 1.0)])
    business.deliver(FEBRUARY, [("ann", 4, "basic", True)], [("ann", 2.0)])
    assert not business.materialize(JANUARY)
    assert business.store.online_as_of() is None
    assert business.materialize(FEBRUARY)
    assert business.store.online("ann")["months"] == 4


def test_a_numeric_key_works_offline_and_online(tmp_path):
    contract = declared(entity={"column": "member", "dtype": "integer"})
    business = Business(tmp_path, contract)
    business.deliver(JANUARY, [(7, 3, "basic", True)], [(7, 1.0)])
    assert business.historical([(7, JANUARY), (8, JANUARY)]) == {
        (7, "2024-01-31"): [3, "basic", True, 1.0],
        (8, "2024-01-31"): [None] * 4,
    }
    business.materialize(JANUARY)
    assert business.store.online(7) == {"months": 3, "plan": "basic", "has_app": True, "hours": 1.0}
    assert business.store.online(8) is None


def test_generating_again_changes_nothing_and_another_contract_does(business):
    assert business.store.generate()
    assert not business.store.generate()
    business.store.contract = declared(name="pool")
    assert business.store.generate()


def spec_of(view):
    """A view as Feast writes it down, without the times at which it did and the key's type that it infers then."""
    written = view.to_proto().spec
    written.batch_source.ClearField("meta")
    written.ClearField("entity_columns")
    return str(written)


def test_the_generated_features_module_is_what_was_applied(business):
    business.deliver(JANUARY, [("ann", 3, "basic", True)], [("ann", 1.0)])
    assert business.store.apply(business.lake.view(FAR, as_at_scoring=True)) == [
        "members_fv",
        "visits_fv",
    ]
    spec = importlib.util.spec_from_file_location(
        "generated_features", business.store.folder / "features.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    feast = import_feast()
    store = feast.FeatureStore(repo_path=str(business.store.folder))
    views = [value for value in vars(module).values() if isinstance(value, feast.FeatureView)]
    assert sorted(view.name for view in views) == ["members_fv", "visits_fv"]
    assert [spec_of(store.get_feature_view(view.name)) for view in views] == [
        spec_of(view) for view in views
    ]
    assert [store.get_data_source(view.batch_source.name) for view in views] == [
        view.batch_source for view in views
    ]
    assert store.get_entity("member") == module.entity
    assert store.get_feature_service("gym_churn") == module.service
    assert {view.ttl for view in views} == {dt.timedelta(days=27)}
    assert {
        field.name: str(field.dtype)
        for view in views
        for field in view.schema
        if field.name != "member"
    } == {
        "months": "Int64",
        "plan": "String",
        "has_app": "Bool",
        "hours": "Float64",
    }


def test_nothing_is_registered_again_while_nothing_changes(business):
    business.deliver(JANUARY, [("ann", 3, "basic", True)], [("ann", 1.0)])
    view = business.lake.view(FAR, as_at_scoring=True)
    business.store.apply(view)
    registry = business.store.folder / "registry.db"
    before = registry.stat().st_mtime_ns
    business.store.apply(view)
    business.historical([("ann", JANUARY)])
    assert registry.stat().st_mtime_ns == before


def with_views(**views):
    return declared(feature_views={**DECLARED["feature_views"], **views})


def test_a_changed_contract_is_registered_also_after_a_kill_between_writing_and_registering(
    business,
):
    business.deliver(JANUARY, [("ann", 3, "basic", True)], [("ann", 1.0)])
    view = business.lake.view(FAR, as_at_scoring=True)
    business.store.apply(view)
    changed = {
        "members_fv": {"table": "members", "features": ["months"]},
        "app_fv": {"table": "members", "features": ["has_app"]},
    }
    later = FeatureStore(business.store.folder, with_views(**changed))
    assert later.generate()  # and the process died here
    again = FeatureStore(business.store.folder, with_views(**changed))
    assert again.apply(view) == ["members_fv", "visits_fv", "app_fv"]
    spine = pd.DataFrame({"member": ["ann"], "as_of": ["2024-01-31"]})
    assert again.historical(view, spine).to_numpy().tolist() == [
        ["ann", "2024-01-31", 3, 1.0, True]
    ]


def test_a_view_that_left_the_contract_leaves_the_registry_and_is_not_materialized(business):
    business.deliver(JANUARY, [("ann", 3, "basic", True)], [("ann", 1.0)])
    view = business.lake.view(FAR, as_at_scoring=True)
    business.store.apply(view)
    fewer = declared(feature_views={"members_fv": DECLARED["feature_views"]["members_fv"]})
    later = FeatureStore(business.store.folder, fewer)
    shutil.rmtree(business.store.folder / "offline" / "visits")
    later.apply(view)
    registered = import_feast().FeatureStore(repo_path=str(later.folder)).list_feature_views()
    assert [found.name for found in registered] == ["members_fv"]
    assert later.materialize(view, JANUARY)
    assert later.online("ann") == {"months": 3, "plan": "basic", "has_app": True}


def test_a_moved_home_reads_its_own_months_and_not_the_originals(tmp_path, small_contract):
    (tmp_path / "old").mkdir()
    old = Business(tmp_path / "old", small_contract)
    old.deliver(JANUARY, [("ann", 3, "basic", True)], [("ann", 1.0)])
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
    assert moved.store.online("ann") == {
        "months": 4,
        "plan": "plus",
        "has_app": False,
        "hours": 2.0,
    }


def test_the_offline_folder_holds_the_view_and_nothing_else(two_months):
    view = two_months.lake.view(FAR, as_at_scoring=False)
    two_months.historical([("ann", JANUARY)], instant(JANUARY))
    folder = two_months.store.folder / "offline" / "members"
    assert sorted(path.name for path in folder.iterdir()) == ["2024-01-31.parquet"]
    two_months.historical([("ann", JANUARY)])
    assert {path.name: path.resolve() for path in folder.iterdir()} == {
        f"{month}.parquet": path.resolve() for month, path in view["members"].items()
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
    assert two_months.store.online("cy")["months"] == 10
