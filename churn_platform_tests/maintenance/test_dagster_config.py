"""dagster.yaml: what is written, that Dagster itself reads it so, and that a home's storage never changes unseen."""

import pytest
from dagster import DagsterInstance
from dagster._core.errors import DagsterInvalidConfigError
from dagster._core.instance.ref import InstanceRef

from churn_platform.base.errors import UsageError
from churn_platform.maintenance.dagster_config import (
    EMBEDDED,
    NAME,
    ON_POSTGRES,
    POSTGRES_VARIABLE,
    write_configuration,
)

URL = "postgresql+psycopg2://churn:geheim@127.0.0.1:1/dagster"


@pytest.fixture
def file(tmp_path):
    return tmp_path / NAME


def test_dagster_reads_the_file_as_it_is_meant(file):
    write_configuration(file.parent, on_postgres=False)
    with DagsterInstance.from_ref(InstanceRef.from_dir(str(file.parent))) as instance:
        assert type(instance.event_log_storage).__name__ == "SqliteEventLogStorage"
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 1
        assert instance.run_monitoring_enabled
        assert instance.get_settings("run_monitoring")["free_slots_after_run_end_seconds"] == 60
        assert not instance.run_retries_enabled
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled


def test_on_postgres_every_storage_is_there_and_the_rest_is_the_same(file, monkeypatch):
    monkeypatch.setenv("CHURN_DAGSTER_POSTGRES", URL)
    write_configuration(file.parent, on_postgres=True)
    ref = InstanceRef.from_dir(str(file.parent))
    assert {
        data.class_name
        for data in (ref.run_storage_data, ref.event_storage_data, ref.schedule_storage_data)
    } == {
        "PostgresRunStorage",
        "PostgresEventLogStorage",
        "PostgresScheduleStorage",
    }
    assert "geheim" not in file.read_text()
    assert file.read_text().startswith(EMBEDDED)


def test_without_the_variable_dagster_itself_refuses_to_start(file, monkeypatch):
    monkeypatch.delenv("CHURN_DAGSTER_POSTGRES", raising=False)
    write_configuration(file.parent, on_postgres=True)
    with pytest.raises(DagsterInvalidConfigError, match="CHURN_DAGSTER_POSTGRES"):
        DagsterInstance.from_ref(InstanceRef.from_dir(str(file.parent)))


def test_an_untouched_file_follows_to_postgres_and_one_of_your_own_stays(file):
    write_configuration(file.parent, on_postgres=False)
    assert POSTGRES_VARIABLE not in file.read_text()
    write_configuration(file.parent, on_postgres=True)
    assert file.read_text() == ON_POSTGRES
    assert POSTGRES_VARIABLE in file.read_text()
    file.write_text("mine: true\n")
    write_configuration(file.parent, on_postgres=True)
    assert file.read_text() == "mine: true\n"


def test_back_from_postgres_is_refused_and_changes_nothing(file):
    write_configuration(file.parent, on_postgres=True)
    with pytest.raises(
        UsageError,
        match=r"is on Postgres \(.*dagster\.yaml\), and CHURN_DAGSTER_POSTGRES is not set",
    ):
        write_configuration(file.parent, on_postgres=False)
    assert file.read_text() == ON_POSTGRES
