"""What Dagster loads: every asset, check, job, sensor and schedule, each with what a person reads of it."""

import dagster as dg
import pytest

from churn_platform.definitions import defs
from churn_platform.defs.partitions import as_of_partitions
from churn_platform.defs.resources import HomeResource
from churn_platform.promotion.criteria import CRITERIA

GROUPS = {
    "snapshot": "ingestion",
    "feature_views": "features",
    "training_dataset": "features",
    "candidate_model": "training",
    "promotion_decision": "promotion",
    "production_model": "promotion",
    "drift_report": "monitoring",
    "performance": "monitoring",
    "scores": "scoring",
}
DEPENDENCIES = {
    "snapshot": set(),
    "feature_views": {"snapshot"},
    "training_dataset": {"feature_views"},
    "drift_report": {"snapshot"},
    "performance": {"training_dataset"},
    "candidate_model": {"training_dataset"},
    "promotion_decision": {"candidate_model"},
    "production_model": {"promotion_decision"},
    "scores": {"feature_views", "performance", "production_model"},
}
DATASET_CHECKS = {
    "no_feature_from_after_its_moment",
    "no_holdout_entity_in_training",
    "labels_plausible",
    "no_feature_tells_the_label",
}


@pytest.fixture(scope="module")
def loaded() -> dg.Definitions:
    return defs()


def test_the_definitions_are_loadable(loaded):
    dg.Definitions.validate_loadable(loaded)


def test_the_nine_assets_are_there_in_their_groups_by_as_of(loaded):
    specs = {spec.key.to_user_string(): spec for spec in loaded.resolve_all_asset_specs()}
    assert {name: spec.group_name for name, spec in specs.items()} == GROUPS
    assert {spec.partitions_def for spec in specs.values()} == {as_of_partitions}


def test_every_asset_says_what_it_is_and_with_which_tools(loaded):
    for spec in loaded.resolve_all_asset_specs():
        assert len(spec.description) > 50, spec.key
        assert spec.kinds, spec.key


def test_the_lineage_is_the_order_of_the_loop_without_a_cycle(loaded):
    graph = loaded.resolve_asset_graph()
    found = {
        key.to_user_string(): {k.to_user_string() for k in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert found == DEPENDENCIES


def test_every_check_is_described_on_its_asset_and_none_blocks(loaded):
    graph = loaded.resolve_asset_graph()
    specs = {key.name: graph.get_check_spec(key) for key in graph.asset_check_keys}
    assert {n for n, s in specs.items() if s.asset_key == dg.AssetKey("snapshot")} == {
        "no_row_quarantined"
    }
    assert {
        n for n, s in specs.items() if s.asset_key == dg.AssetKey("training_dataset")
    } == DATASET_CHECKS
    gate = {n: s for n, s in specs.items() if s.asset_key == dg.AssetKey("promotion_decision")}
    assert set(gate) == {criterion.name for criterion in CRITERIA}
    assert len(CRITERIA) == 12
    for criterion in CRITERIA:
        assert gate[criterion.name].description.startswith(f"{criterion.code} {criterion.title}.")
    production = {n for n, s in specs.items() if s.asset_key == dg.AssetKey("production_model")}
    assert production == {"nothing_waits_for_approval"}
    assert len(specs) == 2 + len(DATASET_CHECKS) + len(CRITERIA)
    assert all(spec.description and not spec.blocking for spec in specs.values())


JOBS = {
    "monthly": (
        {"snapshot", "feature_views", "training_dataset", "drift_report", "performance", "scores"},
        5,
    ),
    "retraining": ({"candidate_model", "promotion_decision", "production_model", "scores"}, 13),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_described_and_runs_its_assets_with_their_checks_in_one_process(loaded, name):
    job = loaded.resolve_job_def(name)
    assets, checks = JOBS[name]
    assert len(job.description) > 50
    assert {key.to_user_string() for key in job.asset_layer.selected_asset_keys} == assets
    assert len(job.asset_layer.asset_graph.asset_check_keys) == checks
    assert job.partitions_def == as_of_partitions
    assert job.executor_def is dg.in_process_executor


@pytest.mark.parametrize(
    ("job", "earlier", "later"),
    [
        ("monthly", "snapshot", "drift_report"),
        ("monthly", "training_dataset", "performance"),
        ("monthly", "performance", "scores"),
        ("retraining", "candidate_model", "promotion_decision"),
        ("retraining", "promotion_decision", "production_model"),
        ("retraining", "production_model", "scores"),
    ],
)
def test_a_job_runs_its_assets_in_order(loaded, job, earlier, later):
    order = [node.name for node in loaded.resolve_job_def(job).graph.nodes_in_topological_order]
    assert order.index(earlier) < order.index(later)


def test_both_sensors_and_the_schedule_are_described_and_on(loaded):
    repository = loaded.get_repository_def()
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    schedules = {schedule.name: schedule for schedule in repository.schedule_defs}
    jobs = {name: [job.job_name for job in sensor.targets] for name, sensor in sensors.items()}
    assert jobs == {"drop_sensor": ["monthly"], "drift_sensor": ["retraining"], "alert_sensor": []}
    clock = {name: schedule.job_name for name, schedule in schedules.items()}
    assert clock == {"monthly_schedule": "monthly", "pull_schedule": "pull"}
    assert all(len(found.description) > 50 for found in [*sensors.values(), *schedules.values()])
    assert {sensor.default_status for sensor in sensors.values()} == {
        dg.DefaultSensorStatus.RUNNING
    }
    assert {schedule.default_status for schedule in schedules.values()} == {
        dg.DefaultScheduleStatus.RUNNING
    }
    assert {sensor.minimum_interval_seconds for sensor in sensors.values()} == {30}
    assert {schedule.cron_schedule for schedule in schedules.values()} == {"0 5 * * *", "0 6 * * *"}


def test_every_resource_and_logger_is_described(loaded):
    assert set(loaded.resources) == {"home", "mlflow"}
    assert "CHURN_HOME" in HomeResource.model_fields["folder"].description
    assert loaded.resources["mlflow"].description
    assert loaded.loggers["progress"].description


def test_a_ui_without_a_home_is_told_what_to_type(monkeypatch):
    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    warned = []
    monkeypatch.setattr(dg.get_dagster_logger(), "warning", warned.append)
    defs()
    assert [text for text in warned if "churn ui" in text and "DAGSTER_HOME" in text] == warned
    assert len(warned) == 1
    monkeypatch.setenv("DAGSTER_HOME", "/srv/dagster")
    defs()
    assert len(warned) == 1
