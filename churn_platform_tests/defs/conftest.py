"""Shared by the tests of the Dagster shell: an instance, a tick, one asset on one home."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from churn_platform.base.settings import prepare_environment
from churn_platform.defs.resources import HomeResource, as_of_partitions, mlflow_tracking
from churn_platform.services import Services


@pytest.fixture(autouse=True)
def environ() -> Iterator[None]:
    """What a test tells the libraries is gone after it."""
    kept = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of this test's own."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def tick(
    instance: dg.DagsterInstance,
) -> Callable[[dg.SensorDefinition, Services], dg.SensorResult]:
    """Evaluate a sensor once on a home, its resource built as Dagster builds it."""

    def evaluate(sensor: dg.SensorDefinition, home: Services) -> dg.SensorResult:
        resource = HomeResource(folder=str(home.folder))
        with dg.build_sensor_context(instance=instance, resources={"home": resource}) as context:
            return sensor(context)

    return evaluate


@pytest.fixture
def materialize(instance: dg.DagsterInstance) -> Callable[..., dg.ExecuteInProcessResult]:
    """Run assets or checks on one month of a home as one Dagster run."""

    def run(
        home: Services, month: object, *definitions: object, raising: bool = True, **config: Any
    ):
        prepare_environment(home.settings)
        instance.add_dynamic_partitions("as_of", [str(month)])
        return dg.materialize(
            list(definitions),  # type: ignore[arg-type]
            partition_key=str(month),
            instance=instance,
            resources={"home": HomeResource(folder=str(home.folder)), "mlflow": mlflow_tracking},
            run_config=config or None,
            raise_on_error=raising,
        )

    return run


@pytest.fixture
def shown(materialize) -> Callable[..., dict[str, Any]]:
    """The metadata that one asset shows after a run, as plain values."""

    def values(
        home: Services, month: object, asset: dg.AssetsDefinition, **config: Any
    ) -> dict[str, Any]:
        result = materialize(home, month, asset, **config)
        metadata = result.asset_materializations_for_node(asset.key.to_user_string())[0].metadata
        return {name: value.value for name, value in metadata.items()}

    return values


@pytest.fixture
def checked(materialize) -> Callable[..., dict[str, Any]]:
    """The results of a group of checks on a month, by name; the asset they judge is left as it is."""

    def run(home: Services, month: object, checks: dg.AssetChecksDefinition) -> dict[str, Any]:
        [key] = {spec.asset_key for spec in checks.check_specs}

        @dg.asset(key=key, partitions_def=as_of_partitions)
        def untouched() -> None: ...

        result = materialize(home, month, untouched, checks)
        return {found.check_name: found for found in result.get_asset_check_evaluations()}

    return run


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Let another process hold a home."""
    code = "import sys, time, filelock\nwith filelock.FileLock(sys.argv[1]): print('held', flush=True); time.sleep(120)"
    holders = []

    def hold(folder: Path) -> None:
        command = [sys.executable, "-c", code, str(folder / "home.lock")]
        holders.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        assert holders[-1].stdout.readline() == b"held\n"

    yield hold
    for holder in holders:
        holder.kill()
        holder.wait()
