"""What Dagster loads: every asset, check, job, sensor and schedule, each with what a person reads of it."""

import dagster as dg
import pytest

from churn_platform.definitions import defs
from churn_platform.defs.resources import HomeResource
from churn_platform.promotion.criteria import CRITERIA


@pytest.fixture(scope="module")
def loaded() -> dg.Definitions:
    return defs()


def test_the_definitions_are_loadable(loaded):
    dg.Definitions.validate_loadable(loaded)


def test_everything_that_a_person_opens_is_described(loaded):
    repository = loaded.get_repository_def()
    jobs = [loaded.resolve_job_def(name) for name in ("monthly", "retraining")]
    assets = list(loaded.resolve_all_asset_specs())
    for found in (*assets, *jobs, *repository.sensor_defs, *repository.schedule_defs):
        assert len(found.description) > 50, found
    assert all(spec.kinds for spec in assets)
    assert all(job.executor_def is dg.in_process_executor for job in jobs)
    assert "CHURN_HOME" in HomeResource.model_fields["folder"].description
    assert loaded.resources["mlflow"].description
    assert loaded.loggers["progress"].description


def test_every_check_is_described_and_those_of_a_criterion_by_its_code(loaded):
    graph = loaded.resolve_asset_graph()
    specs = {key.name: graph.get_check_spec(key) for key in graph.asset_check_keys}
    assert all(spec.description for spec in specs.values())
    for criterion in CRITERIA:
        assert specs[criterion.name].description.startswith(f"{criterion.code} {criterion.title}.")


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
