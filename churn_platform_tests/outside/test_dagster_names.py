"""Names in Dagster: assets, checks, jobs, sensors, schedules, resources, run config."""

from typing import Any

import dagster as dg
import pytest

from churn_platform.definitions import defs
from churn_platform_tests.outside.frozen import check


@pytest.fixture(scope="module")
def loaded():
    return defs()


def test_assets_and_their_checks(loaded):
    graph = loaded.resolve_asset_graph()
    found: dict[str, Any] = {}
    for spec in loaded.resolve_all_asset_specs():
        node = graph.get(spec.key)
        found[spec.key.to_user_string()] = {
            "group": spec.group_name,
            "partitions": _partitions(spec.partitions_def),
            "depends_on": sorted(key.to_user_string() for key in node.parent_keys),
            "checks": {key.name: _check(graph.get_check_spec(key)) for key in node.check_keys},
            "op": node.assets_def.op.name,
        }
    check("dagster_assets", found)


def _check(spec: dg.AssetCheckSpec) -> str:
    return "blocking" if spec.blocking else "not blocking"


def _partitions(definition: Any) -> str | None:
    return definition and f"{type(definition).__name__} {definition.name}"


def test_jobs_sensors_schedules_and_run_config(loaded):
    repository = loaded.get_repository_def()
    jobs = {}
    for name in (job.name for job in repository.get_all_jobs() if not job.name.startswith("__")):
        job = loaded.resolve_job_def(name)
        jobs[name] = {
            "partitions": _partitions(job.partitions_def),
            "ops": sorted(node.name for node in job.graph.nodes),
            "checks": len(job.asset_layer.asset_graph.asset_check_keys),
            "config": _config(job.run_config_schema.config_type),
        }
    sensors = {
        sensor.name: {
            "jobs": [target.job_name for target in sensor.targets],
            "status": sensor.default_status.name,
            "seconds": sensor.minimum_interval_seconds,
        }
        for sensor in repository.sensor_defs
    }
    schedules = {
        schedule.name: {
            "job": schedule.job_name,
            "cron": schedule.cron_schedule,
            "zone": schedule.execution_timezone,
            "status": schedule.default_status.name,
        }
        for schedule in repository.schedule_defs
    }
    check(
        "dagster_jobs",
        {
            "jobs": jobs,
            "sensors": sensors,
            "schedules": schedules,
            "resources": sorted(loaded.resources),
            "loggers": sorted(loaded.loggers),
        },
    )


def _config(kind: Any) -> Any:
    """Our fields of a job's run config with their types; `*` ends a required one."""
    fields = getattr(kind, "fields", None)
    if fields is None:
        inner = getattr(kind, "inner_type", None)
        return _config(inner) if inner is not None else kind.given_name or kind.key.split(".")[0]
    found = {}
    for name, field in fields.items():
        if name in ("execution", "loggers", "inputs", "outputs", "io_manager"):
            continue
        inside = _config(field.config_type)
        if inside not in ({}, "Any"):
            found[f"{name}*" if field.is_required else name] = inside
    return found
